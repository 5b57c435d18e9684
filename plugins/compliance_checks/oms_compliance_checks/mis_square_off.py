"""Intraday orders after the cut-off in, DENY out; and the monitor that closes intraday positions at the cut-off."""

from collections.abc import Iterator
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from oms_compliance_checks.verdicts import only_reduces, refused
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Trigger
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.events import Event, OrderAccepted, OrderFilled, Recorded
from oms_kernel.domain.ids import AccountId, InstrumentId
from oms_kernel.domain.money import ZERO, add, to_text
from oms_kernel.domain.order import Product
from oms_kernel.domain.scope import Scope
from oms_kernel.recent import Recent

DAY = timedelta(days=1)
INDIA = "Product rules of Indian brokers: MIS positions are squared off before the close"


class SquareOffParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When intraday trading ends."""

    cut_off: Annotated[time, described("Time of day in the venue's zone; on half days as long before the close")] = (
        time(15, 20)
    )


def cut_off_at(calendar: Calendar, day: date, cut_off: time) -> datetime:
    """The moment of a trading date from which intraday orders end, in UTC: as long before the close as always."""
    before = (_of_day(calendar.closes_at) - _of_day(cut_off)) % DAY
    return calendar.session_close(day) - before


class MisSquareOff:
    """Denies orders with product MIS from the cut-off until the trading date is over, and modifications that add.

    What only reduces a position passes. The cut-off is a time of day in the zone of the venue's calendar; where the
    venue closes early, it is as much earlier. An unknown calendar denies: `no_calendar`.
    """

    name: ClassVar[str] = "mis_square_off"
    title: ClassVar[str] = "No intraday orders after the cut-off"
    Params: ClassVar[type[msgspec.Struct]] = SquareOffParams
    rank: ClassVar[int] = 20
    source: ClassVar[str] = INDIA

    def __init__(self, params: SquareOffParams) -> None:
        self.cut_off = params.cut_off
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS before the cut-off."""
        if intent.request.product is not Product.MIS:
            return self.passed
        try:
            calendar = view.calendar(intent.instrument)
        except InvalidRequest:
            text = f"the calendar {intent.instrument.calendar} of {intent.instrument.symbol} is unknown"
            return refused(self.name, "no_calendar", text)
        day = calendar.trading_date(view.now)
        if view.now < cut_off_at(calendar, day, self.cut_off) or only_reduces(intent, view):
            return self.passed
        text = f"intraday orders (MIS) in {intent.instrument.symbol} ended for {day}"
        passes = "an order that only reduces the position, or product CNC or NRML"
        return refused(self.name, "after_cut_off", text, would_pass=passes)


class Positions(StrEnum):
    """Which positions with intraday fills are meant."""

    INTRADAY = "INTRADAY"
    """Those that were built by intraday orders alone."""
    MIXED = "MIXED"
    """Those that hold something else as well."""
    ALL = "ALL"


class SquareOffMonitorParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When which positions are closed."""

    cut_off: Annotated[time, described("Time of day in the venue's zone; on half days as long before the close")] = (
        time(15, 20)
    )
    positions: Annotated[Positions, described("Positions of intraday orders alone, those with others, or all")] = (
        Positions.INTRADAY
    )


class Intraday(msgspec.Struct, frozen=True):
    """What intraday orders hold.

    orders: the account and instrument of each MIS order. open: signed quantity by account and instrument, none is 0.
    """

    orders: Recent[str, None]
    open: dict[tuple[AccountId, InstrumentId], Decimal] = {}


class MisSquareOffMonitor:
    """At the cut-off, triggers for each position that fills of MIS orders have left open: its action closes it.

    Account and position know no product: the monitor adds up the fills of MIS orders, and the action FLATTEN closes the
    net position of that account in that instrument and lets only cancels in there until a person releases it. So it
    leaves alone, with `positions` INTRADAY, what was not built by MIS orders alone; a second limit with MIXED and the
    action ALERT tells of those. A fill of an order that the account did not send here counts for no product.
    """

    name: ClassVar[str] = "mis_square_off_monitor"
    title: ClassVar[str] = "Close intraday positions at the cut-off"
    Params: ClassVar[type[msgspec.Struct]] = SquareOffMonitorParams
    source: ClassVar[str] = INDIA
    default_action: ClassVar[Action] = Action.FLATTEN
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderAccepted, OrderFilled})

    def __init__(self, params: SquareOffMonitorParams, scope: Scope) -> None:
        self.cut_off = params.cut_off
        self.positions = params.positions
        self.scope = scope

    def watch(self, view: RuleView, state: Intraday) -> tuple[Trigger, ...]:
        """One trigger for each position that is still there after its cut-off, each trading date anew."""
        return tuple(self._due(view, state)) if state.open else ()

    def initial_state(self) -> Intraday:
        """No intraday order yet."""
        return Intraday(orders=Recent(30 * DAY))

    def fold(self, state: Intraday, event: Recorded) -> tuple[Intraday, tuple[Trigger, ...]]:
        """What intraday orders hold after the event."""
        told = event.event
        if type(told) is OrderAccepted:
            if told.request.product is not Product.MIS:
                return state, ()
            return Intraday(state.orders.put(told.order_id, event.recorded_at, None), state.open), ()
        if type(told) is not OrderFilled or told.order_id is None or state.orders.get(told.order_id) is None:
            return state, ()
        fill = told.fill
        key = (fill.account_id, fill.instrument_id)
        quantity = add(state.open.get(key, ZERO), fill.signed_quantity)
        others = {known: held for known, held in state.open.items() if known != key}
        return Intraday(state.orders, {**others, key: quantity} if quantity else others), ()

    def _due(self, view: RuleView, state: Intraday) -> Iterator[Trigger]:
        for (account_id, instrument_id), intraday in state.open.items():
            instrument = view.instrument(instrument_id)
            position = view.position(account_id, instrument_id)
            if instrument is None or position is None or not position.is_open:
                continue
            if not self.scope.covers(account_id, self.scope.strategy_id, instrument_id):
                continue
            is_pure = position.quantity == intraday
            if self.positions is not Positions.ALL and is_pure is not (self.positions is Positions.INTRADAY):
                continue
            calendar = view.calendar(instrument)
            day = calendar.trading_date(view.now)
            if calendar.is_session(day) and view.now >= cut_off_at(calendar, day, self.cut_off):
                yield Trigger(
                    message=f"{to_text(intraday)} {instrument.symbol} of intraday orders are open after the cut-off",
                    observed=position.quantity,
                    limit=ZERO,
                    unit="quantity",
                    code="square_off",
                    key=f"{account_id}:{instrument_id}:{day}",
                    scope=Scope(account_id=account_id, instrument_id=instrument_id),
                )


def _of_day(at: time) -> timedelta:
    return timedelta(hours=at.hour, minutes=at.minute, seconds=at.second)
