"""What a file says of a tenant and what stands in the database in, the edits between them out; nothing is changed.

A limit of the file is the stored one with its `id`, else with its `name`, else the nameless one of the same rule and
scope. What the file does not name stays as it is, unless it is to be pruned.
"""

from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from oms_app.flow.errors import FlowError
from oms_app.flow.limit_draft import LimitDraft, check_draft, check_firm_scope, check_scope, draft_of
from oms_app.flow.limit_edits import Edit, EditKind, changed, created, ended, shelf_of
from oms_app.flow.limit_file import Entry, Faults, Section
from oms_app.flow.limit_names import Names
from oms_app.flow.loosening import loosened, loosened_settings
from oms_app.flow.tenant_settings import TenantSettings, checked, settings_of
from oms_app.store.limits import StoredLimit
from oms_app.store.tenants import get_tenant
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.registry import Registries

FIXES = {
    "rule": "`oms risk rules` shows those that are installed",
    "params": "`oms risk rules --json` shows each rule's parameters with their units",
    "effective_from": "write a time with its zone",
    "effective_until": "write a time with its zone",
}
_FIELDS = {"effective_from": "from", "effective_until": "until"}


class Plan(msgspec.Struct, frozen=True):
    """What a section changes. words: limit id -> its scope in the file's words, for people."""

    section: Section
    edits: tuple[Edit, ...]
    unchanged: int
    words: dict[str, dict[str, str]]


def make_plan(
    unit: RowsUnit,
    section: Section,
    registries: Registries,
    known_rules: frozenset[str],
    new_id: Callable[[], str],
    faults: Faults,
    *,
    prune: bool,
) -> Plan:
    """The edits of a section, ends first and settings last; what is wrong with it goes to `faults`."""
    names = Names(unit)
    stored = shelf_of(section.is_firm).stored_limits(unit)
    matches = _matched(section, stored, names, faults)
    edits: list[Edit] = []
    words: dict[str, dict[str, str]] = {}
    for entry, draft, found in matches:
        edit = _checked(unit, entry, draft, found, registries, new_id, faults)
        for one in edit:
            words[one.limit_id] = entry.words
        edits += edit
    claimed = {found.limit.limit_id for _entry, _draft, found in matches if found is not None}
    left = [one for one in stored if one.limit.limit_id not in claimed]
    if prune:
        edits += [ended(one) for one in left]
        words |= {one.limit.limit_id: names.words(one.limit.scope) for one in left}
    edits += _of_settings(unit, section, known_rules, faults)
    touched = {edit.limit_id for edit in edits}
    unchanged = sum(found is not None and found.limit.limit_id not in touched for _entry, _draft, found in matches)
    return Plan(section, tuple(sorted(edits, key=lambda edit: _ORDER.index(edit.kind))), unchanged, words)


_ORDER = (EditKind.END, EditKind.CHANGE, EditKind.CREATE, EditKind.SETTINGS)
Match = tuple[Entry, LimitDraft, StoredLimit | None]


def _matched(section: Section, stored: Sequence[StoredLimit], names: Names, faults: Faults) -> list[Match]:
    """Each limit of the file with the stored one that it means, if there is one."""
    drafts = [(entry, draft) for entry in section.limits if (draft := _draft(entry, names, faults)) is not None]
    by_id = {one.limit.limit_id: one for one in stored}
    by_name = {one.limit.name: one for one in stored if one.limit.name}
    seen: set[Any] = set()
    matches: list[Match] = []
    nameless: list[tuple[Entry, LimitDraft]] = []
    for entry, draft in drafts:
        key = entry.limit_id or entry.name or (draft.rule, draft.scope)
        if key in seen:
            faults.add(entry.path, "stands in the file twice", "give each limit a name of its own")
            continue
        seen.add(key)
        if entry.limit_id and entry.limit_id not in by_id:
            faults.add(f"{entry.path}.id", f"there is no limit {entry.limit_id}", "leave it out to make a new limit")
        found = by_id.get(entry.limit_id) if entry.limit_id else by_name.get(entry.name)
        if found is None and not entry.limit_id:
            nameless.append((entry, draft))
        else:
            matches.append((entry, draft, found))
    taken = {found.limit.limit_id for _entry, _draft, found in matches if found is not None}
    for entry, draft in nameless:
        alike = [
            one
            for one in stored
            if (one.limit.rule, one.limit.scope, one.limit.name) == (draft.rule, draft.scope, "")
            and one.limit.limit_id not in taken
        ]
        if len(alike) > 1 and not entry.name:
            ids = ", ".join(one.limit.limit_id for one in alike)
            faults.add(entry.path, f"{len(alike)} stored limits have this rule and scope: {ids}", "write `id:` of one")
        found = alike[0] if alike else None
        if found is not None:
            taken.add(found.limit.limit_id)
        matches.append((entry, draft, found))
    return matches


def _draft(entry: Entry, names: Names, faults: Faults) -> LimitDraft | None:
    try:
        scope = names.scope(entry.words)
    except InvalidRequest as error:
        faults.add(f"{entry.path}.{error.field}", error.detail, "name one that there is")
        return None
    return LimitDraft(
        rule=entry.rule,
        params=entry.params,
        name=entry.name,
        scope=scope,
        severity=entry.severity,
        action=entry.action,
        effective_from=entry.effective_from,
        effective_until=entry.effective_until,
    )


def _checked(
    unit: RowsUnit,
    entry: Entry,
    draft: LimitDraft,
    found: StoredLimit | None,
    registries: Registries,
    new_id: Callable[[], str],
    faults: Faults,
) -> list[Edit]:
    """The edits of one limit: none when it says what is stored."""
    before = draft_of(found.limit) if found is not None else None
    try:
        check_draft(draft, registries, unit.now, before)
        if draft.scope.is_firm:
            check_firm_scope(unit, draft.scope)
        else:
            check_scope(unit, draft.scope)
    except (KernelError, FlowError) as error:
        field = error.field or ""
        fix = getattr(error, "fix", None) or FIXES.get(field.partition(".")[0], "correct it")
        name = _FIELDS.get(field, field.removesuffix("_id"))
        faults.add(f"{entry.path}.{name}" if name else entry.path, error.detail, fix)
        return []
    if found is None or before is None:
        return [created(new_id(), draft)]
    if before.rule != draft.rule:
        return [ended(found), created(new_id(), draft)]
    if _is_same(registries, before, draft):
        return []
    return [changed(found, draft, loosened(before, draft, unit.now))]


def _is_same(registries: Registries, before: LimitDraft, after: LimitDraft) -> bool:
    """Whether both say the same; numbers are compared as numbers."""
    if msgspec.structs.replace(before, params={}) != msgspec.structs.replace(after, params={}):
        return False
    if before.params == after.params:
        return True
    for registry in (registries.compliance_checks, registries.risk_rules, registries.monitors):
        if after.rule in registry:
            contributed = registry[after.rule].contributed
            try:
                return bool(parse_params(contributed, before.params) == parse_params(contributed, after.params))
            except InvalidRequest:
                return False
    return False


def _of_settings(unit: RowsUnit, section: Section, known_rules: frozenset[str], faults: Faults) -> list[Edit]:
    if not section.settings:
        return []
    tenant = get_tenant(unit)
    stored = dict(tenant.settings) if tenant is not None else {}
    before = settings_of(stored)
    path = f"{section.path}.settings" if section.path else "settings"
    asked = {name: value for name, value in stored.items() if name in TenantSettings.__struct_fields__}
    try:
        after = settings_of(checked({**asked, **section.settings}, stored, known_rules))
    except InvalidRequest as error:
        faults.add(f"{path}.{(error.field or '').removeprefix('settings.')}", error.detail, "correct it")
        return []
    differing = [name for name in section.settings if getattr(before, name) != getattr(after, name)]
    if not differing:
        return []
    return [
        Edit(
            EditKind.SETTINGS,
            before={name: _plain(getattr(before, name)) for name in differing},
            after={name: _plain(getattr(after, name)) for name in differing},
            loosens=loosened_settings(before, after),
        )
    ]


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
