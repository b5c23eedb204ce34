"""Templates and what they share."""

from collections.abc import Mapping, Sequence
from typing import Any

from inkstencil.errors import TemplateError
from inkstencil.filters import Filter, Filters
from inkstencil.nodes import Node, Surroundings, render_all
from inkstencil.parser import parse
from inkstencil.scope import Scope


class Environment:
    """Named templates that can be included, and filters."""

    def __init__(self, templates: Mapping[str, str] | None = None, filters: Mapping[str, Filter] | None = None) -> None:
        self._texts = dict(templates or {})
        self._parsed: dict[str, list[Node]] = {}
        self.filters = Filters(filters or {})

    def template(self, text: str) -> "Template":
        """A template from its text.

        Raises:
            TemplateError: the text is no template.
        """
        return Template(self, parse(text))

    def get(self, name: str) -> "Template":
        """A template by its name."""
        return Template(self, self.nodes_of(name))

    def nodes_of(self, name: str) -> list[Node]:
        """The parts of a named template, which is parsed when it is first asked for.

        Raises:
            TemplateError: there is no such template, or it cannot be read.
        """
        if name not in self._texts:
            raise TemplateError(f"no template {name!r}")
        if name not in self._parsed:
            self._parsed[name] = parse(self._texts[name])
        return self._parsed[name]


class Template:
    """A template that has been read."""

    def __init__(self, environment: Environment, nodes: Sequence[Node]) -> None:
        self._environment = environment
        self._nodes = nodes

    def __repr__(self) -> str:
        return f"Template({len(self._nodes)} parts)"

    def render(self, data: dict[str, Any] | None = None) -> str:
        """The text that the template becomes with the data under their names."""
        around = Surroundings(self._environment.filters, self._environment.nodes_of)
        return render_all(self._nodes, Scope({} if data is None else data), around)
