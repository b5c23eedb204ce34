"""Changes of JSON documents as data."""

from jsonsplice.difference import diff
from jsonsplice.errors import PatchError, PointerError
from jsonsplice.operation import Operation
from jsonsplice.patch import Patch
from jsonsplice.pointer import Pointer

__all__ = ["Operation", "Patch", "PatchError", "Pointer", "PointerError", "diff"]
