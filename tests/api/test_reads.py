"""What the API shows: orders, executions, positions, P&L, quotes, accounts; paged, filtered, and only one's own."""

from decimal import Decimal
from typing import Any

import pytest

from oms_kernel.domain.ids import AccountId
from tests.api.desk import Desk, seed

NOBODY = "0190f3a1-0000-7000-8000-0000000000aa"


def get(desk: Desk, path: str, *, key: str | None = None, status: int = 200) -> Any:
    response = desk.send("GET", f"/api/v1{path}", key=key)
    assert response.status_code == status, response.json
    return response.json


def placed(desk: Desk, **fields: object) -> dict[str, Any]:
    response = desk.place(**fields)
    assert response.status_code == 201, response.json
    order: dict[str, Any] = response.json
    return order


def ids_of(answer: dict[str, Any], name: str = "order_id") -> list[str]:
    return [item[name] for item in answer["items"]]


def test_an_order_is_read_with_its_tags_version_and_events(desk: Desk) -> None:
    order = placed(desk, tags={"desk": "north"})
    response = desk.send("GET", f"/api/v1/orders/{order['order_id']}")
    assert response.json == order
    assert response.headers["ETag"] == f'"v{order["version"]}"'
    desk.fill(order, "4", "99.40")
    read = get(desk, f"/orders/{order['order_id']}")
    assert (read["state"], read["filled_quantity"], read["average_price"]) == (
        "PARTIALLY_FILLED",
        "4",
        "99.4",
    )
    assert (read["fill_percentage"], read["leaves_quantity"]) == ("40", "6")
    events = get(desk, f"/orders/{order['order_id']}/events")
    assert [event["kind"] for event in events["items"]] == [
        "order_accepted",
        "intent_recorded",
        "order_filled",
    ]
    assert events["items"][2]["data"]["fill"]["price"] == "99.40"
    first = get(desk, f"/orders/{order['order_id']}/events?limit=1")
    rest = get(desk, f"/orders/{order['order_id']}/events?limit=5&cursor={first['next_cursor']}")
    assert [event["seq"] for event in (first["items"] + rest["items"])] == [event["seq"] for event in events["items"]]


def test_orders_are_listed_newest_first_and_paged_without_gap_or_repeat(desk: Desk) -> None:
    ids = [placed(desk)["order_id"] for _ in range(7)][::-1]
    whole = get(desk, "/orders")
    assert ids_of(whole) == ids
    assert (whole["total_count"], whole["has_next"], whole["next_cursor"]) == (7, False, None)
    seen, cursor = [], ""
    while True:
        part = get(desk, f"/orders?limit=3{cursor}")
        seen += ids_of(part)
        assert part["has_next"] == (part["next_cursor"] is not None)
        if not part["has_next"]:
            break
        cursor = f"&cursor={part['next_cursor']}"
    assert seen == ids
    assert ids_of(get(desk, "/orders?limit=2&offset=3")) == ids[3:5]
    assert get(desk, f"/orders?limit=3{cursor}")["total_count"] is None
    assert get(desk, f"/orders?limit=3{cursor}&with_total=true")["total_count"] == 7


def test_orders_are_filtered_in_both_vocabularies(desk: Desk) -> None:
    strategy = "0190f3a1-0000-7000-8000-000000000777"
    new = placed(desk, client_order_id="c-1")["order_id"]
    sold = placed(desk, side="SELL", strategy_id=strategy)["order_id"]
    gone = placed(desk)["order_id"]
    desk.send("POST", f"/api/v1/orders/{gone}/cancel")
    for query, wanted in (
        ("status=CANCELED", [gone]),
        ("status=CANCELLED", [gone]),
        ("status=cancelled", [gone]),
        ("state=PENDING", [sold, new]),
        ("status=NEW,CANCELED", [gone, sold, new]),
        ("status=OPEN", []),
        ("status=ACTIVE", [sold, new]),
        ("side=SELL", [sold]),
        (f"strategy_id={strategy}", [sold]),
        ("client_order_id=c-1", [new]),
        ("symbol=ACME", [gone, sold, new]),
        ("symbol=XTEST:ACME", [gone, sold, new]),
        ("symbol=ACME&exchange=XTEST", [gone, sold, new]),
        ("symbol=ACME&exchange=ELSEWHERE", []),
        ("symbol=LOTS", []),
        (f"account_id={desk.ids['account_id']}", [gone, sold, new]),
        (f"account_id={NOBODY}", []),
        (f"instrument_id={desk.ids['instrument_id']}", [gone, sold, new]),
        ("from=2020-01-01T00:00:00Z&to=2100-01-01T00:00:00Z", [gone, sold, new]),
        ("from=2100-01-01T00:00:00Z", []),
        ("to=2020-01-01T00:00:00%2B02:00", []),
    ):
        assert ids_of(get(desk, f"/orders?{query}")) == wanted, query


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("limit=0", "limit"),
        ("limit=501", "limit"),
        ("limit=ten", "limit"),
        ("limit=1_0", "limit"),
        ("offset=-1", "offset"),
        ("cursor=nonsense", "cursor"),
        ("with_total=1", "with_total"),
        ("status=WEIRD", "status"),
        ("state=WEIRD", "state"),
        ("from=yesterday", "from"),
        ("from=2026-01-01", "from"),
        ("account_id=1", "account_id"),
        ("colour=red", "colour"),
        ("limit=1&limit=2", "limit"),
    ],
)
def test_a_bad_query_parameter_is_named(quiet_desk: Desk, query: str, field: str) -> None:
    problem = get(quiet_desk, f"/orders?{query}", status=422)
    assert problem["errors"][0]["field"] == field
    assert problem["errors"][0]["fix"]


LISTS = ("orders", "executions", "positions", "accounts", "broker-accounts", "instruments", "api-keys")


@pytest.mark.parametrize("name", [*LISTS, "strategies", "webhooks"])
def test_every_list_takes_a_page_and_a_range_of_time(quiet_desk: Desk, name: str) -> None:
    whole = get(quiet_desk, f"/{name}")
    assert set(whole) == {"items", "next_cursor", "total_count", "has_next"}
    assert get(quiet_desk, f"/{name}?from=2100-01-01T00:00:00Z")["items"] == []
    assert get(quiet_desk, f"/{name}?to=2020-01-01T00:00:00Z&with_total=true")["total_count"] == 0
    assert get(quiet_desk, f"/{name}?to=2100-01-01T00:00:00Z")["items"] == whole["items"]
    assert len(get(quiet_desk, f"/{name}?limit=1")["items"]) == min(1, len(whole["items"]))
    get(quiet_desk, f"/{name}?cursor=nonsense", status=422)


def test_executions_positions_and_pnl_follow_from_the_fills(desk: Desk) -> None:
    bought = placed(desk, quantity="10", limit_price="99.50")
    desk.fill(bought, "4", "99.40")
    desk.fill(bought, "6", "99.50")
    sold = placed(desk, side="SELL", quantity="5", limit_price="99.90")
    desk.fill(sold, "5", "100")
    executions = get(desk, "/executions")
    assert [(item["side"], item["quantity"], item["price"]) for item in executions["items"]] == [
        ("SELL", "5", "100"),
        ("BUY", "6", "99.5"),
        ("BUY", "4", "99.4"),
    ]
    one = executions["items"][0]
    assert get(desk, f"/executions/{one['execution_id']}") == one
    assert len(get(desk, f"/executions?order_id={bought['order_id']}")["items"]) == 2
    assert len(get(desk, "/executions?limit=2")["items"]) == 2
    position = get(desk, "/positions")["items"][0]
    cost = (Decimal("397.6") + Decimal(597)) / 2
    assert (position["symbol"], position["quantity"], position["book"]) == ("ACME", "5", "NET")
    assert Decimal(position["cost"]) == cost
    assert Decimal(position["realised_pnl"]) == 500 - cost
    assert Decimal(position["mark_price"]) == 100
    assert Decimal(position["unrealised_pnl"]) == 500 - cost
    assert get(desk, f"/positions/{position['position_id']}") == position
    assert get(desk, "/positions?book=MANUAL")["items"][0]["quantity"] == "5"
    today = get(desk, "/pnl/today")["items"]
    assert len(today) == 1
    assert Decimal(today[0]["realised_pnl"]) == 500 - cost
    assert Decimal(today[0]["fees"]) == Decimal("0.75")
    assert Decimal(today[0]["total_pnl"]) == 2 * (500 - cost) - Decimal("0.75")
    assert (today[0]["fills"], today[0]["accepted"]) == (3, 2)
    assert get(desk, f"/pnl/today?account_id={NOBODY}")["items"] == []
    account = get(desk, "/accounts")["items"][0]
    assert Decimal(account["cash"]["USD"]) == 1_000_000 - Decimal("994.6") + 500 - Decimal("0.75")


def test_a_quote_is_read_by_symbol_or_venue_and_symbol(desk: Desk) -> None:
    quote = get(desk, "/marketdata/last/ACME")
    assert (quote["bid"], quote["ask"], quote["symbol"], quote["is_stale"]) == (
        "99.99",
        "100.01",
        "ACME",
        False,
    )
    assert get(desk, "/marketdata/last/XTEST:ACME")["instrument_id"] == desk.ids["instrument_id"]
    assert get(desk, "/marketdata/last/NOSUCH", status=404)["code"] == "not_found"
    assert get(desk, "/marketdata/last/LOTS", status=404)["code"] == "not_found"


def test_instruments_accounts_and_broker_accounts_say_what_can_be_traded_and_where(desk: Desk) -> None:
    instruments = get(desk, "/instruments")["items"]
    assert sorted((item["symbol"], item["lot_size"], item["tick_size"]) for item in instruments) == [
        ("ACME", "1", "0.01"),
        ("LOTS", "100", "0.01"),
    ]
    assert len(get(desk, "/instruments?symbol=LOTS")["items"]) == 1
    one = get(desk, f"/instruments/{desk.ids['instrument_id']}")
    assert one["symbol"] == "ACME"
    account = get(desk, "/accounts")["items"][0]
    assert (account["name"], account["trading_state"], account["broker"]) == ("Paper", "ACTIVE", "sim_broker")
    assert get(desk, f"/accounts/{account['account_id']}") == account
    broker_account = get(desk, "/broker-accounts")["items"][0]
    assert broker_account["broker_account_id"] == desk.ids["broker_account_id"]
    assert broker_account["account_ids"] == [account["account_id"]]
    assert get(desk, f"/accounts/{NOBODY}", status=404)["code"] == "unknown_account"


def test_a_halted_account_denies_orders_and_lets_cancels_through(desk: Desk) -> None:
    working = placed(desk)
    desk.fill(working, "1", "99.40")
    path = f"/api/v1/accounts/{desk.ids['account_id']}/trading-state"
    halted = desk.send("POST", path, {"trading_state": "HALTED", "reason_code": "test"})
    assert halted.json["trading_state"] == "HALTED"
    denied = desk.place()
    assert (denied.status_code, denied.json["code"]) == (422, "risk_denied")
    assert denied.json["verdicts"][0]["rule"] == "trading_state"
    assert get(desk, f"/orders/{denied.json['order_id']}")["state"] == "DENIED"
    keyed = [desk.send("POST", "/api/v1/orders", desk.order(), Idempotency_Key="d-1") for _ in range(2)]
    assert [answer.status_code for answer in keyed] == [422, 422]
    assert keyed[0].json["order_id"] == keyed[1].json["order_id"]
    assert keyed[1].headers["Idempotency-Replayed"] == "true"
    cancelled = desk.send("POST", f"/api/v1/orders/{working['order_id']}/cancel")
    assert (cancelled.status_code, cancelled.json["state"]) == (202, "PENDING_CANCEL")
    again = desk.send("DELETE", f"/api/v1/oms/orders/{working['order_id']}")
    assert (again.status_code, again.json["state"]) == (200, "PENDING_CANCEL")
    assert desk.send("POST", path, {"trading_state": "PARTY"}).status_code == 422


def test_other_tenants_things_are_404_and_out_of_every_list(desk: Desk) -> None:
    order = placed(desk)
    desk.fill(order, "4", "99.40")
    execution = get(desk, "/executions")["items"][0]
    position = get(desk, "/positions")["items"][0]
    strangers = Desk.__new__(Desk)
    strangers.services, strangers.app, strangers.client = desk.services, desk.app, desk.client
    strangers.ids = seed(desk.services, catalogue=False)
    strangers.become("stranger@example.com")
    for path in ("/orders", "/executions", "/positions"):
        assert get(strangers, path)["items"] == []
    for path in (
        f"/orders/{order['order_id']}",
        f"/orders/{order['order_id']}/events",
        f"/executions/{execution['execution_id']}",
        f"/positions/{position['position_id']}",
        f"/accounts/{desk.ids['account_id']}",
    ):
        get(strangers, path, status=404)
    for method, path in (("POST", "/cancel"), ("DELETE", ""), ("PATCH", "")):
        body = {"quantity": "5"} if method == "PATCH" else None
        response = strangers.send(method, f"/api/v1/orders/{order['order_id']}{path}", body)
        assert (response.status_code, response.json["code"]) == (404, "unknown_order")
    stolen = strangers.place(account_id=desk.ids["account_id"])
    assert (stolen.status_code, stolen.json["code"]) == (404, "unknown_account")


def test_a_key_of_one_account_sees_nothing_of_the_others(desk: Desk) -> None:
    order = placed(desk)
    desk.fill(order, "4", "99.40")
    narrow = desk.key("view:orders", "view:positions", "cancel:orders", account_ids=[AccountId(NOBODY)])
    for path in ("/orders", "/executions", "/positions", "/accounts", "/broker-accounts", "/pnl/today"):
        assert get(desk, path, key=narrow)["items"] == [], path
    get(desk, f"/orders/{order['order_id']}", key=narrow, status=404)
    get(desk, f"/orders/{order['order_id']}/events", key=narrow, status=404)
    response = desk.send("POST", f"/api/v1/orders/{order['order_id']}/cancel", key=narrow)
    assert response.status_code == 404
    assert desk.send("POST", "/api/v1/orders/cancel-all", key=narrow).json["results"] == []


def test_without_a_ready_session_nothing_is_stored_and_503_says_when_to_try_again(desk: Desk) -> None:
    before = desk.event_count()
    desk.end_session()
    response = desk.place()
    assert (response.status_code, response.json["code"]) == (503, "no_session")
    assert int(response.headers["Retry-After"]) > 0
    assert desk.event_count() == before
    ready = desk.client.get("/api/v1/health/ready")
    assert (ready.status_code, ready.json["status"]) == (503, "not_ready")
    waiting = desk.place(queue_until="2100-01-01T00:00:00Z")
    assert waiting.status_code == 201, waiting.json


def test_cancelling_all_of_an_account_that_is_not_there_is_404(desk: Desk) -> None:
    placed(desk)
    response = desk.send("POST", "/api/v1/orders/cancel-all", {"account_id": NOBODY})
    assert (response.status_code, response.json["code"]) == (404, "unknown_account")


def test_the_stream_is_at_its_own_address(desk: Desk) -> None:
    response = desk.send("GET", "/api/v1/stream?kinds=order_filled")
    assert response.status_code == 307
    wanted = f"{desk.services.settings.stream_url}/api/v1/stream?kinds=order_filled"
    assert response.headers["Location"] == wanted
