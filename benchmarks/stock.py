"""One PostgreSQL server for a whole run, and databases on it: empty, or with a ledger of many ended orders."""

import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psycopg

from benchmarks import made_orders
from benchmarks.sites import THREADS, WORKERS
from benchmarks.system import System
from oms_app.cli.demo import TENANT_ID
from oms_app.store.schema import METADATA
from oms_kernel.domain.ids import LedgerId, TenantId
from tests.services.postgres import PostgresServer, create_database, drop_database
from tests.services.server_process import free_port, remove_folder

HUNDRED_THOUSAND = 100_000


class Stock:
    """Where the rows of the table get their systems from; a filled database is made once and copied.

    The server is that of OMS_TEST_POSTGRES_URL, else one of our own with fsync on.
    """

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._stack = ExitStack()
        self._server_url = ""
        self._templates: dict[tuple[int, int], str] = {}

    def __enter__(self) -> "Stock":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    @contextmanager
    def system(
        self, *, orders: int = 0, tenants: int = 1, workers: int = WORKERS["pg"], more: dict[str, str] | None = None
    ) -> Iterator[System]:
        """A prepared system that nobody started; orders: ended ones in its ledger, and in those of further tenants."""
        template = self._template(orders, tenants) if orders else None
        url = create_database(self._server(), "bench", template)
        folder = Path(tempfile.mkdtemp(prefix="oms-bench-"))
        try:
            system = _system(folder, url, workers, more)
            try:
                system.prepare()
                if orders:
                    made_orders.analyse(url)
                yield system
            finally:
                system.stop()
        finally:
            drop_database(self._server(), url)
            remove_folder(folder)

    def _server(self) -> str:
        """The superuser's URL of the server, started at the first use."""
        if not self._server_url:
            self._server_url = os.environ.get("OMS_TEST_POSTGRES_URL", "") or self._own_server()
        return self._server_url

    def _own_server(self) -> str:
        folder = Path(tempfile.mkdtemp(prefix="oms-stock-"))
        self._stack.callback(remove_folder, folder)
        folder.chmod(0o755)
        server = PostgresServer(folder)
        self._stack.callback(server.stop)
        server.start()
        return server.url

    def _template(self, orders: int, tenants: int) -> str:
        key = (orders, tenants)
        if key not in self._templates:
            began = time.monotonic()
            source = self._template(orders, 1) if tenants > 1 else None
            url = create_database(self._server(), "stock", source)
            self._stack.callback(drop_database, self._server(), url)
            if source is None:
                _fill(url, orders)
            else:
                multiply(url, tenants)
            self._templates[key] = url
            took = time.monotonic() - began
            self._say(f"  made {orders * tenants} ended orders of {tenants} tenants in {took:.0f} s")
        return self._templates[key]


def _system(folder: Path, url: str, workers: int, more: dict[str, str] | None) -> System:
    home = folder / "home"
    home.mkdir(mode=0o700)
    return System(home, url, port=free_port(), stream_port=free_port(), workers=workers, threads=THREADS, more=more)


def _fill(url: str, orders: int) -> None:
    """A demo tenant that lived through so many orders."""
    folder = Path(tempfile.mkdtemp(prefix="oms-fill-"))
    try:
        system = _system(folder, url, 1, None)
        system.prepare()
        facts = system.facts
        made_orders.backdate(url, facts.ledger_id)
        opening = list(system.store.events(TenantId(facts.tenant_id), LedgerId(facts.ledger_id), 0))
        place = made_orders.Place(
            facts.tenant_id, facts.ledger_id, facts.account_id, facts.broker_account_id, facts.connection_id
        )
        made_orders.fill(url, place, opening, orders)
        system.stop()
    finally:
        shutil.rmtree(folder)


def multiply(url: str, tenants: int) -> None:
    """Further tenants with the same rows: each unique key begins with the tenant, so nothing else differs."""
    with psycopg.connect(url) as connection:
        for number in range(2, tenants + 1):
            connection.execute("SELECT set_config('bench.number', %s, true)", (str(number),))
            for table in METADATA.sorted_tables:
                if table.name not in _MULTIPLIED:
                    continue
                names = [column.name for column in table.c]
                values = [_OTHER.get(name, f'"{name}"') for name in names]
                quoted = ", ".join(f'"{name}"' for name in names)
                copy = f'INSERT INTO "{table.name}" ({quoted}) SELECT {", ".join(values)} FROM "{table.name}"'
                connection.execute(f"{copy} WHERE tenant_id = %s", (TENANT_ID,))
            connection.commit()


_OTHER = {
    name: f"md5('{name}' || {name}::text || current_setting('bench.number'))::uuid"
    for name in ("tenant_id", "ledger_id")
}
_MULTIPLIED = frozenset(
    {
        *("tenants", "ledgers", "trading_accounts", "event_log", "orders", "executions"),
        *("client_order_ids", "execution_ids", "positions", "cash_balances", "day_counters"),
    }
)
"""What a tenant's past consists of; the copies have no users and no connections."""
