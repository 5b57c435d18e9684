"""Orders that a soft limit holds, over HTTP: they wait in full, a second person lets one go once, or ends it."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, update

from oms_app.flow.scopes import Scope
from oms_app.store import tables
from oms_app.store.limits import put_limit
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.events import HoldReleased
from oms_kernel.domain.ids import LedgerId
from tests.api.conftest import opened
from tests.api.desk import PASSWORD, Desk

QUEUE = "/api/v1/risk/approvals"
REASON = {"reason": "Agreed with the client by phone."}


@pytest.fixture
def desk(migrated_file: Path, tmp_path: Path) -> Iterator[Desk]:
    with opened(migrated_file, tmp_path) as made:
        limit(made, "soft", {"max_quantity": "100"}, RuleSeverity.SOFT)
        yield made


def limit(
    desk: Desk, name: str, params: dict[str, Any], severity: RuleSeverity = RuleSeverity.HARD, rule: str = ""
) -> str:
    """A limit of the tenant, in force from the next order on."""
    limit_id = str(uuid.uuid5(uuid.NAMESPACE_DNS, name))
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        put_limit(unit, limit_id, rule=rule or "max_order_quantity", params=params, severity=severity)
    return limit_id


class Officer:
    """A second person of the tenant who manages risk, with a key of their own."""

    def __init__(self, desk: Desk, role: str = "MANAGER") -> None:
        self.desk = desk
        self.email = f"{uuid.uuid4().hex}@example.com"
        self.user_id = desk.services.identity.create_user(self.email, PASSWORD, desk.tenant_id, role)
        self.key = self.new_key()

    def new_key(self) -> str:
        """A key of this person."""
        principal = type(self.desk.principal)(
            principal_id=f"user:{self.user_id}",
            tenant_id=self.desk.tenant_id,
            scopes=frozenset({str(Scope.MANAGE_RISK), str(Scope.PLACE_ORDERS), str(Scope.MODIFY_ORDERS)}),
        )
        made = self.desk.services.identity.create_key(
            principal, "officer", [str(Scope.MANAGE_RISK), str(Scope.PLACE_ORDERS), str(Scope.MODIFY_ORDERS)]
        )
        return made.api_key

    def approve(self, order_id: str, body: object = REASON) -> Any:
        return self.desk.send("POST", f"{QUEUE}/{order_id}/approve", body, key=self.key)

    def decline(self, order_id: str) -> Any:
        return self.desk.send("POST", f"{QUEUE}/{order_id}/decline", REASON, key=self.key)


def held(desk: Desk, quantity: str = "150", **fields: object) -> dict[str, Any]:
    answer = desk.place(quantity=quantity, **fields)
    assert (answer.status_code, answer.json["state"]) == (201, "HELD"), answer.json
    order: dict[str, Any] = answer.json
    return order


def state(desk: Desk, order_id: str) -> tuple[str, str]:
    shown = desk.send("GET", f"/api/v1/orders/{order_id}").json
    return shown["state"], shown["reason_code"]


def kinds(desk: Desk, order_id: str) -> list[str]:
    return [event["kind"] for event in desk.send("GET", f"/api/v1/orders/{order_id}/events").json["items"]]


def test_an_order_over_a_soft_limit_waits_and_is_not_sent(desk: Desk) -> None:
    order = held(desk)
    assert order["hold_until"] is not None
    desk.send_all()
    assert state(desk, order["order_id"])[0] == "HELD"
    assert kinds(desk, order["order_id"]) == ["order_accepted"]
    (waiting,) = desk.send("GET", QUEUE).json["items"]
    assert waiting["order"]["order_id"] == order["order_id"]
    assert waiting["hold_until"] == order["hold_until"]
    assert len(waiting["requested_by"]) == 1
    (verdict,) = waiting["verdicts"]
    assert (verdict["rule"], verdict["outcome"], verdict["severity"]) == ("max_order_quantity", "HOLD", "SOFT")
    assert (verdict["observed"], verdict["limit"], verdict["headroom"]) == ("150", "100", "-50")


def test_a_second_person_releases_an_order_which_is_then_sent_once(desk: Desk) -> None:
    order, officer = held(desk), Officer(desk)
    answer = officer.approve(order["order_id"])
    assert (answer.status_code, answer.json["state"]) == (200, "NEW"), answer.json
    assert answer.json["approved_by"].startswith("key:")
    assert officer.approve(order["order_id"]).json["code"] == "order_conflict"
    desk.send_all()
    assert kinds(desk, order["order_id"]) == ["order_accepted", "hold_released", "intent_recorded"]
    assert desk.send("GET", QUEUE).json["items"] == []


def test_the_override_is_for_this_order_only(desk: Desk) -> None:
    order, officer = held(desk), Officer(desk)
    assert officer.approve(order["order_id"]).status_code == 200
    assert held(desk, quantity="150", allow_duplicate=True)["state"] == "HELD"
    changed = desk.send("PATCH", f"/api/v1/orders/{order['order_id']}", {"quantity": "160"})
    assert (changed.status_code, changed.json["code"]) == (422, "risk_denied")


def test_whoever_placed_an_order_cannot_approve_it_not_even_behind_another_key(desk: Desk) -> None:
    order = held(desk)
    own = desk.send("POST", f"{QUEUE}/{order['order_id']}/approve", REASON)
    other = desk.send("POST", f"{QUEUE}/{order['order_id']}/approve", REASON, key=desk.key(*Scope))
    person: Any = desk.client.post(f"{QUEUE}/{order['order_id']}/approve", json=REASON, headers=desk.person())
    assert [(one.status_code, one.json["code"]) for one in (own, other, person)] == [(403, "not_permitted")] * 3
    assert state(desk, order["order_id"])[0] == "HELD"


def test_whoever_changed_a_held_order_cannot_approve_it_either(desk: Desk) -> None:
    order, one, other = held(desk), Officer(desk), Officer(desk)
    path = f"/api/v1/orders/{order['order_id']}"
    changed = desk.send("PATCH", path, {"quantity": "180"}, key=one.key)
    assert (changed.status_code, changed.json["state"], changed.json["quantity"]) == (202, "HELD", "180")
    assert one.approve(order["order_id"]).status_code == 403
    assert other.approve(order["order_id"]).json["state"] == "NEW"


def test_a_person_must_have_stepped_up_and_a_key_without_the_scope_may_not(desk: Desk) -> None:
    order, officer = held(desk), Officer(desk)
    pair = desk.services.identity.sign_in(officer.email, PASSWORD, tenant_id=desk.tenant_id)
    stale: Any = desk.client.post(
        f"{QUEUE}/{order['order_id']}/approve",
        json=REASON,
        headers={"Authorization": f"Bearer {pair.access_token}"},
    )
    assert (stale.status_code, stale.json["code"]) == (403, "step_up_required")
    trader = desk.key(Scope.PLACE_ORDERS, Scope.VIEW_ORDERS)
    assert desk.send("POST", f"{QUEUE}/{order['order_id']}/approve", REASON, key=trader).status_code == 403
    assert desk.send("GET", QUEUE, key=trader).status_code == 403
    desk.email = officer.email
    fresh: Any = desk.client.post(f"{QUEUE}/{order['order_id']}/approve", json=REASON, headers=desk.person())
    assert (fresh.status_code, fresh.json["approved_by"]) == (200, f"user:{officer.user_id}")


def test_an_approval_needs_a_reason_which_stands_beside_the_log(desk: Desk) -> None:
    order, officer = held(desk), Officer(desk)
    for body in ({}, {"reason": "  "}, {"reason": ""}):
        refused = officer.approve(order["order_id"], body)
        assert (refused.status_code, refused.json["code"]) == (422, "invalid_request")
        assert refused.json["errors"][0]["field"] == "reason"
    assert officer.approve(order["order_id"]).status_code == 200
    with desk.services.store.read_unit(desk.tenant_id) as unit:
        texts = unit.connection.execute(
            select(tables.ORDER_TEXTS.c.text).where(
                tables.ORDER_TEXTS.c.tenant_id == desk.tenant_id, tables.ORDER_TEXTS.c.kind == "approval"
            )
        ).scalars()
        assert list(texts) == [REASON["reason"]]
    events = desk.services.store.events(desk.tenant_id, LedgerId(desk.ids["ledger_id"]), 0, 1000)
    (released,) = [one.event for one in events if isinstance(one.event, HoldReleased)]
    assert released.text_hash
    assert REASON["reason"] not in repr(released)
    assert len(released.overridden) == 1


def test_a_hard_limit_that_denies_now_leaves_the_order_waiting(desk: Desk) -> None:
    order, officer = held(desk), Officer(desk)
    limit(desk, "hard", {"max_quantity": "120"})
    answer = officer.approve(order["order_id"])
    assert (answer.status_code, answer.json["code"]) == (422, "risk_denied"), answer.json
    assert (answer.json["order_id"], answer.json["state"]) == (order["order_id"], "HELD")
    assert [(one["rule"], one["limit"]) for one in answer.json["verdicts"]] == [("max_order_quantity", "120")]
    assert kinds(desk, order["order_id"])[:1] == ["order_accepted"]
    assert state(desk, order["order_id"])[0] == "HELD"
    found = desk.send("GET", "/api/v1/audit?action=approval.refused").json["items"]
    assert [(one["order_id"], one["decision"]) for one in found] == [(order["order_id"], "REFUSED")]


def test_a_declined_order_ends_and_was_never_sent(desk: Desk) -> None:
    order, officer = held(desk), Officer(desk)
    answer = officer.decline(order["order_id"])
    assert (answer.status_code, answer.json["state"]) == (200, "CANCELED")
    assert (answer.json["reason_code"], answer.json["evidence"]) == ("approval_declined", "NEVER_SENT")
    assert officer.approve(order["order_id"]).json["code"] == "order_conflict"
    assert officer.decline(order["order_id"]).json["code"] == "order_conflict"


def test_what_is_held_counts_in_full(desk: Desk) -> None:
    limit(desk, "position", {"max_quantity": "200"}, rule="max_position")
    held(desk)
    denied = desk.place(quantity="60")
    assert (denied.status_code, denied.json["verdicts"][0]["rule"]) == (422, "max_position")
    assert desk.place(quantity="50").json["state"] == "NEW"


def test_a_held_order_can_be_cancelled_and_amended(desk: Desk) -> None:
    order = held(desk)
    path = f"/api/v1/orders/{order['order_id']}"
    assert desk.send("PATCH", path, {"quantity": "170"}).json["state"] == "HELD"
    verdicts = desk.send("GET", f"{QUEUE}").json["items"][0]["verdicts"]
    assert [one["observed"] for one in verdicts] == ["170"]
    limit(desk, "hard", {"max_quantity": "200"})
    assert desk.send("PATCH", path, {"quantity": "300"}).json["code"] == "risk_denied"
    assert desk.send("POST", f"{path}/cancel").json["state"] == "CANCELED"


def test_every_judgement_of_an_orders_life_can_be_read(desk: Desk) -> None:
    order, officer = held(desk), Officer(desk)
    path = f"/api/v1/orders/{order['order_id']}"
    desk.send("PATCH", path, {"quantity": "170"})
    limit(desk, "hard", {"max_quantity": "200"})
    desk.send("PATCH", path, {"quantity": "300"})
    officer.approve(order["order_id"])
    judged = desk.send("GET", f"{path}/verdicts").json["items"]
    assert [one["judgement"] for one in judged] == ["HELD", "ACCEPTED", "DENIED", "APPROVED"]
    assert [one["verdicts"][0]["observed"] for one in judged] == ["150", "170", "300", "170"]
    assert all({"headroom", "limit_version", "inputs", "would_pass"} <= set(one["verdicts"][0]) for one in judged)
    assert judged[3]["overridden"] == [judged[0]["verdicts"][0]["limit_id"]]


def test_streams_are_told_of_a_release(desk: Desk) -> None:
    order, officer = held(desk), Officer(desk)
    officer.approve(order["order_id"])
    events = desk.send("GET", f"/api/v1/orders/{order['order_id']}/events").json["items"]
    released = next(one for one in events if one["kind"] == "hold_released")
    assert released["data"]["overridden"]


def test_verdicts_of_all_orders_are_found_by_rule_account_and_severity(desk: Desk) -> None:
    limit(desk, "shadow", {"max_quantity": "20"}, RuleSeverity.SHADOW)
    for quantity in ("150", "30", "31"):
        desk.place(quantity=quantity)
    limit(desk, "hard", {"max_quantity": "40"})
    assert desk.place(quantity="50").status_code == 422
    search = "/api/v1/risk/verdicts"
    by_severity = {
        word: len(desk.send("GET", f"{search}?severity={word}").json["items"]) for word in ("HARD", "SOFT", "SHADOW")
    }
    assert by_severity == {"HARD": 1, "SOFT": 1, "SHADOW": 4}
    assert desk.send("GET", f"{search}?rule=max_position").json["items"] == []
    first = desk.send("GET", f"{search}?limit=2").json
    rest = desk.send("GET", f"{search}?limit=10&cursor={first['next_cursor']}").json
    every = [*first["items"], *rest["items"]]
    assert len(every) == len({(one["order_seq"], one["position"]) for one in every}) == 6
    assert every[0]["would_pass"]
    assert desk.send("GET", f"{search}?cursor=nonsense").status_code == 422


def test_a_denial_names_rule_observed_limit_and_what_would_pass(desk: Desk) -> None:
    limit(desk, "hard", {"max_quantity": "40"})
    detail = desk.place(quantity="50").json["detail"]
    for words in ("max_order_quantity", "observed 50", "at most 40", "what would pass: "):
        assert words in detail, detail


def test_a_preview_says_the_same_and_leaves_nothing_behind(desk: Desk) -> None:
    events = desk.event_count()
    body = desk.order(quantity="150", client_order_id="mine")
    shown = desk.send("POST", "/api/v1/orders/preview", body)
    assert (shown.status_code, shown.json["would_be"]) == (200, "HELD"), shown.json
    assert desk.event_count() == events
    placed = desk.send("POST", "/api/v1/orders", body).json
    assert placed["state"] == "HELD"
    judged = desk.send("GET", f"/api/v1/orders/{placed['order_id']}/verdicts").json["items"][0]["verdicts"]
    assert shown.json["verdicts"] == judged
    preview = shown.json
    assert (preview["value"], preview["base_value"], preview["fx_rate"]) == ("14925", "14925", "1")
    assert preview["position"] == {
        "quantity": "0",
        "quantity_after": "150",
        "worst_case_long": "150",
        "worst_case_short": "0",
    }
    assert (preview["fee"], preview["cash_needed"]) == (None, "14925")
    assert "do not say" in preview["cost_source"]
    assert preview["reservation"] == {"price": "99.5", "source": "limit_price", "quote_at": None}


def test_a_preview_tells_the_brokers_fee_where_it_is_known(desk: Desk) -> None:
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        fees = {"fees": {"kind": "per_unit", "amount": "0.01", "minimum": "1"}}
        own = tables.BROKER_CONNECTIONS.c.tenant_id == desk.tenant_id
        unit.connection.execute(update(tables.BROKER_CONNECTIONS).where(own).values(params=fees, updated_at=unit.now))
    preview = desk.send("POST", "/api/v1/orders/preview", desk.order(quantity="50")).json
    assert (preview["fee"], preview["cost_currency"]) == ("1", "USD")
    assert "per_unit" in preview["cost_source"]
    assert preview["cash_needed"] == "4976"
    selling = desk.send("POST", "/api/v1/orders/preview", desk.order(quantity="200", side="SELL")).json
    assert (selling["fee"], selling["cash_needed"]) == ("2", "2")


def test_a_connector_that_cannot_estimate_costs_nothing_but_the_figures(desk: Desk) -> None:
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        own = tables.BROKER_CONNECTIONS.c.tenant_id == desk.tenant_id
        wild = {"fees": {"kind": "wild"}}
        unit.connection.execute(update(tables.BROKER_CONNECTIONS).where(own).values(params=wild, updated_at=unit.now))
    preview = desk.send("POST", "/api/v1/orders/preview", desk.order()).json
    assert (preview["would_be"], preview["fee"], preview["margin"]) == ("ACCEPTED", None, None)
    assert "could not estimate" in preview["cost_source"]
    assert preview["cash_needed"] == "995"


def test_without_a_price_a_preview_says_what_it_does_not_know(desk: Desk) -> None:
    body = desk.order(symbol="LOTS", quantity="100", order_type="MARKET", limit_price=None)
    preview = desk.send("POST", "/api/v1/orders/preview", body).json
    assert preview["reservation"] == {"price": None, "source": "none", "quote_at": None}
    assert [preview[name] for name in ("value", "base_value", "fee", "cash_needed")] == [None] * 4
    assert "no price" in preview["cost_source"]


def test_new_terms_can_be_tried_too(desk: Desk) -> None:
    order = desk.place(quantity="50").json
    desk.fill(order, "20", "99.50")
    path = f"/api/v1/orders/{order['order_id']}"
    shown = desk.send("POST", f"{path}/preview", {"quantity": "90"}).json
    assert (shown["would_be"], shown["open_quantity"], shown["order_id"]) == ("ACCEPTED", "70", order["order_id"])
    assert shown["position"]["quantity_after"] == "90"
    assert desk.send("POST", f"{path}/preview", {"quantity": "190"}).json["would_be"] == "DENIED"
    assert desk.send("GET", path).json["quantity"] == "50"
    assert desk.send("POST", f"/api/v1/orders/{uuid.uuid4()}/preview", {"quantity": "90"}).status_code == 404


def test_what_is_bad_input_for_placing_is_for_previews_in_the_same_words(desk: Desk) -> None:
    for fields in (
        {"quantity": "0.5"},
        {"symbol": "NONE"},
        {"limit_price": "1.001"},
        {"account_id": str(uuid.uuid4())},
    ):
        body = desk.order(**fields)
        placed, tried = desk.send("POST", "/api/v1/orders", body), desk.send("POST", "/api/v1/orders/preview", body)
        assert placed.status_code == tried.status_code
        assert (placed.json["code"], placed.json["detail"]) == (tried.json["code"], tried.json["detail"])


@pytest.mark.integration
def test_it_all_holds_on_postgresql(postgres_desk: Desk) -> None:
    desk = postgres_desk
    limit(desk, "soft", {"max_quantity": "100"}, RuleSeverity.SOFT)
    limit(desk, "shadow", {"max_quantity": "20"}, RuleSeverity.SHADOW)
    tried = desk.send("POST", "/api/v1/orders/preview", desk.order(quantity="150")).json
    order, officer = held(desk), Officer(desk)
    assert tried["would_be"] == "HELD"
    assert [one["order"]["order_id"] for one in desk.send("GET", QUEUE).json["items"]] == [order["order_id"]]
    own = desk.send("POST", f"{QUEUE}/{order['order_id']}/approve", REASON, key=desk.key(*Scope))
    assert own.json["code"] == "not_permitted"
    assert officer.approve(order["order_id"]).json["state"] == "NEW"
    judged = desk.send("GET", f"/api/v1/orders/{order['order_id']}/verdicts").json["items"]
    assert [one["judgement"] for one in judged] == ["HELD", "APPROVED"]
    assert judged[0]["verdicts"] == tried["verdicts"]
    search = "/api/v1/risk/verdicts"
    first = desk.send("GET", f"{search}?limit=1").json
    rest = desk.send("GET", f"{search}?limit=5&cursor={first['next_cursor']}").json["items"]
    assert {one["severity"] for one in [*first["items"], *rest]} == {"SOFT", "SHADOW"}
    assert officer.decline(held(desk, quantity="160")["order_id"]).json["state"] == "CANCELED"
