"""A new order is accepted, held or denied with its reason, and a bad one is refused."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_kernel import engine
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.decision import Gate, Outcome, Verdict, passed
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.lifecycle import Evidence, OrderState
from oms_kernel.domain.order import Order, OrderType, Side, TimeInForce
from oms_kernel.testkit.builders import ACCOUNT_ID
from tests.engine.ledger import ACME, BETA, EVERYTHING, Ledger, Ruling

DENIED = Verdict(rule="ruling", outcome=Outcome.DENY, code="too_big", message="too big")
HELD = Verdict(rule="ruling", outcome=Outcome.HOLD, message="a person must look")


def reason(order: Order) -> str | None:
    assert order.state is OrderState.DENIED and order.evidence is Evidence.OWN_CHECK
    return order.reason_code


def test_an_accepted_order_tells_all_that_its_fold_needs() -> None:
    ledger = Ledger()
    decision, event = ledger.decide(limit_price="99.50")
    assert decision.accepted and isinstance(event, ev.OrderAccepted)
    assert (event.currency, event.multiplier, event.symbol) == ("USD", 1, "ACME")
    assert (event.trading_date, event.risk_date) == ("2026-03-02", "2026-03-02")
    assert (event.reservation.price, event.reservation.source) == (Decimal("99.50"), "limit_price")
    ledger.commit(event)
    order = ledger.order(decision.order_id)
    assert (order.state, ledger.open_quantity()) == (OrderState.NEW, 100)
    assert order.send_before == ledger.now + timedelta(seconds=10)


@pytest.mark.parametrize(
    ("fields", "price", "source"),
    [
        ({"limit_price": "99"}, "99", "limit_price"),
        ({"order_type": OrderType.STOP, "stop_price": "101"}, "101", "stop_price"),
        ({"order_type": OrderType.STOP_LIMIT, "stop_price": "101", "limit_price": "102"}, "102", "limit_price"),
        ({"side": Side.BUY}, "100.01", "quote"),
        ({"side": Side.SELL}, "99.99", "quote"),
    ],
)
def test_exposure_is_reserved_at_the_limit_the_trigger_or_the_other_side_of_the_quote(
    fields: dict[str, Any], price: str, source: str
) -> None:
    reservation = Ledger().place(**fields).reservation
    assert (reservation.price, reservation.source) == (Decimal(price), source)
    assert (reservation.quote_at is not None) is (source == "quote")


def test_a_stale_quote_reserves_nothing() -> None:
    ledger = Ledger()
    ledger.later(seconds=6)
    assert (ledger.place().reservation.price, ledger.place().reservation.source) == (None, "none")


@pytest.mark.parametrize(
    ("state", "buys", "sells_what_is_held", "sells_more"),
    [
        (TradingState.ACTIVE, True, True, True),
        (TradingState.REDUCE_ONLY, False, True, False),
        (TradingState.CANCEL_ONLY, False, False, False),
        (TradingState.HALTED, False, False, False),
    ],
)
def test_the_trading_state_gates_what_comes_in(
    state: TradingState, buys: bool, sells_what_is_held: bool, sells_more: bool
) -> None:
    asked = ((Side.BUY, 1, buys), (Side.SELL, 100, sells_what_is_held), (Side.SELL, 101, sells_more))
    for side, quantity, accepted in asked:
        ledger = Ledger()
        ledger.hold(100)
        ledger.set_state(state)
        order = ledger.place(side, quantity)
        assert order.is_active is accepted
        if not accepted:
            assert reason(order) == "trading_state"
            assert str(state) in (order.reason or "")


def test_reduce_only_counts_the_open_orders_of_its_side() -> None:
    ledger = Ledger()
    ledger.hold(100)
    ledger.working(Side.SELL, 60)
    ledger.working(Side.BUY, 500)
    ledger.set_state(TradingState.REDUCE_ONLY)
    assert not ledger.place(Side.SELL, 41).is_active
    assert ledger.place(Side.SELL, 40).is_active
    assert not ledger.place(Side.SELL, 1).is_active


@pytest.mark.parametrize("held", [100, -100, 0])
def test_a_reduce_only_order_may_close_and_not_turn_the_position(held: int) -> None:
    ledger = Ledger()
    if held:
        ledger.hold(held)
    closing = Side.SELL if held >= 0 else Side.BUY
    assert reason(ledger.place(closing.opposite, 1, reduce_only=True)) == "reduce_only"
    assert reason(ledger.place(closing, 101, reduce_only=True)) == "reduce_only"
    assert ledger.place(closing, 100, reduce_only=True).is_active is bool(held)


def test_a_doubtful_order_leaves_its_instrument_to_what_reduces() -> None:
    ledger = Ledger()
    ledger.hold(100)
    doubtful = ledger.sent(Side.BUY, 10)
    ledger.doubt(doubtful)
    assert reason(ledger.place(Side.BUY, 1)) == "in_doubt"
    assert reason(ledger.place(Side.SELL, 101)) == "in_doubt"
    assert ledger.place(Side.SELL, 100).is_active
    assert ledger.place(Side.BUY, 1, instrument=BETA).is_active, "other instruments go on"
    ledger.acknowledge(doubtful)
    assert ledger.place(Side.BUY, 1).is_active


def test_a_doubtful_replace_does_so_too() -> None:
    ledger = Ledger()
    order_id = ledger.working(Side.BUY, 10)
    ledger.replace(order_id, quantity=20)
    ledger.send(order_id, engine.RequestKind.REPLACE)
    ledger.doubt(order_id, engine.RequestKind.REPLACE)
    assert reason(ledger.place(Side.BUY, 1)) == "in_doubt"
    assert ledger.open_quantity() == 20


def test_rules_see_the_earlier_orders_of_the_same_batch() -> None:
    rule = Ruling()
    ledger = Ledger(rules=[rule])
    batch = ledger.batch()
    for _ in range(3):
        _, event = ledger.decide(Side.BUY, 100, batch=batch)
        batch.record(event)
    assert [exposure.buy_quantity for _, exposure in rule.asked] == [0, 100, 200]
    assert [exposure.buy_orders for _, exposure in rule.asked] == [0, 1, 2]
    assert ledger.open_quantity() == 0, "nothing is committed yet"
    ledger.adopt(batch)
    assert ledger.open_quantity() == 300


def test_a_dropped_batch_leaves_no_trace() -> None:
    ledger = Ledger()
    before = ledger.book.seq
    batch = ledger.batch()
    batch.record(ledger.decide(batch=batch)[1])
    assert (ledger.book.seq, ledger.open_quantity(), len(ledger.book.orders)) == (before, 0, 0)
    assert ledger.place().version == before + 1


def test_a_denied_order_carries_its_denial_first_and_every_verdict() -> None:
    ledger = Ledger(rules=[Ruling(passed("first")), Ruling(DENIED), Ruling(passed("last"))])
    decision, event = ledger.decide()
    assert not decision.accepted and isinstance(event, ev.OrderDenied)
    assert [verdict.rule for verdict in event.verdicts] == ["ruling", "first", "last"]
    assert decision.denials == (DENIED,)
    ledger.commit(event)
    order = ledger.order(decision.order_id)
    assert (order.reason_code, order.reason) == ("ruling", "too big")
    assert ledger.open_quantity() == 0
    with pytest.raises(engine.OrderConflict):
        ledger.cancel(order.order_id)


def test_all_rules_are_asked_even_after_a_denial_and_others_accounts_rules_are_not() -> None:
    rules = [Ruling(DENIED), Ruling(), Ruling(account_id="another account"), Ruling(account_id=ACCOUNT_ID)]
    Ledger(rules=rules).place()
    assert [len(rule.asked) for rule in rules] == [1, 1, 0, 1]


def test_the_accounts_own_denial_stands_before_that_of_a_rule() -> None:
    ledger = Ledger(rules=[Ruling(DENIED)])
    ledger.set_state(TradingState.HALTED)
    decision, event = ledger.decide()
    assert [verdict.rule for verdict in event.verdicts] == ["trading_state", "ruling"]
    assert decision.denials[0].gate is Gate.ACCOUNT


def test_what_a_rule_holds_is_parked_and_counted_but_not_sent() -> None:
    ledger = Ledger(rules=[Ruling(HELD)])
    order = ledger.place()
    assert (order.state, ledger.open_quantity()) == (OrderState.HELD, 100)
    assert not list(ledger.book.unsettled.entries(order.connection_id))
    assert engine.is_unsent(order)


def test_a_hold_does_not_outweigh_a_denial() -> None:
    assert reason(Ledger(rules=[Ruling(HELD), Ruling(DENIED)]).place()) == "ruling"


@pytest.mark.parametrize(
    ("capabilities", "field"),
    [
        ({"order_types": frozenset({OrderType.LIMIT})}, "order_type"),
        ({"time_in_force": frozenset({TimeInForce.GTC})}, "time_in_force"),
        ({"asset_classes": frozenset({AssetClass.CRYPTO})}, "symbol"),
    ],
)
def test_what_the_broker_cannot_do_is_refused_and_not_stored(capabilities: dict[str, Any], field: str) -> None:
    ledger = Ledger(capabilities=msgspec.structs.replace(EVERYTHING, **capabilities))
    with pytest.raises(engine.Unsupported) as caught:
        ledger.place()
    assert (caught.value.code, caught.value.field) == ("unsupported", field)
    assert len(ledger.book.orders) == 0


def test_fractions_are_refused_where_the_broker_takes_whole_quantities() -> None:
    ledger = Ledger(capabilities=msgspec.structs.replace(EVERYTHING, fractional_quantity=False))
    with pytest.raises(engine.Unsupported):
        ledger.place(quantity="0.5", instrument=BETA)
    assert ledger.place(quantity=5, instrument=BETA).is_active


def test_an_order_whose_value_is_no_number_that_can_be_booked_is_refused() -> None:
    ledger = Ledger()
    with pytest.raises(InvalidRequest) as caught:
        ledger.place(quantity=10**12, limit_price=10**9)
    assert caught.value.code == "invalid_number"
    order_id = ledger.working(limit_price=10**9)
    with pytest.raises(InvalidRequest):
        ledger.replace(order_id, quantity=10**12)


def test_a_bad_request_is_refused_before_any_rule_is_asked() -> None:
    rule = Ruling()
    ledger = Ledger(rules=[rule])
    with pytest.raises(InvalidRequest):
        ledger.place(limit_price="99.999")
    assert rule.asked == []


def test_a_client_order_id_is_remembered_for_accepted_and_denied_orders() -> None:
    ledger = Ledger()
    taken = ledger.place(client_order_id="mine")
    ledger.set_state(TradingState.HALTED)
    denied = ledger.place(client_order_id="also mine")
    assert ledger.book.client_orders[ACCOUNT_ID, "mine"] == taken.order_id
    assert ledger.book.client_orders[ACCOUNT_ID, "also mine"] == denied.order_id


def test_the_day_counts_what_was_accepted_and_denied_and_begins_anew() -> None:
    ledger = Ledger()
    ledger.place()
    ledger.set_state(TradingState.HALTED)
    ledger.place()
    day = ledger.book.days[ACCOUNT_ID, "USD"]
    assert (day.accepted, day.denied) == (1, 1)
    ledger.later(days=1)
    ledger.place()
    day = ledger.book.days[ACCOUNT_ID, "USD"]
    assert (day.risk_date.isoformat(), day.accepted, day.denied) == ("2026-03-03", 0, 1)


def test_the_instrument_is_what_the_caller_resolved() -> None:
    assert Ledger().place(instrument=BETA, quantity="0.123").request.instrument_id == BETA.instrument_id != ACME
