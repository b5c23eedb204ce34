"""Check the arguments of the library's functions, with readable error messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from twinbench.errors import UsageError
from twinbench.routing.tiers import Tier
from twinbench.statistics import Resampling


def require_at_least(least: int, **values: object) -> None:
    """Check that values are integers of at least ``least``.

    Raises:
        UsageError: a value is not.
    """
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise UsageError(f"{name} is {value!r}: give an integer of at least {least}")


def refuse_no_numbers(**values: object) -> None:
    """Check that values are numbers, or None.

    Raises:
        UsageError: a value is something else.
    """
    for name, value in values.items():
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            raise UsageError(f"{name} is {value!r:.80}: give a number")


def refuse_no_texts(**values: object) -> None:
    """Check that values are texts by names.

    Raises:
        UsageError: a value is not a mapping of texts to texts.
    """
    for name, value in values.items():
        if not isinstance(value, Mapping) or not all(isinstance(each, str) for pair in value.items() for each in pair):
            raise UsageError(f"{name} is {value!r:.80}: give a dict of texts, such as {{'name': 'text'}}")


def require_resampling(value: object, *, needed: bool = False) -> None:
    """Check that a value is a ``Resampling``, or None unless one is needed.

    Raises:
        UsageError: the value is not.
    """
    if not isinstance(value, Resampling) and (value is not None or needed):
        raise UsageError(f"resampling is {value!r}: give a twinbench.Resampling{'' if needed else ' or None'}")


def router_list(routers: object) -> list[Any]:
    """Return routers as a list, a single router as a list of one; invalid ones are refused when they are loaded."""
    return list(routers) if is_several(routers) else [routers]  # type: ignore[call-overload]


def is_several(routers: object) -> bool:
    """Return whether an argument is a list of routers rather than one router."""
    return isinstance(routers, Sequence) and not isinstance(routers, str | bytes)


def spec_list(routers: object) -> list[str]:
    """Return router specs as a list; a live run needs specs, since it records its router and can be continued.

    Raises:
        UsageError: one is not a spec.
    """
    found = router_list(routers)
    for each in found:
        if not isinstance(each, str):
            by_spec = "a live run takes routers by their specs, such as my_router.py:"
            if callable(each) or hasattr(each, "route"):
                raise UsageError(f"{by_spec}{getattr(each, '__name__', type(each).__name__)}")
            raise UsageError(f"{each!r} is not a router: {by_spec}MyRouter")
    if not found:
        raise UsageError("name at least one router")
    return found


def seed_list(seeds: object) -> list[str]:
    """Return seeds as strings: a number n means 0 to n - 1, a sequence lists distinct integers.

    Raises:
        UsageError: ``seeds`` is neither.
    """
    wrong = f"seeds is {seeds!r}: give a number of seeds, such as 5, or distinct integers, such as [5, 7]"
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


def to_tier(tier: Tier | str) -> Tier:
    """Return a tier given as a tier or by its name.

    Raises:
        UsageError: there is no such tier.
    """
    try:
        return Tier.from_label(tier) if isinstance(tier, str) else Tier(tier)
    except ValueError as error:
        raise UsageError(str(error)) from None


def validate_patches(patches: Mapping[Any, Any]) -> dict[str, str]:
    """Check and return patches by task id.

    Raises:
        UsageError: a patch or task id is not a string.
    """
    for name, patch in patches.items():
        if not isinstance(name, str) or not isinstance(patch, str):
            raise UsageError(f"the patch of {name!r} is {type(patch).__name__}: give a string, empty for no change")
    return dict(patches)
