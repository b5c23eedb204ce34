"""Checks whether files and verdicts agree with the journal, and whether the patch is what the agent submitted."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any

from dynamic_track.auditing.evidence import AuditedCall, AuditedTrial, Evidence, Remark, lines_of_kind
from dynamic_track.auditing.trajectory import Trajectory, read_trajectory, trajectory_error
from dynamic_track.running.agent import SUBMISSION
from dynamic_track.running.trial import summarise_trial
from twinbench.calls.completion import AssistantMessage, replace_surrogates
from twinbench.calls.lines import CommandLine, DecisionLine, NumberedLine, Observation, Reserve, VerdictLine, payload
from twinbench.calls.translation import to_conversation_message
from twinbench.causes import Cause
from twinbench.display.wording import shorten
from twinbench.fingerprint import sha256_text
from twinbench.reading.input_files import read_regular

_MAX_WHOLE_OUTPUT = 10_000
"""Output of this length or more is shown to the model in parts (mini-swe-agent's observation template)."""
_VERDICT_CAUSES = (Cause.empty, Cause.unappliable, Cause.timeout, Cause.writes)
_CALL_CAUSES = (
    Cause.usage,
    Cause.model,
    Cause.switch,
    Cause.transport,
    Cause.quota,
    Cause.access,
    Cause.request,
)
_REQUIRED_FIELDS = (
    "id",
    "trial",
    "resolved",
    "cause",
    "exit_status",
    "steps",
    "cost_usd",
    "spend_usd",
    "bill_usd",
    "usage",
    "models",
    "router_calls",
    "router_usd",
)


def case_file(run: Evidence) -> Iterator[Remark]:
    """Derive ``case.json`` again from the journal, and compare."""
    for trial in run.each_trial():
        claimed = trial.json("case.json")
        place = f"cases/{trial.name}/case.json"
        if claimed is None:
            if trial.end is not None:
                yield Remark(trial.name, f"{place} is missing")
            continue
        if isinstance(claimed, str):
            yield Remark(trial.name, f"{place}: {claimed}")
            continue
        if trial.recording is None:
            continue
        derived = json.loads(json.dumps(summarise_trial(run.pool, trial.recording).to_json(), default=str))
        for name, value in derived.items():
            if claimed.get(name) != value and (name in claimed or name in _REQUIRED_FIELDS):
                told = f"{name} is {_short_repr(claimed.get(name))}, by the journal {_short_repr(value)}"
                yield Remark(trial.name, f"{place}: {told}")


def verdict(run: Evidence) -> Iterator[Remark]:
    """Find verdicts that do not follow from the data beside them."""
    whose: dict[str, AuditedTrial] = {}
    for trial in run.each_trial():
        entry = trial.verdict
        content = trial.json("verdict.json")
        place = f"cases/{trial.name}/verdict.json"
        if isinstance(content, str):
            yield Remark(trial.name, f"{place}: {content}")
        elif content is not None and entry is None:
            yield Remark(trial.name, f"{place}: there is a verdict, but no journal line about it")
        elif content is None and entry is not None:
            yield Remark(trial.name, f"{place} is missing")
        elif content is not None and entry is not None:
            for problem in (*_find_differences(trial, entry, content), *_check_grader(run, trial, content)):
                yield Remark(trial.name, f"{place}: {problem}")
        if entry is None:
            continue
        for problem in _check_verdict(trial, entry.line):
            yield Remark(trial.name, f"journal, line {entry.number}: {problem}")
        fingerprint = entry.line.fingerprint
        if fingerprint is not None:
            there = whose.setdefault(fingerprint, trial)
            if (there.case, there.patch) != (trial.case, trial.patch):
                other = "another case" if there.case != trial.case else "another patch"
                what = f"has the fingerprint of the verdict on {other}, that of {there.name}"
                yield Remark(trial.name, f"journal, line {entry.number}: {what}")
            yield from _check_stored_verdict(run, trial, entry, fingerprint)
    yield from _find_verdicts_without_trial(run, whose)


def end(run: Evidence) -> Iterator[Remark]:
    """Check whether the event that ended an agent is recorded before its end."""
    for trial in run.each_trial():
        entry = trial.end
        if entry is None:
            continue
        place, cause = f"journal, line {entry.number}", entry.line.cause
        if cause is None:
            if entry.line.detail is not None:
                yield Remark(trial.name, f"{place}: says why the agent was stopped, but it ended by itself")
            continue
        decisions = [each.line for each in trial.lines_of_kind(DecisionLine)]
        asked = [each.line.step for each in trial.lines_of_kind(Reserve)]
        last = max([*(each.step for each in decisions), *asked], default=0)
        came_to = {call.settle.line.cause for call in trial.calls if call.step == last and call.settle is not None}
        if cause in _CALL_CAUSES and cause not in came_to:
            yield Remark(trial.name, f"{place}: ended by {cause}, but no call of its last step had that outcome")
        failed = any(each.error is not None for each in decisions if each.step == last)
        if cause == Cause.router and not failed and cause not in came_to:
            yield Remark(trial.name, f"{place}: ended by the router, but no decision failed")
        observed = trial.lines_of_kind(Observation)[-1:]
        if observed and _read_submission(observed[0].line) is not None:
            what = f"ended by {cause}, but its last command submitted (line {observed[0].number})"
            yield Remark(trial.name, f"{place}: {what}")


def submission(run: Evidence) -> Iterator[Remark]:
    """Check whether the patch is what the last command printed."""
    for trial in run.each_trial():
        end = trial.end
        if end is None:
            continue
        patch, place = trial.patch, f"journal, line {end.number}"
        submitted = end.line.cause is None and end.line.exit_status == "Submitted"
        if not submitted:
            if patch:
                yield Remark(trial.name, f"{place}: has a patch, but the agent ended with {end.line.exit_status!r}")
            continue
        last = trial.lines_of_kind(Observation)[-1:]
        if not last or _read_submission(last[0].line) is None:
            yield Remark(trial.name, f"{place}: the last command did not submit: it does not print {SUBMISSION}")
        elif _read_submission(last[0].line) != patch:
            what = f"the patch is not what the last command printed (line {last[0].number})"
            yield Remark(trial.name, f"{place}: {what}")


def patch(run: Evidence) -> Iterator[Remark]:
    """Compare ``patch.diff`` with the hash in the journal."""
    for trial in run.each_trial():
        end = trial.end
        if end is None:
            continue
        told = payload(end.line.patch)
        content = trial.file("patch.diff")
        try:
            sha256 = sha256_text(trial.patch)
        except UnicodeEncodeError:
            sha256 = end.line.patch_sha256
        if sha256 != end.line.patch_sha256:
            yield Remark(trial.name, f"journal, line {end.number}: the recorded hash is not that of the patch")
        if content is None and end.line.cause is None:
            yield Remark(trial.name, f"cases/{trial.name}/patch.diff is missing")
        elif content is not None and content != told:
            what = f"is not the patch in line {end.number} of the journal"
            yield Remark(trial.name, f"cases/{trial.name}/patch.diff {what}")


def trajectory(run: Evidence) -> Iterator[Remark]:
    """Compare ``trajectory.json`` with the recorded responses, commands and observations."""
    for trial in run.each_trial():
        place = f"cases/{trial.name}/trajectory.json"
        spoken, end = read_trajectory(trial), trial.end
        complaint = trajectory_error(trial)
        is_whole = end is not None and end.line.cause is None
        if complaint is not None:
            yield Remark(trial.name, f"{place}: {complaint}")
        elif spoken is None:
            if is_whole:
                yield Remark(trial.name, f"{place} is missing")
        else:
            for problem in _compare_trajectory(trial, spoken, whole=is_whole):
                yield Remark(trial.name, f"{place}: {problem}")


def _find_differences(
    trial: AuditedTrial, entry: NumberedLine[VerdictLine], content: Mapping[str, Any]
) -> Iterator[str]:
    for name in ("resolved", "cause", "detail", "fingerprint"):
        if content.get(name) != (by_journal := getattr(entry.line, name)):
            told, is_ = _short_repr(content.get(name)), _short_repr(by_journal)
            yield f"{name} is {told}, in the journal, line {entry.number}, {is_}"
    if content.get("id") != trial.case:
        yield f"is of {_short_repr(content.get('id'))}"
    yield from _check_tests(content)


def _check_grader(run: Evidence, trial: AuditedTrial, content: Mapping[str, Any]) -> Iterator[str]:
    version = run.plan.grader.get("swebench")
    if content.get("swebench") != version:
        yield f"graded by swebench {_short_repr(content.get('swebench'))}, the plan has {_short_repr(version)}"
    image = None if trial.begin is None else trial.begin.image
    if content.get("image") not in (None, image):
        yield f"graded in the image {_short_repr(content.get('image'))}, the agent worked in {_short_repr(image)}"


def _check_tests(content: Mapping[str, Any]) -> Iterator[str]:
    """Check whether a verdict follows from its own lists of tests."""
    tests = content.get("tests")
    if tests is None:
        if content.get("resolved"):
            yield "resolved, but no test is named"
        return
    try:
        failed = sum(len(tests[part]["failure"]) for part in ("FAIL_TO_PASS", "PASS_TO_PASS"))
        passed = len(tests["FAIL_TO_PASS"]["success"])
    except (KeyError, TypeError):
        yield "its tests are not lists of tests"
        return
    if content.get("resolved") != (failed == 0 and passed > 0):
        yield f"resolved is {content.get('resolved')}, but {failed} tests failed"


def _check_verdict(trial: AuditedTrial, told: VerdictLine) -> Iterator[str]:
    resolved, cause, fingerprint = told.resolved, told.cause, told.fingerprint
    if resolved and not trial.patch.strip():
        yield "resolved by an empty patch"
    if resolved and cause is not None:
        yield f"resolved, but the cause is {cause}"
    if resolved is None and cause is None:
        yield "states neither whether the case is resolved nor why there is no verdict"
    if resolved is False and cause is not None and cause not in _VERDICT_CAUSES:
        yield f"unresolved because of {cause}, which is not a cause of a verdict"
    if (cause == Cause.empty) != (not trial.patch.strip()) and resolved is not None:
        yield f"the cause is {cause}, but the patch has {len(trial.patch)} characters"
    if resolved is not None and cause != Cause.empty and fingerprint is None:
        yield "a verdict without its fingerprint"


def _check_stored_verdict(
    run: Evidence, trial: AuditedTrial, entry: NumberedLine[VerdictLine], fingerprint: str
) -> Iterator[Remark]:
    """Check the verdict in the run's own store, if it was copied too."""
    path = run.directory.path / "verdicts" / fingerprint / "verdict.json"
    try:
        content = json.loads(read_regular(path))
    except FileNotFoundError:
        return
    except (OSError, ValueError, RecursionError) as error:
        content = {}
        yield Remark(trial.name, f"verdicts/{path.parent.name}/verdict.json: not JSON: {error}")
    if not isinstance(content, dict) or not content:
        return
    if content.get("resolved") != entry.line.resolved:
        told, is_ = _short_repr(content.get("resolved")), _short_repr(entry.line.resolved)
        what = f"resolved is {told}, in the journal, line {entry.number}, {is_}"
        yield Remark(trial.name, f"verdicts/{path.parent.name}/verdict.json: {what}")
    beside = trial.json("verdict.json")
    if isinstance(beside, dict):
        for name in content:
            if beside.get(name) != content[name]:
                what = f"has another {name} than cases/{trial.name}/verdict.json"
                yield Remark(trial.name, f"verdicts/{path.parent.name}/verdict.json: {what}")
    for problem in _check_tests(content):
        yield Remark(trial.name, f"verdicts/{path.parent.name}/verdict.json: {problem}")


def _find_verdicts_without_trial(run: Evidence, known: Mapping[str, AuditedTrial]) -> Iterator[Remark]:
    told = {each.line.fingerprint for each in lines_of_kind(run.lines, VerdictLine)}
    waiting = any(trial.verdict is None and trial.end is not None for trial in run.each_trial())
    for path in sorted((run.directory.path / "verdicts").glob("*/verdict.json")):
        if path.parent.name not in told | known.keys() and not waiting:
            yield Remark(None, f"verdicts/{path.parent.name}: a patch was graded that no trial submitted")


def _read_submission(observation: Observation) -> str | None:
    """Return what a command submitted, as mini-swe-agent's environment reads it; None if it did not submit."""
    lines = observation.text.lstrip().splitlines(keepends=True)
    if not lines or lines[0].strip() != SUBMISSION or observation.returncode != 0:
        return None
    return "".join(lines[1:])


def _compare_trajectory(trial: AuditedTrial, spoken: Trajectory, *, whole: bool) -> Iterator[str]:
    answers = trial.answers
    if len(spoken.answers) > len(answers) or (whole and len(spoken.answers) < len(answers)):
        yield f"has {len(spoken.answers)} answers, the journal {len(answers)}"
        return
    if whole and trial.end is not None and spoken.info.get("submission") != trial.patch:
        yield f"its submission is not the patch in line {trial.end.number} of the journal"
    if whole and trial.end is not None and spoken.info.get("exit_status") != trial.end.line.exit_status:
        yield f"ends by {_short_repr(spoken.info.get('exit_status'))}, the journal by {trial.end.line.exit_status!r}"
    if whole:
        yield from _compare_trajectory_info(trial, spoken)
    bounds = [*spoken.prefixes[1:], len(spoken.messages)]
    for call, prefix, until in zip(answers, spoken.prefixes, bounds, strict=False):
        last = until == len(spoken.messages)
        yield from _compare_step(trial, call, spoken, prefix, until, last=last)


def _compare_trajectory_info(trial: AuditedTrial, spoken: Trajectory) -> Iterator[str]:
    """Compare what a complete trajectory says about itself, apart from its conversation."""
    info, last = spoken.info, spoken.messages[-1]
    said = last.get("extra") or {}
    ended = {name: info.get(name) for name in ("exit_status", "submission")}
    if last.get("role") != "exit" or {name: said.get(name) for name in ended} != ended:
        yield "its last message is not the one that ends it"
    elif info.get("exit_status") == "Submitted" and last.get("content") != info.get("submission"):
        yield "its last message is not what was submitted"
    agent = None if trial.begin is None else trial.begin.agent
    if agent is not None and info.get("mini_version") != agent.get("version"):
        found = _short_repr(info.get("mini_version"))
        yield f"is of mini-swe-agent {found}, the trial began with {agent.get('version')}"
    stats = info.get("model_stats")
    cost = sum(float(call.settle.line.cost_usd) for call in trial.answers if call.settle is not None)
    told = stats if isinstance(stats, dict) else {}
    if told.get("api_calls") != len(trial.answers):
        yield f"counts {_short_repr(told.get('api_calls'))} calls, the journal {len(trial.answers)}"
    if not _nearly_equal(told.get("instance_cost"), cost):
        yield f"costs {_short_repr(told.get('instance_cost'))} USD in all, by the journal {cost:.9f}"


def _nearly_equal(told: Any, due: float) -> bool:
    return isinstance(told, int | float) and math.isclose(told, due, rel_tol=1e-9, abs_tol=1e-12)


def _compare_step(
    trial: AuditedTrial, call: AuditedCall, spoken: Trajectory, prefix: int, until: int, *, last: bool
) -> Iterator[str]:
    assert call.settle is not None  # noqa: S101 - the call was answered
    message, step = spoken.messages[prefix], f"step {call.step}"
    extra = message["extra"]
    if extra["candidate"] != call.candidate:
        yield f"{step}: {_short_repr(extra['candidate'])} answers, in the journal {call.candidate}"
    cost_usd = call.settle.line.cost_usd
    if not _nearly_equal(extra.get("cost"), float(cost_usd)):
        yield f"{step}: costs {_short_repr(extra.get('cost'))} USD, in the journal {cost_usd:f}"
    elif _to_decimal(extra.get("cost_usd")) != cost_usd:
        yield f"{step}: costs {_short_repr(extra.get('cost_usd'))} USD, in the journal {cost_usd:f}"
    commands = [each.line.command for each in trial.lines_of_kind(CommandLine) if each.line.step == call.step]
    said: Sequence[str] = []
    if message.get("role") == "assistant":
        before = [each.plain for each in spoken.conversation[:prefix]]
        heard = call.message if spoken.tools else call.message.model_copy(update={"tool_calls": ()})
        answer = to_conversation_message(heard, call.candidate, call.step, before)
        if (
            spoken.conversation[prefix].plain != answer.plain
            or dict(spoken.conversation[prefix].provider_fields) != answer.provider_fields
        ):
            yield f"{step}: the answer is not the one in the response ({call.place})"
        said = [
            replace_surrogates(str(each.get("command"))) for each in extra.get("actions", []) if isinstance(each, dict)
        ]
        called = _read_commands(heard)
        if called is not None and called != list(said):
            yield f"{step}: its commands are not those in the response ({call.place})"
    if commands != list(said[: len(commands)]) or (not last and len(commands) != len(said)):
        yield f"{step}: its commands are not those in the journal"
    if not last:
        yield from _compare_output(trial, call.step, spoken.messages[prefix + 1 : until])


def _compare_output(trial: AuditedTrial, step: int, messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    observed = [each for each in trial.lines_of_kind(Observation) if each.line.step == step]
    shown = [message for message in messages if "raw_output" in (message.get("extra") or {})]
    if len(shown) != len(observed):
        yield f"step {step}: {len(shown)} observations, in the journal {len(observed)}"
        return
    for entry, message in zip(observed, shown, strict=True):
        seen, output = entry.line, entry.line.text
        told = {"raw_output": output, "returncode": seen.returncode, "exception_info": seen.exception_info}
        if {name: message["extra"].get(name) for name in told} != told:
            yield f"step {step}: the output of a command is not the one in line {entry.number} of the journal"
        content = message.get("content")
        if len(output) < _MAX_WHOLE_OUTPUT and isinstance(content, str) and output.strip() not in content:
            yield f"step {step}: the model was shown something else than the command's output ({entry.number})"


def _read_commands(message: AssistantMessage) -> list[str] | None:
    """Return the commands in the tool calls of an answer; None if it has none or they cannot be read."""
    if not message.tool_calls:
        return None
    found = []
    for call in message.tool_calls:
        try:
            content = json.loads(call.arguments)
        except (ValueError, RecursionError):
            return None
        if not isinstance(content, dict) or "command" not in content:
            return None
        found.append(replace_surrogates(str(content["command"])))
    return found


def _to_decimal(value: Any) -> Decimal | None:
    try:
        return Decimal(value) if isinstance(value, str) else None
    except ArithmeticError:
        return None


def _short_repr(value: Any) -> str:
    text = json.dumps(value, default=str)
    return shorten(text, 80)
