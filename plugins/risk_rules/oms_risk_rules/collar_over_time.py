"""A priced order in, DENY out when it moves too far from the average of the account's own orders of the last minute."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.events import Event, OrderAccepted, Recorded, ReplaceRequested
from oms_kernel.domain.ids import AccountId, InstrumentId, OrderId
from oms_kernel.domain.money import ZERO, add, ratio, subtract
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.recent import Recent
from oms_risk_rules.verdicts import exceeded, percent

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SLOTS = 60
KNOWN_FOR = timedelta(minutes=10)
"""How long after its last message it is known what an order is for."""

PriceKey = tuple[AccountId, InstrumentId, Side]


class Creep(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How far own prices may move over a time."""

    max_move_percent: Annotated[
        Decimal, described("Largest move from the average own price to the losing side", "%", gt=0, le=1000)
    ] = Decimal(2)
    window_s: Annotated[int, described("Over which time own prices are averaged", "s", ge=1, le=3600)] = 60


class PriceTrail(msgspec.Struct, frozen=True):
    """Own prices of one account, instrument and side, summed in slots of time; oldest first."""

    slots: tuple[tuple[int, Decimal, int], ...] = ()
    total: Decimal = ZERO
    count: int = 0

    def since(self, first: int) -> "PriceTrail":
        """The trail without the slots before `first`."""
        total, count, expired = self.total, self.count, 0
        for number, amount, orders in self.slots:
            if number >= first:
                break
            total, count, expired = subtract(total, amount), count - orders, expired + 1
        return PriceTrail(self.slots[expired:], total, count) if expired else self

    def priced(self, number: int, price: Decimal) -> "PriceTrail":
        """The trail with one more price in slot `number`."""
        slots = self.slots
        if slots and slots[-1][0] >= number:
            last, amount, orders = slots[-1]
            slots = (*slots[:-1], (last, add(amount, price), orders + 1))
        else:
            slots = (*slots, (number, price, 1))
        return PriceTrail(slots, add(self.total, price), self.count + 1)


State = Recent[PriceKey | OrderId, PriceTrail | PriceKey]
"""By account, instrument and side: the trail. By order id: whose trail its new terms belong to."""


class CollarOverTime:
    """Denies an order whose price moved more than `max_move_percent` from the account's own average price.

    The average is over the prices of the orders and new terms that the account sent for the same instrument and side
    within `window_s`, each counted once whatever its quantity: the limit, else the quote it was accepted at. Only the
    losing side is bounded: a BUY above it, a SELL below it, so that no program walks a price up by small steps that
    each keep the collar; orders that lie far on the winning side pull the average there. The first order of a window
    passes, as do orders with a trigger, which lie away from the market by nature, those without any price and a
    liquidation's. Time is cut into 60 slots and one that lies only partly in the window counts whole. New terms enter
    the average when their order had a message within the last ten minutes.
    """

    name: ClassVar[str] = "collar_over_time"
    title: ClassVar[str] = "Own prices that do not creep away"
    source: ClassVar[str] = "RTS 6 Art. 15(1)(a), over a period of time; SEC 15c3-5(c)(1)(ii)"
    rank: ClassVar[int] = 50
    takes_scope: ClassVar[bool] = True
    Params: ClassVar[type[msgspec.Struct]] = Creep
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderAccepted, ReplaceRequested})

    def __init__(self, params: Creep, scope: Scope = EVERYTHING) -> None:
        self.limit = params.max_move_percent
        self.slot = timedelta(seconds=params.window_s) / SLOTS
        self.horizon = max(KNOWN_FOR, timedelta(seconds=params.window_s) + self.slot)
        self.scope = scope
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS up to and at the limit."""
        request, price = intent.request, intent.price
        if price is None or request.stop_price is not None or request.liquidation_id is not None:
            return self.passed
        found = state.get((request.account_id, request.instrument_id, request.side))
        trail = found[1] if found is not None else None
        if not isinstance(trail, PriceTrail):
            return self.passed
        trail = trail.since(self._slot_of(view.now) - SLOTS)
        if trail.count == 0:
            return self.passed
        average = ratio(trail.total, Decimal(trail.count))
        if average == ZERO:
            return self.passed
        distance = subtract(price, average) if request.side is Side.BUY else subtract(average, price)
        observed = max(ZERO, percent(distance, abs(average)))
        inputs = {"price": price, "average": average, "orders": Decimal(trail.count)}
        if observed <= self.limit:
            return passed(self.name, observed=observed, limit=self.limit, unit="%", inputs=inputs)
        text = "the move away from the account's own average price of"
        hint = "the same when the average has followed"
        return exceeded(self.name, self.name, text, observed, self.limit, "%", inputs=inputs, would_pass=hint)

    def initial_state(self) -> State:
        """No price yet."""
        return Recent(self.horizon)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Any, ...]]:
        """The trails after the event."""
        happened, at = event.event, event.recorded_at
        if isinstance(happened, OrderAccepted):
            request = happened.request
            if request.stop_price is not None:
                return state, ()
            if not self.scope.covers(request.account_id, request.strategy_id, request.instrument_id):
                return state, ()
            key: Any = (request.account_id, request.instrument_id, request.side)
        elif isinstance(happened, ReplaceRequested):
            known = state.get(happened.order_id)
            if known is None:
                return state, ()
            key = known[1]
        else:
            return state, ()
        state = state.put(happened.order_id, at, key)
        price = happened.reservation.price
        if price is None:
            return state, ()
        found = state.get(key)
        trail = found[1] if found is not None and isinstance(found[1], PriceTrail) else PriceTrail()
        number = self._slot_of(at)
        return state.put(key, at, trail.since(number - SLOTS).priced(number, price)), ()

    def _slot_of(self, at: datetime) -> int:
        return (at - EPOCH) // self.slot
