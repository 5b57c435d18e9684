"""The audit trail: who did what, searched and exported; and a person's own data, exported and erased."""

from collections.abc import Iterator
from typing import Any

import msgspec
from flask import Response

from oms_app.api.audit_answers import audit_query, export_query
from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.json_text import plain
from oms_app.api.paging import DEFAULT_PAGE, page
from oms_app.api.paths import v1
from oms_app.api.problems import invalid, not_found
from oms_app.flow.audit_export import Exporter, Format, Range
from oms_app.flow.audit_trail import AuditTrail, held_to
from oms_app.flow.personal_data import PersonalData
from oms_app.flow.scopes import Scope
from oms_app.store.audit_index import AuditFilter
from oms_app.store.unit_of_work import UnknownLedger
from oms_kernel.domain.ids import LedgerId

_MEDIA = {Format.CSV: "text/csv; charset=utf-8", Format.JSONL: "application/x-ndjson"}


def search_audit(call: Call) -> Answer:
    """Search the audit trail, newest first: what happened to orders and everything else that people and keys did."""
    asked = call.query
    found = AuditTrail(call.services.store).search(
        call.principal,
        _filter(asked),
        asked.get("limit", DEFAULT_PAGE),
        asked.get("cursor"),
        with_total=bool(asked.get("with_total")),
    )
    items = [plain(msgspec.structs.asdict(entry)) for entry in found.items]
    return Answer(page(items, next_cursor=found.next_cursor, total_count=found.total_count))


def export_audit(call: Call) -> Answer:
    """Export the log of one ledger as JSONL or CSV, oldest first; without filters it can be verified elsewhere."""
    asked = call.query
    form = Format(asked.get("format", Format.JSONL).lower())
    ledger_id = _ledger(call, asked.get("ledger_id"))
    wanted = held_to(call.principal, msgspec.structs.replace(_filter(asked), ledger_id=None))
    try:
        lines = Exporter(call.services.store).lines(
            call.principal.tenant_id, ledger_id, form, Range(asked.get("from_seq", 1), asked.get("to_seq")), wanted
        )
    except UnknownLedger:
        raise not_found("ledger") from None
    return Answer(None, edit=_streaming(lines, form, ledger_id))


def export_own_data(call: Call) -> Answer:
    """Everything that is kept about the person who asks."""
    return Answer(plain(_personal(call).own(call.principal)))


def erase_personal_data(call: Call, user_id: str) -> Answer:
    """Erase a person: what the person wrote and whence, names and address. The audit trail stays whole."""
    _personal(call).erase_member(call.principal, call.actor, user_id)
    return Answer(None, 204)


def _personal(call: Call) -> PersonalData:
    return PersonalData(call.services.store, call.services.tenancy)


def _filter(asked: Any) -> AuditFilter:
    names = (
        "actor", "action", "kind", "object_type", "object_id", "account_id", "order_id", "request_id", "ledger_id",
    )  # fmt: skip
    return AuditFilter(**{name: asked.get(name) for name in names}, since=asked.get("from"), before=asked.get("to"))


def _ledger(call: Call, named: str | None) -> LedgerId:
    """The ledger that is named, or the tenant's only one."""
    known = AuditTrail(call.services.store).ledgers(call.principal.tenant_id)
    if named is not None:
        return LedgerId(named)
    if len(known) != 1:
        fix = f"name one of {', '.join(known)}" if known else "there is nothing to export yet"
        raise invalid("ledger_id", f"the tenant has {len(known)} ledgers", fix)
    return known[0]


def _streaming(lines: Iterator[bytes], form: Format, ledger_id: str) -> Any:
    def edit(response: Response) -> None:
        response.response = lines
        response.headers.pop("Content-Length", None)
        response.headers["Content-Type"] = _MEDIA[form]
        response.headers["Content-Disposition"] = f'attachment; filename="audit-{ledger_id}.{form.value}"'

    return edit


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/audit"),
        view=search_audit,
        scope=Scope.VIEW_AUDIT,
        tag="audit",
        query=audit_query(),
        answers={200: "AuditEntryList"},
    ),
    Endpoint(
        method="GET",
        path=v1("/audit/export"),
        view=export_audit,
        scope=Scope.VIEW_AUDIT,
        tag="audit",
        query=export_query(),
        answers={200: None},
        answers_csv=True,
        answers_lines=True,
        problems=(404,),
    ),
    Endpoint(
        method="GET",
        path=v1("/users/me/export"),
        view=export_own_data,
        scope=Access.AUTHENTICATED,
        tag="audit",
        answers={200: "PersonalData"},
        problems=(403, 404),
    ),
    Endpoint(
        method="DELETE",
        path=v1("/users/<uuid:user_id>/personal-data"),
        view=erase_personal_data,
        scope=Scope.ADMIN_TENANTS,
        tag="audit",
        answers={204: None},
        problems=(409,),
    ),
)
