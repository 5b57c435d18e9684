"""A second opinion on a book: everything that follows from its orders and executions, computed anew from the log."""

from collections import defaultdict
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.layered import Layered
from oms_kernel.domain.lifecycle import TERMINAL, OrderStatus, RequestStatus
from oms_kernel.domain.order import NET_BOOK, Order, OrderType, Side
from oms_kernel.domain.position import Position

WAITING = {
    OrderType.STOP,
    OrderType.STOP_LIMIT,
    OrderType.TRAILING_STOP,
    OrderType.LIMIT_IF_TOUCHED,
    OrderType.MARKET_IF_TOUCHED,
}
OPEN = {RequestStatus.REQUESTED, RequestStatus.SENT, RequestStatus.IN_DOUBT}


def contents(book: Book) -> dict[str, Any]:
    """All layers of a book as plain ordered lists, for comparing two books; empty groups left out."""
    found: dict[str, Any] = {"seq": book.seq, "recorded_at": book.recorded_at}
    for name, layer in book.layers():
        if isinstance(layer, Layered):
            found[name] = list(layer.items())
        else:
            groups = {key: list(layer.entries(key)) for key in layer.keys()}
            found[name] = {key: entries for key, entries in groups.items() if entries}
    return found


def refold(log: Sequence[ev.Recorded]) -> Book:
    """The book of a log, each event read back from its stored form, folded one by one without overlays."""
    book = Book()
    for recorded in log:
        event = ev.decode_event(recorded.event.kind, recorded.event.version, ev.encode_event(recorded.event))
        book.apply(ev.Recorded(recorded.seq, recorded.event_id, recorded.recorded_at, event))
    return book


def worst_case(order: Order) -> Decimal:
    """What may still trade, at worst."""
    if order.status in TERMINAL:
        return Decimal(0)
    totals = [order.quantity]
    if order.replace is not None and order.replace.status in OPEN:
        totals.append(order.replace.quantity)
    return max(Decimal(0), max(totals) - order.filled_quantity)


def open_worth(order: Order) -> Decimal | None:
    """What an open order is worth at worst, in its currency; None: its price is not known."""
    terms = [(order.quantity, order.reservation.price)]
    if order.replace is not None and order.replace.status in OPEN:
        terms.append((order.replace.quantity, order.replace.reservation.price))
    if not worst_case(order):
        return Decimal(0)
    if any(price is None for _, price in terms):
        return None
    left = [max(Decimal(0), total - order.filled_quantity) * abs(price) for total, price in terms if price is not None]
    return max(left) * order.multiplier


def executions_of(log: Sequence[ev.Recorded]) -> dict[Any, dict[str, Any]]:
    """Every execution with its present figures, in booking order, from the events alone."""
    found: dict[Any, dict[str, Any]] = {}
    for event in (recorded.event for recorded in log):
        if isinstance(event, ev.OrderFilled):
            key = (event.fill.broker_account_id, event.fill.exec_id)
            assert key not in found, "an execution was booked twice"
            found[key] = {"fill": event.fill, "busted": False}
        elif isinstance(event, ev.FeeAttached):
            change(found[event.broker_account_id, event.exec_id], fee=event.fee)
        elif isinstance(event, ev.ExecutionCorrected):
            entry = found[event.broker_account_id, event.exec_id]
            change(entry, quantity=event.quantity, price=event.price, fee=event.fee)
        elif isinstance(event, ev.ExecutionBusted):
            found[event.broker_account_id, event.exec_id]["busted"] = True
    return found


def change(entry: dict[str, Any], **fields: Any) -> None:
    entry["fill"] = Fill(**{name: getattr(entry["fill"], name) for name in Fill.__struct_fields__} | fields)


def check_book(book: Book, log: Sequence[ev.Recorded], opening_cash: Decimal) -> None:
    """Nothing, when the book agrees with its own orders and with an independent fold of the log's executions."""
    check_open_orders(book)
    check_sums(book)
    executions = executions_of(log)
    check_executions(book, executions, opening_cash)
    for _, order in book.orders.items():
        check_order(order, executions)


def check_open_orders(book: Book) -> None:
    quantities: dict[Any, Decimal] = defaultdict(Decimal)
    members: dict[Any, set[Any]] = defaultdict(set)
    doubts: dict[Any, set[Any]] = defaultdict(set)
    unsettled: dict[Any, set[Any]] = defaultdict(set)
    for order_id, order in book.orders.items():
        request = order.request
        if order.status in TERMINAL:
            continue
        side = (request.account_id, request.instrument_id, request.side)
        quantities[side] += worst_case(order)
        members[side].add(order_id)
        replace = order.replace.status if order.replace else None
        if RequestStatus.IN_DOUBT in (order.place, replace):
            doubts[side[:2]].add(order_id)
        parked = order.status is OrderStatus.HELD and order.place is RequestStatus.REQUESTED
        if (order.place in OPEN and not parked) or replace in OPEN or order.cancel in OPEN:
            unsettled[order.connection_id].add(order_id)
    for side, total in book.open_quantity.items():
        assert total.quantity == quantities.get(side, Decimal(0)), "exposure is the worst case over all active orders"
        assert total.orders == len(members.get(side, ()))
    assert set(members) <= {key for key, _ in book.open_quantity.items()}
    for groups, expected in ((book.open_orders, members), (book.doubts, doubts), (book.unsettled, unsettled)):
        found = {key: {member for member, _ in groups.entries(key)} for key in groups.keys()}
        assert {key: value for key, value in found.items() if value} == dict(expected)


def check_sums(book: Book) -> None:
    """The sums of what is open, and the lists of what is held, are what a recount gives."""
    sides: dict[Any, list[Order]] = defaultdict(list)
    values: dict[Any, list[Order]] = defaultdict(list)
    reached: dict[Any, list[Any]] = defaultdict(lambda: [Decimal(0), Decimal(0), Decimal(0), 0])
    for _, order in book.orders.items():
        request = order.request
        if order.status in TERMINAL:
            continue
        for name in (NET_BOOK, order.book):
            sides[request.account_id, name, request.instrument_id, request.side].append(order)
            values[(request.account_id, name), order.currency].append(order)
            reach = reached[(request.account_id, name), request.instrument_id]
            reach[1 if request.side is Side.BUY else 2] += worst_case(order)
            reach[3] += 1
    for (account_id, instrument_id, side), total in book.open_quantity.items():
        check_sum(total, sides.pop((account_id, NET_BOOK, instrument_id, side), []))
    for key, total in book.book_quantity.items():
        check_sum(total, sides.pop(key, []))
    assert not sides, "every side of a book that has open orders has its sum"
    for group in book.open_values.keys():
        for currency, total in book.open_values.entries(group):
            check_worth(total, values.pop((group, currency), []))
    assert not values, "every book that has open orders has its value"
    for (account_id, name, instrument_id), position in book.positions.items():
        if position.quantity:
            reached[(account_id, name), instrument_id][0] = position.quantity
    listed = {
        (group, instrument_id): [reach.held, reach.buy, reach.sell, reach.orders]
        for group in book.holdings.keys()
        for instrument_id, reach in book.holdings.entries(group)
    }
    assert listed == dict(reached)
    check_limits(book)
    known = {
        (account_id, one) for account_id in book.currencies.keys() for one, _ in book.currencies.entries(account_id)
    }
    assert known == {key for key, _ in book.cash.items()}


def check_limits(book: Book) -> None:
    counts: dict[Any, int] = defaultdict(int)
    for _, order in book.orders.items():
        request = order.request
        if order.status in TERMINAL or request.order_type in WAITING:
            continue
        limits = {order.limit_price}
        if order.replace is not None and order.replace.status in OPEN:
            limits.add(order.replace.limit_price)
        for limit in limits:
            any_price = Decimal("Infinity") * request.side.sign
            key = (request.account_id, request.instrument_id, request.side)
            counts[key, any_price if limit is None else limit] += 1
    listed = {(key, limit): count for key in book.limits.keys() for limit, count in book.limits.entries(key)}
    assert listed == dict(counts)
    for key in {key for key, _ in counts} | set(book.limits.keys()):
        found = [limit for known, limit in counts if known == key]
        best = max(found, default=None) if key[2] is Side.BUY else min(found, default=None)
        assert book.best_limit(key) == best


def check_sum(total: Any, orders: Sequence[Order]) -> None:
    assert total.quantity == sum((worst_case(order) for order in orders), Decimal(0)), "each order counts once"
    check_worth(total, orders)


def check_worth(total: Any, orders: Sequence[Order]) -> None:
    worths = [open_worth(order) for order in orders]
    assert total.orders == len(orders)
    assert total.unpriced == sum(1 for worth in worths if worth is None), "orders without a price are counted"
    assert total.value == sum((worth for worth in worths if worth is not None), Decimal(0)), "and the others valued"


def check_executions(book: Book, executions: dict[Any, dict[str, Any]], opening_cash: Decimal) -> None:
    assert {key for key, _ in book.executions.items()} == set(executions)
    positions: dict[Any, Position] = {}
    cash = opening_cash
    realised: dict[tuple[str, str], Decimal] = defaultdict(Decimal)
    for key, entry in executions.items():
        fill: Fill = entry["fill"]
        booked = book.executions[key]
        assert (booked.quantity, booked.price, booked.fee) == (fill.quantity, fill.price, fill.fee)
        assert booked.busted is entry["busted"]
        if entry["busted"]:
            continue
        cash += fill.cash_change
        for name in (NET_BOOK, fill.book):
            where = (fill.account_id, name, fill.instrument_id)
            before = positions.get(where) or Position(
                fill.account_id, name, fill.instrument_id, fill.currency, fill.multiplier
            )
            positions[where] = before.apply(fill)
            if name == NET_BOOK:
                realised[fill.currency, fill.risk_date] += positions[where].realised_pnl - before.realised_pnl
    for where, position in book.positions.items():
        flat = Position(position.account_id, position.book, position.instrument_id, position.currency, Decimal(1))
        assert position == positions.get(where, flat), "positions follow from the executions"
    assert set(positions) <= {where for where, _ in book.positions.items()}
    for (_, currency), amount in book.cash.items():
        assert (currency, amount) == ("USD", cash), "cash is the opening and what the executions did"
    for (account_id, _, instrument_id), net in book.positions.items():
        books = [
            position.quantity
            for (account, name, instrument), position in book.positions.items()
            if (account, instrument) == (account_id, instrument_id) and name != NET_BOOK
        ]
        assert book.positions[account_id, NET_BOOK, instrument_id].quantity == sum(books, Decimal(0)), net
    for (_, currency), day in book.days.items():
        today = day.risk_date.isoformat()
        of_today = [
            entry["fill"] for entry in executions.values() if entry["fill"].risk_date == today and not entry["busted"]
        ]
        assert day.traded_value == sum((fill.value for fill in of_today), Decimal(0))
        assert day.fees == sum((fill.fee for fill in of_today), Decimal(0))
        assert day.realised_pnl == realised[currency, today], "the day's result is that of the day's executions"


def check_order(order: Order, executions: dict[Any, dict[str, Any]]) -> None:
    own = [
        entry["fill"]
        for entry in executions.values()
        if entry["fill"].order_id == order.order_id and not entry["busted"]
    ]
    if not order.is_external:  # one that was adopted may have traded before
        assert order.filled_quantity == sum((fill.quantity for fill in own), Decimal(0))
        assert order.filled_value == sum((fill.quantity * fill.price for fill in own), Decimal(0))
    assert order.worst_case_quantity == worst_case(order)
    assert order.cancel is not RequestStatus.IN_DOUBT
    terminal = order.status in TERMINAL
    assert (order.evidence is not None) is terminal, "what ended has evidence, and only that"
    replace = order.replace.status if order.replace else None
    if terminal:
        assert order.place not in OPEN and replace not in OPEN and order.cancel not in OPEN, (
            "the end ends every request"
        )
        assert not order.in_doubt and order.leaves_quantity == 0
    elif order.status is OrderStatus.WORKING:
        assert order.place is RequestStatus.DONE, "a broker's word proves the place"
        if replace not in OPEN:
            assert order.filled_quantity < order.quantity, "an order that is filled has ended"
    if order.status is OrderStatus.FILLED:
        assert order.filled_quantity >= order.quantity
    if order.filled_quantity:
        assert order.place is RequestStatus.DONE, "a fill proves the place"
