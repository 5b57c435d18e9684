"""The audit page: who did what, found by filters; the log to take along; and how each log's chain stands."""

from datetime import datetime
from typing import Any

import msgspec
from flask import Response, request
from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets
from oms_app.flow.audit_export import Exporter, Format
from oms_app.flow.audit_trail import AuditEntry, AuditPage, AuditTrail
from oms_app.flow.errors import FlowError
from oms_app.flow.scopes import Scope
from oms_app.store import audit_rows
from oms_app.store.audit_index import AuditFilter
from oms_app.store.audit_verifier import read_checkpoints
from oms_app.store.queries import InvalidCursor
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.ids import LedgerId, TenantId

FIELDS = ("actor", "action", "object_type", "object_id", "since", "before", "ledger_id")
ROWS = 50
ACTIONS = (
    "session.signed_in", "session.refused", "session.ended", "session.stepped_up", "second_factor.enrolled",
    "user.password_changed", "member.role_changed", "member.deactivated", "member.removed", "invitation.created",
    "invitation.accepted", "api_key.created", "api_key.rotated", "api_key.revoked", "tenant.settings_changed",
    "order_accepted", "order_denied", "order_filled",
)  # fmt: skip
"""What the field proposes; any other word may be typed."""
TYPES = {Format.CSV: "text/csv; charset=utf-8", Format.JSONL: "application/jsonl"}


class Chain(msgspec.Struct, frozen=True):
    """How the log of a ledger stands. vouched_*: what the last checkpoint says; None where none is seen from here.

    is_whole: the row that was vouched for last is still the same; None when there is nothing to compare.
    """

    ledger_id: str
    seq: int
    hash: str
    vouched_seq: int | None
    vouched_at: str
    is_whole: bool | None


class AuditPages:
    """The views of the audit trail."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sheets: Sheets) -> None:
        self._services = services
        self._store = services.store
        self._trail = AuditTrail(services.store)
        self._exporter = Exporter(services.store)
        self._rows = rows
        self._sheets = sheets

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        return (
            ("/audit", self.show_audit, Scope.VIEW_AUDIT, "GET"),
            ("/audit/export", self.export_audit, Scope.VIEW_AUDIT, "GET"),
        )

    def show_audit(self) -> ResponseReturnValue:
        """The page of what was asked for, newest first."""
        principal = caller().principal
        form = Form(values={name: request.args.get(name, "").strip() for name in FIELDS})
        found, status = AuditPage([], None, None), 200
        try:
            cursor = request.args.get("cursor") or None
            found = self._trail.search(principal, self._wanted(form), ROWS, cursor)
        except InvalidCursor:
            form, status = form.refused(InvalidRequest("the page is out of date; search again")), 422
        except (FlowError, KernelError) as error:
            form, status = form.refused(error), 422
        named = {one.actor for one in found.items}
        named |= {f"user:{one.object_id}" for one in found.items if one.object_type in ("member", "user")}
        response = self._sheets.page(
            "audit",
            entries=found.items,
            next_cursor=found.next_cursor,
            is_later=bool(request.args.get("cursor")),
            form=form,
            query={name: value for name, value in form.values.items() if value},
            people=self._rows.people(principal, named),
            members=self._services.members.list(principal),
            actions=ACTIONS,
            changed=changed,
            chains=[self._chain(one) for one in self._trail.ledgers(principal.tenant_id)],
        )
        response.status_code = status
        return response

    def export_audit(self) -> ResponseReturnValue:
        """A log as a file: whole, or what the filters let through."""
        principal = caller().principal
        form = Form(values={name: request.args.get(name, "").strip() for name in FIELDS})
        kind = Format.CSV if request.args.get("format") == Format.CSV else Format.JSONL
        wanted = self._wanted(form)
        ledgers = self._trail.ledgers(principal.tenant_id)
        asked = LedgerId(wanted.ledger_id or (ledgers[0] if len(ledgers) == 1 else ""))
        if asked not in ledgers:
            raise InvalidRequest("there is no such ledger", field="ledger_id")
        lines = self._exporter.lines(
            principal.tenant_id, asked, kind, wanted=msgspec.structs.replace(wanted, ledger_id=None)
        )
        response = Response(lines, mimetype=None, content_type=TYPES[kind])
        response.headers["Content-Disposition"] = f'attachment; filename="audit-{asked}.{kind}"'
        return response

    def _wanted(self, form: Form) -> AuditFilter:
        values = {name: value or None for name, value in form.values.items()}
        times: dict[str, datetime | None] = {
            name: forms.instant(values.pop(name) or "", name) for name in ("since", "before")
        }
        return AuditFilter(**values, **times)  # type: ignore[arg-type]

    def _chain(self, ledger_id: LedgerId) -> Chain:
        tenant_id: TenantId = caller().principal.tenant_id
        path = self._services.settings.audit_folder / f"{ledger_id}.jsonl"
        point: dict[str, Any] | None = None
        is_whole: bool | None = None
        try:
            points = read_checkpoints(path) if path.exists() else []
            point = points[-1] if points else None
        except (OSError, KernelError, FlowError, ValueError):
            is_whole = False
        with self._store.read_unit(tenant_id) as unit:
            head = audit_rows.head(unit, tenant_id, ledger_id) or audit_rows.Head(0, b"")
            if point is not None:
                known = audit_rows.hash_at(unit, tenant_id, ledger_id, int(point["seq"]))
                is_whole = known is not None and known.hex() == point["hash"]
        return Chain(
            ledger_id=ledger_id,
            seq=head.seq,
            hash=head.hash.hex(),
            vouched_seq=int(point["seq"]) if point is not None else None,
            vouched_at=str(point["at"]) if point is not None else "",
            is_whole=is_whole,
        )


def changed(entry: AuditEntry) -> list[str]:
    """The names of the values that the action made, took away or made different."""
    before, after = entry.before or {}, entry.after or {}
    return [name for name in {**before, **after} if before.get(name) != after.get(name)]
