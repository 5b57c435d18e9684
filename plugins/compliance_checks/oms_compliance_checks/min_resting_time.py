"""Cancels in, a case for surveillance out when an order was withdrawn sooner after it was there than is allowed."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_compliance_checks.verdicts import seconds
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import RuleView, Trigger
from oms_kernel.domain.controls import Category
from oms_kernel.domain.events import CancelRequested, Event, OrderAccepted, OrderAcknowledged, Recorded
from oms_kernel.domain.money import multiply, to_text
from oms_kernel.domain.order import OrderRequest, TimeInForce
from oms_kernel.domain.scope import Scope
from oms_kernel.recent import Recent

HORIZON = timedelta(days=1)
AT_ONCE = frozenset({TimeInForce.IOC, TimeInForce.FOK})


class MinRestingParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long an order has to rest."""

    min_resting_ms: Annotated[int, described("Shortest time from its acknowledgement to a cancel", "ms", ge=1)] = 500


class Resting(msgspec.Struct, frozen=True):
    """What an order is for; the time beside it is when the broker took it, once it `is_there`."""

    account_id: str
    instrument_id: str
    symbol: str
    is_there: bool = False


State = Recent[str, Resting]


class MinRestingTime:
    """Opens a surveillance case when a cancel comes sooner than `min_resting_ms` after the broker took the order.

    Cancels are never denied. One case is open for each account, instrument and day (UTC). IOC and FOK orders, and those
    that the broker does not have yet, do not rest.
    """

    name: ClassVar[str] = "min_resting_time"
    title: ClassVar[str] = "Orders that were cancelled too soon"
    Params: ClassVar[type[msgspec.Struct]] = MinRestingParams
    source: ClassVar[str] = "Rules of venues on minimum resting times; RTS 6 Article 13"
    category: ClassVar[Category] = Category.SURVEILLANCE
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderAccepted, OrderAcknowledged, CancelRequested})

    def __init__(self, params: MinRestingParams, scope: Scope) -> None:
        self.params = params
        self.scope = scope
        self.least = timedelta(milliseconds=params.min_resting_ms)
        self.horizon = HORIZON

    def watch(self, view: RuleView, state: State) -> tuple[Trigger, ...]:
        """Nothing: what there is to find is found when the cancel is recorded."""
        return ()

    def initial_state(self) -> State:
        """No order yet."""
        return Recent(HORIZON)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Trigger, ...]]:
        """The resting orders after the event; a trigger for a cancel that comes too soon."""
        told = event.event
        if isinstance(told, OrderAccepted):
            if not self._counts(told.request):
                return state, ()
            request = told.request
            order = Resting(request.account_id, request.instrument_id, told.symbol)
            return state.put(told.order_id, event.recorded_at, order), ()
        found = state.get(event.order_id or "")
        if found is None:
            return state, ()
        since, known = found
        if isinstance(told, OrderAcknowledged) and not known.is_there:
            return state.put(told.order_id, event.recorded_at, msgspec.structs.replace(known, is_there=True)), ()
        rested = event.recorded_at - since
        if not isinstance(told, CancelRequested) or not known.is_there or rested >= self.least:
            return state, ()
        return state, (self._trigger(known, event, rested),)

    def _counts(self, request: OrderRequest) -> bool:
        is_ours = self.scope.covers(request.account_id, request.strategy_id, request.instrument_id)
        return is_ours and request.time_in_force not in AT_ONCE and request.liquidation_id is None

    def _trigger(self, order: Resting, event: Recorded, rested: timedelta) -> Trigger:
        observed = multiply(seconds(rested), Decimal(1000))
        return Trigger(
            message=f"an order in {order.symbol} was cancelled {to_text(observed)} ms after the broker took it",
            observed=observed,
            limit=Decimal(self.params.min_resting_ms),
            unit="ms",
            key=f"{order.account_id}:{order.instrument_id}:{event.recorded_at.date()}",
            scope=_scope(order),
            order_id=event.order_id,
        )


def _scope(order: Resting) -> Scope:
    known: Any = {"account_id": order.account_id, "instrument_id": order.instrument_id}
    return Scope(**known)
