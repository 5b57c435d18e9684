"""What is known of an instrument today, told by people or feeds: checked, stored for every tenant, and audited.

Guarantee: facts never become older than they were, and none counts as told later than now.
"""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import FlowError
from oms_app.store import instrument_facts as rows
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import INSTRUMENTS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.contracts.rules import InstrumentFacts
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import InstrumentId
from oms_kernel.domain.money import ZERO, bounded, to_text

AHEAD = timedelta(seconds=5)
"""How far the clock of whoever tells may be ahead of ours."""
SMALLEST = Decimal("0.000000000001")
_LEAST = {"average_daily_volume": ZERO, "limit_up": SMALLEST, "limit_down": SMALLEST}
_TIME = "as_of"


class UnknownInstrument(FlowError):
    """There is no such instrument."""

    code = "not_found"


class OlderFacts(FlowError):
    """What is known already was told later."""

    code = "conflict"


def facts_of(store: SqlStore, instrument_id: InstrumentId) -> InstrumentFacts | None:
    """What is known of an instrument; None: nothing. Raises UnknownInstrument."""
    with store.read_unit(None) as unit:
        _require_instrument(unit, instrument_id)
        return rows.get_facts(unit, instrument_id)


def tell_facts(store: SqlStore, actor: Actor, facts: InstrumentFacts) -> InstrumentFacts:
    """The facts as they are stored; they replace all that was known of the instrument.

    Raises UnknownInstrument, InvalidRequest, OlderFacts.
    """
    _check(facts)
    with store.platform_unit() as unit:
        _require_instrument(unit, facts.instrument_id)
        if facts.as_of > unit.now + AHEAD:
            raise InvalidRequest("as_of lies in the future; check the clock that it comes from", field=_TIME)
        told = msgspec.structs.replace(facts, as_of=min(facts.as_of, unit.now))
        before = rows.get_facts(unit, facts.instrument_id)
        if before is not None and before.as_of > told.as_of:
            raise OlderFacts(
                f"facts as of {before.as_of.isoformat()} are known already",
                field=_TIME,
                fix="read them, and tell what is newer",
            )
        rows.put_facts(unit, [told])
        _tell(unit, actor, before, told)
        return told


def _check(facts: InstrumentFacts) -> None:
    for name, least in _LEAST.items():
        number = getattr(facts, name)
        if number is not None and bounded(number) < least:
            raise InvalidRequest(f"{name} must be at least {to_text(least)}", field=name)
    if facts.limit_up is not None and facts.limit_down is not None and facts.limit_up <= facts.limit_down:
        raise InvalidRequest("limit_up must be above limit_down", field="limit_up")


def _require_instrument(unit: RowsUnit, instrument_id: InstrumentId) -> None:
    column = INSTRUMENTS.c.instrument_id
    if unit.connection.scalar(column.table.select().with_only_columns(column).where(column == instrument_id)) is None:
        raise UnknownInstrument("there is no such instrument", field="instrument_id")


def _tell(unit: RowsUnit, actor: Actor, before: InstrumentFacts | None, after: InstrumentFacts) -> None:
    """Record what changed; facts that were only confirmed, as a feed does again and again, are no change."""
    was = _told(before) if before is not None else {}
    now = _told(after)
    changed = {name for name in {*was, *now} if was.get(name) != now.get(name)}
    if changed:
        record(
            unit,
            actor,
            AdminAction(
                action="instrument_facts.changed",
                object_type="instrument",
                object_id=after.instrument_id,
                before={name: was.get(name) for name in sorted(changed)},
                after={name: now.get(name) for name in sorted(changed)},
            ),
        )


def _told(facts: InstrumentFacts) -> dict[str, Any]:
    values: dict[str, Any] = msgspec.to_builtins(facts)
    return {name: value for name, value in values.items() if name not in ("instrument_id", _TIME)}
