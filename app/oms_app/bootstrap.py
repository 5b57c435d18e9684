"""Wire settings, store, plugins and flow into one Services, and start each process with it; the one place that does."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import structlog

from oms_app.config import Settings
from oms_app.flow.amendment import Amendment
from oms_app.flow.control import Control
from oms_app.flow.desk import Desk
from oms_app.flow.identity import Identity
from oms_app.flow.intake import Intake
from oms_app.flow.lane import Lanes
from oms_app.flow.publishing import LogReader
from oms_app.flow.routing import Directory
from oms_app.flow.rulebook import make_rules
from oms_app.flow.sealing import Sealer
from oms_app.lifeline import Pulse, holder_name
from oms_app.store.config_rows import load_catalogue
from oms_app.store.sql_store import SqlStore
from oms_kernel.contracts.broker import BrokerCapabilities
from oms_kernel.domain.instrument import Instrument
from oms_kernel.host import PluginHost
from oms_kernel.registry import Registries
from oms_kernel.watchdog import Watchdog, plugins_in_report

if TYPE_CHECKING:
    from flask import Flask

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
    control: Control
    reader: LogReader
    identity: Identity
    sealer: Sealer
    clock: Callable[[], datetime]
    new_id: Callable[[], str]

    def close(self) -> None:
        """Stop watching plugins and close the database's connections."""
        self.plugins.watchdog.stop()
        self.store.close()


def clock() -> datetime:
    """Now, aware, in UTC: the one clock that is handed in everywhere."""
    return datetime.now(UTC)


def new_id() -> str:
    """A fresh UUIDv7 as text: sorts by time."""
    from uuid_utils.compat import uuid7

    return str(uuid7())


def build_plugins(settings: Settings, watchdog: Watchdog | None = None) -> tuple[PluginHost, Registries]:
    """(host, registries) with every plugin that is installed and not disabled. Raises RequiredPluginMissing."""
    host = PluginHost(disabled=settings.disabled_plugins, required=settings.required_plugins, watchdog=watchdog)
    return host, host.load()


def build_store(settings: Settings) -> SqlStore:
    """The store on the configured database; connects when first used."""
    return SqlStore(settings.database_url, pool_size=settings.api_threads + 4)


def build_services(settings: Settings, *, process: str = "") -> Services:
    """Everything, wired. process: watch plugins, and leave the report of a hang under this name in the home."""
    report = settings.home / f"hang-{process}.txt" if process else None
    host, registries = build_plugins(settings, Watchdog(report_path=report))
    store = build_store(settings)
    if process:
        store.check_serving()
    desk = Desk(
        store,
        make_rules=partial(make_rules, registries, host.guard),
        capabilities=partial(capabilities, registries),
        new_id=new_id,
        quote_max_age=timedelta(seconds=settings.quote_max_age_s),
        send_window=timedelta(seconds=settings.send_window_s),
    )
    lanes = Lanes(desk.ledger)
    directory = Directory(desk)
    services = Services(
        settings=settings,
        store=store,
        plugins=host,
        registries=registries,
        desk=desk,
        directory=directory,
        intake=Intake(desk, lanes, directory),
        amendment=Amendment(desk, lanes, directory),
        control=Control(desk, directory),
        reader=LogReader(store),
        identity=_identity(settings, store),
        sealer=Sealer(settings.secret_key.reveal()),
        clock=clock,
        new_id=new_id,
    )
    if report is not None:
        _quarantine_hung(services, report)
        host.watchdog.start()
    return services


def capabilities(registries: Registries, broker: str) -> BrokerCapabilities | None:
    """What a broker can do, or None when its plugin is not installed."""
    registered = registries.brokers.get(broker)
    return registered.contributed.capabilities if registered is not None else None


def create_app(services: Services) -> Flask:
    """The WSGI application of `oms api`: the API and the dashboard."""
    from oms_app.api import create_api
    from oms_app.api.app import require_permissions
    from oms_app.api.rate_limit import Bucket
    from oms_app.dashboard import create_dashboard

    app = create_api(services)
    limiter = app.extensions["oms_rate_limiter"]

    def may_sign_in(address: str) -> bool:
        grant = limiter.take(Bucket.SIGN_IN, f"address:{address}")
        return grant is None or grant.allowed

    app.register_blueprint(create_dashboard(services, may_sign_in))
    require_permissions(app)
    return app


# Processes --------------------------------------------------------------------------------------------------


def serve_api(settings: Settings, pulse: Pulse) -> None:
    """Serve HTTP until SIGTERM."""
    from oms_app.wsgi import serve

    serve(settings, pulse, make_app)


def make_app(settings: Settings) -> tuple[Flask, Callable[[], None]]:
    """(the application of one worker process, what frees it)."""
    services = build_services(settings, process="api")
    return create_app(services), services.close


def serve_stream(settings: Settings, pulse: Pulse) -> None:
    """Serve the event stream until SIGTERM."""
    from oms_app.stream.server import serve

    services = build_services(settings)
    services.store.check_serving()
    try:
        serve(
            reader=services.reader,
            identity=services.identity,
            directory=services.directory,
            host=settings.host,
            port=settings.stream_port,
            url=settings.url,
            poll_s=settings.poll_ms / 1000,
            beat=pulse.beat,
        )
    finally:
        services.close()
    # granian's threads, embedded, abort the process when they meet the end of the interpreter.
    os._exit(0)


def serve_sessions(settings: Settings, pulse: Pulse) -> None:
    """Run the broker sessions until SIGTERM."""
    from oms_app.sessions.process import Sessions
    from oms_app.sessions.sql_rows import SqlSessionStore
    from oms_app.sessions.timing import Timing

    services = build_services(settings, process="session")
    brokers = services.registries.brokers
    session_store = SqlSessionStore(
        services.store,
        holder=holder_name("session", os.getpid()),
        lease_s=settings.lease_s,
        unseal=partial(_opened, services.sealer, "broker_connections"),
    )

    async def serve() -> None:
        sessions = Sessions(
            services.desk,
            session_store,
            lambda name: brokers[name].contributed if name in brokers else None,
            lease_s=settings.lease_s,
            timing=Timing(
                idle_poll_s=settings.poll_ms / 1000,
                maximum_pause_s=settings.maximum_pause_s,
                ack_timeout_factor=settings.ack_timeout_factor,
            ),
            beat=pulse.beat,
        )
        await sessions.serve()

    try:
        asyncio.run(serve())
    finally:
        services.close()


def serve_strategies(settings: Settings, pulse: Pulse) -> None:
    """Carry on the strategy runs that were started, until SIGTERM."""
    from oms_app.strategies.run import Wiring
    from oms_app.strategies.server import serve

    services = build_services(settings, process="strategy")
    wiring = Wiring(
        store=services.store,
        reader=services.reader,
        intake=services.intake,
        amendment=services.amendment,
        instruments=partial(_instruments_by_symbol, services),
        clock=clock,
        poll_s=settings.poll_ms / 1000,
    )
    try:
        serve(
            wiring=wiring,
            control=services.control,
            registries=services.registries,
            holder=holder_name("strategy", os.getpid()),
            lease_s=settings.lease_s,
            beat=pulse.beat,
        )
    finally:
        services.close()


def serve_worker(settings: Settings, pulse: Pulse) -> None:
    """Deliver webhooks and sweep late orders until SIGTERM."""
    from oms_app.workers.delivery import Deliverer
    from oms_app.workers.fan_out import FanOut
    from oms_app.workers.server import serve
    from oms_app.workers.sweeper import Sweeper

    services = build_services(settings, process="worker")
    deliverer = Deliverer(
        services.store,
        services.plugins,
        services.registries,
        services.control,
        holder=holder_name("worker", os.getpid()),
        allow_private=settings.allow_private_webhooks,
        open_credentials=partial(_opened, services.sealer, "webhooks"),
    )
    try:
        serve(
            store=services.store,
            fan_out=FanOut(services.store, services.reader, new_id),
            deliverer=deliverer,
            sweeper=Sweeper(services.store, services.reader, services.control),
            redis_url=settings.redis_url,
            poll_s=settings.poll_ms / 1000,
            beat=pulse.beat,
        )
    finally:
        services.close()


def _instruments_by_symbol(services: Services) -> dict[str, Instrument]:
    """The active instruments; of several with one symbol, the first by venue."""
    found: dict[str, Instrument] = {}
    with services.store.read_unit(None) as unit:
        catalogue = load_catalogue(unit.connection, unit.now)
    for one in sorted(catalogue.instruments.values(), key=lambda one: (one.symbol, one.venue)):
        if one.is_active:
            found.setdefault(one.symbol, one)
    return found


def _opened(sealer: Sealer, table: str, tenant_id: str, row_id: str, sealed: bytes) -> dict[str, Any]:
    return sealer.open(tenant_id, table, row_id, sealed)


def _identity(settings: Settings, store: SqlStore) -> Identity:
    from oms_app.flow.identity import IdentitySettings
    from oms_app.flow.passwords import HashingCost, Passwords
    from oms_app.store.sql_identity_rows import SqlIdentityRows

    cost = HashingCost(
        memory_kib=settings.argon2_memory_kib,
        passes=settings.argon2_time_cost,
        lanes=settings.argon2_parallelism,
    )
    return Identity(
        SqlIdentityRows(store),
        settings.secret_key.reveal(),
        clock=clock,
        passwords=Passwords(cost),
        settings=IdentitySettings(
            access_lifetime_s=int(settings.access_token_s), refresh_lifetime_s=int(settings.refresh_token_s)
        ),
    )


def _quarantine_hung(services: Services, report: Path) -> None:
    """Shut out the plugins whose calls ended this process's predecessor, before anything is served."""
    for plugin in plugins_in_report(report):
        log.error("a plugin hung and ended the last process; it is quarantined", plugin=plugin)
        for tenant_id, ledger_id in services.reader.ledgers():
            services.control.quarantine_plugin(tenant_id, ledger_id, plugin, "its call did not return")
    report.unlink(missing_ok=True)
