"""Causes: why a case, an attempt or a verdict ended as it did, and what follows from that.

An exception that can end a case names its cause; error messages are never matched by their text. This table alone
defines what a cause means for a score, and whether the case is run again (dynamic.md, "Bill" and "Resolution").
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from twinbench.errors import TwinbenchError


class OutcomeClass(StrEnum):
    """How a case that ended with a cause is counted in scores."""

    unresolved = "unresolved"
    infra = "infra"
    cap = "cap"


class Cause(StrEnum):
    """Why a case, an attempt or a verdict ended as it did, unless the tests decided."""

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
    internal = "internal"


@dataclass(frozen=True, slots=True)
class Handling:
    """What follows from a cause."""

    outcome_class: OutcomeClass
    meaning: str
    remedy: str = ""
    """For causes that count as infrastructure: what the user can do about it, as an imperative."""


CAUSES: dict[Cause, Handling] = {
    Cause.empty: Handling(OutcomeClass.unresolved, "nothing was submitted"),
    Cause.unappliable: Handling(OutcomeClass.unresolved, "the patch does not apply"),
    Cause.timeout: Handling(OutcomeClass.unresolved, "the tests exceeded their time limit"),
    Cause.writes: Handling(OutcomeClass.unresolved, "the container exceeded its limit of written data"),
    Cause.engine: Handling(
        OutcomeClass.infra,
        "the Docker engine did not answer, or stopped",
        "check the engine with `twinbench dynamic doctor`",
    ),
    Cause.container: Handling(
        OutcomeClass.infra,
        "the container was stopped from outside",
        "find out who or what stops containers on that machine",
    ),
    Cause.image: Handling(
        OutcomeClass.infra,
        "the image is missing and cannot be pulled, or no command runs in it",
        "repair the image, pull it, or build it with --build",
    ),
    Cause.disk: Handling(
        OutcomeClass.infra, "too little disk space is free", "free disk space, or lower --min-free-mib"
    ),
    Cause.router: Handling(OutcomeClass.unresolved, "the router failed, or chose a candidate that cannot be called"),
    Cause.cap: Handling(OutcomeClass.cap, "the run's spending cap leaves no room for another call"),
    Cause.usage: Handling(
        OutcomeClass.infra,
        "the provider's usage is missing or impossible",
        "check the provider's usage with `twinbench pool check --live`",
    ),
    Cause.model: Handling(
        OutcomeClass.infra,
        "a model other than the requested one answered",
        "if that is right, add its name to served_as in a pool of your own (`twinbench pool check --live`)",
    ),
    Cause.switch: Handling(
        OutcomeClass.infra,
        "the provider refused a conversation that another model had begun",
        "use a gateway that accepts conversations begun by other models",
    ),
    Cause.transport: Handling(
        OutcomeClass.infra, "no attempt got a readable response", "check that the gateway at --api-base answers"
    ),
    Cause.quota: Handling(
        OutcomeClass.infra, "the provider's rate limit or quota is reached", "wait, raise it, or set --candidate-limit"
    ),
    Cause.access: Handling(
        OutcomeClass.infra, "the provider refused the API key", "check that --api-key-env names a valid key"
    ),
    Cause.request: Handling(
        OutcomeClass.infra, "the provider refused the request", "find out from the detail what the provider refuses"
    ),
    Cause.internal: Handling(
        OutcomeClass.infra,
        "an unexpected error in twinbench ended the case",
        "report it with the traceback file that the detail names",
    ),
}
"""Every cause. An infra case is never counted as unresolved, and is run again when the run is continued. A cap case is
neither: it has no penalty and continues under a higher cap."""


class CausedError(TwinbenchError):
    """An error that ends a case with a cause."""

    cause: Cause
