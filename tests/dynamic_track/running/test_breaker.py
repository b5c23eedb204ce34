"""When a run stops itself because it loses case after case."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from dynamic_track.running.breaker import Breaker
from dynamic_track.running.stopping import Stop
from dynamic_track.running.trial import TrialOutcome, summarise_trial
from twinbench.calls.lines import End
from twinbench.calls.recording import Recording
from twinbench.calls.trial_log import TrialLog
from twinbench.causes import CAUSES, Cause, OutcomeClass
from twinbench.fingerprint import sha256_text
from twinbench.storage.manifest_files import live_manifest

INFRA = [cause for cause, handling in CAUSES.items() if handling.outcome_class is OutcomeClass.infra]


def ended(number: int, cause: Cause | None) -> TrialOutcome:
    """A trial that ended with a cause, or by its agent."""
    log = TrialLog(Recording(f"case-{number}", 1), None)
    detail = None if cause is None else f"why {number}"
    patch = {"patch": b"", "patch_sha256": sha256_text("")}
    log.recording.end = End(**log.stamp(), exit_status="Submitted", **patch, cause=cause, detail=detail)
    return summarise_trial(live_manifest(), log.recording)


def stopped_after(causes: Sequence[Cause | None]) -> tuple[int | None, str | None]:
    """After how many trials a run stops, and why; None where it does not."""
    stop = Stop()
    breaker = Breaker(stop)
    for number, cause in enumerate(causes, 1):
        breaker.add(ended(number, cause))
        if stop.requested:
            return number, breaker.reason
    assert breaker.reason is None
    return None, None


@pytest.mark.parametrize("cause", INFRA)
def test_three_in_a_row_of_any_infrastructure_cause_stop_the_run_and_say_what_to_do(cause: Cause) -> None:
    number, reason = stopped_after([cause] * 5)
    assert number == 3
    assert reason is not None
    assert f"ended with cause {cause} before any succeeded: why 3; {CAUSES[cause].remedy}, then run" in reason
    assert CAUSES[cause].remedy != ""


@pytest.mark.parametrize("first", [None, Cause.empty, Cause.router, Cause.cap])
def test_a_case_that_ends_otherwise_shows_that_infrastructure_works(first: Cause | None) -> None:
    assert stopped_after([first, *[Cause.usage] * 9]) == (None, None)
    assert stopped_after([Cause.usage, Cause.usage, first, *[Cause.usage] * 9]) == (None, None)


def test_only_the_same_cause_in_a_row_counts() -> None:
    assert stopped_after([Cause.usage, Cause.usage, Cause.model] * 3) == (None, None)
    assert stopped_after([Cause.usage, Cause.model, Cause.usage, Cause.usage, Cause.usage])[0] == 5
