"""Acknowledgements a second of three connections beside one, at a broker that takes 5 ms to take an order.

The connector is that of the simulated broker with a round trip of 5 ms in front; each session has a window of 16
requests in flight. The orders wait in the ledger when the session starts; the log's own times tell the rate.
"""

from pathlib import Path
from typing import Any

from sqlalchemy import func, select

from benchmarks.generator import Generator
from benchmarks.record import PER_SECOND, record
from benchmarks.rounds import Plan, Say, measured
from benchmarks.stock import Stock
from benchmarks.system import System, add_connection, set_desired
from oms_app.cli.demo import ACCOUNT_ID, CONNECTION_ID, TENANT_ID
from oms_app.store import tables as t

LATENCY_MS = 5
BULK = 200
PER_SECOND_OF_ONE = 400
"""How many orders for each second of a round: about as many as one connection takes."""
BROKER = "distant_broker"
_MODULE = f'''"""The simulated broker, {LATENCY_MS} ms away."""

import asyncio

from oms_kernel.hookspecs import hookimpl
from oms_sim_broker.connector import SimBrokerConnector


class DistantBroker(SimBrokerConnector):
    """Each order is a round trip."""

    name = "{BROKER}"
    title = "Simulated broker behind a round trip"

    async def submit(self, intent):
        await asyncio.sleep({LATENCY_MS / 1000})
        await super().submit(intent)


@hookimpl
def register_broker_connectors(register):
    register(DistantBroker)
'''
_METADATA = "Metadata-Version: 2.1\nName: oms-distant-broker\nVersion: 0.1.0\nRequires-Dist: oms-kernel>=0.1,<0.2\n"


def run(plan: Plan, generator: Generator, say: Say, stock: Stock) -> list[dict[str, Any]]:
    """The record `sessions_3`: value of three connections, floor of one."""
    with stock.system() as system:
        system.add_path(install(system.home / "plugins"))
        accounts: dict[str, str] = {CONNECTION_ID: ACCOUNT_ID}
        set_desired(system, CONNECTION_ID, "CONNECTED", broker=BROKER)
        for number in (2, 3):
            connection_id, account_id = add_connection(system, number, BROKER)
            accounts[connection_id] = account_id
        system.start("sim_broker", "api")
        orders = _Orders(system, plan)
        kinds = {
            "three": lambda: orders.rate(list(accounts)),
            "one": lambda: orders.rate([CONNECTION_ID]),
        }
        orders.accounts = accounts
        figures = measured(kinds, plan, say, PER_SECOND)
    more = {"latency_ms": LATENCY_MS, "orders": orders.count}
    return [record("sessions_3", PER_SECOND, figures["three"], figures["one"], seed=plan.seed, **more)]


def install(folder: Path) -> Path:
    """A folder for the import path, with the connector's distribution in it."""
    metadata = folder / "oms_distant_broker-0.1.0.dist-info"
    metadata.mkdir(parents=True)
    (metadata / "METADATA").write_text(_METADATA)
    (metadata / "entry_points.txt").write_text("[oms.plugins]\ndistant_broker = oms_distant_broker\n")
    (folder / "oms_distant_broker.py").write_text(_MODULE)
    return folder


class _Orders:
    """Orders of several accounts that wait until their sessions start."""

    def __init__(self, system: System, plan: Plan) -> None:
        self._system = system
        self.count = max(BULK, int(plan.seconds * PER_SECOND_OF_ONE) // BULK * BULK)
        self.accounts: dict[str, str] = {}
        self._following = 1

    def rate(self, connections: list[str]) -> float:
        """Acknowledgements per second, from the first intent to the last acknowledgement."""
        system = self._system
        for connection_id in self.accounts:
            set_desired(system, connection_id, "CONNECTED" if connection_id in connections else "DISCONNECTED")
        head = system.head()
        each = self.count // BULK
        for number in range(each):
            account_id = self.accounts[connections[number % len(connections)]]
            system.place_many([self._order(account_id) for _ in range(BULK)])
        system.launch("session")
        system.wait(lambda: self._acknowledged(head) == self.count, pause_s=0.05)
        first, last = self._times(head)
        system.end("session")
        return self.count / (last - first)

    def _order(self, account_id: str) -> dict[str, Any]:
        self._following += 1
        return {
            "account_id": account_id, "order_type": "LIMIT", "limit_price": "400",
            "quantity": str(self._following), "queue_until": self._system.tomorrow,
        }  # fmt: skip

    def _acknowledged(self, head: int) -> int:
        query = select(func.count()).where(*_of_kind("order_acknowledged", head))
        with self._system.store.read_unit(TENANT_ID) as unit:
            counted: int = unit.connection.scalar(query) or 0
        return counted

    def _times(self, head: int) -> tuple[float, float]:
        """Seconds of the first intent and of the last acknowledgement."""
        with self._system.store.read_unit(TENANT_ID) as unit:
            at = t.EVENT_LOG.c.recorded_at
            first, last = (
                unit.connection.execute(select(which(at)).where(*_of_kind(kind, head))).scalar_one()
                for which, kind in ((func.min, "intent_recorded"), (func.max, "order_acknowledged"))
            )
        return first.timestamp(), last.timestamp()


def _of_kind(kind: str, head: int) -> tuple[Any, ...]:
    return (t.EVENT_LOG.c.tenant_id == TENANT_ID, t.EVENT_LOG.c.seq > head, t.EVENT_LOG.c.kind == kind)
