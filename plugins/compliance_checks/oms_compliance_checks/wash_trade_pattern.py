"""Executions in, a case for surveillance out when one owner bought and sold the same at the same price in moments."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from oms_compliance_checks.owners import OwnerGroup, owners_of
from oms_compliance_checks.verdicts import ONLY_REDUCING, only_reduces, seconds, too_early
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Trigger
from oms_kernel.domain.controls import Category
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.events import Event, OrderFilled, Recorded
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.money import multiply, ratio, subtract, to_text
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import Scope
from oms_kernel.recent import Recent

MOST = 100
"""So many executions of an owner in an instrument are compared at most: the newest."""


class WashTradeParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How like each other the two executions are."""

    window_s: Annotated[int, described("Longest time between purchase and sale", "s", ge=1, le=86_400)] = 60
    price_tolerance_bps: Annotated[Decimal, described("Most difference of the prices", "bps", ge=0, le=10_000)] = (
        Decimal(5)
    )
    quantity_tolerance_percent: Annotated[
        Decimal, described("Most difference of the quantities, of the larger one", "%", ge=0, le=100)
    ] = Decimal(10)
    block_s: Annotated[int, described("Deny the owner's orders in the instrument so long; 0 never", "s", ge=0)] = 0
    owners: Annotated[tuple[OwnerGroup, ...], described("Accounts that belong to one owner")] = ()

    def __post_init__(self) -> None:
        owners_of(self.owners)


class Trade(msgspec.Struct, frozen=True):
    """One execution, as far as it is compared."""

    at: datetime
    side: Side
    quantity: Decimal
    price: Decimal
    exec_id: str


class Trades(msgspec.Struct, frozen=True):
    """The latest executions of an owner in an instrument, and when the last pattern was seen."""

    trades: tuple[Trade, ...] = ()
    found_at: datetime | None = None


State = Recent[tuple[str, str], Trades]


class WashTradePattern:
    """Opens a surveillance case when one owner's purchase and sale of an instrument match in time, price and quantity.

    Each pair leaves the owner's position as it was: a round trip without market risk. One case is open for each owner,
    instrument and trading date. With `block_s` the owner's orders in that instrument are denied so long after a
    pattern, but for what only reduces a position. Busted executions were seen when they were booked.
    """

    name: ClassVar[str] = "wash_trade_pattern"
    title: ClassVar[str] = "Purchases and sales of one owner that cancel each other"
    Params: ClassVar[type[msgspec.Struct]] = WashTradeParams
    rank: ClassVar[int] = 30
    source: ClassVar[str] = "CME Rule 534; Commodity Exchange Act section 4c(a); MAR Article 12"
    category: ClassVar[Category] = Category.SURVEILLANCE
    takes_scope: ClassVar[bool] = True
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderFilled})

    def __init__(self, params: WashTradeParams, scope: Scope) -> None:
        self.params = params
        self.scope = scope
        self.owners = owners_of(params.owners)
        self.window = timedelta(seconds=params.window_s)
        self.block = timedelta(seconds=params.block_s)
        self.horizon = 2 * max(self.window, self.block)
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS, but for the time of a block after a pattern."""
        if not self.block:
            return self.passed
        found = state.get((self.owners.owner(intent.request.account_id), intent.request.instrument_id))
        if found is None or found[1].found_at is None:
            return self.passed
        since = view.now - found[1].found_at
        if since >= self.block or only_reduces(intent, view):
            return self.passed
        text = (
            f"the owner bought and sold {intent.instrument.symbol} to the same effect {to_text(seconds(since))} s ago"
        )
        return too_early(self.name, self.name, text, since, Decimal(self.params.block_s), ONLY_REDUCING)

    def initial_state(self) -> State:
        """No execution yet."""
        return Recent(self.horizon)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Trigger, ...]]:
        """The executions after the event; a trigger when it completes a pattern."""
        told = event.event
        if not isinstance(told, OrderFilled):
            return state, ()
        fill = told.fill
        strategy = self.scope.strategy_id
        if not self.scope.covers(fill.account_id, strategy, fill.instrument_id) or strategy not in (None, fill.book):
            return state, ()
        key = (self.owners.owner(fill.account_id), fill.instrument_id)
        found = state.get(key)
        known = found[1] if found is not None else Trades()
        trade = Trade(fill.executed_at, fill.side, fill.quantity, fill.price, fill.exec_id)
        recent = tuple(one for one in known.trades if abs(trade.at - one.at) <= self.window)[-MOST:]
        match = next((one for one in reversed(recent) if self._match(one, trade)), None)
        found_at = event.recorded_at if match is not None else known.found_at
        after = state.put(key, event.recorded_at, Trades((*recent, trade), found_at))
        return after, (() if match is None else (self._trigger(key[0], fill, match, trade),))

    def _match(self, one: Trade, other: Trade) -> bool:
        """Whether two executions within the window cancel each other."""
        if one.side is other.side:
            return False
        return (
            _apart(one.price, other.price, Decimal(10_000)) <= self.params.price_tolerance_bps
            and _apart(one.quantity, other.quantity, Decimal(100)) <= self.params.quantity_tolerance_percent
        )

    def _trigger(self, owner: str, fill: Fill, one: Trade, other: Trade) -> Trigger:
        text = (
            f"{owner} traded {to_text(one.quantity)} at {to_text(one.price)} ({one.side.value}, {one.exec_id}) and "
            f"{to_text(other.quantity)} at {to_text(other.price)} ({other.side.value}, {other.exec_id})"
        )
        return Trigger(
            message=text,
            observed=seconds(abs(other.at - one.at)),
            limit=Decimal(self.params.window_s),
            unit="s",
            key=f"{owner}:{fill.instrument_id}:{fill.trading_date}",
            scope=Scope(account_id=fill.account_id, instrument_id=fill.instrument_id),
            order_id=fill.order_id,
        )


def _apart(one: Decimal, other: Decimal, per: Decimal) -> Decimal:
    """How far two figures differ, for each `per` of the larger one."""
    larger = max(one.copy_abs(), other.copy_abs())
    return ratio(multiply(subtract(one, other).copy_abs(), per), larger) if larger else Decimal(0)
