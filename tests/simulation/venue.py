"""One instrument, one engine and short words for both, for the tests beside this file."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from oms_kernel.contracts.broker import AnyReport, Filled
from oms_kernel.domain.calendar import ALWAYS_OPEN, US_EQUITIES, Calendar
from oms_kernel.domain.ids import BrokerOrderId, WireId
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.simulation.matching import MatchingEngine
from oms_kernel.simulation.orders import NewOrder, NewTerms
from oms_kernel.testkit.builders import BROKER_ACCOUNT_ID, Number, a_quote, an_instrument

OPEN = datetime(2026, 3, 2, 14, 30, tzinfo=UTC)
"""09:30 in New York on a Monday."""
CLOSE = datetime(2026, 3, 2, 21, 0, tzinfo=UTC)

BUY, SELL = Side.BUY, Side.SELL


class Venue:
    """An engine with one instrument; each call keeps what it brought in `last` and all of it in `reports`."""

    def __init__(
        self,
        calendar: Calendar = ALWAYS_OPEN,
        at: datetime = OPEN,
        lot: Number = 1,
        largest: int | None = None,
        **options: Any,
    ) -> None:
        bounds = {"lot_size": Decimal(lot), "max_order_quantity": Decimal(largest) if largest is not None else None}
        self.instrument = an_instrument(calendar=calendar.name, **bounds)
        self.engine = MatchingEngine([self.instrument], {calendar.name: calendar}, now=at, **options)
        self.reports: list[AnyReport] = []
        self.last: list[AnyReport] = []
        self._number = 0

    def quote(self, bid: Number | None, ask: Number | None, size: Number = 1000, **fields: Any) -> list[AnyReport]:
        """A quote, at the engine's own time unless `at` is given."""
        fields.setdefault("at", self.engine.now)
        return self._keep(self.engine.on_quote(a_quote(self.instrument, bid, ask, size=size, **fields)))

    def order(self, side: Side, quantity: Number, limit: Number | None = None, **fields: Any) -> NewOrder:
        """An order that is not sent yet; LIMIT with a limit, else MARKET."""
        self._number += 1
        values: dict[str, Any] = {
            "order_type": OrderType.MARKET if limit is None else OrderType.LIMIT,
            "time_in_force": TimeInForce.DAY,
        }
        for name, value in fields.items():
            values[name] = Decimal(value) if name in ("stop_price", "trail_amount", "trail_percent") else value
        return NewOrder(
            broker_order_id=BrokerOrderId(f"B{self._number}"),
            wire_id=WireId(f"W{self._number}"),
            broker_account_id=BROKER_ACCOUNT_ID,
            instrument_id=self.instrument.instrument_id,
            side=side,
            quantity=Decimal(quantity),
            limit_price=None if limit is None else Decimal(limit),
            **values,
        )

    def send(self, side: Side, quantity: Number, limit: Number | None = None, **fields: Any) -> NewOrder:
        """An order that is sent; what it brought stands in `last`."""
        order = self.order(side, quantity, limit, **fields)
        self.submit(order)
        return order

    def submit(self, order: NewOrder) -> list[AnyReport]:
        """Send an order."""
        return self._keep(self.engine.submit(order))

    def cancel(self, order: NewOrder) -> list[AnyReport]:
        """Cancel an order."""
        return self._keep(self.engine.cancel(order))

    def replace(self, order: NewOrder, quantity: Number, limit: Number | None = None, **fields: Any) -> list[AnyReport]:
        """Ask for new terms."""
        prices = {name: Decimal(value) for name, value in fields.items()}
        terms = NewTerms(Decimal(quantity), None if limit is None else Decimal(limit), **prices)
        return self._keep(self.engine.replace(order, terms))

    def advance(self, at: datetime | timedelta) -> list[AnyReport]:
        """Move the clock to an instant, or by so much."""
        return self._keep(self.engine.advance(at if isinstance(at, datetime) else self.engine.now + at))

    def words(self, order: NewOrder) -> list[str]:
        """What was said of an order, for instance ['Acknowledged', 'Filled 100 @ 100.01']."""
        return [_word(report) for report in self.reports if report.broker_order_id == order.broker_order_id]

    def fills(self, order: NewOrder) -> list[Filled]:
        """The executions of an order."""
        return [
            report
            for report in self.reports
            if isinstance(report, Filled) and report.broker_order_id == order.broker_order_id
        ]

    def _keep(self, reports: list[AnyReport]) -> list[AnyReport]:
        self.last = reports
        self.reports += reports
        return reports


def new_york(**options: Any) -> Venue:
    """A venue with the sessions of New York, its clock at the opening."""
    return Venue(US_EQUITIES, **options)


def _word(report: AnyReport) -> str:
    name = type(report).__name__
    return f"{name} {report.quantity} @ {report.price}" if isinstance(report, Filled) else name
