"""An order in, DENY out when its account has sent too many messages of the day for the trades that came of them."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from oms_compliance_checks.verdicts import ONLY_REDUCING, only_reduces
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Trigger
from oms_kernel.domain.calendar import risk_date
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.events import CancelRequested, Event, OrderAccepted, OrderFilled, Recorded, ReplaceRequested
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.money import ratio, to_text
from oms_kernel.domain.scope import Scope
from oms_kernel.recent import Recent

HORIZON = timedelta(days=3)
UNIT = "messages per trade"


class OrderToTradeParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How many messages a trade may take."""

    block_ratio: Annotated[Decimal, described("Most messages of a day for each trade; more denies", UNIT, gt=0)]
    alert_ratio: (
        Annotated[Decimal, described("Messages for each trade from which on is alerted", UNIT, gt=0)] | None
    ) = None
    min_orders: Annotated[
        int, described("Messages of a day before anything is denied or alerted", "messages", ge=1)
    ] = 100


class Traffic(msgspec.Struct, frozen=True):
    """What an account sent on its risk day, and how many trades came of it."""

    risk_date: str
    messages: int = 0
    trades: int = 0

    @property
    def ratio(self) -> Decimal:
        """Messages for each trade; before the first trade as if there were one."""
        return Decimal(self.messages) if self.trades < 2 else ratio(Decimal(self.messages), Decimal(self.trades))


State = Recent[tuple[str, str], Traffic | None]
"""("account", id) -> its traffic, and ("order", id) -> None for an order of a strategy's or instrument's limit."""


class OrderToTradeRatio:
    """Denies orders and modifications beyond `block_ratio` messages for each trade of the account's risk day.

    Accepted orders, modifications and cancels are messages, each execution is a trade. Nothing is denied or alerted
    before `min_orders` messages. What only reduces a position passes, and cancels are never judged. Each account counts
    by itself; a limit for a strategy or an instrument counts that strategy's or instrument's messages only.
    """

    name: ClassVar[str] = "order_to_trade_ratio"
    title: ClassVar[str] = "Most messages for each trade of a day"
    Params: ClassVar[type[msgspec.Struct]] = OrderToTradeParams
    rank: ClassVar[int] = 30
    source: ClassVar[str] = "RTS 9 (Regulation (EU) 2017/566) on order-to-trade ratios; FIA July 2024 3.3"
    takes_scope: ClassVar[bool] = True
    observes: ClassVar[frozenset[type[Event]]] = frozenset(
        {OrderAccepted, ReplaceRequested, CancelRequested, OrderFilled}
    )

    def __init__(self, params: OrderToTradeParams, scope: Scope) -> None:
        self.params = params
        self.scope = scope
        self.is_narrow = scope.strategy_id is not None or scope.instrument_id is not None
        self.horizon = HORIZON
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS up to and at `block_ratio`, this message included."""
        request = intent.request
        traffic = _traffic(state, request.account_id)
        if traffic is None or traffic.messages < self.params.min_orders:
            return self.passed
        account = view.account(request.account_id)
        if traffic.risk_date != risk_date(view.now, account.time_zone, account.day_roll).isoformat():
            return self.passed
        after = Traffic(traffic.risk_date, traffic.messages + 1, traffic.trades)
        observed, limit = after.ratio, self.params.block_ratio
        inputs = {"messages": Decimal(after.messages), "trades": Decimal(after.trades)}
        if observed <= limit or only_reduces(intent, view):
            return passed(self.name, observed=observed, limit=limit, unit=UNIT, inputs=inputs)
        text = f"{after.messages} messages for {after.trades} trades today: more than {to_text(limit)} for each trade"
        return denied(
            self.name,
            self.name,
            text,
            observed=observed,
            limit=limit,
            unit=UNIT,
            inputs=inputs,
            would_pass=ONLY_REDUCING,
        )

    def initial_state(self) -> State:
        """No account has sent anything."""
        return Recent(HORIZON)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Trigger, ...]]:
        """The traffic after the event; a trigger when it goes beyond `alert_ratio`."""
        told = event.event
        account_id = told.account_id
        if type(told) not in self.observes or account_id is None or not self._counts(state, event):
            return state, ()
        before = _traffic(state, account_id)
        day = before.risk_date if before is not None else ""
        if isinstance(told, OrderAccepted):
            day = max(day, told.risk_date)
            if self.is_narrow:
                state = state.put(("order", told.order_id), event.recorded_at, None)
        elif isinstance(told, OrderFilled):
            if told.fill.risk_date < day:
                return state, ()
            day = told.fill.risk_date
        if not day:
            return state, ()
        if before is None or before.risk_date != day:
            before = Traffic(day)
        is_trade = isinstance(told, OrderFilled)
        after = Traffic(day, before.messages + (not is_trade), before.trades + is_trade)
        return state.put(("account", account_id), event.recorded_at, after), self._alert(account_id, before, after)

    def _counts(self, state: State, event: Recorded) -> bool:
        """Whether the event lies within the scope of the limit."""
        told = event.event
        if isinstance(told, OrderAccepted):
            request = told.request
            return self.scope.covers(request.account_id, request.strategy_id, request.instrument_id)
        if not self.is_narrow:
            return self.scope.account_id is None or self.scope.account_id == told.account_id
        return state.get(("order", event.order_id or "")) is not None

    def _alert(self, account_id: AccountId, before: Traffic, after: Traffic) -> tuple[Trigger, ...]:
        alert, least = self.params.alert_ratio, self.params.min_orders
        if alert is None or after.messages < least or after.ratio < alert:
            return ()
        if before.messages >= least and before.ratio >= alert:
            return ()
        text = f"{after.messages} messages for {after.trades} trades on {after.risk_date} in account {account_id}"
        return (
            Trigger(
                message=text,
                observed=after.ratio,
                limit=alert,
                unit=UNIT,
                key=f"{account_id}:{after.risk_date}",
                scope=msgspec.structs.replace(self.scope, account_id=account_id, is_firm=False),
            ),
        )


def _traffic(state: State, account_id: AccountId) -> Traffic | None:
    found = state.get(("account", account_id))
    return found[1] if found is not None else None
