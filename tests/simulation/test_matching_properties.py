"""Whatever orders and quotes come: never worse than the limit, never more than asked, in order, the same each time."""

from collections import defaultdict
from datetime import timedelta
from decimal import Decimal
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from oms_kernel.contracts.broker import AnyReport, Canceled, Expired, Filled, Rejected
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.simulation.latency import Latency
from oms_kernel.simulation.orders import NewOrder
from tests.simulation.venue import Venue, new_york

TICK = Decimal("0.01")


def price(ticks: int) -> Decimal:
    return 100 + ticks * TICK


prices = st.integers(-6, 6).map(price)
sizes = st.sampled_from([0, 1, 5, 10, 40])
quantities = st.integers(1, 30)
sides = st.sampled_from(list(Side))
times = st.sampled_from([TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.OPG])

quotes = st.tuples(st.just("quote"), st.none() | prices, st.none() | prices, sizes, sizes, st.integers(0, 9_000_000))
plain_orders = st.tuples(st.just("order"), sides, quantities, st.none() | prices, times)
stops = st.tuples(st.just("stop"), sides, quantities, prices, st.none() | prices)
trails = st.tuples(st.just("trail"), sides, quantities, st.integers(1, 5).map(lambda ticks: ticks * TICK))
cancels = st.tuples(st.just("cancel"), st.integers(0, 20))
replaces = st.tuples(st.just("replace"), st.integers(0, 20), quantities, prices)
histories = st.lists(
    st.one_of(quotes, quotes, plain_orders, plain_orders, stops, trails, cancels, replaces), max_size=40
)


class Played:
    """A history, played: each report with the touch at which it may have traded, and the orders with their limits."""

    def __init__(self, venue: Venue, history: list[tuple[Any, ...]]) -> None:
        self.venue = venue
        self.orders: dict[str, NewOrder] = {}
        self.limits: dict[str, Decimal | None] = {}
        self.totals: dict[str, Decimal] = {}
        self.shown: list[tuple[Decimal | None, Decimal | None, Decimal, Decimal]] = []
        self.fills: list[tuple[Filled, int, Decimal | None]] = []
        """(execution, number of the quote it met, the order's limit at that moment)."""
        for step in history:
            self._play(step)

    def _play(self, step: tuple[Any, ...]) -> None:
        venue, kind = self.venue, step[0]
        if kind == "quote":
            _, bid, ask, bid_size, ask_size, wait = step
            self.shown.append((bid, ask, Decimal(bid_size), Decimal(ask_size)))
            at = venue.engine.now + timedelta(milliseconds=wait)
            self._take(venue.quote(bid, ask, bid_size=bid_size, ask_size=ask_size, at=at))
        elif kind == "order":
            _, side, quantity, limit, time_in_force = step
            self._send(venue.order(side, quantity, limit, time_in_force=time_in_force))
        elif kind == "stop":
            _, side, quantity, stop, limit = step
            order_type = OrderType.STOP if limit is None else OrderType.STOP_LIMIT
            self._send(venue.order(side, quantity, limit, order_type=order_type, stop_price=stop))
        elif kind == "trail":
            _, side, quantity, trail = step
            self._send(venue.order(side, quantity, order_type=OrderType.TRAILING_STOP, trail_amount=trail))
        elif self.orders:
            order = list(self.orders.values())[step[1] % len(self.orders)]
            if kind == "cancel":
                self._take(venue.cancel(order))
            else:
                self._replace(order, step[2], step[3])

    def _send(self, order: NewOrder) -> None:
        self.orders[order.broker_order_id] = order
        self.limits[order.broker_order_id] = order.limit_price
        self.totals[order.broker_order_id] = order.quantity
        self._take(self.venue.submit(order))

    def _replace(self, order: NewOrder, quantity: int, limit: Decimal) -> None:
        new_limit = None if order.limit_price is None else limit
        before = self.limits[order.broker_order_id]
        self.limits[order.broker_order_id] = new_limit
        reports = self.venue.replace(order, quantity, new_limit)
        if type(reports[0]).__name__ == "Replaced":
            self.totals[order.broker_order_id] = Decimal(quantity)
        else:
            self.limits[order.broker_order_id] = before
        self._take(reports)

    def _take(self, reports: list[AnyReport]) -> None:
        for report in reports:
            if isinstance(report, Filled):
                assert report.broker_order_id is not None
                self.fills.append((report, len(self.shown) - 1, self.limits[report.broker_order_id]))


@given(histories, st.booleans())
@settings(max_examples=300, deadline=None)
def test_fills_keep_limit_quantity_touch_and_size(history: list[tuple[Any, ...]], always_open: bool) -> None:
    played = Played(Venue() if always_open else new_york(), history)
    filled: dict[str, Decimal] = defaultdict(lambda: ZERO)
    consumed: dict[tuple[int, Side], Decimal] = defaultdict(lambda: ZERO)
    for fill, number, limit in played.fills:
        bid, ask, bid_size, ask_size = played.shown[number]
        buys = fill.side is Side.BUY
        assert fill.price == (ask if buys else bid), "a fill at a price that was not shown"
        assert bid is None or ask is None or bid <= ask, "a fill on a crossed quote"
        if limit is not None:
            assert fill.price <= limit if buys else fill.price >= limit
        filled[fill.broker_order_id or ""] += fill.quantity
        consumed[number, fill.side] += fill.quantity
        assert consumed[number, fill.side] <= (ask_size if buys else bid_size), "more than the size shown"
    for order_id, quantity in filled.items():
        largest = max(played.totals[order_id], played.orders[order_id].quantity)
        assert quantity <= largest
    ids = [fill.exec_id for fill, _, _ in played.fills]
    assert len(set(ids)) == len(ids)


@given(histories)
@settings(max_examples=150, deadline=None)
def test_nothing_trades_after_its_end_and_every_order_is_answered_first(history: list[tuple[Any, ...]]) -> None:
    played = Played(Venue(), history)
    for order in played.orders.values():
        words = [report for report in played.venue.reports if report.broker_order_id == order.broker_order_id]
        assert type(words[0]).__name__ in ("Acknowledged", "Rejected")
        ends = [place for place, word in enumerate(words) if isinstance(word, Canceled | Expired | Rejected)]
        assert len(ends) <= 1
        if ends:
            assert not any(isinstance(word, Filled) for word in words[ends[0] :])
            assert not played.venue.engine.is_live(order.broker_order_id)


@given(st.lists(st.tuples(quantities, st.none() | prices), min_size=1, max_size=12), sides, st.integers(1, 200))
@settings(max_examples=200, deadline=None)
def test_one_quote_fills_by_price_and_then_by_time(
    asked: list[tuple[int, Decimal | None]], side: Side, size: int
) -> None:
    venue = Venue()
    orders = [venue.send(side, quantity, limit) for quantity, limit in asked]
    venue.quote("100.00", "100.00", size)

    def keenness(place: int) -> tuple[Decimal, int]:
        limit = orders[place].limit_price
        if limit is None:
            return Decimal("-Infinity"), place
        return (-limit if side is Side.BUY else limit), place

    left = Decimal(size)
    for place in sorted(range(len(orders)), key=keenness):
        order = orders[place]
        limit = order.limit_price
        reached = limit is None or (limit >= 100 if side is Side.BUY else limit <= 100)
        expected = min(left, order.quantity) if reached else ZERO
        left -= expected
        assert sum((fill.quantity for fill in venue.fills(order)), ZERO) == expected


@given(histories, st.integers(0, 3))
@settings(max_examples=60, deadline=None)
def test_the_same_seed_gives_the_same_reports(history: list[tuple[Any, ...]], seed: int) -> None:
    latency = Latency(order_ms=3, order_jitter_ms=40, report_ms=1, report_jitter_ms=40)

    def run() -> list[AnyReport]:
        venue = Venue(latency=latency, seed=seed)
        for step in history:
            if step[0] == "quote":
                at = venue.engine.now + timedelta(milliseconds=step[5] % 100)
                venue.quote(step[1], step[2], bid_size=step[3], ask_size=step[4], at=at)
            elif step[0] == "order":
                venue.send(step[1], step[2], step[3], time_in_force=step[4])
        venue.advance(timedelta(seconds=10))
        return venue.reports

    assert run() == run()
