"""From a command line to what its options are."""

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from flagstone.errors import CommandLineError
from flagstone.option import Option
from flagstone.tokens import Token, tokens


@dataclass(frozen=True)
class Parsed:
    """What the options are, and the arguments."""

    options: Mapping[str, Any]
    arguments: list[str] = field(default_factory=list)

    def __getitem__(self, name: str) -> Any:
        return self.options[name]


class Parser:
    """Understands the command lines of one command."""

    def __init__(self, command: str, options: Sequence[Option]) -> None:
        self.command = command
        self.options = tuple(options)
        self._by_name: dict[str, tuple[Option, bool]] = {}
        for option in self.options:
            self._add(option.shown, option, on=True)
            if option.kind == "flag":
                self._add(f"--no-{option.name}", option, on=False)
            if option.short is not None:
                self._add(f"-{option.short}", option, on=True)

    def parse(self, line: Sequence[str], environment: Mapping[str, str] | None = None) -> Parsed:
        """What a command line means.

        Args:
            line: the words after the command.
            environment: where variables are looked up, by default the process's own.

        Raises:
            CommandLineError: it means nothing.
        """
        given: dict[str, Any] = {}
        arguments: list[str] = []
        words = tokens(line, self._short_takes_value)
        for token in words:
            if token.name is None:
                arguments.append(token.value or "")
            else:
                self._take(token, words, given)
        environment = os.environ if environment is None else environment
        return Parsed({option.name: self._settle(option, given, environment) for option in self.options}, arguments)

    def _add(self, name: str, option: Option, on: bool) -> None:
        if name in self._by_name:
            raise ValueError(f"two options are called {name}")
        self._by_name[name] = (option, on)

    def _short_takes_value(self, letter: str) -> bool:
        option, _ = self._by_name.get(f"-{letter}", (None, True))
        return option is not None and option.takes_value

    def _take(self, token: Token, following: Iterator[Token], given: dict[str, Any]) -> None:
        if token.name not in self._by_name:
            raise CommandLineError(f"there is no option {token.name}")
        option, on = self._by_name[token.name]
        if not option.takes_value:
            if token.value is not None:
                raise CommandLineError(f"{token.name} takes no value")
            given[option.name] = given.get(option.name, 0) + 1 if option.kind == "count" else on
            return
        value = option.convert(self._value(token, following))
        if option.kind == "list":
            given.setdefault(option.name, []).append(value)
        else:
            given[option.name] = value

    def _value(self, token: Token, following: Iterator[Token]) -> str:
        if token.value is not None:
            return token.value
        after = next(following, None)
        if after is None or after.name is not None or after.value is None:
            raise CommandLineError(f"{token.name} wants a value")
        return after.value

    def _settle(self, option: Option, given: Mapping[str, Any], environment: Mapping[str, str]) -> Any:
        """What the command line says, otherwise what the variable says, otherwise the default."""
        return given.get(option.name) or self._from_variable(option, environment) or option.default

    def _from_variable(self, option: Option, environment: Mapping[str, str]) -> Any:
        text = None if option.variable is None else environment.get(option.variable)
        return None if text is None else option.convert_variable(text)
