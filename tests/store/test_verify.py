"""Verify finds nothing in what the store wrote, and names every row that somebody changed, took away or added."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine, text

from oms_app.store.unit_of_work import UnknownLedger
from oms_app.store.verify import verify
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.decision import Gate, Outcome, Verdict
from oms_kernel.domain.lifecycle import Word
from oms_kernel.domain.order import OrderType, Side


@pytest.fixture
def busy(scribe: Any) -> Any:
    """A ledger in which everything that leaves a row has happened."""
    order, other = scribe.accepted(client_order_id="one"), scribe.accepted(side=Side.SELL, quantity=Decimal(3))
    first = scribe.filled(order, 4)
    scribe.write(order, scribe.intent(order), scribe.acknowledged(order))
    scribe.write(first)
    scribe.write(other, scribe.filled(None, "2.5", order_id=None, book="EXTERNAL"))
    second = scribe.filled(order, 6, Word.FILLED_WHOLE, price=Decimal("12.31"))
    scribe.write(second)
    scribe.write(scribe.corrected(first, 4, "12.20"))
    scribe.write(scribe.busted(second, Word.UNFILLED))
    scribe.write(
        ev.FeeAttached(
            account_id=scribe.account_id,
            order_id=order.order_id,
            broker_account_id=scribe.broker_account_id,
            exec_id=first.fill.exec_id,
            fee=Decimal("0.5"),
        )
    )
    denial = Verdict(
        rule="max",
        outcome=Outcome.DENY,
        gate=Gate.RISK,
        plugin="p",
        code="too_much",
        observed=Decimal(9),
        limit=Decimal(5),
    )
    scribe.write(scribe.denied((denial,), client_order_id="two", order_type=OrderType.LIMIT))
    scribe.write(
        ev.TradingStateChanged(
            account_id=scribe.account_id, trading_state=TradingState.CANCEL_ONLY, reason_code="drill"
        ),
        ev.PluginQuarantined(plugin="p", reason="hung"),
        ev.AlertRaised(severity=ev.Severity.WARNING, source="s", text="t", what_to_do="w"),
        scribe.canceled(other),
    )
    return scribe


@pytest.fixture
def plant(database_url: str, busy: Any) -> Callable[[str], int]:
    """Changes rows behind the store's back; `{t}`, `{l}` and `{a}` stand for tenant, ledger and account."""

    def run(sql: str) -> int:
        statement = sql.format(t=busy.tenant_id, l=busy.ledger_id, a=busy.account_id)
        if database_url.startswith("sqlite"):
            engine = create_engine(database_url)
            with engine.begin() as connection:
                count: int = connection.execute(text(statement)).rowcount
            engine.dispose()
            return count
        with psycopg.connect(database_url, autocommit=True) as connection:
            return connection.execute(statement).rowcount

    return run


def report_of(scribe: Any) -> tuple[str, ...]:
    return verify(scribe.store, scribe.tenant_id, scribe.ledger_id).differences


def test_what_the_store_wrote_is_what_the_log_says(busy: Any) -> None:
    report = verify(busy.store, busy.tenant_id, busy.ledger_id)
    assert report.differences == ()
    assert report.is_clean
    assert (report.events, report.orders) == (busy.book.seq, 3)


def test_an_empty_ledger_is_clean_and_an_unknown_one_is_an_error(store: Any, scribe: Any) -> None:
    from oms_app.store import tenants

    empty = scribe.tenant_id
    with store.tenant_unit(empty) as unit:
        tenants.create_ledger(unit, empty)
    assert verify(store, empty, empty).is_clean
    with pytest.raises(UnknownLedger):
        verify(store, empty, scribe.account_id)


@pytest.mark.parametrize(
    ("table", "change", "word"),
    [
        ("orders", "filled_quantity = '5'", "filled_quantity"),
        ("orders", "state = 'FILLED'", "state"),
        ("orders", "document = '{{}}'", "document"),
        ("orders", "version = version + 1", "version"),
        ("executions", "price = '1'", "price"),
        ("executions", "seq = seq + 1", "seq"),
        ("positions", "quantity = '7'", "quantity"),
        ("positions", "cost = '7'", "cost"),
        ("cash_balances", "amount = '999999.5'", "amount"),
        ("day_counters", "fills = fills + 1", "fills"),
        ("trading_accounts", "trading_state = 'ACTIVE'", "trading_state"),
        ("plugin_quarantines", "reason = ''", "reason"),
        ("rule_denials", "code = 'other'", "code"),
        ("execution_ids", "kind = 'FILL', restates = NULL", "kind"),
        ("ledgers", "seq = seq + 1", "seq"),
        ("ledgers", "head_recorded_at = updated_at, seq = seq - 1", "seq"),
    ],
)
def test_a_changed_row_is_named(busy: Any, plant: Callable[[str], int], table: str, change: str, word: str) -> None:
    where = "ledger_id = '{l}'" if table != "cash_balances" else "account_id = '{a}'"
    assert plant(f"UPDATE {table} SET {change} WHERE {where} AND tenant_id = '{{t}}'") > 0
    differences = report_of(busy)
    assert differences
    assert all(difference.startswith(table) for difference in differences)
    assert any(f"{word} is" in difference for difference in differences)


@pytest.mark.parametrize(
    "table",
    ["cash_balances", "client_order_ids", "day_counters", "execution_ids", "positions", "executions", "rule_denials"],
)
def test_a_missing_row_is_named(busy: Any, plant: Callable[[str], int], table: str) -> None:
    assert plant(f"DELETE FROM {table} WHERE ledger_id = '{{l}}' AND tenant_id = '{{t}}'") > 0
    differences = report_of(busy)
    assert differences
    assert all(d.startswith(table) and d.endswith("the row is missing") for d in differences)


def test_a_row_too_many_is_named(busy: Any, plant: Callable[[str], int]) -> None:
    assert plant(
        "INSERT INTO client_order_ids (tenant_id, ledger_id, account_id, client_order_id, order_id)"
        " VALUES ('{t}', '{l}', '{a}', 'ghost', '{a}')"
    )
    assert plant(
        "INSERT INTO cash_balances (tenant_id, ledger_id, account_id, currency, amount, updated_at)"
        " SELECT tenant_id, ledger_id, account_id, 'XXX', amount, updated_at FROM cash_balances"
        " WHERE ledger_id = '{l}'"
    )
    differences = report_of(busy)
    assert len(differences) == 2
    assert all(difference.endswith("the log knows no such row") for difference in differences)


def test_a_gap_in_the_log_is_named(busy: Any, plant: Callable[[str], int]) -> None:
    assert plant("DELETE FROM event_log WHERE ledger_id = '{l}' AND seq = 4") == 1
    assert report_of(busy) == ("event_log: seq 5 follows 3",)


def test_a_cut_end_of_the_log_is_named(busy: Any, plant: Callable[[str], int]) -> None:
    assert plant(f"DELETE FROM event_log WHERE ledger_id = '{{l}}' AND seq = {busy.book.seq}") == 1
    assert any(difference.startswith("ledgers: seq is") for difference in report_of(busy))


def test_time_that_goes_back_is_named(busy: Any, plant: Callable[[str], int]) -> None:
    sql = "UPDATE event_log SET recorded_at = '2020-01-01T00:00:00.000000+00:00' WHERE ledger_id = '{l}' AND seq = 10"
    assert plant(sql) == 1
    assert any("lies before that of the event before" in difference for difference in report_of(busy))


def test_an_event_under_a_wrong_order_is_named(busy: Any, plant: Callable[[str], int]) -> None:
    assert plant("UPDATE event_log SET order_id = '{a}' WHERE ledger_id = '{l}' AND seq = 3") == 1
    assert report_of(busy) == (
        "event_log 3: its hash is not that of the row and the rows before it",
        "event_log 3: account_id or order_id is not that of the event",
    )


def test_a_forged_event_is_named(busy: Any, plant: Callable[[str], int]) -> None:
    sql = (
        'UPDATE event_log SET payload = replace(payload, \'"amount":"1000000"\', \'"amount":"2000000"\')'
        " WHERE ledger_id = '{l}' AND seq = 2"
    )
    assert plant(sql) == 1
    assert report_of(busy)[0].startswith("event_log 2:")
    assert [difference.split()[0] for difference in report_of(busy)] == ["event_log", "cash_balances"]
