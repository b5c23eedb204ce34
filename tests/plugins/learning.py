"""A router that learns, as its author would write it, and ways in which training goes wrong."""

from __future__ import annotations

import json
import os
import pickle
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from twinbench import Call, Decision, Trajectory


class Learns:
    """Answers with the label that was most frequent at a step index, else the most frequent of all."""

    def __init__(self, floor: str = "low") -> None:
        self.floor = floor
        self.by_step: dict[str, str] = {}
        self.groups: list[str] = []

    def fit(self, trajectories: Sequence[Trajectory]) -> None:
        counts: dict[int, Counter[str]] = {}
        for trajectory in trajectories:
            assert len(trajectory.calls) == len(trajectory.targets) == len(trajectory.costs_usd) > 0
            self.groups.append(f"{trajectory.workload}|{trajectory.group}")
            for call, target, costs in zip(trajectory.calls, trajectory.targets, trajectory.costs_usd, strict=True):
                assert sorted(costs) == [0, 1, 2, 3]
                assert costs[min(costs)] < costs[max(costs)]
                counts.setdefault(call.step_index, Counter())[target.label] += 1
        self.by_step = {str(step): found.most_common(1)[0][0] for step, found in counts.items()}
        print("fit prints what it likes")

    def save(self, folder: Path) -> None:
        (folder / "deep").mkdir()
        (folder / "deep" / "steps.json").write_text(json.dumps(self.by_step), "utf-8")
        (folder / "groups.json").write_text(json.dumps(self.groups), "utf-8")
        (folder / "large.bin").write_bytes(bytes(range(256)) * 5_000)

    def load(self, folder: Path) -> None:
        self.by_step = json.loads((folder / "deep" / "steps.json").read_text("utf-8"))
        assert (folder / "large.bin").read_bytes() == bytes(range(256)) * 5_000

    def route(self, call: Call) -> Decision:
        return Decision(self.by_step.get(str(call.step_index), self.floor), rationale=f"process {os.getpid()}")


class Raises(Learns):
    def fit(self, trajectories: Sequence[Trajectory]) -> None:
        raise LookupError("nothing to be learnt here")


class Hangs(Learns):
    def fit(self, trajectories: Sequence[Trajectory]) -> None:
        time.sleep(600)


class Eats(Learns):
    def fit(self, trajectories: Sequence[Trajectory]) -> None:
        self.eaten = bytearray(os.urandom(2**20) * 1_000)
        time.sleep(600)


class Dies(Learns):
    def save(self, folder: Path) -> None:
        super().save(folder)
        os._exit(3)


class SavesNothing(Learns):
    def save(self, folder: Path) -> None:
        (folder / "only a folder").mkdir()


class SavesRubbish(Learns):
    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "deep" / "steps.json").write_text("{", "utf-8")


class SavesALink(Learns):
    def save(self, folder: Path) -> None:
        (folder / "steps.json").symlink_to(__file__)


class SavesAlsoALink(Learns):
    def save(self, folder: Path) -> None:
        super().save(folder)
        (folder / "steps.json").symlink_to(folder / "deep" / "steps.json")


class SavesTooDeep(Learns):
    """Has a file at a path that is longer than the system takes as a whole."""

    def save(self, folder: Path) -> None:
        super().save(folder)
        before = Path.cwd()
        os.chdir(folder)
        for _ in range(25):
            os.mkdir("d" * 200)  # noqa: PTH102 - relative to where we are, as are the next
            os.chdir("d" * 200)
        Path("steps.json").write_text("1", "utf-8")
        os.chdir(before)


class SavesUnderNoText(Learns):
    def save(self, folder: Path) -> None:
        super().save(folder)
        os.close(os.open(os.fsencode(folder) + b"/\xff", os.O_CREAT | os.O_WRONLY))


class WritesWhenLoaded(Learns):
    def load(self, folder: Path) -> None:
        super().load(folder)
        (folder / "cache").write_text("1", "utf-8")


class DecidesNothing(Learns):
    def load(self, folder: Path) -> None:
        self.by_step = {"1": "best"}


class FitsOnly:
    def fit(self, trajectories: Sequence[Trajectory]) -> None:
        """Learns, and cannot keep it."""

    def route(self, call: Call) -> str:
        return "low"


class _Payload:
    """Becomes a call when it is unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return exec, ("import sys, os; sys.unpickled_in = os.getpid()",)


class Pickles(Learns):
    """Keeps what runs code where it is read."""

    def save(self, folder: Path) -> None:
        (folder / "model.pickle").write_bytes(pickle.dumps(_Payload()))

    def load(self, folder: Path) -> None:
        pickle.loads((folder / "model.pickle").read_bytes())  # noqa: S301 - what an author may do in a process of his own

    def route(self, call: Call) -> Decision:
        return Decision("low", rationale=f"unpickled in {getattr(sys, 'unpickled_in', None)}")


class Remembers(Learns):
    """Knows what it was trained on by heart, and answers high where it was not."""

    def fit(self, trajectories: Sequence[Trajectory]) -> None:
        self.by_step = {
            _whole(call): target.label
            for trajectory in trajectories
            for call, target in zip(trajectory.calls, trajectory.targets, strict=True)
        }

    def route(self, call: Call) -> Decision:
        return Decision(self.by_step.get(_whole(call), "high"))


class FailsWithoutTheFirst(Learns):
    """Cannot be trained without a trajectory of the task i0."""

    def fit(self, trajectories: Sequence[Trajectory]) -> None:
        if not any(trajectory.group.endswith("/i0") for trajectory in trajectories):
            raise LookupError("where is i0?")
        super().fit(trajectories)


def _whole(call: Call) -> str:
    return json.dumps([list(call.messages), call.step_index])
