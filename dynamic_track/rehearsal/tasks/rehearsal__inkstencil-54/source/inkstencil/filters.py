"""What values go through before they are written."""

from collections.abc import Callable, Mapping

from inkstencil.errors import TemplateError

Filter = Callable[[object], object]

BUILT_IN: dict[str, Filter] = {
    "upper": lambda value: text_of(value).upper(),
    "lower": lambda value: text_of(value).lower(),
    "length": lambda value: len(value) if hasattr(value, "__len__") else 0,
    "join": lambda value: ", ".join(map(text_of, value)) if isinstance(value, list | tuple) else text_of(value),
    "default": lambda value: "-" if value is None else value,
}


class Filters:
    """The filters of an environment by name."""

    def __init__(self, more: Mapping[str, Filter]) -> None:
        self._by_name = {**BUILT_IN, **more}

    def apply(self, name: str, value: object) -> object:
        """What a filter makes of a value.

        Raises:
            TemplateError: there is no such filter.
        """
        if name not in self._by_name:
            raise TemplateError(f"no filter {name!r}")
        return self._by_name[name](value)


def text_of(value: object) -> str:
    """A value as it is written."""
    return "" if value is None else str(value)
