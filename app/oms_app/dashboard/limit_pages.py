"""The pages of limits: listed, made, changed and ended with a form of the rule's own parameters."""

from datetime import datetime
from typing import Any

import msgspec
from flask import request
from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.param_form import ParamField, fields_of, form_field, read_params, texts_of
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.scope_names import FIELDS, ScopeNames, choices, reach_of
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets, acting
from oms_app.dashboard.ticket import Fault
from oms_app.flow.errors import FlowError
from oms_app.flow.identity import StepUpRequired
from oms_app.flow.limit_draft import LimitDraft
from oms_app.flow.rule_catalogue import RuleFacts, catalogue
from oms_app.flow.rulebook import terms_of
from oms_app.flow.scopes import Scope
from oms_app.flow.strategies import UnknownThing
from oms_app.store.limit_changes import LimitChange
from oms_app.store.limits import StoredLimit
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.scope import ScopeLevel

LIMITS = "/risk/limits"
LIMIT = f"{LIMITS}/<uuid:limit_id>"
TERMS = ("name", "severity", "action", "effective_from", "effective_until", "reason", *FIELDS)
FILTERS = ("rule", "level", "severity")
SEVERITIES = (
    (RuleSeverity.HARD, "Hard: denies the order"),
    (RuleSeverity.SOFT, "Soft: holds it for an approval"),
    (RuleSeverity.SHADOW, "Shadow: only writes down what it would do"),
)
CHIPS = {"HARD": ("Hard", "bad"), "SOFT": ("Soft", "waiting"), "SHADOW": ("Shadow", "over")}


class LimitPages:
    """The views of limits."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sheets: Sheets) -> None:
        self._services = services
        self._limits = services.limits
        self._sessions = services.identity.sessions
        self._names = ScopeNames(services.store)
        self._facts = {one.name: one for one in catalogue(services.registries)}
        self._rows = rows
        self._sheets = sheets

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        act = Scope.MANAGE_RISK
        return (
            (LIMITS, self.show_limits, Scope.VIEW_ORDERS, "GET"),
            (LIMITS, self.create_limit, act, "POST"),
            (f"{LIMITS}/new", self.show_new_limit, act, "GET"),
            (LIMIT, self.show_limit, Scope.VIEW_ORDERS, "GET"),
            (f"{LIMIT}/change", self.change_limit, act, "POST"),
            (f"{LIMIT}/end", self.end_limit, act, "POST"),
        )

    def show_limits(self) -> ResponseReturnValue:
        """The firm's limits and the tenant's that pass the filters."""
        principal, asked = caller().principal, request.args
        form = Form(values={name: asked.get(name, "").strip() for name in FILTERS})
        found = [one for one in self._limits.list(principal) if _passes(one, form.values)]
        return self._sheets.page(
            "limits",
            limits=found,
            in_force={one.limit.limit_id for one in found if self._holds(one)},
            names=self._names.of(principal, [one.limit.scope for one in found]),
            people=self._rows.people(principal, (one.limit.updated_by for one in found)),
            facts=self._facts,
            rules=sorted(self._facts),
            levels=list(ScopeLevel),
            severities=SEVERITIES,
            chips=CHIPS,
            form=form,
        )

    def show_new_limit(self) -> ResponseReturnValue:
        """The form for a limit of the rule that the address names."""
        rule = request.args.get("rule", "")
        return self._sheets.page("limit_new", **self._new(self._fact(rule) if rule else None))

    def create_limit(self) -> ResponseReturnValue:
        """Make a limit; it is in force from the next order on."""
        fact = self._fact(request.form.get("rule", ""))
        fields, form = self._read(fact)
        try:
            draft = LimitDraft(rule=fact.name, **self._values(form, fields))
            if draft.scope.is_firm:
                self._services.tenancy.require_superuser(caller().principal)
            reason = form.values["reason"]
            made = self._limits.create(caller().principal, acting(), draft, reason=reason, is_firm=draft.scope.is_firm)
        except StepUpRequired:
            raise
        except (FlowError, KernelError) as error:
            return self._sheets.board("limit_new", status=422, **self._new(fact, _refused(form, error)))
        return self._sheets.board("limit", "The limit is in force.", **self._one(made))

    def show_limit(self, limit_id: str) -> ResponseReturnValue:
        """One limit with the form that changes it."""
        return self._sheets.page("limit", **self._one(self._found(limit_id)))

    def change_limit(self, limit_id: str) -> ResponseReturnValue:
        """Change it, or let the change wait for a second person."""
        known = self._found(limit_id)
        fields, form = self._read(self._fact(known.limit.rule))
        is_firm = self._for_the_firm(known)
        try:
            values = self._values(form, fields, known.limit.params)
            if is_firm != values["scope"].is_firm:
                raise InvalidRequest("a limit stays the firm's or the tenant's: make another", field="reach")
            version = forms.count(request.form.get("version", ""), "version")
            outcome = self._limits.change(
                caller().principal, acting(), limit_id, values, version=version, reason=form.values["reason"],
                before_loosening=self._prove, is_firm=is_firm,
            )  # fmt: skip
        except StepUpRequired:
            raise
        except (FlowError, KernelError) as error:
            return self._sheets.board("limit", status=422, **self._one(known, _refused(form, error)))
        return self._done(limit_id, outcome, "The limit is changed.")

    def end_limit(self, limit_id: str) -> ResponseReturnValue:
        """End it, or let that wait for a second person."""
        known = self._found(limit_id)
        is_firm = self._for_the_firm(known)
        reason = request.form.get("reason", "").strip()
        try:
            outcome = self._limits.end(
                caller().principal, acting(), limit_id, reason=reason, before_loosening=self._prove, is_firm=is_firm
            )
        except StepUpRequired:
            raise
        except (FlowError, KernelError) as error:
            form = msgspec.structs.replace(self._form_of(known), problem=Fault(forms.sentence(error.detail)))
            return self._sheets.board("limit", status=422, **self._one(known, form))
        return self._done(limit_id, outcome, "The limit is ended.")

    def _done(self, limit_id: str, outcome: StoredLimit | LimitChange, said: str) -> ResponseReturnValue:
        if isinstance(outcome, LimitChange):
            said = "Another person has to approve that. Nothing is changed yet."
        return self._sheets.board("limit", said, **self._one(self._found(limit_id)))

    def _prove(self) -> None:
        self._sessions.require_step_up(caller())

    def _for_the_firm(self, known: StoredLimit) -> bool:
        """Whether it is a limit of the firm, which only superusers change. Raises NotPermitted."""
        if known.limit.scope.is_firm:
            self._services.tenancy.require_superuser(caller().principal)
        return known.limit.scope.is_firm

    def _found(self, limit_id: str) -> StoredLimit:
        return self._limits.get(caller().principal, limit_id)

    def _fact(self, rule: str) -> RuleFacts:
        if rule not in self._facts:
            raise UnknownThing("no loaded plugin provides this rule")
        return self._facts[rule]

    def _holds(self, stored: StoredLimit) -> bool:
        return stored.is_active and terms_of(stored.limit).holds(self._services.clock())

    def _read(self, fact: RuleFacts) -> tuple[list[ParamField], Form]:
        fields = fields_of(fact.params_schema)
        return fields, forms.read(*TERMS, *(one.key for one in fields))

    def _values(self, form: Form, fields: list[ParamField], before: dict[str, Any] | None = None) -> dict[str, Any]:
        """The values of a LimitDraft that the form holds, without the rule."""
        values = form.values
        scope, _ = self._names.chosen(form, self._names.of(caller().principal))
        return {
            "params": read_params(fields, values, before),
            "name": values["name"],
            "scope": scope,
            "severity": _word(RuleSeverity, values["severity"], "severity"),
            "action": _word(Action, values["action"], "action") if values["action"] else None,
            "effective_from": forms.instant(values["effective_from"], "effective_from"),
            "effective_until": forms.instant(values["effective_until"], "effective_until"),
        }

    def _form_of(self, stored: StoredLimit) -> Form:
        row = stored.limit
        names = self._names.of(caller().principal, [row.scope])
        fact = self._facts.get(row.rule)
        params = texts_of(fields_of(fact.params_schema), row.params) if fact is not None else {}
        terms = {
            "name": row.name,
            "severity": row.severity.value,
            "action": row.action.value if row.action is not None else "",
            "effective_from": _local(row.effective_from),
            "effective_until": _local(row.effective_until),
            "reason": "",
            "reach": reach_of(row.scope),
            "symbol": names.symbols.get(row.scope.instrument_id or "", ""),
        }
        return Form(values={**params, **terms})

    def _new(self, fact: RuleFacts | None, form: Form | None = None) -> dict[str, Any]:
        fields = fields_of(fact.params_schema) if fact is not None else []
        empty = Form(values={**dict.fromkeys(TERMS, ""), "severity": "HARD", **texts_of(fields, {})})
        return {"fact": fact, "facts": list(self._facts.values()), "form": form or empty, **self._parts(fact)}

    def _one(self, stored: StoredLimit, form: Form | None = None) -> dict[str, Any]:
        row, principal = stored.limit, caller().principal
        fact = self._facts.get(row.rule)
        is_superuser = self._services.tenancy.is_superuser(principal)
        return {
            "limit": row,
            "stored": stored,
            "fact": fact,
            "holds": self._holds(stored),
            "names": self._names.of(principal, [row.scope]),
            "people": self._rows.people(principal, [row.updated_by]),
            "may_change": Scope.MANAGE_RISK in principal.scopes
            and stored.is_active
            and not row.limit_id.startswith("env:")
            and (is_superuser or not row.scope.is_firm),
            "form": form or self._form_of(stored),
            **self._parts(fact),
        }

    def _parts(self, fact: RuleFacts | None) -> dict[str, Any]:
        """What forms of limits are made of."""
        principal = caller().principal
        is_superuser = self._services.tenancy.is_superuser(principal)
        return {
            "fields": fields_of(fact.params_schema) if fact is not None else [],
            "choices": choices(self._names.of(principal), principal, is_superuser=is_superuser),
            "symbols": [one.symbol for one in self._rows.market().instruments],
            "severities": SEVERITIES,
            "chips": CHIPS,
            "actions": list(Action),
        }


def _passes(stored: StoredLimit, wanted: Any) -> bool:
    row = stored.limit
    facts = {"rule": row.rule, "level": row.scope.level, "severity": row.severity}
    return all(wanted[name] in ("", value) for name, value in facts.items())


def _refused(form: Form, error: FlowError | KernelError) -> Form:
    """The form after an error, which names a parameter as the rule does."""
    field = form_field(error.field or "")
    if field in form.values:
        return msgspec.structs.replace(form, faults={field: Fault(forms.sentence(error.detail))})
    return form.refused(error)


def _word(words: Any, text: str, field: str) -> Any:
    try:
        return words(text)
    except ValueError:
        raise InvalidRequest("choose one of the list", field=field) from None


def _local(at: datetime | None) -> str:
    return at.strftime("%Y-%m-%dT%H:%M") if at is not None else ""
