"""Two tenants, eight threads, four connections, and requests that end in the middle: no row may change hands.

A part of the requests is broken off inside its transaction, some lose their connection. Every good answer is looked
through for the other tenant's ids; at the end no connection may be left in a transaction or keep anything of one.
"""

import gc
import logging
import random
import tempfile
import threading
import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy import Connection, event, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from oms_app.store.sql_store import SqlStore
from security.databases import postgres_database
from security.requests import Request
from security.result import Result
from security.sides import Side, Sides, two_sides

SHORT = 2_000
LONG = 20_000
PLANTS = ("global_tenant", "kept_transaction")
THREADS = 8
CONNECTIONS = 4
BROKEN_OFF = 0.03
"""The share of statements in which the request ends."""
LOST_EVERY = 400
"""After so many requests a connection is cut by the server."""
SETTLED_S = 3.0
"""Less than the server lets a transaction stand idle: it would end by itself what is looked for."""


class BrokenOff(Exception):
    """The request ends here: its thread was interrupted, its client has gone."""


def run(n: int, seed: int, plant: str) -> Result:
    """Send n requests."""
    with postgres_database() as url, tempfile.TemporaryDirectory(prefix="oms-security-") as folder:
        # A process keeps four connections more than it has threads.
        with two_sides(url, Path(folder), api_threads=CONNECTIONS - 4) as sides:
            return sent(sides, url, n, seed, plant)


def sent(sides: Sides, url: str, n: int, seed: int, plant: str) -> Result:
    """The check on two sides that stand on PostgreSQL."""
    began = time.monotonic()
    traffic = Traffic(sides, url, n, seed)
    with quiet(), planted(sides.services.store, plant), psycopg.connect(url, autocommit=True) as watcher:
        traffic.run(watcher)
        failures = [*dict.fromkeys(traffic.failures), *left_behind(sides.services.store, watcher)]
    good = sum(count for status, count in traffic.statuses.items() if status < 400)
    if good < n // 2 or not traffic.broken_off:
        failures.append(f"too little was tried: {good} of {n} were answered, {traffic.broken_off} broken off")
    return Result(
        name="shared_pool", n=n, seed=seed, seconds=time.monotonic() - began, plant=plant, failures=failures,
        figures={
            "threads": THREADS, "connections": CONNECTIONS, "foreign_rows": traffic.foreign, "good": good,
            "broken_off": traffic.broken_off, "lost": traffic.lost,
            "statuses": {str(status): count for status, count in sorted(traffic.statuses.items())},
        },
    )  # fmt: skip


class Traffic:
    """What the threads send, and what they saw."""

    def __init__(self, sides: Sides, url: str, n: int, seed: int) -> None:
        self.failures: list[str] = []
        self.foreign = self.broken_off = self.lost = 0
        self.statuses: Counter[int] = Counter()
        self._sides = (sides.mine, sides.theirs)
        self._store = sides.services.store
        self._n = n
        self._seed = seed
        self._lock = threading.Lock()
        self._sent = 0
        self._local = threading.local()

    def run(self, watcher: "psycopg.Connection[Any]") -> None:
        """All threads, until all requests are answered."""
        event.listen(self._store.writer, "after_cursor_execute", self._maybe_break_off)
        workers = [threading.Thread(target=self._work, args=(number,), daemon=True) for number in range(THREADS)]
        try:
            for worker in workers:
                worker.start()
            while any(worker.is_alive() for worker in workers):
                self._cut(watcher)
                time.sleep(0.02)
        finally:
            event.remove(self._store.writer, "after_cursor_execute", self._maybe_break_off)

    def _work(self, number: int) -> None:
        chance = self._local.chance = random.Random(f"{self._seed} {number}")
        while True:
            with self._lock:
                if self._sent >= self._n:
                    return
                self._sent += 1
            place = chance.randrange(2)
            self._one(self._sides[place], self._sides[1 - place], chance)

    def _one(self, side: Side, other: Side, chance: random.Random) -> None:
        foreign = chance.choice(other.owned["order_id"])
        wanted = [
            Request("GET", "/api/v1/orders", {"limit": "20"}),
            Request("GET", "/api/v1/executions"),
            Request("GET", "/api/v1/alerts"),
            Request("GET", f"/api/v1/orders/{chance.choice(side.owned['order_id'])}"),
            Request("GET", f"/api/v1/orders/{foreign}"),
            Request("POST", "/api/v1/orders", body=side.desk.order(quantity=str(chance.randint(1, 9)))),
        ]
        request = chance.choices(wanted, weights=[4, 3, 3, 3, 2, 2])[0]
        answer = request.sent_by(side)
        secrets = [one for one in (*other.all_ids(), other.mark) if one in answer.text and one not in request.text]
        with self._lock:
            self.statuses[answer.status] += 1
            if secrets:
                self.foreign += 1
                self.failures.append(f"{request.method} {request.path}: {answer.status} tells {secrets[:3]}")

    def _maybe_break_off(self, *_: Any) -> None:
        chance = getattr(self._local, "chance", None)
        if chance is not None and chance.random() < BROKEN_OFF:
            with self._lock:
                self.broken_off += 1
            raise BrokenOff

    def _cut(self, watcher: "psycopg.Connection[Any]") -> None:
        if self._sent // LOST_EVERY <= self.lost:
            return
        self.lost += 1
        watcher.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database()"
            " AND application_name = 'oms' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1"
        )


def left_behind(store: SqlStore, watcher: "psycopg.Connection[Any]") -> list[str]:
    """What is wrong with the connections once all is quiet: open transactions, and what a session keeps."""
    idle = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND application_name = 'oms'"
        " AND state LIKE 'idle in transaction%%'"
    )
    deadline = time.monotonic() + SETTLED_S
    found: list[str] = []
    while left := _count(watcher, idle):
        if time.monotonic() > deadline:
            found.append(f"{left} connections are left idle in a transaction")
            break
        time.sleep(0.05)
    held: list[Connection] = []
    try:
        while not found and len(held) < CONNECTIONS:
            held.append(store.writer.connect())
    except PoolTimeout:
        found.append(f"{CONNECTIONS - len(held)} connections did not come back to the pool")
    for connection in held:
        with suppress(OperationalError):  # the last one that was cut: it keeps nothing
            tenant, role, listening, locks, temporary = connection.execute(text(_KEPT)).one()
            connection.rollback()
            if tenant or role != "oms_app" or listening or locks or temporary:
                found.append(f"a connection keeps {(tenant, role, listening, locks, temporary)}")
    for connection in held:
        connection.close()
    with warnings.catch_warnings():  # what was cut while a thread had it nobody closes; no test is to hear of it later
        warnings.simplefilter("ignore", ResourceWarning)
        held.clear()
        gc.collect()
    return found


_KEPT = """
SELECT coalesce(current_setting('app.tenant_id', true), ''), current_user,
       (SELECT count(*) FROM pg_listening_channels()),
       (SELECT count(*) FROM pg_locks WHERE pid = pg_backend_pid() AND locktype = 'advisory'),
       (SELECT count(*) FROM pg_class WHERE relpersistence = 't' AND pg_table_is_visible(oid))
"""


def _count(watcher: "psycopg.Connection[Any]", query: str) -> int:
    row = watcher.execute(query.replace("%%", "%")).fetchone()
    return int(row[0]) if row is not None else 0


@contextmanager
def quiet() -> Iterator[None]:
    """Without the log's word on each request that was broken off on purpose."""
    loud = [logging.getLogger(name) for name in ("oms.api", "sqlalchemy.pool", "sqlalchemy.pool.impl.QueuePool")]
    before = [one.level for one in loud]
    for one in loud:
        one.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for one, level in zip(loud, before, strict=True):
            one.setLevel(level)


@contextmanager
def planted(store: SqlStore, plant: str) -> Iterator[None]:
    """Let units take the tenant from one place for all threads; or leave a transaction open."""
    if plant == "kept_transaction":
        kept = store.writer.connect()
        kept.execute(text("SELECT 1"))
        try:
            yield
        finally:
            with suppress(Exception):
                kept.close()
        return
    if plant != "global_tenant":
        yield
        return
    honest = SqlStore.read_unit
    present: list[Any] = [None]

    @contextmanager
    def mixed(self: SqlStore, tenant_id: Any) -> Iterator[Any]:
        known = present[0] if present[0] is not None and tenant_id is not None else tenant_id
        present[0] = tenant_id if tenant_id is not None else present[0]
        with honest(self, known) as unit:
            yield unit

    SqlStore.read_unit = mixed  # type: ignore[method-assign,assignment]
    try:
        yield
    finally:
        SqlStore.read_unit = honest  # type: ignore[method-assign]
