"""Equal requests in, all at once and over two API processes: one effect each, and the same answer for everybody.

Guarantee checked: a key is one request, through a lost database and a killed process too; its answer is the first one
or a repetition of it; another body is refused; what the caller may no longer see is not repeated.
"""

import random
import sys
import time
from collections.abc import Callable, Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import func, select, update

from campaigns.cluster import Cluster, cluster
from campaigns.result import Result
from campaigns.tenants import Trading, add_tenant, seed_catalogue
from campaigns.timing import scaled
from campaigns.volley import Lines, Reply, Request, ask
from oms_app.bootstrap import Services
from oms_app.cli.demo import demo_instruments, starting_prices
from oms_app.flow.scopes import Scope
from oms_app.store import auth_epochs
from oms_app.store import tables as t
from oms_app.store.config_rows import connection_resource
from oms_app.store.rows import put

SHORT = 500
LONG = 500
PLANTS = ("skip_answer", "late_answer")
COPIES = 20
AT_ONCE = 2
"""Keys under way at the same time."""
APIS = ("api-1", "api-2")
LOSSES = 3
"""How often the database is killed, and how often a process."""


def run(n: int, seed: int, plant: str) -> Result:
    """Play it with n keys."""
    began = time.monotonic()
    patient = {"OMS_SEND_WINDOW_S": "3600", "OMS_QUOTE_MAX_AGE_S": "3600"}
    with cluster(plant=plant, **patient) as made, made.services() as services:
        campaign = Campaign(made, services, n, seed)
        try:
            campaign.play()
        finally:
            campaign.close()
        return Result(
            name="idempotency", n=n, seed=seed, seconds=time.monotonic() - began,
            lost=campaign.lost, doubled=campaign.doubled, violations=len(campaign.texts), texts=campaign.texts,
            figures={"requests": campaign.requests, "orders": campaign.expected, "unanswered": campaign.unanswered},
            plant=plant,
        )  # fmt: skip


class Campaign:
    """One run. `expected` counts the orders that there must be; `texts` the broken promises."""

    def __init__(self, made: Cluster, services: Services, n: int, seed: int) -> None:
        self.texts: list[str] = []
        self.lost = 0
        self.doubled = 0
        self.requests = 0
        self.unanswered = 0
        """Requests that a fault left without an answer, or with one of 500 and above."""
        self.expected = 0
        self._cluster = made
        self._services = services
        self._n = n
        self._random = random.Random(seed)
        seed_catalogue(services)
        _put_quotes(services)
        self.mine, self.theirs = (_ready(services, name) for name in ("first", "second"))
        self.ports = [made.start(name, "api").port for name in APIS]
        self.lines = Lines(self.ports, COPIES * AT_ONCE)

    def close(self) -> None:
        """Close the connections."""
        self.lines.close()

    def play(self) -> None:
        """Every part in turn, on a system that goes on."""
        for name in APIS:
            self._cluster.await_api(name)
        parts: Sequence[Callable[[], None]] = (
            self.equal_requests, self.other_bodies, self.other_tenant, self.changes_and_bulks, self.lost_database,
            self.killed_process, self.after_a_day, self.rights_taken_away,
        )  # fmt: skip
        for part in parts:
            began = time.monotonic()
            part()
            self._count(part.__name__)
            took = time.monotonic() - began
            print(f"{part.__name__}: {took:.1f} s, {len(self.texts)} violations", file=sys.stderr, flush=True)
            if self._cluster.plant and self.texts:
                return  # the defect is caught

    # What is asked -----------------------------------------------------------------------------------------

    def equal_requests(self) -> None:
        """n keys, each COPIES times at once: one order, and one answer that all the others repeat."""
        for first in range(0, self._n, AT_ONCE):
            numbers = range(first, min(first + AT_ONCE, self._n))
            replies = self._volley([self._order(number) for number in numbers])
            for number, of_key in zip(numbers, replies, strict=True):
                self.expected += 1
                self._judge(f"key {number}", of_key, 201)

    def other_bodies(self) -> None:
        """Each key again with another body: refused, without effect."""
        for first in range(0, self._n, len(self.ports) * COPIES):
            numbers = range(first, min(first + len(self.ports) * COPIES, self._n))
            asked = [_with(self._order(number), quantity=str(self._n + number + 1)) for number in numbers]
            for number, reply in zip(numbers, self._ask_each(asked), strict=False):
                if reply is None or (reply.status, reply.code) != (422, "idempotency_key_reused"):
                    self._say(f"key {number} with another body: {_shown(reply)}, not 422 idempotency_key_reused")

    def other_tenant(self) -> None:
        """The same keys of another tenant: orders of its own."""
        for number in range(min(self._n, 20)):
            (replies,) = self._volley([self._order(number, self.theirs)])
            self.expected += 1
            self._judge(f"key {number} of the other tenant", replies, 201)
            told = {reply.json.get("account_id") for reply in replies if reply is not None and reply.status == 201}
            if told - {self.theirs.account_id}:
                self._say(f"key {number} of the other tenant was answered with an order of {told}")
        stolen = ask(self.ports[0], _with(self._order(0, self.theirs), account_id=self.mine.account_id))
        if stolen is None or stolen.status not in (404, 422):
            self._say(f"an account of another tenant was answered with {_shown(stolen)}")

    def changes_and_bulks(self) -> None:
        """Replace, cancel, bulk place and bulk cancel, each COPIES times at once under one key."""
        for number in range(3):
            order_id = self._placed(f"changed-{number}")
            path = f"/api/v1/orders/{order_id}"
            replace = self._request("PATCH", path, {"quantity": str(700 + number)}, f"replace-{number}")
            self._judge(f"replace {number}", self._volley([replace])[0], 202)
            cancel = self._request("POST", f"{path}/cancel", None, f"cancel-{number}")
            self._judge(f"cancel {number}", self._volley([cancel])[0], 202)
            self._judge(f"replace {number} after the cancel", self._volley([replace])[0], 202, fresh=0)
            bulk = {"orders": [self._order(800 + index).body for index in range(5)]}
            request = self._request("POST", "/api/v1/orders/bulk", bulk, f"bulk-{number}")
            self.expected += 5
            placed = self._judge(f"bulk {number}", self._volley([request])[0], 200)
            if placed is None:
                continue
            ids = [one["order"]["order_id"] for one in placed.json["results"]]
            body = {"order_ids": ids}
            request = self._request("POST", "/api/v1/orders/bulk/cancel", body, f"bulk-cancel-{number}")
            self._judge(f"bulk cancel {number}", self._volley([request])[0], 200)
            if {self._state(order_id) for order_id in ids} != {"CANCELED"}:
                self._say(f"bulk cancel {number} left orders that are not CANCELED")

    def lost_database(self) -> None:
        """The database is killed while keys are under way: no answer of that time is kept as one."""
        for loss in range(LOSSES):
            asked = [self._order(f"db-{loss}-{index}") for index in range(COPIES * AT_ONCE // 2)] * 2

            def kill() -> None:
                time.sleep(self._random.uniform(0, 0.06))
                self._cluster.postgres.kill()

            during = self._ask_each(asked, kill)
            self._cluster.postgres.start()
            self._services.store.close()  # its kept connections are dead
            self._again(f"database loss {loss}", asked, during)

    def killed_process(self) -> None:
        """An API process is killed while keys are under way on both."""
        for loss in range(LOSSES):
            name = APIS[loss % len(APIS)]
            asked = [self._order(f"kill-{loss}-{index}") for index in range(COPIES * AT_ONCE // 2)] * 2

            def kill(name: str = name) -> None:
                time.sleep(self._random.uniform(0, 0.06))
                self._cluster.kill(name)

            during = self._ask_each(asked, kill)
            self._cluster.start(name, "api")
            self._again(f"kill {loss} of {name}", asked, during)

    def after_a_day(self) -> None:
        """An answer is repeated for 24 hours; after that only the client order id still stands in the way."""
        named = self._order("day-named", client_order_id="for-ever")
        bare = self._order("day-bare")
        for request in (named, bare):
            self.expected += 1
            self._judge(f"a day before {request.key}", self._volley([request])[0], 201)
        self._age("day-%", timedelta(hours=23, minutes=59))
        for request in (named, bare):
            self._judge(f"{request.key} within the day", self._volley([request])[0], 201, fresh=0)
        self._age("day-%", timedelta(hours=24, seconds=1))
        for reply in self._volley([named])[0]:
            if reply is None or (reply.status, reply.code) != (409, "duplicate_client_order_id") or reply.replayed:
                self._say(f"a client order id after a day: {_shown(reply)}, not 409 duplicate_client_order_id")
        self.expected += 1
        self._judge("a key used anew after a day", self._volley([bare])[0], 201)

    def rights_taken_away(self) -> None:
        """A caller who lost the scope or the account is not told again what it was told."""
        scopes = [str(scope) for scope in (Scope.PLACE_ORDERS, Scope.VIEW_ORDERS)]
        taken: list[tuple[Request, str, int]] = []
        for name, values, status in (
            ("scope", {"scopes": [str(Scope.VIEW_ORDERS)]}, 403),
            ("account", {"account_ids": []}, 404),
        ):
            made = self._services.identity.create_key(
                self.mine.administrator, name, scopes, account_ids=[self.mine.account_id]
            )
            request = _with_key(self._order(f"taken-{name}"), made.api_key)
            self.expected += 1
            told = self._judge(f"before the {name} was taken away", self._volley([request])[0], 201)
            with self._services.store.tenant_unit(self.mine.tenant_id) as unit:
                unit.connection.execute(
                    update(t.API_KEYS).where(t.API_KEYS.c.key_id == made.row.key_id).values(**values)
                )
                auth_epochs.bump(unit, self.mine.tenant_id)
            taken.append((request, told.order_id or "" if told is not None else "", status))
        for request, order_id, status in taken:
            for reply in self._volley([request])[0]:
                if reply is None or reply.status != status:
                    self._say(f"{request.key}: {_shown(reply)}, not {status}")
                elif order_id and order_id.encode() in reply.body:
                    self._say(f"{request.key}: the refusal names the order")

    # How it is judged --------------------------------------------------------------------------------------

    def _judge(self, what: str, replies: Sequence[Reply | None], status: int, *, fresh: int = 1) -> Reply | None:
        """One reply is new (or none), all others repeat it word for word; the new one, or any."""
        wrong = [reply for reply in replies if reply is None or reply.status != status]
        if wrong:
            self._say(f"{what}: {len(wrong)} answers are not {status}, for example {_shown(wrong[0])}")
        good = [reply for reply in replies if reply is not None and reply.status == status]
        new = [reply for reply in good if not reply.replayed]
        if len(new) != fresh:
            self._say(f"{what}: {len(new)} answers are new, not {fresh}", doubled=len(new) > fresh)
        if len({reply.body for reply in good}) > 1:
            self._say(f"{what}: the answers differ")
        return next(iter(new or good), None)

    def _again(self, what: str, asked: Sequence[Request], during: Sequence[Reply | None]) -> None:
        """Ask again until each key has its 201: it names the order of every 201 before, and only one was new."""
        for name in APIS:
            self._cluster.await_api(name, "/api/v1/health/live")
        told: dict[str, list[Reply]] = {request.key: [] for request in asked}
        self.expected += len(told)
        self.unanswered += len(self._hear(asked, during, told))
        deadline = time.monotonic() + scaled(20)
        waiting = list({request.key: request for request in asked}.values())
        while waiting and time.monotonic() < deadline:
            waiting = self._hear(waiting, self._ask_each(waiting), told)
            if waiting:
                time.sleep(0.1)
        for request in waiting:
            self._say(f"{what}: {request.key} was not answered in time")
        for key, replies in told.items():
            fresh = sum(not reply.replayed for reply in replies)
            self._judge(f"{what}: {key}", replies, 201, fresh=min(fresh, 1))

    def _hear(
        self, asked: Sequence[Request], replies: Sequence[Reply | None], told: dict[str, list[Reply]]
    ) -> list[Request]:
        """Note what is an answer; the requests that got none, or one that promises nothing."""
        waiting = []
        for request, reply in zip(asked, replies, strict=True):
            if reply is None or reply.status >= 500:
                waiting.append(request)
            else:
                told[request.key].append(reply)
        return waiting

    def _count(self, after: str) -> None:
        """As many orders as keys, and as many rows of keys as there must be, none with an error of ours."""
        store = self._services.store
        orders = accepted = failures = 0
        for tenant in (self.mine, self.theirs):
            with store.read_unit(tenant.tenant_id) as unit:
                mine = t.ORDERS.c.tenant_id == tenant.tenant_id
                orders += unit.connection.execute(select(func.count()).select_from(t.ORDERS).where(mine)).scalar_one()
                log, keys = t.EVENT_LOG, t.IDEMPOTENCY_KEYS
                events = select(func.count()).select_from(log)
                of_kind = events.where(log.c.tenant_id == tenant.tenant_id, log.c.kind == "order_accepted")
                accepted += unit.connection.execute(of_kind).scalar_one()
                of_errors = select(func.count()).select_from(keys).where(keys.c.status_code >= 500)
                failures += unit.connection.execute(of_errors).scalar_one()
        if orders != self.expected or accepted != self.expected:
            text = f"after {after}: {orders} orders and {accepted} acceptances for {self.expected} keys"
            self._say(text, doubled=orders > self.expected, lost=orders < self.expected)
            self.expected = orders
        if failures:
            self._say(f"after {after}: {failures} errors are stored as answers")

    def _say(self, text: str, *, doubled: bool = False, lost: bool = False) -> None:
        self.texts.append(text)
        self.doubled += doubled
        self.lost += lost

    # The small parts ---------------------------------------------------------------------------------------

    def _order(self, number: int | str, tenant: Trading | None = None, **fields: Any) -> Request:
        tenant = tenant or self.mine
        quantity = number + 1 if isinstance(number, int) else 1
        body = {
            "account_id": tenant.account_id, "symbol": "SPY", "side": "BUY", "quantity": str(quantity),
            "order_type": "LIMIT", "limit_price": "440", **fields,
        }  # fmt: skip
        return Request("POST", "/api/v1/orders", body, tenant.api_key, f"{number}")

    def _request(self, method: str, path: str, body: Any, key: str) -> Request:
        return Request(method, path, body, self.mine.api_key, key)

    def _placed(self, key: str) -> str:
        self.expected += 1
        reply = self._judge(key, self._volley([self._order(key)])[0], 201)
        return (reply.order_id if reply is not None else None) or ""

    def _volley(self, requests: Sequence[Request]) -> list[list[Reply | None]]:
        """The replies to COPIES of each request, all sent before the first is read."""
        copies = [request for request in requests for _ in range(COPIES)]
        replies = self._ask_each(copies)
        return [replies[number * COPIES : (number + 1) * COPIES] for number in range(len(requests))]

    def _ask_each(self, requests: Sequence[Request], between: Callable[[], None] | None = None) -> list[Reply | None]:
        self.requests += len(requests)
        return self.lines.ask_each(requests, between)

    def _state(self, order_id: str) -> str:
        reply = ask(self.ports[0], self._request("GET", f"/api/v1/orders/{order_id}", None, ""))
        return str(reply.json.get("state")) if reply is not None else ""

    def _age(self, like: str, age: timedelta) -> None:
        """Move the answers of these keys so far into the past."""
        with self._services.store.tenant_unit(self.mine.tenant_id) as unit:
            keys = t.IDEMPOTENCY_KEYS
            unit.connection.execute(update(keys).where(keys.c.key.like(like)).values(created_at=unit.now - age))


def _ready(services: Services, name: str) -> Trading:
    """A tenant whose connection looks ready, so that orders are taken; nobody sends them."""
    tenant = add_tenant(services, name, params={}, wanted=False)
    with services.store.tenant_unit(tenant.tenant_id) as unit:
        unit.connection.execute(
            update(t.BROKER_CONNECTIONS)
            .where(t.BROKER_CONNECTIONS.c.connection_id == tenant.connection_id)
            .values(status="READY")
        )
    with services.store.platform_unit() as unit:
        held = {"holder": "campaign", "token": 1, "expires_at": unit.now + timedelta(days=1), "heartbeat_at": unit.now}
        unit.connection.execute(
            update(t.LEASES).where(t.LEASES.c.resource == connection_resource(tenant.connection_id)).values(**held)
        )
    return tenant


def _put_quotes(services: Services) -> None:
    prices = starting_prices()
    with services.store.platform_unit() as unit:
        for one in demo_instruments():
            price, size = Decimal(prices[one.symbol]), Decimal(1000)
            quote = {"bid": price, "bid_size": size, "ask": price, "ask_size": size, "last": price}
            key = {"instrument_id": one.instrument_id}
            put(unit, t.LAST_QUOTES, key, **quote, data_at=unit.now, received_at=unit.now)


def _with(request: Request, **fields: Any) -> Request:
    return Request(request.method, request.path, {**request.body, **fields}, request.api_key, request.key)


def _with_key(request: Request, api_key: str) -> Request:
    return Request(request.method, request.path, request.body, api_key, request.key)


def _shown(reply: Reply | None) -> str:
    return "no answer" if reply is None else f"{reply.status} {reply.body[:200].decode(errors='replace')}"
