"""What can be wrong with a configuration text."""


class ConfError(ValueError):
    """A text that is not in the format; ``line`` counts from 1, or is None where a value was read alone."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.line = line
