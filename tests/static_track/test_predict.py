"""How a router lives through a bank: what it is told, what it is never told, and what its failures cost."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from static_track.banks.bank import Bank
from static_track.predict import predict
from static_track.predictions import Predictions, prediction_lines, read_predictions
from static_track.scoring import Scorer
from tests import strategies
from tests.banks import Row, a_row, a_trajectory, conversation, import_rows
from tests.examples import examples
from tests.static_track import in_memory
from twinbench.routing.router import Call, Candidate, Decision, Outcome
from twinbench.routing.tiers import Tier
from twinbench.storage.store import Store

MANIFEST = in_memory.MANIFEST
Answer = Callable[[Call], Any]


class Recorder:
    """Writes down all that it is told, and answers with a function."""

    def __init__(self, answer: Answer = lambda _: Tier.LOW) -> None:
        self._answer = answer
        self.events: list[tuple[str, Any]] = []

    def start(self, session: str) -> None:
        self.events.append(("start", session))

    def route(self, call: Call) -> Any:
        self.events.append(("route", call))
        return self._answer(call)

    def observe(self, outcome: Outcome) -> None:
        self.events.append(("observe", outcome))

    def end(self, session: str) -> None:
        self.events.append(("end", session))

    @property
    def calls(self) -> list[Call]:
        return [told for event, told in self.events if event == "route"]

    @property
    def outcomes(self) -> list[Outcome]:
        return [told for event, told in self.events if event == "observe"]


def calls_by_session(router: Recorder) -> list[list[Call]]:
    """What was asked in each session, in order of their first calls."""
    sessions: dict[str, list[Call]] = {}
    for call in router.calls:
        sessions.setdefault(call.session, []).append(call)
    return list(sessions.values())


@contextmanager
def bank_of(rows: Sequence[Mapping[str, Any]], store: Store) -> Iterator[Bank]:
    import_rows(rows, store, "asked", replace=True)
    with Bank.open("asked", store) as bank:
        yield bank


def ask(router: Any, rows: Sequence[Mapping[str, Any]], store: Store, **options: Any) -> Predictions:
    with bank_of(rows, store) as bank:
        return predict(router, bank, MANIFEST, **options)


def fail_at(*steps: int) -> Answer:
    def answer(call: Call) -> Tier:
        if call.step_index in steps:
            raise LookupError(f"no idea at {call.step_index}")
        return Tier.MID

    return answer


# --- What a router is told ------------------------------------------------------------------------------------------


def test_hooks_come_in_the_order_of_a_running_agent(store: Store) -> None:
    router = Recorder()
    ask(router, [*a_trajectory([0, 1, 0], instance="i-1"), *a_trajectory([2], instance="i-2")], store)
    first, second = router.calls[0].session, router.calls[-1].session
    told = [(event, what if isinstance(what, str) else what.session) for event, what in router.events]
    assert told == [
        ("start", first),
        *[("route", first), ("observe", first)] * 2,
        ("route", first),  # what was said after the last row is not in the bank
        ("end", first),
        ("start", second),
        ("route", second),
        ("end", second),
    ]
    assert [outcome.step_index for outcome in router.outcomes] == [1, 2]


def test_rows_are_asked_about_in_order_of_their_steps_whatever_the_files_order(store: Store) -> None:
    router = Recorder()
    ask(router, a_trajectory([0, 1, 2, 3])[::-1], store)
    assert [call.step_index for call in router.calls] == [1, 2, 3, 4]
    assert [list(call.messages) for call in router.calls] == [conversation(step) for step in (1, 2, 3, 4)]


def test_a_router_needs_no_hooks(store: Store) -> None:
    class Bare:
        def route(self, call: Call) -> str:
            return "mid_high"

    assert ask(Bare(), a_trajectory([0, 0]), store).tier_ids == [2, 2]


@pytest.mark.parametrize("tier", [Tier.LOW, Tier.HIGH])
def test_the_outcome_is_the_visible_text_under_the_chosen_tiers_own_tokenizer(tier: Tier, store: Store) -> None:
    said = [
        {"role": "assistant", "content": "First <EOT>"},
        {"role": "tool", "content": "of no assistant"},
        {"role": "assistant", "content": None, "tool_calls": [{"function": {"name": "bash", "arguments": {"n": 1}}}]},
    ]
    rows = [a_row(target, step=step) for step, target in ((1, 3 - tier), (2, 0))]
    rows[1]["messages"] = [*rows[0]["messages"], *said]
    router = Recorder(lambda _: tier)
    ask(router, rows, store)
    (outcome,) = router.outcomes
    first, second = router.calls
    assert outcome.candidate == first.candidates[tier]
    assert outcome.text == 'First <EOT>\nbash\n{"n": 1}'
    tokenizer = in_memory.tokenizers().tokenizers[in_memory.tokenizers().tokenizer_name(tier)]
    # The bill counts this row's output with the target's tokenizer, whoever was chosen; what a router sees must not.
    assert outcome.usage.output == sum(tokenizer.count(["First <EOT>", 'bash\n{"n": 1}'])) + 2 * 4
    assert outcome.usage.cache_write == first.prompt_tokens(outcome.candidate)
    assert outcome.cost_usd == float(outcome.usage.cost_usd(outcome.candidate.prices))
    assert (second.spent_usd, second.mean_output_tokens) == (outcome.cost_usd, outcome.usage.output)


def test_the_two_tokenizers_differ_on_what_the_assistant_says_above() -> None:
    counts = in_memory.tokenizers().count(["First <EOT>"])
    assert counts["anthropic"] != counts["cl100k_base"]


def test_spend_and_mean_output_are_of_the_sessions_own_answered_calls(store: Store) -> None:
    router = Recorder(fail_at(2))
    ask(router, [*a_trajectory([0] * 4, instance="i-1"), *a_trajectory([0], instance="i-2")], store)
    (one, _, three, four), (other,) = sorted(calls_by_session(router), key=len, reverse=True)
    first, third = router.outcomes
    assert (one.spent_usd, one.mean_output_tokens) == (0, 500)
    assert (three.spent_usd, three.mean_output_tokens) == (first.cost_usd, first.usage.output)
    assert four.spent_usd == pytest.approx(first.cost_usd + third.cost_usd)
    assert four.mean_output_tokens == (first.usage.output + third.usage.output) / 2
    assert (other.spent_usd, other.mean_output_tokens) == (0, 500)


def test_functions_come_as_openai_tools_and_stay_as_they_are_in_an_export(store: Store) -> None:
    schema = {"type": "dict", "properties": {"n": {"type": "float"}, "to": {"type": "tuple", "items": {"type": "any"}}}}
    bare = {"name": "move", "description": "Move.", "parameters": schema}
    wrapped = {"type": "function", "function": {"name": "stop", "parameters": {"type": "object"}}}
    router = Recorder()
    with bank_of([a_row(functions=[bare, wrapped])], store) as bank:
        predict(router, bank, MANIFEST)
        assert next(iter(bank.rows()))["functions"] == [bare, wrapped]
    normalised = {
        "type": "object",
        "properties": {"n": {"type": "number"}, "to": {"type": "array", "items": {}}},
    }
    assert list(router.calls[0].tools) == [
        {"type": "function", "function": {"name": "move", "description": "Move.", "parameters": normalised}},
        wrapped,
    ]


# --- What a router is never told ------------------------------------------------------------------------------------


def test_session_keys_are_opaque_stable_and_different(store: Store) -> None:
    rows = [
        *a_trajectory([0, 1], workload="swebench", instance="i-1"),
        *a_trajectory([0], workload="bfcl", instance="i-1"),
        *a_trajectory([0], workload="swebench", instance="i-2"),
    ]

    def keys(**options: Any) -> list[str]:
        router = Recorder()
        ask(router, rows, store, **options)
        return [call.session for call in router.calls]

    asked = keys()
    assert sorted(Counter(asked).values()) == [1, 1, 2]
    assert keys() == asked
    assert sorted(keys(order_seed=1)) == sorted(asked)
    assert not set(keys(salt="another")) & set(asked)
    assert not any(known in key for key in asked for known in ("i-1", "i-2", "bfcl", "swebench"))


def reachable(value: object, seen: set[int] | None = None) -> Iterator[object]:
    """All that plain Python can get at from a value: fields, slots, items, keys."""
    seen = set() if seen is None else seen
    if id(value) in seen or isinstance(value, type):
        return
    seen.add(id(value))
    yield value
    inner: list[object] = []
    if isinstance(value, Mapping):
        inner += [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        inner += value
    inner += vars(value).values() if hasattr(value, "__dict__") else ()
    slots = [name for kind in type(value).__mro__ for name in getattr(kind, "__slots__", ())]
    inner += [getattr(value, name) for name in slots if hasattr(value, name)]
    for each in inner:
        yield from reachable(each, seen)


def test_nothing_but_the_prefix_can_be_reached_from_a_call(store: Store) -> None:
    secret = "never-told-7919"  # noqa: S105
    rows = [
        a_row(
            target,
            workload=f"workload-{secret}",
            instance=f"instance-{secret}",
            step=step,
            id=f"{secret}-{step}",
            total_steps=7919,
            notes=secret,
            target_model=secret,
        )
        for step, target in enumerate([0, 3, 1], 1)
    ]
    router = Recorder()
    ask(router, rows, store)
    for call, outcome in zip(router.calls, [*router.outcomes, None], strict=True):
        found = list(reachable((call, outcome)))
        texts = [each for each in found if isinstance(each, str)]
        assert any("Fix it." in text for text in texts)  # the walk does reach what is there
        assert not any(secret in text for text in texts)
        assert 7919 not in [each for each in found if isinstance(each, int)]
        later = conversation(call.step_index + 1)[-1]["content"]
        assert later not in texts


Told = list[tuple[str, Any]]


def plain(told: Told) -> list[Told]:
    """What was told in each session, without its key, which is made from instance ids, by what it was told first."""
    sessions: dict[str, Told] = {}
    for event, what in told:
        key = what if isinstance(what, str) else what.session
        sessions.setdefault(key, []).append((event, None if what == key else replace(what, session="")))
    return sorted(sessions.values(), key=repr)


@examples(5, 15)
@given(data=st.data())
def test_other_labels_ids_metadata_and_later_rows_change_nothing_that_a_router_is_told(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(tmp_path_factory.mktemp("blind") / "store")
    rows = data.draw(strategies.banks(max_trajectories=2, max_rows=8))
    choices = data.draw(st.lists(st.sampled_from([*Tier, "nonsense"]), min_size=9, max_size=9))

    def told(bank: Sequence[Row]) -> list[Told]:
        router = Recorder(lambda call: choices[(call.step_index + len(call.messages)) % len(choices)])
        ask(router, bank, store)
        return plain(router.events)

    original = told(rows)
    labels = data.draw(st.lists(st.integers(0, 3), min_size=len(rows), max_size=len(rows)))
    disguised = [
        {
            **{key: row[key] for key in ("benchmark", "instance_id", "step_index", "messages")},
            **({"functions": row["functions"]} if "functions" in row else {}),
            "id": f"other {number}",
            "total_steps": 99,
            "target_tier": Tier(label).label,
            "target_tier_id": label,
            "hint": label,
        }
        for number, (row, label) in enumerate(zip(rows, labels, strict=True))
    ]
    assert told(disguised) == original

    # Without the last row of a trajectory, everything before it was told alike.
    last = max(rows, key=lambda row: (row["benchmark"], row["instance_id"], row["step_index"]))
    for cut in told([row for row in rows if row is not last]) if len(rows) > 1 else ():
        asked = [event for event in cut if event[0] in ("start", "route")]
        whole = [[event for event in each if event[0] in ("start", "route")] for each in original]
        assert asked in [each[: len(asked)] for each in whole]


# --- Failures -------------------------------------------------------------------------------------------------------


def decide(answer: Any) -> Answer:
    return lambda _: answer


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (fail_at(2), "route raised LookupError: no idea at 2"),
        (decide("opus"), "'opus' is neither a candidate (low, mid, mid_high, high) nor a tier"),
        (decide(None), "route returned None, of type NoneType; it must return a Decision, a Candidate, a Tier or"),
        (decide(2), "route returned 2, of type int"),
        (decide(Decision(Tier.LOW, score=1.5)), "score must be a number from 0 to 1 or None, not 1.5"),
    ],
)
def test_a_failing_decision_is_an_error_of_its_row_and_says_why(answer: Answer, said: str, store: Store) -> None:
    router = Recorder(lambda call: answer(call) if call.step_index == 2 else Tier.MID)
    predicted = ask(router, a_trajectory([0, 1, 0]), store)
    assert predicted.tier_ids == [1, None, 1]
    assert list(predicted.errors) == [1]
    assert predicted.errors[1].startswith(said)
    assert not predicted.stopped
    assert len(predicted.latencies_ms or ()) == 3


def test_after_an_error_the_next_call_is_cold_and_shows_so(store: Store) -> None:
    router = Recorder(fail_at(2))
    ask(router, a_trajectory([0] * 4), store)
    read = [call.cache["mid"].read_tokens for call in router.calls]
    assert read[0] == 0
    assert read[1] == router.calls[0].prompt_tokens(router.calls[0].candidates[1])
    assert read[2] == 0
    assert read[3] == router.calls[2].prompt_tokens(router.calls[2].candidates[1])
    assert all(call.cache["mid"].exact for call in router.calls)


def test_the_cache_that_a_router_sees_expires_with_the_steps_as_the_bill_says(store: Store) -> None:
    ttl = MANIFEST.cache_ttl_steps
    steps = [1, 2, 2 + ttl, 2 + ttl + ttl + 1]  # the last one comes one step too late
    router = Recorder()
    with bank_of([a_row(step=step, total_steps=steps[-1]) for step in steps], store) as bank:
        predicted = predict(router, bank, MANIFEST)
        with Scorer(bank.path, MANIFEST) as scorer:
            scorer.load([predicted])
            read = scorer.connection.execute("SELECT hit_pred FROM bill ORDER BY row_no").fetchall()
    shown = [call.cache["low"].read_tokens > 0 for call in router.calls]
    assert shown == [False, True, True, False] == [hit for (hit,) in read]


def test_ten_failures_in_a_row_are_enough(store: Store) -> None:
    router = Recorder(fail_at(*range(3, 30)))
    rows = [*a_trajectory([0] * 14, instance="i-1"), *a_trajectory([0, 0], instance="i-2")]
    predicted = ask(router, rows, store)
    assert predicted.stopped
    assert predicted.tier_ids == [1, 1, *[None] * 14]
    assert len(router.calls) == 12
    assert predicted.errors[11] == "route raised LookupError: no idea at 12"
    assert predicted.errors[12] == predicted.errors[15]
    assert predicted.errors[12] == "not asked: the router was stopped after 10 failures in a row"
    assert len(predicted.latencies_ms or ()) == 12
    assert router.events[-1][0] == "route"  # nor is it told of another session


def test_nine_failures_and_a_decision_are_no_reason_to_give_up(store: Store) -> None:
    router = Recorder(fail_at(*range(1, 10), *range(11, 20)))
    predicted = ask(router, a_trajectory([0] * 20), store)
    assert not predicted.stopped
    assert [row for row, tier in enumerate(predicted.tier_ids) if tier is not None] == [9, 19]


@pytest.mark.parametrize("hook", ["start", "observe"])
def test_a_failing_hook_is_told_with_the_next_decision_and_its_row_was_answered_by_nobody(
    hook: str, store: Store
) -> None:
    class Failing(Recorder):
        def start(self, session: str) -> None:
            super().start(session)
            if hook == "start":
                raise OSError("no file")

        def observe(self, outcome: Outcome) -> None:
            super().observe(outcome)
            if hook == "observe" and outcome.step_index == 1:
                raise OSError("no file")

    router = Failing()
    failed = 0 if hook == "start" else 1
    with bank_of(a_trajectory([0, 0, 0]), store) as bank:
        predicted = predict(router, bank, MANIFEST)
        with Scorer(bank.path, MANIFEST) as scorer:
            scorer.load([predicted])
            read = scorer.connection.execute("SELECT hit_pred FROM bill ORDER BY row_no").fetchall()
    assert predicted.errors == {failed: f"{hook} raised OSError: no file"}
    # What the next call shows of the cache is what is billed: an error row leaves nothing warm.
    shown = [call.cache["low"].read_tokens > 0 for call in router.calls]
    assert [warm for row, warm in enumerate(shown) if row != failed] == [
        bool(hit) for row, (hit,) in enumerate(read) if row != failed
    ]


# --- Prediction files -----------------------------------------------------------------------------------------------


def test_written_predictions_read_back_as_the_same_answers(store: Store, tmp_path: Path) -> None:
    with bank_of(a_trajectory([0, 1, 0, 2]), store) as bank:
        predicted = predict(Recorder(fail_at(3)), bank, MANIFEST)
        lines = list(prediction_lines(predicted, bank.row_ids))
        path = tmp_path / "predictions.jsonl"
        path.write_text("\n".join(lines), "utf-8")
        again = read_predictions(str(path), bank.row_ids, range(4))
    assert [json.loads(line).get("tier_id") for line in lines] == [1, 1, None, 1]
    assert again.fingerprint == predicted.fingerprint
    assert again.errors == predicted.errors


def test_scores_and_rationales_are_kept_with_the_answers(store: Store) -> None:
    def answer(call: Call) -> Decision | Candidate:
        if call.step_index == 1:
            return Decision("mid", score=1, rationale="deep")
        return call.candidates[3]

    predicted = ask(Recorder(answer), a_trajectory([0, 1]), store)
    assert predicted.tier_ids == [1, 3]
    assert predicted.scores == [1.0, None]
    assert predicted.rationales == ["deep", None]


def test_a_decision_that_is_far_slower_than_the_others_is_warned_of() -> None:
    def warnings(*latencies_ms: float) -> list[str]:
        rows = range(len(latencies_ms))
        return Predictions(rows, [0 for _ in rows], latencies_ms=latencies_ms).warnings

    [told] = warnings(20_000, 4, 5, 6)
    assert told.startswith("took 20.0 s for its slowest decision, 6 ms for the median; what takes long to load")
    assert warnings(20_000, 19_000, 18_000) == []
    assert warnings(4_900, 1, 1) == []
    assert warnings() == []
