"""A history of operations, the log and both sides' books in, every broken promise out; pure, and tested itself.

An operation is `ok` (it happened), `fail` (it certainly did not) or `info` (nobody can tell). Two operations are in
order when one was completed before the other was invoked; operations that overlap may have happened in any order.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from heapq import heappop, heappush

import msgspec

from campaigns.checks import Kind, OurOrder, Violation

ZERO = Decimal(0)


class Outcome(StrEnum):
    """What is known of an operation."""

    OK = "ok"
    FAIL = "fail"
    INFO = "info"


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order as an answer showed it."""

    order_id: str
    account_id: str
    version: int
    state: str
    quantity: Decimal
    filled: Decimal


class Held(msgspec.Struct, frozen=True, omit_defaults=True):
    """A position as an answer showed it."""

    account_id: str
    instrument_id: str
    quantity: Decimal
    bought: Decimal
    sold: Decimal


class Op(msgspec.Struct, frozen=True, omit_defaults=True):
    """One operation of one client. invoked_s and completed_s: by one monotonic clock.

    asked: the client order ids of new orders, or the id of the order that is changed, cancelled or read.
    """

    number: int
    client: str
    tenant: str
    kind: str
    asked: tuple[str, ...]
    invoked_s: float
    completed_s: float
    outcome: Outcome
    status: int = 0
    orders: tuple[Seen, ...] = ()
    positions: tuple[Held, ...] = ()


class Step(msgspec.Struct, frozen=True):
    """An order right after an event of the log. most: the larger of its total and the one of an open replace."""

    seq: int
    order_id: str
    account_id: str
    instrument_id: str
    is_buy: bool
    status: str
    is_active: bool
    quantity: Decimal
    most: Decimal
    filled: Decimal


class Booked(msgspec.Struct, frozen=True):
    """An execution in the log. quantity is signed."""

    seq: int
    account_id: str
    instrument_id: str
    quantity: Decimal
    price: Decimal
    fee: Decimal


TERMINAL = frozenset({"FILLED", "CANCELED", "REJECTED", "EXPIRED", "DENIED"})
MOVES: Mapping[str, frozenset[str]] = {
    "": frozenset({"NEW", "HELD", "DENIED"}),
    "NEW": frozenset({"WORKING", "PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED"}),
    "WORKING": frozenset({"PARTIALLY_FILLED", "FILLED", "CANCELED", "REJECTED", "EXPIRED"}),
    "PARTIALLY_FILLED": frozenset({"WORKING", "FILLED", "CANCELED", "EXPIRED"}),
    "HELD": frozenset({"NEW", "CANCELED", "REJECTED", "EXPIRED"}),
}
"""Which status may follow which, written down anew: what has ended stays as it ended. Nothing is busted here."""


def check_answers(ops: Sequence[Op], orders: Sequence[OurOrder]) -> Iterator[Violation]:
    """Each order that was told of exists once under its id; a failed one does not, an uncertain one at most once."""
    ours: defaultdict[str, list[OurOrder]] = defaultdict(list)
    for order in orders:
        ours[order.client_order_id or ""].append(order)
    for op in ops:
        if op.kind not in ("place", "bulk"):
            continue
        told = {index: seen for index, seen in enumerate(op.orders) if seen.order_id}
        for index, name in enumerate(op.asked):
            mine = ours.pop(name, [])
            if len(mine) > 1:
                yield Violation(Kind.DOUBLED, f"{name} exists {len(mine)} times")
            if op.outcome is Outcome.OK and index in told and not mine:
                yield Violation(Kind.LOST, f"{name} was told of as order {told[index].order_id} and does not exist")
            if op.outcome is Outcome.OK and index in told and mine and mine[0].order_id != told[index].order_id:
                yield Violation(Kind.CONTRADICTION, f"{name} was told of under another id")
            went_out = [order for order in mine if order.state != "DENIED"]
            if op.outcome is Outcome.FAIL and went_out:
                yield Violation(Kind.CONTRADICTION, f"{name} failed with {op.status} and is {went_out[0].state}")
    for name, orders_of_nobody in ours.items():
        yield Violation(Kind.CONTRADICTION, f"order {orders_of_nobody[0].order_id} ({name}) was never asked for")


def check_versions(ops: Sequence[Op]) -> Iterator[Violation]:
    """Nobody sees an older version of an order than somebody saw before; a client sees what it wrote."""
    of_order: defaultdict[str, list[tuple[Op, Seen]]] = defaultdict(list)
    for op in ops:
        if op.outcome is Outcome.OK:
            for seen in op.orders:
                if seen.order_id:
                    of_order[seen.order_id].append((op, seen))
    for order_id, sightings in of_order.items():
        newest = 0
        waiting: list[tuple[float, int]] = []
        for op, seen in sorted(sightings, key=lambda sighting: sighting[0].invoked_s):
            while waiting and waiting[0][0] < op.invoked_s:
                newest = max(newest, heappop(waiting)[1])
            if seen.version < newest:
                text = f"operation {op.number} saw order {order_id} at version {seen.version} after {newest} was seen"
                yield Violation(Kind.CONTRADICTION, text)
            heappush(waiting, (op.completed_s, seen.version))
    for op in ops:
        if op.kind == "read" and op.status == 404 and op.asked and _was_told(of_order[op.asked[0]], op):
            yield Violation(Kind.LOST, f"operation {op.number} did not find order {op.asked[0]}, told of before")


def check_seen_orders(ops: Sequence[Op]) -> Iterator[Violation]:
    """No order is seen filled beyond its total."""
    for op in ops:
        for seen in op.orders:
            if seen.filled > seen.quantity:
                yield Violation(Kind.EXECUTION, f"order {seen.order_id} is filled {seen.filled} of {seen.quantity}")


def check_tenants(ops: Sequence[Op], accounts: Mapping[str, str]) -> Iterator[Violation]:
    """Nobody is shown an order or position of another tenant's account. accounts: tenant -> its account."""
    for op in ops:
        shown = {seen.account_id for seen in op.orders if seen.order_id} | {held.account_id for held in op.positions}
        strange = shown - {accounts[op.tenant]}
        if strange or (op.kind == "foreign" and op.status == 200):
            yield Violation(Kind.CONTRADICTION, f"operation {op.number} showed {op.tenant} what is another tenant's")


def check_positions_read(ops: Sequence[Op], booked: Sequence[Booked]) -> Iterator[Violation]:
    """Each position that was read is the sum of the first executions of the log, and never goes back in time."""
    prefixes: dict[tuple[str, str], dict[tuple[Decimal, Decimal], int]] = {}
    sums: dict[tuple[str, str], tuple[Decimal, Decimal]] = {}
    for one in booked:
        key = (one.account_id, one.instrument_id)
        bought, sold = sums.get(key, (ZERO, ZERO))
        after = (bought + one.quantity, sold) if one.quantity > 0 else (bought, sold - one.quantity)
        sums[key] = after
        prefixes.setdefault(key, {(ZERO, ZERO): 0})[after] = one.seq
    newest: defaultdict[tuple[str, str], int] = defaultdict(int)
    waiting: list[tuple[float, tuple[str, str], int]] = []
    for op in sorted(ops, key=lambda one: one.invoked_s):
        while waiting and waiting[0][0] < op.invoked_s:
            _, key, seq = heappop(waiting)
            newest[key] = max(newest[key], seq)
        for held in op.positions:
            key = (held.account_id, held.instrument_id)
            if held.quantity != held.bought - held.sold:
                yield Violation(Kind.POSITION, f"operation {op.number} read {held.quantity}, not bought less sold")
            found = prefixes.get(key, {(ZERO, ZERO): 0}).get((held.bought, held.sold))
            if found is None:
                text = f"operation {op.number} read {held.bought} bought and {held.sold} sold: no sum of executions"
                yield Violation(Kind.POSITION, text)
            elif found < newest[key]:
                text = f"operation {op.number} read the position after event {found}, seen after {newest[key]} before"
                yield Violation(Kind.POSITION, text)
            else:
                heappush(waiting, (op.completed_s, key, found))


def check_moves(steps: Sequence[Step]) -> Iterator[Violation]:
    """Every order goes through statuses as it may, and is never filled beyond its total."""
    before: dict[str, str] = {}
    for step in steps:
        status = before.get(step.order_id, "")
        if step.status != status and step.status not in MOVES.get(status, frozenset()):
            text = f"event {step.seq} moved order {step.order_id} from {status or 'nothing'} to {step.status}"
            yield Violation(Kind.CONTRADICTION, text)
        if step.filled > step.most:
            text = f"event {step.seq} filled order {step.order_id} to {step.filled} of {step.most}"
            yield Violation(Kind.EXECUTION, text)
        before[step.order_id] = step.status


def check_limit(steps: Sequence[Step], booked: Sequence[Booked], limit: Decimal) -> Iterator[Violation]:
    """No position can come to more than the limit, whatever becomes of the open orders, those in doubt included."""
    positions: defaultdict[tuple[str, str], Decimal] = defaultdict(Decimal)
    opened: defaultdict[tuple[str, str, bool], Decimal] = defaultdict(Decimal)
    share: dict[str, Decimal] = {}
    fills = iter(booked)
    fill = next(fills, None)
    for step in steps:
        while fill is not None and fill.seq <= step.seq:
            positions[fill.account_id, fill.instrument_id] += fill.quantity
            fill = next(fills, None)
        mine = (step.account_id, step.instrument_id, step.is_buy)
        left = max(step.most - step.filled, ZERO) if step.is_active else ZERO
        opened[mine] += left - share.get(step.order_id, ZERO)
        share[step.order_id] = left
        held = positions[step.account_id, step.instrument_id]
        worst = (held if step.is_buy else -held) + opened[mine]
        if left and worst > limit:
            text = f"after event {step.seq} the position may come to {worst}, the limit is {limit}"
            yield Violation(Kind.CONTRADICTION, text)


def check_cash(opening: Decimal, cash: Decimal, booked: Sequence[Booked]) -> Iterator[Violation]:
    """The cash is what was there less what was paid."""
    expected = opening - sum((one.quantity * one.price + one.fee for one in booked), ZERO)
    if cash != expected:
        yield Violation(Kind.POSITION, f"cash is {cash}, by the executions {expected}")


def _was_told(sightings: Sequence[tuple[Op, Seen]], op: Op) -> bool:
    return any(other.completed_s < op.invoked_s for other, _ in sightings)
