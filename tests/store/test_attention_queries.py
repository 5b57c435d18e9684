"""Lists of alerts, breaks, runs and unbooked reports on both databases: filters, pages, the view, and their indexes."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from sqlalchemy import text

from oms_app.store import queries, reconciliation_runs
from oms_app.store.queries import AlertFilter, BreakFilter, Paging, ReportFilter, RunFilter
from oms_app.store.sql_store import SqlStore
from oms_kernel.contracts.broker import Busted
from oms_kernel.domain import events as ev
from oms_kernel.domain.breaks import BreakType, Difference, Severity
from oms_kernel.domain.ids import BreakId, ExecId
from tests.store.conftest import Scribe, new_id, prepare


@pytest.fixture
def scribe(store: SqlStore) -> Scribe:
    return prepare(store, Scribe(store))


def alert(scribe: Scribe, severity: Severity, source: str = "booking", *, of_ledger: bool = False) -> str:
    """The id of an alert that was raised now."""
    raised = ev.AlertRaised(
        account_id=None if of_ledger else scribe.account_id,
        severity=severity,
        source=source,
        text="something",
        what_to_do="look",
    )
    return scribe.write(raised)[0].event_id


def found(scribe: Scribe, break_type: BreakType, severity: Severity, subject: str = "USD") -> BreakId:
    """The id of a break that was found now."""
    difference = Difference(
        break_type=break_type,
        broker_account_id=scribe.broker_account_id,
        subject=subject,
        account_id=scribe.account_id,
        ours="1",
        theirs="2",
    )
    told = ev.BreakFound(
        account_id=scribe.account_id,
        difference=difference,
        severity=severity,
        proposed_fix="look",
        as_of=datetime.now(UTC),
    )
    return BreakId(scribe.write(told)[0].event_id)


def resolve(scribe: Scribe, break_id: BreakId, words: str) -> None:
    told = ev.BreakResolved(
        account_id=scribe.account_id, break_id=break_id, resolution="explained", principal="user:me", text_hash="x"
    )
    scribe.write(told, text=lambda unit: unit.put_text(break_id, "break_resolution", words, b"salt"))


def alerts(store: SqlStore, scribe: Scribe, **fields: Any) -> list[str]:
    with store.read_unit(scribe.tenant_id) as unit:
        return [one.alert_id for one in queries.list_alerts(unit, AlertFilter(**fields), Paging()).items]


def breaks(store: SqlStore, scribe: Scribe, **fields: Any) -> list[str]:
    with store.read_unit(scribe.tenant_id) as unit:
        return [one.break_id for one in queries.list_breaks(unit, BreakFilter(**fields), Paging()).items]


def test_alerts_are_found_by_each_filter_and_counted(store: SqlStore, scribe: Scribe) -> None:
    first = alert(scribe, Severity.CRITICAL)
    second = alert(scribe, Severity.WARNING, "reconciliation")
    third = alert(scribe, Severity.CRITICAL, "guard", of_ledger=True)
    scribe.write(ev.AlertAcknowledged(account_id=scribe.account_id, alert_id=first, principal="user:me"))
    for fields, expected in (
        ({}, [third, second, first]),
        ({"severity": "CRITICAL"}, [third, first]),
        ({"source": "reconciliation"}, [second]),
        ({"account_id": scribe.account_id}, [second, first]),
        ({"acknowledged": True}, [first]),
        ({"acknowledged": False}, [third, second]),
        ({"raised_from": datetime.now(UTC) + timedelta(hours=1)}, []),
        ({"raised_before": datetime.now(UTC) + timedelta(hours=1)}, [third, second, first]),
        ({"allowed_accounts": {scribe.account_id}}, [second, first]),
        ({"allowed_accounts": {new_id()}}, []),
    ):
        assert alerts(store, scribe, **fields) == expected, fields
    with store.read_unit(scribe.tenant_id) as unit:
        assert queries.count_open_alerts(unit, "CRITICAL") == 1
        assert queries.count_open_alerts(unit, "CRITICAL", {scribe.account_id}) == 0
        assert set(queries.get_alerts(unit, [first, new_id()], AlertFilter())) == {first}
    other = prepare(store, Scribe(store))
    assert alerts(store, other) == []


def test_breaks_are_found_by_each_filter_with_their_words_and_as_the_view_has_them(
    store: SqlStore, scribe: Scribe
) -> None:
    cash = found(scribe, BreakType.CASH, Severity.WARNING)
    position = found(scribe, BreakType.QUANTITY, Severity.CRITICAL, scribe.instrument_id)
    resolve(scribe, cash, "interest of October")
    for fields, expected in (
        ({}, [position, cash]),
        ({"break_type": "CASH"}, [cash]),
        ({"severity": "CRITICAL"}, [position]),
        ({"account_id": scribe.account_id}, [position, cash]),
        ({"broker_account_id": scribe.broker_account_id}, [position, cash]),
        ({"resolved": True}, [cash]),
        ({"resolved": False}, [position]),
        ({"found_from": datetime.now(UTC) + timedelta(hours=1)}, []),
        ({"found_before": datetime.now(UTC) + timedelta(hours=1)}, [position, cash]),
        ({"allowed_accounts": {new_id()}}, []),
    ):
        assert breaks(store, scribe, **fields) == expected, fields
    with store.read_unit(scribe.tenant_id) as unit:
        assert queries.break_texts(unit, [cash, position]) == {cash: "interest of October"}
        shown = queries.get_break(unit, position, BreakFilter())
        assert shown is not None
        assert queries.get_break(unit, position, BreakFilter(allowed_accounts={new_id()})) is None
        query = text("SELECT * FROM v_reconciliation_issues WHERE tenant_id = :tenant ORDER BY break_id")
        rows = unit.connection.execute(query, {"tenant": scribe.tenant_id}).mappings().all()
        hours = shown.hours_unresolved(unit.now)
    assert [(bool(row["is_critical"]), bool(row["is_resolved"])) for row in rows] == [(False, True), (True, False)]
    assert shown.is_critical and not shown.is_resolved
    assert float(rows[1]["hours_unresolved"]) == pytest.approx(hours, abs=0.01)


def test_pages_of_breaks_follow_each_other_without_a_gap(store: SqlStore, scribe: Scribe) -> None:
    made = [found(scribe, BreakType.CASH, Severity.INFO, f"C{number}") for number in range(5)]
    seen: list[str] = []
    cursor: str | None = None
    while True:
        with store.read_unit(scribe.tenant_id) as unit:
            page = queries.list_breaks(unit, BreakFilter(), Paging(limit=2, cursor=cursor))
        seen += [one.break_id for one in page.items]
        cursor = page.next_cursor
        if cursor is None:
            break
    assert seen == list(reversed(made))


def test_runs_are_seen_by_who_may_use_an_account_of_their_connection(store: SqlStore, scribe: Scribe) -> None:
    run_id = new_id()
    with store.tenant_unit(scribe.tenant_id) as unit:
        reconciliation_runs.request(unit, run_id, scribe.connection_id, scribe.broker_account_id, "user:me")
    with store.read_unit(scribe.tenant_id) as unit:
        for filters, seen in (
            (RunFilter(), True),
            (RunFilter(connection_id=scribe.connection_id), True),
            (RunFilter(connection_id=new_id()), False),
            (RunFilter(allowed_accounts={scribe.account_id}), True),
            (RunFilter(allowed_accounts={new_id()}), False),
        ):
            assert bool(queries.list_runs(unit, filters, Paging()).items) is seen, filters
            assert (queries.get_run(unit, run_id, filters) is not None) is seen, filters


def test_reports_are_seen_with_the_account_that_is_routed_to_them(store: SqlStore, scribe: Scribe) -> None:
    told = Busted(
        broker_account_id=scribe.broker_account_id,
        broker_at=datetime.now(UTC),
        exec_id=ExecId("E"),
        bust_id=ExecId("B"),
    )
    report_id = new_id()
    with store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        unit.put_unbooked(report_id, scribe.connection_id, told, "not booked")
    with store.read_unit(scribe.tenant_id) as unit:
        for filters, seen in (
            (ReportFilter(), True),
            (ReportFilter(status="OPEN"), True),
            (ReportFilter(status="BOOKED"), False),
            (ReportFilter(allowed_accounts={scribe.account_id}), True),
            (ReportFilter(allowed_accounts={new_id()}), False),
        ):
            assert [one.report_id for one in queries.list_reports(unit, filters, Paging()).items] == (
                [report_id] if seen else []
            ), filters
        shown = queries.get_report(unit, report_id, ReportFilter())
    assert shown is not None
    assert (shown.kind, shown.account_id, shown.report["exec_id"]) == ("busted", scribe.account_id, "E")


FILTERS: list[tuple[str, str, str]] = [
    ("alerts", "severity = 'CRITICAL'", "severity"),
    ("alerts", "source = 'booking'", "source"),
    ("alerts", "account_id = '{account_id}'", "account_id"),
    ("alerts", "acknowledged_at IS NULL", "ix_alerts_open"),
    ("alerts", "raised_at >= '2999-01-01T00:00:00Z'", "ix_alerts_raised_at"),
    ("reconciliation_breaks", "severity = 'CRITICAL'", "severity"),
    ("reconciliation_breaks", "break_type = 'CASH'", "break_type"),
    ("reconciliation_breaks", "account_id = '{account_id}'", "account_id"),
    ("reconciliation_breaks", "broker_account_id = '{broker_account_id}'", "broker_account_id"),
    ("reconciliation_breaks", "resolved_at IS NULL", "ix_reconciliation_breaks_open"),
    ("reconciliation_breaks", "found_at >= '2999-01-01T00:00:00Z'", "ix_reconciliation_breaks_found_at"),
    ("reconciliation_runs", "connection_id = '{connection_id}'", "connection_id"),
    ("unbooked_reports", "status = 'OPEN'", "status"),
]


@pytest.mark.parametrize(("table", "condition", "index"), FILTERS, ids=lambda value: str(value)[:40])
def test_each_filter_of_a_list_can_use_an_index(
    store: SqlStore, scribe: Scribe, table: str, condition: str, index: str
) -> None:
    named = condition.format(
        account_id=scribe.account_id, broker_account_id=scribe.broker_account_id, connection_id=scribe.connection_id
    )
    key = {"alerts": "alert_id", "reconciliation_breaks": "break_id", "reconciliation_runs": "run_id"}
    order = f" ORDER BY {key[table]} DESC LIMIT 51" if table in key and "_at >=" not in named else ""
    query = f"SELECT * FROM {table} WHERE tenant_id = :tenant AND {named}{order}"
    mine = {"tenant": scribe.tenant_id}
    with store.tenant_unit(scribe.tenant_id) as unit:
        if unit.connection.dialect.name == "postgresql":
            unit.connection.execute(text("SET LOCAL enable_seqscan = off"))
            unit.connection.execute(text("SET LOCAL enable_sort = off"))
            plan = unit.connection.execute(text(f"EXPLAIN {query}"), mine).scalars().all()
        else:
            plan = [row[3] for row in unit.connection.execute(text(f"EXPLAIN QUERY PLAN {query}"), mine).all()]
    assert index in " ".join(plan), plan
