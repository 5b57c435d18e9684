"""The broker's snapshot and our book in, the differences out; a pure comparison that books nothing.

A failed part gives no difference. What changed here after the question was asked (`busy`) is not compared: the answer
may be older than the change.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from oms_kernel.contracts import broker as br
from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book
from oms_kernel.domain.breaks import BreakType, Difference
from oms_kernel.domain.ids import AccountId, BrokerAccountId, ConnectionId, InstrumentId, OrderId, WireId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import RequestStatus, is_open_request
from oms_kernel.domain.money import ZERO, subtract, to_text
from oms_kernel.domain.order import NET_BOOK, Order
from oms_kernel.executions import BrokerAccountOwner

Parts = Mapping[br.SnapshotPart, br.PartResult]
SMALLEST_CASH_DIFFERENCE = Decimal("0.01")
LARGEST_PRICE_DEVIATION = Decimal("0.0001")
"""Of the average price of a position: brokers round it."""
STALE_AFTER = timedelta(seconds=60)
NOT_SHOWN = "not shown"
_LIVE = "WORKING"


class Busy(msgspec.Struct, frozen=True):
    """What changed while the question was under way."""

    orders: frozenset[OrderId] = frozenset()
    holdings: frozenset[tuple[AccountId, InstrumentId]] = frozenset()
    accounts: frozenset[AccountId] = frozenset()


def busy_since(book: Book, events: Iterator[ev.Recorded]) -> Busy:
    """What the events touched: orders, holdings and the cash of accounts."""
    orders, holdings, accounts = set(), set(), set()
    for recorded in events:
        event = recorded.event
        if recorded.order_id is not None:
            orders.add(recorded.order_id)
        fill = None
        if isinstance(event, ev.OrderFilled):
            fill = event.fill
        elif isinstance(event, (ev.ExecutionCorrected, ev.ExecutionBusted, ev.FeeAttached)):
            fill = book.execution(event.broker_account_id, event.exec_id)
        if fill is not None:
            holdings.add((fill.account_id, fill.instrument_id))
            accounts.add(fill.account_id)
        elif isinstance(event, ev.CashChanged) and event.account_id is not None:
            accounts.add(event.account_id)
    return Busy(frozenset(orders), frozenset(holdings), frozenset(accounts))


class Comparison(msgspec.Struct, frozen=True):
    """One ledger's side of one connection. is_elsewhere: whether another ledger books the broker account."""

    book: Book
    connection_id: ConnectionId
    owners: Mapping[BrokerAccountId, BrokerAccountOwner]
    instruments: Mapping[InstrumentId, Instrument]
    busy: Busy
    now: datetime
    is_elsewhere: Callable[[BrokerAccountId], bool]


def differences(ours: Comparison, parts: Parts) -> list[Difference]:
    """Every difference of the complete parts, orders first."""
    found: list[Difference] = []
    for part, compare in _COMPARISONS:
        result = parts.get(part)
        if result is not None and result.complete:
            found += compare(ours, result)
    found += _unknown_accounts(ours, parts)
    return found


def is_comparable(ours: Comparison, parts: Parts, known: Difference) -> bool:
    """Whether this snapshot would have shown the difference again, were it still there."""
    part = _part_of(known)
    result = parts.get(part) if part is not None else None
    if part is None:
        return all(result.complete for result in parts.values())
    if result is None or not result.complete:
        return False
    if known.order_id is not None:
        return known.order_id not in ours.busy.orders
    if part is br.SnapshotPart.CASH:
        return known.account_id not in ours.busy.accounts
    return (known.account_id, known.instrument_id) not in ours.busy.holdings


def _part_of(known: Difference) -> br.SnapshotPart | None:
    if known.break_type is BreakType.UNKNOWN_ACCOUNT:
        return None
    if known.break_type is BreakType.CASH:
        return br.SnapshotPart.CASH
    if known.order_id is not None or known.break_type in (BreakType.EXTERNAL_ORDER, BreakType.DUPLICATE):
        return br.SnapshotPart.ORDERS
    return br.SnapshotPart.POSITIONS


def _orders(ours: Comparison, result: br.PartResult) -> list[Difference]:
    items = [item for item in result.items if isinstance(item, br.OrderSnapshot)]
    shown: dict[OrderId, br.OrderSnapshot] = {}
    for item in items:
        order = ours.book.find_order(item.broker_account_id, item.wire_id, item.broker_order_id)
        if order is not None and (order.order_id not in shown or item.status == _LIVE):
            shown[order.order_id] = item
    found = list(_duplicates(ours, items))
    for order in ours.book.open_order_list():
        if order.connection_id != ours.connection_id or order.order_id in ours.busy.orders:
            continue
        if order.broker_account_id in ours.owners:
            found += _of_order(ours, order, shown.get(order.order_id), result.as_of)
    return found


def _duplicates(ours: Comparison, items: list[br.OrderSnapshot]) -> Iterator[Difference]:
    """Orders of ours that stand at the broker more than once and live or traded there."""
    counts: Counter[tuple[BrokerAccountId, WireId]] = Counter(
        (item.broker_account_id, item.wire_id)
        for item in items
        if item.wire_id is not None and (item.status == _LIVE or item.filled_quantity)
    )
    for (broker_account_id, wire_id), count in counts.items():
        order = ours.book.find_order(broker_account_id, wire_id, None)
        if count > 1 and order is not None and broker_account_id in ours.owners:
            yield _about(order, BreakType.DUPLICATE, "1 order", f"{count} orders with the id {wire_id}")


def _of_order(ours: Comparison, order: Order, item: br.OrderSnapshot | None, as_of: datetime) -> Iterator[Difference]:
    """How one open order differs from what the broker shows of it."""
    if order.in_doubt:
        sent_at = order.sent_at if order.place is RequestStatus.IN_DOUBT or order.replace is None else None
        sent_at = sent_at or (order.replace.sent_at if order.replace is not None else None)
        if sent_at is not None and ours.now - sent_at > STALE_AFTER:
            yield _about(order, BreakType.STALE, f"in doubt since {sent_at.isoformat()}", _said(item))
        return
    if order.place is not RequestStatus.DONE:
        return
    if item is None:
        yield _about(order, BreakType.PHANTOM_ORDER, f"{order.state} {to_text(order.quantity)}", NOT_SHOWN)
        return
    if item.filled_quantity > order.filled_quantity:
        filled = (f"filled {to_text(order.filled_quantity)}", f"filled {to_text(item.filled_quantity)}")
        yield _about(order, BreakType.MISSING_FILL, *filled)
    if item.status != _LIVE or (order.replace is not None and is_open_request(order.replace.status)):
        return
    if item.quantity != order.quantity:
        totals = (f"total {to_text(order.quantity)}", f"total {to_text(item.quantity)}")
        yield _about(order, BreakType.QUANTITY, *totals)
    if item.limit_price is not None and order.limit_price is not None and item.limit_price != order.limit_price:
        yield _about(order, BreakType.PRICE, to_text(order.limit_price), to_text(item.limit_price))


def _said(item: br.OrderSnapshot | None) -> str:
    return NOT_SHOWN if item is None else f"{item.status} {to_text(item.quantity)}"


def _about(order: Order, break_type: BreakType, ours: str, theirs: str) -> Difference:
    return Difference(
        break_type=break_type,
        broker_account_id=order.broker_account_id,
        subject=order.order_id,
        account_id=order.request.account_id,
        order_id=order.order_id,
        instrument_id=order.request.instrument_id,
        symbol=order.symbol,
        ours=ours,
        theirs=theirs,
    )


def _positions(ours: Comparison, result: br.PartResult) -> list[Difference]:
    theirs = {
        (item.broker_account_id, item.instrument_id): item
        for item in result.items
        if isinstance(item, br.PositionSnapshot)
    }
    found: list[Difference] = []
    for broker_account_id, owner in ours.owners.items():
        listed = {instrument_id for account, instrument_id in theirs if account == broker_account_id}
        held = {
            instrument_id: position
            for (account_id, name, instrument_id), position in ours.book.positions.items()
            if account_id == owner.account_id and name == NET_BOOK
        }
        for instrument_id in sorted(held.keys() | listed):
            if (owner.account_id, instrument_id) in ours.busy.holdings:
                continue
            instrument = ours.instruments.get(instrument_id)
            told: dict[str, Any] = {
                "broker_account_id": broker_account_id,
                "subject": instrument_id,
                "account_id": owner.account_id,
                "instrument_id": instrument_id,
                "symbol": instrument.symbol if instrument else "",
            }
            position, item = held.get(instrument_id), theirs.get((broker_account_id, instrument_id))
            quantity = position.quantity if position else ZERO
            broker = item.quantity if item else ZERO
            if quantity != broker:
                texts: dict[str, Any] = {"ours": to_text(quantity), "theirs": to_text(broker)}
                found.append(Difference(break_type=BreakType.QUANTITY, **texts, **told))
                continue
            average = position.average_price if position else None
            told_price = item.average_price if item else None
            if average and told_price is not None and _deviates(average, told_price):
                texts = {"ours": to_text(average), "theirs": to_text(told_price)}
                found.append(Difference(break_type=BreakType.PRICE, **texts, **told))
    return found


def _deviates(ours: Decimal, theirs: Decimal) -> bool:
    return subtract(ours, theirs).copy_abs() > (ours * LARGEST_PRICE_DEVIATION).copy_abs()


def _cash(ours: Comparison, result: br.PartResult) -> list[Difference]:
    found = []
    for item in result.items:
        if not isinstance(item, br.CashSnapshot) or item.broker_account_id not in ours.owners:
            continue
        account_id = ours.owners[item.broker_account_id].account_id
        amount = ours.book.cash.get((account_id, item.currency)) or ZERO
        if account_id in ours.busy.accounts or subtract(amount, item.amount).copy_abs() < SMALLEST_CASH_DIFFERENCE:
            continue
        found.append(
            Difference(
                break_type=BreakType.CASH,
                broker_account_id=item.broker_account_id,
                subject=item.currency,
                account_id=account_id,
                currency=item.currency,
                ours=to_text(amount),
                theirs=to_text(item.amount),
            )
        )
    return found


def _unknown_accounts(ours: Comparison, parts: Parts) -> list[Difference]:
    named = {item.broker_account_id for result in parts.values() if result.complete for item in result.items}
    return [
        Difference(
            break_type=BreakType.UNKNOWN_ACCOUNT,
            broker_account_id=broker_account_id,
            subject=broker_account_id,
            ours="no trading account",
            theirs="shown",
        )
        for broker_account_id in sorted(named)
        if broker_account_id not in ours.owners and not ours.is_elsewhere(broker_account_id)
    ]


_COMPARISONS: tuple[tuple[br.SnapshotPart, Callable[[Comparison, br.PartResult], list[Difference]]], ...] = (
    (br.SnapshotPart.ORDERS, _orders),
    (br.SnapshotPart.POSITIONS, _positions),
    (br.SnapshotPart.CASH, _cash),
)
