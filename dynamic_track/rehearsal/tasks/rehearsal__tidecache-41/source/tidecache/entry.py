"""What a cache keeps for one key, and why it lets go of it."""

from dataclasses import dataclass
from enum import Enum
from typing import Any


class Cause(Enum):
    """Why a value left the cache."""

    EVICTED = "evicted"
    """there was no room for it any more"""
    EXPIRED = "expired"
    """it had outlived its time"""
    REPLACED = "replaced"
    """its key was given another value"""
    DISCARDED = "discarded"
    """somebody asked for it to go"""


@dataclass(frozen=True)
class Entry:
    """A value with its weight and the moment of its death, None for never."""

    value: Any
    weight: int
    expires_at_s: float | None

    def is_dead(self, now_s: float) -> bool:
        """Whether the entry must not be returned any more."""
        return self.expires_at_s is not None and now_s >= self.expires_at_s
