"""Plugins that are shut out of a ledger, as the projection of its log says."""

import msgspec
from sqlalchemy import select

from oms_app.store.rows import scope_of
from oms_app.store.tables import PLUGIN_QUARANTINES
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import LedgerId


class QuarantineRow(msgspec.Struct, frozen=True):
    """A plugin whose rules deny every order of a ledger until a person releases it, and why."""

    ledger_id: LedgerId
    plugin: str
    reason: str


def list_quarantines(unit: RowsUnit) -> list[QuarantineRow]:
    """The tenant's plugins in quarantine, by ledger and name."""
    table = PLUGIN_QUARANTINES.c
    rows = unit.connection.execute(
        select(table.ledger_id, table.plugin, table.reason)
        .where(table.tenant_id == scope_of(unit), table.reason != "")
        .order_by(table.ledger_id, table.plugin)
    )
    return [QuarantineRow(ledger_id=LedgerId(row.ledger_id), plugin=row.plugin, reason=row.reason) for row in rows]
