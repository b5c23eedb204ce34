"""What is shown to the user."""

from flagstone.option import Option
from flagstone.parser import Parser


def usage(parser: Parser) -> str:
    """One line for the command, and one for each option."""
    rows = [(_names(option), _told(option)) for option in parser.options]
    width = max((len(names) for names, _ in rows), default=0)
    lines = [f"usage: {parser.command} [options] [arguments]"]
    lines += [f"  {names:<{width}}  {told}".rstrip() for names, told in rows]
    return "\n".join(lines)


def _names(option: Option) -> str:
    short = "" if option.short is None else f"-{option.short}, "
    if option.kind == "flag":
        return f"{short}--[no-]{option.name}"
    return f"{short}{option.shown}" + (f" {option.name.upper()}" if option.takes_value else "")


def _told(option: Option) -> str:
    told = [option.help] if option.help else []
    if option.default is not None:
        told.append(f"[default: {option.default}]")
    if option.variable is not None:
        told.append(f"[variable: {option.variable}]")
    return " ".join(told)
