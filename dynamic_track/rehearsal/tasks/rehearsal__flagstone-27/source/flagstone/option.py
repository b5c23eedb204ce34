"""What an option is."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flagstone.errors import CommandLineError

KINDS = ("flag", "value", "count", "list")
SWITCHES = {"1": True, "true": True, "yes": True, "on": True, "0": False, "false": False, "no": False, "off": False}


@dataclass(frozen=True)
class Option:
    """One option: its names, what it takes, and what it is if nobody says anything."""

    name: str
    short: str | None = None
    kind: str = "value"
    read: Callable[[str], Any] = str
    default: Any = None
    variable: str | None = None
    help: str = ""

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"a kind is one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.short is not None and len(self.short) != 1:
            raise ValueError(f"a short name is one letter, got {self.short!r}")

    @property
    def takes_value(self) -> bool:
        """Whether a value follows."""
        return self.kind in ("value", "list")

    @property
    def shown(self) -> str:
        """The option as the user writes it."""
        return f"--{self.name}"

    def convert(self, text: str, origin: str | None = None) -> Any:
        """What a text means for this option.

        Raises:
            CommandLineError: nothing.
        """
        try:
            return self.read(text)
        except ValueError:
            raise CommandLineError(f"{origin or self.shown} cannot be {text!r}") from None

    def convert_variable(self, text: str) -> Any:
        """What the text of the environment variable means.

        Raises:
            CommandLineError: nothing.
        """
        if self.kind == "list":
            return [self.convert(each, self.variable) for each in text.split(",") if each]
        if self.kind == "value":
            return self.convert(text, self.variable)
        try:
            return int(text) if self.kind == "count" else SWITCHES[text.lower()]
        except (KeyError, ValueError):
            raise CommandLineError(f"{self.variable} cannot be {text!r}") from None
