"""A database URL in, two tenants on one running application out: each with rows in every table, and who they are.

`theirs` is attacked, `mine` attacks. Both trade, so that what they own is real where it can be.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from oms_app.bootstrap import build_services, create_app
from oms_app.config import Settings
from oms_app.flow.consequences import overstep
from oms_app.flow.kill_switch import Asked
from oms_app.store.limits import put_limit
from oms_app.store.tables import STRATEGIES
from oms_app.store.types import Id
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.contracts.broker import Filled
from oms_kernel.contracts.plugin import Secret
from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.controls import Category
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.events import AlertRaised, Severity
from oms_kernel.domain.ids import AccountId, ConnectionId, LedgerId, StrategyId
from oms_kernel.domain.order import Side as Direction
from oms_kernel.domain.scope import Scope
from oms_kernel.terms import Terms
from security.rows import Filler, with_tenant
from tests.api.desk import PASSWORD, Desk, seed
from tests.dashboard.person import hidden_fields

ROWS = 3
"""How many rows each side has in every table at least: lists of them have a second page."""
SHORTEST = 16
"""A text that is called an id and shorter than this may stand in any answer by chance."""
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


class Side:
    """One tenant: its desk, what it owns, and requests in the name of its administrator."""

    def __init__(self, desk: Desk, name: str) -> None:
        self.desk = desk
        self.name = name
        self.mark = f"mark-of-{name}"
        self.owned: dict[str, list[str]] = {}
        """Name of an id (`order_id`) -> ids of this kind that are this tenant's, nobody else's."""
        self.client = desk.app.test_client(use_cookies=False)
        self.browser = desk.app.test_client()

    @property
    def ids(self) -> Mapping[str, str]:
        """What a trading tenant is made of."""
        return self.desk.ids

    def sign_in(self) -> None:
        """Speak as the person from now on, proved anew where the API asks for that."""
        answer = self.client.post("/api/v1/auth/login", json={"email": self.email, "password": PASSWORD})
        if answer.status_code != 200:
            raise RuntimeError(f"{self.name} cannot sign in: {answer.status_code} {answer.get_data(as_text=True)}")
        self.token = answer.get_json()["access_token"]
        self.ask("POST", "/api/v1/auth/step-up", body={"password": PASSWORD})
        form = hidden_fields(self.browser.get("/login").text)
        self.browser.post("/login", data={**form, "email": self.email, "password": PASSWORD})
        self.csrf = hidden_fields(self.browser.get("/").text)["csrf_token"]

    @property
    def email(self) -> str:
        """Of the administrator."""
        return f"{self.name}@example.com"

    def ask(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
    ) -> TestResponse:
        """The answer to a request of this side's administrator."""
        sent = {"Authorization": f"Bearer {self.token}", **(headers or {})}
        data = None
        if body is not None:
            data = msgspec.json.encode(body)
            sent["Content-Type"] = "application/json"
        return self.client.open(path, method=method, query_string=dict(query or {}), data=data, headers=sent)

    def open_page(self, method: str, path: str) -> TestResponse:
        """The answer to a page or form of the dashboard, as a browser asks for it."""
        headers = {"HX-Request": "true", "X-CSRF-TOKEN": self.csrf}
        return self.browser.open(path, method=method, headers=headers, data={} if method == "POST" else None)

    def own(self, name: str, value: str) -> None:
        """Note that an id of this name is this side's."""
        known = self.owned.setdefault(name, [])
        if value not in known:
            known.append(value)

    def all_ids(self) -> set[str]:
        """Every id of this side."""
        return {value for values in self.owned.values() for value in values}


class Sides(msgspec.Struct, frozen=True):
    """Both tenants on one application."""

    app: Flask
    services: Any
    mine: Side
    theirs: Side


@contextmanager
def two_sides(database_url: str, folder: Path, **settings: Any) -> Iterator[Sides]:
    """Two trading tenants on a migrated database. settings: of the application, besides."""
    made = Settings(
        home=folder,
        database_url=database_url,
        secret_key=Secret("a secret of the checks that is long enough"),
        argon2_memory_kib=1024,
        argon2_time_cost=1,
        argon2_parallelism=1,
        rate_limit_per_s=1e9,
        rate_limit_burst=1_000_000_000,
        **settings,
    )
    services = build_services(made)
    try:
        app = create_app(services)
        first = seed(services)
        mine = new_side(services, app, first, "mine")
        theirs = further_side(mine, "theirs")
        _keep_apart(mine, theirs)
        yield Sides(app, services, mine, theirs)
    finally:
        services.close()


def further_side(first: Side, name: str) -> Side:
    """One more tenant beside another, with the same instruments."""
    ids = {**seed(first.desk.services, catalogue=False), "instrument_id": first.ids["instrument_id"]}
    return new_side(first.desk.services, first.desk.app, ids, name)


def new_side(services: Any, app: Flask, ids: dict[str, str], name: str) -> Side:
    """A tenant with rows in every table, its administrator signed in."""
    desk = Desk(services, ids, app, email=f"{name}@example.com")
    side = Side(desk, name)
    tags = {"of": side.mark}
    orders = [desk.place(client_order_id=f"{side.mark}-{number}", tags=tags).json for number in range(ROWS)]
    desk.fill(orders[0], "10", "99.50")
    desk.place(quantity="1000000000")
    _hold_one(desk)
    ledger, account = LedgerId(ids["ledger_id"]), AccountId(ids["account_id"])
    for number in range(ROWS):
        alert = AlertRaised(
            account_id=account, severity=Severity.WARNING, source="check", text=f"{side.mark} {number}", what_to_do="-"
        )
        services.control.alert(desk.tenant_id, ledger, alert)
        with services.store.ledger_unit(desk.tenant_id, ledger) as unit:
            report = _report(desk, orders[0])
            unit.put_unbooked(str(uuid.uuid4()), ConnectionId(ids["connection_id"]), report, side.mark)
    for category in Category:
        for number in range(ROWS):
            _breach(desk, f"{category.lower()}-{number}", category)
    for _ in range(ROWS):
        _restrain(desk)
    with services.store.tenant_unit(desk.tenant_id) as unit:
        known = {**ids, "user_id": desk.user_id, "order_id": orders[0]["order_id"]}
        known.pop("tenant_id")
        Filler(desk.tenant_id, known, side.mark).fill(unit, ROWS)
        of_strategy = unit.connection.scalar(
            select(STRATEGIES.c.strategy_id).where(STRATEGIES.c.tenant_id == desk.tenant_id).limit(1)
        )
        most = {"max_quantity": "100000000000"}
        put_limit(unit, str(uuid.uuid4()), rule="max_position", params=most, scope=Scope(strategy_id=of_strategy))
    desk.fill(desk.place(strategy_id=of_strategy, allow_duplicate=True).json, "10", "99.50")
    desk.place(strategy_id=of_strategy, allow_duplicate=True)
    side.sign_in()
    _learn(side, shared={ids["instrument_id"]})
    return side


def _hold_one(desk: Desk) -> None:
    """An order that waits for an approval, held by a soft limit."""
    most = {"max_quantity": "5000"}
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        put_limit(unit, str(uuid.uuid4()), rule="max_order_quantity", params=most, severity=RuleSeverity.SOFT)
        own = Scope(account_id=AccountId(desk.ids["account_id"]))
        put_limit(unit, str(uuid.uuid4()), rule="max_position", params={"max_quantity": "100000000000"}, scope=own)
    held = desk.place(quantity="6000")
    if held.json.get("state") != "HELD":
        raise RuntimeError(f"the order is not held: {held.json}")


def _breach(desk: Desk, limit_id: str, category: Category) -> None:
    """A breach of a limit of the account, or a case of surveillance."""
    scope = Scope(account_id=AccountId(desk.ids["account_id"]))
    terms = Terms(limit_id=limit_id, scope=scope, category=category)
    found = Trigger(message="found by the checks", key=limit_id)
    ledger_id = LedgerId(desk.ids["ledger_id"])
    desk.services.desk.transact(
        desk.tenant_id, ledger_id, lambda turn: overstep(turn, "position_monitor", "checks", terms, found)
    )


def _restrain(desk: Desk) -> None:
    """A kill switch and a liquidation of a strategy that does nothing: they hinder nobody."""
    scope = Scope(account_id=AccountId(desk.ids["account_id"]), strategy_id=StrategyId(str(uuid.uuid4())))
    asked = Asked(scope=scope, trading_state=TradingState.HALTED, reason_code="check", reason="tried by the checks")
    desk.services.kill_switches.activate(desk.principal, asked)
    desk.services.liquidations.start(desk.principal, scope, "check")


def _report(desk: Desk, order: dict[str, Any]) -> Filled:
    return Filled(
        broker_account_id=desk.ids["broker_account_id"],
        broker_at=datetime.now(UTC),
        exec_id=str(uuid.uuid4()),
        instrument_id=order["instrument_id"],
        side=Direction(order["side"]),
        quantity=Decimal(1),
        price=Decimal(1),
    )


def _learn(side: Side, shared: set[str]) -> None:
    """Note every id of the tenant's rows, and every id that its own lists tell (some are derived)."""
    store = side.desk.services.store
    with store.read_unit(side.desk.tenant_id) as unit:
        for name, value in _ids_of_rows(unit, str(side.desk.tenant_id)):
            if value not in shared:
                side.own(name, value)
    for rule in side.desk.app.url_map.iter_rules():
        if "GET" in (rule.methods or ()) and not rule.arguments and rule.rule.startswith("/api/v1/"):
            answer = side.ask("GET", rule.rule)
            if answer.status_code == 200 and answer.is_json:
                for name, value in _ids_in(answer.get_json()):
                    if value not in shared:
                        side.own(name, value)


def _ids_of_rows(unit: RowsUnit, tenant_id: str) -> Iterator[tuple[str, str]]:
    for table in with_tenant():
        named = [column for column in table.columns if isinstance(column.type, Id) or column.name.endswith("_id")]
        for row in unit.connection.execute(select(*named).where(table.c.tenant_id == tenant_id)):
            yield from ((column.name, value) for column, value in zip(named, row, strict=True) if value)


def _ids_in(value: Any) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for one in value:
            yield from _ids_in(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            if isinstance(one, str) and name.endswith("_id") and len(one) >= SHORTEST:
                yield name, one
            else:
                yield from _ids_in(one)


def _keep_apart(mine: Side, theirs: Side) -> None:
    """Forget ids that both know, as those of instruments: they are nobody's own."""
    both = mine.all_ids() & theirs.all_ids()
    for side in (mine, theirs):
        for name, values in list(side.owned.items()):
            left = [value for value in values if value not in both]
            side.owned[name] = left
            if not left:
                del side.owned[name]
