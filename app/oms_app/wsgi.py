"""Serve the Flask application with granian: a main process that binds, and workers that die with it."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from multiprocessing.util import Finalize
from typing import TYPE_CHECKING, Any, TypeAlias

from granian import Granian
from granian.constants import Interfaces

from oms_app.config import Settings, tls_of
from oms_app.lifeline import Pulse, die_with_parent
from oms_app.logs import configure_logging

if TYPE_CHECKING:
    from flask import Flask

STOP_LIMIT_S = 10

MakeApp: TypeAlias = "Callable[[Settings], tuple[Flask, Callable[[], None]]]"
"""Gives the application and what frees it; a function of a module, because it is called in the worker process."""


def serve(settings: Settings, pulse: Pulse, make: MakeApp) -> None:
    """Serve what `make` gives until SIGTERM.

    A worker that ends unexpectedly ends the main process too; its supervisor restarts both.
    """
    tls = tls_of(settings)
    server = Granian(
        "oms_app.wsgi",
        address=settings.host,
        port=settings.port,
        interface=Interfaces.WSGI,
        workers=settings.api_workers,
        blocking_threads=settings.api_threads,
        backlog=1024,
        backpressure=512,
        log_enabled=False,
        workers_kill_timeout=STOP_LIMIT_S,
        ssl_cert=tls[0] if tls is not None else None,
        ssl_key=tls[1] if tls is not None else None,
    )
    server.serve(target_loader=partial(load_worker, make, settings, pulse.path, os.getpid()), wrap_loader=False)


def load_worker(make: MakeApp, settings: Settings, heartbeats: Any, main_pid: int) -> Flask:
    """The application, made inside a worker. granian never runs atexit there, hence the finaliser."""
    die_with_parent(main_pid)
    configure_logging("api", settings.log_level)
    app, close = make(settings)
    Finalize(None, close, exitpriority=100)
    Pulse("api", heartbeats).beat_in_thread()
    return app
