"""Which rows of the tables of an order's life were walked: counted where the kernel looks them up."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from oms_kernel.domain import folds, lifecycle, moves

S, W, K, R, G = (
    lifecycle.OrderStatus,
    lifecycle.Word,
    lifecycle.RequestKind,
    lifecycle.RequestStatus,
    lifecycle.Signal,
)

Row = tuple[Any, ...]


def name(row: Row) -> str:
    """A row for people: WORKING+CANCELED, PLACE:SENT+DOUBT."""
    *state, moved_by = (str(part) for part in row)
    return f"{':'.join(state)}+{moved_by}"


ALL_ROWS = (*lifecycle.STATUS_TABLE, *lifecycle.REQUEST_TABLE)

UNREACHABLE: dict[str, str] = {
    **{
        name((kind, status, G.END)): "the end of an order asks only about open requests"
        for kind, status in ((K.PLACE, R.DONE), (K.PLACE, R.REFUSED), (K.REPLACE, R.DONE), (K.REPLACE, R.REFUSED))
    },
    **{
        name((K.PLACE, status, G.REFUSE)): "the rejection of an order asks only about open requests"
        for status in (R.DONE, R.REFUSED)
    },
    **{
        name((K.REPLACE, status, G.PROVE)): "executions prove only a change that is at the broker"
        for status in (R.DONE, R.REFUSED)
    },
    **{
        name((K.CANCEL, status, G.END)): "the end of an order asks only about open requests"
        for status in (R.DONE, R.REFUSED)
    },
    name((K.CANCEL, R.SENT, G.DOUBT)): "nothing puts a cancel in doubt: `doubt` speaks of place and replace only",
}
"""Rows that stand in the table so that it is total, and why no event looks them up; tests/domain walks them."""


@contextmanager
def counted() -> Iterator[Counter[str]]:
    """How often each row was looked up while the block ran."""
    walked: Counter[str] = Counter()
    next_status, next_request = lifecycle.next_status, lifecycle.next_request

    def count_status(status: Any, word: Any) -> Any:
        after = next_status(status, word)
        walked[name((status, word))] += 1
        return after

    def count_request(kind: Any, status: Any, signal: Any) -> Any:
        after = next_request(kind, status, signal)
        walked[name((kind, status, signal))] += 1
        return after

    places = ((moves, "next_status"), (moves, "next_request"), (folds, "next_request"))
    before = [getattr(module, attribute) for module, attribute in places]
    moves.next_status, moves.next_request, folds.next_request = count_status, count_request, count_request
    try:
        yield walked
    finally:
        for (module, attribute), original in zip(places, before, strict=True):
            setattr(module, attribute, original)
