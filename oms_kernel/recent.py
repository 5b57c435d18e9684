"""A map of what happened lately, for the memory of rules: immutable, cheap to extend, forgetting by itself.

`put` returns a new map and leaves the old one as it was. Entries live in a few dictionaries that are merged when a
newer one has grown as large as its elder, newest first, and that nobody changes once they are made: `put` costs
O(log n) on average, `get` looks into O(log n) of them. Merging drops what is older than the horizon.
"""

from collections.abc import Hashable
from datetime import datetime, timedelta
from typing import Generic, TypeVar

import msgspec

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Generation(msgspec.Struct, Generic[K, V], frozen=True):
    """Some entries and the time of the newest."""

    newest_at: datetime
    entries: dict[K, tuple[datetime, V]]


class Recent(msgspec.Struct, Generic[K, V], frozen=True):
    """The entries of at least the last `horizon`; older ones may still be there."""

    horizon: timedelta
    generations: tuple[Generation[K, V], ...] = ()

    def get(self, key: K) -> tuple[datetime, V] | None:
        """(time, value) of the newest entry of the key, or None. Compare the time: it may be older than the horizon."""
        for generation in self.generations:
            found = generation.entries.get(key)
            if found is not None:
                return found
        return None

    def put(self, key: K, at: datetime, value: V) -> "Recent[K, V]":
        """The map with one more entry; `at` never decreases from call to call."""
        oldest = at - self.horizon
        entries = {key: (at, value)}
        kept = [generation for generation in self.generations if generation.newest_at >= oldest]
        while kept and len(kept[0].entries) <= len(entries):
            elder = kept.pop(0).entries
            entries = {**{k: v for k, v in elder.items() if v[0] >= oldest}, **entries}
        return Recent(self.horizon, (Generation(at, entries), *kept))

    def __len__(self) -> int:
        """How many entries are kept, repeated keys counted again."""
        return sum(len(generation.entries) for generation in self.generations)
