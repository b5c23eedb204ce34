"""One change of a document (RFC 6902)."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

from jsonsplice.errors import PatchError
from jsonsplice.pointer import Pointer

WITH_VALUE = ("add", "replace", "test")
WITH_SOURCE = ("move", "copy")
KINDS = (*WITH_VALUE, "remove", *WITH_SOURCE)


@dataclass(frozen=True)
class Operation:
    """What is done where; with a value or with where it comes from, by its kind."""

    kind: str
    path: Pointer
    value: Any = None
    source: Pointer | None = None

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Operation":
        """An operation as it is written in JSON.

        Raises:
            PatchError: something is missing or wrong.
        """
        kind = content.get("op")
        if kind not in KINDS:
            raise PatchError(f"no operation {kind!r}")
        wanted = ["path", *(["value"] if kind in WITH_VALUE else []), *(["from"] if kind in WITH_SOURCE else [])]
        missing = [name for name in wanted if name not in content]
        if missing:
            raise PatchError(f"{kind} without {', '.join(missing)}")
        source = Pointer.parse(content["from"]) if kind in WITH_SOURCE else None
        return cls(kind, Pointer.parse(content["path"]), content.get("value") if kind in WITH_VALUE else None, source)

    def to_json(self) -> dict[str, Any]:
        """The operation as it is written in JSON."""
        content: dict[str, Any] = {"op": self.kind}
        if self.source is not None:
            content["from"] = str(self.source)
        content["path"] = str(self.path)
        if self.kind in WITH_VALUE:
            content["value"] = deepcopy(self.value)
        return content
