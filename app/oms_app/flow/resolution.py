"""What people find out for the platform: doubtful orders settled, unbooked reports booked or dismissed, with reasons.

Guarantee: nothing here sends anything, and no execution is invented: a person's finding settles an open question only.
"""

import os

import msgspec

from oms_app.flow import booking
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import UnknownOrder, UnknownReport
from oms_app.flow.pretrade import salted_hash
from oms_app.flow.principal import Principal
from oms_app.flow.routing import Directory
from oms_app.store.unit_of_work import UnbookedReport
from oms_kernel import resolution
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import BrokerAccountId, BrokerOrderId, LedgerId, OrderId
from oms_kernel.domain.order import Order
from oms_kernel.resolution import Finding
from oms_kernel.settlement import Unbookable, apply_report

SALT_BYTES = 16
ORDER_TEXT = "resolution"
REPORT_TEXT = "dismissal"


class Resolution:
    """The one door for what a person settles."""

    def __init__(self, desk: Desk, directory: Directory) -> None:
        self._desk = desk
        self._directory = directory

    def resolve(
        self,
        principal: Principal,
        order_id: OrderId,
        finding: Finding,
        *,
        reason: str,
        evidence: str,
        broker_order_id: BrokerOrderId | None = None,
    ) -> Order:
        """The order as a person found it at the broker. Raises UnknownOrder, OrderConflict, InvalidRequest.

        reason: why the finding is right. evidence: what shows it (a statement, a ticket, who said so at the broker).
        Both are kept beside the log, their salted hash in it.
        """
        text = _said(("reason", reason), ("evidence", evidence))
        ledger_id = self._directory.order(principal, order_id)

        def work(turn: Turn) -> Order:
            order = turn.batch.book.orders.get(order_id)
            if order is None or not principal.may_use(order.request.account_id):
                raise UnknownOrder(f"there is no order {order_id}", field="order_id")
            events = resolution.resolve(
                turn.batch.book,
                order,
                finding,
                principal=principal.principal_id,
                at=turn.batch.now,
                broker_order_id=broker_order_id,
            )
            text_hash = _keep(turn, order_id, f"{ORDER_TEXT}:{order.version}", text)
            turn.batch.record(*events)
            turn.batch.record(_told(principal, order, finding, text_hash))
            return turn.batch.book.orders[order_id]

        return self._desk.transact(principal.tenant_id, ledger_id, work)

    def book_report(self, principal: Principal, ledger_id: LedgerId, report_id: str) -> UnbookedReport:
        """The report, booked now that what hindered it is repaired. Raises UnknownReport, OrderConflict, Unbookable."""

        def work(turn: Turn) -> UnbookedReport:
            kept = _open_report(turn, principal, report_id)
            owner = booking.owners_of(turn).get(kept.report.broker_account_id)
            if owner is None:
                raise Unbookable(f"no account is routed to broker account {kept.report.broker_account_id}; route one")
            booking.record(turn, apply_report(turn.view, turn.batch.book, owner, kept.report))
            return _settle(turn, principal, kept, "BOOKED")

        return self._desk.transact(principal.tenant_id, ledger_id, work)

    def dismiss_report(self, principal: Principal, ledger_id: LedgerId, report_id: str, reason: str) -> UnbookedReport:
        """The report, put aside for good with a reason. Raises UnknownReport, OrderConflict, InvalidRequest."""
        text = _said(("reason", reason))

        def work(turn: Turn) -> UnbookedReport:
            kept = _open_report(turn, principal, report_id)
            _keep(turn, OrderId(report_id), REPORT_TEXT, text)
            return _settle(turn, principal, kept, "DISMISSED")

        return self._desk.transact(principal.tenant_id, ledger_id, work)


def _said(*fields: tuple[str, str]) -> str:
    for name, text in fields:
        if not text.strip():
            raise InvalidRequest(f"{name} must not be empty", field=name)
    return "\n".join(text.strip() for _, text in fields)


def _keep(turn: Turn, subject: OrderId, kind: str, text: str) -> str:
    """Store a person's words; returns their salted hash."""
    salt = os.urandom(SALT_BYTES)
    turn.unit.put_text(subject, kind, text, salt)
    return salted_hash(text, salt)


def _told(principal: Principal, order: Order, finding: Finding, text_hash: str) -> ev.PersonResolved:
    return ev.PersonResolved(
        account_id=order.request.account_id,
        order_id=order.order_id,
        finding=finding.value,
        principal=principal.principal_id,
        text_hash=text_hash,
    )


def _open_report(turn: Turn, principal: Principal, report_id: str) -> UnbookedReport:
    kept = turn.unit.unbooked(report_id)
    owner = booking.owners_of(turn).get(kept.report.broker_account_id) if kept else None
    may_see = principal.account_ids is None or (owner is not None and principal.may_use(owner.account_id))
    if kept is None or not may_see:
        raise UnknownReport("there is no such report", field="report_id")
    if kept.status != "OPEN":
        raise OrderConflict(f"the report is {kept.status} already")
    return kept


def _settle(turn: Turn, principal: Principal, kept: UnbookedReport, status: str) -> UnbookedReport:
    """Note what became of the report; with the last open one of an account its stop ends."""
    settled = msgspec.structs.replace(kept, status=status, settled_by=principal.principal_id, settled_at=turn.unit.now)
    turn.unit.settle_unbooked(settled)
    _release(turn, principal, kept.report.broker_account_id)
    return settled


def _release(turn: Turn, principal: Principal, broker_account_id: BrokerAccountId) -> None:
    owner = booking.owners_of(turn).get(broker_account_id)
    account = turn.batch.book.accounts.get(owner.account_id) if owner else None
    before = booking.STATE_BEFORE.get(account.state_reason) if account else None
    if owner is None or account is None or before is None or account.trading_state is not TradingState.CANCEL_ONLY:
        return
    if any(other.report.broker_account_id == broker_account_id for other in turn.unit.open_unbooked()):
        return
    turn.batch.record(
        ev.TradingStateChanged(
            account_id=owner.account_id,
            trading_state=before,
            reason_code="reports_settled",
            principal=principal.principal_id,
        )
    )
