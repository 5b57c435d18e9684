"""The id that a broker sees follows from ours."""

import re
import uuid

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_kernel.domain.ids import SHORTEST_WIRE_ID, OrderId, wire_id

order_ids = st.uuids().map(lambda value: OrderId(str(value)))
attempts = st.integers(0, 5000)


@given(order_ids, attempts, st.integers(SHORTEST_WIRE_ID, 64))
def test_the_same_attempt_always_has_the_same_id_within_the_length(
    order_id: OrderId, attempt: int, length: int
) -> None:
    made = wire_id(order_id, attempt, length)
    assert made == wire_id(order_id, attempt, length)
    assert len(made) == min(length, 28)
    assert re.fullmatch("[A-Z2-7]+", made)


@given(order_ids, st.integers(SHORTEST_WIRE_ID, 40))
def test_no_two_attempts_of_an_order_share_an_id(order_id: OrderId, length: int) -> None:
    made = {wire_id(order_id, attempt, length) for attempt in range(600)}
    assert len(made) == 600


def test_ten_thousand_orders_have_ten_thousand_ids_of_the_shortest_length() -> None:
    made = {wire_id(OrderId(str(uuid.UUID(int=number))), 0, SHORTEST_WIRE_ID) for number in range(10_000)}
    assert len(made) == 10_000


def test_twelve_characters_are_enough_for_a_wire_id() -> None:
    assert len(wire_id(OrderId(str(uuid.UUID(int=1))), 0, 12)) == 12


@pytest.mark.parametrize(("attempt", "length"), [(0, 11), (-1, 28), (2**32, 28)])
def test_a_length_or_attempt_out_of_range_is_refused(attempt: int, length: int) -> None:
    with pytest.raises(ValueError):
        wire_id(OrderId(str(uuid.UUID(int=1))), attempt, length)


def test_a_cancel_may_be_sent_again_for_hours() -> None:
    order_id = OrderId(str(uuid.UUID(int=7)))
    assert len(wire_id(order_id, 100_000, 28)) == 28
