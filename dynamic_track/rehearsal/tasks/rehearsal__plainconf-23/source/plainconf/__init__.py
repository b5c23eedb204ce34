"""A small configuration format with typed values."""

from plainconf.document import Document, load, loads
from plainconf.errors import ConfError
from plainconf.writer import dumps

__all__ = ["ConfError", "Document", "dumps", "load", "loads"]
