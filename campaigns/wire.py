"""Seeded schedules of a bad wire between session and simulated broker, then the books of both sides side by side.

Guarantee checked: whatever the wire does, no order is lost or sent twice, each execution is booked once, a request has
a word or is in doubt within twice its time-out, and once the wire is well everything comes to rest by itself.
"""

import sys
import threading
import time
from collections import Counter
from datetime import datetime, timedelta

from sqlalchemy import select

from campaigns.books import read_broker_ledger
from campaigns.checks import Kind, Violation, violations
from campaigns.cluster import Cluster, cluster
from campaigns.result import Result
from campaigns.sides import books_of
from campaigns.tenants import Trading, add_tenant, broker_accounts, seed_catalogue
from campaigns.timing import scaled
from campaigns.wire_cell import Cell
from campaigns.wire_faults import Fault, FaultKind, Way
from campaigns.wire_proxy import Proxies, WireProxy
from oms_app.bootstrap import Services
from oms_app.cli.demo import sim_broker_config, starting_prices
from oms_app.store import tables as t
from oms_app.store.config_rows import connection_resource
from oms_kernel.domain.events import IntentRecorded
from oms_kernel.domain.lifecycle import RequestKind
from oms_sim_broker.link import Endpoint, write_endpoint

SHORT = 60
LONG = 2000
PLANTS = ("resend", "double_fill")
CELLS, MANY_CELLS = 12, 24
"""Connections side by side, each with a ledger and a proxy of its own; the second number from MANY schedules on."""
MANY = 500
ACK_TIMEOUT_S = 1.0
BROKER_TIMEOUT_S = 0.6
PING_S = 0.25
END_S = 10.0
"""How long a session may take to end although its broker is silent."""
REOPENING_S = 1.5
"""How long closing, opening and signing in takes at most: what was sent before is judged after that."""


def run(n: int, seed: int, plant: str) -> Result:
    """Play n schedules."""
    began = time.monotonic()
    settings = {
        "OMS_ACK_TIMEOUT_FACTOR": str(scaled(ACK_TIMEOUT_S) / 10),
        "OMS_MAXIMUM_PAUSE_S": str(scaled(0.3)),
        "OMS_LEASE_S": str(scaled(20)),
        "OMS_SEND_WINDOW_S": str(scaled(3)),
    }
    with cluster(plant=plant, **settings) as made, made.services() as services:
        campaign = Wire(made, services, min(MANY_CELLS if n >= MANY else CELLS, n))
        try:
            found = campaign.play(n, seed)
        finally:
            campaign.close()
        kinds = Counter(one.kind for one in found)
        return Result(
            name="wire", n=n, seed=seed, seconds=time.monotonic() - began,
            lost=kinds[Kind.LOST], doubled=kinds[Kind.DOUBLED], violations=len(found),
            texts=[f"{one.kind}: {one.text}" for one in found],
            figures=campaign.figures(), plant=plant,
        )  # fmt: skip


class Wire:
    """One system with its cells."""

    def __init__(self, made: Cluster, services: Services, cells: int) -> None:
        self._cluster = made
        self._services = services
        self._proxies = Proxies()
        self._longest_stop_s = 0.0
        names = [f"cell-{number}" for number in range(cells)]
        seed_catalogue(services)
        feed = {"kind": "synthetic", "interval_ms": 2000, "prices": starting_prices(), "size_lots": 1_000_000_000}
        made.start_broker({**sim_broker_config(feed), "accounts": broker_accounts(names)})
        token = made.broker_endpoint().token
        self._cells = [self._cell(name, token) for name in names]
        made.start("session", "session")

    def play(self, n: int, seed: int) -> list[Violation]:
        """Every schedule, dealt out over the cells; then rest, a stop on a silent wire, and the checks."""
        threads = [
            threading.Thread(target=cell.play, args=(range(number, n, len(self._cells)), seed), name=cell.tenant.name)
            for number, cell in enumerate(self._cells)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(5)
                done = sum(cell.played for cell in self._cells)
                print(f"{done}/{n} schedules", file=sys.stderr, flush=True)
        found = [one for cell in self._cells for one in cell.found]
        found += self._stop_on_a_silent_wire()
        ledger = read_broker_ledger(self._cluster.home)
        for cell in self._cells:
            books = books_of(self._services.store, cell.tenant, ledger)
            found += violations(cell.history.all(), books)
            found += self._stuck(cell)
        said = self._cluster.verify()
        return found + ([Violation(Kind.VERIFY, said)] if said else [])

    def close(self) -> None:
        """End the proxies."""
        self._proxies.close()

    def figures(self) -> dict[str, object]:
        """What a run came to, beside its violations."""
        struck: Counter[FaultKind] = Counter()
        for cell in self._cells:
            struck.update(cell.proxy.struck)
        slowest = max((cell.slowest_s for cell in self._cells), default=0.0)
        return {
            "orders": sum(len(cell.history.all()) for cell in self._cells),
            "in_doubt": sum(cell.doubts for cell in self._cells),
            "struck": {str(kind): struck[kind] for kind in FaultKind},
            "slowest_settled_s": round(slowest, 1),
            "stop_on_silent_wire_s": round(self._longest_stop_s, 1),
        }

    def _cell(self, name: str, token: str) -> Cell:
        proxy: WireProxy = self._proxies.open(self._cluster.broker_endpoint)
        folder = self._cluster.home / name
        folder.mkdir()
        endpoint = write_endpoint(folder, Endpoint("127.0.0.1", proxy.port, token, 0))
        params = {
            "endpoint_file": str(endpoint),
            "timeout_ms": int(scaled(BROKER_TIMEOUT_S) * 1000),
            "ping_interval_ms": int(scaled(PING_S) * 1000),
        }
        tenant = add_tenant(self._services, name, params=params, wanted=True)
        return Cell(self._services, tenant, proxy)

    def _stop_on_a_silent_wire(self) -> list[Violation]:
        """No wait on the broker keeps a session from ending; and none ended or lost its lease on the way."""
        found = []
        if not self._cluster.is_alive("session"):
            found.append(Violation(Kind.STUCK, f"the session ended: {self._cluster.last_words('session')[-300:]}"))
        tokens = {cell.tenant.name: self._lease_token(cell.tenant) for cell in self._cells}
        found += [
            Violation(Kind.STUCK, f"{name}: the lease was lost {token - 1} times: the session's loop stood still")
            for name, token in tokens.items()
            if token != 1
        ]
        for cell in self._cells:
            cell.proxy.apply(Fault(0, FaultKind.SILENT, Way.TO_BROKER))
        time.sleep(0.2)
        took = self._cluster.end("session", scaled(END_S))
        if took is None:
            found.append(Violation(Kind.STUCK, f"the session did not end within {scaled(END_S):g} s"))
        self._longest_stop_s = took or 0.0
        return found

    def _lease_token(self, tenant: Trading) -> int:
        with self._services.store.read_unit(None) as unit:
            leases = t.LEASES
            mine = leases.c.resource == connection_resource(tenant.connection_id)
            return int(unit.connection.execute(select(leases.c.token).where(mine)).scalar_one())

    def _stuck(self, cell: Cell) -> list[Violation]:
        """Requests that had neither a word nor a doubt within twice their time-out, once the wire was well."""
        limit = timedelta(seconds=2 * scaled(ACK_TIMEOUT_S + REOPENING_S))
        found = []
        waiting: dict[str, tuple[datetime, RequestKind]] = {}
        tenant = cell.tenant
        for recorded in self._services.store.events(tenant.tenant_id, tenant.ledger_id, 0, 10_000_000):
            order_id = recorded.order_id
            if order_id is None:
                continue
            asked = waiting.pop(order_id, None)
            if asked is not None and recorded.recorded_at - cell.well_after(asked[0]) > limit:
                took = recorded.recorded_at - asked[0]
                found.append(
                    Violation(Kind.STUCK, f"order {order_id}: the {asked[1]} had no word for {took.total_seconds()} s")
                )
            event = recorded.event
            if isinstance(event, IntentRecorded) and event.request_kind is not RequestKind.CANCEL:
                waiting[order_id] = (recorded.recorded_at, event.request_kind)
        return found
