"""A script of faults in, what to do about one message out: each fault strikes where it says, as often as it says."""

from enum import StrEnum
from typing import Any

import msgspec

from oms_kernel.domain.order import OrderType


class FaultPoint(StrEnum):
    """The messages at which a fault may strike."""

    SUBMIT = "submit"
    CANCEL = "cancel"
    REPLACE = "replace"
    FILL = "fill"
    SNAPSHOT = "snapshot"
    CONNECT = "connect"


class FaultKind(StrEnum):
    """What goes wrong, as brokers and networks really do it."""

    LOST_ACK = "lost_ack"
    """submit, cancel, replace: it is done, but the answer never arrives (the query shows it)."""
    SILENCE = "silence"
    """submit, cancel, replace: it is lost on the way; nothing happens and nothing is said."""
    REJECT = "reject"
    """submit, cancel, replace: refused with the fault's `text`."""
    DELAY = "delay"
    """submit, cancel, replace: it is done `delay_ms` later."""
    DISCONNECT_MID_SUBMIT = "disconnect_mid_submit"
    """submit: the order is taken, then the connection breaks before a word is said."""
    DISCONNECT = "disconnect"
    """any: the connection breaks and the message is lost."""
    FILL_BEFORE_ACK = "fill_before_ack"
    """submit: the first fill is told before the acknowledgement."""
    REORDERED_REPORTS = "reordered_reports"
    """submit: all reports of the order are told in reverse, once it has ended."""
    FILL_AFTER_CANCEL = "fill_after_cancel"
    """cancel: Canceled is told, and then an execution of `quantity_percent` of what was left, which had come first."""
    DUPLICATE_EXECUTION = "duplicate_execution"
    """fill: the execution is told twice, with the same id."""
    OVER_FILL = "over_fill"
    """fill: one more execution, with an id of its own, for `quantity_percent` of the order beyond its total."""
    LOST_FILL = "lost_fill"
    """fill: the execution happens but is not told (the query shows it)."""
    FAILED_QUERY = "failed_query"
    """snapshot: the part named by `part`, or every part, fails."""


AT: dict[FaultKind, frozenset[FaultPoint]] = {
    FaultKind.LOST_ACK: frozenset({FaultPoint.SUBMIT, FaultPoint.CANCEL, FaultPoint.REPLACE}),
    FaultKind.SILENCE: frozenset({FaultPoint.SUBMIT, FaultPoint.CANCEL, FaultPoint.REPLACE}),
    FaultKind.REJECT: frozenset({FaultPoint.SUBMIT, FaultPoint.CANCEL, FaultPoint.REPLACE}),
    FaultKind.DELAY: frozenset({FaultPoint.SUBMIT, FaultPoint.CANCEL, FaultPoint.REPLACE}),
    FaultKind.DISCONNECT_MID_SUBMIT: frozenset({FaultPoint.SUBMIT}),
    FaultKind.DISCONNECT: frozenset(FaultPoint) - {FaultPoint.FILL},
    FaultKind.FILL_BEFORE_ACK: frozenset({FaultPoint.SUBMIT}),
    FaultKind.REORDERED_REPORTS: frozenset({FaultPoint.SUBMIT}),
    FaultKind.FILL_AFTER_CANCEL: frozenset({FaultPoint.CANCEL}),
    FaultKind.DUPLICATE_EXECUTION: frozenset({FaultPoint.FILL}),
    FaultKind.OVER_FILL: frozenset({FaultPoint.FILL}),
    FaultKind.LOST_FILL: frozenset({FaultPoint.FILL}),
    FaultKind.FAILED_QUERY: frozenset({FaultPoint.SNAPSHOT}),
}
"""Where each fault may strike; a script that says otherwise is refused."""


class When(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """Which messages a fault strikes: the `nth` at its point that fits (1 is the next one), and `times` in a row.

    symbol and order_type narrow what fits; times 0 stands for all from the nth on.
    """

    command: FaultPoint
    nth: int = 1
    times: int = 1
    symbol: str | None = None
    order_type: OrderType | None = None


class Fault(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """One line of a script, in JSON for instance {"when": {"command": "submit", "nth": 3}, "do": "lost_ack"}."""

    when: When
    do: FaultKind
    text: str = "refused by the fault script"
    delay_ms: int = 0
    quantity_percent: int = 100
    part: str | None = None

    def __post_init__(self) -> None:
        if self.when.command not in AT[self.do]:
            raise ValueError(f"{self.do} strikes at {', '.join(sorted(AT[self.do]))}, not at {self.when.command}")
        if self.when.nth < 1 or self.when.times < 0:
            raise ValueError("nth counts from 1; times is 0 (always) or more")
        if self.delay_ms < 0 or not 1 <= self.quantity_percent <= 100:
            raise ValueError("delay_ms is 0 or more, quantity_percent lies in 1..100")


class FaultScript:
    """Counts messages and says which faults strike. One script serves one broker and has a memory."""

    def __init__(self, faults: tuple[Fault, ...] = ()) -> None:
        self.set(faults)

    def set(self, faults: tuple[Fault, ...]) -> None:
        """Begin a new script; counting begins anew."""
        self._faults = faults
        self._seen = [0] * len(faults)

    def strike(
        self, point: FaultPoint, *, symbol: str | None = None, order_type: OrderType | None = None
    ) -> tuple[Fault, ...]:
        """The faults that strike this message, in the order of the script."""
        return tuple(
            fault
            for place, fault in enumerate(self._faults)
            if _fits(fault.when, point, symbol, order_type) and self._counts(place, fault.when)
        )

    def _counts(self, place: int, when: When) -> bool:
        self._seen[place] += 1
        seen = self._seen[place]
        return seen >= when.nth and (when.times == 0 or seen < when.nth + when.times)


def fault(point: FaultPoint | str, do: FaultKind | str, **fields: Any) -> Fault:
    """One fault at the next message of a point; the fields of `When` and of `Fault` may be given by name."""
    when: dict[str, Any] = {
        name: fields.pop(name) for name in ("nth", "times", "symbol", "order_type") if name in fields
    }
    return msgspec.convert({"when": {"command": str(point), **when}, "do": str(do), **fields}, Fault)


def _fits(when: When, point: FaultPoint, symbol: str | None, order_type: OrderType | None) -> bool:
    return when.command is point and when.symbol in (None, symbol) and when.order_type in (None, order_type)
