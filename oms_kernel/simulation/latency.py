"""How long messages take, drawn from a seed: the same seed gives the same delays in the same order."""

from datetime import timedelta
from random import Random

import msgspec


class Latency(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Delays in milliseconds of the engine's clock: fixed part, and a jitter of 0 up to so much on top."""

    order_ms: int = 0
    order_jitter_ms: int = 0
    report_ms: int = 0
    report_jitter_ms: int = 0

    def order_delay(self, random: Random) -> timedelta:
        """From the sending of a command to its arrival at the book."""
        return _delay(self.order_ms, self.order_jitter_ms, random)

    def report_delay(self, random: Random) -> timedelta:
        """From an event at the book to the report of it."""
        return _delay(self.report_ms, self.report_jitter_ms, random)


NO_LATENCY = Latency()


def _delay(fixed_ms: int, jitter_ms: int, random: Random) -> timedelta:
    return timedelta(milliseconds=fixed_ms + (random.randint(0, jitter_ms) if jitter_ms else 0))
