"""A check of an answer's tool calls: names and arguments are compared after parsing.

Calls are read from the answer's own tool calls, else from its text: JSON (``{"name": …, "arguments": {…}}``, or a list
of such objects), or Python calls with literal arguments, such as ``[weather(city="Oslo")]``.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from static_track.construction.turns.comparing import answered_json, fenced, is_accepted, shown_value
from static_track.construction.turns.evaluating import PASSED, Answer, Check, Evaluation, Tools, failed

_MOST_CHARACTERS = 20_000
"""Largest length of a text that is parsed as Python."""

Call = tuple[str, Mapping[str, Any]]
"""A tool's name, and its arguments."""


class ExpectedCall(BaseModel):
    """A call that the answer has to make."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    arguments: dict[str, Any] = {}
    accept: dict[str, list[Any]] = {}
    """Further accepted values by argument."""
    optional: tuple[str, ...] = ()
    """Arguments that may be left out; if given, they must have their value."""

    def complaint(self, call: Call) -> str | None:
        """Return how a call differs from this one; None if it does not."""
        name, arguments = call
        if name != self.name:
            return f"it calls {name!r:.80}, not {self.name!r}"
        if unknown := sorted(set(arguments) - set(self.arguments)):
            return f"{name} must not have an argument {unknown[0]!r:.80}"
        for key, expected in self.arguments.items():
            if key not in arguments:
                if key in self.optional:
                    continue
                return f"argument {key!r} of {name} is missing"
            if not is_accepted(arguments[key], expected, self.accept.get(key, ())):
                return f"argument {key!r} of {name} is {shown_value(arguments[key])}, not {shown_value(expected)}"
        return None


class ToolCalls(Check):
    """The answer makes the expected calls, in any order, and no others."""

    calls: Annotated[tuple[ExpectedCall, ...], Field(min_length=1)]

    def evaluate(self, answers: Sequence[Answer], _tools: Tools) -> Evaluation:
        """Compare the calls."""
        try:
            made = calls_of(answers[-1])
        except ValueError as error:
            return failed(str(error))
        if len(made) != len(self.calls):
            return failed(f"the answer makes {len(made)} tool calls, not {len(self.calls)}")
        left = list(made)
        for expected in self.calls:
            complaints = [expected.complaint(call) for call in left]
            if None not in complaints:
                return failed(str(complaints[0]))
            left.pop(complaints.index(None))
        return PASSED


def calls_of(answer: Answer) -> list[Call]:
    """Return the tool calls of an answer.

    Raises:
        ValueError: the answer has none, or an invalid one; the text says why.
    """
    if answer.tool_calls:
        return [_call({"name": each.name, "arguments": each.arguments}) for each in answer.tool_calls]
    text = answer.text.strip()
    text = text if text.startswith(("{", "[")) else (fenced(text) or text).strip()
    if text.startswith(("{", "[{")):
        found = answered_json(text)
        return [_call(each) for each in (found if isinstance(found, list) else [found])]
    return _python_calls(text)


def _call(value: Any) -> Call:
    if not isinstance(value, Mapping) or not isinstance(name := value.get("name"), str):
        raise ValueError("the answer has no tool call with a name")
    arguments = value.get("arguments", {})
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError):
            raise ValueError(f"the arguments of {name:.80} are not JSON") from None
    if not isinstance(arguments, Mapping):
        raise ValueError(f"the arguments of {name:.80} are not a JSON object")
    return name, arguments


def _python_calls(text: str) -> list[Call]:
    nothing = ValueError("the answer makes no tool call")
    if len(text) > _MOST_CHARACTERS:
        raise nothing
    try:
        tree = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise nothing from None
    calls = tree.elts if isinstance(tree, ast.List | ast.Tuple) else [tree]
    if not calls:
        raise nothing
    return [_python_call(each) for each in calls]


def _python_call(node: ast.expr) -> Call:
    if not isinstance(node, ast.Call):
        raise ValueError("the answer makes no tool call")
    name = ast.unparse(node.func)
    if node.args:
        raise ValueError(f"an argument of {name:.80} has no name")
    try:
        return name, {str(each.arg): ast.literal_eval(each.value) for each in node.keywords}
    except (ValueError, TypeError, RecursionError, MemoryError):
        raise ValueError(f"an argument of {name:.80} is not a literal value") from None
