"""The accounts of a scope in, a trigger out for each that has lost more than it may, today or from its high."""

from collections.abc import Iterator
from typing import Any, ClassVar

import msgspec

from oms_kernel.contracts.rules import RuleView, Trigger, Usage
from oms_kernel.domain.controls import Action
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.scope import Scope
from oms_risk_rules.alarms import above
from oms_risk_rules.loss_limits import DailyLoss, Drawdown, Loss, day_loss, drawdown, loss_used
from oms_risk_rules.measuring import of_account
from oms_risk_rules.valuation import Missing


class _LossMonitor:
    """What both monitors have in common: each account of the scope is measured and stopped by itself."""

    name: ClassVar[str]
    text: ClassVar[str]
    default_action: ClassVar[Action] = Action.REDUCE_ONLY
    needs_equity: ClassVar[bool] = True

    def __init__(self, params: Any, scope: Scope) -> None:
        self.params = params
        self.scope = scope

    def lost(self, view: RuleView, account_id: AccountId) -> Loss | Missing:
        """What the account has lost, or what is missing to tell it."""
        raise NotImplementedError

    def watch(self, view: RuleView, state: Any) -> tuple[Trigger, ...]:
        """A trigger for each account beyond its limit; its key holds the risk day."""
        found = []
        for account_id in view.accounts(self.scope):
            loss = self.lost(view, account_id)
            if isinstance(loss, Loss) and loss.is_beyond:
                found.append(self._trigger(view, account_id, loss))
        return tuple(found)

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """The loss of each account; 0 for a gain."""
        for account_id in view.accounts(self.scope):
            yield from loss_used(view, account_id, self.lost(view, account_id), self.scope)

    def _trigger(self, view: RuleView, account_id: AccountId, loss: Loss) -> Trigger:
        currency = view.account(account_id).base_currency
        key = f"{account_id}:{view.risk_date(account_id)}"
        return above(self.name, self.text, loss.lost, loss.limit, currency, key, of_account(self.scope, account_id))


class DailyLossMonitor(_LossMonitor):
    """Finds accounts whose loss of their risk day is above the limit: realised and unrealised, fees included.

    The figures are those of the rule max_daily_loss, at present marks; at the limit is not beyond it. One trigger for
    each account and risk day, for the account alone (or the strategy or instrument of the limit in it), whatever the
    scope. An account whose equity is not known is not judged here: the rule denies it what adds risk, and
    stale_data_monitor tells which prices are missing.
    """

    name: ClassVar[str] = "daily_loss_monitor"
    title: ClassVar[str] = "Day's loss above the limit"
    text: ClassVar[str] = "the day's loss of"
    Params: ClassVar[type[msgspec.Struct]] = DailyLoss
    source: ClassVar[str] = "RTS 6 Art. 15(4) and 17(2); FIA 2024 1.2"

    def lost(self, view: RuleView, account_id: AccountId) -> Loss | Missing:
        """The loss of the risk day."""
        return day_loss(self.params, view, account_id)


class DrawdownMonitor(_LossMonitor):
    """Finds accounts whose equity is too far below the most that they were ever worth.

    The figures are those of the rule max_drawdown; triggers, keys and what is not judged are as for
    daily_loss_monitor.
    """

    name: ClassVar[str] = "drawdown_monitor"
    title: ClassVar[str] = "Equity too far below the high-water mark"
    text: ClassVar[str] = "the fall from the high-water mark of"
    Params: ClassVar[type[msgspec.Struct]] = Drawdown
    source: ClassVar[str] = "RTS 6 Art. 15(4) and 17(2)"

    def lost(self, view: RuleView, account_id: AccountId) -> Loss | Missing:
        """The distance from the high-water mark."""
        return drawdown(self.params, view, account_id)
