"""What is known of instruments on both databases, and what each process remembers of it."""

from datetime import date, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from sqlalchemy import update

from oms_app.flow import boards
from oms_app.flow.audit import Actor
from oms_app.flow.boards import FactsBoard
from oms_app.flow.calendars import get_calendar, replace_calendar
from oms_app.flow.instrument_facts import OlderFacts, facts_of, tell_facts
from oms_app.store.config_rows import load_catalogue
from oms_app.store.instrument_facts import get_facts, put_facts
from oms_app.store.memory import MemoryStore
from oms_app.store.platform import PLATFORM_LEDGER
from oms_app.store.tables import INSTRUMENTS
from oms_kernel.contracts.rules import InstrumentFacts
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.ids import LedgerId, TenantId
from oms_kernel.testkit.builders import NOON, a_uuid, an_instrument

ACME = an_instrument().instrument_id
LEDGER = LedgerId(a_uuid("ledger"))
TENANT = TenantId(a_uuid("tenant"))


def test_facts_come_back_as_they_were_told_and_unknown_ones_stay_unknown(scribe: Any) -> None:
    told = InstrumentFacts(
        instrument_id=scribe.instrument_id,
        as_of=NOON,
        average_daily_volume=Decimal("1234567.000000000001"),
        is_halted=False,
        limit_up=Decimal("105.5"),
        is_short_restricted=True,
        sector="tools",
        issuer="Ärger & Söhne",
    )
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        assert get_facts(unit, scribe.instrument_id) is None
        put_facts(unit, [told])
    with scribe.store.read_unit(None) as unit:
        assert get_facts(unit, scribe.instrument_id) == told
    less = InstrumentFacts(instrument_id=scribe.instrument_id, as_of=NOON + timedelta(seconds=1))
    with scribe.store.platform_unit() as unit:
        put_facts(unit, [less])
        assert get_facts(unit, scribe.instrument_id) == less


def test_a_batch_reads_what_was_stored_since(scribe: Any) -> None:
    told = InstrumentFacts(instrument_id=scribe.instrument_id, as_of=NOON, in_auction=True)
    with scribe.store.platform_unit() as unit:
        put_facts(unit, [told])
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        stored = {facts.instrument_id: (facts, at) for facts, at in unit.instrument_facts(None)}
        facts, stored_at = stored[scribe.instrument_id]
        assert facts == told
        newer = [one.instrument_id for one, _ in unit.instrument_facts(stored_at)]
        assert scribe.instrument_id not in newer
        again = [one.instrument_id for one, _ in unit.instrument_facts(stored_at - timedelta(microseconds=1))]
        assert scribe.instrument_id in again


def test_facts_and_calendars_are_told_with_an_event_in_the_platforms_log(scribe: Any) -> None:
    def head() -> int:
        return int(scribe.store.heads([PLATFORM_LEDGER]).get(PLATFORM_LEDGER, 0))

    actor, before = Actor(principal_id="user:feed"), head()
    facts = InstrumentFacts(instrument_id=scribe.instrument_id, as_of=NOON, is_halted=True)
    assert tell_facts(scribe.store, actor, facts) == facts
    assert facts_of(scribe.store, scribe.instrument_id) == facts
    with pytest.raises(OlderFacts):
        tell_facts(scribe.store, actor, msgspec.structs.replace(facts, as_of=NOON - timedelta(seconds=1)))
    calendar = Calendar(name=f"C{scribe.instrument_id[-8:]}", early_closes={date(2026, 11, 27): time(13)})
    assert replace_calendar(scribe.store, actor, calendar)
    assert not replace_calendar(scribe.store, actor, calendar)
    with scribe.store.read_unit(None) as unit:
        assert get_calendar(unit, calendar.name) == calendar
    assert head() == before + 2


# What a process remembers ---------------------------------------------------------------------------------


@pytest.fixture
def memory() -> MemoryStore:
    store = MemoryStore(lambda: NOON)
    store.add_ledger(TENANT, LEDGER)
    return store


def seen(store: MemoryStore, board: FactsBoard) -> dict[Any, InstrumentFacts]:
    with store.ledger_unit(TENANT, LEDGER) as unit:
        return dict(board.view(unit))


def test_a_process_reads_facts_again_after_a_moment_only(memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(boards.time, "monotonic", lambda: clock[0])
    board = FactsBoard()
    assert seen(memory, board) == {}
    facts = InstrumentFacts(instrument_id=ACME, as_of=NOON, is_halted=True)
    memory.put_facts(facts)
    clock[0] = boards.REFRESH_S - 0.01
    assert seen(memory, board) == {}
    clock[0] = boards.REFRESH_S
    assert seen(memory, board) == {ACME: facts}


def test_facts_that_a_slower_transaction_stored_are_not_missed(
    memory: MemoryStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [0.0]
    monkeypatch.setattr(boards.time, "monotonic", lambda: clock[0])
    board = FactsBoard()
    memory.put_facts(InstrumentFacts(instrument_id=ACME, as_of=NOON))
    seen(memory, board)
    slow = InstrumentFacts(instrument_id=an_instrument("SLOW").instrument_id, as_of=NOON - timedelta(seconds=59))
    memory.put_facts(slow)
    clock[0] = 1.0
    assert slow.instrument_id in seen(memory, board)


def test_the_map_that_a_batch_holds_does_not_change(memory: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr(boards.time, "monotonic", lambda: clock[0])
    board = FactsBoard()
    facts = InstrumentFacts(instrument_id=ACME, as_of=NOON, is_halted=False)
    memory.put_facts(facts)
    with memory.ledger_unit(TENANT, LEDGER) as unit:
        held = board.view(unit)
    memory.put_facts(msgspec.structs.replace(facts, is_halted=True, as_of=NOON + timedelta(seconds=1)))
    clock[0] = 1.0
    assert seen(memory, board)[ACME].is_halted is True
    assert held[ACME].is_halted is False


@pytest.mark.parametrize("largest", [None, Decimal("300"), Decimal("0.000000000001")])
def test_the_largest_order_of_an_instrument_comes_back_exactly(scribe: Any, largest: Decimal | None) -> None:
    with scribe.store.platform_unit() as unit:
        mine = INSTRUMENTS.c.instrument_id == scribe.instrument_id
        unit.connection.execute(update(INSTRUMENTS).where(mine).values(max_order_quantity=largest))
        known = load_catalogue(unit.connection, unit.now).instruments[scribe.instrument_id]
    assert known.max_order_quantity == largest
