"""A ledger's limits in, its guarded rules out: compliance before risk, each in the registry's order, then by row.

A row of limits whose rule no loaded plugin provides denies every order of its scope: what was meant to be checked and
cannot be is not let through.
"""

from collections.abc import Callable, Iterable, Sequence

from oms_app.store.unit_of_work import LedgerConfig, LimitRow
from oms_kernel.batch import RememberingRule
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Gate, Outcome, Verdict
from oms_kernel.guard import Guard, GuardedRule, guard_rule
from oms_kernel.registry import Registries

MISSING = "rule_not_installed"


def make_rules(
    registries: Registries, guard_of: Callable[[str], Guard], config: LedgerConfig
) -> Sequence[RememberingRule]:
    """The rules of a ledger, new and without memory."""
    rules: list[RememberingRule] = []
    for gate, registry in ((Gate.COMPLIANCE, registries.compliance_checks), (Gate.RISK, registries.risk_rules)):
        for name, registered in registry.items():
            for row in config.limits:
                if row.rule != name:
                    continue
                rules.append(
                    guard_rule(
                        registered,
                        row.params,
                        key=_key(row),
                        gate=gate,
                        account_id=row.account_id,
                        guard=guard_of(registered.plugin),
                    )
                )
    rules.extend(_missing(row) for row in limits_without_rule(registries, config.limits))
    return rules


def limits_without_rule(registries: Registries, limits: Iterable[LimitRow]) -> list[LimitRow]:
    """The limits whose rule no loaded plugin provides, in the order given; each denies every order of its scope."""
    return [
        row for row in limits if row.rule not in registries.compliance_checks and row.rule not in registries.risk_rules
    ]


def _key(row: LimitRow) -> str:
    """Names the memory of one version of one row."""
    return f"{row.limit_id}:{row.version}"


def _missing(row: LimitRow) -> GuardedRule:
    return GuardedRule(_key(row), "", row.rule, Gate.RISK, row.account_id, _MissingRule(row.rule))


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
