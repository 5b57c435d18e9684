"""The hooks of a plugin: the host hands over a `register` callback, the plugin calls it with each class it contributes.

A plugin is a module named by an entry point of the group `oms.plugins`; each hook that it implements is a module-level
function marked with `@hookimpl`. Hooks are called once, at start, and never again; a hook that does not exist here
refuses the plugin.
"""

from typing import Protocol

import pluggy

from oms_kernel.contracts.broker import BrokerConnector
from oms_kernel.contracts.rules import ComplianceCheck, Monitor, RiskRule
from oms_kernel.contracts.strategy import Strategy
from oms_kernel.contracts.tables import PluginTable
from oms_kernel.contracts.webhook import WebhookSink

PROJECT = "oms"
ENTRY_POINT_GROUP = "oms.plugins"

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class RegisterBrokerConnector(Protocol):
    """Takes one connector class."""

    def __call__(self, contributed: type[BrokerConnector], /) -> None:
        """Remember the class; it is checked after the hook returned."""


class RegisterRiskRule(Protocol):
    """Takes one rule class."""

    def __call__(self, contributed: type[RiskRule], /) -> None:
        """Remember the class; it is checked after the hook returned."""


class RegisterComplianceCheck(Protocol):
    """Takes one check class."""

    def __call__(self, contributed: type[ComplianceCheck], /) -> None:
        """Remember the class; it is checked after the hook returned."""


class RegisterMonitor(Protocol):
    """Takes one monitor class."""

    def __call__(self, contributed: type[Monitor], /) -> None:
        """Remember the class; it is checked after the hook returned."""


class RegisterStrategy(Protocol):
    """Takes one strategy class."""

    def __call__(self, contributed: type[Strategy], /) -> None:
        """Remember the class; it is checked after the hook returned."""


class RegisterWebhookSink(Protocol):
    """Takes one sink class."""

    def __call__(self, contributed: type[WebhookSink], /) -> None:
        """Remember the class; it is checked after the hook returned."""


class RegisterTable(Protocol):
    """Takes one declaration of a table."""

    def __call__(self, contributed: type[PluginTable], /) -> None:
        """Remember the class; it is checked after the hook returned."""


@hookspec
def register_broker_connectors(register: RegisterBrokerConnector) -> None:
    """Call `register` with each BrokerConnector class."""


@hookspec
def register_risk_rules(register: RegisterRiskRule) -> None:
    """Call `register` with each RiskRule or StatefulRule class."""


@hookspec
def register_compliance_checks(register: RegisterComplianceCheck) -> None:
    """Call `register` with each ComplianceCheck class; the check may have a state, as a StatefulRule has."""


@hookspec
def register_monitors(register: RegisterMonitor) -> None:
    """Call `register` with each Monitor class; the monitor may have a state, as a StatefulRule has."""


@hookspec
def register_strategies(register: RegisterStrategy) -> None:
    """Call `register` with each Strategy class."""


@hookspec
def register_webhook_sinks(register: RegisterWebhookSink) -> None:
    """Call `register` with each WebhookSink class."""


@hookspec
def register_tables(register: RegisterTable) -> None:
    """Call `register` with a PluginTable class for each table that the plugin keeps in the host's database."""
