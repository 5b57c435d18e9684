"""Each list filter of the API has its index: PostgreSQL's plans of what every list really asks, on filled tables.

The tables hold some twenty thousand rows of twenty tenants, and the planner is free to choose: where it would read a
whole table for one tenant's page, an index is missing.
"""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import psycopg
import pytest
from flask.testing import FlaskClient
from sqlalchemy import event

from benchmarks import made_orders
from benchmarks.stock import multiply
from benchmarks.system import System
from oms_app.api.app import ENDPOINTS
from oms_app.api.call import Endpoint
from oms_app.bootstrap import build_services, create_app
from oms_app.cli.demo import ACCOUNT_ID, BROKER_ACCOUNT_ID, CONNECTION_ID, LEDGER_ID, TENANT_ID, derived_id
from oms_app.store.schema import METADATA

pytestmark = [pytest.mark.integration, pytest.mark.untraced]

TENANTS = 20
ORDERS = 1_000
BIG = 5_000
"""A table of so many rows must not be read as a whole for a page."""
PAGING = {"limit", "offset", "cursor", "with_total"}
INSTRUMENT = derived_id("instrument ARCX:SPY")
NOW = datetime.now(UTC).isoformat()
VALUES: dict[str, str] = {
    "status": "FILLED",
    "state": "FILLED",
    "symbol": "SPY",
    "side": "BUY",
    "account_id": ACCOUNT_ID,
    "strategy_id": derived_id("strategy 7"),
    "instrument_id": INSTRUMENT,
    "order_id": derived_id("order 7"),
    "client_order_id": "made-7",
    "book": "MANUAL",
    "venue": "ARCX",
    "exchange": "ARCX",
    "asset_class": "ETF",
    "currency": "USD",
    "with_closed": "true",
    "kind": "order_filled",
    "severity": "WARNING",
    "source": "bench",
    "acknowledged": "false",
    "active": "true",
    "raised_after": NOW,
    "raised_before": NOW,
    "break_type": "CASH",
    "broker_account_id": BROKER_ACCOUNT_ID,
    "resolved": "false",
    "found_after": NOW,
    "found_before": NOW,
    "connection_id": CONNECTION_ID,
    "role": "VIEWER",
    "actor": "user:7",
    "action": "limit.changed",
    "object_type": "limit",
    "object_id": derived_id("order 7"),
    "request_id": "request 7",
    "ledger_id": LEDGER_ID,
    "format": "csv",
    "open": "true",
    "from_seq": "7",
    "to_seq": "9",
    "from": NOW,
    "to": NOW,
    "user_id": derived_id("user 7"),
    "rule": "max_position",
    "limit_id": derived_id("limit 7"),
    "level": "TENANT",
    "with_ended": "true",
}
"""A value for each filter; one that is missing here makes the test fail, so that a new filter is looked at too."""
OTHER_VALUES = {
    ("list_unbooked_reports", "status"): "OPEN",
    ("list_deliveries", "status"): "DEAD",
    ("list_verdicts", "severity"): "SHADOW",
}
_TENANT = f"CASE WHEN n % {TENANTS} = 0 THEN '{TENANT_ID}'::uuid ELSE md5('tenant' || n % {TENANTS})::uuid END"
_AT = "now() - n * interval '1 minute'"
_SEVERITY = "(ARRAY['INFO', 'WARNING', 'CRITICAL'])[1 + n % 3]"
_ENDED = "CASE WHEN n % 10 > 0 THEN now() END"
FILLED: dict[str, dict[str, str]] = {
    "alerts": {"account_id": f"'{ACCOUNT_ID}'", "severity": _SEVERITY, "acknowledged_at": _ENDED,
               "source": "'source ' || n % 50"},
    "reconciliation_breaks": {"account_id": f"'{ACCOUNT_ID}'", "severity": _SEVERITY, "resolved_at": _ENDED,
                              "break_type": "(ARRAY['CASH', 'QUANTITY'])[1 + n % 2]",
                              "broker_account_id": f"'{BROKER_ACCOUNT_ID}'"},
    "breaches": {"account_id": f"'{ACCOUNT_ID}'", "rule": "'rule ' || n % 50", "closed_at": _ENDED,
                 "category": "(ARRAY['RISK', 'SURVEILLANCE'])[1 + n % 2]", "action": "'ALERT'"},
    "kill_switches": {"account_id": f"'{ACCOUNT_ID}'", "level": "'ACCOUNT'", "trading_state": "'HALTED'",
                      "cause": "'PERSON'", "released_at": _ENDED},
    "kill_switch_events": {"account_id": f"'{ACCOUNT_ID}'", "kind": "'DRILLED'", "seq": "n"},
    "liquidations": {"account_id": f"'{ACCOUNT_ID}'", "ended_at": _ENDED},
    "reconciliation_runs": {"connection_id": "md5('c' || n % 60)::uuid", "trigger": "'PERIODIC'",
                            "status": "'COMPLETE'"},
    "webhook_deliveries": {"webhook_id": "md5('hook' || n % 40)::uuid",
                           "status": "(ARRAY['DELIVERED', 'PENDING', 'DEAD'])[1 + n % 3]"},
    "audit_entries": {"ledger_id": "md5('ledger' || n % 40)::uuid", "seq": "n", "kind": "'order_' || n % 9",
                      "actor": "'user:' || n % 90", "action": "CASE WHEN n % 5 = 0 THEN 'limit.changed' END",
                      "object_type": "CASE WHEN n % 5 = 0 THEN 'limit' END", "account_id": f"'{ACCOUNT_ID}'",
                      "object_id": "CASE WHEN n % 5 = 0 THEN md5('o' || n)::uuid::text END",
                      "order_id": "md5('order' || n)::uuid", "request_id": "'request ' || n"},
    "rule_denials": {"ledger_id": "md5('ledger' || n % 40)::uuid", "seq": "n", "position": "0", "gate": "'risk'",
                     "order_id": "md5('order' || n)::uuid", "account_id": f"'{ACCOUNT_ID}'", "rule": "'rule ' || n % 9",
                     "severity": "(ARRAY['HARD', 'SOFT', 'SHADOW'])[1 + n % 3]", "limit_id": "'limit ' || n % 90"},
    "unbooked_reports": {"report": "'{}'", "status": "(ARRAY['OPEN', 'BOOKED', 'DISMISSED'])[1 + n % 3]"},
}  # fmt: skip
"""Tables that get twenty thousand rows -> what their columns hold, where that matters."""
_BY_TYPE = {
    "Id": "gen_random_uuid()", "UtcDateTime": _AT, "String": "'x'", "Text": "'x'", "Integer": "n", "BigInteger": "n",
    "Boolean": "false", "ExactDecimal": "1", "Json": "'{}'",
}  # fmt: skip


def fill_sql(table: str, given: dict[str, str]) -> str:
    """One INSERT of twenty thousand rows, of one tenant after the other."""
    columns = [
        column
        for column in METADATA.tables[table].c
        if column.name in given or (not column.nullable and column.server_default is None)
    ]
    values = {"tenant_id": _TENANT, **given}
    chosen = [values.get(column.name, _BY_TYPE[type(column.type).__name__]) for column in columns]
    names = ", ".join(column.name for column in columns)
    return f"INSERT INTO {table} ({names}) SELECT {', '.join(chosen)} FROM generate_series(1, 20000) n"


class Watched:
    """The API on filled tables; each statement that it sends is explained first."""

    def __init__(self, client: FlaskClient, headers: dict[str, str], big: set[str]) -> None:
        self.client = client
        self.headers = headers
        self.big = big
        self.whole: list[str] = []
        """Statements that read a big table as a whole."""
        self.explained = 0

    def ask(self, path: str, query: dict[str, str]) -> int:
        """The status of the answer to one list."""
        self.whole.clear()
        self.explained = 0
        answer = self.client.get(f"{path}?{urlencode(query)}", headers=self.headers)
        assert answer.status_code < 500, answer.data
        return answer.status_code

    def look(self, driver: Any, statement: str, parameters: Any) -> None:
        """Explain a statement within its own transaction."""
        if not statement.lstrip().startswith("SELECT") or not any(name in statement for name in self.big):
            return
        self.explained += 1
        (row,) = driver.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchone()
        plan = row if isinstance(row, list) else json.loads(row)
        for scanned in _scans(plan[0]["Plan"]):
            if scanned in self.big:
                self.whole.append(f"{scanned} is read as a whole by: {statement} {parameters}")


def _scans(plan: dict[str, Any]) -> Iterator[str]:
    if plan["Node Type"] == "Seq Scan":
        yield plan["Relation Name"]
    for below in plan.get("Plans", ()):
        yield from _scans(below)


@pytest.fixture(scope="module")
def watched(new_postgres_database: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    url = new_postgres_database()
    home = Path(tmp_path_factory.mktemp("plans")) / "home"
    home.mkdir(mode=0o700)
    system = System(home, url, port=1, stream_port=2, workers=1, threads=4)
    system.prepare()
    _fill(system, url)
    services = build_services(system.settings)
    with psycopg.connect(url) as connection:
        counts = connection.execute("SELECT relname, reltuples FROM pg_class WHERE relkind = 'r'").fetchall()
    big = {name for name, rows in counts if rows >= BIG}
    assert big >= {"orders", "executions", "event_log", "alerts", "reconciliation_breaks", "webhook_deliveries"}
    made = Watched(create_app(services).test_client(), system.headers, big)

    @event.listens_for(services.store.readers, "before_cursor_execute")
    def explain(connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool) -> None:
        made.look(cursor.connection, statement, parameters)

    yield made
    services.close()
    system.store.close()


def _fill(system: System, url: str) -> None:
    made_orders.backdate(url, LEDGER_ID)
    opening = list(system.store.events(TENANT_ID, LEDGER_ID, 0))
    place = made_orders.Place(TENANT_ID, LEDGER_ID, ACCOUNT_ID, BROKER_ACCOUNT_ID, CONNECTION_ID)
    made_orders.fill(url, place, opening, ORDERS)
    multiply(url, TENANTS)
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")  # rows of tenants and hooks that nobody made
        for table, given in FILLED.items():
            connection.execute(fill_sql(table, given))
    made_orders.analyse(url)


LISTS = [one for one in ENDPOINTS if one.method == "GET" and one.query is not None and one.operation_id != "stream"]


def _cases() -> Iterator[Any]:
    for endpoint in LISTS:
        assert endpoint.query is not None
        for name in ["", *(name for name in endpoint.query.fields if name not in PAGING)]:
            yield pytest.param(endpoint, name, id=f"{endpoint.operation_id} {name or 'alone'}")


@pytest.mark.parametrize(("endpoint", "name"), list(_cases()))
def test_a_page_of_a_list_is_found_by_an_index(watched: Watched, endpoint: Endpoint, name: str) -> None:
    assert not name or name in VALUES, f"give a value for the new filter {name}"
    value = OTHER_VALUES.get((endpoint.operation_id, name), VALUES.get(name, ""))
    query = {"limit": "50", "with_total": "false", **({name: value} if name else {})}
    fields = endpoint.query.fields if endpoint.query is not None else {}
    path = endpoint.path
    for part in ("order_id", "account_id", "webhook_id", "strategy_id", "connection_id"):
        path = path.replace(f"<uuid:{part}>", derived_id(f"{part} 7"))
    watched.ask(path, {key: text for key, text in query.items() if key in fields})
    assert watched.whole == []


@pytest.mark.parametrize("path", ["/api/v1/orders", "/api/v1/executions", "/api/v1/alerts"])
def test_the_number_of_one_tenants_rows_is_counted_without_those_of_the_others(watched: Watched, path: str) -> None:
    assert watched.ask(path, {"limit": "5", "with_total": "true"}) == 200
    assert watched.explained >= 2
    assert watched.whole == []


def test_the_check_finds_a_missing_index(watched: Watched) -> None:
    """A filter on a column without an index, as the planted defect."""
    with psycopg.connect(watched.client.application.extensions["oms_services"].settings.migrate_database_url) as driver:
        watched.whole.clear()
        watched.look(driver, "SELECT * FROM orders WHERE reason_code IS NULL", ())
    assert len(watched.whole) == 1
