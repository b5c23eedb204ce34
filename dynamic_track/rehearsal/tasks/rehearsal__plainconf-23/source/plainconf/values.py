"""Values as they are written, and what they mean."""

import re

from plainconf.errors import ConfError

TRUTH_VALUES = {"yes": True, "true": True, "no": False, "false": False}

Scalar = str | int | float | bool
Value = Scalar | list[Scalar]

ESCAPES = {'"': '"', "\\": "\\", "n": "\n", "t": "\t"}
BARE_WORD = re.compile(r"[A-Za-z0-9._/:@%-]+")
_WHOLE = re.compile(r"[+-]?\d+")
_DECIMAL = re.compile(r"[+-]?\d+\.\d+")


def parse_value(text: str) -> Value:
    """The value that a text stands for.

    Raises:
        ConfError: the text is no value of the format.
    """
    if text.startswith("["):
        if not text.endswith("]"):
            raise ConfError(f"unterminated list: {text}")
        return [parse_scalar(item) for item in split_items(text[1:-1])]
    return parse_scalar(text)


def parse_scalar(text: str) -> Scalar:
    """The string, number or truth value that a text stands for."""
    if text[:1] in ("'", '"'):
        return unquote(text)
    if text.lower() in TRUTH_VALUES:
        return TRUTH_VALUES[text.lower()]
    if _WHOLE.fullmatch(text):
        return int(text)
    if _DECIMAL.fullmatch(text):
        return float(text)
    if not BARE_WORD.fullmatch(text):
        raise ConfError(f"not a value: {text!r}")
    return text


def unquote(text: str) -> str:
    """The content of one quoted string, which must span the whole text."""
    quote = text[0]
    content: list[str] = []
    position = 1
    while position < len(text):
        char = text[position]
        if char == quote:
            if position + 1 != len(text):
                raise ConfError(f"text after the closing quote: {text}")
            return "".join(content)
        if char == "\\" and quote == '"':
            position += 1
            escape = text[position : position + 1]
            if escape not in ESCAPES:
                raise ConfError(f"unknown escape \\{escape}: {text}")
            char = ESCAPES[escape]
        content.append(char)
        position += 1
    raise ConfError(f"unterminated string: {text}")


def split_items(text: str) -> list[str]:
    """The items of a list, cut at the commas that stand outside of quotes."""
    if not text.strip():
        return []
    items: list[str] = []
    start = position = 0
    quote = ""
    while position < len(text):
        char = text[position]
        if quote:
            if char == "\\" and quote == '"':
                position += 1
            elif char == quote:
                quote = ""
        elif char in "'\"":
            quote = char
        elif char == ",":
            items.append(text[start:position].strip())
            start = position + 1
        position += 1
    items.append(text[start:].strip())
    return items
