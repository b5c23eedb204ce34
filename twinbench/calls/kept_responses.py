"""Responses kept from one execution to the next: the same request gets the same response, and is paid once.

The same is a request that is equal up to what differs from run to run (``Request.key``), to the same candidate, in the
same session: a repetition that is to have responses of its own has a session of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from twinbench.calls.exchange import Request, Response
from twinbench.calls.recording import RecordedAttempt, Recording


@dataclass
class KeptPlace:
    """Where the response to one request is kept, or will be."""

    recorded: RecordedAttempt | None = None
    """The attempt of a journal that was answered with it."""
    fetched: Response | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def response(self) -> Response | None:
        """The response; None as long as nobody was answered."""
        if self.fetched is None and self.recorded is not None and (settle := self.recorded.settle) is not None:
            return Response(settle.status or 0, settle.body or b"", None, settle.latency_s or 0.0)
        return self.fetched

    @response.setter
    def response(self, response: Response) -> None:
        self.fetched = response


class KeptResponses:
    """The responses of a build, by session, candidate and request; for any number of threads."""

    def __init__(self) -> None:
        self._places: dict[tuple[str, str, str], KeptPlace] = {}
        self._lock = threading.Lock()

    def fill(self, session: str, recordings: Iterable[Recording]) -> None:
        """Take the responses that stand in a journal.

        Args:
            session: that the trials had in common.
            recordings: of the trials, what was lost of them among it.
        """
        for recording in recordings:
            for each in (*recording.earlier, recording):
                for answer in each.answers:
                    key = (session, answer.reserve.candidate, answer.reserve.request_key)
                    self._places.setdefault(key, KeptPlace(answer))

    @contextmanager
    def held(self, candidate: str, request: Request) -> Iterator[KeptPlace]:
        """The place of a request; who asks the same meanwhile waits for the response.

        Args:
            candidate: the id of who is asked.
            request: what is asked.
        """
        with self._lock:
            place = self._places.setdefault((request.session, candidate, request.key), KeptPlace())
        with place.lock:
            yield place
