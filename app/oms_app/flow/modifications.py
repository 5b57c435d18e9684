"""An order's events in, its modifications out: each with the terms asked for, who asked, how it ended and when.

Guarantee: only what the log says is told, so reading a modification twice gives the same words.
"""

from collections.abc import Sequence
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from oms_kernel.domain import events as ev
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.lifecycle import RequestKind, RequestStatus
from oms_kernel.domain.order import Order

BROKER = "broker"
"""Who asked for a change that nobody here asked for."""


class ModificationStatus(StrEnum):
    """How far a modification has come."""

    REQUESTED = "REQUESTED"
    SENT = "SENT"
    IN_DOUBT = "IN_DOUBT"
    DONE = "DONE"
    REFUSED = "REFUSED"
    DENIED = "DENIED"


OPEN = frozenset({ModificationStatus.REQUESTED, ModificationStatus.SENT, ModificationStatus.IN_DOUBT})


class Modification(msgspec.Struct, frozen=True, kw_only=True):
    """One change of an order's terms. `quantity` is the new total; `number` counts from 1 in the order of asking."""

    number: int
    status: ModificationStatus
    quantity: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    principal: str
    requested_at: datetime
    sent_at: datetime | None = None
    settled_at: datetime | None = None
    settled_by: str = ""
    """The person who settled it; empty when the broker's word or our own checks did."""
    reason: str = ""
    wire_ids: tuple[str, ...] = ()
    broker_order_id: str | None = None
    """The id that the broker gave the order with these terms."""


def modifications(order: Order, events: Sequence[Recorded]) -> list[Modification]:
    """Every modification of the order, whose events these are, oldest first."""
    told: list[Modification] = []
    for recorded in events:
        _tell(told, recorded)
    place = _last_asked(told)
    if place is not None and told[place].status in OPEN and not order.is_active:
        told[place] = _ended_with(order, told[place], events)
    return told


def _ended_with(order: Order, modification: Modification, events: Sequence[Recorded]) -> Modification:
    """A modification that was under way when the order ended: done when the fills prove its total, else refused."""
    proved = order.replace is not None and order.replace.status is RequestStatus.DONE
    status, reason = (ModificationStatus.DONE, "") if proved else (ModificationStatus.REFUSED, "the order ended first")
    ends = [one.recorded_at for one in events if isinstance(one.event, (ev.OrderEnded, ev.OrderFilled))]
    return msgspec.structs.replace(
        modification, status=status, settled_at=ends[-1] if ends else order.updated_at, reason=reason
    )


def _tell(told: list[Modification], recorded: Recorded) -> None:
    event, at = recorded.event, recorded.recorded_at
    match event:
        case ev.ReplaceRequested():
            told.append(_asked(told, event, at, ModificationStatus.REQUESTED))
        case ev.ReplaceDenied():
            denied = _asked(told, event, at, ModificationStatus.DENIED)
            first = event.verdicts[0] if event.verdicts else None
            reason = f"{first.rule}: {first.message or first.code or 'denied'}" if first else "denied"
            told.append(msgspec.structs.replace(denied, settled_at=at, reason=reason))
        case ev.IntentRecorded(request_kind=RequestKind.REPLACE, wire_id=wire_id):
            place = _last_asked(told)
            wires = told[place].wire_ids if place is not None else ()
            wires = wires if wire_id in wires else (*wires, wire_id)
            _change(told, status=ModificationStatus.SENT, sent_at=at, wire_ids=wires)
        case ev.RequestInDoubt(request_kind=RequestKind.REPLACE, reason=reason):
            _change(told, status=ModificationStatus.IN_DOUBT, reason=reason)
        case ev.OrderReplaced(settles=True) if _last_asked(told) is not None:
            done = {"broker_order_id": event.broker_order_id, "settled_by": event.principal, "reason": ""}
            _change(told, status=ModificationStatus.DONE, settled_at=at, **done)
        case ev.OrderReplaced():
            told.append(_by_broker(told, event, at))
        case ev.ReplaceRefused(reason=reason, principal=principal):
            _change(told, status=ModificationStatus.REFUSED, settled_at=at, reason=reason, settled_by=principal)
        case _:
            pass


def _asked(
    told: list[Modification], event: ev.ReplaceRequested | ev.ReplaceDenied, at: datetime, status: ModificationStatus
) -> Modification:
    return Modification(
        number=len(told) + 1,
        status=status,
        quantity=event.quantity,
        limit_price=event.limit_price,
        stop_price=event.stop_price,
        trail_amount=getattr(event, "trail_amount", None),
        trail_percent=getattr(event, "trail_percent", None),
        principal=event.principal,
        requested_at=at,
    )


def _by_broker(told: list[Modification], event: ev.OrderReplaced, at: datetime) -> Modification:
    return Modification(
        number=len(told) + 1,
        status=ModificationStatus.DONE,
        quantity=event.quantity,
        limit_price=event.limit_price,
        stop_price=event.stop_price,
        trail_amount=event.trail_amount,
        trail_percent=event.trail_percent,
        principal=BROKER,
        requested_at=at,
        settled_at=at,
        broker_order_id=event.broker_order_id,
    )


def _last_asked(told: list[Modification]) -> int | None:
    """Where the last modification stands that passed our own checks and that somebody here asked for."""
    for place in range(len(told) - 1, -1, -1):
        if told[place].status is not ModificationStatus.DENIED and told[place].principal != BROKER:
            return place
    return None


def _change(told: list[Modification], **values: object) -> None:
    place = _last_asked(told)
    if place is not None:
        told[place] = msgspec.structs.replace(told[place], **values)
