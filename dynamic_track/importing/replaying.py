"""Replays recordings of runs that were made elsewhere.

The replay covers only the model's side: each recorded response is classified and priced again, the package's parsers
find its commands again, and the conversation is put together from the responses and compared, message by message, with
the one in the file. No command runs, since the prompts and containers of that run are not ours.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dynamic_track.importing.costs import CallCost, money, sums
from dynamic_track.importing.recording import FileClock, routed
from dynamic_track.running.agent import ActionStyle, commands_said
from twinbench.calls.mini_swe_agent import BASH_TOOL
from twinbench.calls.recording import DivergedError, Recording
from twinbench.calls.routed import RecordingDecides
from twinbench.calls.translation import Utterance, plain_message
from twinbench.calls.trial_log import TrialLog
from twinbench.causes import CausedError
from twinbench.display.progress import Progress
from twinbench.storage.manifests import LiveManifest
from twinbench.text.messages import semantic_key


@dataclass(frozen=True)
class ReplayedRun:
    """The replay of one imported run."""

    case: str
    calls: tuple[CallCost, ...]
    """The calls whose replay agrees with the recorded response."""
    recorded: int
    """How many calls are in the recording."""
    of: int
    """How many calls the run had."""
    commands: int
    """The number of commands in the responses that are equal to those in the file."""
    answers: int
    """The number of answers in the responses that are equal to those in the file's conversation; versions 2.x keep no
    answers that could not be parsed."""
    step: int | None = None
    """The step of the first difference; None if there is none."""
    what: str | None = None
    recorded_value: Any = None
    replayed_value: Any = None

    @property
    def equal(self) -> bool:
        """Whether the replay agrees with everything that is recorded."""
        return self.what is None

    def to_json(self) -> dict[str, Any]:
        """Return the replay as a JSON object."""
        difference = {"step": self.step, "what": self.what, "recorded": self.recorded_value}
        return {
            "case": self.case,
            "equal": self.equal,
            "calls": self.of,
            "recorded": self.recorded,
            "replayed": len(self.calls),
            "commands": self.commands,
            "answers": self.answers,
            **money(*sums(self.calls)),
            "difference": None if self.equal else {**difference, "replayed": self.replayed_value},
            "by_call": [call.to_json() for call in self.calls],
        }


def replay_imported(pool: LiveManifest, recorded: Sequence[Recording], progress: Progress) -> tuple[ReplayedRun, ...]:
    """Replay the model's side of imported runs, and compare it with the contents of their files."""
    replayed = []
    for done, recording in enumerate(recorded):
        progress(f"replaying {recording.case}", done, len(recorded))
        replayed.append(_replayed(pool, recording))
    return tuple(replayed)


def _replayed(pool: LiveManifest, recording: Recording) -> ReplayedRun:
    start = recording.start
    told = {} if start is None else start.imported or {}
    calls: list[CallCost] = []
    commands = answers = 0
    asking = routed(pool, TrialLog(recording, None), RecordingDecides(), None, FileClock())
    style = ActionStyle(told.get("actions", ActionStyle.text))
    tools = [BASH_TOOL] if style is ActionStyle.tool else []
    conversation = [dict(message) for message in (None if start is None else start.opening) or ()]
    difference: DivergedError | None = None
    try:
        if (made_with := None if start is None else start.pool) != pool.fingerprint:
            raise DivergedError(0, "pool", made_with, pool.fingerprint)
        for number in sorted(recording.steps):
            step = recording.steps[number]
            if step.answer is None:
                break  # the recorded responses end here
            answer = asking.ask([Utterance(message) for message in conversation], tools)
            said = answer.utterance.plain
            following = list(step.conversation or ())
            kept = following[:1] if following and following[0].get("role") == "assistant" else []
            if kept and semantic_key(kept[0]) != semantic_key(plain_message(answer.message)):
                raise DivergedError(number, "answer", kept[0], said)
            answers += len(kept)
            recorded_commands = [each.command for each in step.commands]
            if style is ActionStyle.tool or told.get("pattern") is not None:
                found = commands_said(said, style, told.get("pattern") or "") or []
                if found != recorded_commands:
                    raise DivergedError(number, "command", recorded_commands, found)
                commands += len(found)
            conversation += [dict(message) for message in following]
            calls.append(_recorded_cost(recording, number))
    except DivergedError as diverged:
        difference = diverged
    except CausedError as error:
        difference = DivergedError(len(calls) + 1, "cause", None, f"{error.cause}: {error}")
    return ReplayedRun(
        recording.case,
        tuple(calls),
        len(recording.answers),
        int(told.get("calls") or len(recording.answers)),
        commands,
        answers,
        *(() if difference is None else (difference.step, difference.what, difference.recorded, difference.replayed)),
    )


def _recorded_cost(recording: Recording, step: int) -> CallCost:
    answer = recording.steps[step].answer
    assert answer is not None  # noqa: S101 - it was just replayed
    assert answer.settle is not None  # noqa: S101 - an answer has a settle line
    settle = answer.settle
    return CallCost(
        recording.case,
        step,
        settle.served_model,
        settle.served_by,
        answer.reserve.candidate,
        settle.usage,
        settle.cost_usd,
        settle.reported_cost_usd,
    )
