"""The search for labels: what it locks, what it asks for, and what never becomes a label."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from static_track.construction.ladder import Ladder
from static_track.construction.search import Outcome, Purpose, Reason, SearchRules, assignment_of, search
from static_track.construction.step_rules import parse_step_rule
from tests.examples import examples
from tests.static_track.construction.worlds import ALL_TIERS, TASK, World, of_length, random_world, tier_number
from twinbench.causes import Cause
from twinbench.construction.execution import Assignment, Execution
from twinbench.construction.proposing import NOT_DOWNGRADEABLE
from twinbench.errors import UsageError
from twinbench.routing.tiers import TIER_LABELS

RULES = ("equal", "within:1", "any")
HINTS = (*TIER_LABELS, NOT_DOWNGRADEABLE)


def searched(
    world: World, rule: str = "equal", *, hints: Sequence[str] = (), repeats: int = 0, cascade: int = 3
) -> Outcome:
    ladder = Ladder.of(world.tiers, cascade)
    return search(TASK, ladder, SearchRules(parse_step_rule(rule), repeats), world.run(), lambda _seed: hints)


def labels(outcome: Outcome) -> list[str]:
    locked = outcome.locked
    assert locked is not None
    return [locked.assignment.candidate(number) for number in range(1, len(locked.steps) + 1)]


def test_each_step_gets_the_lowest_tier_that_passes_with_those_before_it_in_place() -> None:
    needed = ("mid", "low", "high", "mid_high")
    world = World(
        lambda _task, path, _repeat: all(tier_number(a) >= tier_number(b) for a, b in zip(path, needed, strict=True)),
        of_length(4),
    )
    outcome = searched(world)
    assert labels(outcome) == list(needed)
    assert len(world.asked) == 1 + 2 + 1 + 3 + 3
    assert len({*world.asked}) == len(world.asked)


def test_downgrades_that_pass_alone_and_fail_together_are_not_both_locked() -> None:
    world = World(lambda _task, path, _repeat: sum(each != "high" for each in path) <= 1, of_length(3))
    for step in range(3):
        alone = assignment_of(["high"] * step + ["low"], "high")
        assert world.execute(TASK.id, alone, 0).passed
    for rule in RULES:
        assert labels(searched(world, rule)) == ["low", "high", "high"]


@examples(40, 300)
@given(st.integers(0, 10_000), st.integers(1, 4), st.sampled_from(RULES), st.lists(st.sampled_from(HINTS), max_size=6))
def test_labels_are_of_an_execution_that_passed_whatever_a_proposer_hints(
    seed: int, steps: int, rule: str, hints: list[str]
) -> None:
    world = random_world(seed, steps, varies=True)
    outcome = searched(world, rule, hints=hints)
    locked = outcome.locked
    assert locked is not None
    assert outcome.seed is not None
    assert locked.passed
    assert parse_step_rule(rule).admits(len(outcome.seed.steps), len(locked.steps))
    assert [step.candidate for step in locked.steps] == labels(outcome)
    chosen: list[str] = []
    for finding in outcome.findings:
        if finding.purpose is not Purpose.downgrade:
            continue
        assert finding.step is not None
        # No tier that passed in place is below the label: the search ends a step with the first that it accepts.
        chosen = chosen[: finding.step - 1] + ["high"] * (finding.step - 1 - len(chosen))
        tried = finding.execution.assignment.candidate(finding.step)
        assert finding.execution.assignment == assignment_of([*chosen, tried], "high")
        if finding.accepted:
            chosen.append(tried)
    assert assignment_of(chosen, "high") == locked.assignment
    most = Ladder.of(world.tiers).most_executions(max(len(each.execution.steps) for each in outcome.findings))
    assert len(world.asked) <= most


@examples(20, 100)
@given(st.integers(0, 10_000), st.integers(1, 4), st.lists(st.sampled_from(HINTS), max_size=5))
def test_a_hint_never_lowers_a_step_below_what_was_executed_there(seed: int, steps: int, hints: list[str]) -> None:
    world = random_world(seed, steps)
    hinted = searched(world, hints=hints)
    tried = {finding.execution.assignment for finding in hinted.findings if finding.accepted}
    assert hinted.locked is not None
    assert hinted.locked.assignment in tried
    for label, hint in zip(labels(hinted), hints, strict=False):
        assert hint != NOT_DOWNGRADEABLE or label == "high"
        assert hint == NOT_DOWNGRADEABLE or tier_number(label) >= tier_number(hint)


def test_a_step_rule_decides_which_passes_count() -> None:
    # A weak first answer takes a step more, any other weak answer two.
    def ends(path: tuple[str, ...]) -> bool:
        more = 1 * (path[:1] == ("low",)) + 2 * ("low" in path[1:2])
        return len(path) >= 2 + more

    world = World(lambda _task, _path, _repeat: True, ends, {"low": ("low",), "high": ("high",)})
    assert labels(searched(world, "equal")) == ["high", "high"]
    assert labels(searched(world, "within:1")) == ["low", "high", "low"]
    assert labels(searched(world, "any")) == ["low"] * 5
    refused = [finding.refusal for finding in searched(world, "equal").findings]
    assert refused == [None, "steps", "steps"]


def test_a_shorter_execution_that_is_accepted_has_labels_for_its_own_steps_only() -> None:
    world = World(
        lambda _task, _path, _repeat: True,
        lambda path: len(path) >= (1 if path[:1] == ("low",) else 3),
        {"low": ("low",), "high": ("high",)},
    )
    assert labels(searched(world, "any")) == ["low"]
    assert labels(searched(world, "equal")) == ["high", "low", "low"]


def test_candidates_of_a_tier_are_tried_in_turn_up_to_the_cascade() -> None:
    tiers = {"low": ("low-1", "low-2", "low-3"), "high": ("high-1", "high-2")}
    world = World(lambda _task, path, _repeat: path[0] in ("high-2", "low-3"), of_length(1), tiers)
    assert labels(searched(world)) == ["low-3"]
    assert [execution.rest for _, execution, _ in world.asked[:2]] == ["high-1", "high-2"]
    assert len(world.asked) == 2 + 3
    assert labels(searched(world, cascade=2)) == ["high-2"]


def test_a_tier_without_candidates_is_skipped() -> None:
    world = World(
        lambda _task, _path, _repeat: True, of_length(2), {"low": (), "mid": ("mid",), "mid_high": ("mid_high",)}
    )
    ladder = Ladder.of(world.tiers)
    assert [tier.label for tier in ladder.missing] == ["low", "high"]
    assert labels(searched(world, hints=["low", "mid_high"])) == ["mid", "mid_high"]


@pytest.mark.parametrize(
    ("tiers", "said"),
    [
        ({"high": ("high",)}, "at least two tiers"),
        ({}, "in: none"),
        ({"lowest": ("a",), "high": ("b",)}, "a tier 'lowest'"),
        ({"low": ("a",), "high": ("a",)}, "'a' twice"),
    ],
)
def test_tiers_that_allow_no_search_are_refused(tiers: dict[str, tuple[str, ...]], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        Ladder.of(tiers)


@pytest.mark.parametrize(
    ("flaky", "reason"),
    [("seed", Reason.seed_flaky), ("labels", Reason.labels_flaky), ("nothing", None)],
)
def test_a_task_that_passes_only_sometimes_is_left_out(flaky: str, reason: Reason | None) -> None:
    def passes(task: str, path: tuple[str, ...], repeat: int) -> bool:
        is_seed = set(path) == {"high"}
        return not (repeat == 2 and flaky == ("seed" if is_seed else "labels"))

    world = World(passes, of_length(2))
    outcome = searched(world, repeats=3)
    assert outcome.reason == reason
    assert (outcome.locked is None) == (reason is not None)
    repeats = [(assignment, repeat) for _, assignment, repeat in world.asked if repeat]
    of_seed = [(Assignment((), "high"), repeat) for repeat in (1, 2, 3)]
    of_labels = [(Assignment(("low", "low"), "high"), repeat) for repeat in (1, 2, 3)]
    assert repeats == {"seed": of_seed[:2], "labels": of_seed + of_labels[:2], "nothing": of_seed + of_labels}[flaky]


def test_what_never_passes_or_makes_no_call_has_no_labels() -> None:
    assert searched(World(lambda _task, _path, _repeat: False, of_length(2))).reason is Reason.seed_failed
    assert searched(World(lambda _task, _path, _repeat: True, of_length(0))).reason is Reason.seed_made_no_call


def test_an_execution_that_came_to_no_verdict_ends_the_search_and_is_no_failed_downgrade() -> None:
    class LostError(Exception):
        pass

    world = World(
        lambda _task, _path, _repeat: True,
        of_length(2),
        lost=lambda _task, assignment, _repeat: Cause.engine if assignment.first == ("low",) else None,
    )

    def execute(assignment: Assignment, repeat: int) -> Execution:
        execution = world.execute(TASK.id, assignment, repeat)
        if execution.passed is None:
            raise LostError
        return execution

    rules = SearchRules(parse_step_rule("equal"))
    with pytest.raises(LostError):
        search(TASK, Ladder.of(ALL_TIERS), rules, execute, lambda _seed: ())
    assert len(world.asked) == 2


@pytest.mark.parametrize("name", ["", "within", "within:", "within:-1", "within:1.5", "Equal", "equal "])
def test_a_step_rule_that_does_not_exist_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match="equal, within:K"):
        parse_step_rule(name)


def test_equal_assignments_are_written_alike() -> None:
    assert assignment_of(["low", "high", "high"], "high") == assignment_of(["low"], "high")
    assert assignment_of(["high"], "high") == Assignment((), "high")
