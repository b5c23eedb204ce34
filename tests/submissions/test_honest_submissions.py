"""No false alarm: submissions of every kind, made as people make them, each verified as far as it can be."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

import twinbench as tb
from benchmarks.first_entries import make_wheel
from dynamic_track.rehearsal.replies import Reply, error_reply
from dynamic_track.rehearsal.server import ReceivedRequest
from dynamic_track.tasks.task import Task
from tests.cli.commands import twinbench
from tests.dynamic_track.live import KEY, KEY_VARIABLE, Victims, live, pool_file, run_arguments, solving, step_of
from tests.scripted.server import ScriptedServer
from tests.submissions.handing_in import contents, failed, pack, write_router
from tests.submissions.test_trained_submissions import LEARNER
from tests.submissions.workshop import Workshop

pytestmark = pytest.mark.acceptance

MEDIUM = "rehearsal__tidecache-41"
BOTH = ("--only", MEDIUM)
STATIC, LIVE = ("--ask", "all"), ("--ask", "all", "--grade", "all", "--replay", "all")
UNSIGNED = frozenset({"signature"})

READS_A_FILE = '''
import json
from pathlib import Path


class Mine:
    """Decides by a table in a file, which an argument may name."""

    def __init__(self, table: Path | None = None):
        path = Path(__file__).with_name("table.json") if table is None else table
        self.at = json.loads(path.read_text())["at"]

    def route(self, call):
        return call.candidates[-1] if call.step_index > self.at else call.candidates[0]
'''


class Desk(Workshop):
    """A workshop whose submissions are signed where that is wanted, and verified in one way."""

    def __init__(self, folder: Path, tasks: Sequence[Task], killing: Victims) -> None:
        super().__init__(folder, tasks)
        self.killing = killing
        self.info = folder / "router" / "submission.toml"
        self.wheels = make_wheel("numpy", folder / "wheels").parent
        self.key = folder / "key"
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.key], check=True)
        self.signers = folder / "signers"
        self.signers.write_text(f"ada {self.key.with_suffix('.pub').read_text()}", "utf-8")

    def hand_in(self, name: str, router: str, *more: str | Path) -> Path:
        """Pack a submission under a name of its own."""
        file = self.folder / f"{name}.zip"
        pack(router, file, *more, info=self.info).succeeded()
        return file

    def folder_of(self, name: str, code: str) -> Path:
        """A folder with a router of this code."""
        write_router(self.folder / name, code)
        return self.folder / name

    def trained(self, name: str, router: str) -> Path:
        """A router trained on one part of the embedded bank."""
        twinbench("bank", "split", "rehearsal", "--parts", "train=60,test=40").succeeded()
        train = ("router", "train", router, "--bank", "rehearsal", "--split", "train", "--out", self.folder / name)
        twinbench(*train).succeeded()
        return self.folder / name


@pytest.fixture
def desk(tmp_path: Path, rehearsal: Sequence[Task], killing: Victims) -> Iterator[Desk]:
    if shutil.which("ssh-keygen") is None:
        pytest.skip("signatures are made by OpenSSH")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(KEY_VARIABLE, KEY)
        yield Desk(tmp_path, rehearsal, killing)


@contextlib.contextmanager
def working_in(folder: Path) -> Iterator[None]:
    """What is done within is done in a folder."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


# Of the static track


def a_rule_with_arguments(desk: Desk) -> Path:
    return desk.hand_in("rule", "depth-rule?mid=2&high=6", "--bank", "rehearsal")


def one_that_draws(desk: Desk) -> Path:
    return desk.hand_in("draws", "random?seed=7&mix=3:1:0:2", "--bank", "rehearsal", "--order-seed", "3")


def files_of_several_modules(desk: Desk) -> Path:
    return desk.hand_in("modules", desk.router, "--bank", "rehearsal")


def a_file_that_is_included(desk: Desk) -> Path:
    folder = desk.folder_of("reads", READS_A_FILE)
    (folder / "table.json").write_text('{"at": 2}', "utf-8")
    return desk.hand_in("included", f"{folder / 'mine.py'}:Mine", "--include", "table.json", "--bank", "rehearsal")


def a_file_that_an_argument_names(desk: Desk) -> Path:
    folder = desk.folder_of("named", READS_A_FILE)
    (folder / "other.json").write_text('{"at": 4}', "utf-8")
    with working_in(folder):
        return desk.hand_in("argument", "mine.py:Mine?table=other.json", "--bank", "rehearsal")


def a_module_of_a_package(desk: Desk) -> Path:
    package = desk.folder / "own" / "pkg"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "limits.py").write_text("AT = 3\n", "utf-8")
    code = "from .limits import AT\n\n\nclass Mine:\n    def __init__(self, at: int = AT):\n        self.at = at\n\n"
    code += "    def route(self, call):\n        return call.candidates[-1 if call.step_index > self.at else 0]\n"
    (package / "rules.py").write_text(code, "utf-8")
    with working_in(package.parent):
        return desk.hand_in("package", "pkg.rules:Mine?at=1", "--bank", "rehearsal")


def a_learned_router_that_ships(desk: Desk) -> Path:
    return desk.hand_in("learned", str(desk.trained("knn-model", "knn")), "--bank", "rehearsal:test")


def a_learned_router_of_ones_own(desk: Desk) -> Path:
    folder = desk.folder_of("learner", LEARNER)
    return desk.hand_in(
        "own", str(desk.trained("own-model", f"{folder / 'mine.py'}:Learns")), "--bank", "rehearsal:test"
    )


def what_it_was_trained_on_and_says_so(desk: Desk) -> Path:
    model = desk.trained("seen-model", "ordinal")
    return desk.hand_in("seen", str(model), "--bank", "rehearsal", "--bank", "rehearsal:test", "--in-sample")


def predictions_of_a_closed_router(desk: Desk) -> Path:
    open_one = desk.hand_in("open", desk.router, "--bank", "rehearsal")
    predictions = desk.folder / "predictions.jsonl"
    predictions.write_bytes(contents(open_one)["static/rehearsal/predictions.jsonl"])
    return desk.hand_in("closed", "theirs", "--closed", "--predictions", f"rehearsal={predictions}")


def a_signed_one(desk: Desk) -> Path:
    return desk.hand_in("signed", desk.router, "--bank", "rehearsal", "--sign", desk.key)


# Live runs


def a_run_that_was_committed_to(desk: Desk) -> Path:
    run = desk.folder / "committed"
    twinbench(*run_arguments("http://127.0.0.1:9/v1", run, *BOTH, "--commit-only", router=desk.router)).succeeded()
    desk.post(run)
    desk.run("committed", *BOTH)
    return desk.hand_in("run", desk.router, "--run", run)


def a_run_that_was_widened_and_resumed(desk: Desk) -> Path:
    desk.run("widened")
    desk.run("widened", *BOTH)
    run = desk.run("widened", *BOTH)
    desk.post(run)
    return desk.hand_in("widened", desk.router, "--run", run)


def a_run_that_was_killed_twice(desk: Desk) -> Path:
    run = desk.folder / "killed"
    with ScriptedServer(solving(desk.tasks)) as server:
        arguments = run_arguments(server.api_base, run, *BOTH, router=desk.router)
        desk.killing.killed(arguments, ("after", "reserve", 2))
        desk.killing.killed(arguments, ("after", "settle", 2))
        live(server.api_base, run, *BOTH, router=desk.router).succeeded()
    desk.post(run)
    return desk.hand_in("killed", desk.router, "--run", run)


def merged_shards(desk: Desk) -> Path:
    shards = [desk.run(f"shard-{number}", *BOTH, "--shard", f"{number}/2") for number in (1, 2)]
    merged = desk.folder / "merged"
    twinbench("dynamic", "merge", *shards, "--run", merged).succeeded()
    desk.post(merged)
    return desk.hand_in("merged", desk.router, "--run", merged)


def a_killed_shard_that_was_merged(desk: Desk) -> Path:
    first, second = desk.folder / "first", desk.run("second", *BOTH, "--shard", "2/2")
    with ScriptedServer(solving(desk.tasks)) as server:
        arguments = run_arguments(server.api_base, first, *BOTH, "--shard", "1/2", router=desk.router)
        desk.killing.killed(arguments, ("after", "settle", 1))
        live(server.api_base, first, *BOTH, "--shard", "1/2", router=desk.router).succeeded()
    merged = desk.folder / "both"
    twinbench("dynamic", "merge", first, second, "--run", merged).succeeded()
    desk.post(merged)
    return desk.hand_in("shards", desk.router, "--run", merged)


def several_runs_and_predictions_signed(desk: Desk) -> Path:
    runs = [desk.run("one"), desk.run("two", only=MEDIUM)]
    for run in runs:
        desk.post(run)
    more = [word for run in runs for word in ("--run", run)]
    return desk.hand_in("several", desk.router, *more, "--bank", "rehearsal", "--sign", desk.key)


def trials_of_a_case(desk: Desk) -> Path:
    run = desk.run("trials", "--trials", "2")
    desk.post(run)
    return desk.hand_in("trials", desk.router, "--run", run)


def a_provider_that_fails_in_passing(desk: Desk) -> Path:
    refused: Counter[bytes] = Counter()

    def script(asked: ReceivedRequest) -> Reply:
        refused[asked.raw] += 1
        if step_of(asked) == 2 and refused[asked.raw] == 1:
            return error_reply(503, "later")
        return solving(desk.tasks)(asked)

    run = desk.run("flaky", *BOTH, script=script)
    desk.post(run)
    return desk.hand_in("flaky", desk.router, "--run", run)


def a_pool_of_ones_own(desk: Desk) -> Path:
    pool = pool_file(
        desk.folder / "cheap.toml",
        lambda text: text.replace("unresolved_penalty_usd = 0.6", "unresolved_penalty_usd = 0.5"),
    )
    run = desk.run("cheap", "--pool", str(pool))
    desk.post(run)
    return desk.hand_in("pool", desk.router, "--run", run)


def a_run_of_a_closed_router(desk: Desk) -> Path:
    run = desk.run("hidden")
    desk.post(run)
    return desk.hand_in("hidden", "theirs", "--closed", "--run", run)


def a_run_of_a_trained_router(desk: Desk) -> Path:
    model = desk.trained("run-model", "knn")
    with tb.open_bank("rehearsal") as bank:
        unseen = bank.groups()[(bank.split("test").trajectories or ())[0]]
    run = desk.run("trained", router=str(model), only=unseen)
    desk.post(run)
    return desk.hand_in("trained", str(model), "--run", run, "--bank", "rehearsal:test")


def a_whole_rehearsal(desk: Desk) -> Path:
    twinbench("rehearse", desk.router, "--runs", desk.folder / "runs", "--json").succeeded()
    [plan] = (desk.folder / "runs").rglob("plan.json")
    return desk.hand_in("rehearsal", desk.router, "--run", plan.parent)


HONEST: dict[Callable[[Desk], Path], tuple[Sequence[str], frozenset[str]]] = {
    **dict.fromkeys(
        (
            a_rule_with_arguments,
            one_that_draws,
            files_of_several_modules,
            a_file_that_is_included,
            a_file_that_an_argument_names,
            a_module_of_a_package,
            a_learned_router_that_ships,
            a_learned_router_of_ones_own,
            what_it_was_trained_on_and_says_so,
        ),
        (STATIC, UNSIGNED),
    ),
    predictions_of_a_closed_router: (STATIC, UNSIGNED | {"decisions"}),
    a_signed_one: (STATIC, frozenset()),
    **dict.fromkeys(
        (
            a_run_that_was_committed_to,
            a_run_that_was_widened_and_resumed,
            a_run_that_was_killed_twice,
            merged_shards,
            a_killed_shard_that_was_merged,
            trials_of_a_case,
            a_provider_that_fails_in_passing,
            a_pool_of_ones_own,
            a_run_of_a_trained_router,
        ),
        (LIVE, UNSIGNED),
    ),
    several_runs_and_predictions_signed: (LIVE, frozenset()),
    a_run_of_a_closed_router: (LIVE, UNSIGNED | {"router"}),
    a_whole_rehearsal: (("--ask", "all", "--grade", "4", "--replay", "2"), UNSIGNED),
}
"""How each is verified, and of what a maintainer is warned."""


def test_there_are_twenty_of_them() -> None:
    assert len(HONEST) >= 20


@pytest.mark.parametrize("make", HONEST, ids=lambda make: make.__name__)
def test_what_is_honest_raises_no_alarm(desk: Desk, make: Callable[[Desk], Path]) -> None:
    options, warned = HONEST[make]
    file = make(desk)
    began = time.monotonic()
    where = ("--commitments", desk.posted, "--signers", desk.signers, "--plugin-wheels", desk.wheels)
    ran = twinbench("submit", "verify", file, "--json", *where, *options)
    seconds = time.monotonic() - began
    wrong = [check for check in ran.json["checks"] if check["status"] == "fail"]
    warns = Counter(check["name"] for check in ran.json["checks"] if check["status"] == "warn")
    told = ", ".join(f"{name} {number}" for name, number in sorted(warns.items())) or "none"
    checked = Counter(check["status"] for check in ran.json["checks"])["pass"]
    levels = " ".join(ran.json["levels"])
    print(f"evidence: {make.__name__}: {levels}; {checked} checks passed, warns: {told}; {seconds:.1f} s")
    assert wrong == []
    assert failed(ran) == set()
    assert set(warns) == warned
    assert ran.json["results"], "nothing may be listed"
    assert json.loads(contents(file)["submission.json"])["router"]["spec"]
