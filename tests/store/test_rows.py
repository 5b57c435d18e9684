"""Rows that people and processes write: leases, cursors, due work, quotes, configuration, strategies and webhooks."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text, update
from uuid_utils.compat import uuid7

from oms_app.store import (
    accounts,
    connections,
    cursors,
    due_work,
    leases,
    limits,
    quotes,
    strategies,
    tenants,
    webhooks,
)
from oms_app.store.config_rows import connection_resource
from oms_app.store.queries import Paging
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import LAST_QUOTES
from oms_app.store.unit_of_work import Conflict, Route
from oms_kernel.contracts.broker import BrokerAccount
from oms_kernel.domain.market import Quote
from oms_kernel.domain.scope import Scope
from tests.waiting import until

TTL = timedelta(seconds=20)
OVER = timedelta(0)


def new_id() -> str:
    return str(uuid7())


# Leases ---------------------------------------------------------------------------------------------------


def test_a_lease_has_one_holder_and_its_token_only_grows(store: SqlStore) -> None:
    resource = f"connection:{new_id()}"
    with store.platform_unit() as unit:
        first = leases.acquire(unit, resource, "a", TTL, build="1")
    with store.platform_unit() as unit:
        assert leases.acquire(unit, resource, "b", TTL) is None
        held = leases.get(unit, resource)
    assert first is not None
    assert held is not None
    assert (held.holder, held.build, held.token, held.kind) == ("a", "1", first, "connection")
    with store.platform_unit() as unit:
        assert leases.heartbeat(unit, resource, first, OVER)
    with store.platform_unit() as unit:
        second = leases.acquire(unit, resource, "b", TTL)
        assert second == first + 1
        assert not leases.heartbeat(unit, resource, first, TTL)
        assert not leases.release(unit, resource, first)
        assert leases.release(unit, resource, second)
    with store.platform_unit() as unit:
        assert leases.acquire(unit, resource, "c", TTL) == second + 1


def test_an_expired_lease_cannot_be_revived_by_its_holder(store: SqlStore) -> None:
    resource = f"connection:{new_id()}"
    with store.platform_unit() as unit:
        token = leases.acquire(unit, resource, "a", OVER)
        assert token is not None
    with store.platform_unit() as unit:
        assert not leases.heartbeat(unit, resource, token, TTL)


def test_what_is_wanted_and_held_by_nobody_can_be_claimed(store: SqlStore) -> None:
    free, held, unwanted = (f"run:{new_id()}" for _ in range(3))
    with store.platform_unit() as unit:
        for resource in (free, held, unwanted):
            leases.want(unit, resource, kind="run", tenant_id=None, is_wanted=resource != unwanted)
        leases.acquire(unit, held, "a", TTL)
    with store.platform_unit() as unit:
        claimable = {lease.resource for lease in leases.claimable(unit, "run")}
        assert free in claimable
        assert not claimable & {held, unwanted}


def test_the_ledger_unit_reads_the_present_token(scribe: Any) -> None:
    def token() -> Any:
        with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
            state = unit.connection_states()[scribe.connection_id]
            found = unit.lease_token(scribe.connection_id)
            assert state.is_ready(unit.now) == (found is not None)
            return found

    assert token() is None
    resource = connection_resource(scribe.connection_id)
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        taken = leases.acquire(unit, resource, "a", TTL)
        connections.set_status(unit, scribe.connection_id, "READY", "", heard_at=unit.now)
    assert token() == taken
    with scribe.store.platform_unit() as unit:
        assert leases.heartbeat(unit, resource, taken, OVER)
    assert token() is None


def test_a_unit_that_waited_for_the_lock_reads_the_token_of_the_lease_taken_meanwhile(scribe: Any) -> None:
    if scribe.store.dialect != "postgresql":
        pytest.skip("on SQLite nobody writes while a ledger is locked")
    resource = connection_resource(scribe.connection_id)

    def token() -> Any:
        with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
            return unit.lease_token(scribe.connection_id)

    def somebody_waits() -> Any:
        with scribe.store.platform_unit() as unit:
            return unit.connection.scalar(text("SELECT count(*) FROM pg_locks WHERE NOT granted"))

    with scribe.store.platform_unit() as unit:
        first = leases.acquire(unit, resource, "a", TTL)
    assert token() == first
    with ThreadPoolExecutor(1) as pool:
        with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id):
            waiting = pool.submit(token)
            until(somebody_waits, "the second unit waits for the lock")
            with scribe.store.platform_unit() as unit:
                assert leases.heartbeat(unit, resource, first, OVER)
            with scribe.store.platform_unit() as unit:
                second = leases.acquire(unit, resource, "b", TTL)
        assert (waiting.result(), second) == (second, first + 1)


# Cursors and due work -------------------------------------------------------------------------------------


def test_a_cursor_begins_at_0_and_moves_for_one_reader_only(scribe: Any) -> None:
    with scribe.store.platform_unit() as unit:
        assert cursors.cursor(unit, "sink", scribe.ledger_id) == 0
        assert cursors.advance(unit, "sink", scribe.ledger_id, 0, 2)
        assert not cursors.advance(unit, "sink", scribe.ledger_id, 0, 1)
        assert cursors.advance(unit, "sink", scribe.ledger_id, 2, 3)
        assert cursors.cursor(unit, "sink", scribe.ledger_id) == 3
        assert cursors.cursor(unit, "other", scribe.ledger_id) == 0


def test_due_work_is_claimed_once_until_the_claim_ends(scribe: Any) -> None:
    kind, work_id = f"k{new_id()[-8:]}", new_id()
    store = scribe.store
    with store.platform_unit() as unit:
        due_work.plan(unit, work_id, kind=kind, tenant_id=scribe.tenant_id, due_at=unit.now)
        due_work.plan(unit, new_id(), kind=kind, tenant_id=scribe.tenant_id, due_at=unit.now + TTL)
    with store.platform_unit() as unit:
        (claimed,) = due_work.claim(unit, kind, "a", OVER)
        assert (claimed.work_id, claimed.attempts, claimed.tenant_id) == (work_id, 1, scribe.tenant_id)
    with store.platform_unit() as unit:
        (again,) = due_work.claim(unit, kind, "b", TTL)
        assert again.attempts == 2
    with store.platform_unit() as unit:
        assert due_work.claim(unit, kind, "c", TTL) == []
        assert not due_work.finish(unit, work_id, "a")
        assert due_work.postpone(unit, work_id, "b", unit.now)
    with store.platform_unit() as unit:
        assert [work.attempts for work in due_work.claim(unit, kind, "c", TTL)] == [3]
        assert due_work.finish(unit, work_id, "c")
    with store.platform_unit() as unit:
        assert due_work.claim(unit, kind, "d", TTL) == []


# Quotes ---------------------------------------------------------------------------------------------------


def test_a_newer_quote_replaces_an_older_one_and_never_the_other_way(scribe: Any) -> None:
    def quote(bid: str, age: int) -> Quote:
        at = scribe.book.recorded_at - timedelta(seconds=age)
        return Quote(
            instrument_id=scribe.instrument_id,
            bid=Decimal(bid),
            bid_size=Decimal(1),
            ask=Decimal("9.5"),
            ask_size=Decimal(2),
            data_at=at,
            received_at=at,
            last=None,
        )

    def stored(*told: Quote) -> list[Quote]:
        with scribe.store.platform_unit() as unit:
            quotes.put_quotes(unit, told)
        return [found for found in scribe.store.quotes(None) if found.instrument_id == scribe.instrument_id]

    assert stored() == []
    assert stored(quote("1", 9), quote("2", 8)) == [quote("2", 8)]
    assert stored(quote("3", 9)) == [quote("2", 8)]
    assert stored(quote("4", 1)) == [quote("4", 1)]
    (clamped,) = stored(quote("5", -3600))
    with scribe.store.platform_unit() as unit:
        assert clamped.received_at <= unit.now, "received later than now: it would stay fresh for an hour"
        unit.connection.execute(
            update(LAST_QUOTES)
            .where(LAST_QUOTES.c.instrument_id == scribe.instrument_id)
            .values(received_at=unit.now + timedelta(hours=1))
        )
    assert stored(quote("4", 1)) == [quote("4", 1)], "a clock was set back: what it wrote before gives way"
    after = quote("4", 1).received_at
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        ids = {found.instrument_id for found in unit.quotes(after)}
        assert scribe.instrument_id not in ids
        assert scribe.instrument_id in {found.instrument_id for found in unit.quotes(after - timedelta(seconds=1))}


# Configuration --------------------------------------------------------------------------------------------


def test_each_write_of_configuration_reaches_the_next_batch(scribe: Any) -> None:
    store = scribe.store

    def version() -> int:
        with store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
            found: int = unit.config_version
            assert unit.config().version == found
            return found

    before = version()
    changes: list[Callable[[Any], Any]] = [
        lambda unit: limits.put_limit(unit, scribe.ledger_id, rule="max", params={"max": "1"}),
        lambda unit: limits.end_limit(unit, scribe.ledger_id),
        lambda unit: accounts.put_route(unit, scribe.account_id, scribe.broker_account_id),
        lambda unit: accounts.describe_account(unit, scribe.account_id, name="Main", settings={"a": 1}),
    ]
    for change in changes:
        with store.tenant_unit(scribe.tenant_id) as unit:
            change(unit)
        after = version()
        assert after > before
        before = after


def test_a_ledgers_configuration_names_accounts_routes_and_limits_in_force(scribe: Any) -> None:
    mine, tenants_own, ended = new_id(), new_id(), new_id()
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        limits.put_limit(unit, mine, rule="max", params={"max": "1.50"}, scope=Scope(scribe.account_id))
        limits.put_limit(unit, tenants_own, rule="rate", params={})
        newest = limits.put_limit(unit, ended, rule="old", params={})
        assert limits.end_limit(unit, ended)
        assert not limits.end_limit(unit, ended)
        accounts.describe_account(unit, scribe.account_id, name="Main", settings={})
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        config = unit.config()
    assert config.account_names == {scribe.account_id: "Main"}
    assert config.routes == {
        scribe.account_id: Route(
            account_id=scribe.account_id,
            broker_account_id=scribe.broker_account_id,
            connection_id=scribe.connection_id,
            broker="sim_broker",
        )
    }
    assert {limit.limit_id: limit.params for limit in config.limits} == {mine: {"max": "1.50"}, tenants_own: {}}
    assert config.limits_version > newest
    directory = scribe.store.account_directory(scribe.tenant_id)
    assert directory.by_broker_account == {scribe.broker_account_id: scribe.account_id}


def test_a_session_finds_its_connection_with_accounts_and_ledgers(scribe: Any) -> None:
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        row = connections.load_connection(unit, scribe.connection_id)
        assert connections.load_connection(unit, new_id()) is None
    assert row is not None
    assert (row.params, row.credentials, row.desired) == ({"port": 1}, None, "CONNECTED")
    assert row.accounts == (BrokerAccount(scribe.broker_account_id, "U1", "PAPER", "USD"),)
    assert row.ledgers == (scribe.ledger_id,)
    resource = connection_resource(scribe.connection_id)
    for desired in ("DISCONNECTED", "CONNECTED"):
        with scribe.store.tenant_unit(scribe.tenant_id) as unit:
            assert connections.set_desired(unit, scribe.connection_id, desired)
            lease = leases.get(unit, resource)
            assert lease is not None
            assert (lease.is_wanted, lease.tenant_id) == (desired == "CONNECTED", scribe.tenant_id)


def test_an_account_that_was_configured_first_is_the_one_that_the_log_opens(new_scribe: Callable[[], Any]) -> None:
    scribe = new_scribe()
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        scribe.account_id = new_id()
        accounts.create_account(
            unit, scribe.account_id, scribe.ledger_id, name="Second", base_currency="EUR", settings={"x": True}
        )
    scribe.open()
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        config = unit.config()
    assert config.account_names[scribe.account_id] == "Second"
    assert config.accounts[scribe.account_id] == scribe.book.accounts[scribe.account_id]


def test_a_tenant_knows_its_ledgers_and_the_platform_all(new_scribe: Callable[[], Any]) -> None:
    mine, other = new_scribe(), new_scribe()
    with mine.store.tenant_unit(mine.tenant_id) as unit:
        assert [ledger.ledger_id for ledger in tenants.list_ledgers(unit)] == [mine.ledger_id]
        tenant = tenants.get_tenant(unit)
        assert tenant is not None
        assert tenant.name == "A tenant"
    with mine.store.platform_unit() as unit:
        assert {mine.ledger_id, other.ledger_id} <= {ledger.ledger_id for ledger in tenants.list_ledgers(unit)}
    with pytest.raises(ValueError, match="unit of that tenant"), mine.store.platform_unit() as unit:
        tenants.get_tenant(unit)


# Strategies and webhooks ----------------------------------------------------------------------------------


def test_a_strategy_runs_ends_and_stays_on_record(scribe: Any) -> None:
    strategy_id, run_id = new_id(), new_id()
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        strategies.create_strategy(
            unit, strategy_id, name="Echo", strategy="echo", account_id=scribe.account_id, params={"n": 1}
        )
        strategies.start_run(unit, run_id, strategy_id, scribe.ledger_id, cursor_seq=2)
        assert leases.get(unit, strategies.run_resource(run_id)) is not None
        assert strategies.set_run_status(unit, run_id, "RUNNING", expected=["STARTING"])
        assert not strategies.set_run_status(unit, run_id, "RUNNING", expected=["STARTING"])
        assert strategies.move_run_cursor(unit, run_id, 2, 5)
        assert not strategies.move_run_cursor(unit, run_id, 2, 6)
        strategies.append_run_log(unit, run_id, "a" * (strategies.LOG_KEPT - 1))
        strategies.append_run_log(unit, run_id, "bc")
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        strategy, run = strategies.get_strategy(unit, strategy_id), strategies.get_run(unit, run_id)
        assert strategy is not None
        assert run is not None
        assert (strategy.status, strategy.params, run.cursor_seq, run.stopped_at) == ("RUNNING", {"n": 1}, 5, None)
        assert len(run.log) == strategies.LOG_KEPT
        assert run.log.endswith("abc")
        assert strategies.set_run_status(unit, run_id, "ERROR", expected=["RUNNING"], error="it broke", restarted=True)
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        lease = leases.get(unit, strategies.run_resource(run_id))
        assert lease is not None
        assert not lease.is_wanted
        (listed,) = strategies.list_strategies(unit, Paging(), status="ERROR").items
        assert listed.error == "it broke"
        assert strategies.close_strategy(unit, strategy_id)
        assert not strategies.close_strategy(unit, strategy_id)
        assert strategies.list_strategies(unit, Paging()).items == []
        (kept,) = strategies.list_runs(unit, Paging(), strategy_id=strategy_id).items
        assert (kept.status, kept.restarts, kept.stopped_at is not None) == ("ERROR", 1, True)


def test_a_webhook_is_changed_closed_and_kept(scribe: Any) -> None:
    webhook_id = new_id()
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        webhooks.create_webhook(
            unit,
            webhook_id,
            url="https://example.com/hook",
            sink="http",
            params={},
            event_kinds=["order_filled"],
            credentials=b"\x00sealed",
        )
        assert webhooks.update_webhook(unit, webhook_id, is_active=False)
        found = webhooks.get_webhook(unit, webhook_id)
        assert found is not None
        assert (found.credentials, found.event_kinds, found.is_active) == (b"\x00sealed", ["order_filled"], False)
        assert webhooks.list_webhooks(unit, Paging()).items == [found]
        assert webhooks.close_webhook(unit, webhook_id)
        assert webhooks.get_webhook(unit, webhook_id) is None
        assert not webhooks.update_webhook(unit, webhook_id, is_active=True)
        assert webhooks.list_deliveries(unit, Paging(), webhook_id=webhook_id).items == []


def test_the_same_id_twice_is_a_conflict_that_names_its_table(scribe: Any) -> None:
    with pytest.raises(Conflict) as caught, scribe.store.tenant_unit(scribe.tenant_id) as unit:
        tenants.create_tenant(unit, "again")
    assert caught.value.table == "tenants"
