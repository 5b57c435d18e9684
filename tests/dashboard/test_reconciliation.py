"""The reconciliation page: breaks with both sides, reports that wait, runs; and the doors for who may act."""

import re
from decimal import Decimal
from html import unescape

import pytest
from sqlalchemy import update

from oms_app.bootstrap import Services
from oms_app.store import tables
from oms_app.store.queries import Paging, RunFilter, list_runs
from tests.api.desk import seed
from tests.broker_side import BrokerSide
from tests.dashboard.person import Person


@pytest.fixture
def broker(person: Person, services: Services) -> BrokerSide:
    return BrokerSide(services, person.ids)


@pytest.fixture
def differing(broker: BrokerSide) -> BrokerSide:
    broker.cash["USD"] += Decimal("12.50")
    broker.positions[broker.instrument_id] = Decimal(-3)
    broker.look()
    return broker


def board(person: Person) -> str:
    return unescape(person.get("/reconciliation/board").text)


def break_ids(page: str) -> dict[str, str]:
    """Type -> id of the open breaks."""
    return {kind: name for name, kind in re.findall(r'<tr id="break-([^"]+)" data-type="(\w+)"', page)}


def test_an_open_break_stands_with_both_sides_its_age_and_what_to_do(person: Person, differing: BrokerSide) -> None:
    page = person.get("/reconciliation")
    assert page.status_code == 200
    assert list(break_ids(page.text)) == ["QUANTITY", "CASH"], "the worst first"
    for words in ("1000000", "1000012.5", "-3", "Look for a deposit", " s</time>"):
        assert words in page.text, words


def test_a_break_is_taken_and_then_explained_in_words_that_the_page_shows(
    person: Person, differing: BrokerSide
) -> None:
    cash = break_ids(board(person))["CASH"]
    answer = person.post(f"/reconciliation/breaks/{cash}/acknowledge")
    assert "You take care" in answer.headers["HX-Trigger"] and person.email in answer.text
    form = person.get(f"/reconciliation/breaks/{cash}/resolve")
    assert "1000012.5" in form.text and "settle-price" not in form.text
    wrong = person.post(f"/reconciliation/breaks/{cash}/resolve", action="explain", text="  ")
    assert wrong.status_code == 422 and "Say what you found out" in wrong.text
    done = person.post(f"/reconciliation/breaks/{cash}/resolve", action="explain", text="<i>interest</i>")
    assert (done.status_code, done.text) == (200, "")
    assert "oms:board" in done.headers["HX-Trigger"]
    page = person.get("/reconciliation/board").text
    assert cash not in break_ids(page).values()
    assert "Explained: &lt;i&gt;interest&lt;/i&gt;" in page


def test_a_position_is_taken_over_at_the_price_that_the_form_asks_for(person: Person, differing: BrokerSide) -> None:
    path = f"/reconciliation/breaks/{break_ids(board(person))['QUANTITY']}/resolve"
    assert "settle-price" in person.get(path).text
    without = person.post(path, action="accept_broker", text="transfer", price="")
    assert without.status_code == 422 and "price" in without.text and "transfer" in without.text
    assert person.post(path, action="accept_broker", text="transfer", price="a lot").status_code == 422
    assert person.post(path, action="accept_broker", text="transfer", price="99.5").status_code == 200
    assert "Short" in person.get("/desk/positions").text
    assert "Broker's figure taken over: transfer" in board(person)


def test_a_comparison_is_asked_for_with_one_button_and_needs_a_ready_session(
    person: Person, services: Services
) -> None:
    path = f"/reconciliation/accounts/{person.ids['broker_account_id']}/reconcile"
    answer = person.post(path)
    assert "begins within a second" in answer.headers["HX-Trigger"]
    assert "Under way" in answer.text and "SIM-1" in answer.text
    with services.store.read_unit(person.tenant_id) as unit:
        (run,) = list_runs(unit, RunFilter(), Paging()).items
    assert (run.status, run.broker_account_id) == ("REQUESTED", person.ids["broker_account_id"])
    with services.store.tenant_unit(person.tenant_id) as unit:
        connection = tables.BROKER_CONNECTIONS
        wanted = update(connection).where(connection.c.tenant_id == person.tenant_id)
        unit.connection.execute(wanted.values(status="ERROR", updated_at=unit.now))
    refused = person.post(path)
    assert "No broker session is ready" in refused.headers["HX-Trigger"] and "Not ready" in refused.text


def test_a_report_that_could_not_be_booked_is_shown_and_dismissed_with_a_reason(
    person: Person, broker: BrokerSide
) -> None:
    broker.tells_of_an_unknown_execution()
    page = board(person)
    (report_id,) = re.findall(r'<tr id="report-([^"]+)"', page)
    assert "UNSEEN-1" in page and "Corrected" in page
    refused = person.post(f"/reconciliation/reports/{report_id}/book")
    assert "It cannot be booked" in refused.headers["HX-Trigger"]
    path = f"/reconciliation/reports/{report_id}/dismiss"
    assert "Why it is put aside" in person.get(path).text
    assert person.post(path, text=" ").status_code == 422
    assert "dismissed" in person.post(path, text="a test of theirs").headers["HX-Trigger"]
    assert "Every report is booked" in board(person)


def test_a_trader_sees_and_cannot_act_and_a_foreign_form_is_refused(
    person: Person, differing: BrokerSide, services: Services
) -> None:
    cash = break_ids(board(person))["CASH"]
    trader = Person(services, person.ids, "trader@example.com", "TRADER")
    trader.sign_in()
    assert cash in break_ids(board(trader)).values()
    assert "<button" not in trader.get("/reconciliation/board").text
    for path in (f"/reconciliation/breaks/{cash}/resolve", f"/reconciliation/breaks/{cash}/acknowledge"):
        assert trader.post(path, action="explain", text="x").status_code == 403
        forged = person.client.post(path, data={"action": "explain", "text": "x"}, headers={"HX-Request": "true"})
        assert forged.status_code == 403
    assert cash in break_ids(board(person)).values()


def test_another_tenants_breaks_and_connections_are_not_there(
    person: Person, differing: BrokerSide, services: Services
) -> None:
    cash = break_ids(board(person))["CASH"]
    neighbour = Person(services, seed(services, catalogue=False), "neighbour@example.com", "ADMIN")
    neighbour.sign_in()
    assert "Broker and book agree" in board(neighbour)
    assert "no such break" in neighbour.post(f"/reconciliation/breaks/{cash}/acknowledge").headers["HX-Trigger"]
    path = f"/reconciliation/accounts/{person.ids['broker_account_id']}/reconcile"
    assert "no such broker account" in neighbour.post(path).headers["HX-Trigger"]
    assert cash in break_ids(board(person)).values()


def test_an_order_placed_elsewhere_is_shown_as_external_and_has_no_button(person: Person, broker: BrokerSide) -> None:
    broker.has_foreign_order()
    broker.look()
    page = person.get("/desk/orders").text
    assert "external</small>" in page and 'aria-label="Cancel ACME' not in page
    assert "Put right by itself" in board(person)
    person.place()
    assert 'aria-label="Cancel ACME' in person.get("/desk/orders").text
