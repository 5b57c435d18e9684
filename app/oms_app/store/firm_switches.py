"""Kill switches of the whole firm: the platform's own latches, by which each ledger is held, those to come included."""

from collections.abc import Sequence
from datetime import datetime

import msgspec
from sqlalchemy import select, update

from oms_app.store.rows import add, one
from oms_app.store.tables import FIRM_SWITCHES
from oms_app.store.types import AnyRow
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.account import TradingState


class FirmSwitch(msgspec.Struct, frozen=True):
    """One latch. settled_at: when, after its release, every ledger knew of that. reason: people's words."""

    firm_switch_id: str
    trading_state: TradingState
    reason_code: str
    reason: str
    cancel_working: bool
    flatten: bool
    activated_at: datetime
    activated_by: str
    instrument_id: str | None = None
    release_asked_by: str = ""
    release_reason: str = ""
    released_at: datetime | None = None
    released_by: str = ""
    settled_at: datetime | None = None


def throw(unit: RowsUnit, switch: FirmSwitch) -> None:
    """Store a new latch."""
    values = {name: getattr(switch, name) for name in switch.__struct_fields__}
    add(unit, FIRM_SWITCHES, **{**values, "trading_state": switch.trading_state.value})


def get(unit: RowsUnit, firm_switch_id: str, *, lock: bool = False) -> FirmSwitch | None:
    """A latch, or None. lock: until the unit ends."""
    query = select(FIRM_SWITCHES).where(FIRM_SWITCHES.c.firm_switch_id == firm_switch_id)
    row = one(unit, query.with_for_update() if lock else query)
    return _switch(row) if row is not None else None


def unsettled(unit: RowsUnit) -> Sequence[FirmSwitch]:
    """The latches that hold, and those of whose release some ledger may not know, oldest first."""
    query = select(FIRM_SWITCHES).where(FIRM_SWITCHES.c.settled_at.is_(None))
    return [_switch(row) for row in unit.connection.execute(query.order_by(FIRM_SWITCHES.c.activated_at))]


def change(unit: RowsUnit, firm_switch_id: str, **values: str | datetime) -> None:
    """Change these columns of a latch."""
    own = FIRM_SWITCHES.c.firm_switch_id == firm_switch_id
    unit.connection.execute(update(FIRM_SWITCHES).where(own).values(**values, updated_at=unit.now))


def _switch(row: AnyRow) -> FirmSwitch:
    values = {name: getattr(row, name) for name in FirmSwitch.__struct_fields__}
    return FirmSwitch(**{**values, "trading_state": TradingState(row.trading_state)})
