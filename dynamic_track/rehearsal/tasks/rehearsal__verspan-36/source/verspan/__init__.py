"""Ranges of semantic versions, and the versions inside of them."""

from verspan.errors import RangeError, VersionError
from verspan.ranges import Range
from verspan.resolve import best, outdated
from verspan.version import Version

__all__ = ["Range", "RangeError", "Version", "VersionError", "best", "outdated"]
