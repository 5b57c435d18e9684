"""Delete rows that nobody needs after some time, a bounded number at once: the caller repeats until none is left.

client_order_ids, execution_ids and the log are for ever and no business of this module.
"""

from datetime import datetime

from sqlalchemy import Table, and_, delete, or_, select, tuple_

from oms_app.store.rows import scope_of
from oms_app.store.tables import (
    AUDIT_TEXTS,
    IDEMPOTENCY_KEYS,
    KNOWN_DEVICES,
    ONE_TIME_TOKENS,
    OUTGOING_MAILS,
    THROTTLES,
    USER_SESSIONS,
    WEBHOOK_DELIVERIES,
)
from oms_app.store.unit_of_work import RowsUnit

AT_ONCE = 2000


def answers(unit: RowsUnit, before: datetime) -> int:
    """How many idempotency answers of the tenant from before then are gone now, at most `AT_ONCE`."""
    table = IDEMPOTENCY_KEYS
    return _delete(unit, table, (table.c.tenant_id == scope_of(unit)) & (table.c.created_at < before))


def deliveries(unit: RowsUnit, delivered_before: datetime, dead_before: datetime) -> int:
    """How many deliveries of the tenant are gone now, at most `AT_ONCE`: made, or given up, before then."""
    table = WEBHOOK_DELIVERIES
    is_old = or_(
        and_(table.c.status == "DELIVERED", table.c.delivered_at < delivered_before),
        and_(table.c.status == "DEAD", table.c.updated_at < dead_before),
    )
    return _delete(unit, table, (table.c.tenant_id == scope_of(unit)) & is_old)


def sign_ins(unit: RowsUnit, before: datetime) -> int:
    """How many sign-ins that expired or were revoked before then are gone now, at most `AT_ONCE`."""
    table = USER_SESSIONS
    return _delete(unit, table, or_(table.c.expires_at < before, table.c.revoked_at < before))


def throttles(unit: RowsUnit, before: datetime) -> int:
    """How many throttles that were empty again before then are gone now, at most `AT_ONCE`."""
    table = THROTTLES
    return _delete(unit, table, table.c.busy_until_us < int(before.timestamp() * 1_000_000))


def devices(unit: RowsUnit, before: datetime) -> int:
    """How many devices that were used last before then are gone now, at most `AT_ONCE`."""
    table = KNOWN_DEVICES
    return _delete(unit, table, table.c.updated_at < before)


def mail(unit: RowsUnit, before: datetime) -> int:
    """How many mails that were sent or given up before then are gone now, at most `AT_ONCE`."""
    table = OUTGOING_MAILS
    return _delete(unit, table, (table.c.status != "PENDING") & (table.c.updated_at < before))


def one_time_tokens(unit: RowsUnit, before: datetime) -> int:
    """How many one-time tokens that expired before then are gone now, at most `AT_ONCE`."""
    table = ONE_TIME_TOKENS
    return _delete(unit, table, table.c.expires_at < before)


def audit_texts(unit: RowsUnit, before: datetime) -> int:
    """How many texts beside events of the tenant from before then are gone now, at most `AT_ONCE`; no event is."""
    table = AUDIT_TEXTS
    return _delete(unit, table, (table.c.tenant_id == scope_of(unit)) & (table.c.created_at < before))


def _delete(unit: RowsUnit, table: Table, which: object) -> int:
    key = list(table.primary_key.columns)
    some = select(*key).where(which).limit(AT_ONCE)  # type: ignore[arg-type]
    matches = key[0].in_(some) if len(key) == 1 else tuple_(*key).in_(some)
    return unit.connection.execute(delete(table).where(matches)).rowcount
