"""The desk's fragments and actions on real flow and store: what is placed, denied, refused, canceled and filled."""

import uuid
from decimal import Decimal

import pytest

from oms_app.bootstrap import Services
from oms_app.flow.principal import Principal
from oms_app.store import leases
from oms_app.store.tenants import create_tenant
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.ids import AccountId, TenantId
from tests.dashboard.cells import rows, tiles
from tests.dashboard.counterparty import answer
from tests.dashboard.limits import limit_quantity
from tests.dashboard.person import Person, hidden_fields, invalid_fields


def test_an_accepted_order_stands_in_the_blotter_and_the_ticket_gets_a_new_key(person: Person) -> None:
    sent = person.order()
    page = person.post("/desk/orders", **sent)
    assert page.status_code == 200
    assert "Buy 10 ACME, limit: accepted" in page.text
    assert hidden_fields(page.text)["key"] != sent["key"]
    [row] = person.rows()
    assert row["state"] == "NEW"
    assert row["text"].split()[1:] == "ACME ▲ Buy Limit DAY 10 0 99.50 – New Cancel".split()


def test_clicking_twice_gives_one_order(person: Person) -> None:
    sent = person.order()
    first, second = person.post("/desk/orders", **sent), person.post("/desk/orders", **sent)
    assert (first.status_code, second.status_code) == (200, 200)
    assert len(person.rows()) == 1


@pytest.mark.parametrize(
    ("fields", "field", "says"),
    [
        ({"quantity": ""}, "quantity", "Quantity is needed"),
        ({"quantity": "0"}, "quantity", "must be greater than 0"),
        ({"quantity": "-5"}, "quantity", "must be greater than 0"),
        ({"quantity": "NaN"}, "quantity", "plain decimal number"),
        ({"quantity": "1e400"}, "quantity", "plain decimal number"),
        ({"quantity": "1_000"}, "quantity", "plain decimal number"),
        ({"quantity": "1" * 40}, "quantity", "At most 18 digits"),
        ({"symbol": "LOTS", "quantity": "5"}, "quantity", "lot size 100"),
        ({"limit_price": ""}, "limit_price", "Limit price is needed"),
        ({"limit_price": "99.505"}, "limit_price", "tick size 0.01"),
        ({"order_type": "STOP", "stop_price": ""}, "stop_price", "Stop price is needed"),
        ({"order_type": "STOP_LIMIT", "stop_price": "101"}, None, ""),
        ({"order_type": "TRAILING_STOP", "trail_amount": "0"}, "trail_amount", "must be greater than 0"),
        ({"symbol": ""}, "symbol", "Choose what to trade"),
        ({"symbol": "NOPE"}, "symbol", "NOPE"),
        ({"side": "HOLD"}, None, "Choose one of the list"),
        ({"order_type": "ICEBERG"}, "order_type", "Choose one of the list"),
        ({"time_in_force": "GTD"}, "expire_at", "needs a day and a time"),
        ({"time_in_force": "GTD", "expire_at": "2001-01-01T10:00"}, "expire_at", "past"),
        ({"account_id": "00000000-0000-0000-0000-000000000000"}, "account_id", "ccount"),
    ],
)
def test_what_is_wrong_is_told_at_its_field_and_nothing_is_stored(
    person: Person, fields: dict[str, str], field: str | None, says: str
) -> None:
    page = person.place(**fields)
    if says == "":
        assert page.status_code == 200
        return
    assert page.status_code == 422
    assert invalid_fields(page.text) == ([field] if field else [])
    assert says in page.text
    assert person.rows() == []


def test_what_was_typed_stays_after_an_error(person: Person) -> None:
    page = person.place(quantity="12.5x", limit_price="88.25").text
    assert 'value="12.5x"' in page
    assert 'value="88.25"' in page


def test_fields_that_the_type_does_not_show_are_ignored(person: Person) -> None:
    assert person.place(order_type="MARKET", limit_price="rubbish", stop_price="rubbish").status_code == 200


def test_a_symbol_in_small_letters_is_understood(person: Person) -> None:
    assert person.place(symbol="acme").status_code == 200


def test_a_denial_names_the_rule_what_was_observed_and_the_limit(person: Person, services: Services) -> None:
    limit_quantity(services, person.ids, Decimal(100))
    page = person.place(quantity="250")
    assert page.status_code == 422
    assert "Denied by max_order_quantity" in page.text
    assert "<b>250</b>" in page.text
    assert "<b>100</b>" in page.text
    [row] = person.rows()
    assert row["state"] == "DENIED"


def test_typed_markup_is_shown_as_text(person: Person) -> None:
    page = person.place(symbol="<script>alert(1)</script>").text
    assert "<script>alert" not in page.lower()
    assert "&lt;script&gt;" in page.lower()


def test_an_unsent_order_can_be_canceled_in_its_row(person: Person) -> None:
    person.place()
    [row] = person.rows()
    page = person.post(f"/desk/orders/{row['id']}/cancel", show="all")
    assert page.status_code == 200
    assert "oms:notice" in page.headers["HX-Trigger"]
    [row] = person.rows()
    assert row["state"] == "CANCELED"
    assert "Cancel " not in row["text"]


def test_canceling_a_working_order_goes_through_the_broker(person: Person, services: Services) -> None:
    person.place()
    assert answer(services, person.ids, fill_at=None) == 1
    [row] = person.rows()
    assert row["state"] == "WORKING"
    person.post(f"/desk/orders/{row['id']}/cancel")
    assert person.rows()[0]["state"] == "PENDING_CANCEL"
    assert answer(services, person.ids, fill_at=None) == 1
    assert person.rows()[0]["state"] == "CANCELED"


@pytest.mark.parametrize("order_id", ["00000000-0000-0000-0000-000000000000", "nonsense"])
def test_canceling_what_is_not_there_says_so(person: Person, order_id: str) -> None:
    page = person.post(f"/desk/orders/{order_id}/cancel")
    assert page.status_code == 200
    assert "no such order" in page.headers["HX-Trigger"]


def test_canceling_an_order_that_has_ended_says_so(person: Person, services: Services) -> None:
    person.place()
    answer(services, person.ids, fill_at=Decimal("99.50"))
    [row] = person.rows()
    assert row["state"] == "FILLED"
    page = person.post(f"/desk/orders/{row['id']}/cancel")
    assert '"tone": "bad"' in page.headers["HX-Trigger"]


def test_cancel_all_ends_every_active_order(person: Person) -> None:
    for _ in range(3):
        person.place()
    page = person.post("/desk/orders/cancel-all", show="active")
    assert "Cancel of 3 orders" in page.headers["HX-Trigger"]
    assert {row["state"] for row in person.rows()} == {"CANCELED"}
    assert person.rows("/desk/orders?show=active") == []
    assert "No active orders." in person.get("/desk/orders?show=active").text


def test_the_active_filter_hides_what_has_ended_and_stays_on(person: Person) -> None:
    person.place()
    person.post(f"/desk/orders/{person.rows()[0]['id']}/cancel")
    person.place(limit_price="98")
    page = person.get("/desk/orders?show=active").text
    assert 'hx-get="/desk/orders?show=active"' in page
    assert len(person.rows("/desk/orders?show=active")) == 1
    assert len(person.rows()) == 2


def test_a_fill_opens_a_position_and_counts_today(person: Person, services: Services) -> None:
    person.place(order_type="MARKET", quantity="100")
    answer(services, person.ids, fill_at=Decimal("100.01"))
    page = person.get("/desk/positions").text
    [row] = rows(page)
    # Mark 100.00 is half-way between 99.99 and 100.01: 100 x -0.01.
    assert row == ["ACME", "▲ Long", "100", "100.01", "100.00", "−1.00", "0.00", "0.25", "Close"]
    assert tiles(page) == {
        "P&L today": "−1.25 USD",
        "Realised": "0.00",
        "Unrealised": "−1.00",
        "Fees": "0.25",
        "Cash": "989,998.75",
        "Fills": "1",
    }


def test_a_short_position_gains_when_closed_below(person: Person, services: Services) -> None:
    person.place(order_type="MARKET", side="SELL", quantity="10")
    answer(services, person.ids, fill_at=Decimal("101.00"))
    assert rows(person.get("/desk/positions").text)[0][1:3] == ["▼ Short", "−10"]
    person.place(order_type="MARKET", side="BUY", quantity="10", limit_price="")
    answer(services, person.ids, fill_at=Decimal("100.00"))
    page = person.get("/desk/positions").text
    assert rows(page) == [["ACME", "Flat", "0", "–", "100.00", "–", "+10.00", "0.50", ""]]
    assert tiles(page)["P&L today"] == "+9.50 USD"


def test_quotes_and_the_accounts_state_are_shown(person: Person) -> None:
    assert "99.99" in person.get("/desk/quotes").text
    assert "no quote" in person.get("/desk/quotes").text  # the other instrument has none
    status = person.get("/desk/status").text
    assert "Simulator: connected" in status
    assert "ACTIVE" in status


def test_each_page_has_a_strict_policy_and_is_not_kept(person: Person) -> None:
    answers = [person.get(path) for path in ("/", "/login", "/desk/orders", "/desk/positions")]
    for page in answers:
        policy = page.headers["Content-Security-Policy"]
        assert "unsafe" not in policy
        assert "default-src 'none'" in policy
        assert "connect-src 'self' http://localhost:8001;" in policy
        assert page.headers["Cache-Control"] == "no-store"


def test_pages_hold_no_inline_script_or_style(person: Person) -> None:
    for path in ("/", "/desk/orders", "/desk/positions"):
        page = person.get(path).text
        assert "style=" not in page
        assert "<style" not in page
        assert " onclick" not in page
        assert "<script>" not in page
        assert "hx-on" not in page


def test_a_halted_account_is_seen_as_such_and_takes_no_order(person: Person, services: Services) -> None:
    principal = Principal(principal_id="system:test", tenant_id=person.tenant_id, scopes=frozenset())
    services.control.set_trading_state(
        principal, AccountId(person.ids["account_id"]), TradingState.HALTED, "kill_switch"
    )
    status = person.get("/desk/status").text
    assert 'class="badge alarm" title="kill_switch"' in status
    assert "HALTED" in status
    assert person.place().status_code == 422
    assert person.rows()[0]["state"] == "DENIED"


def test_a_connection_without_a_session_is_not_called_connected(person: Person, services: Services) -> None:
    with services.store.tenant_unit(person.tenant_id) as unit:
        lease = leases.get(unit, f"connection:{person.ids['connection_id']}")
        assert lease is not None
        leases.release(unit, f"connection:{person.ids['connection_id']}", lease.token)
    status = person.get("/desk/status").text
    assert "connected" not in status.replace("disconnected", "")
    assert person.place().status_code == 422
    assert person.rows() == []


def test_a_tenant_without_an_account_gets_a_page_that_says_so(person: Person, services: Services) -> None:
    tenant_id = TenantId(str(uuid.uuid4()))
    with services.store.tenant_unit(tenant_id) as unit:
        create_tenant(unit, "Empty")
    newcomer = Person(services, {**person.ids, "tenant_id": tenant_id}, "new@example.com", "ADMIN")
    assert newcomer.sign_in().status_code == 303
    page = newcomer.get("/").text
    assert "No trading account" in page
    assert "No orders yet" in page
    assert newcomer.place().status_code == 422


def test_one_tenant_never_sees_or_cancels_the_orders_of_another(person: Person, services: Services) -> None:
    person.place()
    [row] = person.rows()
    tenant_id = TenantId(str(uuid.uuid4()))
    with services.store.tenant_unit(tenant_id) as unit:
        create_tenant(unit, "Other")
    stranger = Person(services, {**person.ids, "tenant_id": tenant_id}, "other@example.com", "ADMIN")
    stranger.sign_in()
    assert stranger.rows() == []
    assert "no such order" in stranger.post(f"/desk/orders/{row['id']}/cancel").headers["HX-Trigger"]
    stranger.post("/desk/orders/cancel-all")
    assert stranger.place().status_code == 422
    assert [(one["id"], one["state"]) for one in person.rows()] == [(row["id"], "NEW")]


@pytest.mark.parametrize("host", ["a;script-src *", "x y", "evil'"])
def test_a_strange_host_name_does_not_loosen_the_policy(person: Person, host: str) -> None:
    page = person.client.get("/login", headers={"Host": host})
    assert page.headers["Content-Security-Policy"].count("script-src") == 1
    assert "script-src 'self'" in page.headers["Content-Security-Policy"]
