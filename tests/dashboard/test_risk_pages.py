"""The pages of risk and compliance over HTTP: what they show, who may act, and that nothing happens by one click."""

import csv
import html
import io
import re
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_app.bootstrap import Services, build_services
from oms_app.flow.audit import cli_actor
from oms_app.flow.consequences import overstep
from oms_app.flow.principal import Principal
from oms_app.store import people
from oms_app.store.limits import put_limit
from oms_app.store.queries import Paging, restraints
from oms_app.store.queries.restraints import RestraintFilter
from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain.controls import Action, Category
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.ids import AccountId, LedgerId, TenantId
from oms_kernel.domain.scope import Scope as Reach
from oms_kernel.terms import Terms
from tests.api.desk import Desk, seed
from tests.dashboard.conftest import fresh_home
from tests.dashboard.person import PASSWORD, Person, invalid_fields, new_app

VIEWED = ("/risk", "/risk/kill-switches", "/risk/limits", "/risk/verdicts", "/risk/liquidations", "/risk/report")
MANAGED = ("/risk/approvals", "/risk/limit-changes", "/risk/limits/new")
ROLES = ("VIEWER", "TRADER", "MANAGER", "COMPLIANCE")


class Floor:
    """One tenant with people of every role, soft and shadow limits, and a breach of each category."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.ids = seed(services)
        self.tenant_id = TenantId(self.ids["tenant_id"])
        self.app = new_app(services)
        self.people = {role: self.person(f"{role.lower()}@example.com", role) for role in ROLES}
        self.second = self.person("second@example.com", "MANAGER")
        self.soft = self.limit("max_order_quantity", {"max_quantity": "100"}, RuleSeverity.SOFT, "Big orders")
        self.limit("max_order_quantity", {"max_quantity": "50"}, RuleSeverity.SHADOW, "Being tried")
        self.limit("max_order_quantity", {"max_quantity": "5000"}, RuleSeverity.HARD, "Fat finger")
        self.limit("fat_finger_confirm", {"max_unconfirmed_notional": "8000"}, RuleSeverity.HARD, "Ask again")
        self.limit("max_position", {"max_quantity": "1000"}, RuleSeverity.HARD, "Positions")
        self.breach = self.overstep("position_monitor", Category.RISK, "the position is too large")
        self.case = self.overstep("spoof_layer_alert", Category.SURVEILLANCE, "orders in layers")

    def person(self, email: str, role: str) -> Person:
        """Somebody who is signed in and has proved it anew."""
        someone = Person(self.services, self.ids, email, role, self.app)
        assert someone.sign_in().status_code == 303
        assert someone.post("/step-up", password=PASSWORD).status_code == 204
        return someone

    def limit(self, rule: str, params: dict[str, Any], severity: RuleSeverity, name: str) -> str:
        """The id of a new limit of the whole tenant."""
        limit_id = str(uuid.uuid4())
        with self.services.store.tenant_unit(self.tenant_id) as unit:
            put_limit(unit, limit_id, rule=rule, params=params, severity=severity, name=name)
        return limit_id

    def overstep(self, rule: str, category: Category, message: str) -> str:
        """The id of a new breach of the account."""
        scope = Reach(account_id=AccountId(self.ids["account_id"]))
        terms = Terms(limit_id=rule, scope=scope, category=category, action=Action.ALERT)
        found = Trigger(message=message, key=str(uuid.uuid4()), observed=Decimal(12), limit=Decimal(10), unit="shares")
        ledger_id = LedgerId(self.ids["ledger_id"])
        made = self.services.desk.transact(
            self.tenant_id, ledger_id, lambda turn: overstep(turn, rule, "tests", terms, found)
        )
        assert made is not None
        return str(made)

    def held(self) -> str:
        """The id of an order of the trader that waits for an approval."""
        answer = self.people["TRADER"].place(quantity="150", confirmed_quantity="150", side="BUY")
        assert answer.status_code == 200, answer.text
        page = self.people["MANAGER"].get("/risk/approvals/board").text
        found = re.findall(r'id="held-([0-9a-f-]+)"', page)
        return str(found[-1])

    def active(self) -> list[str]:
        """The kill switches that hold."""
        with self.services.store.read_unit(self.tenant_id) as unit:
            found = restraints.list_switches(unit, RestraintFilter(active=True), Paging(limit=50)).items
        return [one.switch_id for one in found]

    def release_all(self) -> None:
        """Let trading go on."""
        for switch_id in self.active():
            assert (
                self.people["MANAGER"].post(f"/risk/kill-switches/{switch_id}/release", reason="over").status_code
                == 200
            )


@pytest.fixture(scope="module")
def floor(migrated_file: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Floor]:
    made = build_services(fresh_home(migrated_file, tmp_path_factory.mktemp("risk")))
    yield Floor(made)
    made.close()


@pytest.fixture
def manager(floor: Floor) -> Person:
    return floor.people["MANAGER"]


def kill(**fields: str) -> dict[str, str]:
    """The form of a kill switch over the whole tenant."""
    return {
        "reach": "tenant",
        "trading_state": "HALTED",
        "reason_code": "manual",
        "mode": "stop",
        "options": "cancel_working",
        **fields,
    }


@pytest.mark.parametrize("path", VIEWED)
@pytest.mark.parametrize("role", ROLES)
def test_everybody_who_sees_orders_may_look(floor: Floor, role: str, path: str) -> None:
    answer = floor.people[role].client.get(path)
    assert answer.status_code == 200
    assert "Risk pages" in answer.text


@pytest.mark.parametrize("path", MANAGED)
@pytest.mark.parametrize("role", ROLES)
def test_only_who_manages_risk_opens_what_is_decided_there(floor: Floor, role: str, path: str) -> None:
    assert floor.people[role].client.get(path).status_code == (200 if role == "MANAGER" else 403)


@pytest.mark.parametrize("role", ["VIEWER", "TRADER", "COMPLIANCE"])
def test_nobody_else_may_act_and_sees_no_form_for_it(floor: Floor, role: str) -> None:
    someone = floor.people[role]
    for path, fields in (
        ("/risk/kill-switches", kill(confirmation="HALT")),
        ("/risk/liquidations", {"reach": "tenant", "confirmation": "HALT"}),
        ("/risk/limits", {"rule": "max_order_quantity", "p_max_quantity": "1", "reach": "tenant", "severity": "HARD"}),
        (f"/risk/breaches/{floor.breach}/close", {"finding": "EXPECTED", "text": "no"}),
    ):
        assert someone.post(path, **fields).status_code == 403, path
    assert "Stop trading" not in someone.get("/risk/kill-switches").text
    assert floor.active() == []


def test_the_risk_page_tells_state_limits_breaches_and_the_watch(floor: Floor, manager: Person) -> None:
    page = manager.client.get("/risk").text
    assert "Trading is open" in page
    assert "The position is too large" in page
    assert "Monitoring" in page
    assert "Paper" in page, "an account is called by its name"
    assert floor.ids["account_id"] not in page


def test_a_kill_switch_needs_the_typed_name_or_halt(floor: Floor, manager: Person) -> None:
    for typed in ("", "halted", "Test tenant"):
        answer = manager.post("/risk/kill-switches", **kill(confirmation=typed))
        assert answer.status_code == 422
        assert invalid_fields(answer.text) == ["confirmation"]
    assert floor.active() == []


def test_a_drill_needs_no_word_and_changes_nothing(floor: Floor, manager: Person) -> None:
    answer = manager.post("/risk/kill-switches", **kill(mode="drill"))
    assert answer.status_code == 200
    assert "Drill: nothing was changed" in answer.text
    assert floor.active() == []


def test_a_thrown_switch_tells_what_it_did_stands_on_the_risk_page_and_is_released(
    floor: Floor, manager: Person
) -> None:
    floor.people["TRADER"].place(quantity="3")
    answer = manager.post("/risk/kill-switches", **kill(confirmation="halt", reason="=bad feed"))
    assert answer.status_code == 200
    assert "The kill switch holds" in answer.text
    assert "ended before it was sent" in answer.text
    (switch_id,) = floor.active()
    page = manager.client.get("/risk").text
    assert "Trading is restrained" in page
    assert "=bad feed" in page
    denied = floor.people["TRADER"].place(quantity="1")
    assert denied.status_code == 422
    assert (
        "an equal switch holds already" in manager.post("/risk/kill-switches", **kill(confirmation="HALT")).text.lower()
    )
    unsaid = manager.post(f"/risk/kill-switches/{switch_id}/release", reason="")
    assert unsaid.status_code == 422
    released = manager.post(f"/risk/kill-switches/{switch_id}/release", reason="the feed is good")
    assert "Released" in released.text
    assert floor.active() == []


def test_without_scripts_the_form_answers_with_a_whole_page(floor: Floor, manager: Person) -> None:
    fields = {**kill(confirmation="Paper", reach=f"account:{floor.ids['account_id']}"), "csrf_token": manager.token}
    answer = manager.client.post("/risk/kill-switches", data=fields)
    assert answer.status_code == 200
    assert answer.text.startswith("<!doctype html>")
    assert "The kill switch holds" in answer.text
    assert len(floor.active()) == 1
    floor.release_all()


def test_the_release_asks_for_a_fresh_proof(floor: Floor) -> None:
    fresh = Person(floor.services, floor.ids, "fresh@example.com", "MANAGER", floor.app)
    fresh.sign_in()
    fresh.post("/risk/kill-switches", **kill(confirmation="HALT"))
    (switch_id,) = floor.active()
    answer = fresh.post(f"/risk/kill-switches/{switch_id}/release", reason="over")
    assert answer.status_code == 403
    assert answer.headers["X-Step-Up"] == "password"
    assert len(floor.active()) == 1
    floor.release_all()


def test_where_two_persons_release_the_first_one_only_asks(floor: Floor, manager: Person) -> None:
    settings = floor.services.tenancy.settings(floor.tenant_id)
    set_settings(floor, settings, second_person_release=True)
    manager.post("/risk/kill-switches", **kill(confirmation="HALT"))
    (switch_id,) = floor.active()
    asked = manager.post(f"/risk/kill-switches/{switch_id}/release", reason="over")
    assert "Waits for a second person" in asked.text
    assert "Another person has to confirm it" in asked.text
    assert "waits for a second person" in manager.client.get("/risk").text
    again = manager.post(f"/risk/kill-switches/{switch_id}/release", reason="over")
    assert again.status_code == 422
    confirmed = floor.second.post(f"/risk/kill-switches/{switch_id}/release", reason="looked at it too")
    assert "Released" in confirmed.text
    assert floor.active() == []
    set_settings(floor, settings)


def set_settings(floor: Floor, settings: Any, **changed: Any) -> None:
    """The tenant's settings with these instead."""
    values = {**msgspec.structs.asdict(settings), **changed}
    floor.services.tenancy.change_settings(cli_actor(), floor.tenant_id, values)


def test_only_superusers_stop_the_whole_firm(floor: Floor, manager: Person) -> None:
    assert "whole firm" not in manager.get("/risk/kill-switches").text
    answer = manager.post("/risk/kill-switches", **kill(reach="firm", confirmation="HALT"))
    assert answer.status_code == 422
    assert floor.active() == []


def test_a_superuser_stops_the_whole_firm_and_keeps_its_limits(floor: Floor) -> None:
    root = floor.person("root@example.com", "ADMIN")
    with floor.services.store.platform_unit() as unit:
        people.update_person(unit, user_id(root), is_superuser=True)
    assert root.post("/risk/kill-switches", **kill(reach="firm", confirmation="firm")).status_code == 200
    (switch_id,) = floor.active()
    assert "The whole firm" in root.client.get("/risk").text
    assert "HALTED" in root.get("/desk/status").text, "the header of the desk tells what holds in effect"
    refused = floor.people["MANAGER"].post(f"/risk/kill-switches/{switch_id}/release", reason="mine")
    assert refused.status_code == 422
    assert root.post(f"/risk/kill-switches/{switch_id}/release", reason="over").status_code == 200
    assert floor.active() == []
    made = root.post("/risk/limits", **limit_form(p_max_quantity="90000", reach="firm", name="All tenants"))
    assert "The whole firm" in made.text
    limit_id = re.findall(r"/risk/limits/([0-9a-f-]{36})/change", made.text)[0]
    seen = floor.people["MANAGER"].client.get(f"/risk/limits/{limit_id}").text
    assert "All tenants" in seen
    assert "Change the limit" not in seen, "a tenant sees it and leaves it"
    fields = limit_form(p_max_quantity="80000", reach="firm", name="All tenants")
    assert floor.people["MANAGER"].post(f"/risk/limits/{limit_id}/change", **fields).status_code == 403
    assert "80000" in root.post(f"/risk/limits/{limit_id}/change", **fields).text


def test_a_limit_with_deep_parameters_is_typed_in_as_json(floor: Floor, manager: Person) -> None:
    fields = {"rule": "restricted_list", "severity": "SHADOW", "reach": "tenant"}
    broken = manager.post("/risk/limits", **fields, p_restrictions="[{")
    assert invalid_fields(broken.text) == ["p_restrictions"]
    wrong = manager.post("/risk/limits", **fields, p_restrictions='[{"symbol": 3}]')
    assert invalid_fields(wrong.text) == ["p_restrictions"]
    made = manager.post("/risk/limits", **fields, p_restrictions='[{"symbol": "LOTS"}]')
    assert made.status_code == 200, made.text
    assert "LOTS" in made.text


def test_the_queue_says_what_holds_an_order_and_another_person_approves_it(floor: Floor, manager: Person) -> None:
    order_id = floor.held()
    page = manager.client.get("/risk/approvals").text
    assert "trader@example.com" in page
    assert "max_order_quantity" in page
    assert "−50" in page, "how far it is beyond the limit"
    assert "min left" in page
    assert 'class="count" title="1 order that waits for an approval"' in manager.client.get("/").text
    assert "that waits for an approval" not in floor.people["TRADER"].client.get("/").text
    silent = manager.post(f"/risk/approvals/{order_id}/decide", decision="approve", reason="")
    assert silent.status_code == 422
    assert invalid_fields(silent.text) == ["reason"]
    approved = manager.post(f"/risk/approvals/{order_id}/decide", decision="approve", reason="agreed by phone")
    assert approved.status_code == 200
    assert "No order waits" in approved.text
    told = manager.client.get(f"/orders/{order_id}").text
    assert "When it was approved" in told
    assert "When it was placed" in told
    assert "Would be denied" in told, "the shadow limit's verdict is among them"
    assert "manager@example.com" in told


def test_an_order_can_be_declined(floor: Floor, manager: Person) -> None:
    order_id = floor.held()
    assert manager.post(f"/risk/approvals/{order_id}/decide", decision="decline", reason="too large").status_code == 200
    assert "Canceled" in manager.client.get(f"/orders/{order_id}").text


def test_nobody_approves_an_own_order(floor: Floor, manager: Person) -> None:
    manager.place(quantity="120", confirmed_quantity="120")
    page = manager.get("/risk/approvals/board").text
    order_id = re.findall(r'id="held-([0-9a-f-]+)"', page)[0]
    assert "another person has to approve it" in page
    assert 'value="approve"' not in page
    answer = manager.post(f"/risk/approvals/{order_id}/decide", decision="approve", reason="me")
    assert answer.status_code == 422
    assert "cannot approve it" in answer.text
    assert manager.post(f"/risk/approvals/{order_id}/decide", decision="decline", reason="mine").status_code == 200


def test_limits_are_listed_with_filters_and_made_changed_and_ended(floor: Floor, manager: Person) -> None:
    page = manager.client.get("/risk/limits?severity=SHADOW").text
    assert "Being tried" in page
    assert "Fat finger" not in page
    form = manager.client.get("/risk/limits/new?rule=max_order_notional").text
    assert 'name="p_' in form
    wrong = manager.post("/risk/limits", **limit_form(p_max_quantity="-3"))
    assert wrong.status_code == 422
    assert invalid_fields(wrong.text) == ["p_max_quantity"]
    made = manager.post("/risk/limits", **limit_form(p_max_quantity="700", name="By hand", symbol="ACME"))
    assert made.status_code == 200, made.text
    assert "ACME" in made.text
    limit_id = re.findall(r"/risk/limits/([0-9a-f-]{36})/change", made.text)[0]
    version = re.findall(r'name="version" value="(\d+)"', made.text)[0]
    changed = manager.post(
        f"/risk/limits/{limit_id}/change",
        **limit_form(p_max_quantity="600", name="By hand", version=version, symbol="ACME"),
    )
    assert changed.status_code == 200, changed.text
    assert "600" in changed.text
    stale = manager.post(f"/risk/limits/{limit_id}/change", **limit_form(p_max_quantity="1", version=version))
    assert stale.status_code == 422
    assert "version" in stale.text
    assert "Ended" in manager.post(f"/risk/limits/{limit_id}/end", reason="done").text


def limit_form(**fields: str) -> dict[str, str]:
    """The form of a limit of the size of orders."""
    return {"rule": "max_order_quantity", "severity": "HARD", "reach": "tenant", **fields}


def test_a_form_that_is_sent_as_it_was_shown_changes_nothing(floor: Floor, manager: Person) -> None:
    for rule, params in (
        ("max_position", {"max_quantity": 4000, "per": "SCOPE"}),
        ("max_order_quantity", {"max_quantity": "7000", "by_asset_class": {"ETF": "6500"}}),
        ("algo_tag", {}),
    ):
        limit_id = floor.limit(rule, params, RuleSeverity.SHADOW, f"As shown {rule}")
        page = manager.client.get(f"/risk/limits/{limit_id}").text
        form = page.partition(f'hx-post="/risk/limits/{limit_id}/change"')[2].partition("</form>")[0]
        version = re.findall(r'name="version" value="(\d+)"', form)[0]
        answer = manager.post(f"/risk/limits/{limit_id}/change", **shown_fields(form))
        assert answer.status_code == 200, answer.text
        assert f'name="version" value="{version}"' in answer.text, rule


def shown_fields(form: str) -> dict[str, str]:
    """What a browser would send of a form."""
    inputs = re.findall(r'<input[^>]* name="(\w+)" value="([^"]*)"', form)
    areas = re.findall(r'<textarea name="(\w+)"[^>]*>(.*?)</textarea>', form, re.DOTALL)
    fields = {name: html.unescape(value) for name, value in (*inputs, *areas)}
    for name, options in re.findall(r'<select name="(\w+)".*?>(.*?)</select>', form, re.DOTALL):
        values = re.findall(r'<option value="([^"]*)"([^>]*)>', options)
        chosen = [value for value, rest in values if "selected" in rest] or [values[0][0]]
        fields[name] = html.unescape(chosen[0])
    return fields


def test_where_two_persons_change_limits_the_change_waits_for_the_other(floor: Floor, manager: Person) -> None:
    settings = floor.services.tenancy.settings(floor.tenant_id)
    set_settings(floor, settings, second_person_limits=True)
    fields = limit_form(p_max_quantity="110", name="Big orders", severity="SOFT", reason="more staff")
    asked = manager.post(f"/risk/limits/{floor.soft}/change", **fields)
    assert asked.status_code == 200, asked.text
    assert "Another person has to approve that" in asked.headers["HX-Trigger"]
    page = manager.client.get("/risk/limit-changes").text
    change_id = re.findall(r'id="change-([0-9a-f-]+)"', page)[0]
    mine = manager.client.get(f"/risk/limit-changes/{change_id}").text
    assert "Take it back" in mine
    assert "/approve" not in mine
    assert manager.post(f"/risk/limit-changes/{change_id}/approve").status_code == 422
    theirs = floor.second.client.get(f"/risk/limit-changes/{change_id}").text
    assert "110" in theirs
    assert "Approved" in floor.second.post(f"/risk/limit-changes/{change_id}/approve", reason="agreed").text
    assert "110" in manager.client.get(f"/risk/limits/{floor.soft}").text
    set_settings(floor, settings)


def test_every_rule_has_a_form_and_a_description(floor: Floor, manager: Person) -> None:
    page = manager.client.get("/risk/limits/new").text
    rules = re.findall(r'href="/risk/limits/new\?rule=(\w+)"', page)
    assert len(rules) > 40
    for rule in rules:
        assert manager.client.get(f"/risk/limits/new?rule={rule}").status_code == 200, rule


def test_the_verdict_log_shows_denials_shadow_ones_too_and_pages(floor: Floor, manager: Person) -> None:
    floor.people["TRADER"].place(quantity="6000", confirmed_quantity="6000")
    shadow = manager.client.get("/risk/verdicts?severity=SHADOW").text
    assert "max_order_quantity" in shadow
    hard = manager.client.get("/risk/verdicts?severity=HARD&rule=max_order_quantity").text
    assert "6,000" in hard
    assert "Would pass" in hard
    assert "No verdict passes" in manager.client.get("/risk/verdicts?before=2020-01-01").text
    assert manager.client.get("/risk/verdicts?severity=LOUD").status_code == 422
    assert manager.client.get("/risk/verdicts?cursor=nonsense").status_code == 422


def test_a_breach_is_assigned_noted_and_closed_with_a_finding(floor: Floor, manager: Person) -> None:
    breach = f"/risk/breaches/{floor.breach}"
    assert "Take care of it" not in floor.people["VIEWER"].client.get(breach).text
    assigned = manager.post(f"{breach}/assign", assigned_to=f"user:{user_id(manager)}", text="asked the desk")
    assert "manager@example.com" in assigned.text
    assert "asked the desk" in assigned.text
    assert manager.post(f"{breach}/close", finding="EXPECTED", text="").status_code == 422
    assert manager.post(f"{breach}/close", finding="NONSENSE", text="x").status_code == 422
    closed = manager.post(f"{breach}/close", finding="EXPECTED", text="known since morning")
    assert "Closed" in closed.text
    assert "known since morning" in closed.text


def user_id(person: Person) -> str:
    """Of somebody who is signed in."""
    found = [one for one in person.services.members.list(principal_of(person)) if one.email == person.email]
    return str(found[0].user_id)


def principal_of(person: Person) -> Any:
    """Somebody who may see the members."""
    return Principal("user:somebody", person.tenant_id, frozenset())


def test_cases_are_for_compliance_only(floor: Floor, manager: Person) -> None:
    case = f"/compliance/{floor.case}"
    officer = floor.people["COMPLIANCE"]
    assert "Orders in layers" in officer.client.get("/compliance").text
    assert "Evidence" in officer.client.get(case).text
    assert manager.client.get("/compliance").status_code == 403
    assert manager.client.get(f"/risk/breaches/{floor.case}").status_code == 404, "a case is no breach of risk"
    assert "noticed" in officer.post(f"{case}/note", text="noticed").text
    assert "Closed" in officer.post(f"{case}/close", finding="FALSE_ALARM", text="a market maker").text
    assert "Orders in layers" not in officer.client.get("/compliance").text
    assert "Orders in layers" in officer.client.get("/compliance?state=closed").text


def test_a_liquidation_needs_the_typed_name_runs_and_is_stopped(floor: Floor, manager: Person) -> None:
    desk = Desk(floor.services, floor.ids, floor.app, email="filler@example.com")
    trader = floor.people["TRADER"]
    trader.place(quantity="10", limit_price="101")
    order_id = trader.rows()[0]["id"]
    desk.fill({"order_id": order_id, "instrument_id": floor.ids["instrument_id"], "side": "BUY"}, "10", "100")
    used = manager.client.get("/risk").text
    assert "Positions" in used
    assert "of 1,000" in used
    assert re.search(r"headroom \d{3}", used)
    position = manager.get("/desk/positions").text
    link = re.findall(r'href="(/risk/liquidations\?[^"]+)"', position)[0].replace("&amp;", "&")
    assert "ACME" in manager.client.get(link).text
    assert "/risk/liquidations" not in trader.get("/desk/positions").text
    fields = {"reach": f"account:{floor.ids['account_id']}", "symbol": "ACME", "reason": "margin call"}
    assert invalid_fields(manager.post("/risk/liquidations", **fields, confirmation="Paper").text) == ["confirmation"]
    started = manager.post("/risk/liquidations", **fields, confirmation="acme")
    assert started.status_code == 200, started.text
    running = manager.get("/risk/liquidations/running").text
    assert "Paper · ACME" in running
    liquidation_id = re.findall(r'id="liquidation-([0-9a-f-]+)"', running)[0]
    assert "stopped" in manager.post(f"/risk/liquidations/{liquidation_id}/stop").text
    assert "None runs" in manager.get("/risk/liquidations/running").text


def test_the_ticket_previews_and_sends_nothing(floor: Floor) -> None:
    trader = floor.people["TRADER"]
    before = trader.rows()
    for quantity, words in (
        ("10", "It would be accepted"),
        ("115", "It would be held"),
        ("6000", "It would be denied"),
    ):
        fields = {**trader.order(quantity=quantity, confirmed_quantity=quantity)}
        answer = trader.post("/desk/preview", **fields)
        assert answer.status_code == 200, answer.text
        assert words in answer.text
        assert "Cash needed" in answer.text
    assert trader.post("/desk/preview", **trader.order(quantity="x")).status_code == 422
    assert trader.rows() == before
    assert floor.people["VIEWER"].post("/desk/preview", **trader.order()).status_code == 403


def test_a_large_order_is_typed_twice(floor: Floor) -> None:
    trader = floor.people["TRADER"]
    first = trader.place(quantity="90")
    assert first.status_code == 422
    assert "Type the quantity again" in first.text
    assert trader.place(quantity="90", confirmed_quantity="9").status_code == 422
    assert "accepted" in trader.place(quantity="90", confirmed_quantity="90", allow="1").text


def test_the_report_is_a_page_and_files_that_no_spreadsheet_runs(floor: Floor, manager: Person) -> None:
    floor.limit("max_order_quantity", {"max_quantity": "9000"}, RuleSeverity.HARD, "=HYPERLINK(1)")
    page = manager.client.get("/risk/report").text
    assert "Denials by rule" in page
    assert "Orders that were held" in page
    for name in ("limits", "usage", "breaches", "verdicts", "kill-switches"):
        answer = manager.client.get(f"/risk/report/{name}.csv")
        assert answer.status_code == 200, name
        assert answer.headers["Content-Disposition"] == f'attachment; filename="{name}.csv"'
        rows = list(csv.DictReader(io.StringIO(answer.text)))
        assert rows, name
        assert not [cell for row in rows for cell in row.values() if cell.startswith(("=", "+", "@"))], name
        if name == "limits":
            assert "'=HYPERLINK(1)" in {row["name"] for row in rows}
        if name == "verdicts":
            assert {"HARD", "SOFT", "SHADOW"} <= {row["severity"] for row in rows}
    assert manager.client.get("/risk/report?since=2031-01-02&before=2031-01-01").status_code == 422


def test_what_does_not_exist_is_not_found(floor: Floor, manager: Person) -> None:
    nobody = uuid.uuid4()
    for path in (
        "/orders/{}",
        "/risk/breaches/{}",
        "/risk/kill-switches/{}",
        "/risk/limits/{}",
        "/risk/limit-changes/{}",
    ):
        assert manager.client.get(path.format(nobody)).status_code == 404, path
    assert floor.people["COMPLIANCE"].client.get(f"/compliance/{nobody}").status_code == 404
