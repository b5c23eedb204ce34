"""What a router's fingerprint is said to be of, in the three shapes that loading a router gives it.

A stranger wrote it, and where a router is looked for follows from it: what has another shape is not read any further.
Members beside those below, such as limits, are conditions that only the fingerprint is of.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from twinbench.display.wording import shorten
from twinbench.reading.validation import describe_validation_error, field_path
from twinbench.routers.registry import BUILT_IN
from twinbench.submissions.fields import Digest

_BUILT_IN, _ARTEFACT, _KIND = "built-in", "artefact", "kind"
_DOTTED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")
_MOST_SHOWN = 60


def _built_in_name(name: str) -> str:
    if name not in BUILT_IN:
        raise ValueError(f"must be the name of a built-in router (found {shorten(name, _MOST_SHOWN)!a})")
    return name


def _dotted(name: str) -> str:
    if not _DOTTED.fullmatch(name):
        raise ValueError(f"must be names with dots between them (found {shorten(name, _MOST_SHOWN)!a})")
    return name


Dotted = Annotated[str, AfterValidator(_dotted)]


class _Identity(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow", frozen=True)

    arguments: dict[str, str]
    """The arguments of its spec."""
    python: str
    """The version of the interpreter."""


class BuiltInIdentity(_Identity):
    """That of a built-in router, which has no file in a submission."""

    name: Annotated[str, AfterValidator(_built_in_name)] = Field(alias=_BUILT_IN)
    files: dict[str, Digest]
    """twinbench's own files that built-in routers are made of."""


class TrainedIdentity(_Identity):
    """That of a trained router: its folder's manifest has the digest of everything else."""

    artefact: Digest
    distributions: dict[str, str]


class CodeIdentity(_Identity):
    """That of a router that is a file or a module; an installed router that goes by a name is the latter."""

    kind: Literal["file", "module", "trb"]
    target: str
    """The file's name without folders, or the module."""
    attribute: Dotted
    argument_files: dict[str, Digest]
    """The digests of files that arguments name, by argument."""
    files: dict[str, Digest]
    """Its own files, by their paths below the folder of the router."""
    distributions: dict[str, str]

    @property
    def target_files(self) -> tuple[str, ...]:
        """The files that its target may be, of which a submission that has any has to have one."""
        if self.kind == "file":
            return (self.target,)
        inner = self.target.replace(".", "/")
        return (f"{inner}.py", f"{inner}/__init__.py")

    @property
    def target_problem(self) -> str | None:
        """Why its target cannot be that of a router that was loaded; None if it can."""
        shown = shorten(self.target, _MOST_SHOWN)
        if self.kind == "file":
            wrong = not self.target.endswith(".py") or any(each in self.target for each in "/\\?\0")
            return f"target must be the name of a file that ends in .py, without folders ({shown!a})" if wrong else None
        return None if _DOTTED.fullmatch(self.target) else f"target must be the name of a module ({shown!a})"


Identity = BuiltInIdentity | TrainedIdentity | CodeIdentity
_SHAPES: dict[str, type[BuiltInIdentity | TrainedIdentity | CodeIdentity]] = {
    _BUILT_IN: BuiltInIdentity,
    _ARTEFACT: TrainedIdentity,
    _KIND: CodeIdentity,
}


def parse_identity(content: Mapping[str, Any]) -> Identity:
    """Read what a router's fingerprint is said to be of.

    Raises:
        ValueError: no loaded router has such an identity; the message says what is wrong with it and where.
    """
    shapes = [shape for key, shape in _SHAPES.items() if key in content]
    if len(shapes) != 1:
        named = " or ".join(repr(key) for key in _SHAPES)
        raise ValueError(f"the router's identity has to have one of {named}, which say what kind of router it is")
    try:
        found = shapes[0].model_validate(dict(content))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = field_path(first["loc"]) or "the whole"
        raise ValueError(f"the router's identity: {where} {describe_validation_error(first)}") from None
    if isinstance(found, CodeIdentity) and (problem := found.target_problem) is not None:
        raise ValueError(f"the router's identity: {problem}")
    return found
