"""The patch that makes one document of another."""

from collections.abc import Iterator
from typing import Any

from jsonsplice.operation import Operation
from jsonsplice.patch import Patch
from jsonsplice.pointer import Pointer
from jsonsplice.tree import same


def diff(old: Any, new: Any) -> Patch:
    """A patch with which ``old`` becomes ``new``; small, but not the smallest."""
    return Patch(_changes(old, new, Pointer()))


def _changes(old: Any, new: Any, at: Pointer) -> Iterator[Operation]:
    if isinstance(old, dict) and isinstance(new, dict):
        for key in old:
            if key in new:
                yield from _changes(old[key], new[key], at / key)
            else:
                yield Operation("remove", at / key)
        for key in new:
            if key not in old:
                yield Operation("add", at / key, new[key])
    elif isinstance(old, list) and isinstance(new, list):
        both = min(len(old), len(new))
        for position in range(both):
            yield from _changes(old[position], new[position], at / position)
        for position in range(len(old) - 1, both - 1, -1):
            yield Operation("remove", at / position)
        for value in new[both:]:
            yield Operation("add", at / "-", value)
    elif not same(old, new):
        yield Operation("replace", at, new)
