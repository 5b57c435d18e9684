"""A report that keeps its neighbours from being booked, in transactions of its own: booked, or kept raw and alerted.

Guarantee: after this returns the report is stored in one of the two ways, so that the stream goes on.
"""

import structlog

from oms_app.flow import booking, submission
from oms_app.flow.desk import Turn
from oms_app.sessions.ledgers import SessionLedgers
from oms_app.store.unit_of_work import Conflict, RowRefused
from oms_kernel.contracts.broker import AnyReport
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.ids import ConnectionId

log = structlog.get_logger(__name__)

UNBOOKABLE = (Conflict, RowRefused, KernelError)
"""What one report alone can do to a transaction; anything else is the database's or the lease's trouble."""


async def book_alone(ledgers: SessionLedgers, connection_id: ConnectionId, lease_token: int, report: AnyReport) -> None:
    """Book one report; what still fails is kept raw, and its account takes cancels only until a person has looked."""
    try:
        await ledgers.each(lambda turn: _book(turn, ledgers, connection_id, lease_token, report, None))
    except UNBOOKABLE as error:
        text = f"{type(error).__name__}: {error}"
        log.error("report_not_booked", connection_id=connection_id, error=text)
        await ledgers.each(lambda turn: _book(turn, ledgers, connection_id, lease_token, report, text))


def _book(
    turn: Turn,
    ledgers: SessionLedgers,
    connection_id: ConnectionId,
    lease_token: int,
    report: AnyReport,
    failure: str | None,
) -> None:
    submission.require_lease(turn, connection_id, lease_token)
    if not ledgers.is_home(turn.unit.ledger_id, report.broker_account_id):
        return
    if failure is None:
        booking.book(turn, connection_id, [report])
    else:
        booking.keep_raw(turn, connection_id, report, failure)
