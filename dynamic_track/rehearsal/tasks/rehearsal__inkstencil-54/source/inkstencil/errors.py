"""What can be wrong with a template."""


class TemplateError(ValueError):
    """A template that cannot be read or rendered; ``line`` counts from 1, None where it is not known."""

    def __init__(self, message: str, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.line = line
