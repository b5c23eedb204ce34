"""Values and conditions as they are written in a template."""

import re
from dataclasses import dataclass

from inkstencil.errors import TemplateError
from inkstencil.filters import Filters
from inkstencil.scope import Scope

_PATH = re.compile(r"[A-Za-z_]\w*(?:\.\w+)*")
_NUMBER = re.compile(r"-?\d+")
_TEXT = re.compile(r"'[^']*'")


@dataclass(frozen=True)
class Expression:
    """A name, path, number or text, with the filters that its value goes through."""

    term: str
    filters: tuple[str, ...]

    @classmethod
    def parse(cls, text: str, line: int) -> "Expression":
        """The expression in a text.

        Raises:
            TemplateError: the text is none.
        """
        term, *filters = (part.strip() for part in text.split("|"))
        if not any(pattern.fullmatch(term) for pattern in (_PATH, _NUMBER, _TEXT)):
            raise TemplateError(f"not a value: {text!r}", line)
        return cls(term, tuple(filters))

    def value(self, scope: Scope, filters: Filters) -> object:
        """What the expression is worth in a scope; None for what is missing."""
        found = self._term(scope)
        for name in self.filters:
            found = filters.apply(name, found)
        return found

    def _term(self, scope: Scope) -> object:
        if _TEXT.fullmatch(self.term):
            return self.term[1:-1]
        if _NUMBER.fullmatch(self.term):
            return int(self.term)
        first, *rest = self.term.split(".")
        found = scope.get(first)
        for part in rest:
            found = attribute(found, part)
        return found


@dataclass(frozen=True)
class Condition:
    """An expression, its negation, or two of them compared."""

    left: Expression
    operator: str
    right: Expression | None

    @classmethod
    def parse(cls, text: str, line: int) -> "Condition":
        """The condition in a text."""
        for operator in ("==", "!="):
            left, found, right = text.partition(operator)
            if found:
                return cls(Expression.parse(left.strip(), line), operator, Expression.parse(right.strip(), line))
        if text.startswith("not "):
            return cls(Expression.parse(text[4:].strip(), line), "not", None)
        return cls(Expression.parse(text, line), "", None)

    def holds(self, scope: Scope, filters: Filters) -> bool:
        """Whether the condition holds in a scope."""
        value = self.left.value(scope, filters)
        if self.right is not None:
            return (value == self.right.value(scope, filters)) is (self.operator == "==")
        return bool(value) is not (self.operator == "not")


def attribute(value: object, name: str) -> object:
    """A part of a value by its key, position or attribute; None if there is none."""
    if isinstance(value, dict):
        return value.get(name)
    if isinstance(value, list | tuple) and name.isdigit():
        return value[int(name)] if int(name) < len(value) else None
    return None if name.startswith("_") else getattr(value, name, None)
