"""Wire settings, store, plugins and flow into one Services, and the web application on it; the one place that does."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec
import structlog
from uuid_utils import uuid7

from oms_app.config import Settings
from oms_app.flow.amendment import Amendment
from oms_app.flow.approvals import Approvals, note_refusal, person_reader
from oms_app.flow.attention import Attention
from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.audit_checkpoints import Checkpoints, signer_of
from oms_app.flow.breaches import Breaches
from oms_app.flow.consequences import act_on_triggers
from oms_app.flow.control import Control
from oms_app.flow.costs import cost_reader
from oms_app.flow.dead_man import DeadMan
from oms_app.flow.desk import Desk
from oms_app.flow.firm_defaults import firm_defaults
from oms_app.flow.firm_switches import FirmSwitches
from oms_app.flow.hosts import Hosts
from oms_app.flow.identity import Identity
from oms_app.flow.intake import Intake
from oms_app.flow.invitations import Invitations
from oms_app.flow.kill_switch import KillSwitches
from oms_app.flow.lane import Lanes
from oms_app.flow.limit_changes import LimitChanges
from oms_app.flow.limit_files import LimitFiles
from oms_app.flow.limits import Limits
from oms_app.flow.liquidation import Liquidations
from oms_app.flow.mailing import Mailing
from oms_app.flow.members import Members
from oms_app.flow.passwords import HashingCost, Passwords
from oms_app.flow.people import People
from oms_app.flow.people_csv import PeopleTables
from oms_app.flow.preview import Previews
from oms_app.flow.profiles import Profiles
from oms_app.flow.publishing import LogReader
from oms_app.flow.reconcile_requests import ReconcileRequests
from oms_app.flow.registration import Register
from oms_app.flow.resolution import Resolution
from oms_app.flow.risk_usage import RiskUsage
from oms_app.flow.routing import Directory
from oms_app.flow.rule_catalogue import rule_names
from oms_app.flow.rulebook import make_monitors, make_rules
from oms_app.flow.sealing import Sealer, make_sealer
from oms_app.flow.tenancy import Tenancy
from oms_app.signals import Signals, make_signals
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import TableClass
from oms_app.store.unit_of_work import CommitUnknown, StoreUnavailable
from oms_kernel.contracts.broker import BrokerCapabilities
from oms_kernel.domain.events import AlertRaised, Severity
from oms_kernel.domain.ids import TenantId
from oms_kernel.host import PluginHost
from oms_kernel.registry import Registries
from oms_kernel.watchdog import Watchdog, plugins_in_report

if TYPE_CHECKING:
    from flask import Flask

    from oms_app.flow.mail import Mailer

log = structlog.get_logger(__name__)


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """What the edges are given; one for each process. `close` frees what it holds."""

    settings: Settings
    store: SqlStore
    plugins: PluginHost
    registries: Registries
    desk: Desk
    directory: Directory
    intake: Intake
    amendment: Amendment
    approvals: Approvals
    previews: Previews
    control: Control
    kill_switches: KillSwitches
    firm_switches: FirmSwitches
    liquidations: Liquidations
    dead_man: DeadMan
    attention: Attention
    breaches: Breaches
    resolution: Resolution
    reconcile_requests: ReconcileRequests
    reader: LogReader
    identity: Identity
    sealer: Sealer
    mailing: Mailing
    hosts: Hosts
    tenancy: Tenancy
    limits: Limits
    limit_changes: LimitChanges
    limit_files: LimitFiles
    risk_usage: RiskUsage
    members: Members
    invitations: Invitations
    people: People
    people_tables: PeopleTables
    profiles: Profiles
    registration: Register
    signals: Signals
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def close(self) -> None:
        """Stop watching plugins, end the signals and close the database's connections."""
        self.plugins.watchdog.stop()
        self.signals.close()
        self.store.close()


def clock() -> datetime:
    """Now, aware, in UTC: the one clock that is handed in everywhere."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh UUIDv7 as text: sorts by time."""
    return str(uuid7())


def build_plugins(settings: Settings, watchdog: Watchdog | None = None) -> tuple[PluginHost, Registries]:
    """(host, registries) with every plugin that is installed and not disabled. Raises RequiredPluginMissing."""
    host = PluginHost(disabled=settings.disabled_plugins, required=settings.required_plugins, watchdog=watchdog)
    return host, host.load()


def build_store(settings: Settings, registries: Registries | None = None, sealer: Sealer | None = None) -> SqlStore:
    """The store on the configured database; connects when first used.

    registries: what plugins say of their tables. sealer: for the keys of persons; one is made when none is given.
    """
    tables = registries.tables if registries is not None else {}
    return SqlStore(
        settings.database_url,
        pool_size=settings.api_threads + 4,
        plugin_tables={name: TableClass(entry.contributed.rows_of) for name, entry in tables.items()},
        sealer=sealer or make_sealer(settings),
    )


def build_checkpoints(settings: Settings, store: SqlStore) -> Checkpoints:
    """What writes checkpoints of the logs; the key is made or read when the first one is written."""
    return Checkpoints(store, settings.audit_folder, partial(signer_of, settings.audit_key), clock)


def build_services(settings: Settings, *, process: str = "") -> Services:
    """Everything, wired. process: watch plugins, and leave the report of a hang under this name in the home."""
    report = settings.home / f"hang-{process}.txt" if process else None
    host, registries = build_plugins(settings, Watchdog(report_path=report))
    sealer = make_sealer(settings)
    store = build_store(settings, registries, sealer)
    if process:
        store.check_serving()
    signals = make_signals(settings.redis_url)
    store.on_append = signals.note
    defaults = firm_defaults(settings.risk_max_position_size, settings.risk_max_order_size)
    desk = Desk(
        store,
        make_rules=partial(make_rules, registries, host.guard, firm_defaults=defaults),
        make_monitors=partial(make_monitors, registries, host.guard),
        after_work=act_on_triggers,
        capabilities=partial(capabilities, registries),
        new_id=new_id,
        quote_max_age=timedelta(seconds=settings.quote_max_age_s),
        send_window=timedelta(seconds=settings.send_window_s),
    )
    passwords = _passwords(settings)
    mailing = Mailing(store, _mailer(settings), new_id, url=settings.url)
    tenancy = Tenancy(store, new_id, rule_names(registries))
    limit_changes = LimitChanges(store, registries, new_id)
    invitations = Invitations(store, mailing, passwords, new_id)
    lanes = Lanes(desk.ledger)
    directory = Directory(desk)
    tell = partial(_tell, store)
    liquidations = Liquidations(desk, directory, time.monotonic, tell)
    kill_switches = KillSwitches(desk, directory, time.monotonic, tell, liquidations.advance)
    firm_switches = FirmSwitches(store, desk, kill_switches, new_id, time.monotonic, tell)
    control = Control(desk, directory, firm_switches.begin_under)
    services = Services(
        settings=settings,
        store=store,
        plugins=host,
        registries=registries,
        desk=desk,
        directory=directory,
        intake=Intake(desk, lanes, directory),
        amendment=Amendment(desk, lanes, directory),
        approvals=Approvals(desk, lanes, directory, person_reader(store), partial(note_refusal, store)),
        previews=Previews(desk, lanes, directory, cost_reader(store, registries, host.guard)),
        control=control,
        kill_switches=kill_switches,
        firm_switches=firm_switches,
        liquidations=liquidations,
        dead_man=DeadMan(store, desk, directory, tell),
        attention=Attention(desk),
        breaches=Breaches(desk),
        resolution=Resolution(desk, directory),
        reconcile_requests=ReconcileRequests(store, new_id),
        reader=LogReader(store),
        identity=_identity(settings, store, sealer, passwords, mailing, control, registries),
        sealer=sealer,
        mailing=mailing,
        hosts=Hosts(store),
        tenancy=tenancy,
        limits=Limits(store, registries, new_id, limit_changes, defaults),
        limit_changes=limit_changes,
        risk_usage=RiskUsage(desk, defaults),
        limit_files=LimitFiles(store, registries, new_id, limit_changes, tenancy.is_superuser),
        members=Members(store),
        invitations=invitations,
        people=People(store, passwords, new_id),
        people_tables=PeopleTables(store, invitations),
        profiles=Profiles(store, mailing, clock),
        registration=Register(store, mailing, passwords, tenancy, new_id, settings.registration),
        signals=signals,
        clock=clock,
        new_id=new_id,
    )
    if report is not None:
        _quarantine_hung(services, report)
        host.watchdog.start()
    return services


def _tell(store: SqlStore, tenant_id: TenantId, actor: Actor, action: AdminAction) -> None:
    """Write to the audit trail what was done already: what fails here does not undo it, and the log tells of it too."""
    try:
        with store.tenant_unit(tenant_id) as unit:
            record(unit, actor, action)
    except (StoreUnavailable, CommitUnknown) as error:
        log.error("an action is not in the audit trail", action=action.action, error=str(error))


def capabilities(registries: Registries, broker: str) -> BrokerCapabilities | None:
    """What a broker can do, or None when its plugin is not installed."""
    registered = registries.brokers.get(broker)
    return registered.contributed.capabilities if registered is not None else None


def create_app(services: Services) -> Flask:
    """The WSGI application of `oms api`: the API and the dashboard."""
    from oms_app.api import create_api
    from oms_app.api.app import require_permissions
    from oms_app.api.page_quotas import limit_pages
    from oms_app.api.rate_limit import Bucket
    from oms_app.dashboard import create_dashboard

    app = create_api(services)
    quotas = app.extensions["oms_quotas"]

    def may_sign_in(address: str) -> bool:
        grant = quotas.of_caller(Bucket.SIGN_IN, f"address:{address}", None)
        return grant is None or grant.allowed

    dashboard = create_dashboard(services, may_sign_in)
    app.register_blueprint(dashboard)
    limit_pages(app, dashboard.name, quotas)
    require_permissions(app)
    return app


def _passwords(settings: Settings) -> Passwords:
    """One for the process: it bounds how many hashes are made at once."""
    cost = HashingCost(
        memory_kib=settings.argon2_memory_kib,
        passes=settings.argon2_time_cost,
        lanes=settings.argon2_parallelism,
    )
    return Passwords(cost)


def _identity(
    settings: Settings,
    store: SqlStore,
    sealer: Sealer,
    passwords: Passwords,
    mailing: Mailing,
    control: Control,
    registries: Registries,
) -> Identity:
    from oms_app.flow.identity import IdentitySettings

    return Identity(
        store,
        settings.secret_key.reveal(),
        sealer,
        clock=clock,
        passwords=passwords,
        settings=IdentitySettings(
            access_lifetime_s=int(settings.access_token_s), refresh_lifetime_s=int(settings.refresh_token_s)
        ),
        is_simulated=partial(_is_simulated, registries),
        on_reuse=partial(_warn_of_reuse, store, control),
        post=mailing.post,
    )


def _is_simulated(registries: Registries, broker: str) -> bool:
    """Whether the broker of this name reaches no market."""
    found = capabilities(registries, broker)
    return found is not None and found.simulated


def _warn_of_reuse(store: SqlStore, control: Control, tenant_id: TenantId, user_id: str) -> None:
    """Alert the tenant: a refresh token came twice, so somebody else may hold a copy."""
    own = sorted(ledger_id for tenant, ledger_id in store.ledgers() if tenant == tenant_id)
    if own:
        alert = AlertRaised(
            severity=Severity.WARNING,
            source="sign-in",
            text=f"a refresh token of user {user_id} was used twice: its session was ended",
            what_to_do="Ask the person. If it was not their own program, end their sessions and change the password.",
        )
        control.alert(tenant_id, own[0], alert)


def _mailer(settings: Settings) -> Mailer:
    """What sends mail: the mail server that is named, else the outbox in the home."""
    from oms_app.flow.mail import OUTBOX, FolderMailer, SmtpMailer, SmtpSettings

    if not settings.smtp_host:
        return FolderMailer(settings.home / OUTBOX, settings.smtp_from, clock)
    server = SmtpSettings(
        host=settings.smtp_host,
        port=settings.smtp_port,
        user=settings.smtp_user,
        password=settings.smtp_password.reveal(),
        tls=settings.smtp_tls,
        timeout_s=settings.smtp_timeout_s,
    )
    return SmtpMailer(server, settings.smtp_from, clock)


def _quarantine_hung(services: Services, report: Path) -> None:
    """Shut out the plugins whose calls ended this process's predecessor, before anything is served."""
    for plugin in plugins_in_report(report):
        log.error("a plugin hung and ended the last process; it is quarantined", plugin=plugin)
        for tenant_id, ledger_id in services.reader.ledgers():
            services.control.quarantine_plugin(tenant_id, ledger_id, plugin, "its call did not return")
    report.unlink(missing_ok=True)
