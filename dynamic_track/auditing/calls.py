"""Checks whether the calls of a run can really have been made: requests, responses, usage, costs and caches."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal

from dynamic_track.auditing.evidence import AuditedCall, AuditedTrial, Evidence, Remark
from dynamic_track.auditing.tokens import TEMPLATE_TOKENS
from dynamic_track.auditing.trajectory import calls_with_conversation, read_trajectory
from twinbench.calls.billing import served_by
from twinbench.calls.completion import AssistantMessage
from twinbench.calls.exchange import Request, Response
from twinbench.calls.lines import DecisionLine
from twinbench.calls.response_classification import AttemptResult, classify_response
from twinbench.calls.translation import build_request_body, plain_message
from twinbench.routing.usage import UnpricedTokensError
from twinbench.text.messages import message_text

_MIN_GROWTH_TOKENS = 50
"""A prompt that has grown by this many tokens has more tokens under any tokenizer."""
_MIN_CONSTANT_ANSWERS = 5
"""The number of different answers of one model from which equal lengths of all of them cannot be chance."""
_RESERVE = Decimal("1.3")
"""How many of a provider's tokens may correspond to one of ours (dynamic.md, "Spend")."""
_MIN_ID_CHARACTERS = 16
"""The least length of a unique id: some local servers draw shorter ids from few numbers, so that they repeat in honest
runs.
"""
_MIN_TRACE_STEPS = 3
"""The least number of steps to compare: with one or two steps, two trials may be equal by chance."""


def usage(run: Evidence) -> Iterator[Remark]:
    """Classify the responses again: whether each is an answer, and its token counts."""
    for trial, call, judged in _classified_responses(run):
        assert call.settle is not None  # noqa: S101 - it is judged
        cause = call.settle.line.cause
        if cause != judged.cause:
            what = f"the journal has {cause or 'an answer'}, the response is {judged.cause or 'an answer'}"
            yield Remark(trial.name, f"{call.place}: {what}")
            continue
        told, found = (None if each is None else each.to_json() for each in (call.usage, judged.usage))
        if told != found:
            yield Remark(trial.name, f"{call.place}: the journal has {told}, the response {found}")
    for trial, call in run.calls:
        if call.answered and call.body is None:
            yield Remark(trial.name, f"{call.place}: an answer without a response")
        elif call.answered and call.usage is None:
            yield Remark(trial.name, f"{call.place}: an answer without usage")


def cost(run: Evidence) -> Iterator[Remark]:
    """Compute the costs again from the usage and the locked prices, or from the reservation."""
    for trial, call in run.calls:
        candidate = run.candidates.get(call.candidate)
        if call.settle is None or candidate is None:
            continue
        told, billed = call.settle.line, call.settle.line.cost_usd
        if told.reused:
            what = "counts as not paid, because its response was cached, which no run does"
            yield Remark(trial.name, f"{call.place}: {what}")
        if told.at_reservation:
            due, of = [call.reserve.line.reserved_usd], "the reservation"
        elif call.usage is not None:
            try:
                due, of = [call.usage.cost_usd(candidate.prices.prices())], "its usage at the locked prices"
            except UnpricedTokensError as error:
                yield Remark(trial.name, f"{call.place}: {error} in the pool")
                continue
        else:
            due, of = [Decimal(0)], "a request that was not billed"
        if billed not in due:
            yield Remark(trial.name, f"{call.place}: costs {billed:f} USD; by {of} it is {due[0]:f} USD")
        if call.usage is not None and told.at_reservation:
            yield Remark(trial.name, f"{call.place}: the usage is known, but the reservation was billed")
    for trial, call, judged in _classified_responses(run):
        assert call.settle is not None  # noqa: S101 - it is judged
        told, reported = call.settle.line, call.settle.line.reported_cost_usd
        if reported != judged.reported_cost_usd:
            what = f"{reported} USD reported by the provider, the response has {judged.reported_cost_usd}"
            yield Remark(trial.name, f"{call.place}: {what}")
        if judged.usage is None and judged.billed and not told.at_reservation:
            yield Remark(trial.name, f"{call.place}: may have been billed, but its reservation is not counted")


def model(run: Evidence) -> Iterator[Remark]:
    """Compare the model that answered with the one that was requested."""
    for trial, call in run.calls:
        candidate = run.candidates.get(call.candidate)
        if not call.answered or candidate is None or call.settle is None:
            continue
        told = call.settle.line.served_model
        says = call.response.get("model")
        if says not in candidate.served_as:
            yield Remark(trial.name, f"{call.place}: {call.candidate} was requested, the response is from {says!r}")
        elif told != says:
            yield Remark(trial.name, f"{call.place}: the journal has {told!r}, the response is from {says!r}")
        elif (host := call.settle.line.served_by) != (named := served_by(call.response)):
            yield Remark(trial.name, f"{call.place}: the journal has the host {host!r}, the response {named!r}")


def constant_usage(run: Evidence) -> Iterator[Remark]:
    """Find token counts that stay the same although the text does not."""
    said: dict[str, list[tuple[AuditedTrial, AuditedCall]]] = defaultdict(list)
    for trial in run.each_trial():
        last: dict[str, AuditedCall] = {}
        for call in trial.answers:
            before = last.get(call.candidate)
            if before is not None and _has_constant_usage(before, call):
                what = f"a prompt of {call.prompt_tokens:,} tokens, as in step {before.step}, and the conversation has "
                grown = (call.counted_tokens or 0) - (before.counted_tokens or 0)
                yield Remark(trial.name, f"{call.place}: {what}grown by {grown:,} by our count")
            last[call.candidate] = call
            said[call.candidate].append((trial, call))
    for candidate, calls in said.items():
        outputs = {call.usage.output for _, call in calls if call.usage is not None}
        lengths = {len(_answer_text(call.message)) for _, call in calls}
        if len(calls) >= _MIN_CONSTANT_ANSWERS and len(outputs) == 1 and len(lengths) >= _MIN_CONSTANT_ANSWERS:
            what = f"all {len(calls)} answers of {candidate} have {outputs.pop():,} tokens, although they differ"
            yield Remark(calls[0][0].name, what)


def cache(run: Evidence) -> Iterator[Remark]:
    """Find tokens read from a cache that no earlier call can have filled."""
    for trial in run.each_trial():
        for life in trial.calls_by_start:
            opening = next((call.counted_tokens for call in life if call.counted_tokens is not None), None)
            first = next((call.decision for call in life if call.decision is not None), None)
            held: dict[str, int] = {}
            for call in life:
                usage = call.usage
                if usage is not None:
                    most = held.get(call.candidate)
                    if most is None and not run.is_simulated:
                        counted = opening if first is None else first.line.prompt_tokens.get(call.candidate)
                        most = _with_reserve(counted if isinstance(counted, int) else opening or 0)
                    if usage.cache_read > (most or 0):
                        yield Remark(trial.name, f"{call.place}: {_excess_read(call, usage.cache_read, most)}")
                if call.settle is not None:
                    held[call.candidate] = max(held.get(call.candidate, 0), _max_cached_after(run, call))


def request(run: Evidence) -> Iterator[Remark]:
    """Build the requests again from the conversation, and compare their hashes."""
    for trial in run.each_trial():
        spoken = read_trajectory(trial)
        for call, before in [] if spoken is None else calls_with_conversation(trial, spoken):
            candidate = run.candidates.get(call.candidate)
            if candidate is None or spoken is None:
                continue
            body = build_request_body(candidate, before, spoken.tools, spoken.tool_options)
            made = Request(body, "")
            told = call.reserve.line
            place = f"journal, line {call.reserve.number}, step {call.step}"
            if told.request_sha256 != made.sha256:
                what = "is not the one that follows from pool, plan and the conversation in trajectory.json"
                yield Remark(trial.name, f"{place}: the request {what}")
                break
            if told.request_key != made.key:
                yield Remark(trial.name, f"{place}: the recorded key is not the key of this request")
                break


def reused_trace(run: Evidence) -> Iterator[Remark]:
    """Find responses, or series of events, that occur twice."""
    bodies: dict[str, tuple[AuditedTrial, AuditedCall]] = {}
    ids: dict[str, tuple[AuditedTrial, AuditedCall]] = {}
    for trial, call in run.calls:
        if not call.answered or call.body is None:
            continue
        name = _long_id(call)
        other = bodies.setdefault(hashlib.sha256(call.body).hexdigest(), (trial, call))
        same = ids.setdefault(name, (trial, call)) if name is not None else (trial, call)
        if other[1] is not call and not _may_repeat(run, (trial, call), other, named=name is not None):
            yield Remark(trial.name, f"{call.place}: the response occurs in {_trial_label(other)} too")
        elif same[1] is not call and not _may_repeat(run, (trial, call), same, named=True):
            yield Remark(trial.name, f"{call.place}: the response's id occurs in {_trial_label(same)} too")
    yield from _find_equal_courses(run)


def shared_traces(run: Evidence, other: Evidence) -> Iterator[Remark]:
    """Find responses of a real provider that occur in another run too; simulated models may repeat themselves."""
    theirs: dict[str, tuple[AuditedTrial, AuditedCall]] = {}
    for trial, call in other.calls:
        for mark in () if other.is_simulated else _identifying_marks(call):
            theirs.setdefault(mark, (trial, call))
    for trial, call in run.calls:
        same = next((theirs[mark] for mark in _identifying_marks(call) if mark in theirs), None)
        if same is not None:
            yield Remark(
                trial.name, f"{call.place}: the response occurs in {other.directory.path}, {_trial_label(same)} too"
            )


def _identifying_marks(call: AuditedCall) -> list[str]:
    """Return what distinguishes an answer from every other answer."""
    if not call.answered or call.body is None:
        return []
    name = _long_id(call)
    return [hashlib.sha256(call.body).hexdigest(), *([] if name is None else [name])]


def _long_id(call: AuditedCall) -> str | None:
    """Return the id that the provider gave an answer, if it is long enough to be unique."""
    found = call.response.get("id")
    return found if isinstance(found, str) and len(found) >= _MIN_ID_CHARACTERS else None


def _classified_responses(run: Evidence) -> Iterator[tuple[AuditedTrial, AuditedCall, AttemptResult]]:
    """Yield every received response, classified by the same code as in a run."""
    for trial in run.each_trial():
        for life in trial.calls_by_start:
            answered_by: str | None = None
            for call in life:
                candidate = run.candidates.get(call.candidate)
                if call.settle is None or candidate is None:
                    continue
                status, body = call.settle.line.status, call.body
                if status is not None and body is not None:
                    switched = not call.is_router_llm and answered_by is not None and answered_by != call.candidate
                    response, most = Response(status, body, None, 0.0), call.reserve.line.max_tokens or None
                    yield trial, call, classify_response(response, candidate, switched=switched, max_tokens=most)
                if call.answered and not call.is_router_llm:
                    answered_by = call.candidate


def _has_constant_usage(before: AuditedCall, call: AuditedCall) -> bool:
    if before.counted_tokens is None or call.counted_tokens is None or call.prompt_tokens is None:
        return False
    grown = call.counted_tokens - before.counted_tokens
    return grown >= _MIN_GROWTH_TOKENS and call.prompt_tokens == before.prompt_tokens


def _max_cached_after(run: Evidence, call: AuditedCall) -> int:
    """Return the longest prefix that the candidate's cache can contain after a call was settled."""
    usage, billed = call.usage, call.prompt_tokens
    if usage is not None and billed is not None:
        return billed if run.is_simulated else billed + usage.output
    if run.is_simulated or call.counted_tokens is None:
        return 0
    return _with_reserve(call.counted_tokens)  # cut short or no answer: the provider may still have read it


def _with_reserve(counted: int) -> int:
    return int(counted * _RESERVE) + TEMPLATE_TOKENS


def _excess_read(call: AuditedCall, read: int, most: int | None) -> str:
    if most is None:
        return f"{read:,} tokens were read from a cache of {call.candidate} to which nothing was written before"
    return f"{read:,} tokens were read from a cache of {call.candidate} that can contain at most {most:,}"


def _may_repeat(
    run: Evidence, one: tuple[AuditedTrial, AuditedCall], other: tuple[AuditedTrial, AuditedCall], *, named: bool
) -> bool:
    """Return whether two equal responses can both be genuine.

    A request of a case may be made again, in another trial or after a kill. A simulated model, or a server that gives
    its responses no id, may then answer the same.
    """
    (trial, call), (there, earlier) = one, other
    same = call.reserve.line.request_key == earlier.reserve.line.request_key and trial.case == there.case
    return same and (run.is_simulated or not named)


def _find_equal_courses(run: Evidence) -> Iterator[Remark]:
    """Find trials in which routers took equally long for every decision, or models gave the same answers in different
    cases.
    """
    latencies: dict[tuple[float, ...], AuditedTrial] = {}
    words: dict[tuple[str, ...], AuditedTrial] = {}
    for trial in run.each_trial():
        decisions = [each.line for each in trial.lines_of_kind(DecisionLine)]
        took = tuple(each.latency_ms for each in decisions if each.latency_ms is not None)
        said = tuple(_answer_text(call.message) for call in trial.answers)
        if len(took) >= _MIN_TRACE_STEPS:
            there = latencies.setdefault(took, trial)
            if there is not trial:
                yield Remark(trial.name, f"its {len(took)} decisions took exactly as long as those of {there.name}")
        if len(said) >= _MIN_TRACE_STEPS:
            there = words.setdefault(said, trial)
            if there.case != trial.case:
                what = f"its {len(said)} answers are the same as those of {there.name}, which is a different case"
                yield Remark(trial.name, what)


def _answer_text(message: AssistantMessage) -> str:
    return message_text(plain_message(message))


def _trial_label(found: tuple[AuditedTrial, AuditedCall]) -> str:
    trial, call = found
    return f"{trial.name}, {call.place},"
