"""A broker that accepts, fills, refuses, repeats, reorders and restates at random: the book stays right throughout."""

import random
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from oms_kernel import engine, settlement
from oms_kernel.contracts import broker as br
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import ExecId
from oms_kernel.domain.lifecycle import RequestKind, RequestStatus
from oms_kernel.domain.order import Order, Side
from tests.engine.book_oracle import check_book, contents, refold
from tests.engine.ledger import ACME, BETA, OPENING_CASH, OWNER, Ledger

sizes = st.integers(1, 60)
prices = st.integers(9_000, 11_000).map(lambda ticks: Decimal(f"{ticks}E-2"))
fees = st.one_of(st.none(), st.integers(-10, 100).map(lambda units: Decimal(f"{units}E-3")))
picks = st.integers(0, 10**6)


class BrokerAtRandom(RuleBasedStateMachine):
    """Every rule is one batch; the broker's reports need not make sense."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.heard: list[br.AnyReport] = []
        self.waiting: list[br.AnyReport] = []
        self.executions: list[br.Filled] = []
        self.names = 0

    # What people and strategies do ------------------------------------------------------------------------

    @rule(
        side=st.sampled_from(Side),
        quantity=sizes,
        price=st.one_of(st.none(), prices),
        pick=picks,
        progress=st.sampled_from(["asked", "sent", "working", "working", "replacing", "replacing"]),
    )
    def place(self, side: Side, quantity: int, price: Decimal | None, pick: int, progress: str) -> None:
        strategy = (None, "one", "two")[pick % 3]
        instrument = ACME if pick % 4 else BETA
        order = self.ledger.place(
            side, quantity, limit_price=price, strategy_id=strategy, instrument=instrument, reduce_only=pick % 11 == 1
        )
        if not order.is_active or progress == "asked" or self.ledger.send(order.order_id) is None:
            return
        if progress != "sent":
            self.ledger.acknowledge(order.order_id, f"B-{order.order_id}")
        if progress == "replacing" and self.ledger.replace(order.order_id, quantity=quantity + pick % 50 + 1).accepted:
            self.ledger.send(order.order_id, RequestKind.REPLACE)

    @precondition(lambda self: self.active())
    @rule(pick=picks, quantity=sizes, price=prices)
    def replace(self, pick: int, quantity: int, price: Decimal) -> None:
        order = self.pick(pick, self.active())
        try:
            terms = {"limit_price": price} if order.limit_price is not None else {}
            self.ledger.replace(order.order_id, quantity=quantity, **terms)
        except (OrderConflict, InvalidRequest) as error:
            note(error.detail)

    @precondition(lambda self: self.active())
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        self.ledger.cancel(self.pick(pick, self.active()).order_id)

    @rule(state=st.sampled_from(TradingState), again=st.integers(0, 5))
    def set_trading_state(self, state: TradingState, again: int) -> None:
        self.ledger.set_state(TradingState.ACTIVE if again else state)

    @rule(hours=st.integers(0, 30))
    def time_passes(self, hours: int) -> None:
        self.ledger.later(seconds=1, hours=hours // 4)
        quotes = self.ledger.quotes
        for instrument_id, quote in quotes.items():
            quotes[instrument_id] = type(quote)(
                **{name: getattr(quote, name) for name in quote.__struct_fields__} | {"received_at": self.ledger.now}
            )

    # What the session does --------------------------------------------------------------------------------

    @precondition(lambda self: self.due())
    @rule(pick=picks)
    def send(self, pick: int) -> None:
        order, kind = self.pick(pick, self.due())
        self.ledger.send(order.order_id, kind)

    @precondition(lambda self: self.known())
    @rule(pick=picks, kind=st.sampled_from([RequestKind.PLACE, RequestKind.REPLACE]))
    def doubt(self, pick: int, kind: RequestKind) -> None:
        self.ledger.doubt(self.pick(pick, self.known()).order_id, kind)

    @precondition(lambda self: self.known())
    @rule(pick=picks, kind=st.sampled_from(RequestKind))
    def refuse(self, pick: int, kind: RequestKind) -> None:
        self.ledger.refuse(self.pick(pick, self.known()).order_id, kind)

    @precondition(lambda self: self.known())
    @rule(pick=picks)
    def query_does_not_show(self, pick: int) -> None:
        self.ledger.not_shown(self.pick(pick, self.known()).order_id)

    # What the broker says ---------------------------------------------------------------------------------

    @precondition(lambda self: self.known())
    @rule(pick=picks, word=st.sampled_from([br.Acknowledged, br.Canceled, br.Rejected, br.Expired]), now=st.booleans())
    def say(self, pick: int, word: type[Any], now: bool) -> None:
        order = self.pick(pick, self.known())
        fields = {} if word is br.Acknowledged else {"reason": "said so"}
        self.tell(self.ledger.report(word, order.order_id, broker_order_id=f"B-{order.order_id}", **fields), now)

    @precondition(lambda self: self.known())
    @rule(pick=picks, word=st.sampled_from([br.ReplaceRefused, br.CancelRefused]), now=st.booleans())
    def say_no(self, pick: int, word: type[Any], now: bool) -> None:
        self.tell(self.ledger.report(word, self.pick(pick, self.known()).order_id, reason="no"), now)

    @precondition(lambda self: self.known())
    @rule(pick=picks, as_asked=st.booleans(), quantity=sizes, price=prices, now=st.booleans())
    def say_replaced(self, pick: int, as_asked: bool, quantity: int, price: Decimal, now: bool) -> None:
        order = self.pick(pick, self.known())
        terms: dict[str, Any] = {"quantity": Decimal(quantity)}
        if order.limit_price is not None:
            terms["limit_price"] = price
        if as_asked and order.replace is not None:
            terms = {"quantity": order.replace.quantity, "limit_price": order.replace.limit_price}
        self.tell(self.ledger.report(br.Replaced, order.order_id, **terms), now)

    @precondition(lambda self: self.known())
    @rule(pick=picks, quantity=sizes, whole=st.booleans(), price=prices, fee=fees, now=st.booleans())
    def execute(self, pick: int, quantity: int, whole: bool, price: Decimal, fee: Decimal | None, now: bool) -> None:
        order = self.pick(pick, self.known())
        size = order.worst_case_quantity if whole and order.worst_case_quantity else Decimal(quantity)
        self.tell(self.ledger.execution(order.order_id, size, price, self.name("E"), fee=fee), now)

    @rule(quantity=sizes, price=prices, side=st.sampled_from(Side))
    def execute_what_is_not_ours(self, quantity: int, price: Decimal, side: Side) -> None:
        self.tell(self.ledger.execution(None, quantity, price, self.name("X"), side=side, wire_id="THEIRS"), True)

    @precondition(lambda self: self.executions)
    @rule(pick=picks, fee=fees.filter(lambda fee: fee is not None), now=st.booleans())
    def tell_the_fee(self, pick: int, fee: Decimal, now: bool) -> None:
        execution = self.pick(pick, self.executions)
        self.tell(self.ledger.report(br.FeeReported, exec_id=execution.exec_id, fee=fee, wire_id="-"), now)

    @precondition(lambda self: self.executions)
    @rule(pick=picks, quantity=sizes, price=prices, fee=fees, now=st.booleans())
    def correct(self, pick: int, quantity: int, price: Decimal, fee: Decimal | None, now: bool) -> None:
        exec_id = self.pick(pick, self.executions).exec_id
        earlier = [report.correction_id for report in self.heard if isinstance(report, br.Corrected)]
        of = self.pick(pick, [exec_id, *earlier])
        terms = {"quantity": Decimal(quantity), "price": price, "fee": fee}
        named = {"exec_id": of, "correction_id": ExecId(self.name("C")), "wire_id": "-"}
        self.tell(self.ledger.report(br.Corrected, **named, **terms), now)

    @precondition(lambda self: self.executions)
    @rule(pick=picks, now=st.booleans())
    def bust(self, pick: int, now: bool) -> None:
        execution = self.pick(pick, self.executions)
        named = {"exec_id": execution.exec_id, "bust_id": ExecId(self.name("U")), "wire_id": "-"}
        self.tell(self.ledger.report(br.Busted, **named), now)

    @precondition(lambda self: self.heard)
    @rule(pick=picks)
    def repeat(self, pick: int) -> None:
        self.tell(self.pick(pick, self.heard), True)

    @precondition(lambda self: self.waiting)
    @rule(seed=picks)
    def deliver_what_was_late(self, seed: int) -> None:
        random.Random(seed).shuffle(self.waiting)
        for report in self.waiting:
            self.tell(report, True)
        self.waiting = []

    # What always holds ------------------------------------------------------------------------------------

    @invariant()
    def the_book_agrees_with_a_second_opinion(self) -> None:
        check_book(self.ledger.book, self.ledger.log, OPENING_CASH)

    def teardown(self) -> None:
        once, again = refold(self.ledger.log), refold(self.ledger.log)
        assert contents(once) == contents(again)
        assert contents(once) == contents(self.ledger.book), "batches and a fold of the stored log give the same book"

    # Helping ----------------------------------------------------------------------------------------------

    def tell(self, report: br.AnyReport, now: bool) -> None:
        if isinstance(report, br.Filled):
            self.executions.append(report)
        if not now:
            self.waiting.append(report)
            return
        before = self.ledger.book.seq
        booked = {key for key, _ in self.ledger.book.executions.items()}
        try:
            self.ledger.hear(report)
        except settlement.Unbookable as error:
            assert self.ledger.book.seq == before, "what cannot be booked changes nothing"
            note(error.detail)
            return
        if isinstance(report, br.Filled) and (report.broker_account_id, report.exec_id) not in booked:
            assert (report.broker_account_id, report.exec_id) in self.ledger.book.executions, "no fill is dropped"
        self.heard.append(report)
        again = settlement.apply_report(self.ledger.view(), self.ledger.book, OWNER, report)
        if not isinstance(report, br.Replaced | br.FeeReported):
            told = [event for event in again if event.kind not in ("alert_raised", "trading_state_changed")]
            assert not told, "the same report at once says nothing new"

    def name(self, kind: str) -> str:
        self.names += 1
        return f"{kind}{self.names}"

    def active(self) -> list[Order]:
        return [order for _, order in self.ledger.book.orders.items() if order.is_active]

    def known(self) -> list[Order]:
        return [order for _, order in self.ledger.book.orders.items() if order.wire_ids]

    def due(self) -> list[tuple[Order, RequestKind]]:
        """What a session would send next, cancels first."""
        found = []
        for order in self.active():
            if engine.is_unsent(order):
                found.append((order, RequestKind.PLACE))
            elif order.place is RequestStatus.DONE:
                if order.cancel in (RequestStatus.REQUESTED, RequestStatus.SENT):
                    found.append((order, RequestKind.CANCEL))
                elif order.replace is not None and order.replace.status is RequestStatus.REQUESTED:
                    found.append((order, RequestKind.REPLACE))
        return found

    def pick(self, pick: int, choices: list[Any]) -> Any:
        return choices[pick % len(choices)]


BrokerAtRandom.TestCase.settings = settings(
    max_examples=80, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)


class TestTheBookUnderABrokerAtRandom(BrokerAtRandom.TestCase):  # type: ignore[misc, name-defined]
    """Run by Hypothesis."""
