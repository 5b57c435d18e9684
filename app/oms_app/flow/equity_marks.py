"""An account's equity now in, the event that marks it out: once as its risk day begins, and on new highs now and then.

What is not valued is not marked: the rules that need the mark deny by themselves until it is there.
"""

from collections.abc import Iterable, Iterator
from datetime import timedelta
from decimal import Decimal

from oms_app.store.unit_of_work import LimitRow
from oms_kernel.domain.events import EquityMarked
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.money import ZERO, add, subtract
from oms_kernel.domain.scope import Scope
from oms_kernel.registry import Registries
from oms_kernel.view import LedgerView

HIGHS_APART = timedelta(minutes=1)
"""How long after a mark a new high is marked, at the earliest."""


def scopes_with_equity(registries: Registries, limits: Iterable[LimitRow]) -> tuple[Scope, ...]:
    """The scopes whose accounts are marked: those of limits whose rule says `needs_equity`."""
    known = (registries.compliance_checks, registries.risk_rules, registries.monitors)
    found = {}
    for row in limits:
        registered = next((registry[row.rule] for registry in known if row.rule in registry), None)
        if registered is not None and getattr(registered.contributed, "needs_equity", False):
            found[row.scope] = True
    return tuple(found)


class EquityWatch:
    """What the loop remembers of a ledger's accounts between two marks: how far each rose above its highest mark."""

    def __init__(self) -> None:
        self._risen: dict[AccountId, Decimal] = {}

    def due(self, view: LedgerView, scopes: Iterable[Scope]) -> Iterator[EquityMarked]:
        """The marks that are due now."""
        accounts = {account_id: True for scope in scopes for account_id in view.accounts(scope)}
        for account_id in accounts:
            mark = self._due(view, account_id)
            if mark is not None:
                yield mark

    def marked(self, mark: EquityMarked) -> None:
        """Forget what the stored mark tells."""
        if mark.account_id is not None:
            self._risen.pop(mark.account_id, None)

    def _due(self, view: LedgerView, account_id: AccountId) -> EquityMarked | None:
        equity = view.equity(account_id)
        if equity is None:
            return None
        last, today, high = view.equity_mark(account_id), view.risk_date(account_id), view.high_water(account_id)
        if last is None:
            return _mark(account_id, today, equity, equity, equity)
        if high is None:
            return None
        # Counted from the highest mark, which moves with deposits and withdrawals: those are no profit and no loss.
        risen = max(self._risen.get(account_id, ZERO), subtract(equity, high))
        if risen > ZERO:
            self._risen[account_id] = risen
        if last.risk_date != today:
            return _mark(account_id, today, equity, add(high, risen), equity)
        if risen > ZERO and view.now - last.marked_at >= HIGHS_APART:
            return _mark(account_id, today, last.day_start, add(high, risen), equity)
        return None


def _mark(account_id: AccountId, today: str, day_start: Decimal, high: Decimal, equity: Decimal) -> EquityMarked:
    return EquityMarked(account_id=account_id, risk_date=today, day_start=day_start, high_water=high, equity=equity)
