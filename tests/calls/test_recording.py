"""What a journal tells of a trial: lost attempts, trials begun anew, lines that cannot have been written."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from twinbench.calls.exchange import Request, Response, TransportError
from twinbench.calls.journal import Journal, read_journal
from twinbench.calls.judging import Judged
from twinbench.calls.lines import (
    KINDS,
    CommandLine,
    Decision,
    End,
    Observation,
    OfTrial,
    Reserve,
    Sitting,
    TrialBegins,
    read_line,
)
from twinbench.calls.packing import packed
from twinbench.calls.recording import DivergedError, RecordedEndError, Recording, add_line, recordings
from twinbench.calls.redaction import Secrets
from twinbench.calls.trial_log import IN_FLIGHT, CallLog, TrialLog, WithoutSecrets
from twinbench.causes import Cause
from twinbench.errors import JournalError
from twinbench.routing.usage import Usage

USAGE = Usage(input=1, cache_read=2, cache_write=3, output=4)


class Clock:
    """Stands."""

    def now(self) -> float:
        return 1234.5678

    def sleep(self, seconds: float) -> None:
        raise AssertionError(seconds)


def begin(log: TrialLog) -> None:
    log.write(TrialBegins(**log.stamp(), pool="p"))


def attempt(log: TrialLog, step: int, number: int, reserved: str, cost: str | None, cause: Cause | None = None) -> None:
    """Write an attempt; without a cost it was in flight."""
    call = CallLog(log, step)
    call.reserve(number, "m", Request({}, "session"), Decimal(reserved))
    if cost is not None:
        usage = USAGE if cause is None else None
        judged = Judged(cause, None, retry=False, billed=True, usage=usage)
        call.settle(number, None, judged, Decimal(cost), at_reservation=False)


def read(folder: Path, case: str = "c", trial: int = 1) -> Recording:
    return recordings(read_journal(folder))[(case, trial)]


def test_cost_is_of_answers_and_spend_of_every_attempt(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        log = TrialLog(Recording("c", 1), journal, Clock())
        begin(log)
        attempt(log, 1, 1, "5", "0", Cause.quota)
        attempt(log, 1, 2, "5", "5", Cause.transport)
        attempt(log, 1, 3, "5", "0.25")
        attempt(log, 2, 1, "5", "0.5")
        attempt(log, 3, 1, "7", None)
        for recording in (log.recording, read(tmp_path)):
            assert (recording.cost_usd, recording.spend_usd) == (Decimal("0.75"), Decimal("12.75"))
            assert (recording.models, recording.usage.cache_write) == ({"m": 2}, 6)
            assert [answer.reserve.attempt for answer in recording.answers] == [3, 1]
        log.settle_lost()
        log.settle_lost()
    settled = read(tmp_path).steps[3].attempts[0].settle
    assert settled is not None
    assert (settled.cause, settled.cost_usd, settled.at_reservation) == (Cause.transport, Decimal(7), True)
    assert read(tmp_path).spend_usd == Decimal("12.75")
    assert {entry.fields["at"] for entry in read_journal(tmp_path)} == {1234.568}


def test_a_trial_begun_anew_counts_what_it_lost_as_spent_alone(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        held = Recording("c", 1)  # as a run holds it, which goes on with it on another node
        log = TrialLog(held, journal)
        for cost in ("1", "2", "4"):
            begin(log)
            attempt(log, 1, 1, "9", cost)
            if cost != "4":
                log.start_over(DivergedError(1, "observation", "a", "b"))
        for recording in (held, log.recording, read(tmp_path)):
            assert (recording.cost_usd, recording.spend_usd) == (Decimal(4), Decimal(7))
            assert len(recording.earlier) == 2


def test_killed_between_giving_up_and_beginning_anew_nothing_is_forgotten(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        log = TrialLog(Recording("c", 1), journal)
        begin(log)
        attempt(log, 1, 1, "9", "1")
        log.start_over(DivergedError(1, "observation", "a", "b"))
    recording = read(tmp_path)
    assert recording.lost is not None
    assert recording.spend_usd == 1


def test_trials_are_told_apart_and_other_lines_left_alone(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        journal.append("sitting", pid=1)
        for case, trial in (("a", 1), ("a", 2), ("b", 1)):
            attempt(TrialLog(Recording(case, trial), journal), 1, 1, "9", f"{trial}")
    found = recordings(read_journal(tmp_path))
    assert set(found) == {("a", 1), ("a", 2), ("b", 1)}
    assert found["a", 2].spend_usd == 2


@pytest.mark.parametrize("kind", [kind for kind in KINDS.values() if issubclass(kind, OfTrial)])
def test_every_line_about_a_trial_has_a_place_in_its_recording(kind: Any) -> None:
    first: dict[str, Any] = {"case": "c", "trial": 1, "step": 1, "attempt": 1, "own": 0, "index": 0, "command": "ls"}
    recording = Recording("c", 1)
    for before in (Reserve, CommandLine):
        add_line(recording, before.model_construct(None, **first))
    without = repr(recording)
    add_line(recording, kind.model_construct(None, **first, messages=[]))
    assert repr(recording) != without


HALF = "half of a pair: \ud83d"
HERE = {"case": "c", "trial": 1, "at": 2.0, "step": 1}


@pytest.mark.parametrize("own", [0, 1])
def test_a_settled_attempt_that_was_not_reserved_is_named(tmp_path: Path, own: int) -> None:
    with Journal.open(tmp_path) as journal:
        log = TrialLog(Recording("c", 1), journal)
        begin(log)
        with pytest.raises(IndexError):
            CallLog(log, 1, own).settle(1, None, IN_FLIGHT, Decimal(1), at_reservation=True)
    with pytest.raises(JournalError, match="line 2: a line of kind settle without the line that must come before it"):
        recordings(read_journal(tmp_path))


def test_an_observation_without_its_command_is_named(tmp_path: Path) -> None:
    with Journal.open(tmp_path) as journal:
        begin(TrialLog(Recording("c", 1), journal))
        journal.write(Observation(**HERE, index=0, output=b"", returncode=0, exception_info=""))
    with pytest.raises(
        JournalError, match="line 2: a line of kind observation without the line that must come before it"
    ):
        recordings(read_journal(tmp_path))


@pytest.mark.parametrize(
    ("kind", "fields", "told"),
    [
        ("reserve", {**HERE, "attempt": 1}, "a line of kind reserve without candidate"),
        ("command", {**HERE, "index": 0, "command": 7}, "a line of kind command whose command cannot be 7"),
        ("lost", {**HERE, "step": "1"}, "a line of kind lost whose step cannot be '1'"),
        ("verse", HERE, "a line of kind verse, which does not belong to a trial"),
    ],
)
def test_a_line_that_is_not_as_its_kind_is_is_named(
    tmp_path: Path, kind: str, fields: dict[str, Any], told: str
) -> None:
    with Journal.open(tmp_path) as journal:
        begin(TrialLog(Recording("c", 1), journal))
        journal.append(kind, **fields)
    with pytest.raises(JournalError, match=f"journal.jsonl, line 2: {told}$"):
        recordings(read_journal(tmp_path))


def test_a_line_writes_what_was_set_and_is_read_as_it_was_written(tmp_path: Path) -> None:
    written = [
        Sitting(cases=["c"], trials=1, run_usd=Decimal("1E-9"), at=1.5),
        Decision(**HERE, candidate=None, error=HALF, latency_ms=0.25, prompt_tokens={"m": 3}, further=[1]),
        Reserve(**HERE, attempt=1, candidate="m", request_sha256="a" * 64, request_key="b" * 64, reserved_usd="0.10"),
        End(**HERE, exit_status="Submitted", patch=b"\xff", patch_sha256="c" * 64, cause=Cause.quota, detail=None),
    ]
    with Journal.open(tmp_path) as journal:
        for line in written:
            journal.write(line)
    entries = read_journal(tmp_path)
    assert [entry.fields for entry in entries] == [
        {"cases": ["c"], "trials": 1, "run_usd": "0.000000001", "at": 1.5},
        {**HERE, "candidate": None, "error": HALF, "latency_ms": 0.25, "prompt_tokens": {"m": 3}, "further": [1]},
        {
            **HERE,
            "attempt": 1,
            "candidate": "m",
            "request_sha256": "a" * 64,
            "request_key": "b" * 64,
            "reserved_usd": "0.10",
        },
        {
            **HERE,
            "exit_status": "Submitted",
            "patch": packed(b"\xff"),
            "patch_sha256": "c" * 64,
            "cause": "quota",
            "detail": None,
        },
    ]
    read_again = [read_line(entry.kind, entry.fields) for entry in entries]
    assert read_again[:3] == written[:3]
    assert isinstance(end := read_again[3], End)
    assert (end.cause, end.diff) == (Cause.quota, "\udcff")


def test_a_replay_writes_nothing_and_ends_where_the_trial_ended() -> None:
    recording = Recording("c", 1)
    log = TrialLog(recording, None)
    begin(log)
    assert recording.start is None
    with pytest.raises(DivergedError) as diverged:
        log.refuse_beyond_end(1, "response")
    assert (diverged.value.what, diverged.value.recorded) == ("response", None)
    ended = {**log.stamp(), "exit_status": "", "patch": b"", "patch_sha256": "0" * 64}
    recording.end = End(**ended, cause=Cause.usage, detail="no usage")
    with pytest.raises(RecordedEndError, match="no usage") as caught:
        log.refuse_beyond_end(1, "response")
    assert caught.value.cause is Cause.usage
    recording.end = End(**ended, cause=None, detail=None)
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
