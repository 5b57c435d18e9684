"""An administrative event in, one more row of a ledger's log out, in the transaction of what the event tells of.

Guarantee: the row follows the log's last row under the ledger's lock, like every other, with its hash in the chain.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import func, insert, select, update

from oms_app.store import chain
from oms_app.store.platform import PLATFORM_LEDGER, PLATFORM_TENANT
from oms_app.store.rows import stamps
from oms_app.store.rows_unit import SqlRowsUnit
from oms_app.store.tables import EVENT_LOG, LEDGERS
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.events import AdminActed, encode_event
from oms_kernel.domain.ids import EventId, LedgerId, TenantId


def home_of(unit: RowsUnit, tenant_id: TenantId | None) -> tuple[TenantId, LedgerId]:
    """(tenant, ledger) where the actions of a tenant are recorded: its first ledger; else that of the platform."""
    if tenant_id is not None:
        own = select(LEDGERS.c.ledger_id).where(LEDGERS.c.tenant_id == tenant_id).order_by(LEDGERS.c.ledger_id)
        found = unit.connection.scalar(own.limit(1))
        if found is not None:
            return tenant_id, LedgerId(found)
    return PLATFORM_TENANT, PLATFORM_LEDGER


@contextmanager
def scoped(unit: RowsUnit, tenant_id: TenantId) -> Iterator[None]:
    """Within the block the unit sees and writes the rows of this tenant; a unit of a tenant only those of the platform.

    Raises ValueError when the unit belongs to a tenant and another one is named.
    """
    if unit.tenant_id == tenant_id:
        yield
        return
    if unit.tenant_id is not None and tenant_id != PLATFORM_TENANT:
        raise ValueError("a unit of one tenant cannot record what another tenant did")
    connection, before = unit.connection, unit.tenant_id
    if _on_postgres(unit):
        connection.execute(select(func.set_config("app.tenant_id", tenant_id, True)))
        yield
        connection.execute(select(func.set_config("app.tenant_id", before or "", True)))
        return
    connection.execution_options(tenant_id=tenant_id)
    try:
        yield
    finally:
        connection.execution_options(tenant_id=before)


@contextmanager
def within(unit: RowsUnit, tenant_id: TenantId) -> Iterator[RowsUnit]:
    """A unit of that tenant inside a unit of the platform: one transaction then changes several tenants' rows."""
    with scoped(unit, tenant_id):
        yield SqlRowsUnit(
            tenant_id=tenant_id,
            connection=unit.connection,
            now=unit.now,
            appended=unit.appended,
            sealer=unit.sealer,
            bumped=unit.bumped,
        )


def append(unit: RowsUnit, tenant_id: TenantId, ledger_id: LedgerId, event_id: EventId, event: AdminActed) -> int:
    """The seq of the event, now the last one of that log; `unit` must see the tenant's rows (`scoped`)."""
    head = _locked(unit, ledger_id)
    seq: int = head.seq + 1
    recorded_at = max(unit.now, head.head_recorded_at or unit.now)
    payload = encode_event(event)
    row = (seq, event_id, event.kind, event.version, event.account_id, event.order_id, recorded_at, payload)
    (chained,), head_hash = chain.extended(tenant_id, ledger_id, head.head_hash, [row])
    unit.connection.execute(
        insert(EVENT_LOG).values(
            tenant_id=tenant_id,
            ledger_id=ledger_id,
            seq=seq,
            event_id=event_id,
            kind=event.kind,
            version=event.version,
            account_id=event.account_id,
            order_id=event.order_id,
            recorded_at=recorded_at,
            payload=payload.decode(),
            hash=bytes(chained[-1]),
        )
    )
    unit.connection.execute(
        update(LEDGERS)
        .where(LEDGERS.c.ledger_id == ledger_id)
        .values(seq=seq, head_recorded_at=recorded_at, head_hash=head_hash, updated_at=recorded_at)
    )
    unit.appended.append(ledger_id)
    return seq


def _locked(unit: RowsUnit, ledger_id: LedgerId) -> AnyRow:
    """The ledger's head, under its lock. The platform's ledger is made anew where somebody emptied the table."""
    query = (
        select(LEDGERS.c.seq, LEDGERS.c.head_hash, LEDGERS.c.head_recorded_at)
        .where(LEDGERS.c.ledger_id == ledger_id)
        .with_for_update(key_share=True)
    )
    found = unit.connection.execute(query).one_or_none()
    if found is None:
        unit.connection.execute(
            insert(LEDGERS).values(
                ledger_id=PLATFORM_LEDGER, tenant_id=PLATFORM_TENANT, seq=0, config_version=1, **stamps(unit)
            )
        )
        found = unit.connection.execute(query).one()
    return found


def _on_postgres(unit: RowsUnit) -> bool:
    return unit.connection.dialect.name == "postgresql"
