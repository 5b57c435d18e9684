"""A history, our rows and the broker's own ledger in, every broken promise out; pure, so that it is tested itself."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from decimal import Decimal
from enum import StrEnum

import msgspec

from campaigns.history import Posted, Told


class Kind(StrEnum):
    """Which promise was broken."""

    LOST = "lost"
    DOUBLED = "doubled"
    SKIPPED = "skipped"
    CONTRADICTION = "contradiction"
    UNKNOWN_TO_US = "unknown_to_us"
    UNSENT = "unsent"
    UNSETTLED = "unsettled"
    EXECUTION = "execution"
    POSITION = "position"
    ORPHAN = "orphan"
    VERIFY = "verify"
    STUCK = "stuck"
    ANSWER = "answer"
    SLOW = "slow"


class Violation(msgspec.Struct, frozen=True):
    """One broken promise."""

    kind: Kind
    text: str


class OurOrder(msgspec.Struct, frozen=True):
    """An order as our own rows tell it. at_broker: True when its row says that the broker had it, False when not."""

    order_id: str
    client_order_id: str | None
    state: str
    wire_ids: tuple[str, ...] = ()
    at_broker: bool | None = None


class BrokerOrder(msgspec.Struct, frozen=True):
    """An order in the simulated broker's own ledger."""

    wire_id: str
    broker_order_id: str


class Execution(msgspec.Struct, frozen=True):
    """An execution; the same fields on both sides. quantity is signed: what was sold counts below zero."""

    exec_id: str
    instrument_id: str
    quantity: Decimal
    price: Decimal


class Books(msgspec.Struct, frozen=True):
    """Everything at rest: what both sides have, once nothing is under way."""

    orders: Sequence[OurOrder]
    executions: Sequence[Execution]
    positions: dict[str, Decimal]
    broker_orders: Sequence[BrokerOrder]
    broker_executions: Sequence[Execution]


UNSETTLED = frozenset({"NEW", "ROUTED", "PENDING_REPLACE", "PENDING_CANCEL", "IN_DOUBT"})


def violations(history: Sequence[Posted], books: Books) -> list[Violation]:
    """Every broken promise, worst kinds first."""
    found = [
        *check_answers(history, books.orders),
        *check_sent_once(books.orders, books.broker_orders),
        *check_executions(books.executions, books.broker_executions),
        *check_positions(books.positions, books.broker_executions),
        *check_settled(books.orders),
    ]
    return sorted(found, key=lambda one: list(Kind).index(one.kind))


def check_answers(history: Sequence[Posted], orders: Sequence[OurOrder]) -> Iterator[Violation]:
    """What clients were told about their new orders against the orders that there are."""
    by_client_id: defaultdict[str, list[OurOrder]] = defaultdict(list)
    for order in orders:
        if order.client_order_id is not None:
            by_client_id[order.client_order_id].append(order)
    for posted in history:
        mine = by_client_id.pop(posted.client_order_id, [])
        name = f"client order {posted.client_order_id}"
        told = [answer.told for answer in posted.answers]
        if len(mine) > 1:
            yield Violation(Kind.DOUBLED, f"{name} exists {len(mine)} times")
        if told.count(Told.STORED) > 1:
            yield Violation(Kind.DOUBLED, f"{name} was accepted {told.count(Told.STORED)} times")
        named = {answer.order_id for answer in posted.answers if answer.order_id is not None}
        if named and not mine:
            yield Violation(Kind.LOST, f"{name} was told of as order {', '.join(sorted(named))} and does not exist")
        elif mine and named - {order.order_id for order in mine}:
            yield Violation(Kind.CONTRADICTION, f"{name} was told of under ids that are not its own")
        if mine and told and all(one is Told.NOTHING for one in told):
            yield Violation(Kind.CONTRADICTION, f"{name} exists although every answer said that nothing was stored")
        if Told.STORED in told and Told.KNOWN in told[: told.index(Told.STORED)]:
            yield Violation(Kind.CONTRADICTION, f"{name} was accepted after it was known")
    for client_order_id in by_client_id:
        yield Violation(Kind.CONTRADICTION, f"client order {client_order_id} was never asked for")


def check_sent_once(orders: Sequence[OurOrder], broker_orders: Sequence[BrokerOrder]) -> Iterator[Violation]:
    """No order is twice at the broker, everything there is ours, and what our rows say of it is so."""
    ours = {wire_id: order for order in orders for wire_id in order.wire_ids}
    for wire_id, count in Counter(order.wire_id for order in broker_orders).items():
        if count > 1:
            yield Violation(Kind.DOUBLED, f"wire id {wire_id} came to the broker {count} times")
        if wire_id not in ours:
            yield Violation(Kind.UNKNOWN_TO_US, f"wire id {wire_id} is at the broker and in no order of ours")
    at_broker = Counter(ours[order.wire_id].order_id for order in broker_orders if order.wire_id in ours)
    for order in orders:
        count = at_broker[order.order_id]
        if count > 1 and len(set(order.wire_ids)) > 1:
            yield Violation(Kind.DOUBLED, f"order {order.order_id} is {count} times at the broker")
        if order.at_broker is True and not count:
            yield Violation(Kind.UNSENT, f"order {order.order_id} is {order.state} and the broker never had it")
        if order.at_broker is False and count:
            yield Violation(Kind.CONTRADICTION, f"order {order.order_id} is {order.state}, and the broker has it")


def check_executions(ours: Sequence[Execution], brokers: Sequence[Execution]) -> Iterator[Violation]:
    """Each execution of the broker is booked once, with its figures, and no other."""
    booked = Counter(one.exec_id for one in ours)
    known = {one.exec_id: one for one in brokers}
    for exec_id, count in booked.items():
        if count > 1:
            yield Violation(Kind.EXECUTION, f"execution {exec_id} is booked {count} times")
        if exec_id not in known:
            yield Violation(Kind.EXECUTION, f"execution {exec_id} is booked and the broker never made it")
    for one in ours:
        if one.exec_id in known and known[one.exec_id] != one:
            yield Violation(Kind.EXECUTION, f"execution {one.exec_id} is booked with other figures")
    for exec_id in known:
        if exec_id not in booked:
            yield Violation(Kind.EXECUTION, f"execution {exec_id} is not booked")


def check_positions(positions: dict[str, Decimal], brokers: Sequence[Execution]) -> Iterator[Violation]:
    """The position of each instrument is what the broker's executions come to."""
    theirs: defaultdict[str, Decimal] = defaultdict(Decimal)
    for one in brokers:
        theirs[one.instrument_id] += one.quantity
    for instrument_id in sorted(set(positions) | set(theirs)):
        ours = positions.get(instrument_id, Decimal(0))
        if ours != theirs[instrument_id]:
            text = f"instrument {instrument_id}: we hold {ours}, by the broker's ledger {theirs[instrument_id]}"
            yield Violation(Kind.POSITION, text)


def check_settled(orders: Sequence[OurOrder]) -> Iterator[Violation]:
    """Nothing is under way or in doubt any more."""
    for order in orders:
        if order.state in UNSETTLED:
            yield Violation(Kind.UNSETTLED, f"order {order.order_id} is still {order.state}")
