"""The ticket's key: it changes with every stored order and stays where only a repeat is safe."""

import pytest

from oms_app.dashboard import ticket
from oms_app.flow.errors import FlowError, NoSession, OutcomeUnknown, Unavailable, UnknownSymbol
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.order import REQUIRED_PRICES, OrderType, PriceField

VALUES = {"symbol": "ACME", "quantity": "5"}


@pytest.mark.parametrize("error", [Unavailable("away"), OutcomeUnknown("not known")])
def test_after_an_unsure_outcome_the_same_key_is_sent_again(error: FlowError) -> None:
    assert ticket.refused(VALUES, "old", "new", error).key == "old"


@pytest.mark.parametrize("error", [NoSession("not ready"), UnknownSymbol("no such symbol", field="symbol")])
def test_after_a_refusal_the_next_try_is_a_new_request(error: FlowError) -> None:
    assert ticket.refused(VALUES, "old", "new", error).key == "new"


def test_an_error_without_a_field_of_the_ticket_stands_above_the_button_with_its_fix() -> None:
    shown = ticket.refused(VALUES, "old", "new", NoSession("no broker session is ready", field="connection"))
    assert shown.faults == {}
    assert shown.problem is not None
    assert shown.problem.detail == "No broker session is ready"
    assert shown.problem.fix.startswith("try again")


def test_an_error_at_a_field_names_it_as_the_ticket_does() -> None:
    error: KernelError = InvalidRequest("limit_price must be greater than 0", field="limit_price")
    assert (
        ticket.refused(VALUES, "old", "new", error).faults["limit_price"].detail == "Limit price must be greater than 0"
    )


def test_each_type_shows_exactly_the_prices_that_it_needs() -> None:
    names = {
        PriceField.LIMIT_PRICE: "limit_price",
        PriceField.STOP_PRICE: "stop_price",
        PriceField.TRAIL: "trail_amount",
    }
    for order_type, fields in ticket.PRICES.items():
        assert set(fields) == {names[needed] for needed in REQUIRED_PRICES[order_type]}, order_type
    assert OrderType.MARKET in ticket.PRICES


def test_every_field_of_the_ticket_has_its_label() -> None:
    assert {name for fields in ticket.PRICES.values() for name in fields} <= set(ticket.LABELS)
