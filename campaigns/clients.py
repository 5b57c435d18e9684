"""Seeded client threads against the API: orders, cancels, replaces and repeats, every order noted before it is sent."""

import http.client
import json
import random
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from campaigns.history import Answer, History, Told, answer_of
from campaigns.timing import scaled

MARKET = ("SPY", "AAPL", "IBM")
RESTING = {"MSFT": "385", "BTCUSD": "57000"}
"""A limit below the starting price: rests, unless the walk of the feed comes down to it. Other symbols than those of
the market orders, which self-trade prevention would deny."""
BULK = (3, 12)
TIMEOUT_S = 10.0
SETTLE_S = 30.0
QUEUED = 0.5
"""The share of orders that wait for a session."""
LATE = 0.25
"""The share of those that wait so shortly that the sweeper ends some of them."""


class Refused(Exception):
    """Nobody listens: nothing was sent."""


class Reply(msgspec.Struct, frozen=True):
    """One answer as it came over the wire. status: 0 when there was none. at_s, took_s: on a clock that nobody sets."""

    method: str
    path: str
    at_s: float
    took_s: float
    status: int = 0
    body: Any = None
    retry_after: str | None = None
    replayed: bool = False


class Client:
    """One caller of one or several API processes. A new connection for each request: no library sends twice.

    heard: called with each answer, and with what was sent and not answered.
    """

    def __init__(self, ports: Sequence[int], api_key: str, heard: Callable[[Reply], None] = lambda reply: None) -> None:
        self._ports = list(ports)
        self._headers = {"X-API-Key": api_key, "Content-Type": "application/json"}
        self._heard = heard
        self._turn = 0

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """(status, JSON) of the answer; status 0 when there was none. Raises Refused when nothing was sent."""
        reply = self.exchange(method, path, body)
        return reply.status, reply.body

    def exchange(self, method: str, path: str, body: Any = None, *, idempotency_key: str = "") -> Reply:
        """The whole answer. Raises Refused when nothing was sent.

        The processes are asked in turn; one that nobody listens at is passed over, for nothing was sent to it.
        """
        began = time.monotonic()
        connection = self._connected()
        headers = {**self._headers, "Idempotency-Key": idempotency_key} if idempotency_key else self._headers
        text, found = b"", Reply(method, path, began, 0.0)
        try:
            connection.request(method, path, json.dumps(body) if body is not None else None, headers)
            answer = connection.getresponse()
            text = answer.read()
            found = Reply(
                method, path, began, 0.0, answer.status, json.loads(text) if text else None,
                answer.headers.get("Retry-After"), answer.headers.get("Idempotency-Replayed") == "true",
            )  # fmt: skip
        except (OSError, http.client.HTTPException, json.JSONDecodeError):
            pass  # sent, and no answer: the reply says so
        finally:
            connection.close()
        now = time.monotonic()
        found = msgspec.structs.replace(found, at_s=now, took_s=now - began)
        self._heard(found)
        return found

    def _connected(self) -> http.client.HTTPConnection:
        error: OSError | None = None
        for _ in self._ports:
            self._turn = (self._turn + 1) % len(self._ports)
            connection = http.client.HTTPConnection("127.0.0.1", self._ports[self._turn], timeout=scaled(TIMEOUT_S))
            try:
                connection.connect()
            except OSError as refused:
                error = refused
            else:
                return connection
        raise Refused(str(error)) from None


class Trader:
    """One seeded thread that trades until it is stopped; `posting` is called right before each new order goes out."""

    def __init__(
        self,
        name: str,
        client: Client,
        history: History,
        *,
        account_id: str,
        seed: int,
        pause_s: float,
        posting: Callable[[], None],
    ) -> None:
        self._name = name
        self._client = client
        self._history = history
        self._account_id = account_id
        self._random = random.Random(f"{seed} {name}")
        self._pause_s = pause_s
        self._posting = posting
        self._count = 0
        self._order_ids: list[str] = []
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self.error: BaseException | None = None

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End after the request under way. Raises what ended the thread."""
        self._stopping.set()
        self._thread.join(3 * scaled(TIMEOUT_S))
        if self.error is not None:
            raise self.error

    def settle(self) -> None:
        """Send again what has no answer that promises something, under the same id, until it has one."""
        deadline = time.monotonic() + scaled(SETTLE_S)
        while time.monotonic() < deadline:
            mine = [one for one in self._history.all() if one.client_order_id.startswith(f"{self._name}-")]
            open_ends = [one for one in mine if not one.is_settled]
            if not open_ends:
                return
            for posted in open_ends:
                try:
                    self._post(posted.client_order_id, posted.body)
                except Refused:
                    time.sleep(0.1)

    def _run(self) -> None:
        acts = (self._place, self._place_many, self._cancel, self._replace, self._repeat, self._cancel_many)
        try:
            while not self._stopping.is_set():
                try:
                    self._random.choices(acts, weights=(52, 8, 14, 12, 6, 8))[0]()
                except Refused:
                    self._stopping.wait(0.05)
                self._stopping.wait(self._random.expovariate(1 / self._pause_s))
        except BaseException as error:
            self.error = error

    def _new_order(self) -> tuple[str, dict[str, Any]]:
        self._count += 1
        client_order_id = f"{self._name}-{self._count}"
        order: dict[str, Any] = {
            "account_id": self._account_id,
            "quantity": str(self._random.randint(1, 5000)),
            "client_order_id": client_order_id,
        }
        if self._random.random() < 0.6:
            sides = ("BUY", "BUY", "BUY", "SELL")
            symbol = self._random.choice(MARKET)
            order |= {"order_type": "MARKET", "symbol": symbol, "side": self._random.choice(sides)}
        else:
            symbol = self._random.choice(sorted(RESTING))
            order |= {"order_type": "LIMIT", "symbol": symbol, "side": "BUY", "limit_price": RESTING[symbol]}
        if self._random.random() < QUEUED:
            waits_s = scaled(0.7 if self._random.random() < LATE else 20)
            order["queue_until"] = (datetime.now(UTC) + timedelta(seconds=waits_s)).isoformat()
        return client_order_id, order

    def _place(self) -> None:
        client_order_id, order = self._new_order()
        self._history.ask(client_order_id, order)
        self._post(client_order_id, order)

    def _post(self, client_order_id: str, order: dict[str, Any]) -> None:
        self._posting()
        key = f"key-{client_order_id}" if sum(client_order_id.encode()) % 3 == 0 else ""
        reply = self._client.exchange("POST", "/api/v1/orders", order, idempotency_key=key)
        answer = answer_of(reply.status, reply.body) if reply.status else Answer(Told.UNKNOWN)
        if reply.replayed and answer.told is Told.STORED:
            answer = Answer(Told.KNOWN, answer.order_id, reply.status)
        self._note(client_order_id, answer)

    def _place_many(self) -> None:
        orders = dict(self._new_order() for _ in range(self._random.randint(*BULK)))
        for client_order_id, order in orders.items():
            self._history.ask(client_order_id, order)
        self._posting()
        status, body = self._client.ask("POST", "/api/v1/orders/bulk", {"orders": list(orders.values())})
        if status == 200:
            for client_order_id, item in zip(orders, body["results"], strict=True):
                self._note(client_order_id, answer_of(item["status"], item["order"] or item["problem"]))
            return
        for client_order_id in orders:
            self._note(client_order_id, answer_of(status, None) if status else Answer(Told.UNKNOWN))

    def _cancel(self) -> None:
        if self._order_ids:
            order_id = self._random.choice(self._order_ids[-50:])
            self._client.ask("POST", f"/api/v1/orders/{order_id}/cancel")

    def _cancel_many(self) -> None:
        recent = self._order_ids[-50:]
        if recent:
            chosen = self._random.sample(recent, min(len(recent), 5))
            self._client.ask("POST", "/api/v1/orders/bulk/cancel", {"order_ids": chosen})

    def _replace(self) -> None:
        if self._order_ids:
            order_id = self._random.choice(self._order_ids[-50:])
            self._client.ask("PATCH", f"/api/v1/orders/{order_id}", {"quantity": str(self._random.randint(1, 6000))})

    def _repeat(self) -> None:
        """Send an order again that may be known."""
        if self._count:
            wanted = f"{self._name}-{self._random.randint(max(1, self._count - 30), self._count)}"
            for posted in self._history.all():
                if posted.client_order_id == wanted:
                    self._post(wanted, posted.body)

    def _note(self, client_order_id: str, answer: Answer) -> None:
        self._history.hear(client_order_id, answer)
        if answer.told is Told.STORED and answer.order_id is not None:
            self._order_ids.append(answer.order_id)
