"""What plugins contributed, by kind: frozen after start, ordered by data, the same order on every start."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from typing import Any, Generic, TypeVar

import msgspec

from oms_kernel.contracts.broker import BrokerConnector
from oms_kernel.contracts.rules import ComplianceCheck, Monitor, RiskRule
from oms_kernel.contracts.strategy import Strategy
from oms_kernel.contracts.tables import PluginTable
from oms_kernel.contracts.webhook import WebhookSink

T = TypeVar("T")


class Kind(StrEnum):
    """The kinds of contributions; the value is the name of the registry and the end of the hook's name."""

    BROKER = "broker_connectors"
    RISK_RULE = "risk_rules"
    COMPLIANCE_CHECK = "compliance_checks"
    MONITOR = "monitors"
    STRATEGY = "strategies"
    WEBHOOK_SINK = "webhook_sinks"
    TABLE = "tables"

    @property
    def hook(self) -> str:
        """The hook that contributes this kind."""
        return f"register_{self.value}"


class Registered(msgspec.Struct, Generic[T], frozen=True):
    """One contributed class and where it came from. `distribution` is empty for a module given by hand."""

    name: str
    plugin: str
    distribution: str
    contributed: type[T]


class Registry(Mapping[str, Registered[T]]):
    """Contributions of one kind by name, read-only, in their order."""

    __slots__ = ("_entries",)

    def __init__(self, entries: Iterable[Registered[T]] = (), order: Sequence[str] = ()) -> None:
        """Names in `order` come first, in that order; the others follow by plugin, then name."""
        rank = {name: place for place, name in enumerate(order)}
        ordered = sorted(entries, key=lambda entry: (rank.get(entry.name, len(rank)), entry.plugin, entry.name))
        self._entries = {entry.name: entry for entry in ordered}

    def __getitem__(self, name: str) -> Registered[T]:
        return self._entries[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Registry({', '.join(self._entries)})"


class Registries(msgspec.Struct, frozen=True):
    """All that the installed plugins offer."""

    brokers: Registry[BrokerConnector] = Registry()
    risk_rules: Registry[RiskRule] = Registry()
    compliance_checks: Registry[ComplianceCheck] = Registry()
    monitors: Registry[Monitor] = Registry()
    strategies: Registry[Strategy] = Registry()
    webhook_sinks: Registry[WebhookSink] = Registry()
    tables: Registry[PluginTable] = Registry()

    def of(self, kind: Kind) -> Registry[Any]:
        """The registry of one kind."""
        registry: Registry[Any] = getattr(self, FIELDS[kind])
        return registry


FIELDS: dict[Kind, str] = {
    Kind.BROKER: "brokers",
    Kind.RISK_RULE: "risk_rules",
    Kind.COMPLIANCE_CHECK: "compliance_checks",
    Kind.MONITOR: "monitors",
    Kind.STRATEGY: "strategies",
    Kind.WEBHOOK_SINK: "webhook_sinks",
    Kind.TABLE: "tables",
}
