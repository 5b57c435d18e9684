"""Held orders as flow sees them: how long they wait, who may release them, and what happens around them meanwhile."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_app.flow.approvals import Approvals
from oms_app.flow.errors import NoSession, NotPermitted, UnknownOrder
from oms_app.store.memory import ready_connection
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.decision import RuleSeverity, Verdict, denied, passed
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.order import Order
from oms_kernel.engine import NewTerms
from oms_kernel.terms import Terms
from oms_kernel.testkit.builders import ACCOUNT_ID
from tests.flow.trading import CONNECTION, LEDGER, TENANT, Trading

OWNERS = {"key:k1": "user:test", "key:k2": "user:officer"}


class MostUnits:
    """A rule that denies more than 100 units of one order."""

    name = "most_units"

    def __init__(self, limit: int = 100) -> None:
        self.limit = limit
        self.asked = 0

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        self.asked += 1
        if intent.request.quantity <= self.limit:
            return passed(self.name)
        return denied(self.name, "too_many", "too many", observed=intent.request.quantity, limit=self.limit)


def desk_of(rule: MostUnits | None = None, **settings: Any) -> tuple[Trading, Approvals, MostUnits]:
    """(a tenant whose one rule is soft, its approvals, the rule)."""
    rule = rule or MostUnits()
    trading = Trading(rules=[rule])
    trading.terms = Terms(severity=RuleSeverity.SOFT)
    trading.store.put_settings(TENANT, settings)
    approvals = Approvals(
        trading.desk, trading.intake._lanes, trading.intake._directory, lambda tenant, name: OWNERS.get(name, name)
    )
    return trading, approvals, rule


def by(trading: Trading, name: str = "user:officer") -> Any:
    return msgspec.structs.replace(trading.principal, principal_id=name)


def held(trading: Trading, quantity: int = 150, **fields: Any) -> Order:
    order = trading.place(quantity=quantity, limit_price="99.00", **fields)
    assert order.state is OrderState.HELD
    return order


def test_an_order_waits_as_long_as_the_tenant_says() -> None:
    trading, _, _ = desk_of()
    order = held(trading)
    assert order.hold_until is not None
    assert (order.hold_until - trading.now).total_seconds() == 900
    patient, _, _ = desk_of(approval_window_s=7200)
    later = held(patient)
    assert later.hold_until is not None
    assert (later.hold_until - patient.now).total_seconds() == 7200
    assert later.send_before == later.hold_until  # what the sweeper looks for


def test_an_order_that_nobody_approves_in_time_expires_unsent() -> None:
    trading, approvals, _ = desk_of()
    order = held(trading)
    trading.wait(seconds=900)
    assert trading.control.sweep(TENANT, LEDGER) == ()
    trading.wait(seconds=1)
    with pytest.raises(OrderConflict, match="is over"):
        approvals.approve(by(trading), order.order_id, "too late")
    assert trading.control.sweep(TENANT, LEDGER) == (order.order_id,)
    ended = trading.order(order.order_id)
    assert (ended.state, ended.reason_code) == (OrderState.EXPIRED, "approval_expired")
    with pytest.raises(OrderConflict, match="EXPIRED"):
        approvals.approve(by(trading), order.order_id, "too late")


def test_an_approved_order_has_its_time_to_be_sent_from_then_on() -> None:
    trading, approvals, _ = desk_of()
    order = held(trading)
    trading.wait(seconds=600)
    approval = approvals.approve(by(trading), order.order_id, "fine")
    assert approval.order.state is OrderState.NEW
    assert approval.order.send_before is not None
    assert (approval.order.send_before - trading.now).total_seconds() == 10
    assert approval.order.approved_by == "user:officer"


def test_the_owner_of_the_key_that_placed_an_order_cannot_approve_it() -> None:
    trading, approvals, _ = desk_of()
    order = held(trading)
    for name in ("user:test", "key:k1"):
        with pytest.raises(NotPermitted):
            approvals.approve(by(trading, name), order.order_id, "mine")
    assert trading.kinds() == ["order_accepted"]
    assert approvals.approve(by(trading, "key:k2"), order.order_id, "seen").order.state is OrderState.NEW


def test_without_a_broker_session_the_order_goes_on_waiting() -> None:
    trading, approvals, _ = desk_of()
    order = held(trading)
    away = ready_connection(CONNECTION, trading.now, 1)
    trading.store.put_connection(TENANT, away)
    trading.desk.connections._states.clear()
    trading.wait(seconds=1)
    with pytest.raises(NoSession):
        approvals.approve(by(trading), order.order_id, "fine")
    assert trading.order(order.order_id).state is OrderState.HELD


def test_a_halted_account_denies_the_approval_and_ends_what_waits() -> None:
    trading, approvals, _ = desk_of()
    order = held(trading)
    trading.control.set_trading_state(trading.principal, ACCOUNT_ID, TradingState.CANCEL_ONLY, "test")
    approval = approvals.approve(by(trading), order.order_id, "fine")
    assert approval.decision is not None
    assert [verdict.rule for verdict in approval.decision.denials] == ["trading_state"]
    assert trading.order(order.order_id).state is OrderState.HELD
    trading.control.set_trading_state(trading.principal, ACCOUNT_ID, TradingState.HALTED, "test")
    assert trading.order(order.order_id).state is OrderState.CANCELED


def test_an_order_that_does_not_wait_cannot_be_approved_or_declined() -> None:
    trading, approvals, _ = desk_of()
    order = trading.place(quantity=50)
    for act in (approvals.approve, approvals.decline):
        with pytest.raises(OrderConflict, match="only a held order"):
            act(by(trading), order.order_id, "fine")
        with pytest.raises(UnknownOrder):
            act(by(trading), "no-such-order", "fine")  # type: ignore[arg-type]
        with pytest.raises(InvalidRequest, match="reason"):
            act(by(trading), order.order_id, " ")


def test_an_officer_who_may_not_use_the_account_sees_no_such_order() -> None:
    trading, approvals, _ = desk_of()
    order = held(trading)
    elsewhere = msgspec.structs.replace(by(trading), account_ids=frozenset())
    with pytest.raises(UnknownOrder):
        approvals.approve(elsewhere, order.order_id, "fine")


def test_a_held_order_that_is_amended_stays_held_for_the_new_terms() -> None:
    trading, approvals, rule = desk_of()
    order = held(trading)
    trading.amendment.replace(by(trading, "user:third"), order.order_id, NewTerms(quantity=Decimal(400)))
    assert trading.order(order.order_id).state is OrderState.HELD
    with pytest.raises(NotPermitted):
        approvals.approve(by(trading, "user:third"), order.order_id, "fine")
    asked = rule.asked
    approval = approvals.approve(by(trading), order.order_id, "fine")
    assert rule.asked == asked + 1
    assert approval.decision is not None
    assert [verdict.observed for verdict in approval.decision.verdicts] == [Decimal(400)]
    assert approval.order.quantity == 400


def test_what_waits_is_reserved_in_full_and_given_back_once() -> None:
    trading, approvals, _ = desk_of()
    instrument_id = trading.instrument.instrument_id

    def open_quantity() -> Decimal:
        exposure = trading.in_turn(lambda turn: turn.view.exposure(ACCOUNT_ID, instrument_id))
        return Decimal(exposure.buy_quantity)

    first, second, third = held(trading), held(trading, 160), held(trading, 170)
    assert open_quantity() == 480
    approvals.decline(by(trading), second.order_id, "no")
    assert open_quantity() == 320
    approvals.approve(by(trading), first.order_id, "yes")
    assert open_quantity() == 320
    trading.amendment.cancel(trading.principal, third.order_id)
    assert open_quantity() == 150
    trading.restart()
    assert trading.in_turn(lambda turn: turn.view.exposure(ACCOUNT_ID, instrument_id)).buy_quantity == 150
