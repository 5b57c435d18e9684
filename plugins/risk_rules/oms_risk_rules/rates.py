"""How many messages lately: an immutable count in whole slots of time that never counts too few."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from oms_kernel.recent import Recent

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Rate(msgspec.Struct, frozen=True):
    """Counts of the last `slots` slots of `slot` each, and of the slot that is under way. Oldest first."""

    slot: timedelta
    slots: int
    counts: tuple[tuple[int, int], ...] = ()
    total: int = 0

    def counted(self, at: datetime) -> "Rate":
        """The rate with one more message."""
        number = (at - _EPOCH) // self.slot
        total, counts = self._living(number)
        if counts and counts[-1][0] >= number:
            counts = (*counts[:-1], (counts[-1][0], counts[-1][1] + 1))
        else:
            counts = (*counts, (number, 1))
        return Rate(self.slot, self.slots, counts, total + 1)

    def within(self, now: datetime) -> int:
        """How many messages in the last `slots` x `slot`; those of the slot that is only partly within count too."""
        return self._living((now - _EPOCH) // self.slot)[0]

    def _living(self, present: int) -> tuple[int, tuple[tuple[int, int], ...]]:
        """(total, counts) without the slots that are over for good when slot `present` is under way."""
        first = present - self.slots
        total, counts = self.total, self.counts
        if not counts or counts[0][0] >= first:
            return total, counts
        expired = 0
        for number, count in counts:
            if number >= first:
                break
            total -= count
            expired += 1
        return total, counts[expired:]


def rates_of(memory: Recent[Any, Any]) -> dict[Any, Rate]:
    """Every rate that a memory keeps, by its key; whatever else it keeps is left out."""
    newest: dict[Any, Any] = {}
    for generation in reversed(memory.generations):
        newest.update(generation.entries)
    return {key: value for key, (_, value) in newest.items() if isinstance(value, Rate)}
