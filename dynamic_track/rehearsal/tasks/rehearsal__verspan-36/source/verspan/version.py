"""One semantic version."""

import re
from dataclasses import dataclass
from functools import total_ordering

from verspan.errors import VersionError

_NUMBER = r"(0|[1-9]\d*)"
_LABELS = r"[0-9A-Za-z-]+(?:\.[0-9A-Za-z-]+)*"
_VERSION = re.compile(rf"v?{_NUMBER}\.{_NUMBER}\.{_NUMBER}(?:-({_LABELS}))?(?:\+{_LABELS})?")


@total_ordering
@dataclass(frozen=True)
class Version:
    """A version; ``prerelease`` is empty for a release."""

    major: int
    minor: int
    patch: int
    prerelease: tuple[str, ...] = ()

    @classmethod
    def parse(cls, text: str) -> "Version":
        """The version written as ``major.minor.patch``, with an optional ``-prerelease`` and ``+build``.

        Raises:
            VersionError: the text is no version.
        """
        match = _VERSION.fullmatch(text.strip())
        if match is None:
            raise VersionError(f"not a version: {text!r}")
        labels = tuple(match[4].split(".")) if match[4] else ()
        return cls(int(match[1]), int(match[2]), int(match[3]), labels)

    def __str__(self) -> str:
        labels = f"-{'.'.join(self.prerelease)}" if self.prerelease else ""
        return f"{self.major}.{self.minor}.{self.patch}{labels}"

    def __lt__(self, other: "Version") -> bool:
        return self._rank() < other._rank()

    @property
    def core(self) -> tuple[int, int, int]:
        """Major, minor and patch."""
        return (self.major, self.minor, self.patch)

    def _rank(self) -> tuple[object, ...]:
        # Numbers sort below words, and a release above all of its prereleases.
        labels = tuple((0, int(label), "") if label.isdigit() else (1, 0, label) for label in self.prerelease)
        return (self.core, not self.prerelease, labels)
