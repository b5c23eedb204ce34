"""Requests to a provider and responses from it, as they are sent over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from twinbench.calls.normalise import normalise
from twinbench.fingerprint import fingerprint


@dataclass(frozen=True)
class Request:
    """One chat completion request."""

    body: Mapping[str, Any]
    """An OpenAI chat completion request: ``model``, ``messages``, ``tools``, ``max_tokens`` …"""
    session: str
    """The value of ``SESSION_HEADER``."""

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the request body as it is, for audits."""
        return fingerprint(self.body)

    @cached_property
    def key(self) -> str:
        """Hash of the normalised body (``normalise``), without what differs from run to run; recordings are looked up
        by it.
        """
        return fingerprint(normalise(self.body))


@dataclass(frozen=True)
class Response:
    """A provider's raw response, not yet classified."""

    status: int
    body: bytes
    retry_after_s: float | None
    """Seconds to wait from now according to the Retry-After header (given as seconds or as a date)."""
    latency_s: float
    reused: bool = False
    """Whether the response comes from the response cache, so that nothing was sent."""


class TransportError(Exception):
    """There is no response: the connection was refused, cut or timed out."""

    def __init__(self, what: str, *, may_be_billed: bool, latency_s: float) -> None:
        super().__init__(what)
        self.may_be_billed = may_be_billed
        """False only if the request certainly never arrived (no connection)."""
        self.latency_s = latency_s


class ResponseSource(Protocol):
    """The source of responses: a provider, or a recording."""

    def fetch(self, request: Request, timeout_s: float) -> Response:
        """Send a request once and return the response.

        Args:
            request: the request to send.
            timeout_s: total time limit in seconds, from connecting to the last byte, however slowly bytes arrive.

        Raises:
            TransportError: there is no response.
        """
        ...
