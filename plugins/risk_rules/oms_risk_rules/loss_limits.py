"""An order that could add risk in, DENY out while the account has lost more than it may, today or from its high."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Usage
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.money import EXACT, ZERO, multiply, subtract
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_risk_rules.measuring import of_account
from oms_risk_rules.reach import adds_no_quantity
from oms_risk_rules.room import NOTHING_BUT_REDUCING, kept, overstepped
from oms_risk_rules.used import used
from oms_risk_rules.valuation import NO_EQUITY, Missing


class DailyLoss(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits for a day's loss; at least one is given, and the tighter one holds."""

    max_loss: Annotated[Decimal, described("Largest loss of a risk day", "base currency", gt=0)] | None = None
    max_loss_percent: (
        Annotated[
            Decimal, described("Largest loss of a risk day, of the equity without the day's result", "%", gt=0, le=100)
        ]
        | None
    ) = None

    def __post_init__(self) -> None:
        """Raises ValueError when no limit is given."""
        if self.max_loss is None and self.max_loss_percent is None:
            raise ValueError("at least one of max_loss, max_loss_percent is needed")


class Drawdown(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The limits for the distance from the high-water mark; at least one is given, and the tighter one holds."""

    max_drawdown: (
        Annotated[Decimal, described("Largest fall of equity from its highest mark", "base currency", gt=0)] | None
    ) = None
    max_drawdown_percent: (
        Annotated[Decimal, described("Largest fall of equity, of its highest mark", "%", gt=0, le=100)] | None
    ) = None

    def __post_init__(self) -> None:
        """Raises ValueError when no limit is given."""
        if self.max_drawdown is None and self.max_drawdown_percent is None:
            raise ValueError("at least one of max_drawdown, max_drawdown_percent is needed")


class Loss(msgspec.Struct, frozen=True):
    """What an account has lost, and how much it may: both in its base currency, a loss above zero."""

    lost: Decimal
    limit: Decimal
    inputs: dict[str, Decimal]

    @property
    def is_beyond(self) -> bool:
        """Whether the limit is overstepped; at the limit it is kept."""
        return self.lost > self.limit


def day_loss(params: DailyLoss, view: RuleView, account_id: AccountId) -> Loss | Missing:
    """An account's loss of its risk day, or what is missing to tell it."""
    day_pnl = view.day_pnl(account_id)
    if day_pnl is None:
        return _missing(view, account_id)
    inputs = {"day_pnl": day_pnl}
    part = None
    if params.max_loss_percent is not None:
        equity = view.equity(account_id)
        if equity is None:
            return NO_EQUITY
        inputs["equity"] = equity
        part = _percent_of(subtract(equity, day_pnl), params.max_loss_percent)
    return Loss(day_pnl.copy_negate(), _tighter(params.max_loss, part), inputs)


def drawdown(params: Drawdown, view: RuleView, account_id: AccountId) -> Loss | Missing:
    """How far an account's equity is below its high-water mark, or what is missing to tell it."""
    equity, high_water = view.equity(account_id), view.high_water(account_id)
    if equity is None or high_water is None:
        return _missing(view, account_id)
    part = None
    if params.max_drawdown_percent is not None:
        part = _percent_of(high_water, params.max_drawdown_percent)
    inputs = {"equity": equity, "high_water": high_water}
    return Loss(subtract(high_water, equity), _tighter(params.max_drawdown, part), inputs)


class _LossRule:
    """What both rules have in common."""

    name: ClassVar[str]
    text: ClassVar[str]
    rank: ClassVar[int] = 80
    takes_scope: ClassVar[bool] = True
    needs_equity: ClassVar[bool] = True

    def __init__(self, params: Any, scope: Scope = EVERYTHING) -> None:
        self.params = params
        self.scope = scope
        self.passed = passed(self.name)

    def lost(self, view: RuleView, account_id: AccountId) -> Loss | Missing:
        """What the account has lost, or what is missing to tell it."""
        raise NotImplementedError

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the limit, and whatever can only reduce; observed is the loss, negative for a gain."""
        request = intent.request
        if adds_no_quantity(intent) or view.reduces(request, intent.open_quantity):
            return self.passed
        loss = self.lost(view, request.account_id)
        if isinstance(loss, Missing):
            return loss.denies(self.name)
        currency = view.account(request.account_id).base_currency
        if not loss.is_beyond:
            return kept(self.name, loss.lost, loss.limit, currency, loss.inputs)
        return overstepped(self.name, self.text, loss.lost, loss.limit, currency, loss.inputs, NOTHING_BUT_REDUCING)

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """The loss of each account; 0 for a gain."""
        for account_id in view.accounts(self.scope):
            yield from loss_used(view, account_id, self.lost(view, account_id), self.scope)


class MaxDailyLoss(_LossRule):
    """Denies what could add risk while the account's loss of its risk day is above the limit.

    The loss is equity now less equity at the day's beginning, moved cash left out, so realised and unrealised together,
    fees included. The day is the account's: its time zone and its roll. What can only bring the position nearer to
    zero passes, and a modification that adds nothing. Equity that is not known, or was not marked since the day began,
    denies with `no_equity`. The rule looks at the present figure only; daily_loss_monitor latches the breach until a
    person releases it. Measured for the order's account, whatever the scope: a limit of a strategy restrains the
    strategy by its account's loss.
    """

    name: ClassVar[str] = "max_daily_loss"
    title: ClassVar[str] = "Nothing more at risk after a day's loss"
    text: ClassVar[str] = "the day's loss of"
    Params: ClassVar[type[msgspec.Struct]] = DailyLoss
    source: ClassVar[str] = "RTS 6 Art. 15(4) market and credit limits"

    def lost(self, view: RuleView, account_id: AccountId) -> Loss | Missing:
        """The loss of the risk day."""
        return day_loss(self.params, view, account_id)


class MaxDrawdown(_LossRule):
    """Denies what could add risk while the account's equity is too far below its high-water mark.

    The high-water mark is the most that the account was ever worth, as it was marked. What passes, what is missing and
    what is measured are as for max_daily_loss; drawdown_monitor latches the breach.
    """

    name: ClassVar[str] = "max_drawdown"
    title: ClassVar[str] = "Nothing more at risk far below the high-water mark"
    text: ClassVar[str] = "the fall from the high-water mark of"
    Params: ClassVar[type[msgspec.Struct]] = Drawdown
    source: ClassVar[str] = "RTS 6 Art. 15(4) market and credit limits"

    def lost(self, view: RuleView, account_id: AccountId) -> Loss | Missing:
        """The distance from the high-water mark."""
        return drawdown(self.params, view, account_id)


def _missing(view: RuleView, account_id: AccountId) -> Missing:
    if view.equity(account_id) is None:
        return NO_EQUITY
    return Missing("no_equity", "the account's equity has not been marked yet, or not since its risk day began")


def loss_used(view: RuleView, account_id: AccountId, loss: Loss | Missing, scope: Scope) -> Iterator[Usage]:
    """How much of a loss limit an account has used; nothing while it is not known."""
    if isinstance(loss, Loss):
        yield from used(loss.lost, loss.limit, view.account(account_id).base_currency, of_account(scope, account_id))


def _percent_of(value: Decimal, percent: Decimal) -> Decimal:
    return EXACT.scaleb(multiply(max(value, ZERO), percent), -2)


def _tighter(one: Decimal | None, other: Decimal | None) -> Decimal:
    given = [limit for limit in (one, other) if limit is not None]
    return min(given)
