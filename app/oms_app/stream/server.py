"""Serve the stream's ASGI application in this process until SIGTERM; open streams are ended, not waited for."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import structlog
from granian.constants import Interfaces
from granian.server.embed import Server

from oms_app.flow.identity import Identity
from oms_app.flow.routing import Directory
from oms_app.signals import Signals
from oms_app.stream.app import StreamApp
from oms_app.stream.edge import App
from oms_app.stream.tail import Reader, Tails
from oms_kernel.domain.ids import TenantId

BEAT_S = 1.0
STOP_LIMIT_S = 5.0
BACKLOG = 1024
MOST_STREAMS = 16_384
"""Connections beyond that wait at the door; the server's own default of 128 would be a limit for listeners."""
Tls = tuple[Path, Path]
log = structlog.get_logger(__name__)


def serve(
    *,
    reader: Reader,
    identity: Identity,
    directory: Directory,
    host: str,
    port: int,
    url: str,
    signals: Signals,
    poll_s: float,
    beat: Callable[[], None],
    wrap: Callable[[App], App],
    tenant_of: Callable[[str], TenantId | None],
    tls: Tls | None = None,
) -> None:
    """Serve until SIGTERM or SIGINT. url: where the dashboard lives, whose pages may read the answers.

    wrap: puts the edge around the application. tenant_of: the tenant to which a host belongs. tls: (certificate, key),
    to serve https.
    """
    asyncio.run(_serve(reader, identity, directory, host, port, url, signals, poll_s, beat, wrap, tenant_of, tls))


async def _serve(
    reader: Reader,
    identity: Identity,
    directory: Directory,
    host: str,
    port: int,
    url: str,
    signals: Signals,
    poll_s: float,
    beat: Callable[[], None],
    wrap: Callable[[App], App],
    tenant_of: Callable[[str], TenantId | None],
    tls: Tls | None,
) -> None:
    tails = Tails(reader, poll_s, signals)
    app = StreamApp(tails, identity, directory, url=url, tenant_of=tenant_of)
    server = Server(
        wrap(app),
        address=host,
        port=port,
        interface=Interfaces.ASGINL,
        websockets=False,
        log_enabled=False,
        backlog=BACKLOG,
        backpressure=MOST_STREAMS,
        ssl_cert=tls[0] if tls is not None else None,
        ssl_key=tls[1] if tls is not None else None,
    )
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    serving = asyncio.create_task(server.serve())
    following = asyncio.create_task(tails.follow())
    await asyncio.sleep(0)  # the server sets its own signal handlers when it starts; ours come after
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    log.info("serving", host=host, port=port)
    stopped = asyncio.create_task(stopping.wait())
    while not (stopped.done() or serving.done() or following.done()):
        beat()
        await asyncio.wait({stopped, serving, following}, timeout=BEAT_S, return_when=asyncio.FIRST_COMPLETED)
    app.close()
    for task in (serving, following):
        if task.done():
            task.result()
    following.cancel()
    server.stop()  # type: ignore[no-untyped-call]
    await asyncio.wait({serving}, timeout=STOP_LIMIT_S)
