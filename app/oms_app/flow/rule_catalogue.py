"""The plugins' registries in, every installed rule, check and monitor out: what each does and how it is configured."""

import inspect
from collections.abc import Iterator
from enum import StrEnum
from typing import Any

import msgspec

from oms_app.flow.rulebook import rank_of
from oms_kernel.contracts.plugin import params_schema
from oms_kernel.domain.controls import Action, Category
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.registry import Registered, Registries


class RuleKind(StrEnum):
    """What a limit configures."""

    COMPLIANCE_CHECK = "compliance_check"
    RISK_RULE = "risk_rule"
    MONITOR = "monitor"


class RuleFacts(msgspec.Struct, frozen=True):
    """One rule, check or monitor. can_trigger: whether a limit of it may name an action.

    source: the regulation or guide that it follows. rank: its place among the others, the lowest is asked first.
    """

    name: str
    title: str
    kind: RuleKind
    plugin: str
    description: str
    source: str
    category: Category
    rank: int
    can_trigger: bool
    default_action: Action | None
    params_schema: dict[str, Any]


def catalogue(registries: Registries) -> list[RuleFacts]:
    """All that is installed: compliance first, then risk, then monitors, each by rank and name."""
    found = [_facts(kind, registered) for kind, registered in _registered(registries)]
    kinds = list(RuleKind)
    return sorted(found, key=lambda one: (kinds.index(one.kind), one.rank, one.name))


def rule_names(registries: Registries) -> frozenset[str]:
    """The names that a limit may bear."""
    return frozenset(registered.name for _kind, registered in _registered(registries))


def rule_named(registries: Registries, name: str) -> Registered[Any]:
    """What is registered under the name. Raises InvalidRequest that says what there is."""
    for _kind, registered in _registered(registries):
        if registered.name == name:
            return registered
    known = ", ".join(sorted(rule_names(registries))) or "none is installed"
    raise InvalidRequest(f"no loaded plugin provides the rule {name!r}; there are: {known}", field="rule")


def can_trigger(contributed: Any) -> bool:
    """Whether the class can find its limit overstepped by what happened: monitors, and rules that remember."""
    return callable(getattr(contributed, "watch", None)) or callable(getattr(contributed, "fold", None))


def _registered(registries: Registries) -> Iterator[tuple[RuleKind, Registered[Any]]]:
    for kind, registry in (
        (RuleKind.COMPLIANCE_CHECK, registries.compliance_checks),
        (RuleKind.RISK_RULE, registries.risk_rules),
        (RuleKind.MONITOR, registries.monitors),
    ):
        for registered in registry.values():
            yield kind, registered


def _facts(kind: RuleKind, registered: Registered[Any]) -> RuleFacts:
    contributed = registered.contributed
    triggers = can_trigger(contributed)
    return RuleFacts(
        name=registered.name,
        title=contributed.title,
        kind=kind,
        plugin=registered.plugin,
        description=inspect.cleandoc(contributed.__doc__ or ""),
        source=getattr(contributed, "source", ""),
        category=getattr(contributed, "category", Category.RISK),
        rank=rank_of(contributed),
        can_trigger=triggers,
        default_action=getattr(contributed, "default_action", Action.ALERT) if triggers else None,
        params_schema=params_schema(contributed),
    )
