"""Executions in, a trigger out when a strategy trades more often within a minute than a person meant it to."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Trigger, Usage
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.events import Event, OrderFilled, Recorded
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import AccountId, OrderId, StrategyId
from oms_kernel.domain.order import EXTERNAL_BOOK, MANUAL_BOOK
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.recent import Recent
from oms_risk_rules.rates import Rate, rates_of
from oms_risk_rules.verdicts import exceeded

SLOTS = 20
NO_STRATEGY = frozenset({MANUAL_BOOK, EXTERNAL_BOOK})

Trader = tuple[AccountId, StrategyId]
State = Recent[Trader | OrderId, Rate | None]
"""By account and strategy: its executions. By order id: that the order traded within the window."""


class Counted(StrEnum):
    """What counts as one execution."""

    ORDERS = "ORDERS"
    """An order that traded, however many parts it was filled in."""
    FILLS = "FILLS"
    """Each part."""


class Repetition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How often a strategy may trade without a person."""

    max_executions: Annotated[int, described("Most executions of one strategy", "executions", ge=1)] = 10
    window_s: Annotated[int, described("Within which time they are counted", "s", ge=1, le=86_400)] = 60
    counted: Annotated[Counted, described("What counts as one execution: an order that traded, or each part")] = (
        Counted.ORDERS
    )


class RepeatedExecution:
    """Triggers when one strategy executes more than `max_executions` times within `window_s`.

    The action is for that strategy in its account, HALT unless the limit says otherwise: it is off until a person
    releases it. While the count is above the limit its new orders that would not reduce a position are denied as well,
    so that the batch under way does not outrun the action. Orders of no strategy do not count; a liquidation passes.
    """

    name: ClassVar[str] = "repeated_execution"
    title: ClassVar[str] = "A strategy that trades again and again is switched off"
    source: ClassVar[str] = "RTS 6 Art. 15(3); FIA 2024 3.2"
    rank: ClassVar[int] = 20
    takes_scope: ClassVar[bool] = True
    default_action: ClassVar[Action] = Action.HALT
    Params: ClassVar[type[msgspec.Struct]] = Repetition
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderFilled})

    def __init__(self, params: Repetition, scope: Scope = EVERYTHING) -> None:
        self.limit = Decimal(params.max_executions)
        self.window_s = params.window_s
        self.window = timedelta(seconds=params.window_s)
        self.idle = Rate(self.window / SLOTS, SLOTS)
        self.by_fill = params.counted is Counted.FILLS
        self.scope = scope
        self.horizon = 2 * self.window
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS up to and at the limit, and for what only reduces a position."""
        request = intent.request
        if request.strategy_id is None or request.liquidation_id is not None:
            return self.passed
        observed = Decimal(self._count(state, (request.account_id, request.strategy_id)).within(view.now))
        if observed <= self.limit or view.reduces(request, intent.open_quantity):
            return passed(self.name, observed=observed, limit=self.limit, unit="executions")
        text = f"within {self.window_s} s a number of executions of the strategy of"
        hint = "an order that reduces a position, or the same later"
        return exceeded(self.name, self.name, text, observed, self.limit, "executions", would_pass=hint)

    def usage(self, view: RuleView, state: State) -> Iterator[Usage]:
        """The executions of each strategy that traded lately."""
        for (account_id, strategy_id), rate in rates_of(state).items():
            used = Decimal(rate.within(view.now))
            if used:
                yield Usage(
                    used=used, limit=self.limit, unit="executions", account_id=account_id, strategy_id=strategy_id
                )

    def initial_state(self) -> State:
        """Nothing was executed."""
        return Recent(self.horizon)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Trigger, ...]]:
        """The executions after the event; a trigger with each one above the limit."""
        filled, at = event.event, event.recorded_at
        if not isinstance(filled, OrderFilled) or filled.order_id is None or not self._covers(filled.fill):
            return state, ()
        traded = state.get(filled.order_id)
        if not self.by_fill:
            if traded is not None and at - traded[0] <= self.window:
                return state, ()
            state = state.put(filled.order_id, at, None)
        trader = (filled.fill.account_id, StrategyId(filled.fill.book))
        count = self._count(state, trader).counted(at)
        observed = Decimal(count.within(at))
        triggers = () if observed <= self.limit else (self._trigger(trader, observed, filled.order_id),)
        return state.put(trader, at, count), triggers

    def _covers(self, fill: Fill) -> bool:
        if fill.book in NO_STRATEGY:
            return False
        return self.scope.covers(fill.account_id, StrategyId(fill.book), fill.instrument_id)

    def _count(self, state: State, trader: Trader) -> Rate:
        found = state.get(trader)
        return (found[1] or self.idle) if found is not None else self.idle

    def _trigger(self, trader: Trader, observed: Decimal, order_id: OrderId) -> Trigger:
        account_id, strategy_id = trader
        return Trigger(
            message=f"strategy {strategy_id} executed {observed} times within {self.window_s} s",
            observed=observed,
            limit=self.limit,
            unit="executions",
            key=f"{account_id}/{strategy_id}",
            scope=Scope(account_id=account_id, strategy_id=strategy_id),
            order_id=order_id,
        )
