"""Kill switches, liquidations and approvals as the kernel decides them: what is let in, let out, and held."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_kernel import engine
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.decision import Outcome, RuleSeverity, Verdict, denied, passed
from oms_kernel.domain.errors import OrderConflict
from oms_kernel.domain.ids import EventId, StrategyId
from oms_kernel.domain.lifecycle import Evidence, OrderStatus, RequestKind
from oms_kernel.domain.order import Order, Side
from oms_kernel.domain.scope import EVERYTHING, Scope, ScopeLevel
from oms_kernel.testkit.builders import ACCOUNT_ID, a_uuid
from tests.engine.ledger import ACME, BETA, Ledger, NoMemory, Ruling

STRATEGY = StrategyId(a_uuid("strategy"))
HELD_BY = Verdict(rule="ruling", outcome=Outcome.HOLD, severity=RuleSeverity.SOFT, limit_id="soft")


def throw(ledger: Ledger, scope: Scope = EVERYTHING, state: TradingState = TradingState.HALTED) -> EventId:
    ledger.commit(ev.KillSwitchActivated(scope=scope, trading_state=state, reason_code="test"))
    return ledger.log[-1].event_id


def outcome(ledger: Ledger, side: Side = Side.BUY, quantity: int = 10, **fields: Any) -> str:
    """`accepted`, or the code of the denial."""
    decision, _ = ledger.decide(side, quantity, **fields)
    return "accepted" if decision.accepted else decision.denials[0].code


@pytest.mark.parametrize(
    ("scope", "level", "covered", "not_covered"),
    [
        (EVERYTHING, ScopeLevel.TENANT, {}, None),
        (Scope(is_firm=True), ScopeLevel.FIRM, {}, None),
        (Scope(ACCOUNT_ID), ScopeLevel.ACCOUNT, {}, None),
        (Scope(strategy_id=STRATEGY), ScopeLevel.STRATEGY, {"strategy_id": STRATEGY}, {}),
        (Scope(instrument_id=ACME.instrument_id), ScopeLevel.INSTRUMENT, {}, {"instrument": BETA}),
        (
            Scope(ACCOUNT_ID, STRATEGY, ACME.instrument_id),
            ScopeLevel.INSTRUMENT,
            {"strategy_id": STRATEGY},
            {"strategy_id": STRATEGY, "instrument": BETA},
        ),
    ],
)
def test_a_kill_switch_stops_the_orders_of_its_scope_and_no_others(
    scope: Scope, level: ScopeLevel, covered: dict[str, Any], not_covered: dict[str, Any] | None
) -> None:
    ledger = Ledger()
    throw(ledger, scope)
    assert scope.level is level
    assert outcome(ledger, **covered) == "halted"
    if not_covered is not None:
        assert outcome(ledger, **not_covered) == "accepted"


def test_a_switch_holds_until_its_own_release_and_the_strictest_wins() -> None:
    ledger = Ledger()
    ledger.hold(10)
    reduce_only = throw(ledger, state=TradingState.REDUCE_ONLY)
    halted = throw(ledger)
    assert outcome(ledger, Side.SELL, 5) == "halted"
    ledger.commit(ev.KillSwitchReleased(switch_id=halted, principal="user:1"))
    assert outcome(ledger, Side.SELL, 5) == "accepted"
    assert outcome(ledger, Side.BUY, 5) == "reduce_only"
    ledger.commit(ev.KillSwitchReleased(switch_id=reduce_only, principal="user:1"))
    assert outcome(ledger, Side.BUY, 5) == "accepted"


def test_a_switch_of_the_tenant_does_not_loosen_a_halted_account() -> None:
    ledger = Ledger()
    ledger.commit(
        ev.TradingStateChanged(account_id=ACCOUNT_ID, trading_state=TradingState.HALTED, reason_code="person")
    )
    switch = throw(ledger, state=TradingState.REDUCE_ONLY)
    ledger.commit(ev.KillSwitchReleased(switch_id=switch, principal="user:1"))
    assert outcome(ledger) == "halted"


def test_what_was_accepted_before_the_switch_does_not_pass_the_last_gate() -> None:
    ledger = Ledger()
    order = ledger.place()
    throw(ledger, Scope(instrument_id=ACME.instrument_id))
    ended = engine.gate_intent(ledger.view(), order, RequestKind.PLACE)
    assert isinstance(ended, ev.OrderCanceled)
    assert (ended.evidence, ended.reason_code) == (Evidence.NEVER_SENT, "trading_state")
    assert engine.gate_intent(ledger.view(), order, RequestKind.CANCEL) is None


def test_only_a_running_liquidation_closes_positions_behind_a_halt() -> None:
    ledger = Ledger()
    ledger.hold(10)
    throw(ledger)
    ledger.commit(ev.LiquidationStarted(scope=EVERYTHING, reason_code="test"))
    liquidation = ledger.log[-1].event_id
    assert outcome(ledger, Side.SELL, 10) == "halted"
    assert outcome(ledger, Side.SELL, 10, liquidation_id=liquidation) == "accepted"
    assert outcome(ledger, Side.SELL, 11, liquidation_id=liquidation) == "halted"
    assert outcome(ledger, Side.BUY, 1, liquidation_id=liquidation) == "halted"
    ledger.commit(ev.LiquidationEnded(liquidation_id=liquidation, outcome="stopped"))
    assert outcome(ledger, Side.SELL, 10, liquidation_id=liquidation) == "halted"


def test_no_liquidation_trusts_the_book_of_an_account_whose_reports_cannot_be_booked() -> None:
    ledger = Ledger()
    ledger.hold(10)
    ledger.commit(
        ev.TradingStateChanged(account_id=ACCOUNT_ID, trading_state=TradingState.CANCEL_ONLY, reason_code="unbooked"),
        ev.LiquidationStarted(scope=EVERYTHING, reason_code="test"),
    )
    assert outcome(ledger, Side.SELL, 10, liquidation_id=ledger.log[-1].event_id) == "cancel_only"


def test_a_shadow_denial_refuses_nothing_and_a_soft_one_holds() -> None:
    shadow = msgspec.structs.replace(denied("ruling", "x", "no"), severity=RuleSeverity.SHADOW)
    decision, event = Ledger(rules=[Ruling(shadow)]).decide()
    assert decision.accepted
    assert decision.denials == ()
    assert isinstance(event, ev.OrderAccepted)
    assert not event.held
    _, event = Ledger(rules=[Ruling(HELD_BY)]).decide()
    assert isinstance(event, ev.OrderAccepted)
    assert event.held
    assert event.hold_until == event.send_before


def test_an_order_of_a_liquidation_waits_for_no_approval() -> None:
    ledger = Ledger(rules=[Ruling(passed("ruling"))])
    ledger.hold(10)
    ledger.rules = [Ruling(HELD_BY)]
    ledger.commit(ev.LiquidationStarted(scope=EVERYTHING, reason_code="test"))
    _, event = ledger.decide(Side.SELL, 10, liquidation_id=ledger.log[-1].event_id)
    assert isinstance(event, ev.OrderAccepted)
    assert not event.held


def held(ledger: Ledger) -> Order:
    ledger.rules = [Ruling(HELD_BY)]
    _, event = ledger.decide(send_before=ledger.now + timedelta(minutes=15))
    ledger.commit(msgspec.structs.replace(event, principal="user:trader"))
    assert isinstance(event, ev.OrderAccepted)
    return ledger.book.orders[event.order_id]


def approve(ledger: Ledger, order: Order, principal: str = "user:officer") -> Any:
    return engine.approve(
        ledger.view(),
        order,
        instrument=ACME,
        rules=ledger.rules,
        states=NoMemory(),
        send_before=ledger.now + timedelta(seconds=10),
        principal=principal,
    )


def test_a_second_person_lets_a_held_order_go_and_names_the_limits_overridden() -> None:
    ledger = Ledger()
    order = held(ledger)
    assert ledger.view().exposure(ACCOUNT_ID, ACME.instrument_id).buy_quantity == order.quantity
    decision, event = approve(ledger, order)
    assert decision.accepted
    assert event.overridden == ("soft",)
    ledger.commit(event)
    sent = ledger.book.orders[order.order_id]
    assert (sent.status, sent.approved_by, sent.send_before) == (OrderStatus.NEW, "user:officer", event.send_before)
    assert order.order_id in [found for found, _ in ledger.book.unsettled.entries(order.connection_id)]
    with pytest.raises(OrderConflict):
        approve(ledger, sent)


def test_an_approval_is_judged_anew_and_a_hard_denial_keeps_the_order_waiting() -> None:
    ledger = Ledger()
    order = held(ledger)
    ledger.rules = [Ruling(denied("ruling", "restricted", "restricted meanwhile"))]
    decision, event = approve(ledger, order)
    assert (decision.accepted, event) == (False, None)


@pytest.mark.parametrize("principal", ["user:trader"])
def test_nobody_approves_an_order_of_their_own(principal: str) -> None:
    ledger = Ledger()
    with pytest.raises(OrderConflict, match="second person"):
        approve(ledger, held(ledger), principal)


def test_an_approval_comes_in_time_or_not_at_all() -> None:
    ledger = Ledger()
    order = held(ledger)
    ledger.now += timedelta(minutes=16)
    with pytest.raises(OrderConflict, match="time"):
        approve(ledger, order)


def test_headroom_is_measured_from_the_side_of_the_limit() -> None:
    below = Verdict(rule="r", outcome=Outcome.PASS, observed=Decimal(30), limit=Decimal(100))
    assert below.headroom == 70
    assert msgspec.structs.replace(below, is_floor=True).headroom == -70
    assert passed("r").headroom is None


@pytest.mark.parametrize(
    "code",
    [
        "canceled_before_send", "send_before_passed", "expired_before_send", "approval_declined", "approval_expired",
        "trading_state", "reduce_only", "prepare_failed", "database_silent", "lease_lapsed", "connection_closed",
    ],
)  # fmt: skip
def test_whoever_placed_an_order_that_was_never_sent_is_told_why_in_words(code: str) -> None:
    ledger = Ledger()
    order = held(ledger)
    ledger.commit(engine.never_sent(order, ev.OrderCanceled, code, principal="user:officer"))
    ended = ledger.book.orders[order.order_id]
    assert ended.reason_code == code
    assert " " in (ended.reason or "")


def test_an_alert_is_open_until_somebody_has_seen_it() -> None:
    ledger = Ledger()
    alert = {"severity": ev.Severity.WARNING, "source": "test", "text": "look", "what_to_do": "look again"}
    ledger.commit(ev.AlertRaised(**alert), ev.AlertRaised(account_id=ACCOUNT_ID, **alert))
    (first, of_no_account), (second, of_the_account) = ledger.book.open_alerts.entries("open")
    assert (of_no_account, of_the_account) == ("", ACCOUNT_ID)
    ledger.commit(ev.AlertAcknowledged(alert_id=first, principal="user:officer"))
    assert list(ledger.book.open_alerts.entries("open")) == [(second, ACCOUNT_ID)]
