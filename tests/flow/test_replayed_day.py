"""A day of quotes replayed through the whole system: orders over HTTP fill at prices that the quotes of that moment
allow, and positions, cash and P&L equal an independent fold of the executions to the last digit."""

import csv
import gzip
import json
import os
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from oms_kernel.simulation.synthetic import write_quotes_csv
from oms_kernel.testkit.builders import an_instrument
from tests.processes.system import System
from tests.waiting import until

REAL = Path(os.environ.get("OMS_MARKET_DATA", "/nowhere")) / "spy-quotes-1s-2013-10-07.csv.gz"
DEADLINE_S = 60.0
OPENING_CASH = Fraction(1_000_000)

pytestmark = pytest.mark.integration


class Api:
    """The running system as a program sees it."""

    def __init__(self, facts: dict[str, Any]) -> None:
        self.facts = facts

    def call(self, method: str, path: str, body: object = None) -> Any:
        request = urllib.request.Request(
            f"{self.facts['url']}/api/v1/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"X-API-Key": self.facts["api_key"], "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as answer:
                return json.loads(answer.read(), parse_float=Decimal)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{method} {path} {body}: {error.read().decode()}") from error

    def place(self, side: str, quantity: str, order_type: str, **fields: str) -> str:
        body = {
            "account_id": self.facts["account_id"],
            "symbol": "SPY",
            "side": side,
            "quantity": quantity,
            "order_type": order_type,
            **fields,
        }
        order_id: str = self.call("POST", "orders", body)["order_id"]
        return order_id

    def quote(self) -> dict[str, Any]:
        quote: dict[str, Any] = self.call("GET", "marketdata/last/SPY")
        return quote

    def becomes(self, order_id: str, *states: str) -> dict[str, Any]:
        def settled() -> dict[str, Any] | None:
            order: dict[str, Any] = self.call("GET", f"orders/{order_id}")
            return order if order["state"] in states else None

        return until(settled, f"{order_id} in {states}", DEADLINE_S)

    def all(self, path: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = []
        cursor = ""
        while True:
            page = self.call("GET", f"{path}{'&' if '?' in path else '?'}limit=500{cursor}")
            items += page["items"]
            if not page["next_cursor"]:
                return items
            cursor = f"&cursor={page['next_cursor']}"


def synthetic_day(folder: Path) -> Path:
    path = folder / "day.csv.gz"
    write_quotes_csv(
        path,
        [an_instrument("SPY")],
        seed=11,
        start=datetime(2024, 5, 6, 13, 30, tzinfo=UTC),
        interval=timedelta(seconds=1),
        rows=20_000,
    )
    return path


@pytest.fixture(scope="module", params=["synthetic", *(["real"] if REAL.exists() else [])])
def day(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, Api]]:
    home = tmp_path_factory.mktemp("day")
    path = synthetic_day(home) if request.param == "synthetic" else REAL
    system = System(home / "home")
    try:
        system.start("--feed", str(path), "--speed", "20")
        yield path, Api(system.demo)
        system.stop()
    finally:
        system.close()


def test_orders_of_every_type_fill_at_prices_that_the_quotes_allow_and_the_books_add_up(day: tuple[Path, Api]) -> None:
    path, api = day
    quote = api.quote()
    tick = Decimal("0.01")
    bid, ask = Decimal(quote["bid"]), Decimal(quote["ask"])
    wanted: list[tuple[str, str, str, dict[str, str]]] = [
        ("BUY", "37", "MARKET", {}),
        ("BUY", "20", "LIMIT", {"limit_price": str(ask + 50 * tick)}),
        ("SELL", "11", "MARKET", {}),
        ("SELL", "60", "LIMIT", {"limit_price": str(bid - 50 * tick)}),
        ("BUY", "15", "STOP", {"stop_price": str(bid - 50 * tick)}),
        ("SELL", "9", "STOP_LIMIT", {"stop_price": str(ask + 50 * tick), "limit_price": str(bid - 90 * tick)}),
        ("BUY", "8", "TRAILING_STOP", {"trail_amount": "0.01"}),
        ("SELL", "5", "TRAILING_STOP", {"trail_percent": "0.01"}),
    ]
    filled = []
    for side, quantity, order_type, prices in wanted:
        time_in_force = "DAY" if order_type == "MARKET" else "GTC"
        order_id = api.place(side, quantity, order_type, time_in_force=time_in_force, **prices)
        filled.append(api.becomes(order_id, "FILLED"))
    far = str((ask * Decimal("0.92")).quantize(tick))
    resting = api.place("BUY", "1", "LIMIT", limit_price=far, time_in_force="GTC")
    assert api.becomes(resting, "WORKING")["filled_quantity"] == "0"
    by_order = {order["order_id"]: order for order in filled}
    executions = api.all("executions")
    quotes = quotes_by_time(path)
    for execution in executions:
        assert_price_was_there(execution, by_order[execution["order_id"]], quotes)
    assert_books_add_up(api, executions)


def quotes_by_time(path: Path) -> list[tuple[datetime, Decimal | None, Decimal | None]]:
    with gzip.open(path, "rt", newline="") as file:
        return [
            (datetime.fromisoformat(row["ts"]), _price(row["bid"]), _price(row["ask"]))
            for row in csv.DictReader(file)
            if row["symbol"] == "SPY"
        ]


def _price(text: str) -> Decimal | None:
    return Decimal(text) if text and Decimal(text) > 0 else None


def assert_price_was_there(execution: dict[str, Any], order: dict[str, Any], quotes: list[Any]) -> None:
    """The execution's price is the opposite side of a quote in force at its time, within the order's limit."""
    at, price = datetime.fromisoformat(execution["executed_at"]), Decimal(execution["price"])
    side = 2 if execution["side"] == "BUY" else 1
    before = [quote for quote in quotes if quote[0] <= at]
    in_force = [quote for quote in quotes if quote[0] == before[-1][0]] + before[-2:]
    shown = {quote[side] for quote in in_force}
    limit = order["limit_price"]
    if limit is not None:
        worse = price > Decimal(limit) if execution["side"] == "BUY" else price < Decimal(limit)
        assert not worse, (execution, order)
    resting_at_limit = limit is not None and price == Decimal(limit)
    assert price in shown or resting_at_limit, (execution, order, in_force)


def assert_books_add_up(api: Api, executions: list[dict[str, Any]]) -> None:
    """Quantity, cost, realised P&L, fees and cash by an average-cost fold in fractions, to the last digit."""
    quantity = cost = realised = fees = Fraction(0)
    cash = OPENING_CASH
    for execution in sorted(executions, key=lambda found: found["seq"]):
        sign = 1 if execution["side"] == "BUY" else -1
        traded, price = Fraction(execution["quantity"]) * sign, Fraction(execution["price"])
        fees += Fraction(execution["fee"])
        cash -= traded * price + Fraction(execution["fee"])
        if quantity * traded >= 0:
            quantity, cost = quantity + traded, cost + traded * price
            continue
        closing = min(abs(quantity), abs(traded)) * sign
        closed_cost = Fraction(quantise(cost * abs(closing) / abs(quantity)))
        realised += -closing * price - closed_cost
        quantity, cost = quantity + traded, cost - closed_cost + (traded - closing) * price
    (account,) = api.call("GET", "accounts")["items"]
    assert Fraction(account["cash"]["USD"]) == cash
    (position,) = [found for found in api.call("GET", "positions")["items"] if found["symbol"] == "SPY"]
    found = [Fraction(position[name]) for name in ("quantity", "cost", "realised_pnl", "fees")]
    assert found == [quantity, cost, realised, fees]
    (pnl,) = api.call("GET", "pnl/today")["items"]
    assert (Fraction(pnl["realised_pnl"]), Fraction(pnl["fees"])) == (realised, fees)
    assert pnl["fills"] == len(executions)


def quantise(value: Fraction) -> Fraction:
    """Half-even to 12 fraction digits."""
    return Fraction(round(value * 10**12), 10**12)
