"""Defects planted into the running kernel, by name: each must be caught by the machines."""

from collections.abc import Callable
from typing import Any

from oms_kernel import settlement
from oms_kernel.contracts import broker as br
from oms_kernel.domain import folds
from oms_kernel.domain.lifecycle import TERMINAL
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import Order


def book_fills_twice() -> None:
    """Each execution moves positions and cash twice."""
    fold = folds.FOLDS["order_filled"]

    def twice(book: Any, event: Any, recorded: Any) -> None:
        fold(book, event, recorded)
        book.book_fill(event.fill, recorded.seq)

    folds.FOLDS["order_filled"] = twice


def drop_late_fills() -> None:
    """An execution of an order that ended is not booked."""
    handle = settlement._HANDLERS[br.Filled]

    def drop(view: Any, book: Any, owner: Any, order: Any, report: Any) -> Any:
        return () if order is not None and order.status in TERMINAL else handle(view, book, owner, order, report)

    settlement._HANDLERS[br.Filled] = drop


def free_what_is_in_doubt() -> None:
    """An order in doubt counts as if it could not trade."""
    counted = Order.worst_case_quantity.fget  # type: ignore[attr-defined]
    Order.worst_case_quantity = property(lambda order: ZERO if order.in_doubt else counted(order))  # type: ignore[method-assign, assignment]


def restate_no_bust() -> None:
    """A busted execution stays in positions and cash."""

    def ignore(book: Any, event: Any, recorded: Any) -> None:
        book.restatements[event.broker_account_id, event.bust_id] = event.exec_id

    folds.FOLDS["execution_busted"] = ignore


PLANTS: dict[str, Callable[[], None]] = {
    "double_fill": book_fills_twice,
    "late_fill_dropped": drop_late_fills,
    "in_doubt_freed": free_what_is_in_doubt,
    "bust_not_restated": restate_no_bust,
}
