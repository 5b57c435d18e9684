"""Broker reports in, committed events out: each execution once, nothing dropped, one ledger in one transaction.

A report that cannot be booked is kept raw and alerted, its account takes cancels only until a person has looked, and
the stream goes on.
"""

from collections.abc import Sequence

from oms_app.flow.desk import Turn
from oms_kernel.contracts.broker import AnyReport, Intent
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.ids import BrokerAccountId, ConnectionId
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.order import Order
from oms_kernel.restatement import figures, restated
from oms_kernel.settlement import BrokerAccountOwner, Events, Unbookable, apply_report, doubt, refuse


def book(turn: Turn, connection_id: ConnectionId, reports: Sequence[AnyReport]) -> None:
    """Record what the reports mean, in their order; a repeated report records nothing."""
    owners = owners_of(turn)
    for report in reports:
        owner = owners.get(report.broker_account_id)
        before = len(turn.batch.events)
        try:
            if owner is None:
                raise Unbookable(f"broker account {report.broker_account_id} is routed from no account of this ledger")
            record(turn, apply_report(turn.view, turn.batch.book, owner, report))
        except KernelError as error:
            if len(turn.batch.events) != before:
                raise
            keep_raw(turn, connection_id, report, error.detail)


STATE_BEFORE = {"unbooked_report": TradingState.ACTIVE, "unbooked_report_reduce_only": TradingState.REDUCE_ONLY}
"""Why an unbooked report stopped an account -> the state to which it returns when the last of them is settled."""


def record(turn: Turn, events: Events) -> None:
    """Record a report's events; what a correction or bust restates is told beside it."""
    for event in events:
        fill = None
        if isinstance(event, (ev.ExecutionCorrected, ev.ExecutionBusted)):
            fill = turn.batch.book.execution(event.broker_account_id, event.exec_id)
        if fill is None or not isinstance(event, (ev.ExecutionCorrected, ev.ExecutionBusted)):
            turn.batch.record(event)
            continue
        before = figures(turn.batch.book, fill)
        turn.batch.record(event)
        turn.batch.record(restated(event, fill, before, figures(turn.batch.book, fill)))


def book_refusal(turn: Turn, intent: Intent, reason: str) -> None:
    """Record a connector's definite Refused."""
    order = turn.batch.book.orders[intent.command.order_id]
    if _is_over(order, intent):
        return
    turn.batch.record(*refuse(order, intent.command.kind, reason, turn.batch.now))


def book_doubt(turn: Turn, intent: Intent, reason: str) -> None:
    """Record that a sent request's outcome is not known; a cancel is never in doubt."""
    order = turn.batch.book.orders[intent.command.order_id]
    if intent.command.kind is not RequestKind.CANCEL and not _is_over(order, intent):
        turn.batch.record(*doubt(order, intent.command.kind, reason))


def _is_over(order: Order, intent: Intent) -> bool:
    """Whether the order has another change under way than the one that was sent; its outcome does not concern that."""
    command = intent.command
    return command.kind is RequestKind.REPLACE and (order.replace is None or order.replace.attempt != command.attempt)


def owners_of(turn: Turn) -> dict[BrokerAccountId, BrokerAccountOwner]:
    """Which trading account of this ledger each broker account's reports belong to."""
    return {
        route.broker_account_id: BrokerAccountOwner(
            broker_account_id=route.broker_account_id, account_id=route.account_id
        )
        for route in turn.config.routes.values()
    }


def keep_raw(turn: Turn, connection_id: ConnectionId, report: AnyReport, failure: str) -> None:
    """Keep a report that cannot be booked, alert people, and let its account take cancels only."""
    owner = owners_of(turn).get(report.broker_account_id)
    turn.unit.put_unbooked(turn.desk.new_id(), connection_id, report, failure)
    account_id = owner.account_id if owner else None
    turn.batch.record(
        ev.AlertRaised(
            account_id=account_id,
            severity=ev.Severity.CRITICAL,
            source="booking",
            text=f"a broker report could not be booked: {failure}",
            what_to_do="Compare positions with the broker, then book or dismiss the report.",
        )
    )
    if account_id is None or account_id not in turn.batch.book.accounts:
        return
    before = turn.batch.book.accounts[account_id].trading_state
    reason_code = next((reason for reason, state in STATE_BEFORE.items() if state is before), None)
    if reason_code is not None:
        turn.batch.record(
            ev.TradingStateChanged(
                account_id=account_id,
                trading_state=TradingState.CANCEL_ONLY,
                reason_code=reason_code,
                principal="system:booking",
            )
        )
