"""Responses kept from one execution to the next: paid once, the same for all who ask the same, whoever asks first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from threading import Thread

import pytest

from dynamic_track.rehearsal.replies import MessageReply, Reply, TokenCounts, rate_limit_reply
from dynamic_track.rehearsal.server import ReceivedRequest
from tests.scripted.server import ScriptedServer
from tests.timing import HANG_S
from twinbench.calls.attempts import AnsweredAttempt, Attempts, RetryLimits
from twinbench.calls.budget import Budget, CapError
from twinbench.calls.exchange import Request
from twinbench.calls.journal import Journal, read_journal
from twinbench.calls.recording import Recording, read_recordings
from twinbench.calls.response_cache import ResponseCache
from twinbench.calls.trial_log import CallLog, TrialLog
from twinbench.providers.gateway import Gateway
from twinbench.routing.clock import WallClock
from twinbench.storage.manifest_files import live_manifest

LOW, MID = live_manifest().candidates[:2]
WORST = Decimal("0.01")


class Build:
    """Trials of one journal, whose calls are answered by a server that numbers its answers."""

    def __init__(self, path: Path, api_base: str, cap: str | None) -> None:
        self.gateway = Gateway(api_base, None)
        recorded = read_recordings(read_journal(path)) if path.exists() else {}
        self.journal = Journal.open(path)
        self.kept = ResponseCache()
        for session in ("one", "two"):
            self.kept.fill(session, [each for each in recorded.values() if each.case == session])
        spent = sum((each.spend_usd for each in recorded.values()), Decimal(0))
        self.budget = Budget(None if cap is None else Decimal(cap), spent)
        self.attempts = Attempts(self.gateway, self.budget, WallClock(), RetryLimits(attempt_s=HANG_S), self.kept)

    def ask(
        self, trial: int, text: str, session: str = "one", candidate: str = LOW.id
    ) -> tuple[AnsweredAttempt, Recording]:
        """The answer to a question in a new trial, and what is recorded of that."""
        chosen = LOW if candidate == LOW.id else MID
        log = TrialLog(Recording(session, trial), self.journal)
        body = {"model": chosen.model, "messages": [{"role": "user", "content": text}], "max_tokens": 100}
        return self.attempts.fetch_answer(Request(body, session), chosen, WORST, CallLog(log, 1)), log.recording


@contextmanager
def build(path: Path, server: ScriptedServer, cap: str | None = None) -> Iterator[Build]:
    opened = Build(path, server.api_base, cap)
    with opened.gateway, opened.journal:
        yield opened


def numbered(asked: ReceivedRequest) -> Reply:
    """Answers nobody twice alike; the third request is refused for the moment."""
    if asked.number == 2:
        return rate_limit_reply(0)
    return MessageReply(f"Answer {asked.number}.", usage=TokenCounts(prompt=100, read=0, output=5 + asked.number))


def text(answered: AnsweredAttempt) -> str | None:
    return None if answered.result.message is None else str(answered.result.message.content)


def test_the_same_is_asked_once_and_costs_what_it_cost_then(tmp_path: Path) -> None:
    with ScriptedServer(numbered) as server:
        with build(tmp_path / "journal", server) as first:
            paid, paid_recording = first.ask(1, "It took 0.12s.")
            # Up to what differs from run to run it is the same.
            again, recording = first.ask(2, "It took 3.40s.")
            assert (text(paid), text(again)) == ("Answer 0.", "Answer 0.")
            assert paid.cost_usd == again.cost_usd == first.budget.spent_usd > 0
            assert (recording.cost_usd, recording.spend_usd) == (paid.cost_usd, Decimal(0))
            assert (paid_recording.spend_usd, recording.answers[0].is_reused) == (paid.cost_usd, True)
            # Another candidate, another repeat and another question are asked for themselves.
            others = [first.ask(3, "It took 1s.", candidate=MID.id)[0], first.ask(4, "It took 1s.", session="two")[0]]
            assert [text(each) for each in others] == ["Answer 1.", "Answer 3."]  # 2 was refused, and is not kept
            spent = first.budget.spent_usd
        with build(tmp_path / "journal", server, cap="0.0001") as second:
            assert second.budget.spent_usd == spent
            after, recording = second.ask(5, "It took 0.55s.")
            assert (text(after), after.cost_usd, recording.spend_usd) == ("Answer 0.", paid.cost_usd, Decimal(0))
            assert text(second.ask(6, "It took 1s.", session="two")[0]) == "Answer 3."
            with pytest.raises(CapError):
                second.ask(7, "Something new.")
        told = read_recordings(read_journal(tmp_path / "journal"))
        assert sum(each.spend_usd for each in told.values()) == spent
        assert len(server.completions) == 4


def test_who_asks_the_same_at_once_waits_for_the_one_answer(tmp_path: Path) -> None:
    with ScriptedServer(numbered) as server, build(tmp_path / "journal", server) as opened:
        found: list[str | None] = []
        asking = [Thread(target=lambda n=n: found.append(text(opened.ask(n, "Now.")[0]))) for n in range(1, 9)]
        for each in asking:
            each.start()
        for each in asking:
            each.join()
        assert found == ["Answer 0."] * 8
        assert len(server.completions) == 1
