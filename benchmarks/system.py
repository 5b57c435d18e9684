"""A database URL in, the running system on it out: migrated, seeded, its limits so wide that nothing is denied."""

import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import func, select, update

from benchmarks.kernel_place import LIMITS
from oms_app.bootstrap import Services, build_services
from oms_app.cli.demo import (
    CASH,
    LEDGER_ID,
    TENANT_ID,
    DemoFacts,
    demo_instruments,
    derived_id,
    seed,
    sim_broker_config,
    starting_prices,
)
from oms_app.config import Settings, load_settings
from oms_app.store import migrate
from oms_app.store import tables as t
from oms_app.store.config_rows import connection_resource
from oms_app.store.limits import put_limit
from oms_app.store.rows import put
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import config_changed
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.calendar import ALWAYS_OPEN
from oms_kernel.domain.ids import AccountId, ConnectionId

READY_S = 180
STOP_S = 60
"""A session that is killed keeps its lease until that ends: the next start would wait for it."""
OPEN_STATES = ("NEW", "ROUTED", "PENDING_REPLACE", "PENDING_CANCEL", "IN_DOUBT")
"""States in which the system still owes something; a resting order is settled."""


class System:
    """The processes of one home. What is measured goes through its URL only."""

    def __init__(
        self,
        home: Path,
        database_url: str,
        *,
        port: int,
        stream_port: int,
        workers: int,
        threads: int,
        more: Mapping[str, str] | None = None,
    ) -> None:
        self.home = home
        self.url = f"http://127.0.0.1:{port}"
        self.stream_url = f"http://127.0.0.1:{stream_port}/api/v1/stream"
        self._env = {
            **{name: value for name, value in os.environ.items() if not name.startswith("OMS_")},
            "OMS_HOME": str(home),
            "OMS_DATABASE_URL": database_url,
            "OMS_SECRET_KEY": secrets.token_urlsafe(48),
            "OMS_PORT": str(port),
            "OMS_STREAM_PORT": str(stream_port),
            "OMS_API_WORKERS": str(workers),
            "OMS_API_THREADS": str(threads),
            "OMS_RATE_LIMIT_PER_S": "1e9",
            "OMS_RATE_LIMIT_BURST": "1000000000",
            "OMS_QUOTE_MAX_AGE_S": "86400",
            "OMS_LEASE_S": "60",
            "OMS_LOG_LEVEL": "warning",
            **(more or {}),
        }
        self.settings: Settings = load_settings(self._env)
        self.store = SqlStore(database_url, pool_size=2)
        """For looking on."""
        self.database_url = database_url
        self.facts: DemoFacts
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    def prepare(self) -> None:
        """Migrate and seed; widen the limits; write one quote of each instrument."""
        migrate.upgrade(self.settings.migrate_database_url)
        with self.services() as services:
            self.facts = seed(services, None)
            _widen(services)
            _write_quotes(services)
            _point_home(services, self.home)
        (self.home / "sim_broker.json").write_text(json.dumps(self._broker_config()))

    def start(self, *names: str) -> None:
        """Start processes by their names and wait until the API answers and the sessions, if any, are ready."""
        self.launch(*names)
        with_session = any(name.startswith("session") for name in names)
        self.wait(lambda: self.answers() and (not with_session or self.sessions_are_ready()))

    def launch(self, *names: str) -> None:
        """Start processes by their names (`session-2` is a second session) and wait for nothing."""
        for name in names:
            log = (self.home / f"{name}.log").open("ab")
            self._children[name] = subprocess.Popen(
                self._command(name), env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
            log.close()

    def wait(self, condition: Callable[[], bool], *, pause_s: float = 0.1) -> None:
        """Until the condition holds. Raises RuntimeError when a process ended or time is over."""
        deadline = time.monotonic() + READY_S
        while not condition():
            for name, child in self._children.items():
                if child.poll() is not None:
                    raise RuntimeError(f"{name} ended: {(self.home / f'{name}.log').read_text()[-2000:]}")
            if time.monotonic() > deadline:
                raise RuntimeError(f"not ready after {READY_S} s: {', '.join(self._children)}")
            time.sleep(pause_s)

    def pids(self) -> dict[str, int]:
        """The main process ids by name."""
        return {name: child.pid for name, child in self._children.items()}

    def end(self, *names: str) -> None:
        """End these processes, in the order given."""
        for name in names:
            child = self._children.pop(name)
            child.terminate()
            try:
                child.wait(STOP_S)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def stop(self) -> None:
        """End the processes in order, the broker last."""
        self.end(*reversed(list(self._children)))
        self.store.close()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """The simulated broker and its feed stand still; what is left of the session is a poll ten times a second.

        The session itself goes on: a process that stands still for seconds takes itself for hung and ends.
        """
        broker = self._children.get("sim_broker")
        if broker is None:
            yield
            return
        broker.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            broker.send_signal(signal.SIGCONT)

    def count(self, *states: str, but: bool = False) -> int:
        """How many orders are in one of these states (`but`: in none of them); without a state, all."""
        with self.store.read_unit(TENANT_ID) as unit:
            column = t.ORDERS.c.state
            query = select(func.count()).select_from(t.ORDERS).where(t.ORDERS.c.tenant_id == TENANT_ID)
            if states:
                query = query.where(column.not_in(states) if but else column.in_(states))
            counted: int = unit.connection.execute(query).scalar_one()
            return counted

    def states(self) -> list[str]:
        """(state, reason, how many orders), for the message of an error."""
        with self.store.read_unit(TENANT_ID) as unit:
            chosen = select(t.ORDERS.c.state, t.ORDERS.c.reason_code, func.count()).group_by("state", "reason_code")
            return [str(tuple(row)) for row in unit.connection.execute(chosen.where(t.ORDERS.c.tenant_id == TENANT_ID))]

    def order(self, **more: Any) -> dict[str, Any]:
        """The JSON of an order of the demo account."""
        return {"account_id": self.facts.account_id, "symbol": "SPY", "side": "BUY", "quantity": "1", **more}

    def add_path(self, folder: Path) -> None:
        """Let processes that start from now on find distributions in this folder too."""
        self._env["PYTHONPATH"] = os.pathsep.join(filter(None, (str(folder), self._env.get("PYTHONPATH"))))

    def get(self, path: str) -> Any:
        """The JSON answer to a GET."""
        return self._ask(urllib.request.Request(self.url + path, headers=self.headers))

    def place(self, **fields: Any) -> dict[str, Any]:
        """The JSON of an order that was placed. Raises HTTPError when it was not accepted."""
        body = as_json(self.order(**fields)).encode()
        made: dict[str, Any] = self._ask(
            urllib.request.Request(f"{self.url}/api/v1/orders", body, self.headers, method="POST")
        )
        return made

    def place_many(self, orders: Sequence[Mapping[str, Any]]) -> None:
        """Place orders in one request. Raises RuntimeError unless all are accepted."""
        body = as_json({"orders": [self.order(**one) for one in orders]}).encode()
        made = self._ask(urllib.request.Request(f"{self.url}/api/v1/orders/bulk", body, self.headers, method="POST"))
        failed = [one for one in made["results"] if one["status"] != 201]
        if failed:
            raise RuntimeError(f"{len(failed)} of {len(orders)} orders were not accepted: {failed[0]}")

    @property
    def tomorrow(self) -> str:
        """A day ahead: until then an order may wait for its session."""
        return (datetime.now(UTC) + timedelta(days=1)).isoformat()

    def head(self) -> int:
        """The last seq of the demo's ledger."""
        return self.store.heads([LEDGER_ID])[LEDGER_ID]

    def verdicts_of_one_order(self) -> list[dict[str, Any]]:
        """What the rules said to one more order."""
        placed = self.place(order_type="LIMIT", limit_price="400", queue_until=self.tomorrow)
        with self.store.read_unit(TENANT_ID) as unit:
            query = select(t.EVENT_LOG.c.payload).where(
                t.EVENT_LOG.c.tenant_id == TENANT_ID, t.EVENT_LOG.c.order_id == placed["order_id"]
            )
            verdicts: list[dict[str, Any]] = msgspec.json.decode(unit.connection.scalars(query).one())["verdicts"]
            return verdicts

    @property
    def headers(self) -> dict[str, str]:
        """What a caller sends."""
        return {"X-API-Key": self.facts.api_key, "Content-Type": "application/json"}

    def _ask(self, request: urllib.request.Request) -> Any:
        with urllib.request.urlopen(request, timeout=READY_S) as answer:
            return msgspec.json.decode(answer.read())

    @contextmanager
    def services(self) -> Iterator[Services]:
        services = build_services(self.settings)
        try:
            yield services
        finally:
            services.close()

    def answers(self) -> bool:
        """Whether the API answers at all."""
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/health/live", timeout=2) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def sessions_are_ready(self) -> bool:
        """Whether every wanted connection has a session that is ready."""
        with self.store.read_unit(TENANT_ID) as unit:
            mine = select(t.BROKER_CONNECTIONS.c.status).where(t.BROKER_CONNECTIONS.c.tenant_id == TENANT_ID)
            wanted = mine.where(t.BROKER_CONNECTIONS.c.desired == "CONNECTED")
            return {*unit.connection.scalars(wanted)} == {"READY"}

    def _command(self, name: str) -> Sequence[str]:
        kind = name.partition("-")[0]
        if kind != "sim_broker":
            return [sys.executable, "-m", "oms_app.cli.main", kind, "--parent-pid", str(os.getpid())]
        config = ["--config", str(self.home / "sim_broker.json"), "--exit-with-pid", str(os.getpid())]
        return [sys.executable, "-m", "oms_sim_broker.server", "--home", str(self.home), *config]

    def _broker_config(self) -> dict[str, Any]:
        feed = {"kind": "synthetic", "seed": 7, "prices": starting_prices(), "size_lots": 1_000_000_000_000}
        return sim_broker_config(feed)


WIDE = {**LIMITS, "open_order_count": {"max_orders": 1_000_000_000}}
"""Every limit of the demo that a flood of orders could meet, so wide that nothing is denied."""


def _widen(services: Services) -> None:
    """Set the limits. Raises RuntimeError when a rule is missing: less than all of them would be measured."""
    with services.store.tenant_unit(TENANT_ID) as unit:
        for rule, params in WIDE.items():
            registered = services.registries.risk_rules.get(rule)
            if registered is None:
                raise RuntimeError(f"the rule {rule} is not installed")
            parse_params(registered.contributed, params)
            key = {"tenant_id": TENANT_ID, "limit_id": derived_id(f"limit {rule}")}
            put(unit, t.LIMITS, key, rule=rule, params=params, version=2)
        config_changed(unit)


def set_desired(system: System, connection_id: str, desired: str, *, broker: str = "") -> None:
    """Want a connection, or do not; broker: its connector from now on."""
    values = {"desired": desired, **({"broker": broker} if broker else {})}
    with system.store.tenant_unit(TENANT_ID) as unit:
        named = (t.BROKER_CONNECTIONS.c.tenant_id == TENANT_ID, t.BROKER_CONNECTIONS.c.connection_id == connection_id)
        unit.connection.execute(update(t.BROKER_CONNECTIONS).where(*named).values(**values))
        wanted = t.LEASES.c.resource == connection_resource(ConnectionId(connection_id))
        unit.connection.execute(update(t.LEASES).where(wanted).values(is_wanted=desired == "CONNECTED"))
        config_changed(unit)


def add_connection(system: System, number: int, broker: str) -> tuple[str, str]:
    """(connection, trading account) of a further connection of the demo, served by the same simulated broker."""
    connection_id, account_id = derived_id(f"connection {number}"), derived_id(f"account {number}")
    broker_account_id = derived_id(f"broker account {number}")
    with system.store.tenant_unit(TENANT_ID) as unit:
        params = {"endpoint_file": str(system.home / "sim_broker.endpoint.json"), "opening_cash": str(CASH)}
        named = {"tenant_id": TENANT_ID, "connection_id": connection_id}
        status = {"desired": "CONNECTED", "status": "DISCONNECTED"}
        put(unit, t.BROKER_CONNECTIONS, named, broker=broker, name=f"Broker {number}", params=params, **status)
        put(
            unit, t.BROKER_ACCOUNTS, {"tenant_id": TENANT_ID, "broker_account_id": broker_account_id},
            connection_id=connection_id, account_number=f"DEMO-{number}", account_type="PAPER", base_currency="USD",
        )  # fmt: skip
        put(
            unit, t.TRADING_ACCOUNTS, {"tenant_id": TENANT_ID, "account_id": account_id}, ledger_id=LEDGER_ID,
            name=f"Paper {number}", base_currency="USD", time_zone="America/New_York", day_roll="00:00:00",
            calendar=ALWAYS_OPEN.name, trading_state="ACTIVE", settings={},
        )  # fmt: skip
        route = {"tenant_id": TENANT_ID, "account_id": account_id}
        put(unit, t.ACCOUNT_ROUTES, route, broker_account_id=broker_account_id)
        lease = {"resource": connection_resource(ConnectionId(connection_id))}
        put(unit, t.LEASES, lease, kind="connection", tenant_id=TENANT_ID)
        config_changed(unit)
    with system.services() as services:
        services.control.open_account(
            TENANT_ID, LEDGER_ID, AccountId(account_id), base_currency="USD", time_zone="America/New_York",
            cash={"USD": CASH},
        )  # fmt: skip
    return connection_id, account_id


def add_limits(system: System, limits: Mapping[str, dict[str, Any]]) -> None:
    """Limits for rules that were installed beside those of the demo."""
    with system.store.tenant_unit(TENANT_ID) as unit:
        for rule, params in limits.items():
            put_limit(unit, derived_id(f"limit {rule}"), rule=rule, params=params)


def _point_home(services: Services, home: Path) -> None:
    """A database that was copied names the broker of the home where it was made."""
    changed = {"endpoint_file": str(home / "sim_broker.endpoint.json"), "opening_cash": str(CASH)}
    with services.store.tenant_unit(TENANT_ID) as unit:
        mine = t.BROKER_CONNECTIONS.c.tenant_id == TENANT_ID
        unit.connection.execute(update(t.BROKER_CONNECTIONS).where(mine).values(params=changed))


def _write_quotes(services: Services) -> None:
    """One quote of each instrument: the rules need a price, also while no session brings any."""
    prices = starting_prices()
    with services.store.platform_unit() as unit:
        for one in demo_instruments():
            price, size = Decimal(prices[one.symbol]), Decimal(1000)
            quote = {"bid": price, "bid_size": size, "ask": price, "ask_size": size, "last": price}
            key = {"instrument_id": one.instrument_id}
            put(unit, t.LAST_QUOTES, key, **quote, data_at=unit.now, received_at=unit.now)


def as_json(value: Any) -> str:
    """Compact JSON text."""
    return msgspec.json.encode(value).decode()
