"""Several changes in a row."""

from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any

from jsonsplice import tree
from jsonsplice.errors import PatchError, PointerError
from jsonsplice.operation import Operation


class Patch:
    """Operations that are done one after the other, or not at all."""

    def __init__(self, operations: Iterable[Operation] = ()) -> None:
        self.operations = tuple(operations)

    @classmethod
    def from_json(cls, content: Iterable[Mapping[str, Any]]) -> "Patch":
        """A patch as it is written in JSON.

        Raises:
            PatchError: an operation is wrong.
            PointerError: a path is.
        """
        return cls(map(Operation.from_json, content))

    def to_json(self) -> list[dict[str, Any]]:
        """The patch as it is written in JSON."""
        return [operation.to_json() for operation in self.operations]

    def apply(self, document: Any) -> Any:
        """The document after all operations.

        Raises:
            PatchError: one of them cannot be done.
        """
        document = deepcopy(document)
        for operation in self.operations:
            document = _done(operation, document)
        return document

    def inverse(self, document: Any) -> "Patch":
        """The patch that makes ``document`` again of what this one makes of it.

        Raises:
            PatchError: this one cannot be applied to the document.
        """
        document = deepcopy(document)
        back: list[Operation] = []
        for operation in self.operations:
            undoing = list(_undoing(operation, document))
            document = _done(operation, document)
            back = [*undoing, *back]
        return Patch(back)


def _done(operation: Operation, document: Any) -> Any:
    path, source = operation.path, operation.source
    try:
        match operation.kind:
            case "add":
                return tree.put(document, path, operation.value)
            case "replace":
                return tree.replace(document, path, operation.value)
            case "remove":
                return tree.take(document, path)
            case "copy":
                return tree.put(document, path, tree.get(document, source))
            case "move":
                if source.is_above(path):
                    raise PatchError(f"{source} cannot be moved into itself")
                value = tree.get(document, source)
                return tree.put(tree.take(document, source), path, value)
            case _:
                if not tree.same(tree.get(document, path), operation.value):
                    raise PatchError(f"{path} is not {operation.value!r}")
                return document
    except PointerError as error:
        raise PatchError(f"{operation.kind} {path}: {error}") from None


def _undoing(operation: Operation, document: Any) -> Iterable[Operation]:
    """What takes an operation back that is about to be done to the document."""
    path, source = operation.path, operation.source
    if operation.kind == "test":
        return
    try:
        if operation.kind == "move":
            value = tree.get(document, source)
            without = Patch([Operation("remove", source)]).apply(document)
            yield from _undoing(Operation("add", path, value), without)
            yield Operation("add", source, value)
        elif operation.kind == "remove":
            yield Operation("add", path, tree.get(document, path))
        elif operation.kind == "replace" or not path.tokens:
            yield Operation("replace", path, tree.get(document, path))
        else:
            parent = tree.get(document, path.parent)
            if isinstance(parent, list):
                at = len(parent) if path.tokens[-1] == "-" else path.tokens[-1]
                yield Operation("remove", path.parent / at)
            elif tree.exists(document, path):
                yield Operation("replace", path, tree.get(document, path))
            else:
                yield Operation("remove", path)
    except PointerError as error:
        raise PatchError(f"{operation.kind} {path}: {error}") from None
