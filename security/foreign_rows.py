"""Calls of the store from which every filter by tenant was taken away: row-level security alone must hold.

The filter is cut out of each statement just before it goes to PostgreSQL. What is asked: every read of the API in the
name of one tenant, with its own ids and the other's, statements over whole tables, and the log under a ledger's lock.
"""

import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.errors import InsufficientPrivilege
from sqlalchemy import Engine, delete, event, func, select, update
from sqlalchemy.exc import ProgrammingError

from oms_app.store import postgres_ledger_unit
from oms_app.store.scoping import tenant_tables_in
from oms_app.store.tables import APPEND_ONLY, METADATA, PERISHABLE, TableClass, tables_of
from oms_kernel.domain.ids import LedgerId
from security.databases import postgres_database
from security.operations import operations
from security.requests import request_of
from security.result import Result
from security.sides import Sides, two_sides

SHORT = 1000
LONG = 20_000
PLANTS = ("open_table", "wide_policy")
TENANT_TABLES = tables_of(TableClass.TENANT)
_OF_PLATFORM = frozenset(table.name for table in tables_of(TableClass.PLATFORM) if "tenant_id" in table.c)
_FILTER = re.compile(r"(?:(\w+)\.)?tenant_id = (%\(\w+\)s(?:::UUID)?)", re.IGNORECASE)
_JOINED = re.compile(r"(?:(\w+)\.)?tenant_id = (?:\w+\.)tenant_id", re.IGNORECASE)
_WORD = re.compile(r"\b[a-z_]+\b")
_STATEMENTS = {
    "open_table": ("ALTER TABLE orders DISABLE ROW LEVEL SECURITY",),
    "wide_policy": ("CREATE POLICY wide ON executions USING (true)",),
}


def run(n: int, seed: int, plant: str) -> Result:
    """Make n calls."""
    with postgres_database() as url, tempfile.TemporaryDirectory(prefix="oms-security-") as folder:
        with two_sides(url, Path(folder)) as sides:
            return called(sides, url, n, seed, plant)


def called(sides: Sides, url: str, n: int, seed: int, plant: str) -> Result:
    """The check on two sides that stand on PostgreSQL."""
    began = time.monotonic()
    calls = Calls(sides, random.Random(seed))
    with _planted(url, plant), without_filters(sides.services.store.writer) as cut:
        for _ in range(n):
            calls.make_one()
    failures = list(dict.fromkeys(calls.failures))
    if not cut or min(calls.made.values()) == 0 or not calls.rows:
        failures.append(
            f"too little was tried: {calls.made}, {len(cut)} statements without a filter, {calls.rows} rows"
        )
    return Result(
        name="foreign_rows", n=n, seed=seed, seconds=time.monotonic() - began, plant=plant, failures=failures,
        figures={"rows": calls.rows, "foreign_rows": calls.foreign, "without_filter": sum(cut.values()), **calls.made},
    )  # fmt: skip


@contextmanager
def without_filters(engine: Engine) -> Iterator[dict[str, int]]:
    """Cut the tenant's filter out of every statement of the engine; statement -> how often it went without one."""
    cut: dict[str, int] = {}

    def take_away(
        connection: Any, cursor: Any, statement: str, parameters: Any, context: Any, many: bool
    ) -> tuple[str, Any]:
        bare = unfiltered(statement)
        if bare != statement:
            cut[bare] = cut.get(bare, 0) + 1
        return bare, parameters

    event.listen(engine, "before_cursor_execute", take_away, retval=True)
    tail = postgres_ledger_unit._TAIL
    postgres_ledger_unit._TAIL = tail.replace("tenant_id = $1::uuid", "$1::uuid IS NOT NULL")
    try:
        yield cut
    finally:
        event.remove(engine, "before_cursor_execute", take_away)
        postgres_ledger_unit._TAIL = tail


def unfiltered(statement: str) -> str:
    """The statement without its comparisons of tenants' tables with a tenant; the platform's tables keep theirs.

    No policy stands before the platform's rows: there the filter is the fence.
    """
    if not tenant_tables_in(statement) or statement.startswith("INSERT"):
        return statement
    among_platform = bool(_OF_PLATFORM.intersection(_WORD.findall(statement)))

    def keep(named: str | None) -> bool:
        return among_platform if named is None or named not in METADATA.tables else named in _OF_PLATFORM

    bare = _JOINED.sub(lambda found: found[0] if keep(found[1]) else "true", statement)
    return _FILTER.sub(lambda found: found[0] if keep(found[1]) else f"({found[2]} IS NOT NULL)", bare)


class Calls:
    """Calls in the name of one tenant, and whether they showed the other's rows."""

    def __init__(self, sides: Sides, chance: random.Random) -> None:
        self.failures: list[str] = []
        self.rows = self.foreign = 0
        self._mine, self._theirs = sides.mine, sides.theirs
        self._store = sides.services.store
        self._chance = chance
        self._secrets = {*sides.theirs.all_ids(), sides.theirs.mark}
        self._reads = [
            one for one in operations(sides.app)
            if one.method == "GET" and not one.is_page and not one.path.endswith("/stream")
        ]  # fmt: skip
        self._kinds: dict[str, Callable[[], None]] = {
            "read": self._read, "list": self._list, "count": self._count, "change": self._change,
            "remove": self._remove, "log": self._log,
        }  # fmt: skip
        self.made = dict.fromkeys(self._kinds, 0)

    def make_one(self) -> None:
        """One call of a drawn kind; most go the whole way through the API."""
        kind = self._chance.choices(list(self._kinds), weights=[6, 2, 1, 1, 1, 1])[0]
        self.made[kind] += 1
        self._kinds[kind]()

    def _read(self) -> None:
        operation = self._chance.choice(self._reads)
        slots = [slot for slot in operation.slots() if slot.name in self._theirs.owned]
        if slots and self._chance.random() < 0.7:
            slot = self._chance.choice(slots)
            value = self._chance.choice(self._theirs.owned[slot.name])
            request = request_of(operation, self._mine, self._chance, slot, value)
        else:
            request, value = request_of(operation, self._mine, self._chance), ""
        answer = request.sent_by(self._mine)
        if answer.status >= 500:
            self.failures.append(f"{operation}: {answer.status} {answer.text[:200]}")
        self.rows += answer.text.count('_id"')
        self._look(answer.text, value, str(operation))

    def _list(self) -> None:
        table = self._chance.choice(TENANT_TABLES)
        with self._store.read_unit(self._mine.desk.tenant_id) as unit:
            for row in unit.connection.execute(select(table).limit(500)):
                self.rows += 1
                if str(row.tenant_id) != self._mine.desk.tenant_id:
                    self._foreign(f"SELECT of {table.name} shows a row of {row.tenant_id}")

    def _count(self) -> None:
        table = self._chance.choice(TENANT_TABLES)
        theirs = select(func.count()).select_from(table).where(table.c.tenant_id != self._mine.desk.tenant_id)
        with self._store.read_unit(self._mine.desk.tenant_id) as unit:
            if found := unit.connection.scalar(theirs):
                self._foreign(f"{found} rows of others are counted in {table.name}")

    def _change(self) -> None:
        """Change every row that is not ours: there must be none. Nothing of it stays."""
        table = self._chance.choice([table for table in TENANT_TABLES if table.name not in APPEND_ONLY])
        column = next(column for column in table.columns if not column.primary_key)
        statement = update(table).where(table.c.tenant_id != self._mine.desk.tenant_id).values({column.name: column})
        self._write(statement, f"UPDATE of {table.name}")

    def _remove(self) -> None:
        perishable = [table for table in TENANT_TABLES if table.name in PERISHABLE]
        table = self._chance.choice(perishable)
        self._write(delete(table).where(table.c.tenant_id != self._mine.desk.tenant_id), f"DELETE from {table.name}")

    def _write(self, statement: Any, what: str) -> None:
        with self._store.writer.connect() as connection:
            connection.exec_driver_sql(f"SELECT set_config('app.tenant_id', '{self._mine.desk.tenant_id}', true)")
            try:
                reached = connection.execute(statement).rowcount
            except ProgrammingError as error:
                if not isinstance(error.orig, InsufficientPrivilege):
                    raise
                reached = 0  # the serving role may not do that to anybody's rows
            connection.rollback()
        if reached:
            self._foreign(f"{what} reaches {reached} rows of others")

    def _log(self) -> None:
        """The tail of the other's ledger, asked for under the lock of ours."""
        theirs = LedgerId(self._theirs.ids["ledger_id"])
        with self._store.ledger_unit(self._mine.desk.tenant_id, LedgerId(self._mine.ids["ledger_id"])) as unit:
            self.rows += len(unit.tail(0))
            unit.ledger_id = theirs
            found = unit._tail(0)
            unit.ledger_id = LedgerId(self._mine.ids["ledger_id"])
        if found:
            self._foreign(f"{len(found)} events of another tenant's ledger")

    def _look(self, text: str, sent: str, where: str) -> None:
        leaked = sorted(secret for secret in self._secrets if secret in text and secret != sent)
        if leaked:
            self._foreign(f"{where}: tells {', '.join(leaked[:3])}")

    def _foreign(self, text: str) -> None:
        self.foreign += 1
        self.failures.append(text)


@contextmanager
def _planted(url: str, plant: str) -> Iterator[None]:
    """Take the fence of a table away, as somebody might who owns it."""
    if not plant:
        yield
        return
    undo = {
        "open_table": "ALTER TABLE orders ENABLE ROW LEVEL SECURITY",
        "wide_policy": "DROP POLICY wide ON executions",
    }
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in _STATEMENTS[plant]:
            connection.execute(statement)
        try:
            yield
        finally:
            connection.execute(undo[plant])
