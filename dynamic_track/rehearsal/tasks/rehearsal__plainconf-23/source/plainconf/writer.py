"""Writing a configuration that reads back as the same."""

from collections.abc import Mapping

from plainconf.values import BARE_WORD, ESCAPES, Scalar, Value, parse_scalar

_ESCAPED = {char: "\\" + escape for escape, char in ESCAPES.items()}


def dumps(document: Mapping[str, Mapping[str, Value]]) -> str:
    """The text of a configuration: the unnamed section first, then the others in their order."""
    blocks = []
    for name in sorted(document, key=bool):
        lines = [f"[{name}]"] if name else []
        lines += [f"{key} = {write_value(value)}" for key, value in document[name].items()]
        blocks.append("\n".join(lines))
    return "\n\n".join(blocks) + "\n"


def write_value(value: Value) -> str:
    """One value as it is written in a file."""
    if isinstance(value, list):
        return "[" + ", ".join(write_scalar(item) for item in value) + "]"
    return write_scalar(value)


def write_scalar(value: Scalar) -> str:
    """One scalar; strings are quoted unless a bare word would read back as the same string."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str):
        return str(value)
    if BARE_WORD.fullmatch(value) and parse_scalar(value) == value:
        return value
    return '"' + "".join(_ESCAPED.get(char, char) for char in value) + '"'
