"""A tenant's ledgers in, how much of each limit in force is used out: what a rule tells of itself, decided by nobody.

The ledger is looked at as it is committed, without its lock: orders do not wait for whoever looks. A rule that fails
shows nothing, and one that hangs is quarantined as it is when it judges.
"""

from collections.abc import Iterator
from decimal import Decimal

import msgspec

from oms_app.flow.desk import Desk, LedgerCache, Turn
from oms_app.flow.principal import Principal
from oms_app.store.unit_of_work import LimitRow
from oms_kernel.contracts.rules import Usage
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.ids import AccountId, InstrumentId, LedgerId
from oms_kernel.domain.money import ZERO, ratio
from oms_kernel.domain.scope import Scope, ScopeLevel
from oms_kernel.guard import GuardedRule, RuleHung


class LimitUsage(msgspec.Struct, frozen=True):
    """One figure of one limit. scope: what was measured, within the limit's own. symbol: of its instrument, if any."""

    limit_id: str
    name: str
    rule: str
    severity: RuleSeverity
    level: ScopeLevel
    scope: Scope
    symbol: str
    usage: Usage

    @property
    def share(self) -> Decimal | None:
        """How much of the limit is used, 1 for all of it; None where the limit is 0 or the least that is allowed."""
        if not self.usage.limit or self.usage.is_floor:
            return None
        try:
            return ratio(self.usage.used, self.usage.limit)
        except InvalidNumber:
            return None


class RiskUsage:
    """Tells how much of the limits is used. firm_defaults: limits that stand in the installation's settings."""

    def __init__(self, desk: Desk, firm_defaults: tuple[LimitRow, ...] = ()) -> None:
        self._desk = desk
        self._firm_defaults = firm_defaults

    def of(self, principal: Principal) -> list[LimitUsage]:
        """The figures of every limit in force that has any, most used first; of accounts that the principal may use.

        Raises Unavailable.
        """
        found: list[LimitUsage] = []
        directory = self._desk.store.account_directory(principal.tenant_id)
        for ledger_id in sorted(set(directory.ledgers.values())):
            found += self._of_ledger(principal, ledger_id)
        return sorted(found, key=_by_use)

    def _of_ledger(self, principal: Principal, ledger_id: LedgerId) -> list[LimitUsage]:
        cache = self._desk.ledger(principal.tenant_id, ledger_id)
        hung: set[str] = set()
        while True:
            try:
                return cache.look(lambda turn: list(self._measured(cache, turn, principal)))
            except RuleHung as error:
                if error.plugin in hung:
                    raise
                hung.add(error.plugin)

    def _measured(self, cache: LedgerCache, turn: Turn, principal: Principal) -> Iterator[LimitUsage]:
        names: dict[str, str] = {row.limit_id: row.name for row in (*self._firm_defaults, *turn.config.limits)}
        view = turn.view
        for rule in (*cache.state.rules, *cache.state.monitors):
            if not isinstance(rule, GuardedRule) or not rule.terms.holds(turn.batch.now):
                continue
            terms = rule.terms
            for usage in rule.usage(view, turn.batch.memories.get(rule.key)):
                scope = _narrowed(terms.scope, usage)
                if not _may_see(principal, scope):
                    continue
                yield LimitUsage(
                    limit_id=terms.limit_id,
                    name=names.get(terms.limit_id, ""),
                    rule=rule.name,
                    severity=terms.severity,
                    level=terms.scope.level,
                    scope=scope,
                    symbol=_symbol(turn, scope.instrument_id),
                    usage=usage,
                )


def _narrowed(scope: Scope, usage: Usage) -> Scope:
    return Scope(
        account_id=usage.account_id or scope.account_id,
        strategy_id=usage.strategy_id or scope.strategy_id,
        instrument_id=usage.instrument_id or scope.instrument_id,
    )


def _may_see(principal: Principal, scope: Scope) -> bool:
    """Figures over several accounts are for those who reach all of the tenant."""
    account_id: AccountId | None = scope.account_id
    return principal.account_ids is None or (account_id is not None and principal.may_use(account_id))


def _symbol(turn: Turn, instrument_id: InstrumentId | None) -> str:
    instrument = turn.catalogue.instruments.get(instrument_id) if instrument_id is not None else None
    return instrument.symbol if instrument is not None else ""


def _by_use(one: LimitUsage) -> tuple[bool, Decimal, str, str]:
    share = one.share
    return (share is None, ZERO if share is None else share.copy_negate(), one.rule, one.limit_id)
