"""The cache itself."""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

from tidecache.clock import Clock, MonotonicClock
from tidecache.entry import Cause, Entry
from tidecache.stats import Stats


class TooHeavyError(ValueError):
    """A single value that weighs more than the whole cache may."""


class Cache:
    """Values by key; the least recently used go first when the weights exceed ``max_weight``."""

    def __init__(
        self,
        max_weight: int,
        ttl_s: float | None = None,
        *,
        weigh: Callable[[Any], int] = lambda _value: 1,
        on_remove: Callable[[Hashable, Any, Cause], None] | None = None,
        clock: Clock | None = None,
    ) -> None:
        if max_weight < 1:
            raise ValueError("a cache needs room for a weight of at least 1")
        self.stats = Stats()
        self._max_weight = max_weight
        self._ttl_s = ttl_s
        self._weigh = weigh
        self._on_remove = on_remove
        self._clock = clock or MonotonicClock()
        self._entries: OrderedDict[Hashable, Entry] = OrderedDict()
        self._weight = 0

    def __len__(self) -> int:
        """Entries kept, dead ones that nobody has noticed yet included."""
        return len(self._entries)

    def __iter__(self) -> Iterator[Hashable]:
        """The keys, the least recently used first."""
        return iter(list(self._entries))

    def __contains__(self, key: Hashable) -> bool:
        entry = self._entries.get(key)
        return entry is not None and not entry.is_dead(self._clock.now())

    def put(self, key: Hashable, value: Any, ttl_s: float | None = None) -> None:
        """Keeps a value, in place of an earlier one of the same key, for ``ttl_s`` or the cache's own time.

        Raises:
            TooHeavyError: the value alone exceeds the cache; an earlier value of the key stays.
        """
        weight = self._weigh(value)
        if weight > self._max_weight:
            raise TooHeavyError(f"{key!r} weighs {weight}, the cache holds {self._max_weight}")
        lifetime_s = self._ttl_s if ttl_s is None else ttl_s
        expires_at_s = None if lifetime_s is None else self._clock.now() + lifetime_s
        earlier = self._entries.get(key)
        if earlier is not None:
            self._report(key, earlier, Cause.REPLACED)
        self._entries[key] = Entry(value, weight, expires_at_s)
        self._entries.move_to_end(key)
        self._weight += weight
        self._shrink()

    def get(self, key: Hashable, default: Any = None) -> Any:
        """The living value of a key, which counts as a use, or the default."""
        entry = self._entries.get(key)
        if entry is not None and entry.is_dead(self._clock.now()):
            del self._entries[key]
            self._report(key, entry, Cause.EXPIRED)
            entry = None
        if entry is None:
            self.stats.misses += 1
            return default
        self.stats.hits += 1
        self._entries.move_to_end(key)
        return entry.value

    def discard(self, key: Hashable) -> bool:
        """Lets go of a key; whether it was there."""
        return self._remove(key, Cause.DISCARDED)

    def purge(self) -> int:
        """Lets go of all dead entries; their number."""
        now_s = self._clock.now()
        dead = [key for key, entry in self._entries.items() if entry.is_dead(now_s)]
        for key in dead:
            self._remove(key, Cause.EXPIRED)
        return len(dead)

    def resize(self, max_weight: int) -> None:
        """Changes what the cache may hold, and lets go of what no longer fits."""
        if max_weight < 1:
            raise ValueError("a cache needs room for a weight of at least 1")
        self._max_weight = max_weight
        self._shrink()

    def _shrink(self) -> None:
        while self._entries and self._weight > self._max_weight:
            self._remove(next(iter(self._entries)), Cause.EVICTED)

    def _remove(self, key: Hashable, cause: Cause) -> bool:
        entry = self._entries.pop(key, None)
        if entry is None:
            return False
        self._weight -= entry.weight
        self._report(key, entry, cause)
        return True

    def _report(self, key: Hashable, entry: Entry, cause: Cause) -> None:
        self.stats.removals[cause] += 1
        if self._on_remove is not None:
            self._on_remove(key, entry.value, cause)
