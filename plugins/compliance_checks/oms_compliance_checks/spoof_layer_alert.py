"""Orders and cancels in, a case for surveillance out when layers on one side are withdrawn around a trade."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_compliance_checks.owners import OwnerGroup, owners_of
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import RuleView, Trigger
from oms_kernel.domain.controls import Category
from oms_kernel.domain.events import CancelRequested, Event, OrderAccepted, OrderCanceled, OrderFilled, Recorded
from oms_kernel.domain.money import ratio, to_text
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import Scope
from oms_kernel.recent import Recent

MOST = 200
"""So many orders of an owner in an instrument are kept at most: the newest."""


class SpoofLayerParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What looks like layers that were never meant to trade."""

    window_s: Annotated[int, described("Within so long of each other", "s", ge=1, le=86_400)] = 60
    min_levels: Annotated[int, described("Fewest prices of withdrawn orders on one side", "prices", ge=2)] = 3
    cancel_ratio_percent: Annotated[
        Decimal, described("Least share of the side's orders that were withdrawn unfilled", "%", gt=0, le=100)
    ] = Decimal(80)
    owners: Annotated[tuple[OwnerGroup, ...], described("Accounts that belong to one owner")] = ()

    def __post_init__(self) -> None:
        owners_of(self.owners)


class Layer(msgspec.Struct, frozen=True):
    """One order with a limit: when it came, and what became of it."""

    order_id: str
    side: Side
    price: Decimal
    at: datetime
    is_withdrawn: bool = False
    is_filled: bool = False


class Seen(msgspec.Struct, frozen=True):
    """The latest orders of an owner in an instrument, and the latest trade of each side."""

    layers: tuple[Layer, ...] = ()
    bought_at: datetime | None = None
    sold_at: datetime | None = None


Key = tuple[str, ...]
State = Recent[Key, Any]
"""("order", id) -> the owner and instrument; (owner, instrument) -> Seen."""


class SpoofLayerAlert:
    """Opens a surveillance case when an owner withdraws orders at several prices of a side around a trade on the other.

    Within `window_s`: limit orders of one side at `min_levels` prices or more, of which `cancel_ratio_percent` or more
    were withdrawn before any part of them traded, and a trade of the same owner on the other side. One case is open for
    each owner, instrument and day (UTC). It denies nothing: intent is for people to judge, from the log.
    """

    name: ClassVar[str] = "spoof_layer_alert"
    title: ClassVar[str] = "Layers of orders that are withdrawn around a trade"
    Params: ClassVar[type[msgspec.Struct]] = SpoofLayerParams
    source: ClassVar[str] = "Commodity Exchange Act section 4c(a)(5)(C); MAR Article 12; RTS 6 Article 13"
    category: ClassVar[Category] = Category.SURVEILLANCE
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderAccepted, CancelRequested, OrderCanceled, OrderFilled})

    def __init__(self, params: SpoofLayerParams, scope: Scope) -> None:
        self.params = params
        self.scope = scope
        self.owners = owners_of(params.owners)
        self.window = timedelta(seconds=params.window_s)
        self.horizon = 2 * self.window + timedelta(days=1)

    def watch(self, view: RuleView, state: State) -> tuple[Trigger, ...]:
        """Nothing: what there is to find is found when the cancel or trade is recorded."""
        return ()

    def initial_state(self) -> State:
        """No order yet."""
        return Recent(self.horizon)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Trigger, ...]]:
        """The layers after the event; a trigger when it completes a pattern."""
        told, at = event.event, event.recorded_at
        if isinstance(told, OrderAccepted):
            return self._placed(state, told, at), ()
        if not isinstance(told, (CancelRequested, OrderCanceled, OrderFilled)):
            return state, ()
        key, seen = self._known(state, told)
        if key is None:
            return state, ()
        if isinstance(told, OrderFilled):
            is_buy = told.fill.side is Side.BUY
            layers = tuple(_changed(one, told.order_id, is_filled=True) for one in seen.layers)
            seen = Seen(layers, at if is_buy else seen.bought_at, seen.sold_at if is_buy else at)
            suspect = told.fill.side.opposite
        else:
            layers = tuple(_changed(one, told.order_id, is_withdrawn=True) for one in seen.layers)
            seen = msgspec.structs.replace(seen, layers=layers)
            suspect = next((one.side for one in layers if one.order_id == told.order_id), Side.BUY)
        return state.put(key, at, seen), self._found(key, seen, suspect, event)

    def _placed(self, state: State, told: OrderAccepted, at: datetime) -> State:
        request = told.request
        if request.limit_price is None or request.liquidation_id is not None:
            return state
        if not self.scope.covers(request.account_id, request.strategy_id, request.instrument_id):
            return state
        key = (self.owners.owner(request.account_id), request.instrument_id)
        found = state.get(key)
        seen: Seen = found[1] if found is not None else Seen()
        layer = Layer(told.order_id, request.side, request.limit_price, at)
        recent = tuple(one for one in seen.layers if at - one.at <= self.window)[-MOST:]
        state = state.put(("order", told.order_id), at, key)
        return state.put(key, at, msgspec.structs.replace(seen, layers=(*recent, layer)))

    def _known(self, state: State, told: CancelRequested | OrderCanceled | OrderFilled) -> tuple[Key | None, Seen]:
        """To whom the event belongs and what was seen of them; None for what the limit does not cover."""
        if isinstance(told, OrderFilled):
            fill, strategy = told.fill, self.scope.strategy_id
            if not self.scope.covers(fill.account_id, strategy, fill.instrument_id):
                return None, Seen()
            if strategy not in (None, fill.book):
                return None, Seen()
            key: Key = (self.owners.owner(fill.account_id), fill.instrument_id)
        else:
            known = state.get(("order", told.order_id))
            if known is None:
                return None, Seen()
            key = known[1]
        found = state.get(key)
        return key, found[1] if found is not None else Seen()

    def _found(self, key: Key, seen: Seen, side: Side, event: Recorded) -> tuple[Trigger, ...]:
        at = event.recorded_at
        traded_at = seen.sold_at if side is Side.BUY else seen.bought_at
        if traded_at is None or at - traded_at > self.window:
            return ()
        placed = [one for one in seen.layers if one.side is side and at - one.at <= self.window]
        withdrawn = [one for one in placed if one.is_withdrawn and not one.is_filled]
        prices = {one.price for one in withdrawn}
        if len(prices) < self.params.min_levels:
            return ()
        percent = ratio(Decimal(100 * len(withdrawn)), Decimal(len(placed)))
        if percent < self.params.cancel_ratio_percent:
            return ()
        owner, instrument_id = key
        text = (
            f"{owner} withdrew {len(withdrawn)} of {len(placed)} {side.value} orders at {len(prices)} prices "
            f"({to_text(percent)} %) around a trade on the other side"
        )
        account: Any = event.event.account_id
        where: Any = instrument_id
        return (
            Trigger(
                message=text,
                observed=percent,
                limit=self.params.cancel_ratio_percent,
                unit="%",
                key=f"{owner}:{instrument_id}:{at.date()}",
                scope=Scope(account_id=account, instrument_id=where),
                order_id=event.order_id,
            ),
        )


def _changed(layer: Layer, order_id: str | None, **changes: bool) -> Layer:
    return msgspec.structs.replace(layer, **changes) if layer.order_id == order_id else layer
