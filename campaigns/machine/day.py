"""A Hypothesis machine over order, book, positions and reconciliation: people, session, network, broker at random.

The broker is true to itself; the network loses, doubles, delays and reorders; sessions die. After every step the book
must agree with the model, with the second opinion of `tests.engine`, and with what may still happen at the broker.
"""

import random
from contextlib import suppress
from decimal import Decimal
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from campaigns.machine.checks import broken_promises
from campaigns.machine.world import ACK_TIMEOUT, MAXIMUM_PAUSE, OPENING_CASH, World
from oms_app.flow import booking, submission
from oms_kernel.contracts import broker as br
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import ExecId
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.order import Side
from oms_kernel.engine import NewTerms
from oms_kernel.testkit.builders import ACCOUNT_ID
from tests.engine.book_oracle import check_book, contents, refold
from tests.flow.trading import CONNECTION, LEDGER, TENANT

picks = st.integers(0, 2**24)
sizes = st.integers(1, 60)
PARTS = tuple(br.SnapshotPart)
FEES = (None, None, Decimal(0), Decimal("0.35"), Decimal("-0.02"))


def price_of(pick: int) -> Decimal:
    """A price around 100 on the grid."""
    return Decimal(9_500 + pick % 1_000) / 100


class Day(RuleBasedStateMachine):
    """Every rule is one act. `pick` chooses among what there is."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.checked = 0
        for side in (*Side, *Side):  # a day never begins empty: Hypothesis leaves rules out, that of placing too
            self.place_and_work(side, 40, 7, 3)

    # People -----------------------------------------------------------------------------------------------

    @rule(side=st.sampled_from(Side), quantity=sizes, pick=picks)
    def place(self, side: Side, quantity: int, pick: int) -> None:
        fields: dict[str, Any] = {"symbol": ("ACME", "BETA")[pick % 2], "reduce_only": pick % 13 == 1}
        if pick % 3:
            fields["limit_price"] = price_of(pick)
        if pick % 5 == 0:
            fields["strategy_id"] = "one"
        self.world.submit(self.world.draft(side, quantity, **fields))

    @rule(side=st.sampled_from(Side), quantity=sizes, pick=picks, steps=st.integers(1, 3))
    def place_and_work(self, side: Side, quantity: int, pick: int, steps: int) -> None:
        self.place(side, quantity, pick)
        self.world.send(8, may_add=True)
        if steps > 1:
            self.take_from_wire(pick)
        if steps > 2 and self.world.coming:
            self.hear(pick)

    @precondition(lambda self: self.active())
    @rule(pick=picks, quantity=sizes, sends=st.booleans())
    def replace(self, pick: int, quantity: int, sends: bool) -> None:
        order = one_of(self.active(), pick)
        prices = {"limit_price": price_of(pick)} if order.limit_price is not None else {}
        try:
            terms = NewTerms(quantity=order.filled_quantity + quantity, **prices)
            self.world.amendment.replace(self.world.principal, order.order_id, terms)
        except (OrderConflict, InvalidRequest):
            return
        if sends:
            self.world.send(8, may_add=True)

    @precondition(lambda self: self.working_both_sides())
    @rule(pick=picks, quantity=sizes, outcome=st.sampled_from(("heard", "said", "refused")))
    def replace_and_work(self, pick: int, quantity: int, outcome: str) -> None:
        """A change that goes through, or is refused; one of an order that had others before shows what is confused."""
        world, order = self.world, one_of(self.working_both_sides()[-3:], pick)
        sent = len(world.wire)
        with suppress(OrderConflict, InvalidRequest):
            world.amendment.replace(
                world.principal, order.order_id, NewTerms(quantity=order.filled_quantity + quantity)
            )
        world.send(8, may_add=True)
        if len(world.wire) == sent:
            return
        intent = world.wire.pop()
        named = {"broker_account_id": order.broker_account_id, "broker_at": world.now}
        refusal = br.ReplaceRefused(reason="not now", wire_id=intent.identity.wire_id, **named)
        is_refused = outcome == "refused" and intent.command.kind is RequestKind.REPLACE
        world.coming += [refusal] if is_refused else world.venue.take(intent, world.now)
        if outcome != "said":
            world.hear([world.coming.pop()])

    @precondition(lambda self: self.active())
    @rule(pick=picks)
    def cancel(self, pick: int) -> None:
        order = one_of(self.active(), pick)
        with suppress(OrderConflict):  # an order that somebody placed at the broker is only read
            self.world.amendment.cancel(self.world.principal, order.order_id)

    @rule(state=st.sampled_from((*TradingState, *[TradingState.ACTIVE] * 6)))
    def set_trading_state(self, state: TradingState) -> None:
        self.world.control.set_trading_state(self.world.principal, ACCOUNT_ID, state, "a person")

    @precondition(lambda self: self.world.book.accounts[ACCOUNT_ID].trading_state is not TradingState.ACTIVE)
    @rule()
    def release_the_account(self) -> None:
        self.set_trading_state(TradingState.ACTIVE)

    @rule(seconds=st.sampled_from((0, 1, 6, 11, 60, 86_400)))
    def time_passes(self, seconds: int) -> None:
        self.world.wait(seconds=seconds)

    @rule()
    def sweep(self) -> None:
        self.world.control.sweep(TENANT, LEDGER)

    @precondition(lambda self: self.doubtful())
    @rule(pick=picks)
    def find_out(self, pick: int) -> None:
        self.world.find_out(one_of(self.doubtful(), pick))

    @precondition(lambda self: self.world.store.unbooked)
    @rule()
    def settle_reports(self) -> None:
        self.world.settle_reports()

    # The session ------------------------------------------------------------------------------------------

    @rule(limit=st.integers(1, 4), may_add=st.sampled_from((True, True, True, False)))
    def send(self, limit: int, may_add: bool) -> None:
        self.world.send(limit, may_add=may_add)

    @precondition(lambda self: self.world.coming)
    @rule(pick=picks)
    def hear(self, pick: int) -> None:
        self.world.hear([self.world.coming.pop(pick % len(self.world.coming))])

    @precondition(lambda self: self.world.coming)
    @rule(pick=picks)
    def hear_all(self, pick: int) -> None:
        reports, self.world.coming = self.world.coming, []
        if pick % 3 == 0:
            random.Random(pick).shuffle(reports)
        for report in reports:
            self.world.hear([report])

    @precondition(lambda self: self.world.heard)
    @rule(pick=picks)
    def hear_again(self, pick: int) -> None:
        self.world.hear([one_of(self.world.heard, pick)])
        self.world.heard.pop()

    @precondition(lambda self: self.changes_heard())
    @rule(pick=picks)
    def hear_of_a_change_again(self, pick: int) -> None:
        """What was said of some change, perhaps an earlier one than the present."""
        self.world.hear([one_of(self.changes_heard(), pick)])

    @precondition(lambda self: self.active())
    @rule()
    def time_out(self) -> None:
        self.world.wait(seconds=11)
        self.world.in_turn(lambda turn: submission.overdue(turn, CONNECTION, ACK_TIMEOUT))

    @precondition(lambda self: self.world.wire)
    @rule(pick=picks, arrives=st.booleans())
    def sending_fails(self, pick: int, arrives: bool) -> None:
        """An exception while it was sent; whether it arrives nobody knows."""
        intent = one_of(self.world.wire, pick)
        if not arrives:
            self.world.wire.remove(intent)
        self.world.in_turn(lambda turn: booking.book_doubt(turn, intent, "it raised"))

    @precondition(lambda self: self.world.wire)
    @rule(pick=picks)
    def connector_refuses(self, pick: int) -> None:
        intent = self.world.wire.pop(pick % len(self.world.wire))
        self.world.in_turn(lambda turn: booking.book_refusal(turn, intent, "not in this form"))

    @rule(pick=picks)
    def reconcile(self, pick: int) -> None:
        failed = frozenset({PARTS[pick % len(PARTS)]}) if pick % 4 == 0 else frozenset()
        self.world.reconcile(failed, settles=False)

    @rule(pick=picks, twice=st.booleans())
    def reopen_and_settle(self, pick: int, twice: bool) -> None:
        self.world.reopen()
        for _ in range(1 + twice):
            self.world.wait(seconds=MAXIMUM_PAUSE.total_seconds() + 1)
            failed = frozenset({br.SnapshotPart.ORDERS}) if pick % 7 == 0 else frozenset()
            self.world.reconcile(failed, settles=True)

    @rule()
    def take_over(self) -> None:
        self.world.take_over()

    @rule()
    def restart(self) -> None:
        """Another process folds the log and goes on; it must see the same book."""
        before = self.world.book
        self.world.restart()
        self.world.in_turn(lambda turn: None)
        if contents(self.world.book) != contents(before):
            self.world.broken.append("a new process folds the log to another book")

    # The network and the broker ---------------------------------------------------------------------------

    @precondition(lambda self: self.world.wire)
    @rule(pick=picks)
    def take_from_wire(self, pick: int) -> None:
        world = self.world
        if world.wire:
            world.coming += world.venue.take(world.wire.pop(pick % len(world.wire)), world.now)

    @precondition(lambda self: self.world.wire)
    @rule()
    def take_all_from_wire(self) -> None:
        while self.world.wire:
            self.take_from_wire(0)

    @precondition(lambda self: self.world.wire)
    @rule(pick=picks)
    def lose_on_wire(self, pick: int) -> None:
        self.world.wire.pop(pick % len(self.world.wire))

    @precondition(lambda self: self.world.coming)
    @rule(pick=picks)
    def lose_report(self, pick: int) -> None:
        self.world.coming.pop(pick % len(self.world.coming))

    @precondition(lambda self: self.world.working())
    @rule(pick=picks, quantity=sizes, whole=st.booleans(), now=st.booleans())
    def execute(self, pick: int, quantity: int, whole: bool, now: bool) -> None:
        order = one_of(self.world.working(), pick)
        size = order.leaves if whole else min(order.leaves, Decimal(quantity))
        self.say(self.world.venue.execute(order, size, price_of(pick), one_of(FEES, pick), self.world.now), now)

    @precondition(lambda self: self.world.venue.orders)
    @rule(pick=picks, quantity=sizes)
    def execute_too_much(self, pick: int, quantity: int) -> None:
        order = one_of(self.world.venue.orders, pick)
        extra = order.leaves + Decimal(quantity)
        self.say(self.world.venue.execute(order, extra, price_of(pick), None, self.world.now), pick % 2 == 0)

    @precondition(lambda self: self.world.working())
    @rule(pick=picks, status=st.sampled_from(("CANCELED", "REJECTED", "EXPIRED")), now=st.booleans())
    def broker_ends(self, pick: int, status: str, now: bool) -> None:
        self.say(self.world.venue.end(one_of(self.world.working(), pick), status, self.world.now), now)

    @precondition(lambda self: self.world.venue.executions)
    @rule(pick=picks, now=st.booleans())
    def tell_the_fee(self, pick: int, now: bool) -> None:
        venue = self.world.venue
        exec_id = one_of(list(venue.executions), pick)
        named = {"broker_account_id": venue.executions[exec_id].broker_account_id, "broker_at": self.world.now}
        self.say(br.FeeReported(exec_id=exec_id, fee=Decimal(pick % 100) / 100, wire_id="-", **named), now)

    @precondition(lambda self: self.world.venue.executions)
    @rule(pick=picks, quantity=sizes, busts=st.booleans(), now=st.booleans())
    def restate(self, pick: int, quantity: int, busts: bool, now: bool) -> None:
        venue = self.world.venue
        told = venue.executions[one_of(list(venue.executions), pick)]
        named = {"broker_account_id": told.broker_account_id, "broker_at": self.world.now, "wire_id": "-"}
        if busts:
            venue.busted.add(told.exec_id)
            self.say(br.Busted(exec_id=told.exec_id, bust_id=ExecId(venue.name("U")), **named), now)
        elif told.exec_id not in venue.busted:
            venue.correct(told.exec_id, Decimal(quantity))
            terms = {"quantity": Decimal(quantity), "price": price_of(pick), "fee": one_of(FEES, pick)}
            named["correction_id"] = ExecId(venue.name("C"))
            self.say(br.Corrected(exec_id=told.exec_id, **named, **terms), now)

    @rule(side=st.sampled_from(Side), quantity=sizes, pick=picks, fills=st.booleans())
    def trade_elsewhere(self, side: Side, quantity: int, pick: int, fills: bool) -> None:
        """Somebody places an order at the broker, past us."""
        world = self.world
        instrument = one_of((world.instrument, world.other), pick)
        order = world.venue.add(None, None, instrument.instrument_id, side, Decimal(quantity), price_of(pick))
        if fills:
            self.say(world.venue.execute(order, order.leaves, price_of(pick), None, world.now), pick % 2 == 0)

    # What always holds ------------------------------------------------------------------------------------

    @invariant()
    def every_promise_holds(self) -> None:
        world = self.world
        if world.book.seq == self.checked and not world.broken:
            return
        self.checked = world.book.seq
        broken = [*broken_promises(world), *world.model.differences(world.book)]
        assert not broken, broken[0]
        check_book(world.book, world.log, OPENING_CASH)

    def teardown(self) -> None:
        assert contents(refold(self.world.log)) == contents(self.world.book), "the log folds to another book"

    # Helping ----------------------------------------------------------------------------------------------

    def say(self, report: br.AnyReport, now: bool) -> None:
        (self.world.hear if now else self.world.coming.extend)([report])

    def changes_heard(self) -> list[Any]:
        return [report for report in self.world.heard if isinstance(report, br.Replaced | br.ReplaceRefused)]

    def doubtful(self) -> list[Any]:
        return self.world.orders(lambda order: order.in_doubt)

    def working_both_sides(self) -> list[Any]:
        at_broker = {one.order_id for one in self.world.working()}
        return self.world.orders(lambda order: order.is_active and order.order_id in at_broker)

    def active(self) -> list[Any]:
        return self.world.orders(lambda order: order.is_active)


def one_of(choices: Any, pick: int) -> Any:
    return choices[pick % len(choices)]
