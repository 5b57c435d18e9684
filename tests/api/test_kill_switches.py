"""Kill switches, liquidations and heartbeats over HTTP: thrown by keys, released by people, kept over every restart."""

import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from oms_app.bootstrap import build_services
from oms_app.flow.audit import cli_actor
from oms_app.flow.personal_data import PersonalData
from oms_app.flow.strategies import StateConflict, Strategies
from oms_app.flow.tenancy import NewTenant
from oms_app.store import people, tables
from oms_app.store import strategies as rows
from oms_app.store.queries.restraints import switch_texts
from oms_app.strategies.rows import Run, is_stopping
from oms_app.workers.restraining import Restraining
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.ids import AccountId, LedgerId, StrategyId, StrategyRunId, TenantId
from tests.api.conftest import opened
from tests.api.desk import PASSWORD, Desk
from tests.waiting import until

SWITCHES = "/api/v1/risk/kill-switches"
HEARTBEAT = "/api/v1/risk/heartbeat"


@pytest.fixture
def desk(migrated_file: Path, tmp_path: Path) -> Iterator[Desk]:
    with opened(migrated_file, tmp_path) as made:
        yield made


def throw(desk: Desk, **fields: Any) -> Any:
    body = {"level": "TENANT", "trading_state": "HALTED", "reason_code": "test", **fields}
    return desk.send("POST", SWITCHES, {name: value for name, value in body.items() if value is not None})


def as_person(desk: Desk, method: str, path: str, body: Any, headers: dict[str, str] | None = None) -> Any:
    return desk.client.open(path, method=method, json=body, headers=headers or desk.person())


def second_person(desk: Desk) -> dict[str, str]:
    """The header of another administrator who has stepped up."""
    email = f"{uuid.uuid4()}@example.com"
    desk.services.identity.create_user(email, PASSWORD, desk.tenant_id, "ADMIN")
    before, desk.email = desk.email, email
    try:
        return desk.person()
    finally:
        desk.email = before


def superuser(desk: Desk) -> None:
    with desk.services.store.platform_unit() as unit:
        people.update_person(unit, desk.user_id, is_superuser=True)


def restraining(desk: Desk) -> Restraining:
    found = desk.services
    return Restraining(found.store, found.liquidations, found.dead_man, found.firm_switches)


def state_of(desk: Desk, placed: Any) -> str:
    return str(desk.send("GET", f"/api/v1/orders/{placed.json['order_id']}").json["state"])


def test_a_switch_is_thrown_by_a_key_and_told_with_what_it_did(desk: Desk) -> None:
    sent = desk.place()
    desk.send_all()
    unsent = desk.place(limit_price="98.00")
    done = throw(desk, cancel_working=True, reason="prices of yesterday")
    assert done.status_code == 201, done.json
    told = done.json
    assert (told["already_active"], told["cancelling"], told["ended"]) == (
        False,
        [sent.json["order_id"]],
        [unsent.json["order_id"]],
    )
    assert [one["order_id"] for one in told["unrecallable"]] == [sent.json["order_id"]]
    (switch,) = told["kill_switches"]
    assert (switch["level"], switch["reason"], switch["is_active"]) == ("TENANT", "prices of yesterday", True)
    refused = desk.place()
    assert (refused.status_code, refused.json["code"]) == (422, "risk_denied")
    again = throw(desk, cancel_working=True)
    assert (again.status_code, again.json["already_active"]) == (200, True)
    listed = desk.send("GET", f"{SWITCHES}?active=true").json
    assert [one["switch_id"] for one in listed["items"]] == [switch["switch_id"]]


def test_what_is_not_said_clearly_is_refused_with_the_field(desk: Desk) -> None:
    account_id = desk.ids["account_id"]
    for fields in (
        {"level": None},
        {"level": "TENANT", "account_id": account_id},
        {"level": "FIRM", "account_id": account_id},
        {"level": "ACCOUNT"},
    ):
        answer = throw(desk, **fields)
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "level"), fields
    active = throw(desk, trading_state="ACTIVE")
    assert (active.status_code, active.json["errors"][0]["field"]) == (422, "trading_state")
    unknown = throw(desk, level=None, account_id=str(uuid.uuid4()))
    assert (unknown.status_code, unknown.json["code"]) == (404, "unknown_account")


def test_only_a_person_who_stepped_up_releases_and_says_why(desk: Desk) -> None:
    switch_id = throw(desk).json["kill_switches"][0]["switch_id"]
    release = f"{SWITCHES}/{switch_id}/release"
    by_key = desk.send("POST", release, {"reason": "settled"})
    assert (by_key.status_code, by_key.json["code"]) == (403, "step_up_required")
    stale = as_person(desk, "POST", release, {"reason": "settled"}, desk.person(stepped_up=False))
    assert (stale.status_code, stale.json["code"]) == (403, "step_up_required")
    silent = as_person(desk, "POST", release, {})
    assert (silent.status_code, silent.json["errors"][0]["field"]) == (422, "reason")
    done = as_person(desk, "POST", release, {"reason": "the feed is back"})
    assert (done.status_code, done.json["is_active"], done.json["release_reason"]) == (200, False, "the feed is back")
    assert as_person(desk, "POST", release, {"reason": "again"}).status_code == 409
    assert desk.place().status_code == 201
    kinds = [one["kind"] for one in desk.send("GET", "/api/v1/risk/kill-switch-events").json["items"]]
    assert kinds == ["RELEASED", "ACTIVATED"]
    audited = desk.send("GET", "/api/v1/audit?object_type=kill_switch").json["items"]
    assert {"kill_switch.activated", "kill_switch.released"} <= {one["action"] for one in audited}


def test_where_the_tenant_wants_two_persons_the_first_one_only_asks(desk: Desk) -> None:
    desk.services.tenancy.change_settings(cli_actor(), desk.tenant_id, {"second_person_release": True})
    switch_id = throw(desk).json["kill_switches"][0]["switch_id"]
    release, first, second = f"{SWITCHES}/{switch_id}/release", desk.person(), second_person(desk)
    asked = as_person(desk, "POST", release, {"reason": "settled"}, first)
    assert (asked.status_code, asked.json["is_active"]) == (202, True)
    assert as_person(desk, "POST", release, {"reason": "settled"}, first).status_code == 409
    assert desk.place().status_code != 201
    done = as_person(desk, "POST", release, {"reason": "I looked too"}, second)
    assert (done.status_code, done.json["release_reason"]) == (200, "settled / I looked too")


def test_a_drill_leaves_counts_and_nothing_else(desk: Desk) -> None:
    desk.place()
    desk.send_all()
    body = {"level": "TENANT", "trading_state": "HALTED", "cancel_working": True}
    drill = desk.send("POST", f"{SWITCHES}/drill", body)
    assert (drill.status_code, drill.json["orders"], drill.json["positions"]) == (200, 1, 0)
    (event,) = desk.send("GET", "/api/v1/risk/kill-switch-events").json["items"]
    assert (event["kind"], event["order_count"], event["switch_id"]) == ("DRILLED", 1, None)
    assert desk.send("GET", SWITCHES).json["items"] == []
    assert desk.place().status_code == 201


def test_a_process_that_starts_later_and_needs_no_redis_is_held_too(desk: Desk) -> None:
    throw(desk)
    later = build_services(desk.services.settings)
    try:
        assert later.settings.redis_url is None
        state = later.desk.transact(
            desk.tenant_id,
            LedgerId(desk.ids["ledger_id"]),
            lambda turn: turn.view.trading_state(
                AccountId(desk.ids["account_id"]),
                None,
                desk.ids["instrument_id"],  # type: ignore[arg-type]
            ),
        )
    finally:
        later.close()
    assert state is TradingState.HALTED


def test_a_running_strategy_is_told_to_stop_and_none_starts_while_it_is_halted(desk: Desk) -> None:
    strategies = Strategies(desk.services.store, desk.services.registries, desk.services.new_id)
    name = next(iter(desk.services.registries.strategies))
    account_id = AccountId(desk.ids["account_id"])
    made, run_id = str(uuid.uuid4()), str(uuid.uuid4())
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        kept: dict[str, Any] = {"name": "s", "strategy": name, "account_id": account_id, "params": {"symbol": "ACME"}}
        rows.create_strategy(unit, made, **kept)
        rows.start_run(unit, run_id, made, desk.ids["ledger_id"], cursor_seq=0)
    run = Run(
        desk.tenant_id, StrategyRunId(run_id), StrategyId(made), name, {}, account_id,
        LedgerId(desk.ids["ledger_id"]), 0,
    )  # fmt: skip

    def stops() -> bool:
        with desk.services.store.read_unit(desk.tenant_id) as unit:
            return is_stopping(unit, run)

    assert stops() is False
    throw(desk, level=None, instrument_id=desk.ids["instrument_id"])
    throw(desk, level=None, strategy_id=str(uuid.uuid4()))
    throw(desk, trading_state="CANCEL_ONLY")
    assert stops() is False
    throw(desk, level=None, strategy_id=made)
    assert stops()
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        rows.set_run_status(unit, run_id, "STOPPED", expected=("STARTING",))
    with pytest.raises(StateConflict, match="kill switch"):
        strategies.start(desk.principal, made)


def test_a_liquidation_is_started_by_a_person_carried_on_by_the_worker_and_stopped(desk: Desk) -> None:
    body = {"level": "TENANT", "reason_code": "margin_call"}
    by_key = desk.send("POST", "/api/v1/risk/liquidations", body)
    assert (by_key.status_code, by_key.json["code"]) == (403, "step_up_required")
    begun = as_person(desk, "POST", "/api/v1/risk/liquidations", body)
    assert begun.status_code == 201, begun.json
    (liquidation,) = begun.json["liquidations"]
    one = f"/api/v1/risk/liquidations/{liquidation['liquidation_id']}"
    restraining(desk).turn()
    flat = desk.send("GET", one).json
    assert (flat["is_running"], flat["outcome"]) == (False, "flat")
    assert desk.send("POST", f"{one}/stop").status_code == 409
    listed = desk.send("GET", "/api/v1/risk/liquidations?active=false").json["items"]
    assert [found["liquidation_id"] for found in listed] == [liquidation["liquidation_id"]]
    assert desk.send("GET", f"/api/v1/risk/liquidations/{uuid.uuid4()}").status_code == 404


def test_one_position_is_closed_and_what_it_places_only_reduces(desk: Desk) -> None:
    buy = desk.place(order_type="MARKET", limit_price=None)
    desk.fill(buy.json, "10", "99.50")
    body = {"account_id": desk.ids["account_id"], "instrument_id": desk.ids["instrument_id"]}
    throw(desk)
    closed = as_person(desk, "POST", "/api/v1/positions/close", body)
    assert closed.status_code == 201, closed.json
    orders = desk.send("GET", "/api/v1/orders?status=NEW").json["items"]
    assert [(one["side"], one["quantity"], one["reduce_only"]) for one in orders] == [("SELL", "10", True)]
    again = as_person(desk, "POST", "/api/v1/positions/close", body)
    assert (again.status_code, again.json["already_running"]) == (200, True)


def let_time_pass(desk: Desk, seconds: float) -> None:
    """Move every armed switch so far into the past."""
    switches = tables.DEAD_MAN_SWITCHES
    with desk.services.store.platform_unit() as unit:
        row = unit.connection.execute(update(switches).where(switches.c.due_at.is_not(None)).values(
            due_at=unit.now - timedelta(seconds=seconds)))  # fmt: skip
        assert row.rowcount


def test_a_lost_heartbeat_cancels_the_callers_own_orders_and_nobody_elses(desk: Desk) -> None:
    theirs = desk.place()
    key = desk.key("place:orders", "cancel:orders")
    mine = desk.send("POST", "/api/v1/orders", desk.order(limit_price="98.00"), key=key)
    armed = desk.send("POST", HEARTBEAT, {"timeout_s": 5}, key=key)
    assert (armed.status_code, armed.json["is_armed"]) == (200, True), armed.json
    assert restraining(desk).turn() == 0
    let_time_pass(desk, 1)
    assert restraining(desk).turn() == 1
    assert (state_of(desk, mine), state_of(desk, theirs)) == ("CANCELED", "NEW")
    assert restraining(desk).turn() == 0  # it struck once
    (shown,) = desk.send("GET", "/api/v1/risk/heartbeats").json["items"]
    assert (shown["is_armed"], shown["struck_at"] is not None) == (False, True)
    assert desk.send("POST", HEARTBEAT, {"timeout_s": 5}, key=key).json["is_armed"]
    assert desk.send("DELETE", HEARTBEAT, key=key).status_code == 204
    assert restraining(desk).turn() == 0


def test_whoever_may_use_some_accounts_arms_a_strategys_switch_for_one_of_them(desk: Desk) -> None:
    account_id = desk.ids["account_id"]
    key = desk.key("cancel:orders", account_ids=[AccountId(account_id)])
    heartbeat = {"timeout_s": 5, "strategy_id": str(uuid.uuid4())}
    everywhere = desk.send("POST", HEARTBEAT, heartbeat, key=key)
    assert (everywhere.status_code, everywhere.json["errors"][0]["field"]) == (422, "account_id")
    here = desk.send("POST", HEARTBEAT, {**heartbeat, "account_id": account_id}, key=key)
    assert (here.status_code, here.json["account_id"]) == (200, account_id)


def test_good_till_cancelled_orders_may_be_spared_and_a_strategy_may_be_halted(desk: Desk) -> None:
    strategy_id = str(uuid.uuid4())
    day = desk.place(strategy_id=strategy_id)
    gtc = desk.place(strategy_id=strategy_id, time_in_force="GTC", limit_price="98.00")
    heartbeat = {"timeout_s": 5, "action": "HALT", "strategy_id": strategy_id, "spare_gtc": True}
    weak = desk.key("place:orders", "cancel:orders")
    assert desk.send("POST", HEARTBEAT, heartbeat, key=weak).status_code == 403
    assert desk.send("POST", HEARTBEAT, {"timeout_s": 5, "action": "HALT"}).status_code == 422
    assert desk.send("POST", HEARTBEAT, heartbeat).status_code == 200
    desk.send_all()
    let_time_pass(desk, 1)
    assert restraining(desk).turn() == 1
    assert (state_of(desk, day), state_of(desk, gtc)) == ("PENDING_CANCEL", "ROUTED")
    (switch,) = desk.send("GET", SWITCHES).json["items"]
    assert (switch["cause"], switch["strategy_id"], switch["is_active"]) == ("DEAD_MAN", strategy_id, True)
    sources = [one["source"] for one in desk.send("GET", "/api/v1/alerts").json["items"]]
    assert "dead_man" in sources


def test_a_switch_of_the_firm_needs_a_superuser_and_holds_ledgers_that_come_later(desk: Desk) -> None:
    firm = {"level": "FIRM", "trading_state": "HALTED", "reason_code": "test"}
    assert as_person(desk, "POST", SWITCHES, firm).status_code == 403
    superuser(desk)
    done = as_person(desk, "POST", SWITCHES, firm)
    assert done.status_code == 201, done.json
    assert desk.place().status_code != 201
    (switch,) = done.json["kill_switches"]
    assert (switch["level"], bool(switch["firm_switch_id"])) == ("FIRM", True)
    assert done.json["firm_switch_id"] == switch["firm_switch_id"]
    again = as_person(desk, "POST", SWITCHES, firm)
    assert (again.status_code, again.json["already_active"]) == (200, True)
    assert again.json["kill_switches"] == [switch]
    later, ledger_id = _new_tenant(desk)
    account_id = AccountId(str(uuid.uuid4()))
    desk.services.control.open_account(later, ledger_id, account_id, base_currency="USD")
    assert _is_halted(desk, later, ledger_id, account_id)
    another, other_ledger = _new_tenant(desk)
    restraining(desk).turn()  # a ledger without an account is reached by the worker
    assert _switches(desk, another, other_ledger) == 1
    desk.services.tenancy.change_settings(cli_actor(), later, {"second_person_release": True})
    release = f"{SWITCHES}/{switch['switch_id']}/release"
    first = as_person(desk, "POST", release, {"reason": "settled"})
    assert (first.status_code, first.json["release_asked_by"]) == (202, f"user:{desk.user_id}"), first.json
    assert as_person(desk, "POST", release, {"reason": "settled"}).status_code == 409
    other = second_person(desk)
    refused = as_person(desk, "POST", release, {"reason": "settled"}, other)
    assert refused.status_code == 403  # an administrator of one tenant
    desk.services.tenancy.change_settings(cli_actor(), later, {"second_person_release": False})
    released = as_person(desk, "POST", release, {"reason": "settled"})
    assert (released.status_code, released.json["is_active"]) == (200, False)
    assert _is_halted(desk, later, ledger_id, account_id) is False
    assert desk.place().status_code == 201


def _new_tenant(desk: Desk) -> tuple[TenantId, LedgerId]:
    made = desk.services.tenancy.create(cli_actor(), NewTenant(name=f"Later {uuid.uuid4()}"))
    (ledger_id,) = [one for tenant_id, one in desk.services.store.ledgers() if tenant_id == made.tenant_id]
    return made.tenant_id, ledger_id


def _switches(desk: Desk, tenant_id: TenantId, ledger_id: LedgerId) -> int:
    return desk.services.desk.transact(tenant_id, ledger_id, lambda turn: len(list(turn.batch.book.switches())))


def _is_halted(desk: Desk, tenant_id: TenantId, ledger_id: LedgerId, account_id: AccountId) -> bool:
    instrument_id: Any = desk.ids["instrument_id"]
    state = desk.services.desk.transact(
        tenant_id, ledger_id, lambda turn: turn.view.trading_state(account_id, None, instrument_id)
    )
    return state is TradingState.HALTED


def test_what_a_person_wrote_about_switches_is_erased_with_the_person(desk: Desk) -> None:
    superuser(desk)
    person, other = desk.person(), second_person(desk)
    mine = as_person(desk, "POST", SWITCHES, {"level": "TENANT", "trading_state": "HALTED", "reason": "mine"}, person)
    theirs = as_person(
        desk, "POST", SWITCHES, {"level": "TENANT", "trading_state": "CANCEL_ONLY", "reason": "theirs"}, other
    )
    firm = as_person(desk, "POST", SWITCHES, {"level": "FIRM", "trading_state": "HALTED", "reason": "mine too"}, person)
    written = [one.json["kill_switches"][0]["switch_id"] for one in (mine, theirs, firm)]
    release = f"{SWITCHES}/{written[1]}/release"
    assert as_person(desk, "POST", release, {"reason": "mine as well"}, person).status_code == 200
    PersonalData(desk.services.store, desk.services.tenancy).erase(cli_actor(), desk.user_id)
    shown = [as_person(desk, "GET", f"{SWITCHES}/{switch_id}", None, other).json for switch_id in written]
    assert [(one["reason"], one["release_reason"]) for one in shown] == [("", ""), ("theirs", ""), ("", "")]
    assert [latch.reason for latch in desk.services.firm_switches.active()] == [""]


@pytest.mark.integration
def test_switches_of_the_firm_heartbeats_and_liquidations_work_on_postgresql(postgres_desk: Desk) -> None:
    desk = postgres_desk
    superuser(desk)
    buy = desk.place(order_type="MARKET", limit_price=None)
    desk.fill(buy.json, "10", "99.50")
    mine = desk.place(limit_price="98.00")
    assert desk.send("POST", HEARTBEAT, {"timeout_s": 5}).status_code == 200
    assert desk.send("POST", HEARTBEAT, {"timeout_s": 6}).json["timeout_s"] == 6
    let_time_pass(desk, 1)
    assert restraining(desk).turn() == 1
    assert state_of(desk, mine) == "CANCELED"
    firm = {"level": "FIRM", "trading_state": "HALTED", "reason_code": "test", "flatten": True, "reason": "all of it"}
    thrown = as_person(desk, "POST", SWITCHES, firm)
    assert thrown.status_code == 201, thrown.json
    (switch,) = thrown.json["kill_switches"]
    assert (switch["level"], switch["reason"], len(thrown.json["liquidation_ids"])) == ("FIRM", "all of it", 1)
    assert restraining(desk).turn() == 1  # the worker closes what is held
    (closing,) = desk.send("GET", "/api/v1/orders?status=NEW").json["items"]
    desk.fill(closing, "10", "99.00")
    assert restraining(desk).turn() == 1
    (liquidation,) = desk.send("GET", "/api/v1/risk/liquidations").json["items"]
    assert (liquidation["outcome"], liquidation["switch_id"]) == ("flat", switch["switch_id"])
    release = f"{SWITCHES}/{switch['switch_id']}/release"
    assert as_person(desk, "POST", release, {"reason": "settled"}).json["is_active"] is False
    assert desk.send("GET", f"{SWITCHES}?active=true").json["items"] == []
    PersonalData(desk.services.store, desk.services.tenancy).erase(cli_actor(), desk.user_id)
    with desk.services.store.read_unit(desk.tenant_id) as unit:
        assert set(switch_texts(unit, [switch["switch_id"]]).values()) == {""}


def test_the_workers_own_thread_strikes_without_being_asked_and_ends(desk: Desk) -> None:
    mine = desk.place()
    assert desk.send("POST", HEARTBEAT, {"timeout_s": 5}).status_code == 200
    let_time_pass(desk, 1)
    thread = restraining(desk)
    thread.start()
    try:
        until(lambda: state_of(desk, mine) == "CANCELED", "the lost heartbeat cancels the order")
    finally:
        thread.stop()
    assert thread.is_alive is False
