"""Changing, cancelling and sending an order: what each of its states allows, and what becomes of it."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from oms_kernel import engine
from oms_kernel.contracts import broker as br
from oms_kernel.contracts.broker import ReplaceMode
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.decision import Outcome, Verdict
from oms_kernel.domain.errors import IllegalTransition, InvalidRequest, OrderConflict
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.lifecycle import Evidence, OrderState, RequestKind, RequestStatus
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from tests.engine.ledger import EVERYTHING, NOON, Ledger, Ruling

HELD = Verdict(rule="approval", outcome=Outcome.HOLD, message="a person must look")
DENIED = Verdict(rule="limit", outcome=Outcome.DENY, message="too big")


# Replace --------------------------------------------------------------------------------------------------


def test_an_order_that_was_never_sent_is_amended_at_once() -> None:
    ledger = Ledger()
    order = ledger.place(limit_price="99")
    assert ledger.replace(order.order_id, quantity=250, limit_price="98.50").accepted
    amended = ledger.order(order.order_id)
    assert (amended.quantity, amended.limit_price, amended.state) == (250, Decimal("98.50"), OrderState.NEW)
    assert (ledger.open_quantity(), amended.reservation.price) == (250, Decimal("98.50"))
    assert amended.replace is not None and amended.replace.status is RequestStatus.DONE
    assert ledger.replace(order.order_id, quantity=10).accepted, "and again"
    assert ledger.open_quantity() == 10


def test_exposure_is_the_worst_of_old_and_new_while_a_replace_is_open() -> None:
    ledger = Ledger()
    order_id = ledger.working(quantity=100)
    ledger.fill(order_id, 30)
    ledger.replace(order_id, quantity=150)
    assert (ledger.order(order_id).state, ledger.open_quantity()) == (OrderState.PENDING_REPLACE, 120)
    ledger.send(order_id, RequestKind.REPLACE)
    ledger.hear(ledger.report(br.ReplaceRefused, order_id, reason="no"))
    assert (ledger.order(order_id).state, ledger.open_quantity()) == (OrderState.PARTIALLY_FILLED, 70)
    ledger.replace(order_id, quantity=40)
    ledger.send(order_id, RequestKind.REPLACE)
    assert ledger.open_quantity() == 70
    ledger.hear(ledger.report(br.Replaced, order_id, quantity=Decimal(40)))
    assert ledger.open_quantity() == 10


def test_a_refused_replace_may_be_asked_for_again() -> None:
    ledger = Ledger()
    order_id = ledger.replacing()
    ledger.refuse(order_id, RequestKind.REPLACE)
    assert ledger.order(order_id).state is OrderState.WORKING
    assert ledger.replace(order_id, quantity=150).accepted
    second = ledger.send(order_id, RequestKind.REPLACE)
    assert len(set(ledger.order(order_id).wire_ids)) == 3 and second == ledger.order(order_id).wire_ids[-1]
    ledger.hear(ledger.report(br.Replaced, order_id, quantity=Decimal(150)))
    assert (ledger.order(order_id).quantity, ledger.order(order_id).state) == (150, OrderState.WORKING)


def cancel_on_the_way(ledger: Ledger) -> OrderId:
    order_id = ledger.working()
    ledger.cancel(order_id)
    return order_id


def doubtful(ledger: Ledger) -> OrderId:
    order_id = ledger.sent()
    ledger.doubt(order_id)
    return order_id


def filled(ledger: Ledger) -> OrderId:
    order_id = ledger.working()
    ledger.fill(order_id, 100)
    return order_id


def doubtful_replace(ledger: Ledger) -> OrderId:
    order_id = ledger.replacing()
    ledger.doubt(order_id, RequestKind.REPLACE)
    return order_id


@pytest.mark.parametrize("situation", [Ledger.replacing, cancel_on_the_way, doubtful, doubtful_replace, filled])
def test_a_replace_conflicts_with_what_is_under_way_or_over(situation: Callable[[Ledger], OrderId]) -> None:
    ledger = Ledger()
    order_id = situation(ledger)
    before = ledger.book.seq
    with pytest.raises(OrderConflict) as caught:
        ledger.replace(order_id, quantity=77)
    assert (caught.value.code, ledger.book.seq) == ("order_conflict", before)


@pytest.mark.parametrize(
    "terms", [{"quantity": 100}, {"limit_price": "99.001"}, {"stop_price": "98"}, {"quantity": "0.5"}, {"quantity": 0}]
)
def test_bad_terms_are_refused(terms: dict[str, str]) -> None:
    ledger = Ledger()
    order_id = ledger.working(limit_price="99")
    with pytest.raises(InvalidRequest):
        ledger.replace(order_id, **terms)


def test_a_trail_changes_its_kind() -> None:
    ledger = Ledger()
    order_id = ledger.place(order_type=OrderType.TRAILING_STOP, trail_amount="1.00").order_id
    assert ledger.replace(order_id, trail_percent="2").accepted
    order = ledger.order(order_id)
    assert (order.trail_amount, order.trail_percent) == (None, 2)


@pytest.mark.parametrize("mode", [ReplaceMode.NONE, ReplaceMode.CANCEL_NEW])
def test_a_live_order_is_changed_only_where_the_broker_can(mode: ReplaceMode) -> None:
    ledger = Ledger(capabilities=msgspec.structs.replace(EVERYTHING, replace=mode))
    unsent, live = ledger.place().order_id, ledger.working()
    assert ledger.replace(unsent, quantity=7).accepted
    with pytest.raises(engine.Unsupported):
        ledger.replace(live, quantity=7)


def test_new_terms_are_judged_without_the_order_itself() -> None:
    rule = Ruling()
    ledger = Ledger(rules=[rule])
    order_id = ledger.working(quantity=100)
    ledger.working(quantity=5)
    ledger.replace(order_id, quantity=160)
    intent, exposure = rule.asked[-1]
    assert (exposure.buy_quantity, exposure.buy_orders) == (5, 1)
    assert (intent.added_quantity, intent.request.quantity) == (60, 160)
    assert intent.replaces is not None and intent.replaces.order_id == order_id


def test_denied_terms_leave_the_order_as_it_was() -> None:
    ledger = Ledger()
    order_id = ledger.working()
    ledger.rules.append(Ruling(DENIED))
    assert not ledger.replace(order_id, quantity=150).accepted
    assert (ledger.order(order_id).state, ledger.open_quantity()) == (OrderState.WORKING, 100)


def test_terms_that_a_rule_would_hold_do_not_slip_out_unapproved() -> None:
    ledger = Ledger()
    order_id = ledger.working()
    ledger.rules.append(Ruling(HELD))
    decision = ledger.replace(order_id, quantity=150)
    assert not decision.accepted and [verdict.rule for verdict in decision.denials] == ["approval"]
    assert ledger.order(order_id).state is OrderState.WORKING
    parked = ledger.place().order_id
    assert ledger.replace(parked, quantity=150).accepted, "a held order stays held with its new terms"
    assert ledger.order(parked).state is OrderState.HELD


def test_reduce_only_accounts_take_a_replace_that_still_reduces() -> None:
    ledger = Ledger()
    ledger.hold(100)
    order_id = ledger.working(Side.SELL, 60)
    ledger.set_state(TradingState.REDUCE_ONLY)
    assert ledger.replace(order_id, quantity=100).accepted
    ledger.refuse(order_id, RequestKind.REPLACE)
    assert not ledger.replace(order_id, quantity=101).accepted


# Cancel ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rules", [[], [Ruling(HELD)]])
def test_cancelling_what_was_never_sent_ends_it_here_and_now(rules: list[Ruling]) -> None:
    ledger = Ledger(rules=rules)
    order_id = ledger.place().order_id
    ledger.cancel(order_id)
    order = ledger.order(order_id)
    assert (order.state, order.evidence) == (OrderState.CANCELED, Evidence.NEVER_SENT)
    assert (order.reason_code, order.cancel) == ("canceled_before_send", RequestStatus.DONE)
    assert (order.place, ledger.open_quantity()) == (RequestStatus.REFUSED, 0)


def test_a_repeated_cancel_says_nothing_and_one_of_a_terminal_order_conflicts() -> None:
    ledger = Ledger()
    order_id = ledger.working()
    assert [event.kind for event in ledger.cancel(order_id)] == ["cancel_requested"]
    assert ledger.cancel(order_id) == ()
    ledger.send(order_id, RequestKind.CANCEL)
    assert ledger.cancel(order_id) == ()
    ledger.end(br.Canceled, order_id)
    with pytest.raises(OrderConflict):
        ledger.cancel(order_id)
    assert ledger.order(order_id).reason_code == "canceled_on_request"


def test_a_cancel_voids_a_replace_that_was_not_sent() -> None:
    ledger = Ledger()
    order_id = ledger.working()
    ledger.replace(order_id, quantity=150)
    ledger.cancel(order_id)
    order = ledger.order(order_id)
    assert order.replace is not None and order.replace.status is RequestStatus.REFUSED
    assert (order.state, ledger.open_quantity()) == (OrderState.PENDING_CANCEL, 100)


def test_a_cancel_leaves_a_replace_on_the_wire_alone() -> None:
    ledger = Ledger()
    order_id = ledger.replacing()
    ledger.cancel(order_id)
    assert ledger.order(order_id).state is OrderState.PENDING_CANCEL
    ledger.hear(ledger.report(br.Replaced, order_id, quantity=Decimal(150)))
    assert (ledger.order(order_id).state, ledger.order(order_id).quantity) == (OrderState.PENDING_CANCEL, 150)


def test_a_refused_cancel_returns_to_the_status_and_may_be_asked_for_again() -> None:
    ledger = Ledger()
    order_id = ledger.working()
    ledger.cancel(order_id)
    ledger.send(order_id, RequestKind.CANCEL)
    refusal = ledger.report(br.CancelRefused, order_id, reason="too late")
    ledger.hear(refusal)
    assert ledger.order(order_id).state is OrderState.WORKING
    ledger.cancel(order_id)
    assert ledger.hear(refusal) == (), "the old refusal says nothing about a cancel that is not sent yet"
    assert ledger.order(order_id).state is OrderState.PENDING_CANCEL
    ledger.send(order_id, RequestKind.CANCEL)
    ledger.end(br.Canceled, order_id)
    assert ledger.order(order_id).cancel is RequestStatus.DONE


def test_a_cancel_is_sent_again_under_a_new_name_and_never_in_doubt() -> None:
    ledger = Ledger()
    order_id = ledger.working()
    ledger.cancel(order_id)
    names = [ledger.send(order_id, RequestKind.CANCEL) for _ in range(300)]
    assert len(set(names)) == 300
    assert ledger.doubt(order_id, RequestKind.PLACE) == ()
    assert ledger.order(order_id).state is OrderState.PENDING_CANCEL


def test_a_cancel_that_was_sent_first_may_be_recorded_when_the_order_has_ended() -> None:
    ledger = Ledger()
    order_id = ledger.working()
    ledger.end(br.Canceled, order_id)
    assert ledger.send(order_id, RequestKind.CANCEL) is not None
    assert (ledger.order(order_id).state, ledger.order(order_id).cancel) == (OrderState.CANCELED, None)


# Sending --------------------------------------------------------------------------------------------------


def test_a_place_is_sent_once() -> None:
    ledger = Ledger()
    order_id = ledger.sent()
    assert (ledger.order(order_id).state, ledger.order(order_id).lease_token) == (OrderState.ROUTED, 1)
    with pytest.raises(IllegalTransition):
        ledger.send(order_id)
    ledger.doubt(order_id)
    with pytest.raises(IllegalTransition):
        ledger.send(order_id)


def gated(ledger: Ledger, order_id: OrderId) -> tuple[OrderState, str | None, Evidence | None]:
    assert ledger.send(order_id) is None
    order = ledger.order(order_id)
    assert (order.wire_ids, ledger.open_quantity(order.request.side)) == ((), 0)
    return order.state, order.reason_code, order.evidence


def test_what_waited_too_long_is_not_sent_any_more() -> None:
    ledger = Ledger()
    order_id = ledger.place().order_id
    ledger.later(seconds=10)
    assert ledger.order(order_id).send_before == ledger.now
    assert ledger.send(order_id) is not None, "on the last moment it still goes"
    ledger = Ledger()
    order_id = ledger.place().order_id
    ledger.later(seconds=10.001)
    assert gated(ledger, order_id) == (OrderState.EXPIRED, "send_before_passed", Evidence.NEVER_SENT)


def test_what_expired_while_it_waited_is_not_sent() -> None:
    ledger = Ledger()
    expire_at = NOON + timedelta(seconds=5)
    order_id = ledger.place(time_in_force=TimeInForce.GTD, expire_at=expire_at).order_id
    ledger.later(seconds=5)
    assert gated(ledger, order_id) == (OrderState.EXPIRED, "expired_before_send", Evidence.NEVER_SENT)


@pytest.mark.parametrize("state", [TradingState.REDUCE_ONLY, TradingState.CANCEL_ONLY, TradingState.HALTED])
def test_the_trading_state_is_asked_again_at_the_wire(state: TradingState) -> None:
    ledger = Ledger()
    order_id = ledger.place().order_id
    ledger.set_state(state)
    assert gated(ledger, order_id) == (OrderState.CANCELED, "trading_state", Evidence.NEVER_SENT)


def test_what_reduces_passes_the_gate_of_a_reduce_only_account() -> None:
    ledger = Ledger()
    ledger.hold(100)
    order_id = ledger.place(Side.SELL, 100).order_id
    ledger.set_state(TradingState.REDUCE_ONLY)
    assert ledger.send(order_id) is not None


def test_a_reduce_only_order_that_would_no_longer_reduce_is_not_sent() -> None:
    ledger = Ledger()
    ledger.hold(100)
    first, second = ledger.working(Side.SELL, 50), ledger.place(Side.SELL, 50, reduce_only=True).order_id
    ledger.fill(first, 60, exec_id="too much")
    ledger.set_state(TradingState.ACTIVE)
    assert gated(ledger, second) == (OrderState.CANCELED, "reduce_only", Evidence.NEVER_SENT)


def test_cancels_always_pass_the_gate() -> None:
    ledger = Ledger()
    order_id = ledger.working()
    ledger.cancel(order_id)
    ledger.set_state(TradingState.HALTED)
    ledger.later(days=1)
    assert ledger.send(order_id, RequestKind.CANCEL) is not None


@pytest.mark.parametrize("state", [TradingState.ACTIVE, TradingState.HALTED])
def test_a_replace_that_the_gate_stops_is_refused_and_the_order_goes_on(state: TradingState) -> None:
    ledger = Ledger()
    order_id = ledger.working()
    ledger.replace(order_id, quantity=150)
    ledger.set_state(state)
    ledger.later(seconds=11 if state is TradingState.ACTIVE else 0)
    assert ledger.send(order_id, RequestKind.REPLACE) is None
    assert (ledger.order(order_id).state, ledger.open_quantity()) == (OrderState.WORKING, 100)
    assert ledger.log[-1].event == ev.ReplaceRefused(
        account_id=ledger.order(order_id).request.account_id,
        order_id=order_id,
        evidence=Evidence.NEVER_SENT,
        reason="send_before_passed" if state is TradingState.ACTIVE else "trading_state",
    )
