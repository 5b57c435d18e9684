"""Wire settings, store, plugins and flow into one Services; the single place where the parts of the application meet."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import msgspec

from oms_app.config import Settings

if TYPE_CHECKING:
    from flask import Flask


class Services(msgspec.Struct, frozen=True, kw_only=True):
    """What the edges are given. One for each process; `close` frees what it holds."""

    settings: Settings
    store: Any
    plugins: Any
    registries: Any
    desk: Any
    intake: Any
    amendment: Any
    control: Any
    reader: Any
    identity: Any

    def close(self) -> None:
        """Close the database's connections."""
        self.store.close()


def clock() -> datetime:
    """Now, aware, in UTC: the one clock that is handed in everywhere."""
    return datetime.now(UTC)


def build_plugins(settings: Settings) -> tuple[Any, Any]:
    """(host, registries) with every plugin that is installed, loaded and not disabled."""
    from oms_kernel.host import PluginHost

    host = PluginHost(disabled=settings.disabled_plugins, required=settings.required_plugins)
    return host, host.load()


def build_store(settings: Settings) -> Any:
    """The store on the configured database; connects lazily."""
    from oms_app.store.database import SqlStore

    return SqlStore(settings.database_url)


def build_services(settings: Settings) -> Services:
    """Everything, wired. Does not migrate; raises what the parts raise when a required one is missing."""
    from oms_app.flow.amendment import Amendment
    from oms_app.flow.control import Control
    from oms_app.flow.desk import LedgerDesk
    from oms_app.flow.intake import Intake
    from oms_app.flow.publishing import LogReader

    host, registries = build_plugins(settings)
    store = build_store(settings)
    desk = LedgerDesk(store, registries, settings)
    return Services(
        settings=settings,
        store=store,
        plugins=host,
        registries=registries,
        desk=desk,
        intake=Intake(desk),
        amendment=Amendment(desk),
        control=Control(desk),
        reader=LogReader(store),
        identity=None,
    )


def create_app(services: Services) -> Flask:
    """The WSGI application of `oms api`."""
    from oms_app.api import create_api

    return create_api(services)
