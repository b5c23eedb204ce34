"""The parts of a template, and how they are rendered."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from inkstencil.errors import TemplateError
from inkstencil.expressions import Condition, Expression
from inkstencil.filters import Filters, text_of
from inkstencil.scope import Scope


@dataclass(frozen=True)
class Surroundings:
    """What rendering needs besides the scope: the filters, and the parts of other templates."""

    filters: Filters
    nodes_of: Callable[[str], Sequence[Node]]
    depth: int = 0


class Node(Protocol):
    """A part of a template."""

    def render(self, scope: Scope, around: Surroundings) -> str:
        """The text that the part becomes."""
        ...


@dataclass(frozen=True)
class Loop:
    """Where a loop is, as templates see it under the name ``loop``."""

    number: int
    first: bool
    last: bool
    parent: Loop | None


@dataclass(frozen=True)
class Plain:
    """Text that stays as it is."""

    text: str

    def render(self, scope: Scope, around: Surroundings) -> str:
        """The text."""
        return self.text


@dataclass(frozen=True)
class Output:
    """A value that is written."""

    expression: Expression

    def render(self, scope: Scope, around: Surroundings) -> str:
        """The value as text."""
        return text_of(self.expression.value(scope, around.filters))


@dataclass(frozen=True)
class Assign:
    """A name that is given a value."""

    name: str
    expression: Expression

    def render(self, scope: Scope, around: Surroundings) -> str:
        """Nothing."""
        scope.set(self.name, self.expression.value(scope, around.filters))
        return ""


@dataclass(frozen=True)
class If:
    """One of two bodies."""

    condition: Condition
    body: Sequence[Node]
    otherwise: Sequence[Node]

    def render(self, scope: Scope, around: Surroundings) -> str:
        """The body that the condition chooses."""
        chosen = self.body if self.condition.holds(scope, around.filters) else self.otherwise
        return render_all(chosen, scope, around)


@dataclass(frozen=True)
class For:
    """A body for each item of a value."""

    name: str
    expression: Expression
    body: Sequence[Node]
    otherwise: Sequence[Node]

    def render(self, scope: Scope, around: Surroundings) -> str:
        """The body once per item, or the other one if there is none."""
        items = list(self.expression.value(scope, around.filters) or ())
        if not items:
            return render_all(self.otherwise, scope, around)
        parent = scope.get("loop")
        inside = scope.inner()
        out = []
        for number, item in enumerate(items, start=1):
            inside.set("loop", Loop(number, number == 1, number == len(items), parent))
            inside.set(self.name, item)
            out.append(render_all(self.body, inside, around))
        return "".join(out)


@dataclass(frozen=True)
class Include:
    """Another template in place."""

    template: str

    def render(self, scope: Scope, around: Surroundings) -> str:
        """The text of the other template.

        Raises:
            TemplateError: templates include each other without an end.
        """
        if around.depth > 50:
            raise TemplateError(f"{self.template} is included by itself")
        deeper = Surroundings(around.filters, around.nodes_of, around.depth + 1)
        return render_all(around.nodes_of(self.template), scope.inner(), deeper)


def render_all(nodes: Sequence[Node], scope: Scope, around: Surroundings) -> str:
    """The text of parts in their order."""
    return "".join(node.render(scope, around) for node in nodes)
