"""Seeded client threads: each does one operation at a time and writes it down before it begins and after it ended."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from campaigns.history_checks import Held, Op, Outcome, Seen
from campaigns.tenants import Trading
from campaigns.timing import scaled

TIMEOUT_S = 6.0
PATIENCE_S = 10.0
"""So long a client looks for an API that listens, before it gives an operation up."""
QUEUED = 0.4
"""The share of orders that may wait for a session, and how long."""
QUEUED_S = 3.0
BULK = 5
SYMBOLS = ("SPY", "AAPL")
RESTING = {"SPY": {"BUY": "400", "SELL": "500"}, "AAPL": {"BUY": "160", "SELL": "220"}}
"""Limits that the market does not come to."""
WEIGHTS = {"place": 34, "bulk": 3, "replace": 8, "cancel": 12, "read": 20, "positions": 18, "foreign": 5}
REMEMBERED = 30
"""How many of its own orders a client still changes and reads."""
NOTHING_STORED = frozenset({400, 401, 403, 404, 409, 412, 413, 415, 422, 429, 503})


class Journal:
    """The history: in memory for the checks and as lines of JSON in a file. Thread-safe."""

    def __init__(self, path: Path) -> None:
        self.ops: list[Op] = []
        self._file = path.open("wb")
        self._lock = threading.Lock()
        self._began = time.monotonic()

    @property
    def now_s(self) -> float:
        """Seconds since the history began."""
        return time.monotonic() - self._began

    def note(self, **fields: Any) -> None:
        """Write a line that is no operation's end: an invocation, or what the nemesis did."""
        with self._lock:
            self._file.write(msgspec.json.encode({"at_s": round(self.now_s, 4), **fields}) + b"\n")

    def complete(self, op: Op) -> None:
        """Write how an operation ended."""
        with self._lock:
            self.ops.append(op)
            self._file.write(msgspec.json.encode(op) + b"\n")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class Numbers:
    """Hands out the numbers of operations until all are given. Thread-safe."""

    def __init__(self, n: int) -> None:
        self._n = n
        self._next = 0
        self._lock = threading.Lock()

    def take(self) -> int | None:
        """The next number, or None."""
        with self._lock:
            if self._next >= self._n:
                return None
            self._next += 1
            return self._next - 1

    @property
    def taken(self) -> int:
        """How many were given."""
        return self._next


class HistoryClient:
    """One client of one tenant."""

    def __init__(
        self,
        name: str,
        tenant: Trading,
        ports: Sequence[int],
        journal: Journal,
        numbers: Numbers,
        *,
        seed: int,
        pause_s: float,
        foreign: Callable[[random.Random, Trading], str | None],
    ) -> None:
        self.name = name
        self.mine: list[str] = []
        self.error: BaseException | None = None
        self.tenant = tenant
        self._ports = list(ports)
        self._journal = journal
        self._numbers = numbers
        self._random = random.Random(f"{seed} {name}")
        self._pause_s = pause_s
        self._foreign = foreign
        self._count = 0
        self._lines = {port: http.client.HTTPConnection("127.0.0.1", port, timeout=scaled(TIMEOUT_S)) for port in ports}
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether it goes on."""
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            while (number := self._numbers.take()) is not None:
                self._do(number)
                if self._pause_s:
                    time.sleep(self._random.uniform(0, 2 * self._pause_s))
        except BaseException as error:
            self.error = error
        finally:
            for line in self._lines.values():
                line.close()

    def _do(self, number: int) -> None:
        kind = self._random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        if kind in ("replace", "cancel", "read") and not self.mine:
            kind = "place"
        method, path, body, asked = self._request(kind)
        self._journal.note(type="invoke", number=number, client=self.name, kind=kind, asked=asked, body=body)
        began = self._journal.now_s
        status, answer = self._ask(method, path, body)
        ended = self._journal.now_s
        outcome, orders, positions = _read(kind, status, answer)
        self._journal.complete(
            Op(
                number=number, client=self.name, tenant=self.tenant.name, kind=kind, asked=asked, invoked_s=began,
                completed_s=ended, outcome=outcome, status=status, orders=orders, positions=positions,
            )
        )  # fmt: skip
        if kind in ("place", "bulk"):
            self.mine += [seen.order_id for seen in orders if seen.order_id]
            del self.mine[:-REMEMBERED]

    def _request(self, kind: str) -> tuple[str, str, Any, tuple[str, ...]]:
        if kind == "place":
            order = self._order()
            return "POST", "/api/v1/orders", order, (order["client_order_id"],)
        if kind == "bulk":
            orders = [self._order() for _ in range(BULK)]
            names = tuple(order["client_order_id"] for order in orders)
            return "POST", "/api/v1/orders/bulk", {"orders": orders}, names
        if kind == "positions":
            return "GET", f"/api/v1/positions?with_closed=true&symbol={self._random.choice(SYMBOLS)}", None, ()
        if kind == "foreign":
            order_id = self._foreign(self._random, self.tenant) or self.tenant.account_id
            return "GET", f"/api/v1/orders/{order_id}", None, (order_id,)
        order_id = self._random.choice(self.mine)
        path = f"/api/v1/orders/{order_id}"
        if kind == "cancel":
            return "POST", f"{path}/cancel", None, (order_id,)
        if kind == "replace":
            return "PATCH", path, {"quantity": str(self._random.randint(1, 60))}, (order_id,)
        return "GET", path, None, (order_id,)

    def _order(self) -> dict[str, Any]:
        self._count += 1
        symbol, side = self._random.choice(SYMBOLS), self._random.choice(("BUY", "SELL"))
        order = {
            "account_id": self.tenant.account_id, "symbol": symbol, "side": side,
            "quantity": str(self._random.randint(1, 40)), "client_order_id": f"{self.name}-{self._count}",
        }  # fmt: skip
        if self._random.random() < QUEUED:
            until = datetime.now(UTC) + timedelta(seconds=scaled(QUEUED_S))
            order["queue_until"] = until.isoformat()
        if self._random.random() < 0.6:
            return {**order, "order_type": "MARKET"}
        return {**order, "order_type": "LIMIT", "limit_price": RESTING[symbol][side]}

    def _ask(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        """(status, JSON); status 0 when there was no answer, -1 when nothing was sent."""
        line = self._line()
        headers = {"X-API-Key": self.tenant.api_key, "Content-Type": "application/json"}
        if line is None:
            return -1, None
        try:
            line.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = line.getresponse()
            text = answer.read()
            return answer.status, json.loads(text) if text else None
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            line.close()
            return 0, None

    def _line(self) -> http.client.HTTPConnection | None:
        """A connection that stands, to whichever API listens; None when none does for a while."""
        deadline = time.monotonic() + scaled(PATIENCE_S)
        while time.monotonic() < deadline:
            for port in self._random.sample(self._ports, len(self._ports)):
                line = self._lines[port]
                if line.sock is not None:
                    return line
                try:
                    line.connect()
                except OSError:
                    line.close()
                else:
                    return line
            time.sleep(0.05)
        return None


def _read(kind: str, status: int, answer: Any) -> tuple[Outcome, tuple[Seen, ...], tuple[Held, ...]]:
    """What an answer means, and what it showed."""
    if status == 0 or (status >= 500 and status != 503):
        return Outcome.INFO, (), ()
    if status < 0 or status in NOTHING_STORED:
        return Outcome.FAIL, (), ()
    if kind == "positions":
        return Outcome.OK, (), tuple(_held(item) for item in answer["items"])
    if kind == "bulk":
        return Outcome.OK, tuple(_seen(item.get("order")) for item in answer["results"]), ()
    return Outcome.OK, (_seen(answer),), ()


NO_ORDER = Seen("", "", 0, "", Decimal(0), Decimal(0))
"""In the place of an item of a bulk that was refused."""


def _seen(order: Any) -> Seen:
    if not order or order.get("version") is None:
        return NO_ORDER
    return Seen(
        order_id=order["order_id"], account_id=order["account_id"], version=order["version"], state=order["state"],
        quantity=Decimal(order["quantity"]), filled=Decimal(order["filled_quantity"]),
    )  # fmt: skip


def _held(item: Any) -> Held:
    return Held(
        account_id=item["account_id"], instrument_id=item["instrument_id"], quantity=Decimal(item["quantity"]),
        bought=Decimal(item["bought_quantity"]), sold=Decimal(item["sold_quantity"]),
    )  # fmt: skip
