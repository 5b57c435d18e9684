"""Bad input through HTTP: a 4xx that names the field and the fix, and nothing stored."""

from typing import Any

import pytest

from oms_kernel.domain.errors import InvalidRequest
from tests.api.desk import Desk

PAST = "2024-02-29T10:00:00Z"

# What is sent instead of a good field, the code, and the field that the problem names.
BAD_FIELDS: list[tuple[dict[str, Any], int, str, str]] = [
    ({"symbol": "NOSUCH"}, 422, "unknown_symbol", "symbol"),
    ({"instrument_id": "not an id", "symbol": None}, 422, "unknown_symbol", "instrument_id"),
    ({"symbol": "ACME", "exchange": "NOWHERE"}, 422, "unknown_symbol", "symbol"),
    ({"account_id": "0190f3a1-0000-7000-8000-0000000000aa"}, 404, "unknown_account", "account_id"),
    ({"account_id": "nobody"}, 404, "unknown_account", "account_id"),
    (
        {"account_id": None, "broker_account_id": "0190f3a1-0000-7000-8000-0000000000aa"},
        404,
        "unknown_account",
        "broker_account_id",
    ),
    ({"account_id": None}, 422, "invalid_request", "account_id"),
    ({"symbol": None}, 422, "invalid_request", "symbol"),
    ({"quantity": "0"}, 422, "invalid_number", "quantity"),
    ({"quantity": 0}, 422, "invalid_number", "quantity"),
    ({"quantity": "-5"}, 422, "invalid_number", "quantity"),
    ({"quantity": -0.0}, 422, "invalid_number", "quantity"),
    ({"quantity": "NaN"}, 422, "invalid_number", "quantity"),
    ({"quantity": "Infinity"}, 422, "invalid_number", "quantity"),
    ({"quantity": "-inf"}, 422, "invalid_number", "quantity"),
    ({"quantity": "1e400"}, 422, "invalid_number", "quantity"),
    ({"quantity": "1_000"}, 422, "invalid_number", "quantity"),
    ({"quantity": "1,000"}, 422, "invalid_number", "quantity"),
    ({"quantity": " 10"}, 422, "invalid_number", "quantity"),
    ({"quantity": "１０"}, 422, "invalid_number", "quantity"),
    ({"quantity": "0x10"}, 422, "invalid_number", "quantity"),
    ({"quantity": ""}, 422, "invalid_number", "quantity"),
    ({"quantity": True}, 422, "invalid_number", "quantity"),
    ({"quantity": [10]}, 422, "invalid_number", "quantity"),
    ({"quantity": {"value": 10}}, 422, "invalid_number", "quantity"),
    ({"quantity": "1" * 40}, 422, "invalid_number", "quantity"),
    ({"quantity": int("1" * 40)}, 422, "invalid_number", "quantity"),
    ({"quantity": "0." + "1" * 40}, 422, "invalid_number", "quantity"),
    ({"quantity": None}, 422, "invalid_request", "quantity"),
    ({"quantity": "10.5"}, 422, "invalid_request", "quantity"),
    ({"symbol": "LOTS", "quantity": "150"}, 422, "invalid_request", "quantity"),
    ({"limit_price": "99.505"}, 422, "invalid_request", "limit_price"),
    ({"limit_price": "0"}, 422, "invalid_request", "limit_price"),
    ({"limit_price": "-1"}, 422, "invalid_request", "limit_price"),
    ({"limit_price": "NaN"}, 422, "invalid_number", "limit_price"),
    ({"limit_price": None}, 422, "invalid_request", "limit_price"),
    ({"order_type": "STOP", "limit_price": None}, 422, "invalid_request", "stop_price"),
    ({"order_type": "STOP_LIMIT"}, 422, "invalid_request", "stop_price"),
    ({"order_type": "MARKET"}, 422, "invalid_request", "limit_price"),
    ({"order_type": "TRAILING_STOP", "limit_price": None}, 422, "invalid_request", "trail_amount"),
    ({"order_type": "ICEBERG"}, 422, "invalid_request", "order_type"),
    ({"order_type": "limit"}, 422, "invalid_request", "order_type"),
    ({"order_type": None}, 422, "invalid_request", "order_type"),
    ({"side": "HOLD"}, 422, "invalid_request", "side"),
    ({"side": None}, 422, "invalid_request", "side"),
    ({"side": 1}, 422, "invalid_request", "side"),
    ({"time_in_force": "GTD", "expire_at": PAST}, 422, "invalid_request", "expire_at"),
    ({"time_in_force": "GTD"}, 422, "invalid_request", "expire_at"),
    ({"time_in_force": "FOREVER"}, 422, "invalid_request", "time_in_force"),
    ({"expire_at": "2026-01-01"}, 422, "invalid_request", "expire_at"),
    ({"expire_at": "2026-01-01T10:00:00"}, 422, "invalid_request", "expire_at"),
    ({"expire_at": 1767225600}, 422, "invalid_request", "expire_at"),
    ({"client_order_id": ""}, 422, "invalid_request", "client_order_id"),
    ({"client_order_id": "x" * 200}, 422, "invalid_request", "client_order_id"),
    ({"client_order_id": "a\u0000b"}, 422, "invalid_request", "client_order_id"),
    ({"client_order_id": 7}, 422, "invalid_request", "client_order_id"),
    ({"strategy_id": "momentum"}, 422, "invalid_request", "strategy_id"),
    ({"product": "XYZ"}, 422, "invalid_request", "product"),
    ({"reduce_only": "yes"}, 422, "invalid_request", "reduce_only"),
    ({"tags": ["a"]}, 422, "invalid_request", "tags"),
    ({"tags": {"note": "x" * 5000}}, 422, "invalid_request", "tags"),
    ({"qty": "10"}, 422, "invalid_request", "qty"),
    ({"limitprice": "10"}, 422, "invalid_request", "limitprice"),
    ({"status": "FILLED"}, 422, "invalid_request", "status"),
    ({"order_id": "0190f3a1-0000-7000-8000-0000000000aa"}, 422, "invalid_request", "order_id"),
    ({"price": "99.50"}, 422, "invalid_request", "price"),
    ({"validity": "DAY", "time_in_force": "DAY"}, 422, "invalid_request", "time_in_force"),
    ({"metadata": {}, "tags": {}}, 422, "invalid_request", "tags"),
    ({"stop_loss": "90"}, 422, "invalid_request", "stop_loss"),
]


@pytest.mark.parametrize(("bad", "status", "code", "field"), BAD_FIELDS, ids=lambda value: repr(value)[:60])
def test_a_bad_field_is_named_with_its_fix_and_nothing_is_stored(
    quiet_desk: Desk, bad: dict[str, Any], status: int, code: str, field: str
) -> None:
    before = quiet_desk.event_count()
    response = quiet_desk.place(**bad)
    problem = response.json
    assert response.content_type == "application/problem+json"
    assert (response.status_code, problem["code"]) == (status, code), problem
    assert field in [error["field"] for error in problem["errors"]], problem
    assert all(error["detail"] and error["fix"] for error in problem["errors"]), problem
    assert all(error["fix"] != InvalidRequest.__doc__ for error in problem["errors"]), problem
    assert problem["request_id"] == response.headers["X-Request-ID"]
    assert quiet_desk.event_count() == before


BAD_BODIES: list[tuple[bytes, int, str]] = [
    (b"", 400, "malformed_json"),
    (b"{", 400, "malformed_json"),
    (b'{"quantity": NaN}', 400, "malformed_json"),
    (b'{"quantity": Infinity}', 400, "malformed_json"),
    (b'{"quantity": 1_000}', 400, "malformed_json"),
    (b'{"quantity": 01}', 400, "malformed_json"),
    (b"{'quantity': 1}", 400, "malformed_json"),
    (b'{"side": "BUY",}', 400, "malformed_json"),
    (b"\xff\xfe", 400, "malformed_json"),
    (b'{"symbol": "\xff"}', 400, "malformed_json"),
    (b'{"symbol": "\\ud800"}', 400, "malformed_json"),
    (b"[" * 200_000 + b"]" * 200_000, 400, "malformed_json"),
    (b'{"tags": ' + b"[" * 40 + b"]" * 40 + b"}", 400, "malformed_json"),
    (b'{"tags": ' + b'{"a":' * 40 + b"1" + b"}" * 40 + b"}", 400, "malformed_json"),
    (b"[]", 422, "invalid_request"),
    (b"null", 422, "invalid_request"),
    (b"7", 422, "invalid_request"),
    (b'"order"', 422, "invalid_request"),
    (b" " * 1_048_577, 413, "body_too_large"),
    (b'{"symbol": "AAPL", "quantity": "1", "quantity": "2"}', 400, "malformed_json"),
    (b'{"quantity": "1", "tags": {"a": "x:y", "\\u0061": "z"}}', 400, "malformed_json"),
]


@pytest.mark.parametrize(("body", "status", "code"), BAD_BODIES, ids=lambda value: repr(value)[:40])
def test_a_body_that_is_no_order_is_refused_and_nothing_is_stored(
    quiet_desk: Desk, body: bytes, status: int, code: str
) -> None:
    before = quiet_desk.event_count()
    response = quiet_desk.send("POST", "/api/v1/orders", body)
    assert (response.status_code, response.json["code"]) == (status, code), response.json
    assert quiet_desk.event_count() == before


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1e-400", b"1" * 40, b"0." + b"1" * 40, b"true"])
def test_a_number_out_of_bounds_is_refused_when_written_as_a_json_number_too(quiet_desk: Desk, number: bytes) -> None:
    before = quiet_desk.event_count()
    body = b'{"account_id": "%s", "symbol": "ACME", "side": "BUY", "order_type": "MARKET", "quantity": %s}' % (
        quiet_desk.ids["account_id"].encode(),
        number,
    )
    response = quiet_desk.send("POST", "/api/v1/orders", body)
    assert response.status_code == 422, response.json
    assert response.json["code"] == "invalid_number"
    assert response.json["errors"][0]["field"] == "quantity"
    assert quiet_desk.event_count() == before


@pytest.mark.parametrize(
    ("bad", "field", "words"),
    [
        ({"limit_price": "99.501"}, "limit_price", "tick_size"),
        ({"limit_price": None}, "limit_price", "LIMIT, STOP_LIMIT"),
        ({"quantity": "1.5"}, "quantity", "lot_size"),
        ({"stop_price": "1"}, "stop_price", "STOP"),
        ({"time_in_force": "GTD"}, "expire_at", "GTD needs one"),
    ],
)
def test_a_refusal_by_the_kernel_says_what_to_do_about_its_field(
    quiet_desk: Desk, bad: dict[str, Any], field: str, words: str
) -> None:
    (error,) = quiet_desk.place(**bad).json["errors"]
    assert error["field"] == field
    assert words in error["fix"]


def test_every_field_at_fault_is_named_at_once(quiet_desk: Desk) -> None:
    response = quiet_desk.place(side="HOLD", quantity="many", limit_price=True, colour="red")
    assert {error["field"] for error in response.json["errors"]} == {
        "side",
        "quantity",
        "limit_price",
        "colour",
    }


def test_a_body_of_another_type_is_415(quiet_desk: Desk) -> None:
    response = quiet_desk.client.post("/api/v1/orders", data={"side": "BUY"}, headers={"X-API-Key": quiet_desk.api_key})
    assert (response.status_code, response.json["code"]) == (415, "unsupported_media_type")


def test_a_bulk_of_501_is_refused_as_a_whole(quiet_desk: Desk) -> None:
    before = quiet_desk.event_count()
    response = quiet_desk.send("POST", "/api/v1/orders/bulk", {"orders": [quiet_desk.order() for _ in range(501)]})
    assert (response.status_code, response.json["code"]) == (422, "bulk_too_large")
    assert quiet_desk.event_count() == before


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"orders": []},
        {"orders": {}},
        {"orders": "all"},
        {"orders": [{}], "atomic": 1},
        {"orders": [{}], "all": True},
        7,
    ],
)
def test_a_bulk_that_is_wrong_as_a_whole_is_refused(quiet_desk: Desk, body: object) -> None:
    response = quiet_desk.send("POST", "/api/v1/orders/bulk", body)
    assert (response.status_code, response.json["code"]) == (422, "invalid_request")


def test_no_token_and_wrong_tokens_are_401_whatever_the_body(quiet_desk: Desk) -> None:
    before = quiet_desk.event_count()
    good = {"Content-Type": "application/json"}
    wrong_key = quiet_desk.api_key[:-1] + ("A" if quiet_desk.api_key[-1] != "A" else "B")
    for headers in (
        {},
        {"X-API-Key": ""},
        {"X-API-Key": "nonsense"},
        {"X-API-Key": wrong_key},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": f"Bearer {wrong_key}"},
        {"Cookie": "oms_access=nonsense"},
    ):
        for body in (b"{", b'{"colour": 1}'):
            response = quiet_desk.client.post("/api/v1/orders", data=body, headers={**good, **headers})
            assert response.status_code == 401, (headers, response.json)
            assert response.content_type == "application/problem+json"
            assert response.headers["WWW-Authenticate"].startswith("Bearer")
    assert quiet_desk.event_count() == before


def test_a_key_without_the_scope_is_403_and_names_the_scope(quiet_desk: Desk) -> None:
    reader = quiet_desk.key("view:orders")
    before = quiet_desk.event_count()
    response = quiet_desk.send("POST", "/api/v1/orders", quiet_desk.order(), key=reader)
    assert (response.status_code, response.json["code"]) == (403, "not_permitted")
    assert response.json["scope"] == "place:orders"
    assert quiet_desk.event_count() == before


def test_a_key_of_other_accounts_does_not_see_this_one(quiet_desk: Desk) -> None:
    stranger = quiet_desk.key("place:orders", account_ids=["0190f3a1-0000-7000-8000-0000000000aa"])
    response = quiet_desk.send("POST", "/api/v1/orders", quiet_desk.order(), key=stranger)
    assert (response.status_code, response.json["code"]) == (404, "unknown_account")


@pytest.mark.parametrize("header", ["", "x" * 256, "schlüssel", "a\tb"])
def test_an_idempotency_key_that_is_none_is_refused(quiet_desk: Desk, header: str) -> None:
    before = quiet_desk.event_count()
    response = quiet_desk.send("POST", "/api/v1/orders", quiet_desk.order(), Idempotency_Key=header)
    assert response.status_code == 422
    assert response.json["errors"][0]["field"] == "Idempotency-Key"
    assert quiet_desk.event_count() == before


def test_unknown_paths_methods_and_ids_are_problems(quiet_desk: Desk) -> None:
    for method, path, status in (
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/v1/orders/not-an-id", 404),
        ("PATCH", "/api/v1/orders", 405),
        ("POST", "/api/v1/orders/0190f3a1-0000-7000-8000-0000000000aa/cancel", 404),
    ):
        response = quiet_desk.send(method, path)
        assert response.status_code == status, (path, response.json)
        assert response.content_type == "application/problem+json"
        assert response.json["status"] == status


def test_an_unknown_query_parameter_is_refused(quiet_desk: Desk) -> None:
    response = quiet_desk.send("POST", "/api/v1/orders?dry_run=1", quiet_desk.order())
    assert response.status_code == 422
    assert response.json["errors"][0]["field"] == "dry_run"
