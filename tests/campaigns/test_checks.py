"""The campaign's checker catches each planted bug, and is content with a history in which every promise held."""

from decimal import Decimal

import msgspec
import pytest

from campaigns.checks import Books, BrokerOrder, Execution, Kind, OurOrder, violations
from campaigns.history import Answer, Posted, Told, answer_of

FILL = Execution("E1", "spy", Decimal(5), Decimal("450.01"))
FILLED = OurOrder("o1", "t0-1", "FILLED", ("W1",), at_broker=True)
EXPIRED = OurOrder("o2", "t0-2", "EXPIRED", (), at_broker=False)
DENIED = OurOrder("o3", "t0-3", "DENIED", (), at_broker=False)
HISTORY = [
    Posted("t0-1", {}, (Answer(Told.UNKNOWN), Answer(Told.KNOWN, "o1"))),
    Posted("t0-2", {}, (Answer(Told.STORED, "o2"), Answer(Told.KNOWN, "o2"))),
    Posted("t0-3", {}, (Answer(Told.DENIED, "o3"),)),
    Posted("t0-4", {}, (Answer(Told.UNKNOWN), Answer(Told.NOTHING))),
    Posted("t0-5", {}),
]
BOOKS = Books(
    orders=[FILLED, EXPIRED, DENIED],
    executions=[FILL],
    positions={"spy": Decimal(5)},
    broker_orders=[BrokerOrder("W1", "B1")],
    broker_executions=[FILL],
)


def kinds(books: Books = BOOKS, history: list[Posted] = HISTORY) -> set[Kind]:
    return {one.kind for one in violations(history, books)}


def test_a_history_in_which_every_promise_held_breaks_none() -> None:
    assert violations(HISTORY, BOOKS) == []


def test_an_order_that_was_sent_again_on_recovery_is_doubled() -> None:
    resent = [BrokerOrder("W1", "B1"), BrokerOrder("W1", "B2")]
    assert kinds(msgspec.structs.replace(BOOKS, broker_orders=resent)) == {Kind.DOUBLED}


def test_an_order_that_was_sent_again_under_a_new_wire_id_is_doubled() -> None:
    order = msgspec.structs.replace(FILLED, wire_ids=("W1", "W2"))
    books = msgspec.structs.replace(
        BOOKS, orders=[order, EXPIRED, DENIED], broker_orders=[BrokerOrder("W1", "B1"), BrokerOrder("W2", "B2")]
    )
    assert kinds(books) == {Kind.DOUBLED}


def test_an_order_that_was_answered_201_and_does_not_exist_is_lost() -> None:
    books = msgspec.structs.replace(BOOKS, orders=[FILLED, DENIED])
    assert kinds(books) == {Kind.LOST}


def test_an_order_that_was_called_a_duplicate_and_does_not_exist_is_lost() -> None:
    history = [*HISTORY, Posted("t0-6", {}, (Answer(Told.UNKNOWN), Answer(Told.KNOWN, "o6")))]
    assert kinds(history=history) == {Kind.LOST}


def test_a_fill_that_is_booked_twice_shows_in_executions_and_position() -> None:
    again = msgspec.structs.replace(FILL, exec_id="E1-again")
    books = msgspec.structs.replace(BOOKS, executions=[FILL, again], positions={"spy": Decimal(10)})
    assert kinds(books) == {Kind.EXECUTION, Kind.POSITION}


def test_a_fill_that_is_not_booked_shows_in_executions_and_position() -> None:
    assert kinds(msgspec.structs.replace(BOOKS, executions=[], positions={})) == {Kind.EXECUTION, Kind.POSITION}


def test_a_fill_booked_with_another_price_is_found() -> None:
    books = msgspec.structs.replace(BOOKS, executions=[msgspec.structs.replace(FILL, price=Decimal("450.02"))])
    assert kinds(books) == {Kind.EXECUTION}


def test_an_order_at_the_broker_that_is_none_of_ours_is_found() -> None:
    books = msgspec.structs.replace(BOOKS, broker_orders=[*BOOKS.broker_orders, BrokerOrder("W9", "B9")])
    assert kinds(books) == {Kind.UNKNOWN_TO_US}


def test_an_order_that_is_said_to_work_and_never_reached_the_broker_is_found() -> None:
    assert Kind.UNSENT in kinds(msgspec.structs.replace(BOOKS, broker_orders=[]))


def test_an_order_that_is_said_never_sent_and_is_at_the_broker_is_found() -> None:
    liar = msgspec.structs.replace(EXPIRED, wire_ids=("W2",))
    books = msgspec.structs.replace(
        BOOKS, orders=[FILLED, liar, DENIED], broker_orders=[*BOOKS.broker_orders, BrokerOrder("W2", "B2")]
    )
    assert kinds(books) == {Kind.CONTRADICTION}


@pytest.mark.parametrize("state", ["NEW", "ROUTED", "PENDING_CANCEL", "PENDING_REPLACE", "IN_DOUBT"])
def test_an_order_that_is_left_under_way_is_found(state: str) -> None:
    left = msgspec.structs.replace(EXPIRED, state=state, at_broker=None)
    assert kinds(msgspec.structs.replace(BOOKS, orders=[FILLED, left, DENIED])) == {Kind.UNSETTLED}


def test_a_client_order_id_that_was_accepted_twice_is_doubled() -> None:
    twice = Posted("t0-1", {}, (Answer(Told.STORED, "o1"), Answer(Told.STORED, "o1")))
    assert kinds(history=[twice, *HISTORY[1:]]) == {Kind.DOUBLED}


def test_two_orders_under_one_client_order_id_are_doubled() -> None:
    twin = OurOrder("o9", "t0-2", "EXPIRED", (), at_broker=False)
    assert kinds(msgspec.structs.replace(BOOKS, orders=[FILLED, EXPIRED, twin, DENIED])) == {Kind.DOUBLED}


def test_an_order_that_exists_although_every_answer_said_nothing_was_stored_is_a_contradiction() -> None:
    denied = Posted("t0-3", {}, (Answer(Told.NOTHING),))
    history = [*HISTORY[:2], denied, *HISTORY[3:]]
    assert kinds(history=history) == {Kind.CONTRADICTION}


def test_an_order_that_nobody_asked_for_is_a_contradiction() -> None:
    assert kinds(history=[one for one in HISTORY if one.client_order_id != "t0-2"]) == {Kind.CONTRADICTION}


@pytest.mark.parametrize(
    ("status", "body", "told"),
    [
        (201, {"order_id": "o1"}, Told.STORED),
        (409, {"code": "duplicate_client_order_id", "order_id": "o1"}, Told.KNOWN),
        (422, {"code": "risk_denied", "order_id": "o1"}, Told.DENIED),
        (422, {"code": "invalid_request"}, Told.NOTHING),
        (503, {"code": "no_session"}, Told.NOTHING),
        (429, None, Told.NOTHING),
        (504, {"code": "outcome_unknown"}, Told.UNKNOWN),
        (500, None, Told.UNKNOWN),
    ],
)
def test_an_answer_promises_what_its_status_says(status: int, body: object, told: Told) -> None:
    assert answer_of(status, body).told is told
