"""Groups of command-line options, each a dataclass that a command takes as one parameter."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import is_dataclass
from functools import wraps
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class HasLastWords(Protocol):
    """A group of options that has something to tell when its command is over."""

    def tell_output(self) -> None:
        """Tell it, whether the command ended well or not."""
        ...


def takes_option_groups(command: Callable[..., None]) -> Callable[..., None]:
    """Decorate a command so that each field of a dataclass parameter becomes an option of its own.

    Typer reads options from a function's signature, and has no groups of options.
    """
    signature = inspect.signature(command, eval_str=True)
    annotated = {name: each.annotation for name, each in signature.parameters.items()}
    groups = {name: kind for name, kind in annotated.items() if isinstance(kind, type) and is_dataclass(kind)}
    options = {
        name: [
            option.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for option in inspect.signature(group, eval_str=True).parameters.values()
        ]
        for name, group in groups.items()
    }
    parameters = [each for name, whole in signature.parameters.items() for each in options.get(name, [whole])]

    @wraps(command)
    def run(**values: Any) -> None:
        made = {
            name: group(**{option.name: values.pop(option.name) for option in options[name]})
            for name, group in groups.items()
        }
        try:
            command(**values, **made)
        finally:
            for group in made.values():
                if isinstance(group, HasLastWords):
                    group.tell_output()

    run.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return run
