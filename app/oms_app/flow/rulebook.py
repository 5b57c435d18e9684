"""A ledger's limits in, its guarded rules and monitors out: compliance before risk, cheap before dear, then by row.

A limit whose rule no loaded plugin provides denies every order of its scope, and so does a rule that the tenant
requires where no limit of it covers the order: what was meant to be checked and cannot be is not let through.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any

from oms_app.flow.tenant_settings import settings_of
from oms_app.store.unit_of_work import LedgerConfig, LimitRow
from oms_kernel.batch import RememberingRule
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.controls import Action, Category
from oms_kernel.domain.decision import Gate, Outcome, Verdict, denied, passed
from oms_kernel.domain.order import OrderRequest
from oms_kernel.guard import Guard, GuardedRule, guard_rule
from oms_kernel.registry import Registered, Registries
from oms_kernel.terms import Terms

MISSING = "rule_not_installed"
UNLIMITED = "limit_missing"
USUAL_RANK = 100


def make_rules(
    registries: Registries,
    guard_of: Callable[[str], Guard],
    config: LedgerConfig,
    firm_defaults: Sequence[LimitRow] = (),
) -> Sequence[RememberingRule]:
    """The rules of a ledger, new and without memory, in the order in which they judge.

    firm_defaults: limits of the whole installation that stand in its settings, not in the database.
    """
    limits = (*firm_defaults, *config.limits)
    gates = ((Gate.COMPLIANCE, registries.compliance_checks), (Gate.RISK, registries.risk_rules))
    rules: list[RememberingRule] = []
    for gate, registry in gates:
        named = [(registry[row.rule], row) for row in limits if row.rule in registry]
        named.sort(key=lambda one: (rank_of(one[0].contributed), one[0].name, one[1].limit_id))
        rules += [_guarded(registered, row, gate, guard_of) for registered, row in named]
    rules += [_missing(row) for row in limits_without_rule(registries, limits)]
    rules += [_required(rule, limits) for rule in settings_of(config.settings).required_limits]
    return rules


def make_monitors(
    registries: Registries, guard_of: Callable[[str], Guard], config: LedgerConfig
) -> Sequence[GuardedRule]:
    """The monitors of a ledger, new and without memory."""
    named = [(registries.monitors[row.rule], row) for row in config.limits if row.rule in registries.monitors]
    return [_guarded(registered, row, Gate.RISK, guard_of) for registered, row in named]


def limits_without_rule(registries: Registries, limits: Iterable[LimitRow]) -> list[LimitRow]:
    """The limits whose rule no loaded plugin provides, in the order given; each denies every order of its scope."""
    known = (registries.compliance_checks, registries.risk_rules, registries.monitors)
    return [row for row in limits if not any(row.rule in registry for registry in known)]


def rank_of(contributed: Any) -> int:
    """The place of a rule among the others: the lowest is asked first."""
    rank: int = getattr(contributed, "rank", USUAL_RANK)
    return rank


def terms_of(row: LimitRow, contributed: Any = None) -> Terms:
    """The terms of a limit; its rule's class says what the limit leaves open."""
    usual: Action = getattr(contributed, "default_action", Action.ALERT)
    return Terms(
        limit_id=row.limit_id,
        version=row.version,
        scope=row.scope,
        severity=row.severity,
        action=row.action or usual,
        category=getattr(contributed, "category", Category.RISK),
        effective_from=row.effective_from,
        effective_until=row.effective_until,
    )


def _guarded(registered: Registered[Any], row: LimitRow, gate: Gate, guard_of: Callable[[str], Guard]) -> GuardedRule:
    terms = terms_of(row, registered.contributed)
    return guard_rule(registered, row.params, key=_key(row), gate=gate, terms=terms, guard=guard_of(registered.plugin))


def _key(row: LimitRow) -> str:
    """Names the memory of one version of one row."""
    return f"{row.limit_id}:{row.version}"


def _missing(row: LimitRow) -> GuardedRule:
    return GuardedRule(_key(row), "", row.rule, Gate.RISK, terms_of(row), _MissingRule(row.rule))


def _required(rule: str, limits: Sequence[LimitRow]) -> GuardedRule:
    covering = [terms_of(row) for row in limits if row.rule == rule]
    return GuardedRule(f"required:{rule}", "oms", rule, Gate.RISK, Terms(), _RequiredRule(rule, covering))


class _MissingRule:
    """Denies in the place of a rule that is configured and not installed."""

    def __init__(self, name: str) -> None:
        self._name = name

    def assess(self, intent: OrderIntent, view: RuleView, state: object) -> Verdict:
        """A denial that says what to do."""
        return Verdict(
            rule=self._name,
            outcome=Outcome.DENY,
            code=MISSING,
            message=f"a limit names rule {self._name}, which no loaded plugin provides; see `oms plugins check`",
        )


class _RequiredRule:
    """Denies where the tenant requires a limit of a rule and none covers the order."""

    def __init__(self, name: str, covering: Sequence[Terms]) -> None:
        self._name = name
        self._covering = covering
        self._passed = passed(name)

    def assess(self, intent: OrderIntent, view: RuleView, state: object) -> Verdict:
        """PASS when a limit of the rule that is more than a shadow covers the order."""
        if any(_enforces(terms, intent.request, view.now) for terms in self._covering):
            return self._passed
        return denied(
            self._name,
            UNLIMITED,
            f"the tenant requires a limit of {self._name} for every order, and none covers this one",
            would_pass=f"a limit of {self._name} that covers the order",
        )


def _enforces(terms: Terms, request: OrderRequest, now: datetime) -> bool:
    return terms.severity != "SHADOW" and terms.covers(request, now)
