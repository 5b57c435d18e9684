"""Open orders of an owner make way for a newer one, in its transaction, when the verdict over it says so."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_app.flow import submission
from oms_app.flow.approvals import Approvals
from oms_app.flow.lane import Lanes
from oms_app.flow.making_way import make_way
from oms_app.flow.routing import Directory
from oms_compliance_checks.self_trade_prevention import SelfTradePrevention
from oms_kernel.contracts import broker as br
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.decision import Decision, Gate, Outcome, RuleSeverity, Verdict, passed
from oms_kernel.domain.events import OrderAcknowledged
from oms_kernel.domain.ids import OrderId, wire_id
from oms_kernel.domain.lifecycle import OrderState, RequestStatus
from oms_kernel.domain.order import Order, Side
from oms_kernel.engine import NewTerms
from oms_kernel.guard import GuardedRule
from oms_kernel.soundness import is_sound
from oms_kernel.terms import Terms
from oms_kernel.testkit.builders import a_uuid
from tests.flow import trading as trading_kit
from tests.flow.trading import CAPABILITIES, CONNECTION, Trading


class AboveTen:
    """Denies more than ten; with another severity it holds or only looks."""

    name = "above_ten"

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        if intent.request.quantity <= 10:
            return passed(self.name)
        return Verdict(rule=self.name, outcome=Outcome.DENY, code=self.name, message="more than ten")


def trading(mode: str, *others: Any, severity: RuleSeverity = RuleSeverity.HARD) -> Trading:
    prevention = SelfTradePrevention(parse_params(SelfTradePrevention, {"mode": mode}))
    return Trading([prevention, *others], terms=Terms(severity=severity))


def working(desk: Trading, order: Order) -> Order:
    """The order after it was sent and the broker took it."""
    send(desk)
    desk.record(OrderAcknowledged(account_id=order.request.account_id, order_id=order.order_id, broker_at=desk.now))
    return desk.order(order.order_id)  # type: ignore[no-any-return]


def send(desk: Trading) -> list[tuple[str, OrderId]]:
    """Kind and order of what is sent now, in its order."""

    def prepare(command: br.Command) -> br.WireIdentity:
        return br.WireIdentity(wire_id(command.order_id, command.attempt, 28))

    sent = desk.in_turn(lambda turn: submission.next_intents(turn, CONNECTION, 1, CAPABILITIES, prepare))
    return [(intent.command.kind.value, intent.command.order_id) for intent in sent]


def decide(desk: Trading, side: Side, quantity: int, price: str = "100") -> tuple[Decision, Order]:
    (item,) = desk.submit(desk.draft(side, quantity, limit_price=price)).items
    assert item.decision is not None, item.error
    assert item.order is not None
    return item.decision, item.order


def test_in_mode_oldest_an_unsent_order_ends_before_the_new_one_is_accepted() -> None:
    desk = trading("OLDEST")
    resting = desk.place(Side.SELL, 10, limit_price="100")
    before = len(desk.kinds())
    _, order = decide(desk, Side.BUY, 10)
    assert desk.kinds()[before:] == ["cancel_requested", "order_canceled", "order_accepted"]
    assert desk.order(resting.order_id).state is OrderState.CANCELED
    assert desk.order(order.order_id).state is OrderState.NEW


def test_in_mode_oldest_the_cancel_of_a_sent_order_goes_out_before_the_new_order() -> None:
    desk = trading("OLDEST")
    resting = working(desk, desk.place(Side.SELL, 10, limit_price="100"))
    _, order = decide(desk, Side.BUY, 10)
    waiting = desk.order(resting.order_id)
    assert waiting.cancel is RequestStatus.REQUESTED
    cancelled = [one for one in desk.in_turn(lambda turn: turn.unit.tail(0)) if one.event.kind == "cancel_requested"]
    assert cancelled[0].event.principal == "limit:self_trade_prevention"
    assert send(desk) == [("CANCEL", resting.order_id), ("PLACE", order.order_id)]


def test_in_mode_both_the_open_order_goes_and_the_new_one_is_denied() -> None:
    desk = trading("BOTH")
    resting = desk.place(Side.SELL, 10, limit_price="100")
    decision, _ = decide(desk, Side.BUY, 10)
    assert not decision.accepted
    assert desk.order(resting.order_id).state is OrderState.CANCELED


@pytest.mark.parametrize(
    ("resting", "asked", "left", "state", "own"),
    [
        (30, 100, None, OrderState.CANCELED, 70),
        (100, 30, 70, OrderState.NEW, None),
        (50, 50, None, OrderState.CANCELED, None),
    ],
)
def test_in_mode_decrement_both_orders_lose_the_smaller_quantity(
    resting: int, asked: int, left: int | None, state: OrderState, own: int | None
) -> None:
    desk = trading("DECREMENT")
    first = desk.place(Side.SELL, resting, limit_price="100")
    decision, order = decide(desk, Side.BUY, asked)
    now = desk.order(first.order_id)
    assert now.state is state
    assert left is None or now.quantity == left
    assert decision.accepted is (own is not None)
    if own is not None:
        assert desk.order(order.order_id).quantity == own
        assert order.quantity == own


@pytest.mark.parametrize("can_replace", [True, False])
def test_in_mode_decrement_an_order_that_the_broker_cannot_change_is_cancelled_whole(
    can_replace: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    mode = br.ReplaceMode.NATIVE if can_replace else br.ReplaceMode.CANCEL_NEW
    monkeypatch.setattr(trading_kit, "CAPABILITIES", msgspec.structs.replace(CAPABILITIES, replace=mode))
    desk = trading("DECREMENT")
    resting = working(desk, desk.place(Side.SELL, 100, limit_price="100"))
    decide(desk, Side.BUY, 30)
    now = desk.order(resting.order_id)
    assert now.cancel is (None if can_replace else RequestStatus.REQUESTED)
    assert now.replace is None or now.replace.quantity == 70
    assert (now.replace is not None) is can_replace


def test_nothing_moves_for_an_order_that_another_rule_denies() -> None:
    desk = trading("OLDEST", AboveTen())
    resting = desk.place(Side.SELL, 10, limit_price="100")
    decision, _ = decide(desk, Side.BUY, 11)
    assert not decision.accepted
    assert desk.order(resting.order_id).state is OrderState.NEW


@pytest.mark.parametrize("mode", ["OLDEST", "BOTH", "DECREMENT"])
@pytest.mark.parametrize("severity", [RuleSeverity.SHADOW, RuleSeverity.SOFT])
def test_nothing_moves_for_what_is_only_tried_or_held(mode: str, severity: RuleSeverity) -> None:
    desk = trading(mode, AboveTen(), severity=severity)
    resting = desk.place(Side.SELL, 10, limit_price="100")
    decision, order = decide(desk, Side.BUY, 11)
    assert decision.accepted
    assert order.state is (OrderState.HELD if severity is RuleSeverity.SOFT else OrderState.NEW)
    assert desk.order(resting.order_id).state is OrderState.NEW
    assert desk.order(order.order_id).quantity == 11


class TwoSeverities(Trading):
    """Trading whose first rule is hard and whose second one is soft."""

    def _guarded(self, limit_id: str, rule: Any) -> GuardedRule:
        made = super()._guarded(limit_id, rule)
        if limit_id != "limit-1":
            return made
        terms = msgspec.structs.replace(made.terms, severity=RuleSeverity.SOFT)
        return GuardedRule(limit_id, made.plugin, made.name, Gate.RISK, terms, rule, made.guard)


@pytest.mark.parametrize(("mode", "own"), [("OLDEST", 11), ("DECREMENT", 8)])
def test_open_orders_give_way_to_a_held_one_when_it_is_approved(mode: str, own: int) -> None:
    prevention = SelfTradePrevention(parse_params(SelfTradePrevention, {"mode": mode}))
    desk = TwoSeverities([prevention, AboveTen()])
    resting = desk.place(Side.SELL, 3, limit_price="100")
    _, order = decide(desk, Side.BUY, 11)
    assert order.state is OrderState.HELD
    assert desk.order(resting.order_id).state is OrderState.NEW
    approvals = Approvals(desk.desk, Lanes(desk.desk.ledger), Directory(desk.desk), lambda tenant, who: who)
    officer = msgspec.structs.replace(desk.principal, principal_id="user:officer")
    approvals.approve(officer, order.order_id, "it is meant")
    assert desk.order(resting.order_id).state is OrderState.CANCELED
    assert desk.order(order.order_id).state is OrderState.NEW
    assert desk.order(order.order_id).quantity == own


def test_a_modification_makes_open_orders_give_way_too() -> None:
    desk = trading("OLDEST")
    resting = desk.place(Side.SELL, 10, limit_price="100")
    order = desk.place(Side.BUY, 10, limit_price="99")
    result = desk.amendment.replace(desk.principal, order.order_id, NewTerms(limit_price=Decimal(100)))
    assert result.decision is not None
    assert result.decision.accepted
    assert desk.order(resting.order_id).state is OrderState.CANCELED


def test_a_verdict_reaches_orders_of_the_same_instrument_only_and_can_only_make_them_smaller() -> None:
    desk = trading("NEWEST")
    order = desk.place(Side.SELL, 10, limit_price="100")

    def told(total: str, instrument_id: Any) -> None:
        verdict = Verdict(rule="any", outcome=Outcome.PASS, makes_way={order.order_id: Decimal(total)})
        decision = Decision(order_id=OrderId(a_uuid("new")), accepted=True, verdicts=(verdict,))
        desk.in_turn(lambda turn: make_way(turn, decision, instrument_id))

    told("0", a_uuid("instrument OTHER"))
    told("10", desk.instrument.instrument_id)
    told("11", desk.instrument.instrument_id)
    assert desk.order(order.order_id).quantity == 10
    assert desk.order(order.order_id).state is OrderState.NEW
    told("4", desk.instrument.instrument_id)
    assert desk.order(order.order_id).quantity == 4


@pytest.mark.parametrize(
    ("totals", "sound"),
    [
        ({"a": Decimal(0)}, True),
        ({"a": Decimal("1.5")}, True),
        ({"a": Decimal(-1)}, False),
        ({"a": 1.5}, False),
        ({"a": Decimal("NaN")}, False),
        ({1: Decimal(1)}, False),
        (["a"], False),
        ({str(number): Decimal(0) for number in range(101)}, False),
    ],
    ids=["none", "some", "negative", "float", "nan", "no_id", "list", "too_many"],
)
def test_what_makes_way_has_ids_and_totals(totals: Any, sound: bool) -> None:
    assert is_sound(Verdict(rule="any", outcome=Outcome.PASS, makes_way=totals)) is sound
