"""What a view gets and gives: a Call that was authenticated, permitted and read; an Answer ready for JSON."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

import marshmallow as ma
import msgspec

from oms_app.api.rate_limit import Bucket
from oms_app.config import Settings
from oms_app.flow.audit import Actor
from oms_app.flow.dead_man import DeadMan
from oms_app.flow.firm_switches import FirmSwitches
from oms_app.flow.hosts import Hosts
from oms_app.flow.identity import Caller, Identity
from oms_app.flow.invitations import Invitations
from oms_app.flow.kill_switch import KillSwitches
from oms_app.flow.limit_changes import LimitChanges
from oms_app.flow.limit_files import LimitFiles
from oms_app.flow.limits import Limits
from oms_app.flow.liquidation import Liquidations
from oms_app.flow.members import Members
from oms_app.flow.people_csv import PeopleTables
from oms_app.flow.principal import Principal
from oms_app.flow.profiles import Profiles
from oms_app.flow.registration import Register
from oms_app.flow.risk_usage import RiskUsage
from oms_app.flow.scopes import Scope
from oms_app.flow.sealing import Sealer
from oms_app.flow.tenancy import Tenancy
from oms_kernel.domain.ids import TenantId


class Access:
    """Who may call a route that asks for no scope. A route names one of these or a scope; there is no default."""

    PUBLIC = "public"
    AUTHENTICATED = "authenticated"


class ApiServices(Protocol):
    """What the API is given. Typed loosely where only one view looks at it."""

    @property
    def settings(self) -> Settings:
        """Limits and addresses."""

    @property
    def store(self) -> Any:
        """Read models and units of work of the tenants."""

    @property
    def plugins(self) -> Any:
        """The plugin host's report."""

    @property
    def registries(self) -> Any:
        """What the plugins contributed."""

    @property
    def directory(self) -> Any:
        """Accounts to ledgers."""

    @property
    def intake(self) -> Any:
        """Places orders."""

    @property
    def amendment(self) -> Any:
        """Replaces and cancels orders."""

    @property
    def approvals(self) -> Any:
        """Releases and ends orders that wait for a person."""

    @property
    def previews(self) -> Any:
        """Tries orders without making them."""

    @property
    def control(self) -> Any:
        """Steers accounts."""

    @property
    def kill_switches(self) -> KillSwitches:
        """Throws and releases kill switches of a tenant."""

    @property
    def firm_switches(self) -> FirmSwitches:
        """Throws and releases kill switches of the whole firm."""

    @property
    def liquidations(self) -> Liquidations:
        """Closes positions."""

    @property
    def dead_man(self) -> DeadMan:
        """Hears heartbeats."""

    @property
    def attention(self) -> Any:
        """Acknowledges alerts, acknowledges and resolves breaks."""

    @property
    def breaches(self) -> Any:
        """Assigns, notes and closes breaches of limits."""

    @property
    def resolution(self) -> Any:
        """Settles doubtful orders and unbooked reports by a person's word."""

    @property
    def reconcile_requests(self) -> Any:
        """Asks for comparisons of broker and book."""

    @property
    def sealer(self) -> Sealer:
        """Seals secrets of rows."""

    @property
    def new_id(self) -> Callable[[], str]:
        """Fresh ids that sort by time."""

    @property
    def reader(self) -> Any:
        """Reads the log."""

    @property
    def identity(self) -> Identity:
        """Sessions and keys."""

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
    def limits(self) -> Limits:
        """Keeps limits of tenants and the firm."""

    @property
    def limit_changes(self) -> LimitChanges:
        """Changes of limits that wait for a second person."""

    @property
    def limit_files(self) -> LimitFiles:
        """Applies and exports files of limits."""

    @property
    def risk_usage(self) -> RiskUsage:
        """Tells how much of the limits is used."""

    @property
    def clock(self) -> Callable[[], datetime]:
        """Now, aware, in UTC."""

    @property
    def registration(self) -> Register:
        """Lets strangers in, where that is wanted."""


class Call(msgspec.Struct, frozen=True):
    """One request, ready to be served."""

    services: ApiServices
    caller: Caller | None
    body: Any
    query: Mapping[str, Any]
    idempotency_key: str | None
    if_match: int | None
    remote: str
    agent: str = ""
    """The User-Agent that was sent."""
    request_id: str = ""
    host_tenant: TenantId | None = None
    """The tenant to which the request's host belongs."""

    @property
    def actor(self) -> Actor:
        """Who acts and from where, for `record`; on public routes nobody is named yet."""
        terms = self.caller.terms if self.caller is not None else None
        return Actor(
            principal_id=self.caller.principal.principal_id if self.caller is not None else "",
            on_behalf_of=f"user:{terms.owner_id}" if terms is not None and terms.owner_id else "",
            address=self.remote,
            agent=self.agent,
            request_id=self.request_id,
        )

    @property
    def principal(self) -> Principal:
        """Who asks; only on routes that are not public."""
        if self.caller is None:
            raise RuntimeError("a public route has no principal")
        return self.caller.principal


class Answer(msgspec.Struct, frozen=True):
    """What goes back. `body` is made of JSON values, Decimals already as text; None sends no body."""

    body: Any
    status: int = 200
    headers: Mapping[str, str] = {}
    edit: Callable[[Any], None] | None = None
    """Changes the response object: cookies."""


class Body(Protocol):
    """How a route reads its request body, and how the OpenAPI document names it."""

    schema_name: str
    schema: ma.Schema

    def read(self, value: Any) -> Any:
        """The body as the view wants it. Raises Problem with every field at fault."""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One operation: the same view under its own path and under every alias."""

    method: str
    path: str
    view: Callable[..., Answer]
    scope: Scope | str
    tag: str
    answers: Mapping[int, str | None]
    """Success status -> name of the schema that answers with it; None for no body."""
    body: Body | None = None
    query: ma.Schema | None = None
    aliases: tuple[tuple[str, str], ...] = ()
    problems: tuple[int, ...] = ()
    bucket: Bucket = Bucket.READS
    body_optional: bool = False
    takes_idempotency_key: bool = False
    takes_if_match: bool = False
    step_up: bool | Callable[[Call], bool] = False
    """Whether the session's person must have proved it anew within five minutes; no API key may call it then."""
    decided_in_ledger: bool = False
    """Everything is decided in a ledger's transaction, which confirms the caller's rights itself."""
    gives_etag: bool = False
    """Its answer is one order, whose version stands in the ETag; a GET then takes If-None-Match."""
    body_example: Mapping[str, Any] | None = None
    takes_csv: bool = False
    """A body of text/csv is taken as the field `csv`."""
    takes_yaml: bool = False
    """A body of application/yaml is taken as the field `yaml`."""
    answers_csv: bool = False
    answers_lines: bool = False
    """It may answer with application/x-ndjson: a JSON document in each line."""

    @property
    def operation_id(self) -> str:
        """Its name for client generators."""
        return self.view.__name__
