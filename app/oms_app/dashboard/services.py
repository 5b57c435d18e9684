"""What the dashboard is given, and nothing more: reads from the store, doors of flow for what changes."""

from collections.abc import Callable
from datetime import datetime
from typing import Protocol

from oms_app.config import Settings
from oms_app.flow.amendment import Amendment
from oms_app.flow.approvals import Approvals
from oms_app.flow.attention import Attention
from oms_app.flow.breaches import Breaches
from oms_app.flow.firm_switches import FirmSwitches
from oms_app.flow.hosts import Hosts
from oms_app.flow.identity import Identity
from oms_app.flow.intake import Intake
from oms_app.flow.invitations import Invitations
from oms_app.flow.kill_switch import KillSwitches
from oms_app.flow.limit_changes import LimitChanges
from oms_app.flow.limits import Limits
from oms_app.flow.liquidation import Liquidations
from oms_app.flow.members import Members
from oms_app.flow.people_csv import PeopleTables
from oms_app.flow.preview import Previews
from oms_app.flow.profiles import Profiles
from oms_app.flow.publishing import LogReader
from oms_app.flow.reconcile_requests import ReconcileRequests
from oms_app.flow.registration import Register
from oms_app.flow.resolution import Resolution
from oms_app.flow.risk_usage import RiskUsage
from oms_app.flow.sealing import Sealer
from oms_app.flow.tenancy import Tenancy
from oms_app.store.sql_store import SqlStore
from oms_kernel.registry import Registries


class DashboardServices(Protocol):
    """The wired parts that the dashboard uses."""

    @property
    def settings(self) -> Settings:
        """Addresses and lifetimes."""

    @property
    def store(self) -> SqlStore:
        """Snapshots of a tenant's rows."""

    @property
    def intake(self) -> Intake:
        """Places orders."""

    @property
    def amendment(self) -> Amendment:
        """Cancels orders."""

    @property
    def attention(self) -> Attention:
        """Acknowledges alerts, acknowledges and resolves breaks."""

    @property
    def approvals(self) -> Approvals:
        """Lets a second person decide over held orders."""

    @property
    def previews(self) -> Previews:
        """Tries orders without placing them."""

    @property
    def kill_switches(self) -> KillSwitches:
        """Stops trading in a scope of the tenant, and lets it go on."""

    @property
    def firm_switches(self) -> FirmSwitches:
        """The same for every tenant at once."""

    @property
    def liquidations(self) -> Liquidations:
        """Closes positions."""

    @property
    def breaches(self) -> Breaches:
        """What people say about breaches of limits."""

    @property
    def limits(self) -> Limits:
        """Makes, changes and ends limits."""

    @property
    def limit_changes(self) -> LimitChanges:
        """Changes of limits that wait for a second person."""

    @property
    def risk_usage(self) -> RiskUsage:
        """How much of the limits is used."""

    @property
    def resolution(self) -> Resolution:
        """Settles unbooked reports by a person's word."""

    @property
    def reconcile_requests(self) -> ReconcileRequests:
        """Asks for comparisons of broker and book."""

    @property
    def reader(self) -> LogReader:
        """Reads the log."""

    @property
    def registries(self) -> Registries:
        """What the plugins contributed."""

    @property
    def sealer(self) -> Sealer:
        """Seals secrets of rows."""

    @property
    def identity(self) -> Identity:
        """Sign-in and sessions."""

    @property
    def hosts(self) -> Hosts:
        """Which host belongs to which tenant."""

    @property
    def tenancy(self) -> Tenancy:
        """Makes, changes and closes tenants."""

    @property
    def members(self) -> Members:
        """Who belongs to a tenant."""

    @property
    def invitations(self) -> Invitations:
        """Invites people."""

    @property
    def people_tables(self) -> PeopleTables:
        """Imports and exports people."""

    @property
    def profiles(self) -> Profiles:
        """What people say about themselves."""

    @property
    def registration(self) -> Register:
        """Lets strangers in, where that is wanted."""

    @property
    def clock(self) -> Callable[[], datetime]:
        """Now, aware, in UTC."""

    @property
    def new_id(self) -> Callable[[], str]:
        """Fresh ids, for the key of each form."""
