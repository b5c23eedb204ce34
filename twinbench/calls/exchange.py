"""What goes to a provider and what comes back, as it is on the wire."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol

from twinbench.calls.normalise import normalised
from twinbench.fingerprint import fingerprint


@dataclass(frozen=True)
class Request:
    """One chat completion to ask for."""

    body: Mapping[str, Any]
    """An OpenAI chat completion request: ``model``, ``messages``, ``tools``, ``max_tokens`` …"""
    session: str
    """The value of ``SESSION_HEADER``."""

    @cached_property
    def sha256(self) -> str:
        """Of the body as it is, for audit."""
        return fingerprint(self.body)

    @cached_property
    def key(self) -> str:
        """Of the body without what differs from run to run (``normalise``): what recordings are looked up by."""
        return fingerprint(normalised(self.body))


@dataclass(frozen=True)
class Response:
    """What a provider answered, judged by nobody yet."""

    status: int
    body: bytes
    retry_after_s: float | None
    """What the header Retry-After asks for, as seconds or a date, made seconds from now."""
    latency_s: float
    reused: bool = False
    """Whether nothing was sent for it: it was kept from an earlier execution."""


class TransportError(Exception):
    """No response: refused, cut, hung."""

    def __init__(self, what: str, *, may_be_billed: bool, latency_s: float) -> None:
        super().__init__(what)
        self.may_be_billed = may_be_billed
        """False only where the request surely never arrived (no connection)."""
        self.latency_s = latency_s


class ResponseSource(Protocol):
    """Where responses come from: a provider, or a recording."""

    def fetch(self, request: Request, within_s: float) -> Response:
        """Ask once.

        Args:
            request: what to ask for.
            within_s: all that it may take, from connecting to the last byte, however slowly bytes trickle.

        Raises:
            TransportError: there is no response.
        """
        ...
