"""What a journal tells of a trial: lost attempts, trials begun anew, lines that cannot have been written."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from twinbench.calls.exchange import Request, Response, TransportError
from twinbench.calls.journal import Journal, read_journal
from twinbench.calls.recording import (
    DivergedError,
    RecordedEndError,
    Recording,
    TrialLog,
    WithoutSecrets,
    recordings,
)
from twinbench.calls.redaction import Secrets
from twinbench.causes import Cause
from twinbench.errors import JournalError

USAGE = {"input": 1, "cache_read": 2, "cache_write": 3, "output": 4}


class Clock:
    """Stands."""

    def now(self) -> float:
        return 1234.5678

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


def write(log: TrialLog, *lines: tuple[str, Mapping[str, Any]]) -> None:
    for kind, fields in lines:
        log.write(kind, **fields)


def attempt(step: int, number: int, reserved: str, cost: str | None, cause: str | None = None) -> Iterable[Any]:
    """The lines of an attempt; without a cost it was in flight."""
    place = {"step": step, "attempt": number}
    yield "reserve", {**place, "candidate": "m", "reserved_usd": Decimal(reserved), "request_key": "k"}
    if cost is not None:
        usage = None if cause else USAGE
        yield "settle", {**place, "cost_usd": Decimal(cost), "cause": cause, "usage": usage, "at_reservation": False}


def read(folder: Path, case: str = "c", trial: int = 1) -> Recording:
    return recordings(read_journal(folder))[(case, trial)]


def test_cost_is_of_answers_and_spend_of_every_attempt(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        log = TrialLog(Recording("c", 1), journal, Clock())
        write(
            log,
            ("trial", {"image": "i"}),
            ("decision", {"step": 1, "candidate": "m", "error": None}),
            *attempt(1, 1, "5", "0", "quota"),
            *attempt(1, 2, "5", "5", "transport"),
            *attempt(1, 3, "5", "0.25"),
            *attempt(2, 1, "5", "0.5"),
            *attempt(3, 1, "7", None),
        )
        for recording in (log.recording, read(tmp_path)):
            assert (recording.cost_usd, recording.spend_usd) == (Decimal("0.75"), Decimal("12.75"))
            assert (recording.models, recording.usage.cache_write) == ({"m": 2}, 6)
            assert [answer.reserve["attempt"] for answer in recording.answers] == [3, 1]
        log.settle_lost()
        log.settle_lost()
    settled = read(tmp_path).steps[3].attempts[0].settle
    assert settled is not None
    assert (settled["cause"], settled["cost_usd"], settled["at_reservation"]) == ("transport", "7", True)
    assert read(tmp_path).spend_usd == Decimal("12.75")
    assert {entry.fields["at"] for entry in read_journal(tmp_path)} == {1234.568}


def test_a_trial_begun_anew_counts_what_it_lost_as_spent_alone(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        log = TrialLog(Recording("c", 1), journal)
        for cost in ("1", "2", "4"):
            write(log, ("trial", {}), *attempt(1, 1, "9", cost))
            if cost != "4":
                log.start_over(DivergedError(1, "observation", "a", "b"))
        for recording in (log.recording, read(tmp_path)):
            assert (recording.cost_usd, recording.spend_usd) == (Decimal(4), Decimal(7))
            assert len(recording.earlier) == 2


def test_killed_between_giving_up_and_beginning_anew_nothing_is_forgotten(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        log = TrialLog(Recording("c", 1), journal)
        write(log, ("trial", {}), *attempt(1, 1, "9", "1"))
        log.start_over(DivergedError(1, "observation", "a", "b"))
    recording = read(tmp_path)
    assert recording.lost is not None
    assert recording.spend_usd == 1


def test_trials_are_told_apart_and_other_lines_left_alone(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append("sitting", pid=1)
        for case, trial in (("a", 1), ("a", 2), ("b", 1)):
            write(TrialLog(Recording(case, trial), journal), *attempt(1, 1, "9", f"{trial}"))
    found = recordings(read_journal(tmp_path))
    assert set(found) == {("a", 1), ("a", 2), ("b", 1)}
    assert found["a", 2].spend_usd == 2


@pytest.mark.parametrize(
    ("kind", "fields"),
    [
        ("settle", {"step": 1, "attempt": 1, "cost_usd": "1", "cause": None}),
        ("observation", {"step": 1, "index": 0, "output": ""}),
        ("reserve", {"attempt": 1}),
        ("command", {"step": 1}),
    ],
)
def test_a_line_that_hangs_in_the_air_is_named(tmp_path: Path, kind: str, fields: dict[str, Any]) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append("trial", case="c", trial=1)
        journal.append(kind, case="c", trial=1, **fields)
    with pytest.raises(JournalError, match=f"line 2: a line of kind {kind}"):
        recordings(read_journal(tmp_path))


def test_a_replay_writes_nothing_and_ends_where_the_trial_ended() -> None:
    recording = Recording("c", 1)
    log = TrialLog(recording, None)
    log.write("decision", step=1)
    assert recording.steps == {}
    with pytest.raises(DivergedError) as diverged:
        log.refuse_beyond_end(1, "response")
    assert (diverged.value.what, diverged.value.recorded) == ("response", None)
    recording.end = {"cause": "usage", "detail": "no usage"}
    with pytest.raises(RecordedEndError, match="no usage") as ended:
        log.refuse_beyond_end(1, "response")
    assert ended.value.cause is Cause.usage
    recording.end = {"cause": None, "detail": None}
    with pytest.raises(DivergedError):
        log.refuse_beyond_end(1, "response")


def test_what_a_journal_takes_out_nobody_is_told() -> None:
    key = "sk-0123456789-abcdefgh"

    class Tells:
        def fetch(self, request: Request, within_s: float) -> Response:
            if within_s == 1:
                raise TransportError(f"refused {key}", may_be_billed=False, latency_s=2.0)
            return Response(200, f"{{{key}}}".encode(), 3.0, 4.0)

    source = WithoutSecrets(Tells(), Secrets([key]))
    assert source.fetch(Request({}, "s"), 2) == Response(200, b"{[secret]}", 3.0, 4.0)
    with pytest.raises(TransportError, match=r"^refused \[secret\]$") as caught:
        source.fetch(Request({}, "s"), 1)
    assert (caught.value.may_be_billed, caught.value.latency_s) == (False, 2.0)
