"""What a broker's word does to an order, in each order in which words may come."""

from collections.abc import Callable
from decimal import Decimal
from itertools import permutations
from typing import Any

import msgspec
import pytest

from oms_kernel import settlement
from oms_kernel.contracts import broker as br
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.ids import BrokerAccountId, OrderId
from oms_kernel.domain.lifecycle import Evidence, OrderState, OrderStatus, RequestKind, RequestStatus
from oms_kernel.domain.order import Side
from tests.engine.book_oracle import check_book, contents, refold
from tests.engine.ledger import OPENING_CASH, OWNER, Ledger

ENDS = {br.Canceled: OrderState.CANCELED, br.Rejected: OrderState.REJECTED, br.Expired: OrderState.EXPIRED}


@pytest.fixture
def ledger() -> Any:
    """A ledger that is compared with a second opinion and a fold of its stored log when the story is over."""
    made = Ledger()
    yield made
    check_book(made.book, made.log, OPENING_CASH)
    assert contents(refold(made.log)) == contents(made.book)


def test_an_acknowledgement_proves_the_place_and_is_told_once(ledger: Ledger) -> None:
    order_id = ledger.sent()
    assert [event.kind for event in ledger.acknowledge(order_id)] == ["order_acknowledged"]
    assert ledger.acknowledge(order_id) == ()
    order = ledger.order(order_id)
    assert (order.state, order.place, order.broker_order_ids) == (OrderState.WORKING, RequestStatus.DONE, ("B1",))
    ledger.acknowledge(order_id, "B2")
    assert ledger.order(order_id).broker_order_ids == ("B1", "B2"), "all its former names stay known"
    by_name = ledger.report(br.Canceled, broker_order_id="B1", reason="")
    assert ledger.hear(by_name) and ledger.order(order_id).state is OrderState.CANCELED


@pytest.mark.parametrize("word", ENDS)
def test_a_word_ends_an_order_from_every_open_state(ledger: Ledger, word: type[Any]) -> None:
    situations: list[Callable[[], OrderId]] = [
        ledger.sent,
        ledger.working,
        ledger.replacing,
        lambda: in_doubt(ledger),
        lambda: canceling(ledger),
    ]
    for situation in situations:
        order_id = situation()
        ledger.end(word, order_id)
        order = ledger.order(order_id)
        assert (order.state, order.evidence, order.reason) == (ENDS[word], Evidence.BROKER, "why")
        assert ledger.end(word, order_id) == (), "repeated"
    assert ledger.open_quantity() == 0


def in_doubt(ledger: Ledger) -> OrderId:
    order_id = ledger.sent()
    ledger.doubt(order_id)
    return order_id


def canceling(ledger: Ledger) -> OrderId:
    order_id = ledger.working()
    ledger.cancel(order_id)
    ledger.send(order_id, RequestKind.CANCEL)
    return order_id


def test_a_reordered_acknowledgement_changes_no_end_and_forgets_no_reason(ledger: Ledger) -> None:
    for word, state in ENDS.items():
        order_id = ledger.sent()
        ledger.end(word, order_id, "margin")
        ledger.acknowledge(order_id, f"late {order_id}")
        order = ledger.order(order_id)
        assert (order.state, order.reason, order.evidence) == (state, "margin", Evidence.BROKER)
        assert order.place is RequestStatus.DONE
        assert ledger.alerts() == []


def test_every_order_of_the_same_words_books_the_same_fills() -> None:
    outcomes = set()
    for order in permutations(range(4)):
        ledger = Ledger()
        order_id = canceling_from_sent(ledger)
        reports = [
            ledger.report(br.Acknowledged, order_id, broker_order_id="B1"),
            ledger.execution(order_id, 30, 100, "E1"),
            ledger.execution(order_id, 20, 101, "E2"),
            ledger.report(br.Canceled, order_id, reason=""),
        ]
        for index in order:
            ledger.hear(reports[index])
        after = ledger.order(order_id)
        check_book(ledger.book, ledger.log, OPENING_CASH)
        outcomes.add((after.state, after.filled_quantity, after.filled_value, after.place, ledger.open_quantity()))
    assert outcomes == {(OrderState.CANCELED, 50, 5020, RequestStatus.DONE, 0)}


def canceling_from_sent(ledger: Ledger) -> OrderId:
    order_id = ledger.sent()
    ledger.cancel(order_id)
    return order_id


def test_words_about_orders_that_are_not_ours_are_alerted_and_change_nothing(ledger: Ledger) -> None:
    words: list[br.AnyReport] = [
        ledger.report(br.Acknowledged, wire_id="THEIRS"),
        ledger.report(br.Replaced, wire_id="THEIRS", quantity=Decimal(1)),
        *(ledger.report(word, wire_id="THEIRS", reason="") for word in (*ENDS, br.ReplaceRefused, br.CancelRefused)),
    ]
    for word in words:
        assert [event.kind for event in ledger.hear(word)] == ["alert_raised"]


def test_a_report_through_another_broker_account_cannot_be_booked(ledger: Ledger) -> None:
    order_id = ledger.working()
    other = BrokerAccountId("another")
    report = msgspec.structs.replace(ledger.execution(order_id, 1), broker_account_id=other)
    with pytest.raises(settlement.Unbookable):
        ledger.hear(report)


def test_a_report_of_an_account_that_is_not_open_here_cannot_be_booked(ledger: Ledger) -> None:
    owner = msgspec.structs.replace(OWNER, account_id="unknown")
    with pytest.raises(settlement.Unbookable):
        settlement.apply_report(ledger.view(), ledger.book, owner, ledger.execution(None, 1, wire_id="X"))


# Doubt ----------------------------------------------------------------------------------------------------


def test_a_doubt_counts_in_full_until_any_word_settles_it(ledger: Ledger) -> None:
    settle: list[Callable[[OrderId], Any]] = [
        lambda order_id: ledger.acknowledge(order_id, f"B-{order_id}"),
        lambda order_id: ledger.fill(order_id, 1, exec_id=f"E-{order_id}"),
        lambda order_id: ledger.end(br.Canceled, order_id),
        lambda order_id: ledger.refuse(order_id),
    ]
    for settling in settle:
        before = ledger.open_quantity()
        order_id = ledger.sent()
        assert [event.kind for event in ledger.doubt(order_id)] == ["request_in_doubt", "alert_raised"]
        assert ledger.order(order_id).state is OrderState.IN_DOUBT
        assert ledger.open_quantity() == before + 100
        settling(order_id)
        assert not ledger.order(order_id).in_doubt
        assert not list(ledger.book.doubts.entries((OWNER.account_id, ledger.order(order_id).request.instrument_id)))


def test_a_late_timeout_puts_nothing_in_doubt(ledger: Ledger) -> None:
    assert ledger.doubt(ledger.working()) == ()
    assert ledger.doubt(ledger.place().order_id) == ()
    ended = ledger.sent()
    ledger.end(br.Rejected, ended)
    assert ledger.doubt(ended) == ()


def test_the_second_complete_query_that_does_not_show_an_order_ends_it(ledger: Ledger) -> None:
    order_id = in_doubt(ledger)
    ledger.cancel(order_id)
    assert [event.kind for event in ledger.not_shown(order_id)] == ["doubt_queried"]
    assert ledger.order(order_id).state is OrderState.IN_DOUBT
    ledger.not_shown(order_id)
    order = ledger.order(order_id)
    assert (order.state, order.evidence, order.reason_code) == (
        OrderState.REJECTED,
        Evidence.QUERY,
        "NOT_AT_BROKER",
    )
    assert (order.place, order.cancel, ledger.open_quantity()) == (RequestStatus.REFUSED, RequestStatus.REFUSED, 0)
    assert ledger.not_shown(order_id) == ()


def test_a_new_doubt_needs_two_queries_of_its_own(ledger: Ledger) -> None:
    order_id = in_doubt(ledger)
    ledger.not_shown(order_id)
    ledger.acknowledge(order_id)
    ledger.replace(order_id, quantity=150)
    ledger.send(order_id, RequestKind.REPLACE)
    ledger.doubt(order_id, RequestKind.REPLACE)
    ledger.not_shown(order_id)
    assert ledger.order(order_id).state is OrderState.IN_DOUBT
    ledger.not_shown(order_id)
    assert (ledger.order(order_id).state, ledger.open_quantity()) == (OrderState.WORKING, 100)


def test_what_was_taken_for_lost_and_is_found_alive_counts_again(ledger: Ledger) -> None:
    order_id = in_doubt(ledger)
    ledger.not_shown(order_id)
    ledger.not_shown(order_id)
    ledger.acknowledge(order_id)
    order = ledger.order(order_id)
    assert (order.state, order.evidence, order.reason, order.reason_code) == (OrderState.WORKING, None, None, None)
    assert (order.place, ledger.open_quantity()) == (RequestStatus.DONE, 100)
    assert ledger.alerts()[-1].severity is ev.Severity.CRITICAL
    assert ledger.acknowledge(order_id) == ()
    assert ledger.cancel(order_id), "it can be cancelled"


def test_a_fill_disproves_a_refusal_and_counts_the_rest_again(ledger: Ledger) -> None:
    order_id = ledger.sent()
    ledger.refuse(order_id)
    assert (ledger.order(order_id).state, ledger.open_quantity()) == (OrderState.REJECTED, 0)
    ledger.fill(order_id, 40)
    order = ledger.order(order_id)
    assert (order.state, order.place, order.evidence) == (OrderState.PARTIALLY_FILLED, RequestStatus.DONE, None)
    assert ledger.open_quantity() == 60


def test_a_whole_fill_of_a_lost_order_is_proved_by_the_broker(ledger: Ledger) -> None:
    order_id = in_doubt(ledger)
    ledger.not_shown(order_id)
    ledger.not_shown(order_id)
    ledger.fill(order_id, 100)
    order = ledger.order(order_id)
    assert (order.state, order.evidence, order.reason_code) == (OrderState.FILLED, Evidence.BROKER, None)
    alerts = len(ledger.alerts())
    ledger.acknowledge(order_id)
    assert len(ledger.alerts()) == alerts, "a reordered word of a filled order alarms nobody"


def test_an_end_by_a_person_does_not_rewrite_an_order_that_has_ended(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.fill(order_id, 100)
    ledger.commit(
        ev.OrderCanceled(order_id=order_id, account_id=OWNER.account_id, evidence=Evidence.PERSON, reason="I say so")
    )
    order = ledger.order(order_id)
    assert (order.state, order.evidence, order.reason) == (OrderState.FILLED, Evidence.BROKER, None)


# Replace --------------------------------------------------------------------------------------------------


def test_while_a_replace_is_open_executions_fill_the_larger_total_only(ledger: Ledger) -> None:
    order_id = ledger.replacing(150)
    ledger.fill(order_id, 100)
    assert (ledger.order(order_id).state, ledger.open_quantity()) == (OrderState.PENDING_REPLACE, 50)
    ledger.fill(order_id, 50, exec_id="E2")
    order = ledger.order(order_id)
    assert (order.state, order.quantity, order.fill_percentage) == (OrderState.FILLED, 150, 100)
    assert order.replace is not None and order.replace.status is RequestStatus.DONE, "the fills prove the new terms"
    assert ledger.alerts() == []
    assert ledger.hear(ledger.report(br.Replaced, order_id, quantity=Decimal(150))) == ()


@pytest.mark.parametrize("refused_by", ["broker", "connector", "query"])
def test_an_order_whose_old_total_filled_meanwhile_ends_with_the_refusal(ledger: Ledger, refused_by: str) -> None:
    order_id = ledger.replacing(150)
    ledger.fill(order_id, 100)
    if refused_by == "broker":
        ledger.hear(ledger.report(br.ReplaceRefused, order_id, reason="filled"))
    elif refused_by == "connector":
        ledger.refuse(order_id, RequestKind.REPLACE)
    else:
        ledger.doubt(order_id, RequestKind.REPLACE)
        ledger.not_shown(order_id)
        ledger.not_shown(order_id)
    order = ledger.order(order_id)
    assert (order.state, order.quantity, order.evidence) == (OrderState.FILLED, 100, Evidence.BROKER)
    assert ledger.open_quantity() == 0
    assert refused_by == "query" or ledger.alerts() == [], "the old total is no over-fill"


def test_a_cancel_that_voids_an_unsent_replace_ends_an_order_that_was_filled(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.replace(order_id, quantity=150)
    ledger.fill(order_id, 100)
    assert ledger.order(order_id).state is OrderState.PENDING_REPLACE
    ledger.cancel(order_id)
    assert ledger.order(order_id).state is OrderState.FILLED


def test_fills_beyond_the_old_total_are_an_over_fill_once_the_replace_is_refused(ledger: Ledger) -> None:
    order_id = ledger.replacing(150)
    ledger.fill(order_id, 120)
    assert ledger.alerts() == []
    ledger.hear(ledger.report(br.ReplaceRefused, order_id, reason="no"))
    assert (ledger.order(order_id).state, ledger.trading_state()) == (OrderState.FILLED, TradingState.REDUCE_ONLY)


def test_fills_beyond_a_total_that_the_broker_cannot_know_yet_are_an_over_fill(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.replace(order_id, quantity=150)
    ledger.fill(order_id, 120)
    assert ledger.trading_state() is TradingState.REDUCE_ONLY


def test_a_new_total_at_or_below_what_is_filled_means_done(ledger: Ledger) -> None:
    order_id = ledger.working()
    ledger.fill(order_id, 60)
    ledger.replace(order_id, quantity=50)
    ledger.send(order_id, RequestKind.REPLACE)
    assert ledger.open_quantity() == 40
    ledger.hear(ledger.report(br.Replaced, order_id, quantity=Decimal(50)))
    order = ledger.order(order_id)
    assert (order.state, order.quantity, order.filled_quantity) == (OrderState.FILLED, 50, 60)


def test_an_unasked_change_is_booked_with_its_own_reservation_and_alerted(ledger: Ledger) -> None:
    order_id = ledger.working(limit_price="99")
    ledger.replace(order_id, limit_price="98")
    ledger.send(order_id, RequestKind.REPLACE)
    ledger.refuse(order_id, RequestKind.REPLACE)
    ledger.hear(ledger.report(br.Replaced, order_id, quantity=Decimal(70), limit_price=Decimal(97)))
    order = ledger.order(order_id)
    assert (order.quantity, order.limit_price, order.reservation.price) == (70, 97, 97)
    assert order.replace is not None and order.replace.status is RequestStatus.REFUSED
    assert "without being asked" in ledger.alerts()[-1].text


def test_a_word_about_another_change_does_not_settle_the_one_under_way(ledger: Ledger) -> None:
    order_id = ledger.replacing(150)
    ledger.hear(ledger.report(br.Replaced, order_id, quantity=Decimal(120)))
    order = ledger.order(order_id)
    assert (order.quantity, order.state, ledger.open_quantity()) == (120, OrderState.PENDING_REPLACE, 150)
    ledger.hear(ledger.report(br.Replaced, order_id, quantity=Decimal(150)))
    assert (ledger.order(order_id).state, ledger.order(order_id).quantity) == (OrderState.WORKING, 150)


def test_the_replaces_own_name_settles_it_whatever_the_terms(ledger: Ledger) -> None:
    order_id = ledger.replacing(150)
    name = ledger.order(order_id).wire_ids[-1]
    ledger.hear(ledger.report(br.Replaced, order_id, quantity=Decimal(140), wire_id=name))
    assert (ledger.order(order_id).state, ledger.open_quantity()) == (OrderState.WORKING, 140)


def test_a_replace_taken_for_refused_may_prove_to_have_worked(ledger: Ledger) -> None:
    order_id = ledger.replacing(150)
    ledger.doubt(order_id, RequestKind.REPLACE)
    ledger.not_shown(order_id)
    ledger.not_shown(order_id)
    ledger.hear(ledger.report(br.Replaced, order_id, quantity=Decimal(150)))
    order = ledger.order(order_id)
    assert order.replace is not None and order.replace.status is RequestStatus.DONE
    assert (order.quantity, ledger.open_quantity()) == (150, 150)
    assert "taken for refused" in ledger.alerts()[-1].text


def test_a_replace_that_worked_shows_that_a_lost_order_lives(ledger: Ledger) -> None:
    order_id = ledger.replacing(150)
    ledger.commit(
        ev.OrderCanceled(order_id=order_id, account_id=OWNER.account_id, evidence=Evidence.PERSON, reason="gone")
    )
    ledger.hear(ledger.report(br.Replaced, order_id, quantity=Decimal(150)))
    assert (ledger.order(order_id).state, ledger.open_quantity()) == (OrderState.WORKING, 150)
    assert ledger.alerts()[0].severity is ev.Severity.CRITICAL


@pytest.mark.parametrize("quantity", ["0", "-5", "NaN", "1E+30"])
def test_a_replace_to_an_impossible_quantity_cannot_be_booked(ledger: Ledger, quantity: str) -> None:
    order_id = ledger.replacing()
    with pytest.raises(KernelError):
        ledger.hear(ledger.report(br.Replaced, order_id, quantity=Decimal(quantity)))


def test_a_late_refusal_says_nothing_about_a_replace_that_is_not_sent(ledger: Ledger) -> None:
    order_id = ledger.replacing()
    refusal = ledger.report(br.ReplaceRefused, order_id, reason="no")
    ledger.hear(refusal)
    ledger.replace(order_id, quantity=180)
    assert ledger.hear(refusal) == ()
    assert ledger.open_quantity() == 180


# Cancel and refusal -----------------------------------------------------------------------------------------


def test_a_refused_cancel_proves_nothing_about_a_doubtful_place(ledger: Ledger) -> None:
    order_id = in_doubt(ledger)
    ledger.cancel(order_id)
    ledger.send(order_id, RequestKind.CANCEL)
    ledger.hear(ledger.report(br.CancelRefused, order_id, reason="unknown order"))
    assert ledger.order(order_id).state is OrderState.IN_DOUBT


@pytest.mark.parametrize("kind", RequestKind)
def test_a_connectors_refusal_ends_what_was_asked_and_repeats_nothing(ledger: Ledger, kind: RequestKind) -> None:
    situation = {
        RequestKind.PLACE: ledger.sent,
        RequestKind.REPLACE: ledger.replacing,
        RequestKind.CANCEL: lambda: canceling(ledger),
    }[kind]
    order_id = situation()
    assert ledger.refuse(order_id, kind)
    after = OrderStatus.REJECTED if kind is RequestKind.PLACE else OrderStatus.WORKING
    assert ledger.order(order_id).status is after
    assert ledger.refuse(order_id, kind) == ()


def test_a_filled_order_that_a_bust_reopens_may_be_cancelled_anew(ledger: Ledger) -> None:
    order_id = canceling(ledger)
    ledger.fill(order_id, 100)
    assert ledger.order(order_id).cancel is RequestStatus.REFUSED
    ledger.hear(ledger.report(br.Busted, exec_id="E1", bust_id="U1", wire_id="-"))
    order = ledger.order(order_id)
    assert (order.state, order.evidence, ledger.open_quantity()) == (OrderState.WORKING, None, 100)
    ledger.cancel(order_id)
    ledger.send(order_id, RequestKind.CANCEL)
    ledger.end(br.Canceled, order_id)
    assert (ledger.order(order_id).state, ledger.open_quantity()) == (OrderState.CANCELED, 0)
    assert ledger.order(order_id).request.side is Side.BUY


def test_a_repeated_refusal_of_an_earlier_change_says_nothing_about_the_present_one(ledger: Ledger) -> None:
    order_id = ledger.replacing(150)
    first = ledger.order(order_id).wire_ids[-1]
    refusal = ledger.report(br.ReplaceRefused, wire_id=first, reason="no")
    ledger.hear(refusal)
    ledger.replace(order_id, quantity=200)
    ledger.send(order_id, RequestKind.REPLACE)
    assert ledger.hear(refusal) == ()
    assert ledger.order(order_id).replace.status is RequestStatus.SENT
    assert ledger.open_quantity() == 200, "the present change may be in force: it counts in full"


def test_a_repeated_word_of_an_earlier_change_does_not_bring_its_terms_back(ledger: Ledger) -> None:
    order_id = ledger.replacing(150)
    first = ledger.order(order_id).wire_ids[-1]
    replaced = ledger.report(br.Replaced, wire_id=first, quantity=Decimal(150))
    ledger.hear(replaced)
    ledger.replace(order_id, quantity=200)
    ledger.send(order_id, RequestKind.REPLACE)
    second = ledger.order(order_id).wire_ids[-1]
    ledger.hear(ledger.report(br.Replaced, wire_id=second, quantity=Decimal(200)))
    assert ledger.hear(replaced) == ()
    assert (ledger.order(order_id).quantity, ledger.open_quantity()) == (200, 200)


def test_nor_does_it_while_a_third_change_is_asked_for(ledger: Ledger) -> None:
    order_id = ledger.replacing(150)
    first = ledger.report(br.Replaced, wire_id=ledger.order(order_id).wire_ids[-1], quantity=Decimal(150))
    ledger.hear(first)
    ledger.replace(order_id, quantity=200)
    ledger.send(order_id, RequestKind.REPLACE)
    ledger.hear(ledger.report(br.Replaced, wire_id=ledger.order(order_id).wire_ids[-1], quantity=Decimal(200)))
    ledger.replace(order_id, quantity=120)
    assert ledger.hear(first) == ()
    assert (ledger.order(order_id).quantity, ledger.open_quantity()) == (200, 200)


def test_a_change_that_nobody_heard_of_counts_when_it_is_heard_late(ledger: Ledger) -> None:
    order_id = ledger.replacing(150)
    first = ledger.report(br.Replaced, wire_id=ledger.order(order_id).wire_ids[-1], quantity=Decimal(150))
    ledger.doubt(order_id, RequestKind.REPLACE)
    ledger.not_shown(order_id)
    ledger.not_shown(order_id)
    ledger.replace(order_id, quantity=120)
    ledger.send(order_id, RequestKind.REPLACE)
    ledger.hear(first)
    assert (ledger.order(order_id).quantity, ledger.open_quantity()) == (150, 150)
