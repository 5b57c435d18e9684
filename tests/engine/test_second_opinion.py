"""The second opinion on a book is worth something: it catches defects that are planted."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_kernel.contracts import broker as br
from oms_kernel.domain.book import Book
from oms_kernel.domain.lifecycle import RequestKind, RequestStatus
from oms_kernel.domain.order import MANUAL_BOOK, NET_BOOK, Side
from oms_kernel.domain.totals import OpenValue, Reach
from oms_kernel.testkit.builders import ACCOUNT_ID
from tests.engine.book_oracle import check_book, contents, refold
from tests.engine.ledger import ACME, CONNECTION, OPENING_CASH, Ledger


def a_busy_ledger() -> Ledger:
    ledger = Ledger()
    ledger.hold(50)
    order_id = ledger.replacing()
    ledger.fill(order_id, 30, 101, "E1", fee=Decimal("0.30"))
    ledger.doubt(order_id, RequestKind.REPLACE)
    ledger.end(br.Canceled, ledger.working(Side.SELL, 10))
    return ledger


def spoil(name: str, key: Any, **changes: Any) -> Callable[[Book], None]:
    def spoiled(book: Book) -> None:
        layer = getattr(book, name)
        layer[key] = msgspec.structs.replace(layer[key], **changes)

    return spoiled


def spoil_order(index: int, **changes: Any) -> Callable[[Book], None]:
    def spoiled(book: Book) -> None:
        order_id, order = list(book.orders.items())[index]
        book.orders[order_id] = msgspec.structs.replace(order, **changes)

    return spoiled


HOLDING = (ACCOUNT_ID, ACME.instrument_id)
DEFECTS: dict[str, Callable[[Book], None]] = {
    "exposure is too small": spoil("open_quantity", (*HOLDING, Side.BUY), quantity=Decimal(119)),
    "an order is not counted": spoil("open_quantity", (*HOLDING, Side.BUY), orders=0),
    "an order's value is not taken away": spoil("open_quantity", (*HOLDING, Side.BUY), value=Decimal(10_000)),
    "an order without a price is not counted": spoil("open_quantity", (*HOLDING, Side.BUY), unpriced=1),
    "a sub-book's exposure is off": spoil(
        "book_quantity", (ACCOUNT_ID, MANUAL_BOOK, ACME.instrument_id, Side.BUY), quantity=Decimal(1)
    ),
    "the value of what is open is off": lambda book: book.open_values.add(
        (ACCOUNT_ID, NET_BOOK), "USD", OpenValue(orders=1, value=Decimal(1))
    ),
    "how far a holding could go is off": lambda book: book.holdings.add(
        (ACCOUNT_ID, NET_BOOK), ACME.instrument_id, Reach(held=Decimal(80), orders=1)
    ),
    "a holding is forgotten": lambda book: book.holdings.remove((ACCOUNT_ID, NET_BOOK), ACME.instrument_id),
    "a doubt is forgotten": lambda book: book.doubts.remove(
        HOLDING, next(key for key, _ in book.doubts.entries(HOLDING))
    ),
    "a request is not followed up": lambda book: book.unsettled.remove(
        CONNECTION, next(key for key, _ in book.unsettled.entries(CONNECTION))
    ),
    "a position is off by the last digit": spoil(
        "positions", (ACCOUNT_ID, NET_BOOK, ACME.instrument_id), cost=Decimal("8030.000000000001")
    ),
    "cash is off": lambda book: book.move_cash(ACCOUNT_ID, "USD", Decimal("0.01")),
    "the day's fees are off": spoil("days", (ACCOUNT_ID, "USD"), fees=Decimal(0)),
    "the filled quantity is off": spoil_order(1, filled_quantity=Decimal(31)),
    "an end has no evidence": spoil_order(2, evidence=None),
    "an end leaves a request open": spoil_order(2, cancel=RequestStatus.SENT),
}


def test_a_book_that_is_right_passes() -> None:
    ledger = a_busy_ledger()
    check_book(ledger.book, ledger.log, OPENING_CASH)
    assert contents(refold(ledger.log)) == contents(ledger.book)


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_caught(defect: str) -> None:
    ledger = a_busy_ledger()
    DEFECTS[defect](ledger.book)
    assert contents(refold(ledger.log)) != contents(ledger.book)
    with pytest.raises(AssertionError):
        check_book(ledger.book, ledger.log, OPENING_CASH)
