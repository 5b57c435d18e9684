"""The largest order that a venue takes of an instrument: told by people of the platform, checked, stored, audited."""

from decimal import Decimal

import msgspec
from sqlalchemy import select

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.instrument_facts import UnknownInstrument
from oms_app.store.config_rows import instrument_from_row
from oms_app.store.instruments import put_instrument
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import INSTRUMENTS
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.money import bounded, is_multiple, to_text

FIELD = "max_order_quantity"


def set_largest_order(
    store: SqlStore, actor: Actor, instrument_id: InstrumentId, quantity: Decimal | None
) -> Instrument:
    """The instrument with its largest order, for every tenant from the next order on; None: its venue names none.

    Raises UnknownInstrument, InvalidRequest.
    """
    with store.platform_unit() as unit:
        query = select(INSTRUMENTS).where(INSTRUMENTS.c.instrument_id == instrument_id)
        row = unit.connection.execute(query).one_or_none()
        if row is None:
            raise UnknownInstrument("there is no such instrument", field="instrument_id")
        before = instrument_from_row(row)
        if quantity is not None and (bounded(quantity) <= 0 or not is_multiple(quantity, before.lot_size)):
            told = f"the largest order is a multiple of the lot size {to_text(before.lot_size)}, above 0"
            raise InvalidRequest(told, field=FIELD)
        after = msgspec.structs.replace(before, max_order_quantity=quantity)
        if after != before:
            put_instrument(unit, after)
            record(
                unit,
                actor,
                AdminAction(
                    action="instrument.changed",
                    object_type="instrument",
                    object_id=instrument_id,
                    before={FIELD: _text(before.max_order_quantity)},
                    after={FIELD: _text(quantity)},
                ),
            )
        return after


def _text(quantity: Decimal | None) -> str | None:
    return to_text(quantity) if quantity is not None else None
