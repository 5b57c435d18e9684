"""The tables of an order's life, walked over every pair and compared with what the architecture says in words."""

from itertools import product

import pytest

from oms_kernel.domain.errors import IllegalTransition
from oms_kernel.domain.lifecycle import (
    ACTIVE_STATES,
    FIX_ORD_STATUS,
    REQUEST_TABLE,
    STATE_FILTERS,
    STATUS_TABLE,
    STATUSES_OF,
    TERMINAL,
    OrderState,
    OrderStatus,
    RequestKind,
    RequestStatus,
    Signal,
    Word,
    derive_state,
    is_open_request,
    next_request,
    next_status,
)

OPEN = (RequestStatus.REQUESTED, RequestStatus.SENT, RequestStatus.IN_DOUBT)


@pytest.mark.parametrize(("status", "word"), list(product(OrderStatus, Word)))
def test_every_word_on_every_status_has_an_outcome(status: OrderStatus, word: Word) -> None:
    outcome = next_status(status, word)
    if word is Word.FILLED_WHOLE:
        assert outcome is OrderStatus.FILLED
    elif word is Word.FOUND_ALIVE:
        assert outcome is (OrderStatus.FILLED if status is OrderStatus.FILLED else OrderStatus.WORKING)
    elif status not in TERMINAL:
        ends = {Word.CANCELED: "CANCELED", Word.REJECTED: "REJECTED", Word.EXPIRED: "EXPIRED"}
        unchanged = word is Word.UNFILLED
        assert outcome == ends.get(word, status if unchanged else OrderStatus.WORKING)
    elif word in (Word.CANCELED, Word.REJECTED, Word.EXPIRED):
        assert outcome is status, "a terminal order does not end twice"
    assert (outcome is OrderStatus.HELD) <= (status is OrderStatus.HELD), "no word parks an order"


def test_what_is_working_is_never_new_again() -> None:
    assert all(
        outcome is not OrderStatus.NEW for (status, _), outcome in STATUS_TABLE.items() if status is not OrderStatus.NEW
    )
    assert set(STATUS_TABLE) == set(product(OrderStatus, Word))


@pytest.mark.parametrize(("kind", "status", "signal"), list(product(RequestKind, RequestStatus, Signal)))
def test_every_signal_on_every_request_is_defined_or_refused(
    kind: RequestKind, status: RequestStatus, signal: Signal
) -> None:
    if (kind, status, signal) not in REQUEST_TABLE:
        with pytest.raises(IllegalTransition):
            next_request(kind, status, signal)
        return
    outcome = next_request(kind, status, signal)
    if signal is Signal.END or signal is Signal.REFUSE or signal is Signal.PROVE:
        assert not is_open_request(outcome), "an outcome ends the request"
    if signal is Signal.SEND:
        assert outcome is RequestStatus.SENT
        assert status is RequestStatus.REQUESTED or (kind, status) == (RequestKind.CANCEL, RequestStatus.SENT)
    if kind is RequestKind.CANCEL:
        assert outcome is not RequestStatus.IN_DOUBT
    if status is RequestStatus.DONE:
        assert outcome is RequestStatus.DONE


@pytest.mark.parametrize("kind", RequestKind)
def test_whatever_is_under_way_can_end(kind: RequestKind) -> None:
    for status in OPEN if kind is not RequestKind.CANCEL else OPEN[:2]:
        assert (kind, status, Signal.END) in REQUEST_TABLE
        assert (kind, status, Signal.REFUSE) in REQUEST_TABLE


def test_a_place_can_be_proved_from_everywhere() -> None:
    assert all(next_request(RequestKind.PLACE, status, Signal.PROVE) is RequestStatus.DONE for status in RequestStatus)


def test_nothing_that_is_in_doubt_is_sent_again() -> None:
    for kind in (RequestKind.PLACE, RequestKind.REPLACE):
        for status in set(RequestStatus) - {RequestStatus.REQUESTED}:
            with pytest.raises(IllegalTransition):
                next_request(kind, status, Signal.SEND)


def oracle(
    status: OrderStatus,
    place: RequestStatus,
    replace: RequestStatus | None,
    cancel: RequestStatus | None,
    partly_filled: bool,
) -> str:
    """The state by the architecture's words, written without its table."""
    if status in TERMINAL:
        return status.value
    if place == "IN_DOUBT" or replace == "IN_DOUBT":
        return "IN_DOUBT"
    if cancel in OPEN:
        return "PENDING_CANCEL"
    if replace in OPEN:
        return "PENDING_REPLACE"
    if status == "HELD":
        return "HELD"
    if status == "NEW":
        return "NEW" if place == "REQUESTED" else "ROUTED"
    return "PARTIALLY_FILLED" if partly_filled else "WORKING"


def test_the_state_that_people_see_follows_the_precedence_everywhere() -> None:
    requests = (None, *RequestStatus)
    seen: set[tuple[OrderState, OrderStatus]] = set()
    for status, place, replace, cancel, partly in product(
        OrderStatus, RequestStatus, requests, requests, (False, True)
    ):
        state = derive_state(status, place, replace, cancel, partly_filled=partly)
        assert state == oracle(status, place, replace, cancel, partly)
        assert (state in ACTIVE_STATES) is (status not in TERMINAL)
        seen.add((state, status))
    assert seen == {(state, status) for state, statuses in STATUSES_OF.items() for status in statuses}


def test_each_state_has_a_fix_word_and_a_filter() -> None:
    assert set(FIX_ORD_STATUS) == set(OrderState)
    assert {state for state, word in FIX_ORD_STATUS.items() if word is None} == {OrderState.IN_DOUBT}
    assert all(STATE_FILTERS[state.value] == {state} for state in OrderState)


def test_the_users_own_words_select_states_too() -> None:
    users = {"PENDING", "SUBMITTED", "OPEN", "PARTIALLY_FILLED", "FILLED", "CANCELLED", "REJECTED", "EXPIRED"}
    assert users <= set(STATE_FILTERS)
    assert all(STATE_FILTERS[word] for word in STATE_FILTERS)
    assert STATE_FILTERS["CANCELLED"] == STATE_FILTERS["CANCELED"]
    assert STATE_FILTERS["ACTIVE"] | {OrderState(status.value) for status in TERMINAL} == set(OrderState)
