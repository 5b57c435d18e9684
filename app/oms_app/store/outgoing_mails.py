"""Mail that is due: rows in with the change that they tell of, claimed by one worker at a time, then sent or dead."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
from sqlalchemy import func, insert, select, update

from oms_app.store.rows import one, stamps
from oms_app.store.tables import OUTGOING_MAILS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId


class OutgoingMail(msgspec.Struct, frozen=True):
    """One mail without its text. `subject` is whom or what its token will be about; `attempts` counts this one."""

    mail_id: str
    kind: str
    address: str
    subject: str
    tenant_id: TenantId | None
    params: dict[str, Any]
    attempts: int = 0


def post(unit: RowsUnit, mails: Sequence[OutgoingMail]) -> None:
    """Let the mails be due now, if the unit is stored."""
    fixed = {"status": "PENDING", "due_at": unit.now, "last_error": "", **stamps(unit)}
    if mails:
        unit.connection.execute(insert(OUTGOING_MAILS), [{**fixed, **msgspec.structs.asdict(one)} for one in mails])


def posted_since(unit: RowsUnit, addresses: Sequence[str], kind: str, since: datetime) -> dict[str, int]:
    """How many mails of a kind were posted to these addresses since; those without any are left out."""
    mails = OUTGOING_MAILS.c
    counted = (
        select(mails.address, func.count().label("posted"))
        .where(mails.address.in_(addresses), mails.created_at >= since, mails.kind == kind)
        .group_by(mails.address)
    )
    return {row.address: row.posted for row in unit.connection.execute(counted)}


def due(unit: RowsUnit, limit: int) -> list[tuple[str, int]]:
    """(mail id, attempts so far) of what is due now, the oldest first."""
    query = (
        select(OUTGOING_MAILS.c.mail_id, OUTGOING_MAILS.c.attempts)
        .where(OUTGOING_MAILS.c.status == "PENDING", OUTGOING_MAILS.c.due_at <= unit.now)
        .order_by(OUTGOING_MAILS.c.due_at)
        .limit(limit)
    )
    return [(row.mail_id, row.attempts) for row in unit.connection.execute(query)]


def claim(unit: RowsUnit, mail_id: str, lasting: timedelta) -> OutgoingMail | None:
    """The mail for the one who sends it now, with the attempt counted; None when it is not due or somebody has it."""
    claimed = unit.connection.execute(
        update(OUTGOING_MAILS)
        .where(
            OUTGOING_MAILS.c.mail_id == mail_id,
            OUTGOING_MAILS.c.status == "PENDING",
            OUTGOING_MAILS.c.due_at <= unit.now,
        )
        .values(due_at=unit.now + lasting, attempts=OUTGOING_MAILS.c.attempts + 1, updated_at=unit.now)
    )
    if claimed.rowcount != 1:
        return None
    row = one(unit, select(OUTGOING_MAILS).where(OUTGOING_MAILS.c.mail_id == mail_id))
    if row is None:
        return None
    return OutgoingMail(
        mail_id=row.mail_id,
        kind=row.kind,
        address=row.address,
        subject=row.subject,
        tenant_id=TenantId(row.tenant_id) if row.tenant_id is not None else None,
        params=row.params,
        attempts=row.attempts,
    )


def sent(unit: RowsUnit, mail_id: str) -> None:
    """The mail is on its way."""
    _change(unit, mail_id, status="SENT", sent_at=unit.now, last_error="")


def failed(unit: RowsUnit, mail_id: str, error: str, due_at: datetime | None) -> None:
    """The mail is due again at that time, or never."""
    again = {"due_at": due_at} if due_at is not None else {"status": "DEAD"}
    _change(unit, mail_id, last_error=error, **again)


def _change(unit: RowsUnit, mail_id: str, **values: Any) -> None:
    unit.connection.execute(
        update(OUTGOING_MAILS)
        .where(OUTGOING_MAILS.c.mail_id == mail_id, OUTGOING_MAILS.c.status == "PENDING")
        .values(**values, updated_at=unit.now)
    )
