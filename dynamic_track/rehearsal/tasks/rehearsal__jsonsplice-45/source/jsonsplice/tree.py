"""Reading and changing a document in place. What changes one gives the root, which may be another one afterwards."""

from typing import Any

from jsonsplice.errors import PointerError
from jsonsplice.pointer import Pointer, index


def get(document: Any, pointer: Pointer) -> Any:
    """What is at the pointer.

    Raises:
        PointerError: nothing is.
    """
    for token in pointer.tokens:
        document = document[_key(document, token)]
    return document


def put(document: Any, pointer: Pointer, value: Any) -> Any:
    """Adds a value: in an array before the element that is there, in an object in place of what may be there.

    Raises:
        PointerError: there is no such place.
    """
    if not pointer.tokens:
        return value
    parent, token = get(document, pointer.parent), pointer.tokens[-1]
    if isinstance(parent, list):
        parent.insert(index(token, len(parent)), value)
    elif isinstance(parent, dict):
        parent[token] = value
    else:
        raise PointerError(f"{pointer.parent} is neither array nor object")
    return document


def replace(document: Any, pointer: Pointer, value: Any) -> Any:
    """Puts a value in place of the one that is there.

    Raises:
        PointerError: nothing is.
    """
    if not pointer.tokens:
        return value
    parent = get(document, pointer.parent)
    parent[_key(parent, pointer.tokens[-1])] = value
    return document


def take(document: Any, pointer: Pointer) -> Any:
    """Removes what is at the pointer.

    Raises:
        PointerError: nothing is.
    """
    if not pointer.tokens:
        return None
    parent = get(document, pointer.parent)
    del parent[_key(parent, pointer.tokens[-1])]
    return document


def exists(document: Any, pointer: Pointer) -> bool:
    """Whether there is anything at the pointer."""
    try:
        get(document, pointer)
    except PointerError:
        return False
    return True


def same(one: Any, other: Any) -> bool:
    """Whether two documents are the same JSON; true is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def _key(container: Any, token: str) -> Any:
    if isinstance(container, list):
        at = index(token, len(container))
        if at < len(container):
            return at
        raise PointerError(f"the array ends before {token}")
    if isinstance(container, dict) and token in container:
        return token
    raise PointerError(f"there is no {token!r}")
