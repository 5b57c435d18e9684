"""A tenant, its session and a true broker in, one act at a time out: real flow on the store in memory, no waiting.

Every act of the session runs under its lease; what was sent but not yet taken, and what was said but not yet heard,
waits in plain lists, so that a machine decides what arrives, when, and how often.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from decimal import Decimal
from functools import partial
from typing import Any

from campaigns.machine.model import Model
from campaigns.machine.venue import Venue, VenueOrder
from oms_app.flow import booking, reconciliation, submission
from oms_app.flow.breaks import Look, look
from oms_app.flow.desk import Turn
from oms_app.flow.resolution import Resolution
from oms_app.flow.routing import Directory
from oms_app.sessions.comparing import MOST_LOOKS
from oms_app.store.memory import ready_connection
from oms_kernel.contracts import broker as br
from oms_kernel.domain.book import Book
from oms_kernel.domain.errors import OrderConflict
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import OrderId, wire_id
from oms_kernel.domain.lifecycle import RequestKind, RequestStatus
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import Order
from oms_kernel.resolution import Finding
from oms_kernel.testkit.builders import a_quote, an_instrument
from tests.flow.trading import CAPABILITIES, CONNECTION, LEDGER, TENANT, Trading

OPENING_CASH = Decimal(1_000_000)
ACK_TIMEOUT = timedelta(seconds=10)
MAXIMUM_PAUSE = timedelta(seconds=10)
YEARS = timedelta(days=3650)


class World(Trading):
    """`broken` collects what did not hold."""

    def __init__(self) -> None:
        super().__init__()
        self.other = an_instrument("BETA")
        self.store.put_instrument(self.other)
        for instrument in (self.instrument, self.other):
            self.store.put_quote(a_quote(instrument, at=self.now + YEARS))
        self.venue = Venue()
        self.model = Model(OPENING_CASH)
        self.token = 1
        self.wire: list[br.Intent] = []
        """Sent, and not yet at the broker."""
        self.coming: list[br.AnyReport] = []
        """Said, and not yet heard."""
        self.heard: list[br.AnyReport] = []
        self.connected_at = self.now
        self.broken: list[str] = []
        self.connect(self.token)

    def connect(self, token: int = 1) -> None:
        """The session is ready under this lease."""
        self.store.put_connection(TENANT, ready_connection(CONNECTION, self.now + YEARS, token))

    @property
    def book(self) -> Book:
        """The live book of the serving process."""
        return self.desk.ledger(TENANT, LEDGER).state.book

    @property
    def log(self) -> Sequence[Recorded]:
        """All that was committed."""
        return self.store.events(TENANT, LEDGER, 0, 1_000_000)

    def orders(self, fits: Callable[[Order], bool]) -> list[Order]:
        """The orders that fit, oldest first."""
        return [order for _, order in self.book.orders.items() if fits(order)]

    # What the session does --------------------------------------------------------------------------------

    def send(self, limit: int, *, may_add: bool) -> list[br.Intent]:
        """Record what is due and put it on the wire."""
        sent: list[br.Intent] = self.in_turn(
            lambda turn: submission.next_intents(
                turn, CONNECTION, self.token, CAPABILITIES, _prepare, limit=limit, may_add=may_add
            )
        )
        self.wire += sent
        return sent

    def hear(self, reports: Sequence[br.AnyReport]) -> None:
        """Book reports in one transaction, and compare with what must follow."""
        self.heard += reports
        if len(reports) > 1:
            for report in reports:
                self._take_in(report)
            self.in_turn(lambda turn: booking.book(turn, CONNECTION, reports))
            return
        (report,) = reports
        before = self.book.find_order(report.broker_account_id, report.wire_id, report.broker_order_id)
        if isinstance(report, br.Corrected | br.Busted):
            booked = self.book.execution(report.broker_account_id, report.exec_id)
            before = self.book.orders.get(booked.order_id) if booked is not None and booked.order_id else None
        kept_raw = len(self.store.unbooked)
        is_known = self._take_in(report)
        self.in_turn(lambda turn: booking.book(turn, CONNECTION, reports))
        if is_known == (len(self.store.unbooked) > kept_raw):
            self.broken.append(f"{report} was {'kept raw' if is_known else 'booked'}")
        if before is not None and is_known and not before.is_external:
            self._compare(before, report)

    def _take_in(self, report: br.AnyReport) -> bool:
        order = self.book.find_order(report.broker_account_id, report.wire_id, report.broker_order_id)
        return self.model.hear(report, order)

    def _compare(self, before: Order, report: br.AnyReport) -> None:
        after = self.book.orders[before.order_id]
        status = self.model.status(before, report)
        if after.filled_quantity != self.model.filled(before.order_id):
            self.broken.append(f"filled {after.filled_quantity} after {report}")
        replacing = isinstance(report, br.Replaced | br.ReplaceRefused)  # may bring the total to what is filled
        if after.status is not status and not (replacing and after.filled_quantity >= after.quantity):
            self.broken.append(f"{after.status}, not {status} after {report} on {before}")

    def reconcile(self, failed: frozenset[br.SnapshotPart], *, settles: bool) -> None:
        """Book the broker's own state; the second time in a row nothing is left to book."""
        parts = self.venue.snapshot(self.now, failed)
        if parts[br.SnapshotPart.EXECUTIONS].complete:
            self._take_in_snapshot(parts[br.SnapshotPart.EXECUTIONS].items)
        self._run(parts, settles=settles)
        if settles:
            self._run(parts, settles=False)  # what settling closed may close breaks
        head = self.book.seq
        self._run(parts, settles=False)
        if self.book.seq != head:
            kinds = [recorded.event.kind for recorded in self.log[head:]]
            self.broken.append(f"a second reconciliation in a row recorded {kinds}")

    def _take_in_snapshot(self, executions: Sequence[Any]) -> None:
        for report in executions:
            self._take_in(report)

    def _run(self, parts: Any, *, settles: bool) -> None:
        """One run as a session makes it: what one look cannot tell from what is under way is looked at again."""
        seen: Look | None = None
        for _ in range(MOST_LOOKS):
            head, before = self.book.seq, seen
            seen = self.in_turn(partial(self._reconcile, parts=parts, head=head, before=before, settles=settles))
            if seen.is_settled:
                return

    def _reconcile(self, turn: Turn, *, parts: Any, head: int, before: Look | None, settles: bool) -> Look:
        submission.require_lease(turn, CONNECTION, self.token)
        found = look(
            turn, CONNECTION, parts, asked_at_seq=head, is_elsewhere=lambda _: False, before=before, opening=settles
        )
        if settles and parts[br.SnapshotPart.ORDERS].complete:
            reconciliation.settle_doubts(
                turn, CONNECTION, parts[br.SnapshotPart.ORDERS], CAPABILITIES, carried_before=self.connected_at
            )
        return found

    def reopen(self) -> None:
        """Close the connection and open it again: what was on the old one never arrives any more."""
        self.wire.clear()
        self.wait(seconds=1)
        self.connected_at = self.now

    def find_out(self, order: Order) -> None:
        """A person looks the doubtful order up at the broker, and tells the truth."""
        if any(intent.command.order_id == order.order_id for intent in self.wire):
            return  # it may still arrive: a careful person waits
        at_broker = next(iter(self.venue.of(order.order_id)), None)
        finding = _finding(order, at_broker)
        if finding is None:
            return
        told = {"reason": "asked the broker", "evidence": "their screen"}
        if at_broker is not None:
            told["broker_order_id"] = at_broker.broker_order_id
        with suppress(OrderConflict):  # the broker's word was faster
            Resolution(self.desk, Directory(self.desk)).resolve(self.principal, order.order_id, finding, **told)

    def settle_reports(self) -> None:
        """A person puts the reports aside that could not be booked, which frees the account."""
        resolution = Resolution(self.desk, Directory(self.desk))
        for (ledger_id, report_id), kept in list(self.store.unbooked.items()):
            if kept.status == "OPEN":
                resolution.dismiss_report(self.principal, ledger_id, report_id, "nothing came of it")

    def take_over(self) -> None:
        """Another session takes the lease; what the old one may have sent is in doubt."""
        self.token += 1
        self.connect(self.token)
        self.reopen()
        self.restart()
        self.in_turn(lambda turn: submission.disown(turn, CONNECTION, self.token))

    # What is true at the broker ---------------------------------------------------------------------------

    def live_leaves(self, order_id: OrderId) -> Decimal:
        """What may still be executed of an order at the broker, with everything on the wire counted."""
        on_wire = [intent.command for intent in self.wire if intent.command.order_id == order_id]
        placing = [command.quantity for command in on_wire if command.kind is RequestKind.PLACE]
        replacing = [command.quantity for command in on_wire if command.kind is RequestKind.REPLACE]
        at_broker = self.venue.of(order_id)
        live = [max([one.total, *replacing]) - one.filled for one in at_broker if one.status == "WORKING"]
        return max(ZERO, sum(live, ZERO) + sum(placing, ZERO))

    def working(self) -> list[VenueOrder]:
        """The orders that work at the broker."""
        return [order for order in self.venue.orders if order.status == "WORKING"]


def _finding(order: Order, at_broker: VenueOrder | None) -> Finding | None:
    """What a person sees; None when only the executions, which nobody tells by hand, could say it."""
    if order.place is RequestStatus.IN_DOUBT:
        return Finding.NOT_AT_BROKER if at_broker is None else FINDINGS.get(at_broker.status)
    if at_broker is None or order.replace is None or at_broker.status != "WORKING":
        return None
    terms = (at_broker.total, at_broker.limit_price)
    if terms == (order.quantity, order.limit_price):
        return Finding.NOT_REPLACED
    return Finding.REPLACED if terms == (order.replace.quantity, order.replace.limit_price) else None


FINDINGS = {
    "WORKING": Finding.WORKING,
    "CANCELED": Finding.CANCELED,
    "REJECTED": Finding.REJECTED,
    "EXPIRED": Finding.EXPIRED,
}


def _prepare(command: br.Command) -> br.WireIdentity:
    return br.WireIdentity(wire_id=wire_id(command.order_id, command.attempt, 28))
