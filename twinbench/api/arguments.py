"""What the library's functions take, refused in words where it is something else."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twinbench.errors import UsageError
from twinbench.routing.tiers import Tier
from twinbench.statistics import Resampling


def refuse_below(least: int, **values: object) -> None:
    """Refuse what is no whole number, or less than there has to be.

    Raises:
        UsageError: one is not.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UsageError(f"{name} is {value!r}: give a whole number of at least {least}")


def refuse_resampling(value: object, *, needed: bool = False) -> None:
    """Refuse what says nothing of how often is drawn again.

    Raises:
        UsageError: it is no Resampling, or None where one is needed.
    """
    if not isinstance(value, Resampling) and (value is not None or needed):
        raise UsageError(f"resampling is {value!r}: give a twinbench.Resampling{'' if needed else ' or None'}")


def routers_of(routers: object) -> list[Any]:
    """Routers as a list; one alone is one. Whether each is a router is said where it is loaded."""
    return list(routers) if is_several(routers) else [routers]  # type: ignore[call-overload]


def is_several(routers: object) -> bool:
    """Whether it is a list of routers rather than one."""
    return isinstance(routers, Sequence) and not isinstance(routers, str | bytes)


def specs_of(routers: object) -> list[str]:
    """Routers of a live run: it says what it was of, and can be gone on with, so they have names.

    Raises:
        UsageError: one is no spec.
    """
    found = routers_of(routers)
    for each in found:
        if not isinstance(each, str):
            by_spec = "a live run takes routers by their specs, such as my_router.py:"
            if callable(each) or hasattr(each, "route"):
                raise UsageError(f"{by_spec}{getattr(each, '__name__', type(each).__name__)}")
            raise UsageError(f"{each!r} is no router: {by_spec}MyRouter")
    if not found:
        raise UsageError("name at least one router")
    return found


def seeds_of(seeds: object) -> list[str]:
    """Seeds as texts: so many from 0 on, or whole numbers, each once.

    Raises:
        UsageError: they are none.
    """
    wrong = f"seeds is {seeds!r}: give how many, such as 5, or whole numbers, each once, such as [5, 7]"
    if isinstance(seeds, int) and not isinstance(seeds, bool) and seeds >= 1:
        return [str(number) for number in range(seeds)]
    if isinstance(seeds, str | bytes) or not isinstance(seeds, Iterable):
        raise UsageError(wrong)
    named = [str(each) for each in seeds]
    if not named or not all(each.isascii() and each.isdecimal() for each in named):
        raise UsageError(wrong)
    found = [str(int(each)) for each in named]
    if len(set(found)) < len(found):
        raise UsageError(wrong)
    return found


def tier_of(tier: Tier | str) -> Tier:
    """A tier, or the one of that name.

    Raises:
        UsageError: there is none.
    """
    try:
        return Tier.from_label(tier) if isinstance(tier, str) else Tier(tier)
    except ValueError as error:
        raise UsageError(str(error)) from None


def patches_of(patches: Mapping[Any, Any]) -> dict[str, str]:
    """Patches by task id.

    Raises:
        UsageError: one is no text.
    """
    for name, patch in patches.items():
        if not isinstance(name, str) or not isinstance(patch, str):
            raise UsageError(f"the patch of {name!r} is {type(patch).__name__}: give a text, empty for no change")
    return dict(patches)
