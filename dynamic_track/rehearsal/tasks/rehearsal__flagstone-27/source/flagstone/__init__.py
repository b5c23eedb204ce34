"""Options of a command line."""

from flagstone.errors import CommandLineError
from flagstone.option import Option
from flagstone.parser import Parsed, Parser
from flagstone.usage import usage

__all__ = ["CommandLineError", "Option", "Parsed", "Parser", "usage"]
