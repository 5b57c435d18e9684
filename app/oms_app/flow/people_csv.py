"""A table of people as CSV in, invitations out, every row checked before the first is stored; members as CSV out.

A cell that a spreadsheet would take for a formula is written with an apostrophe before it.
"""

import csv
import io
from collections.abc import Sequence

import msgspec

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.csv_text import harmless
from oms_app.flow.errors import FlowError
from oms_app.flow.granting import check_reach
from oms_app.flow.invitations import Draft, Invitations, cleaned
from oms_app.flow.principal import Principal
from oms_app.store import invitations as rows
from oms_app.store import people
from oms_app.store.invitations import Invitation
from oms_app.store.people import Member
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.errors import InvalidRequest

MOST_ROWS = 1_000
NEEDED = ("email", "role")
COLUMNS = ("email", "role", "scopes", "first_name", "last_name")
"""Of an import; `scopes` are separated by spaces."""
EXPORTED = (
    "user_id", "email", "first_name", "last_name", "role", "scopes", "is_active", "email_verified", "created_at",
)  # fmt: skip


class CellError(msgspec.Struct, frozen=True):
    """What is wrong with one cell. row: counted from 1, the heading not counted."""

    row: int
    column: str
    detail: str


class BadTable(FlowError):
    """The table has faults; nothing of it was stored: correct the cells that are named."""

    code = "invalid_request"

    def __init__(self, faults: Sequence[CellError]) -> None:
        first = faults[0]
        super().__init__(f"row {first.row}, {first.column}: {first.detail} ({len(faults)} in all)")
        self.faults = tuple(faults)


class RowResult(msgspec.Struct, frozen=True):
    """What became, or would become, of one row. outcome: INVITED, MEMBER_ALREADY or INVITED_ALREADY."""

    row: int
    email: str
    outcome: str
    invitation_id: str | None = None


class PeopleTables:
    """Imports and exports people. Thread-safe."""

    def __init__(self, store: SqlStore, invitations: Invitations) -> None:
        self._store = store
        self._invitations = invitations

    def read(self, principal: Principal, actor: Actor, text: str, *, dry_run: bool) -> Sequence[RowResult]:
        """What became of each row; dry_run: what would. All rows or none. Raises BadTable, InvalidRequest."""
        drafts = _drafts(text, principal)
        with self._store.tenant_unit(principal.tenant_id) as unit:
            members = people.member_emails(unit)
            known = {one.email: one for one in rows.list_invitations(unit)}
            invited = {email: one for email, one in known.items() if one.expires_at > unit.now}
            wanted = [one for one in drafts if one.email not in members and one.email not in invited]
            if wanted and not dry_run:
                old = [known[one.email] for one in wanted if one.email in known]
                made = self._invitations.invite(unit, actor, wanted, replacing=old)
                invited |= {one.email: one for one in made}
                _tell(unit, actor, made)
        new = {one.email for one in wanted}
        return [
            RowResult(
                row=number,
                email=one.email,
                outcome="MEMBER_ALREADY"
                if one.email in members
                else "INVITED"
                if one.email in new
                else "INVITED_ALREADY",
                invitation_id=invited[one.email].invitation_id if one.email in invited else None,
            )
            for number, one in enumerate(drafts, 1)
        ]

    def write(self, members: Sequence[Member]) -> str:
        """The members as CSV, with a heading."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\r\n")
        writer.writerow(EXPORTED)
        for one in members:
            cells = (
                one.user_id,
                one.email,
                one.first_name,
                one.last_name,
                one.role,
                " ".join(one.scopes),
                "true" if one.is_active and one.is_user_active else "false",
                "true" if one.email_verified_at is not None else "false",
                one.created_at.isoformat().replace("+00:00", "Z"),
            )
            writer.writerow([harmless(cell) for cell in cells])
        return out.getvalue()


def _tell(unit: RowsUnit, actor: Actor, made: Sequence[Invitation]) -> None:
    """One event for all of them: an import holds the tenant's ledger no longer than a single change does."""
    after = {"count": len(made), "invitation_ids": [one.invitation_id for one in made]}
    record(unit, actor, AdminAction("members.imported", "member_import", made[0].invitation_id, after=after))


def _drafts(text: str, principal: Principal) -> list[Draft]:
    faults: list[CellError] = []
    drafts: list[Draft] = []
    seen: dict[str, int] = {}
    for number, cells in enumerate(_table(text), 1):
        draft = Draft(
            email=cells.get("email", ""),
            role=cells.get("role", "").strip().upper(),
            scopes=tuple(cells.get("scopes", "").split()),
            first_name=cells.get("first_name", ""),
            last_name=cells.get("last_name", ""),
        )
        try:
            draft = cleaned(draft)
            check_reach(principal, draft.role, draft.scopes)
        except (InvalidRequest, FlowError) as error:
            faults.append(CellError(number, error.field or "role", error.detail))
            continue
        if draft.email in seen:
            faults.append(CellError(number, "email", f"the address stands in row {seen[draft.email]} already"))
        seen.setdefault(draft.email, number)
        drafts.append(draft)
    if faults:
        raise BadTable(faults)
    return drafts


def _table(text: str) -> list[dict[str, str]]:
    """The rows by column. Raises InvalidRequest on a heading or a form that is no such table."""
    try:
        lines = [line for line in csv.reader(io.StringIO(text.removeprefix("\ufeff")), strict=True) if any(line)]
    except csv.Error as error:
        raise InvalidRequest(f"this is no CSV: {error}", field="csv") from None
    if len(lines) < 2:
        raise InvalidRequest(f"a heading and at least one row are needed; columns: {', '.join(COLUMNS)}", field="csv")
    if len(lines) > MOST_ROWS + 1:
        raise InvalidRequest(f"{len(lines) - 1} rows; at most {MOST_ROWS} go in one import", field="csv")
    heading = [name.strip().lower() for name in lines[0]]
    for name in heading:
        if name not in COLUMNS or heading.count(name) > 1:
            told = f"the column {name!r} is unknown or given twice; columns: {', '.join(COLUMNS)}"
            raise InvalidRequest(told, field="csv")
    if missing := [name for name in NEEDED if name not in heading]:
        raise InvalidRequest(f"the heading lacks {', '.join(missing)}", field="csv")
    for number, line in enumerate(lines[1:], 1):
        if len(line) != len(heading):
            raise BadTable([CellError(number, heading[0], f"{len(line)} cells; the heading has {len(heading)}")])
    return [dict(zip(heading, line, strict=True)) for line in lines[1:]]
