"""Executions are booked once each, whatever comes late, twice, too much, corrected or busted."""

from decimal import Decimal
from typing import Any

import pytest

from oms_kernel import settlement
from oms_kernel.contracts import broker as br
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.order import EXTERNAL_BOOK, Side
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID
from tests.engine.book_oracle import check_book, contents, refold
from tests.engine.ledger import ACME, BETA, OPENING_CASH, Ledger


@pytest.fixture
def ledger() -> Any:
    """A ledger that is compared with a second opinion and a fold of its stored log when the story is over."""
    made = Ledger()
    yield made
    check_book(made.book, made.log, OPENING_CASH)
    assert contents(refold(made.log)) == contents(made.book)


def correct(ledger: Ledger, exec_id: str, correction_id: str, quantity: int, price: int = 100, **fields: Any) -> Any:
    named = {"exec_id": exec_id, "correction_id": correction_id, "wire_id": "-"}
    return ledger.hear(ledger.report(br.Corrected, **named, quantity=Decimal(quantity), price=Decimal(price), **fields))


def bust(ledger: Ledger, exec_id: str, bust_id: str = "U1") -> Any:
    return ledger.hear(ledger.report(br.Busted, exec_id=exec_id, bust_id=bust_id, wire_id="-"))


def tell_fee(ledger: Ledger, exec_id: str, fee: str) -> Any:
    return ledger.hear(ledger.report(br.FeeReported, exec_id=exec_id, fee=Decimal(fee), wire_id="-"))


def kinds(events: tuple[ev.Event, ...]) -> list[str]:
    return [event.kind for event in events]


def cash(ledger: Ledger) -> Decimal:
    return ledger.view().cash(ACCOUNT_ID, "USD") - OPENING_CASH


def test_fills_add_up_exactly(ledger: Ledger) -> None:
    order_id = ledger.working(quantity=100, strategy_id="one")
    ledger.fill(order_id, 33, "100.01", "E1", fee=Decimal("0.33"))
    ledger.fill(order_id, 67, "99.97", "E2", fee=Decimal("-0.10"))
    order = ledger.order(order_id)
    assert (order.state, order.filled_value) == (OrderState.FILLED, Decimal("9998.32"))
    assert order.average_price == Decimal("99.9832")
    assert cash(ledger) == Decimal("-9998.55")
    sub_book = ledger.book.position(ACCOUNT_ID, ACME.instrument_id, "one")
    assert sub_book is not None and sub_book.quantity == ledger.held() == 100


def test_a_fill_before_its_acknowledgement_proves_the_order(ledger: Ledger) -> None:
    order_id = ledger.sent()
    ledger.fill(order_id, 10)
    assert ledger.order(order_id).state is OrderState.PARTIALLY_FILLED
    ledger.acknowledge(order_id)
    assert ledger.order(order_id).broker_order_ids == ("B1",)


def test_the_same_execution_is_booked_once(ledger: Ledger) -> None:
    order_id = ledger.working()
    assert ledger.fill(order_id, 10)
    assert ledger.fill(order_id, 10) == ()
    assert ledger.held() == 10


@pytest.mark.parametrize("other", [{"quantity": 11}, {"price": 101}, {"side": Side.SELL}, {"instrument_id": "other"}])
def test_the_same_id_with_other_figures_cannot_be_booked(ledger: Ledger, other: dict[str, Any]) -> None:
    order_id = ledger.working()
    ledger.fill(order_id, 10)
    with pytest.raises(settlement.Unbookable):
        ledger.fill(order_id, **{"quantity": 10, **other})


@pytest.mark.parametrize("state", ["CANCELED", "EXPIRED"])
def test_a_fill_after_the_end_is_booked_and_alerted(ledger: Ledger, state: str) -> None:
    order_id = ledger.working()
    ledger.end({"CANCELED": br.Canceled, "EXPIRED": br.Expired}[state], order_id)
    assert kinds(ledger.fill(order_id, 40)) == ["order_filled", "alert_raised"]
    order = ledger.order(order_id)
    assert (order.state, order.filled_quantity, order.reason) == (OrderState(state), 40, "why")
    assert (ledger.held(), ledger.open_quantity()) == (40, 0)
    ledger.fill(order_id, 60, exec_id="E2")
    assert ledger.order(order_id).state is OrderState.FILLED


def test_an_over_fill_is_booked_alerted_and_lets_only_in_what_reduces(ledger: Ledger) -> None:
    order_id = ledger.working()
    events = ledger.fill(order_id, 130)
    assert kinds(events) == ["order_filled", "alert_raised", "trading_state_changed"]
    assert (ledger.held(), ledger.open_quantity(), ledger.trading_state()) == (130, 0, TradingState.REDUCE_ONLY)
    assert kinds(ledger.fill(order_id, 1, exec_id="E2")) == ["order_filled", "alert_raised"]


@pytest.mark.parametrize("state", [TradingState.CANCEL_ONLY, TradingState.HALTED])
def test_an_over_fill_never_loosens_the_trading_state(ledger: Ledger, state: TradingState) -> None:
    order_id = ledger.working()
    ledger.set_state(state)
    ledger.fill(order_id, 130)
    assert ledger.trading_state() is state


def test_an_execution_that_is_not_ours_goes_to_the_external_book(ledger: Ledger) -> None:
    ledger.hold(100)
    events = ledger.fill(None, 30, exec_id="X1", side=Side.SELL, wire_id="THEIRS")
    assert kinds(events) == ["order_filled", "alert_raised"]
    external = ledger.book.position(ACCOUNT_ID, ACME.instrument_id, EXTERNAL_BOOK)
    assert external is not None and (external.quantity, ledger.held()) == (-30, 70)
    bust(ledger, "X1")
    assert ledger.held() == 100


@pytest.mark.parametrize(
    "fields",
    [
        {"quantity": "0"},
        {"quantity": "-1"},
        {"quantity": "NaN"},
        {"quantity": "Infinity"},
        {"quantity": "1E+18"},
        {"quantity": "0.0000000000001"},
        {"price": "NaN"},
        {"price": "1E+18"},
        {"quantity": "999999999999", "price": "999999999999"},
        {"fee": Decimal("NaN")},
        {"instrument_id": "unknown"},
        {"side": Side.SELL},
        {"instrument_id": BETA.instrument_id},
    ],
    ids=repr,
)
def test_an_execution_that_contradicts_or_does_not_fit_changes_nothing(ledger: Ledger, fields: dict[str, Any]) -> None:
    order_id = ledger.working()
    before = contents(ledger.book)
    with pytest.raises(KernelError):
        ledger.fill(order_id, **{"quantity": 10, **fields})
    assert contents(ledger.book) == before


# Fees -----------------------------------------------------------------------------------------------------


def test_a_fee_may_come_later_and_change(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.fill(order_id, 10, fee=None)
    assert cash(ledger) == -1000
    tell_fee(ledger, "E1", "1.25")
    assert tell_fee(ledger, "E1", "1.25") == ()
    tell_fee(ledger, "E1", "1.00")
    net = ledger.book.position(ACCOUNT_ID, ACME.instrument_id)
    assert net is not None and (net.fees, cash(ledger)) == (1, -1001)


def test_a_repeated_execution_may_bring_the_fee_that_was_missing_and_no_other(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.fill(order_id, 10, fee=None)
    assert kinds(ledger.fill(order_id, 10, fee=Decimal("1.50"))) == ["fee_attached"]
    assert ledger.fill(order_id, 10, fee=None) == ()
    tell_fee(ledger, "E1", "0")
    assert ledger.fill(order_id, 10, fee=Decimal("1.50")) == (), "what was told later stands"
    assert cash(ledger) == -1000


def test_a_fee_of_nothing_that_is_booked_cannot_be_booked(ledger: Ledger) -> None:
    with pytest.raises(settlement.Unbookable):
        tell_fee(ledger, "E1", "1")


def test_what_never_happened_costs_nothing(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.fill(order_id, 10, fee=None)
    bust(ledger, "E1")
    tell_fee(ledger, "E1", "1.50")
    net = ledger.book.position(ACCOUNT_ID, ACME.instrument_id)
    assert net is not None and (net.fees, cash(ledger)) == (0, 0)


# Corrections and busts --------------------------------------------------------------------------------------


def test_a_bust_takes_everything_back_and_reopens_the_rest(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.fill(order_id, 60, 100, "E1", fee=Decimal(1))
    ledger.fill(order_id, 40, 101, "E2", fee=Decimal(1))
    assert ledger.order(order_id).state is OrderState.FILLED
    assert kinds(bust(ledger, "E1")) == ["execution_busted", "alert_raised"]
    order = ledger.order(order_id)
    assert (order.state, order.filled_quantity, order.filled_value) == (OrderState.PARTIALLY_FILLED, 40, 4040)
    assert (ledger.held(), ledger.open_quantity(), cash(ledger)) == (40, 60, -4041)
    assert bust(ledger, "E1") == () and bust(ledger, "E1", "U2") == ()
    assert ledger.fill(order_id, 60, 100, "E1", fee=Decimal(1)) == (), "a late duplicate does not bring it back"


def test_a_bust_of_a_late_fill_leaves_the_order_cancelled(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.end(br.Canceled, order_id)
    ledger.fill(order_id, 40)
    bust(ledger, "E1")
    order = ledger.order(order_id)
    assert (order.state, order.filled_quantity, ledger.open_quantity()) == (OrderState.CANCELED, 0, 0)


@pytest.mark.parametrize(("word", "state"), [(br.Canceled, OrderState.CANCELED), (br.Expired, OrderState.EXPIRED)])
def test_a_bust_of_what_completed_an_ended_order_returns_to_its_end(
    ledger: Ledger, word: Any, state: OrderState
) -> None:
    order_id = ledger.working()
    ledger.end(word, order_id)
    ledger.fill(order_id, 100)
    assert ledger.order(order_id).state is OrderState.FILLED
    bust(ledger, "E1")
    assert (ledger.order(order_id).state, ledger.open_quantity()) == (state, 0)
    ledger.fill(order_id, 100, exec_id="E2")
    assert ledger.order(order_id).state is OrderState.FILLED


def test_a_correction_restates_order_position_and_cash(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.fill(order_id, 100, 100, fee=Decimal(2))
    assert kinds(correct(ledger, "E1", "C1", 90, 101)) == ["execution_corrected", "alert_raised"]
    order = ledger.order(order_id)
    assert (order.state, order.filled_quantity, order.filled_value) == (OrderState.PARTIALLY_FILLED, 90, 9090)
    assert (ledger.held(), ledger.open_quantity(), cash(ledger)) == (90, 10, -9092)
    assert correct(ledger, "E1", "C1", 90, 101) == ()
    correct(ledger, "E1", "C2", 100, 101)
    assert (ledger.order(order_id).state, cash(ledger)) == (OrderState.FILLED, -10102)


def test_a_second_correction_may_name_the_first(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.fill(order_id, 50)
    correct(ledger, "E1", "C1", 40)
    correct(ledger, "C1", "C2", 30)
    assert ledger.held() == 30
    tell_fee(ledger, "C2", "0.5")
    bust(ledger, "C2")
    assert (ledger.held(), cash(ledger), ledger.order(order_id).filled_quantity) == (0, 0, 0)


def test_a_late_duplicate_of_a_corrected_execution_is_known_as_one(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.fill(order_id, 50, 100)
    correct(ledger, "E1", "C1", 40, 101)
    assert ledger.fill(order_id, 50, 100) == (), "as it was first told"
    assert ledger.fill(order_id, 40, 101) == (), "as it stands now"
    assert ledger.fill(order_id, 40, 101, "C1") == (), "shown under the correction's own id"
    with pytest.raises(settlement.Unbookable):
        ledger.fill(order_id, 45, 100)
    assert ledger.held() == 40


def test_a_correction_beyond_the_quantity_is_an_over_fill(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.fill(order_id, 100)
    correct(ledger, "E1", "C1", 120)
    assert (ledger.order(order_id).state, ledger.trading_state()) == (OrderState.FILLED, TradingState.REDUCE_ONLY)


def test_a_correction_fills_the_larger_total_only_while_a_replace_is_open(ledger: Ledger) -> None:
    order_id = ledger.replacing(150)
    ledger.fill(order_id, 90)
    correct(ledger, "E1", "C1", 100)
    assert ledger.order(order_id).state is OrderState.PENDING_REPLACE
    correct(ledger, "C1", "C2", 150)
    assert (ledger.order(order_id).state, ledger.order(order_id).quantity) == (OrderState.FILLED, 150)
    assert ledger.trading_state() is TradingState.ACTIVE


@pytest.mark.parametrize("quantity", [0, -5])
def test_a_correction_to_nothing_cannot_be_booked(ledger: Ledger, quantity: int) -> None:
    ledger.fill(ledger.working(), 10)
    with pytest.raises(settlement.Unbookable):
        correct(ledger, "E1", "C1", quantity)


def test_a_correction_of_what_was_busted_or_never_booked_cannot_be_booked(ledger: Ledger) -> None:
    ledger.fill(ledger.working(), 10)
    bust(ledger, "E1")
    with pytest.raises(settlement.Unbookable):
        correct(ledger, "E1", "C1", 5)
    with pytest.raises(settlement.Unbookable):
        correct(ledger, "E9", "C1", 5)
    with pytest.raises(settlement.Unbookable):
        bust(ledger, "E9", "U9")
    with pytest.raises(settlement.Unbookable):
        bust(ledger, "E9", "U1")


def test_a_correction_cannot_bear_the_id_of_another_execution(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.fill(order_id, 10, exec_id="E1")
    ledger.fill(order_id, 10, exec_id="E2")
    with pytest.raises(settlement.Unbookable):
        correct(ledger, "E1", "E2", 5)


def test_restating_an_opening_fill_restates_what_was_realised_on_it(ledger: Ledger) -> None:
    opening, closing = ledger.working(Side.BUY, 100), ledger.working(Side.SELL, 100)
    ledger.fill(opening, 100, 10, "E1")
    ledger.fill(closing, 100, 12, "E2")
    correct(ledger, "E1", "C1", 100, 11)
    net = ledger.book.position(ACCOUNT_ID, ACME.instrument_id)
    assert net is not None and (net.realised_pnl, net.cost, cash(ledger)) == (100, 0, 100)
    assert ledger.book.days[ACCOUNT_ID, "USD"].realised_pnl == 100


def test_yesterdays_bust_changes_today_only_where_today_traded_on_it(ledger: Ledger) -> None:
    opening, untouched = ledger.working(Side.BUY, 100), ledger.working(Side.BUY, 5, instrument=BETA)
    ledger.fill(opening, 100, 10, "E1", fee=Decimal(1))
    ledger.fill(untouched, 5, 10, "E3", fee=Decimal(3))
    ledger.later(days=1)
    closing = ledger.working(Side.SELL, 100)
    ledger.fill(closing, 100, 12, "E2", fee=Decimal(2))
    before = ledger.book.days[ACCOUNT_ID, "USD"]
    assert (before.traded_value, before.realised_pnl, before.fees) == (1200, 200, 2)
    bust(ledger, "E3", "U3")
    tell_fee(ledger, "E1", "7")
    assert ledger.book.days[ACCOUNT_ID, "USD"] == before, "what was done yesterday is not today's"
    bust(ledger, "E1")
    after = ledger.book.days[ACCOUNT_ID, "USD"]
    assert (after.traded_value, after.realised_pnl, after.fees) == (1200, 0, 2)
    assert (ledger.held(), cash(ledger)) == (-100, 1198)


def test_an_execution_of_an_order_belongs_to_the_orders_account(ledger: Ledger) -> None:
    ledger.commit(ev.AccountOpened(account_id="second", base_currency="USD"))
    order_id = ledger.working()
    owner = settlement.BrokerAccountOwner(broker_account_id=BROKER_ACCOUNT_ID, account_id="second")
    events = settlement.apply_report(ledger.view(), ledger.book, owner, ledger.execution(order_id, 10))
    assert isinstance(events[0], ev.OrderFilled) and events[0].fill.account_id == ACCOUNT_ID
