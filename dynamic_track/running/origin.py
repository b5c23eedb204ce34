"""The origin of a run's numbers (real, simulated, imported), as every report states it first."""

from __future__ import annotations

from enum import StrEnum

from dynamic_track.running.plan import RunPlan


class Origin(StrEnum):
    """Where the numbers of a run come from."""

    real = "live runs: real models, containers and tests"
    rehearsal = "a rehearsal: simulated models with declared skills, real containers and tests; nothing was spent"
    simulated = (
        "a live run of simulated models (twinbench rehearse serve): real containers and tests, but none of its numbers "
        "is about a real model"
    )
    imported = (
        "imported runs: an agent ran elsewhere, and its calls are priced here from its files; no router decided, and "
        "nothing was run or tested here"
    )
    imported_simulated = (
        "imported runs of simulated models: an agent ran elsewhere, and its calls are priced here from its files; no "
        "router decided, nothing was run or tested here, and none of the numbers is about a real model"
    )

    @property
    def heading(self) -> str:
        """The origin as a heading, or as a sentence without a full stop."""
        return f"{self[0].upper()}{self[1:]}"

    @property
    def is_simulated(self) -> bool:
        """Whether simulated models answered."""
        return self in (Origin.rehearsal, Origin.simulated, Origin.imported_simulated)

    @property
    def has_virtual_time(self) -> bool:
        """Whether time was virtual, as declared by the answers."""
        return self is Origin.rehearsal


def origin_of(plan: RunPlan, *, simulated: bool) -> Origin:
    """Determine the origin of a run's numbers.

    Args:
        plan: the run's plan, which says whether it is a rehearsal or imported.
        simulated: whether an answer in its journal says that a simulated model gave it.
    """
    if plan.is_simulated:
        return Origin.rehearsal
    if plan.is_imported:
        return Origin.imported_simulated if simulated else Origin.imported
    return Origin.simulated if simulated else Origin.real
