"""A Hypothesis machine over the tables themselves: any event at any moment, as a log of another build may hold it.

Decisions never record many of these; the fold must still take each legal row, refuse each other one, and keep order.
"""

from decimal import Decimal
from typing import Any

import msgspec
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oms_kernel.domain import events as ev
from oms_kernel.domain.errors import IllegalTransition
from oms_kernel.domain.ids import wire_id
from oms_kernel.domain.lifecycle import (
    REQUEST_TABLE,
    TERMINAL,
    Evidence,
    RequestKind,
    RequestStatus,
    Signal,
    Word,
)
from oms_kernel.domain.order import Order
from oms_kernel.executions import about
from tests.engine.book_oracle import check_open_orders, contents, refold
from tests.engine.ledger import Ledger

picks = st.integers(0, 2**16)
ENDS = (ev.OrderCanceled, ev.OrderRejected, ev.OrderExpired)
THEN = (*ENDS, Word.ACKNOWLEDGED, Word.FOUND_ALIVE, None)


class Rows(RuleBasedStateMachine):
    """Every rule is one event."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.fills = 0

    @rule(held=st.booleans(), denied=st.booleans(), doubts=st.integers(0, 2))
    def begin(self, held: bool, denied: bool, doubts: int) -> None:
        decision, event = self.ledger.decide(quantity=50)
        if not decision.accepted:
            self.ledger.commit(event)  # one in doubt lets nothing else in
        elif denied:
            names = set(ev.OrderDenied.__struct_fields__)
            told = {name: getattr(event, name) for name in event.__struct_fields__ if name in names}
            self.ledger.commit(ev.OrderDenied(**told))
        else:
            self.ledger.commit(msgspec.structs.replace(event, held=held))
            for _ in range(0 if held else doubts):  # what is sent is held no more
                self.send(0, RequestKind.PLACE)
                self.doubt(0, RequestKind.PLACE)
                self.doubt(0, RequestKind.PLACE)

    @precondition(lambda self: self.orders())
    @rule(pick=picks, kind=st.sampled_from(RequestKind))
    def send(self, pick: int, kind: RequestKind) -> None:
        order = self.one(pick)
        if kind is RequestKind.REPLACE and order.replace is None:
            return
        name = wire_id(order.order_id, order.attempt + 1, 28)
        told = {
            "request_kind": kind,
            "attempt": order.attempt + 1,
            "lease_token": 1,
            "wire_id": name,
            "wire_fields": {},
        }
        active = order.is_active or kind is not RequestKind.CANCEL
        asked = _status(order, kind) or RequestStatus.REQUESTED
        row = (kind, asked, Signal.SEND) if active else None
        self.record(ev.IntentRecorded(**told, **about(order)), row)

    @precondition(lambda self: self.orders())
    @rule(pick=picks, kind=st.sampled_from((RequestKind.PLACE, RequestKind.REPLACE)))
    def doubt(self, pick: int, kind: RequestKind) -> None:
        order = self.one(pick)
        status = _status(order, kind)
        if status is not None:
            event = ev.RequestInDoubt(request_kind=kind, reason="no word", **about(order))
            self.record(event, (kind, status, Signal.DOUBT))

    @precondition(lambda self: self.orders())
    @rule(pick=picks, quantity=st.integers(1, 90))
    def ask_to_replace(self, pick: int, quantity: int) -> None:
        order = self.one(pick)
        if not order.is_active:
            return
        terms = {"quantity": Decimal(quantity), "limit_price": order.limit_price, "stop_price": None}
        self.record(
            ev.ReplaceRequested(
                reservation=order.reservation, send_before=self.ledger.now, trail_amount=None, trail_percent=None,
                **terms, **about(order),
            )
        )  # fmt: skip

    @precondition(lambda self: self.orders())
    @rule(pick=picks, quantity=st.integers(51, 90), outcome=st.sampled_from(("", "", "doubt", "done")))
    def replace_on_the_wire(self, pick: int, quantity: int, outcome: str) -> None:
        self.ask_to_replace(pick, quantity)
        self.send(pick, RequestKind.REPLACE)
        if outcome == "doubt":
            self.doubt(pick, RequestKind.REPLACE)
        if outcome == "done":
            self.replaced(pick)

    @precondition(lambda self: self.orders())
    @rule(pick=picks)
    def replaced(self, pick: int) -> None:
        order = self.one(pick)
        terms = order.replace or order
        told = {"quantity": terms.quantity, "limit_price": terms.limit_price, "stop_price": terms.stop_price}
        self.record(ev.OrderReplaced(settles=True, broker_at=self.ledger.now, **told, **about(order)))

    @precondition(lambda self: self.orders())
    @rule(pick=picks, cancels=st.booleans())
    def refuse(self, pick: int, cancels: bool) -> None:
        order = self.one(pick)
        if cancels:
            asked = order.cancel or RequestStatus.REQUESTED
            row = (RequestKind.CANCEL, asked, Signal.REFUSE)
            self.record(ev.CancelRefused(reason="no", **about(order)), row)
        elif order.replace is not None:
            row = (RequestKind.REPLACE, order.replace.status, Signal.REFUSE)
            self.record(ev.ReplaceRefused(evidence=Evidence.BROKER, reason="no", **about(order)), row)

    @precondition(lambda self: self.orders())
    @rule(pick=picks)
    def ask_to_cancel(self, pick: int) -> None:
        self.record(ev.CancelRequested(**about(self.one(pick))))

    @precondition(lambda self: self.orders())
    @rule(pick=picks, word=st.sampled_from((Word.ACKNOWLEDGED, Word.FOUND_ALIVE, Word.UNFILLED)))
    def acknowledge(self, pick: int, word: Word) -> None:
        self.record(ev.OrderAcknowledged(word=word, broker_at=self.ledger.now, **about(self.one(pick))))

    @precondition(lambda self: self.orders())
    @rule(pick=picks, end=st.sampled_from(ENDS))
    def end(self, pick: int, end: type[Any]) -> None:
        event = end(evidence=Evidence.BROKER, reason_code="said", reason="said", **about(self.one(pick)))
        self.record(event)

    @precondition(lambda self: self.orders())
    @rule(
        pick=picks, end=st.sampled_from(ENDS), then=st.sampled_from((*ENDS, Word.ACKNOWLEDGED, Word.FOUND_ALIVE, None))
    )
    def end_and_go_on(self, pick: int, end: type[Any], then: Any) -> None:
        """Two words in a row about one order; None: a cancel that is refused after the end."""
        if then is None:
            self.ask_to_cancel(pick)
        self.end(pick, end)
        if then is None:
            self.refuse(pick, True)
        elif isinstance(then, Word):
            self.acknowledge(pick, then)
        else:
            self.end(pick, then)

    @precondition(lambda self: self.orders())
    @rule(pick=picks, whole=st.booleans())
    def fill(self, pick: int, whole: bool) -> None:
        order = self.one(pick)
        self.fills += 1
        report = self.ledger.execution(order.order_id, 90 if whole else 1, exec_id=f"E{self.fills}", wire_id="-")
        filled = self.ledger.hear(report)[0]
        assert isinstance(filled, ev.OrderFilled), "an execution of nobody's order is booked"
        fill = msgspec.structs.replace(filled.fill, exec_id=f"O{self.fills}")
        word = Word.FILLED_WHOLE if whole else Word.FILLED_PART
        self.record(ev.OrderFilled(fill=fill, word=word, fee_known=True, **about(order)))

    @invariant()
    def ends_have_evidence_and_close_every_request(self) -> None:
        check_open_orders(self.ledger.book)
        for order in self.orders():
            assert (order.evidence is not None) is (order.status in TERMINAL), "what ended has evidence, and only that"
            assert order.leaves_quantity >= 0 and order.worst_case_quantity >= 0, "leaves are never below zero"

    def teardown(self) -> None:
        assert contents(refold(self.ledger.log)) == contents(self.ledger.book), "the log folds to another book"

    def record(self, event: ev.Event, row: Any = None) -> None:
        """Fold the event; what the table does not know must be refused and leave nothing behind."""
        batch = self.ledger.batch()
        try:
            batch.record(event)
        except IllegalTransition:
            assert row is not None and row not in REQUEST_TABLE, f"the legal row {row} was refused"
            assert batch.failure is not None, "a batch that failed must not be committed"
            return
        assert row is None or row in REQUEST_TABLE, f"the row {row} is not legal and was taken"
        self.ledger.adopt(batch)

    def orders(self) -> list[Order]:
        return [order for _, order in self.ledger.book.orders.items()]

    def one(self, pick: int) -> Order:
        orders = self.orders()
        return orders[-1 - pick % min(2, len(orders))]


def _status(order: Order, kind: RequestKind) -> RequestStatus | None:
    return {
        RequestKind.PLACE: order.place,
        RequestKind.REPLACE: order.replace.status if order.replace is not None else None,
        RequestKind.CANCEL: order.cancel,
    }[kind]
