"""Eight clients and a nemesis in, a written history out, held to the log and to the books of both sides.

The processes of two API servers and two sessions work on one PostgreSQL; the wire to the simulated broker goes through
proxies. Each of two tenants has four clients and a limit on its positions that matters.
"""

import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from decimal import Decimal
from random import Random
from typing import Any

from sqlalchemy import select

from campaigns import history_checks as checks
from campaigns.books import read_broker_ledger
from campaigns.checks import Kind, Violation, check_executions, check_positions, check_sent_once, check_settled
from campaigns.cluster import Cluster, cluster
from campaigns.history_client import HistoryClient, Journal, Numbers
from campaigns.history_log import read_log
from campaigns.nemesis import Nemesis
from campaigns.result import Result
from campaigns.sides import books_of
from campaigns.tenants import CASH, Trading, add_tenant, broker_accounts, seed_catalogue, set_limits
from campaigns.timing import scaled
from campaigns.wire_proxy import Proxies
from oms_app.bootstrap import Services
from oms_app.cli.demo import sim_broker_config, starting_prices
from oms_app.flow.errors import FlowError
from oms_app.store import tables as t
from oms_app.store.unit_of_work import StoreUnavailable
from oms_kernel.domain.errors import KernelError
from oms_sim_broker.link import Endpoint, write_endpoint

SHORT = 2_000
LONG = 100_000
PLANTS = ("resend", "double_fill", "lost_fill", "dirty_position")
ROLES = {"api-1": "api", "api-2": "api", "session-1": "session", "session-2": "session"}
APIS = ("api-1", "api-2")
TENANTS = ("red", "blue")
CLIENTS = 4
"""Of each tenant."""
LIMIT = Decimal(600)
"""The largest position in one instrument: orders of up to 40 come to it often."""
ACK_TIMEOUT_S = 1.5
SHORT_RUN_S = 25.0
"""A short run is slowed down to this time, so that enough befalls it."""
READY_S = 60.0
SETTLE_S = 60.0
PLANTED_SETTLE_S = 5.0
"""What a planted defect left behind may never come to rest."""
ACTIVE = ("NEW", "HELD", "ROUTED", "WORKING", "PARTIALLY_FILLED", "PENDING_REPLACE", "PENDING_CANCEL", "IN_DOUBT")
BUSY = (FlowError, KernelError, StoreUnavailable)


def run(n: int, seed: int, plant: str) -> Result:
    """Play n operations."""
    began = time.monotonic()
    settings = {
        "OMS_ACK_TIMEOUT_FACTOR": str(scaled(ACK_TIMEOUT_S) / 10),
        "OMS_MAXIMUM_PAUSE_S": str(scaled(0.5)),
        "OMS_LEASE_S": str(scaled(2)),
        "OMS_SEND_WINDOW_S": str(scaled(5)),
    }
    with cluster(plant=plant, **settings) as made, made.services() as services:
        campaign = Campaign(made, services)
        try:
            found = campaign.play(n, seed)
        finally:
            campaign.close()
        kinds = Counter(one.kind for one in found)
        return Result(
            name="history", n=n, seed=seed, seconds=time.monotonic() - began,
            lost=kinds[Kind.LOST], doubled=kinds[Kind.DOUBLED], violations=len(found),
            texts=[f"{one.kind}: {one.text}" for one in found], figures=campaign.figures, plant=plant,
        )  # fmt: skip


class Campaign:
    """One system, its clients and its nemesis."""

    def __init__(self, made: Cluster, services: Services) -> None:
        self.figures: dict[str, Any] = {}
        self._cluster = made
        self._services = services
        self._proxies = Proxies()
        self._journal = Journal(made.folder / "history.jsonl")
        seed_catalogue(services)
        feed = {"kind": "synthetic", "interval_ms": 2000, "prices": starting_prices(), "size_lots": 1_000_000_000}
        made.start_broker({**sim_broker_config(feed), "accounts": broker_accounts(TENANTS)})
        token = made.broker_endpoint().token
        self._wires = [self._proxies.open(made.broker_endpoint) for _ in TENANTS]
        self._tenants = [self._tenant(name, token, wire.port) for name, wire in zip(TENANTS, self._wires, strict=True)]
        for name, role in ROLES.items():
            made.start(name, role)
        for name in APIS:
            made.await_api(name)
        made.wait(lambda: all(map(self._is_ready, self._tenants)), "both tenants' sessions are ready", seconds=READY_S)

    def play(self, n: int, seed: int) -> list[Violation]:
        """Every operation under the nemesis; then rest, and the checks."""
        numbers = Numbers(n)
        clients = self._clients(numbers, n, seed)
        nemesis = Nemesis(self._cluster, ROLES, self._wires, self._journal, seed, self._is_well)
        began = time.monotonic()
        for client in clients:
            client.start()
        while any(client.is_alive for client in clients):
            nemesis.strike()
            print(f"{numbers.taken}/{n} operations", file=sys.stderr, flush=True)
        took = time.monotonic() - began
        for client in clients:
            if client.error is not None:
                raise client.error
        nemesis.heal()
        self._services.store.close()  # connections that a lost database left
        found = self._come_to_rest()
        outcomes = Counter(str(op.outcome) for op in self._journal.ops)
        kinds = Counter(op.kind for op in self._journal.ops)
        self.figures = {
            "ops_per_s": round(n / took, 1), "outcomes": dict(outcomes), "kinds": dict(kinds),
            "nemesis": dict(nemesis.done),
        }  # fmt: skip
        return found + list(self._check())

    def close(self) -> None:
        """End what runs in this process."""
        self._journal.close()
        self._proxies.close()

    def _tenant(self, name: str, token: str, port: int) -> Trading:
        folder = self._cluster.home / name
        folder.mkdir()
        params = {
            "endpoint_file": str(write_endpoint(folder, Endpoint("127.0.0.1", port, token, 0))),
            "timeout_ms": int(scaled(1) * 1000),
            "ping_interval_ms": int(scaled(0.4) * 1000),
        }
        tenant = add_tenant(self._services, name, params=params, wanted=True)
        set_limits(self._services, tenant.tenant_id, {"max_position": {"max_quantity": str(LIMIT)}})
        return tenant

    def _clients(self, numbers: Numbers, n: int, seed: int) -> list[HistoryClient]:
        ports = [self._cluster.members[name].port for name in APIS]
        pause_s = scaled(SHORT_RUN_S) * len(TENANTS) * CLIENTS / SHORT if n <= SHORT else 0.0
        clients: list[HistoryClient] = []

        def foreign(source: Random, tenant: Trading) -> str | None:
            """An order of another tenant."""
            others = [client for client in clients if client.tenant is not tenant and client.mine]
            return source.choice(source.choice(others).mine[-5:]) if others else None

        clients += [
            HistoryClient(
                f"{tenant.name}-{number}", tenant, ports, self._journal, numbers,
                seed=seed, pause_s=pause_s, foreign=foreign,
            )
            for tenant in self._tenants
            for number in range(CLIENTS)
        ]  # fmt: skip
        return clients

    def _come_to_rest(self) -> list[Violation]:
        """Cancel what is open until nothing is."""
        limit_s = scaled(PLANTED_SETTLE_S if self._cluster.plant else SETTLE_S)
        deadline = time.monotonic() + limit_s
        while time.monotonic() < deadline:
            try:
                if not any(self._open(tenant) for tenant in self._tenants):
                    return []
                for tenant in self._tenants:
                    self._services.amendment.cancel_all(tenant.administrator)
            except BUSY:
                pass  # asked again
            time.sleep(0.3)
        left = [text for tenant in self._tenants for text in self._open(tenant)]
        return [Violation(Kind.UNSETTLED, f"after {limit_s:g} s: {text}") for text in left]

    def _check(self) -> Iterator[Violation]:
        ops = self._journal.ops
        ledger = read_broker_ledger(self._cluster.home)
        accounts = {tenant.name: tenant.account_id for tenant in self._tenants}
        yield from checks.check_tenants(ops, accounts)
        yield from checks.check_versions(ops)
        yield from checks.check_seen_orders(ops)
        for tenant in self._tenants:
            mine = [op for op in ops if op.tenant == tenant.name]
            books = books_of(self._services.store, tenant, ledger)
            steps, booked = read_log(self._services.store, tenant)
            yield from checks.check_answers(mine, books.orders)
            yield from check_sent_once(books.orders, books.broker_orders)
            yield from check_executions(books.executions, books.broker_executions)
            yield from check_positions(books.positions, books.broker_executions)
            yield from check_settled(books.orders)
            yield from checks.check_moves(steps)
            yield from checks.check_limit(steps, [one for one in booked if one.quantity], LIMIT)
            yield from checks.check_positions_read(mine, [one for one in booked if one.quantity])
            yield from checks.check_cash(CASH, self._cash(tenant), booked)
        said = self._cluster.verify()
        if said:
            yield Violation(Kind.VERIFY, said)

    def _is_well(self) -> bool:
        """Whether both APIs answer and both tenants' sessions are ready."""
        try:
            return all(map(self._cluster.answers, APIS)) and all(map(self._is_ready, self._tenants))
        except StoreUnavailable:
            return False

    def _is_ready(self, tenant: Trading) -> bool:
        with self._services.store.read_unit(tenant.tenant_id) as unit:
            table = t.BROKER_CONNECTIONS
            query = select(table.c.status).where(table.c.tenant_id == tenant.tenant_id)
            return unit.connection.execute(query).scalar() == "READY"

    def _open(self, tenant: Trading) -> Sequence[str]:
        with self._services.store.read_unit(tenant.tenant_id) as unit:
            table = t.ORDERS
            query = select(table.c.order_id, table.c.state).where(
                table.c.tenant_id == tenant.tenant_id, table.c.state.in_(ACTIVE)
            )
            return [f"order {row.order_id} is {row.state}" for row in unit.connection.execute(query)]

    def _cash(self, tenant: Trading) -> Decimal:
        with self._services.store.read_unit(tenant.tenant_id) as unit:
            table = t.CASH_BALANCES
            rows = unit.connection.execute(select(table).where(table.c.tenant_id == tenant.tenant_id)).all()
            return sum((row.amount for row in rows), Decimal(0))
