"""A configuration that has been read."""

from pathlib import Path

from plainconf.errors import ConfError
from plainconf.lines import Section, read_lines
from plainconf.values import Value, parse_value


class Document(dict[str, dict[str, Value]]):
    """Sections by name, each with its values by key; settings before the first section are in ``""``."""

    def lookup(self, path: str, default: Value | None = None) -> Value | None:
        """The value at ``section/key``, or at ``key`` for the unnamed section."""
        section, _, key = path.rpartition("/")
        return self.get(section, {}).get(key, default)


def loads(text: str) -> Document:
    """The configuration in a text.

    Raises:
        ConfError: a line is not in the format, or sets a key a second time.
    """
    document = Document()
    current = ""
    for item in read_lines(text):
        if isinstance(item, Section):
            current = item.name
            document.setdefault(current, {})
            continue
        settings = document.setdefault(current, {})
        if item.key in settings:
            raise ConfError(f"{item.key} is set a second time", item.line)
        try:
            settings[item.key] = parse_value(item.value)
        except ConfError as error:
            raise ConfError(str(error), item.line) from None
    return document


def load(path: Path | str) -> Document:
    """The configuration in a file of UTF-8 text."""
    return loads(Path(path).read_text(encoding="utf-8"))
