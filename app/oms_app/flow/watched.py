"""Which ledgers have monitors, from their limits, and which of these nobody watches, from the last rounds."""

import msgspec

from oms_app.store import leases
from oms_app.store.config_rows import load_ledger_config
from oms_app.store.monitoring_rounds import list_rounds
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.ids import LedgerId, TenantId
from oms_kernel.registry import Registries


class Unwatched(msgspec.Struct, frozen=True):
    """watched: how many ledgers with monitors are watched. late: the others, by tenant.

    is_trading: whether a session holds a broker connection, so that somebody should be watching.
    """

    watched: int
    late: dict[TenantId, tuple[LedgerId, ...]]
    is_trading: bool


def unwatched(store: SqlStore, registries: Registries) -> Unwatched:
    """The ledgers with monitors of which no round was made just now. Reads the limits of every ledger."""
    ledgers = store.ledgers()
    with store.read_unit(None) as unit:
        on_time = {one.ledger_id for one in list_rounds(unit, None) if one.monitors and not one.is_late(unit.now)}
        held = leases.list_leases(unit, "connection", wanted_only=False)
        is_trading = any(one.expires_at is not None and one.expires_at > unit.now for one in held)
    late: dict[TenantId, tuple[LedgerId, ...]] = {}
    watched = 0
    for tenant_id, ledger_id in ledgers:
        with store.read_unit(tenant_id) as unit:
            limits = load_ledger_config(unit.connection, tenant_id, ledger_id).limits
        if not any(row.rule in registries.monitors for row in limits):
            continue
        if ledger_id in on_time:
            watched += 1
        else:
            late[tenant_id] = (*late.get(tenant_id, ()), ledger_id)
    return Unwatched(watched, late, is_trading)
