"""The database in, the plugins out whose rules deny every order since one hung; releases one when told to."""

from __future__ import annotations

import msgspec

from oms_app.cli.database import is_made, opened_store
from oms_app.cli.errors import CommandFailed
from oms_app.config import Settings
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.ids import LedgerId, TenantId

RELEASER = "system:command_line"


class Quarantine(msgspec.Struct, frozen=True):
    """A plugin that is shut out of one tenant's ledger, and why."""

    tenant_id: str
    ledger_id: str
    plugin: str
    reason: str


def quarantines(settings: Settings) -> list[Quarantine]:
    """Every ledger's plugins in quarantine; none before the first start. Raises CommandFailed without a database."""
    if not is_made(settings):
        return []
    with opened_store(settings) as store:
        return _found(store)


def release_plugin(settings: Settings, plugin: str) -> list[Quarantine]:
    """The quarantines that ended: the plugin judges orders again, from the next batch on, and the log says who said so.

    Raises CommandFailed when the plugin is in quarantine nowhere, and without a database.
    """
    from oms_app.bootstrap import build_services
    from oms_app.flow.principal import Principal

    with opened_store(settings) as store:
        found = [one for one in _found(store) if one.plugin == plugin]
    if not found:
        raise CommandFailed(f"plugin {plugin} is in no quarantine: `oms plugins check` lists those that are")
    services = build_services(settings)
    try:
        for one in found:
            who = Principal(RELEASER, TenantId(one.tenant_id), frozenset(), None)
            services.control.release_plugin(who, LedgerId(one.ledger_id), plugin)
    finally:
        services.close()
    return found


def _found(store: SqlStore) -> list[Quarantine]:
    from oms_app.store.quarantines import list_quarantines

    found: list[Quarantine] = []
    for tenant_id in sorted({tenant_id for tenant_id, _ledger_id in store.ledgers()}):
        with store.read_unit(tenant_id) as unit:
            rows = list_quarantines(unit)
        found += [Quarantine(tenant_id, row.ledger_id, row.plugin, row.reason) for row in rows]
    return found
