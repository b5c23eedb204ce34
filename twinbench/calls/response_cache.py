"""The response cache of a bank build: a repeated request gets the same response and is paid once.

Requests are the same if they have the same ``Request.key``, candidate and session; a repetition that should get new
responses has a session of its own.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from twinbench.calls.exchange import Request, Response
from twinbench.calls.recording import RecordedAttempt, Recording


@dataclass
class CacheSlot:
    """The place of one request in the cache, with its response once there is one."""

    recorded: RecordedAttempt | None = None
    """The journal's attempt that got the response, if it comes from a journal."""
    fetched: Response | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def response(self) -> Response | None:
        """The cached response; None until the request was answered."""
        if self.fetched is None and self.recorded is not None and (settle := self.recorded.settle) is not None:
            return Response(settle.status or 0, settle.body or b"", None, settle.latency_s or 0.0)
        return self.fetched

    @response.setter
    def response(self, response: Response) -> None:
        self.fetched = response


class ResponseCache:
    """The cached responses of a build, by session, candidate and request; thread-safe."""

    def __init__(self) -> None:
        self._slots: dict[tuple[str, str, str], CacheSlot] = {}
        self._lock = threading.Lock()

    def fill(self, session: str, recordings: Iterable[Recording]) -> None:
        """Add the responses that a journal contains.

        Args:
            session: the session key that the trials had in common.
            recordings: the trials' recordings; the parts that were started over are read too.
        """
        for recording in recordings:
            for each in (*recording.previous_recordings, recording):
                for answer in each.answers:
                    key = (session, answer.reserve.candidate, answer.reserve.request_key)
                    self._slots.setdefault(key, CacheSlot(answer))

    @contextmanager
    def hold_slot(self, candidate: str, request: Request) -> Iterator[CacheSlot]:
        """Hold the place of a request; another thread with the same request waits for the response.

        Args:
            candidate: the id of the candidate to call.
            request: the request.
        """
        with self._lock:
            place = self._slots.setdefault((request.session, candidate, request.key), CacheSlot())
        with place.lock:
            yield place
