"""A file of limits in, the difference to what is stored out; applied in one transaction, and nothing twice.

Where the tenant wants a second person for limits, new limits come into force at once and all other edits of a section
wait together for the approval of another person.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import msgspec
import yaml

from oms_app.flow.audit import Actor
from oms_app.flow.errors import NotPermitted
from oms_app.flow.limit_changes import LimitChanges, check_reach
from oms_app.flow.limit_draft import draft_of
from oms_app.flow.limit_edits import Edit, EditKind, carry_out, shown_edit
from oms_app.flow.limit_file import FORM, RISK_SETTINGS, Faults, Section, sections_of
from oms_app.flow.limit_names import Names
from oms_app.flow.limit_plan import Plan, make_plan
from oms_app.flow.limits import Proof, needs_second_person, no_proof
from oms_app.flow.principal import Principal
from oms_app.flow.rule_catalogue import rule_names
from oms_app.flow.scopes import Scope
from oms_app.flow.tenant_settings import settings_of
from oms_app.flow.yaml_text import Document
from oms_app.store import admin_log, firm_limits, limits, tenants
from oms_app.store.limits import StoredLimit
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import get_tenant, lock_tenant
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId
from oms_kernel.registry import Registries


class SectionResult(msgspec.Struct, frozen=True):
    """What became, or would become, of a section. tenant: its slug; empty for the firm.

    waiting: the edits that wait for a second person. change_id: under which they wait; empty for a dry run.
    """

    tenant: str
    is_firm: bool
    edits: tuple[Edit, ...]
    waiting: tuple[Edit, ...]
    unchanged: int
    words: dict[str, dict[str, str]]
    change_id: str = ""


class LimitFiles:
    """Applies and exports files of limits. Thread-safe.

    is_superuser: whether a principal runs the platform; only such a one reaches the firm and other tenants.
    """

    def __init__(
        self,
        store: SqlStore,
        registries: Registries,
        new_id: Callable[[], str],
        changes: LimitChanges,
        is_superuser: Callable[[Principal], bool],
    ) -> None:
        self._store = store
        self._registries = registries
        self._new_id = new_id
        self._changes = changes
        self._is_superuser = is_superuser

    def apply(
        self,
        principal: Principal,
        actor: Actor,
        document: Document,
        *,
        tenant_id: TenantId | None,
        dry_run: bool,
        prune: bool = False,
        reason: str = "",
        before_loosening: Proof = no_proof,
        is_operator: bool = False,
    ) -> list[SectionResult]:
        """What became of each section; dry_run: what would. All or nothing. Raises BadLimits, NotPermitted.

        tenant_id: whose limits stand at the top of the file. is_operator: whoever works on the machine itself.
        """
        check_reach(principal)
        sections = sections_of(document)
        if not is_operator:
            self._check_reach(principal, sections)
        faults = Faults(document)
        targets = [(section, self._target(section, tenant_id, faults)) for section in sections]
        faults.check()
        opened = self._store.read_unit(None) if dry_run else self._store.platform_unit()
        with opened as unit:
            if not dry_run:
                _hold(unit, [target for _section, target in targets])
            plans = [self._planned(unit, section, target, faults, prune) for section, target in targets]
            faults.check()
            _check_settings(principal, [edit for plan in plans for edit in plan.edits])
            results = [
                self._carried_out(unit, actor, plan, target, reason, before_loosening, dry_run=dry_run)
                for plan, (_section, target) in zip(plans, targets, strict=True)
            ]
        return results

    def export(self, tenant_ids: Sequence[TenantId], *, with_firm: bool, at_top: bool = False) -> str:
        """The limits and risk settings in force as a file that, applied, changes nothing. at_top: of one tenant."""
        told: dict[str, Any] = {"version": FORM}
        if with_firm:
            with self._store.read_unit(None) as unit:
                told["firm"] = {"limits": _told(firm_limits.stored_limits(unit), Names(unit))}
        sections: dict[str, Any] = {}
        for tenant_id in tenant_ids:
            with self._store.read_unit(tenant_id) as unit:
                slug, section = _section_of(unit)
                sections[slug] = section
        if at_top:
            told |= next(iter(sections.values()), {})
        elif sections:
            told["tenants"] = sections
        return yaml.safe_dump(told, sort_keys=False, allow_unicode=True, width=120)

    def _check_reach(self, principal: Principal, sections: Sequence[Section]) -> None:
        """Nothing, when the sections are the principal's own; whether another tenant exists is told to superusers."""
        with self._store.read_unit(principal.tenant_id) as unit:
            tenant = get_tenant(unit)
        own = ("", tenant.slug if tenant is not None else "")
        if any(one.is_firm or one.tenant not in own for one in sections) and not self._is_superuser(principal):
            raise NotPermitted(
                "the file is about the firm or another tenant, which only superusers of the platform reach",
                fix="keep the limits of your own tenant in the file",
            )

    def _target(self, section: Section, tenant_id: TenantId | None, faults: Faults) -> TenantId | None:
        """Whose limits the section is about; None: the firm's."""
        if section.is_firm:
            return None
        if not section.tenant:
            if tenant_id is None:
                faults.add("limits", "belong to no tenant", "name it with --tenant, or write them under tenants: slug:")
            return tenant_id
        with self._store.read_unit(None) as unit:
            found = tenants.find_tenant(unit, slug=section.tenant)
        if found is None:
            faults.add(section.path, "there is no such tenant", "write the slug of one; `oms tenants list` shows them")
        return found

    def _planned(self, unit: RowsUnit, section: Section, target: TenantId | None, faults: Faults, prune: bool) -> Plan:
        with _of(unit, target) as own:
            known = rule_names(self._registries)
            return make_plan(own, section, self._registries, known, self._new_id, faults, prune=prune)

    def _carried_out(
        self,
        unit: RowsUnit,
        actor: Actor,
        plan: Plan,
        target: TenantId | None,
        reason: str,
        before_loosening: Proof,
        *,
        dry_run: bool,
    ) -> SectionResult:
        with _of(unit, target) as own:
            slug = ""
            waiting: list[Edit] = []
            if target is not None:
                tenant = get_tenant(own)
                slug = tenant.slug if tenant is not None else ""
                if needs_second_person(own):
                    waiting = [edit for edit in plan.edits if _waits(edit)]
            direct = [edit for edit in plan.edits if edit not in waiting]
            change_id = ""
            if not dry_run:
                if any(edit.loosens for edit in direct):
                    before_loosening()
                if waiting:
                    change_id = self._changes.ask(own, actor, waiting, reason).change_id
                for edit in direct:
                    carry_out(own, actor, edit, note=reason)
        return SectionResult(
            tenant=slug,
            is_firm=target is None,
            edits=tuple(direct),
            waiting=tuple(waiting),
            unchanged=plan.unchanged,
            words=plan.words,
            change_id=change_id,
        )


def shown_section(result: SectionResult) -> dict[str, Any]:
    """What became of a section as JSON values for people and programs."""
    return {
        "tenant": result.tenant,
        "edits": [shown_edit(edit) for edit in result.edits],
        "waiting": [shown_edit(edit) for edit in result.waiting],
        "unchanged": result.unchanged,
        "change_id": result.change_id,
    }


def _waits(edit: Edit) -> bool:
    """Whether a second person decides: over all but new limits, and over settings that take a safeguard away."""
    return bool(edit.loosens) if edit.kind is EditKind.SETTINGS else edit.kind is not EditKind.CREATE


@contextmanager
def _of(unit: RowsUnit, target: TenantId | None) -> Iterator[RowsUnit]:
    if target is None:
        yield unit
        return
    with admin_log.within(unit, target) as own:
        yield own


def _hold(unit: RowsUnit, targets: Sequence[TenantId | None]) -> None:
    """Lock what will be changed, always in the same order: tenants, then ledgers."""
    owners = sorted({target for target in targets if target is not None})
    for target in owners:
        with admin_log.within(unit, target) as own:
            lock_tenant(own)
    if None in targets:
        firm_limits.every_config_changed(unit)
    elif len(owners) > 1:
        firm_limits.hold_ledgers(unit, owners)


def _check_settings(principal: Principal, edits: Sequence[Edit]) -> None:
    if any(edit.kind is EditKind.SETTINGS for edit in edits) and Scope.ADMIN_TENANTS not in principal.scopes:
        raise NotPermitted(
            f"settings of the tenant need the scope {Scope.ADMIN_TENANTS} as well",
            field="settings",
            fix="leave them out, or let an administrator apply the file",
        )


def _section_of(unit: RowsUnit) -> tuple[str, dict[str, Any]]:
    tenant = get_tenant(unit)
    settings = settings_of(tenant.settings if tenant is not None else {})
    told = msgspec.json.decode(msgspec.json.encode({name: getattr(settings, name) for name in RISK_SETTINGS}))
    return tenant.slug if tenant is not None else "", {
        "settings": told,
        "limits": _told(limits.stored_limits(unit), Names(unit)),
    }


def _told(stored: Sequence[StoredLimit], names: Names) -> list[dict[str, Any]]:
    """The limits in the file's words; an id only where neither name nor rule and scope tell which one it is."""
    keys = [(one.limit.rule, one.limit.scope) for one in stored if not one.limit.name]
    told = []
    for one in stored:
        draft = draft_of(one.limit)
        is_ambiguous = not draft.name and keys.count((draft.rule, draft.scope)) > 1
        dates = {"from": draft.effective_from, "until": draft.effective_until}
        told.append(
            {
                **({"id": one.limit.limit_id} if is_ambiguous else {}),
                **({"name": draft.name} if draft.name else {}),
                "rule": draft.rule,
                **names.words(draft.scope),
                "severity": draft.severity.value,
                **({"action": draft.action.value} if draft.action is not None else {}),
                **{word: at.isoformat().replace("+00:00", "Z") for word, at in dates.items() if at is not None},
                **({"params": draft.params} if draft.params else {}),
            }
        )
    return told
