"""What happens when: acts in with their instants, the same acts out in the order of time, delayed as messages are."""

from collections.abc import Callable
from datetime import datetime
from heapq import heappop, heappush
from random import Random
from typing import Any

from oms_kernel.contracts.broker import AnyReport
from oms_kernel.simulation.latency import NO_LATENCY, Latency

CLOSES, ENDS, ARRIVES, REPORTS = range(4)
"""What comes first at one instant: what ends goes before what arrives, and reports leave last."""

Act = Callable[[Any], None]


class Clockwork:
    """The engine's own time: it moves when it is told to, and never back."""

    def __init__(self, now: datetime, latency: Latency, seed: int) -> None:
        self.now = now
        self._delays = None if latency == NO_LATENCY else latency
        self._random = Random(seed)
        self._sequence = 0
        self._timers: list[tuple[datetime, int, int, Act, Any]] = []
        self._last_arrival = now
        self._last_report = now
        self._out: list[AnyReport] = []

    def next(self) -> int:
        """A number that is larger than all before it."""
        self._sequence += 1
        return self._sequence

    def at(self, when: datetime, rank: int, act: Act, subject: Any) -> None:
        """Call `act(subject)` at an instant; rank orders what falls together."""
        heappush(self._timers, (when, rank, self.next(), act, subject))

    def run_until(self, now: datetime) -> None:
        """Move the clock and do what is due on the way, each at its own instant."""
        timers = self._timers
        while timers and timers[0][0] <= now:
            when, _, _, act, subject = heappop(timers)
            if when > self.now:
                self.now = when
            act(subject)
        if now > self.now:
            self.now = now

    def receive(self, act: Act, subject: Any) -> None:
        """Do what a client asks, once it has arrived; commands are never reordered."""
        if self._delays is None:
            act(subject)
            return
        arrives_at = max(self._last_arrival, self.now + self._delays.order_delay(self._random))
        self._last_arrival = arrives_at
        self.at(arrives_at, ARRIVES, act, subject)

    def report(self, report: AnyReport) -> None:
        """Let a report out, once it is due; reports are never reordered."""
        if self._delays is None:
            self._out.append(report)
            return
        leaves_at = max(self._last_report, self.now + self._delays.report_delay(self._random))
        self._last_report = leaves_at
        self.at(leaves_at, REPORTS, self._out_with, report)

    def drain(self) -> list[AnyReport]:
        """The reports that are due by now, each once."""
        if self._timers and self._timers[0][0] <= self.now:
            self.run_until(self.now)
        out, self._out = self._out, []
        return out

    def _out_with(self, report: AnyReport) -> None:
        self._out.append(report)
