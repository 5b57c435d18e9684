"""Start one process of the system with the Services that it needs; each returns when it was asked to end."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Collection
from functools import partial
from typing import TYPE_CHECKING, Any

from oms_app.bootstrap import Services, build_checkpoints, build_services, clock, create_app, new_id
from oms_app.bootstrap.collector import collect_rarely
from oms_app.bootstrap.installation import build_name
from oms_app.config import Settings, tls_of
from oms_app.flow.chores import Queue
from oms_app.flow.retention import retention_of
from oms_app.flow.sealing import Sealer
from oms_app.lifeline import Pulse, holder_name
from oms_app.store.config_rows import load_catalogue
from oms_kernel.domain.instrument import Instrument

if TYPE_CHECKING:
    from flask import Flask

    from oms_app.stream.edge import App


def serve_api(settings: Settings, pulse: Pulse) -> None:
    """Serve HTTP until SIGTERM."""
    from oms_app.wsgi import serve

    serve(settings, pulse, make_app)


def make_app(settings: Settings) -> tuple[Flask, Callable[[], None]]:
    """(the application of one worker process, what frees it)."""
    services = build_services(settings, process="api")
    app = create_app(services)
    collect_rarely()
    return app, services.close


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
            signals=services.signals,
            poll_s=settings.poll_ms / 1000,
            beat=pulse.beat,
            wrap=partial(_edge, settings, services),
            tenant_of=services.hosts.tenant_of,
            tls=tls_of(settings),
        )
    finally:
        services.close()
    # granian's threads, embedded, abort the process when they meet the end of the interpreter.
    os._exit(0)


def _edge(settings: Settings, services: Services, app: App) -> App:
    from oms_app.flow.host_list import HostList
    from oms_app.stream.edge import StreamEdge

    return StreamEdge(app, settings, HostList(settings, lambda host: services.hosts.tenant_of(host) is not None))


def serve_sessions(settings: Settings, pulse: Pulse) -> None:
    """Run the broker sessions until SIGTERM."""
    from oms_app.sessions.process import Sessions
    from oms_app.sessions.sql_rows import SqlSessionStore
    from oms_app.sessions.timing import Timing

    services = build_services(settings, process="session")
    collect_rarely()
    brokers = services.registries.brokers
    session_store = SqlSessionStore(
        services.store,
        holder=holder_name("session", os.getpid()),
        lease_s=settings.lease_s,
        unseal=partial(_opened, services.sealer, "broker_connections"),
        build=build_name(),
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
            home=settings.home,
            signals=services.signals,
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
        dead_man=services.dead_man,
        instruments=partial(_instruments_by_symbol, services),
        clock=clock,
        poll_s=settings.poll_ms / 1000,
        signals=services.signals,
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


def serve_worker(settings: Settings, pulse: Pulse, queues: Collection[Queue]) -> None:
    """Serve these queues and stand for leader of the schedules until SIGTERM."""
    from oms_app.workers.delivery import Deliverer
    from oms_app.workers.fan_out import FanOut
    from oms_app.workers.housekeeping import Housekeeping
    from oms_app.workers.monitoring import Monitoring
    from oms_app.workers.restraining import Restraining
    from oms_app.workers.server import serve
    from oms_app.workers.sweeper import Sweeper

    services = build_services(settings, process="worker")
    holder = holder_name("worker", os.getpid())
    deliverer = Deliverer(
        services.store,
        services.plugins,
        services.registries,
        services.control,
        holder=holder,
        allow_private=settings.allow_private_webhooks,
        open_credentials=partial(_opened, services.sealer, "webhooks"),
    )
    try:
        serve(
            store=services.store,
            fan_out=FanOut(services.store, services.reader, new_id),
            deliverer=deliverer,
            sweeper=Sweeper(services.store, services.reader, services.control),
            mailing=services.mailing,
            checkpoint=build_checkpoints(settings, services.store).turn,
            housekeeping=Housekeeping(services.store, retention_of(settings)),
            restraining=Restraining(services.store, services.liquidations, services.dead_man, services.firm_switches),
            monitoring=lambda leads: Monitoring(
                services.store,
                services.desk,
                services.registries,
                leads=leads,
                every_s=settings.monitor_ms / 1000,
                clock=clock,
                holder=holder,
                signals=services.signals,
            ),
            signals=services.signals,
            redis_url=settings.redis_url,
            queues=queues,
            holder=holder,
            lease_s=settings.lease_s,
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
