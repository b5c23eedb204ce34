"""Recordings of runs made elsewhere, gone through again.

The replay goes through the model's side alone: each recorded response is judged and priced anew, its commands are found
anew by the package's parsers, and the conversation is put together from the responses and compared, message by message,
with the one that the file holds. No command runs, since prompts and containers of that run are not those of ours.
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
    """One imported run gone through again."""

    case: str
    calls: tuple[CallCost, ...]
    """Those whose recorded response repeats itself."""
    recorded: int
    """How many are in the recording."""
    of: int
    """How many calls the run had."""
    commands: int
    """Commands found in the responses, equal to those of the file."""
    answers: int
    """Answers in the responses, equal to those in the file's conversation; 2.x keeps none that did not parse."""
    step: int | None = None
    """Where it first differs; None where it does not."""
    what: str | None = None
    recorded_value: Any = None
    replayed_value: Any = None

    @property
    def equal(self) -> bool:
        """Whether all that is recorded repeats itself."""
        return self.what is None

    def to_json(self) -> dict[str, Any]:
        """The replayed run as a JSON object."""
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
    """Go through the model's side of imported runs again, and compare with what their files hold."""
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
                break  # here the recorded responses end
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
    assert answer.settle is not None  # noqa: S101 - an answer is settled
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
