"""Orders through HTTP: placed, refused, changed, cancelled, repeated, one or many."""

from typing import Any

import pytest

from tests.api.desk import Desk

Order = dict[str, Any]


def placed(desk: Desk, **fields: object) -> Order:
    response = desk.place(**fields)
    assert response.status_code == 201, response.json
    order: Order = response.json
    return order


def test_a_good_order_is_201_with_every_field_a_version_and_where_to_find_it(desk: Desk) -> None:
    response = desk.place(tags={"note": "first", "weight": 1.5})
    assert response.status_code == 201, response.json
    order = response.json
    assert order["state"] == "NEW"
    assert order["quantity"] == "10"
    assert order["limit_price"] == "99.5"
    assert order["tags"] == {"note": "first", "weight": "1.5"}
    assert order["requests"] == {"place": "REQUESTED", "replace": None, "cancel": None}
    assert order["is_active"] is True
    assert order["leaves_quantity"] == "10"
    assert response.headers["ETag"] == f'"v{order["version"]}"'
    assert response.headers["Location"] == f"/api/v1/orders/{order['order_id']}"


@pytest.mark.parametrize(
    ("spelling", "field", "value"),
    [
        ({"limit_price": None, "price": "98.10"}, "limit_price", "98.1"),
        ({"validity": "GTC"}, "time_in_force", "GTC"),
        ({"metadata": {"a": 1}}, "tags", {"a": 1}),
        ({"order_type": "SL", "trigger_price": "101"}, "order_type", "STOP_LIMIT"),
        ({"order_type": "SL-M", "limit_price": None, "trigger_price": "101"}, "order_type", "STOP"),
        ({"quantity": 7}, "quantity", "7"),
        ({"quantity": 7.0}, "quantity", "7"),
        ({"exchange": "XTEST"}, "symbol", "ACME"),
        ({"symbol": "XTEST:ACME"}, "symbol", "ACME"),
        ({"product": "MIS"}, "product", "MIS"),
    ],
    ids=repr,
)
def test_other_systems_spellings_mean_the_same(desk: Desk, spelling: Order, field: str, value: object) -> None:
    assert placed(desk, **spelling)[field] == value


def test_a_broker_account_picks_the_account_that_is_routed_to_it(desk: Desk) -> None:
    order = placed(desk, account_id=None, broker_account_id=desk.ids["broker_account_id"])
    assert order["account_id"] == desk.ids["account_id"]


def test_the_same_client_order_id_again_is_409_with_the_first_order(desk: Desk) -> None:
    first = placed(desk, client_order_id="mine-1")
    before = desk.event_count()
    again = desk.place(client_order_id="mine-1", quantity="20")
    assert (again.status_code, again.json["code"]) == (409, "duplicate_client_order_id")
    assert (again.json["order_id"], again.json["state"]) == (first["order_id"], "NEW")
    assert desk.event_count() == before


def test_the_same_idempotency_key_repeats_the_answer_however_the_numbers_are_written(desk: Desk) -> None:
    first = desk.send("POST", "/api/v1/orders", desk.order(quantity="10"), Idempotency_Key="k-1")
    before = desk.event_count()
    again = desk.send("POST", "/api/v1/oms/orders", desk.order(quantity=10.0), Idempotency_Key="k-1")
    assert again.status_code == 201
    assert again.headers["Idempotency-Replayed"] == "true"
    assert "Idempotency-Replayed" not in first.headers
    assert again.json["order_id"] == first.json["order_id"]
    assert desk.event_count() == before


def test_the_same_idempotency_key_with_another_body_is_422(desk: Desk) -> None:
    desk.send("POST", "/api/v1/orders", desk.order(), Idempotency_Key="k-2")
    before = desk.event_count()
    other = desk.send("POST", "/api/v1/orders", desk.order(quantity="11"), Idempotency_Key="k-2")
    assert (other.status_code, other.json["code"]) == (422, "idempotency_key_reused")
    assert desk.event_count() == before


def test_two_callers_may_use_the_same_idempotency_key(desk: Desk) -> None:
    first = desk.send("POST", "/api/v1/orders", desk.order(), Idempotency_Key="k-3")
    second = desk.send("POST", "/api/v1/orders", desk.order(), key=desk.key("place:orders"), Idempotency_Key="k-3")
    assert second.status_code == 201
    assert second.json["order_id"] != first.json["order_id"]


def cancel(desk: Desk, order: Order, **headers: str) -> Any:
    return desk.send("POST", f"/api/v1/orders/{order['order_id']}/cancel", **headers)


def test_cancelling_an_unsent_order_ends_it_and_again_is_409(desk: Desk) -> None:
    order = placed(desk)
    first = cancel(desk, order)
    assert first.status_code in (200, 202), first.json
    assert first.json["state"] == "CANCELED"
    before = desk.event_count()
    again = cancel(desk, order)
    assert (again.status_code, again.json["code"]) == (409, "order_conflict")
    changed = desk.send("PATCH", f"/api/v1/orders/{order['order_id']}", {"quantity": "5"})
    assert (changed.status_code, changed.json["code"]) == (409, "order_conflict")
    assert desk.event_count() == before


def test_an_unsent_order_is_changed_in_place_and_keeps_its_id(desk: Desk) -> None:
    order = placed(desk)
    response = desk.send("PATCH", f"/api/v1/orders/{order['order_id']}", {"quantity": "5", "price": "98"})
    assert response.status_code == 202, response.json
    assert response.json["order_id"] == order["order_id"]
    assert response.json["version"] > order["version"]
    assert response.headers["ETag"] == f'"v{response.json["version"]}"'


def test_a_stale_version_is_412_and_the_present_one_passes(desk: Desk) -> None:
    order = placed(desk)
    path = f"/api/v1/orders/{order['order_id']}"
    stale = desk.send("PATCH", path, {"quantity": "5"}, If_Match='"v999999"')
    assert (stale.status_code, stale.json["code"]) == (412, "stale_version")
    assert desk.send("PATCH", path, {"quantity": "5"}, If_Match="yesterday").status_code == 422
    assert desk.send("PATCH", path, {"quantity": "5"}, If_Match=f'"v{order["version"]}"').status_code == 202


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "quantity"),
        ({"quantity": "0"}, "quantity"),
        ({"quantity": "1_0"}, "quantity"),
        ({"limit_price": "1e400"}, "limit_price"),
        ({"side": "SELL"}, "side"),
        ({"limit_price": "99.505"}, "limit_price"),
    ],
    ids=repr,
)
def test_bad_terms_are_refused_and_change_nothing(desk: Desk, body: Order, field: str) -> None:
    order = placed(desk)
    before = desk.event_count()
    response = desk.send("PATCH", f"/api/v1/orders/{order['order_id']}", body)
    assert response.status_code == 422, response.json
    assert field in [error["field"] for error in response.json["errors"]]
    assert desk.event_count() == before


def test_a_bulk_answers_for_each_order_in_its_place(desk: Desk) -> None:
    orders = [
        desk.order(client_order_id="a"),
        desk.order(quantity="many"),
        desk.order(symbol="NOSUCH"),
        desk.order(client_order_id="a"),
        desk.order(),
    ]
    response = desk.send("POST", "/api/v1/orders/bulk", {"orders": orders})
    assert response.status_code == 200, response.json
    results = response.json["results"]
    assert [result["index"] for result in results] == [0, 1, 2, 3, 4]
    assert [result["status"] for result in results] == [201, 422, 422, 409, 201]
    assert results[1]["problem"]["errors"][0]["field"] == "orders[1].quantity"
    assert results[2]["problem"]["errors"][0]["field"] == "orders[2].symbol"
    assert results[4]["order"]["state"] == "NEW"


def test_an_atomic_bulk_stores_all_or_nothing(desk: Desk) -> None:
    before = desk.event_count()
    for bad in (desk.order(quantity="many"), desk.order(symbol="NOSUCH")):
        answer = desk.send("POST", "/api/v1/orders/bulk", {"orders": [desk.order(), bad], "atomic": True})
        assert next(result["problem"]["code"] for result in answer.json["results"]) == "not_attempted"
        assert desk.event_count() == before
    good = desk.send("POST", "/api/v1/orders/bulk", {"orders": [desk.order(), desk.order()], "atomic": True})
    assert [result["status"] for result in good.json["results"]] == [201, 201]


def test_a_bulk_is_repeated_by_its_idempotency_key(desk: Desk) -> None:
    body = {"orders": [desk.order(), desk.order(symbol="NOSUCH"), desk.order()]}
    first = desk.send("POST", "/api/v1/orders/bulk", body, Idempotency_Key="b-1")
    before = desk.event_count()
    again = desk.send("POST", "/api/v1/orders/bulk", body, Idempotency_Key="b-1")
    assert again.headers["Idempotency-Replayed"] == "true"
    assert [result["status"] for result in again.json["results"]] == [201, 422, 201]
    for place in (0, 2):
        first_id = first.json["results"][place]["order"]["order_id"]
        assert again.json["results"][place]["order"]["order_id"] == first_id
    assert desk.event_count() == before


def test_many_orders_are_cancelled_at_once_each_with_its_result(desk: Desk) -> None:
    orders = [placed(desk) for _ in range(3)]
    ids = [order["order_id"] for order in orders]
    unknown = "0190f3a1-0000-7000-8000-0000000000aa"
    response = desk.send("POST", "/api/v1/orders/bulk/cancel", {"order_ids": [*ids[:2], unknown]})
    assert response.status_code == 200, response.json
    assert [result["order_id"] for result in response.json["results"]] == [*ids[:2], unknown]
    assert response.json["results"][2]["problem"]["code"] == "unknown_order"
    rest = desk.send("POST", "/api/v1/orders/cancel-all", {"account_id": desk.ids["account_id"]})
    assert [result["order_id"] for result in rest.json["results"]] == [ids[2]]
    assert desk.send("POST", "/api/v1/orders/cancel-all").json["results"] == []
    too_many = desk.send("POST", "/api/v1/orders/bulk/cancel", {"order_ids": [unknown] * 501})
    assert (too_many.status_code, too_many.json["code"]) == (422, "bulk_too_large")
