"""Edits of limits in, rows and the audit trail out, in one transaction, whoever asked: a person, a file or two persons.

An edit says what it found before: it is carried out only while that still holds, else StateConflict.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any, Protocol

import msgspec

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.limit_draft import LimitDraft, as_values, draft_of, from_values
from oms_app.flow.strategies import StateConflict
from oms_app.flow.tenant_settings import TenantSettings, checked
from oms_app.store import auth_epochs, firm_limits, limits, tenants
from oms_app.store.limits import StoredLimit
from oms_app.store.tenants import config_changed, get_tenant
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import AccountId

LONGEST_WHO = 100
IDS = ("account_id", "strategy_id", "instrument_id")
"""Of a scope."""


class EditKind(StrEnum):
    """What an edit does."""

    CREATE = "CREATE"
    CHANGE = "CHANGE"
    END = "END"
    SETTINGS = "SETTINGS"
    """Changes what the tenant decided for itself about risk."""


class Edit(msgspec.Struct, frozen=True, omit_defaults=True):
    """One change. before, after: all that the limit said and is to say, as flat JSON values; of SETTINGS what changes.

    version: of the limit that was found. loosens: the fields that let more through; `ended` for a limit that is ended.
    """

    kind: EditKind
    limit_id: str = ""
    version: int = 0
    before: dict[str, Any] = {}
    after: dict[str, Any] = {}
    is_firm: bool = False
    loosens: tuple[str, ...] = ()

    @property
    def fields(self) -> list[tuple[str, Any, Any]]:
        """(field, old, new) of everything that differs; parameters one by one."""
        before, after = _flat(self.before), _flat(self.after)
        names = list(dict.fromkeys([*before, *after]))
        differing = [(name, before.get(name), after.get(name)) for name in names]
        return [one for one in differing if one[1] != one[2] and (one[1] or one[2]) not in ("", {}, None)]


class Shelf(Protocol):
    """Where limits are kept: the tenant's table, or the firm's."""

    def put_limit(self, unit: RowsUnit, limit_id: str, *, rule: str, params: dict[str, Any], **terms: Any) -> int: ...
    def end_limit(self, unit: RowsUnit, limit_id: str, *, updated_by: str = "") -> bool: ...
    def stored_limits(self, unit: RowsUnit, *, with_ended: bool = False) -> list[StoredLimit]: ...
    def stored_limit(self, unit: RowsUnit, limit_id: str) -> StoredLimit | None: ...


def shelf_of(is_firm: bool) -> Shelf:
    """The table of the firm, or of tenants."""
    shelf: Any = firm_limits if is_firm else limits
    found: Shelf = shelf
    return found


def carry_out(unit: RowsUnit, actor: Actor, edit: Edit, *, note: str = "", asked_by: str = "") -> str:
    """The id of the limit, once the edit and the event that tells of it are in the unit. Raises StateConflict.

    asked_by: who asked, when `actor` approved it.
    """
    if edit.kind is EditKind.SETTINGS:
        _change_settings(unit, actor, edit, note, asked_by)
        return ""
    shelf, who = shelf_of(edit.is_firm), (asked_by or actor.principal_id)[:LONGEST_WHO]
    found = shelf.stored_limit(unit, edit.limit_id)
    if edit.kind is not EditKind.CREATE and (found is None or not found.is_active):
        raise StateConflict(f"limit {edit.limit_id} has been ended since")
    if found is not None and (edit.kind is EditKind.CREATE or found.limit.version != edit.version):
        raise StateConflict(
            f"limit {edit.limit_id} was changed since: version {found.limit.version} instead of {edit.version}"
        )
    if edit.kind is EditKind.END:
        shelf.end_limit(unit, edit.limit_id, updated_by=who)
    else:
        draft = from_values(edit.after)
        _check_name(shelf.stored_limits(unit), draft, edit.limit_id)
        shelf.put_limit(unit, edit.limit_id, **msgspec.structs.asdict(draft), updated_by=who)
    _tell(unit, actor, edit, note, asked_by)
    return edit.limit_id


def created(limit_id: str, draft: LimitDraft) -> Edit:
    """The edit that makes a limit."""
    return Edit(EditKind.CREATE, limit_id, after=as_values(draft), is_firm=draft.scope.is_firm)


def changed(stored: StoredLimit, draft: LimitDraft, loosens: tuple[str, ...]) -> Edit:
    """The edit that changes a limit."""
    row = stored.limit
    before = as_values(draft_of(row))
    return Edit(
        EditKind.CHANGE, row.limit_id, row.version, before, as_values(draft), row.scope.is_firm, loosens=loosens
    )


def ended(stored: StoredLimit) -> Edit:
    """The edit that ends a limit."""
    row = stored.limit
    before = as_values(draft_of(row))
    return Edit(EditKind.END, row.limit_id, row.version, before, is_firm=row.scope.is_firm, loosens=("ended",))


def shown_edit(edit: Edit) -> dict[str, Any]:
    """An edit as JSON values for people and programs."""
    values = edit.after or edit.before
    return {
        "kind": edit.kind,
        "limit_id": edit.limit_id,
        "name": values.get("name", ""),
        "rule": values.get("rule", ""),
        **{name: values.get(name) for name in IDS},
        "fields": [{"field": field, "before": old, "after": new} for field, old, new in edit.fields],
        "loosens": list(edit.loosens),
    }


def as_rows(edits: Sequence[Edit]) -> list[dict[str, Any]]:
    """The edits as a waiting change keeps them."""
    rows: list[dict[str, Any]] = msgspec.json.decode(msgspec.json.encode(list(edits)))
    return rows


def from_rows(rows: Sequence[dict[str, Any]]) -> list[Edit]:
    """The edits of a waiting change."""
    return msgspec.convert(list(rows), list[Edit])


def _check_name(stored: Sequence[StoredLimit], draft: LimitDraft, limit_id: str) -> None:
    for other in stored:
        if draft.name and other.limit.name == draft.name and other.limit.limit_id != limit_id:
            raise StateConflict(f"another limit bears the name {draft.name!r}; choose another", field="name")


def _change_settings(unit: RowsUnit, actor: Actor, edit: Edit, note: str, asked_by: str) -> None:
    tenant = get_tenant(unit)
    stored = dict(tenant.settings) if tenant is not None else {}
    wanted = checked({**_known(stored), **edit.after}, stored)
    tenants.set_tenant_settings(unit, wanted)
    config_changed(unit)
    action = AdminAction(
        "tenant.settings_changed",
        "tenant",
        str(unit.tenant_id),
        before=edit.before,
        after={**edit.after, **({"asked_by": asked_by} if asked_by else {})},
        note=note,
    )
    record(unit, actor, action)
    auth_epochs.bump(unit, str(unit.tenant_id))


def _known(stored: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in stored.items() if name in TenantSettings.__struct_fields__}


def _tell(unit: RowsUnit, actor: Actor, edit: Edit, note: str, asked_by: str) -> None:
    values = edit.after or edit.before
    account_id = values.get("account_id")
    after = {**edit.after, **({"asked_by": asked_by} if asked_by else {})}
    action = AdminAction(
        f"{'firm_limit' if edit.is_firm else 'limit'}.{_DONE[edit.kind]}",
        "firm_limit" if edit.is_firm else "limit",
        edit.limit_id,
        before=edit.before or None,
        after=after or None,
        note=note,
        account_id=AccountId(account_id) if account_id else None,
    )
    record(unit, actor, action)


def _flat(values: dict[str, Any]) -> dict[str, Any]:
    rest = {name: value for name, value in values.items() if name != "params"}
    return {**rest, **{f"params.{name}": value for name, value in values.get("params", {}).items()}}


_DONE = {EditKind.CREATE: "created", EditKind.CHANGE: "changed", EditKind.END: "ended"}
