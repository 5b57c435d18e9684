"""A ledger unit locks, reads, appends all or nothing, and says what went wrong; the same on every store."""

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from oms_app.store.memory import MemoryStore
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import Conflict, StoredAnswer, UnknownLedger
from oms_kernel.contracts.broker import Acknowledged
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.lifecycle import Word

STORES = ["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]


@pytest.fixture(scope="module", params=STORES)
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    from oms_app.store import migrate

    if request.param == "memory":
        return "memory"
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('units')}/oms.db"
    else:
        url = request.getfixturevalue("new_postgres_database")()
    migrate.upgrade(url)
    return url


@pytest.fixture(scope="module")
def store(database_url: str) -> Iterator[Any]:
    if database_url == "memory":
        yield MemoryStore(lambda: datetime.now(UTC))
        return
    opened = SqlStore(database_url, pool_size=8)
    yield opened
    opened.close()


@pytest.fixture
def scribe(store: Any, new_scribe: Callable[[], Any], blank_scribe: Callable[[Any], Any]) -> Any:
    if isinstance(store, MemoryStore):
        scribe = blank_scribe(store)
        store.add_ledger(scribe.tenant_id, scribe.ledger_id)
        return scribe.open()
    return new_scribe()


def answer(now: datetime, key: str, **changes: Any) -> StoredAnswer:
    fields: dict[str, Any] = {
        "key": key,
        "principal": "key:1",
        "operation": "place",
        "fingerprint": b"\x00\xff",
        "status_code": 201,
        "order_versions": ((str(uuid7()), 7),),
        "extra": {"items": ["a"]},
        "created_at": now,
    }
    return StoredAnswer(**{**fields, **changes})


def test_events_come_back_equal_and_in_order(scribe: Any) -> None:
    order = scribe.accepted()
    scribe.write(order, scribe.intent(order), scribe.acknowledged(order))
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        assert unit.head == 5
        assert list(unit.tail(0)) == scribe.events
        assert [recorded.seq for recorded in unit.tail(3)] == [4, 5]
        assert list(unit.tail(5)) == []
        assert list(unit.events_at([5, 2, 99])) == [scribe.events[1], scribe.events[4]]
    assert list(scribe.store.events(scribe.tenant_id, scribe.ledger_id, 3, 1)) == [scribe.events[3]]
    assert scribe.store.heads([scribe.ledger_id]) == {scribe.ledger_id: 5}
    assert (scribe.tenant_id, scribe.ledger_id) in scribe.store.ledgers()


def test_a_block_that_raises_stores_nothing(scribe: Any) -> None:
    head = scribe.book.seq
    with pytest.raises(ZeroDivisionError), scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        overlay, recorded = scribe.overlay(unit.now, scribe.accepted())
        unit.append(recorded, overlay)
        unit.put_answer(answer(unit.now, "dropped"))
        raise ZeroDivisionError
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        assert unit.head == head
        assert not unit.has_events([recorded[0].event_id])
        assert unit.answer("key:1", "place", "dropped") is None


def test_a_unit_on_the_same_machine_finds_both_clocks_together(scribe: Any) -> None:
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        assert unit.clock_offset == timedelta(0)


def test_a_look_waits_for_no_lock_and_sees_what_is_committed(scribe: Any) -> None:
    order = scribe.accepted()
    scribe.write(order)
    head = scribe.book.seq
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        overlay, recorded = scribe.overlay(unit.now, scribe.intent(order))
        unit.append(recorded, overlay)
        with scribe.store.look_unit(scribe.tenant_id, scribe.ledger_id) as look:
            assert (look.head, look.config_version) == (head, unit.config_version)
            assert [one.seq for one in look.tail(0)] == list(range(1, head + 1))
            assert list(look.tail(head)) == []
            assert look.clock_offset is not None
    for after in (0, head - 1, head):  # also from where an earlier look of this process ended
        with scribe.store.look_unit(scribe.tenant_id, scribe.ledger_id) as look:
            assert [one.seq for one in look.tail(after)] == list(range(after + 1, head + 2))
    for tenant_id, ledger_id in ((str(uuid7()), scribe.ledger_id), (scribe.tenant_id, str(uuid7()))):
        with pytest.raises(UnknownLedger), scribe.store.look_unit(tenant_id, ledger_id):
            pass


def test_a_ledger_of_another_tenant_is_unknown(scribe: Any) -> None:
    for tenant_id, ledger_id in ((str(uuid7()), scribe.ledger_id), (scribe.tenant_id, str(uuid7()))):
        with pytest.raises(UnknownLedger), scribe.store.ledger_unit(tenant_id, ledger_id):
            pass


def test_events_that_do_not_follow_the_head_are_refused(scribe: Any) -> None:
    scribe.write(scribe.accepted())
    head = scribe.book.seq
    with (
        pytest.raises(ValueError, match="do not follow"),
        scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit,
    ):
        overlay, recorded = scribe.overlay(unit.now, scribe.accepted(), scribe.accepted())
        unit.append(recorded[1:], overlay)
    assert scribe.store.heads([scribe.ledger_id]) == {scribe.ledger_id: head}


def test_a_client_order_id_is_unique_for_ever(scribe: Any) -> None:
    first = scribe.accepted(client_order_id="mine")
    scribe.write(first)
    scribe.write(scribe.canceled(first))
    head = scribe.book.seq
    with pytest.raises(Conflict) as caught:
        scribe.write(scribe.accepted(client_order_id="mine"))
    assert caught.value.table == "client_order_ids"
    assert scribe.store.heads([scribe.ledger_id]) == {scribe.ledger_id: head}


def test_a_denied_order_uses_its_client_order_id_up(scribe: Any) -> None:
    scribe.write(scribe.denied((), client_order_id="no"))
    with pytest.raises(Conflict):
        scribe.write(scribe.accepted(client_order_id="no"))


def test_an_execution_is_stored_once_for_ever(scribe: Any) -> None:
    order = scribe.accepted()
    filled = scribe.filled(order, 4)
    scribe.write(order, filled)
    with pytest.raises(Conflict) as caught:
        scribe.write(scribe.filled(order, 4, exec_id=filled.fill.exec_id))
    assert caught.value.table == "execution_ids"
    bust = scribe.busted(filled, Word.UNFILLED)
    scribe.write(bust)
    with pytest.raises(Conflict) as again:
        scribe.write(scribe.filled(order, 1, exec_id=bust.bust_id))
    assert again.value.table == "execution_ids"


def test_has_events_needs_all_of_them(scribe: Any) -> None:
    stored = [recorded.event_id for recorded in scribe.events]
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        assert unit.has_events(stored)
        assert unit.has_events([*stored, stored[0]])
        assert not unit.has_events([*stored, str(uuid7())])


def test_an_answer_lives_a_day_and_its_key_may_then_be_used_anew(scribe: Any) -> None:
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        fresh = answer(unit.now, "fresh")
        old = answer(unit.now - timedelta(hours=24, minutes=1), "old")
        unit.put_answer(fresh)
        unit.put_answer(old)
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        assert unit.answer("key:1", "place", "fresh") == fresh
        assert unit.answer("key:1", "place", "old") is None
        assert unit.answer("key:2", "place", "fresh") is None
        assert unit.answers([("key:1", "place", "fresh"), ("key:1", "cancel", "fresh")]) == {
            ("key:1", "place", "fresh"): fresh
        }
        renewed = answer(unit.now, "old", status_code=202)
        unit.put_answer(renewed)
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        assert unit.answer("key:1", "place", "old") == renewed


def test_a_living_key_cannot_stand_for_a_second_answer(scribe: Any) -> None:
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        unit.put_answer(answer(unit.now, "once"))
    with pytest.raises(Conflict) as caught, scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        unit.put_answer(answer(unit.now, "once"))
    assert caught.value.table == "idempotency_keys"


def test_an_opened_account_changes_the_configuration(scribe: Any) -> None:
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        before, config = unit.config_version, unit.config()
    assert config.accounts[scribe.account_id] == scribe.book.accounts[scribe.account_id]
    assert scribe.store.account_directory(scribe.tenant_id).ledgers == {scribe.account_id: scribe.ledger_id}
    halted = ev.TradingStateChanged(
        account_id=scribe.account_id, trading_state=TradingState.HALTED, reason_code="drill"
    )
    scribe.write(halted)
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        assert unit.config_version > before
        assert unit.config().accounts[scribe.account_id].trading_state == "HALTED"
        assert unit.config().version == unit.config_version


def test_a_cursor_moves_by_compare_and_set(scribe: Any) -> None:
    def advance(expected: int, seq: int) -> bool:
        with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
            moved: bool = unit.advance_cursor("stream", expected, seq)
            return moved

    assert advance(0, 1)
    assert not advance(0, 2)
    assert advance(1, 2)
    with pytest.raises(ZeroDivisionError), scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        assert unit.advance_cursor("stream", 2, 3)
        raise ZeroDivisionError
    assert advance(2, 3)


def test_text_reports_and_connector_values_go_with_the_unit(scribe: Any) -> None:
    order = scribe.accepted()
    report = Acknowledged(broker_account_id=scribe.broker_account_id, broker_at=datetime.now(UTC))

    def also(unit: Any) -> None:
        unit.put_text(order.order_id, "tags", '{"a":1}', b"salt")
        unit.put_unbooked(str(uuid7()), scribe.connection_id, report, "no such order")
        unit.storage_put(scribe.connection_id, "floor", "7")
        assert unit.storage_get(scribe.connection_id, "floor") == "7"

    scribe.write(order, also=also)
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        assert unit.storage_get(scribe.connection_id, "floor") == "7"
        assert unit.storage_get(scribe.connection_id, "other") is None
    assert scribe.store.ledger_of_order(scribe.tenant_id, order.order_id) == scribe.ledger_id
    assert scribe.store.ledger_of_order(str(uuid7()), order.order_id) is None


def test_two_writers_of_one_ledger_take_turns_without_a_gap(scribe: Any) -> None:
    errors: list[BaseException] = []
    guard = threading.Lock()

    def write() -> None:
        try:
            for _ in range(10):
                with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
                    with guard:  # only one thread can be here anyway: the unit holds the lock
                        for recorded in unit.tail(scribe.book.seq):
                            scribe.book.apply(recorded)
                        overlay, new = scribe.overlay(unit.now, scribe.accepted())
                        unit.append(new, overlay)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    seqs = [recorded.seq for recorded in scribe.store.events(scribe.tenant_id, scribe.ledger_id, 0)]
    assert seqs == list(range(1, 43))


def test_amounts_of_thirty_digits_survive(scribe: Any) -> None:
    largest, smallest = Decimal("999999999999999999.999999999999"), Decimal("0.000000000001")
    order = scribe.accepted(quantity=largest, limit_price=smallest)
    scribe.write(order)
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        found = unit.tail(unit.head - 1)[0].event
    assert (found.request.quantity, found.request.limit_price) == (largest, smallest)
