"""Why something ended as it did, and what follows from that: the one table of causes.

An exception that can end a case names its cause; nothing is matched by the words of a message. What a cause means for
a score, and whether the case is tried again, stands here and nowhere else (dynamic.md, "Bill" and "Resolution").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from twinbench.errors import TwinbenchError


class Counts(StrEnum):
    """What a case that ended with a cause is counted as."""

    unresolved = "unresolved"
    infra = "infra"
    cap = "cap"


class Cause(StrEnum):
    """Why a case or a verdict ended as it did, where "the tests decided" does not say it all."""

    empty = "empty"
    unappliable = "unappliable"
    timeout = "timeout"
    writes = "writes"
    engine = "engine"
    container = "container"
    image = "image"
    disk = "disk"
    router = "router"
    cap = "cap"
    usage = "usage"
    model = "model"
    switch = "switch"
    transport = "transport"
    quota = "quota"
    access = "access"
    request = "request"


@dataclass(frozen=True, slots=True)
class Handling:
    """What follows from a cause."""

    counts: Counts
    meaning: str


CAUSES: dict[Cause, Handling] = {
    Cause.empty: Handling(Counts.unresolved, "nothing was submitted"),
    Cause.unappliable: Handling(Counts.unresolved, "the patch does not apply"),
    Cause.timeout: Handling(Counts.unresolved, "the tests took longer than they may"),
    Cause.writes: Handling(Counts.unresolved, "the container wrote more than it may"),
    Cause.engine: Handling(Counts.infra, "the Docker engine did not answer, or went away"),
    Cause.container: Handling(Counts.infra, "the container was ended from outside"),
    Cause.image: Handling(Counts.infra, "the image is missing and cannot be had"),
    Cause.disk: Handling(Counts.infra, "too little disk is left to start"),
    Cause.router: Handling(Counts.unresolved, "the router failed, or chose what cannot be called"),
    Cause.cap: Handling(Counts.cap, "the run's cap leaves no room for another call"),
    Cause.usage: Handling(Counts.infra, "the provider's usage is missing, or cannot be true"),
    Cause.model: Handling(Counts.infra, "another model answered than the one that was asked for"),
    Cause.switch: Handling(Counts.infra, "the provider refused a conversation that another model had begun"),
    Cause.transport: Handling(Counts.infra, "no attempt brought a response that can be read"),
    Cause.quota: Handling(Counts.infra, "the provider takes no more requests for now"),
    Cause.access: Handling(Counts.infra, "the provider refused the key"),
    Cause.request: Handling(Counts.infra, "the provider refused the request"),
}
"""Every cause; an infra case is never counted as unresolved, and is tried again when a run is continued. A cap case
is neither: it has no penalty and goes on under a higher cap."""


class CausedError(TwinbenchError):
    """What ends a case with a cause."""

    cause: Cause
