"""Dead-man switches as rows: armed with a time until which to hear again, renewed, and found once that time is over."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import select, update

from oms_app.store.rows import one, put
from oms_app.store.tables import DEAD_MAN_SWITCHES
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId


class DeadManSwitch(msgspec.Struct, frozen=True):
    """One switch of a principal, or of a strategy that the principal runs; strategy_id is empty without one.

    due_at: when it strikes, unless it hears before; None while it is disarmed or has struck.
    """

    tenant_id: TenantId
    principal: str
    strategy_id: str
    action: str
    timeout_s: int
    spare_gtc: bool
    account_id: str | None
    armed_at: datetime
    heard_at: datetime
    due_at: datetime | None
    struck_at: datetime | None


def arm(
    unit: RowsUnit,
    tenant_id: TenantId,
    principal: str,
    strategy_id: str,
    *,
    action: str,
    timeout_s: int,
    spare_gtc: bool,
    account_id: str | None,
) -> DeadManSwitch:
    """The switch, armed or renewed from now on."""
    key = {"tenant_id": tenant_id, "principal": principal, "strategy_id": strategy_id}
    known = get(unit, tenant_id, principal, strategy_id)
    goes_on = known is not None and known.due_at is not None
    put(
        unit,
        DEAD_MAN_SWITCHES,
        key,
        action=action,
        timeout_s=timeout_s,
        spare_gtc=spare_gtc,
        account_id=account_id,
        armed_at=known.armed_at if known is not None and goes_on else unit.now,
        heard_at=unit.now,
        due_at=unit.now + timedelta(seconds=timeout_s),
        struck_at=known.struck_at if known is not None else None,
    )
    found = get(unit, tenant_id, principal, strategy_id)
    assert found is not None
    return found


def disarm(unit: RowsUnit, tenant_id: TenantId, principal: str, strategy_id: str) -> bool:
    """Whether the switch was armed; it is not any more."""
    own = _own(tenant_id, principal, strategy_id)
    armed = DEAD_MAN_SWITCHES.c.due_at.is_not(None)
    changed = unit.connection.execute(
        update(DEAD_MAN_SWITCHES).where(*own, armed).values(due_at=None, updated_at=unit.now)
    )
    return bool(changed.rowcount)


def get(unit: RowsUnit, tenant_id: TenantId, principal: str, strategy_id: str) -> DeadManSwitch | None:
    """A switch, or None."""
    row = one(unit, select(DEAD_MAN_SWITCHES).where(*_own(tenant_id, principal, strategy_id)))
    return _switch(row) if row is not None else None


def list_of(unit: RowsUnit, tenant_id: TenantId) -> Sequence[DeadManSwitch]:
    """The tenant's switches."""
    columns = DEAD_MAN_SWITCHES.c
    query = select(DEAD_MAN_SWITCHES).where(columns.tenant_id == tenant_id)
    return [_switch(row) for row in unit.connection.execute(query.order_by(columns.principal, columns.strategy_id))]


def due(unit: RowsUnit, limit: int = 100) -> Sequence[DeadManSwitch]:
    """The switches of all tenants that did not hear in time, the longest waiting first."""
    columns = DEAD_MAN_SWITCHES.c
    query = select(DEAD_MAN_SWITCHES).where(columns.due_at.is_not(None), columns.due_at <= unit.now)
    return [_switch(row) for row in unit.connection.execute(query.order_by(columns.due_at).limit(limit))]


def note_strike(unit: RowsUnit, switch: DeadManSwitch) -> None:
    """Remember that the switch struck; one that heard again meanwhile stays armed."""
    own = _own(switch.tenant_id, switch.principal, switch.strategy_id)
    unit.connection.execute(update(DEAD_MAN_SWITCHES).where(*own).values(struck_at=unit.now, updated_at=unit.now))
    same = DEAD_MAN_SWITCHES.c.due_at == switch.due_at
    unit.connection.execute(update(DEAD_MAN_SWITCHES).where(*own, same).values(due_at=None))


def _own(tenant_id: TenantId, principal: str, strategy_id: str) -> tuple[Any, ...]:
    columns = DEAD_MAN_SWITCHES.c
    return columns.tenant_id == tenant_id, columns.principal == principal, columns.strategy_id == strategy_id


def _switch(row: AnyRow) -> DeadManSwitch:
    return DeadManSwitch(**{name: getattr(row, name) for name in DeadManSwitch.__struct_fields__})
