"""What people do about breaches: one page for each with its notes and evidence; risk and compliance have their own."""

from typing import Any

import msgspec
from flask import request
from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.scope_names import ScopeNames
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets
from oms_app.flow.breaches import Breaches, Finding
from oms_app.flow.errors import FlowError, UnknownBreach
from oms_app.flow.identity import StepUpRequired
from oms_app.flow.scopes import Scope
from oms_app.store import queries
from oms_app.store.queries import BreachFilter, BreachView, InvalidCursor, Paging
from oms_app.store.queries.evidence import breach_evidence
from oms_kernel.domain.controls import Category
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.ids import EventId, LedgerId

BREACH = "/risk/breaches/<uuid:breach_id>"
CASE = "/compliance/<uuid:breach_id>"
FINDINGS = (
    (Finding.JUSTIFIED, "Justified: what had to be done is done"),
    (Finding.EXPECTED, "Expected: known beforehand and accepted"),
    (Finding.FALSE_ALARM, "False alarm: the limit or its data was wrong"),
    (Finding.VIOLATION, "Violation: the case goes on elsewhere"),
)
STATUSES = {"OPEN": ("Open", "bad"), "ASSIGNED": ("Assigned", "waiting"), "CLOSED": ("Closed", "done")}
FIELDS = ("assigned_to", "text", "finding")
PAGE = 50


class CasePages:
    """The views of breaches of one category; `base` is the path before a breach's id."""

    category = Category.RISK
    base = "/risk/breaches"
    acting_scope = Scope.MANAGE_RISK

    def __init__(self, services: DashboardServices, rows: DeskRows, sheets: Sheets) -> None:
        self._store = services.store
        self._breaches: Breaches = services.breaches
        self._members = services.members
        self._names = ScopeNames(services.store)
        self._rows = rows
        self._sheets = sheets

    def _page(self, breach_id: str) -> ResponseReturnValue:
        return self._sheets.page("case", **self._one(self._found(breach_id)))

    def _act(self, breach_id: str, what: str) -> ResponseReturnValue:
        """assign, note or close; answers with the page as it is now."""
        form, principal = forms.read(*FIELDS), caller().principal
        known = self._found(breach_id)
        at = (principal, LedgerId(known.ledger_id), EventId(breach_id), self.category)
        text = form.values["text"]
        try:
            if what == "assign":
                self._breaches.assign(*at, assigned_to=form.values["assigned_to"], text=text)
            elif what == "note":
                self._breaches.note(*at, text)
            else:
                self._breaches.close(*at, _finding(form.values["finding"]), text)
        except StepUpRequired:
            raise
        except (FlowError, KernelError) as error:
            return self._sheets.board("case", status=422, **self._one(known, form.refused(error)))
        done = {"assign": "It is assigned.", "note": "The note is kept.", "close": "It is closed."}[what]
        return self._sheets.board("case", done, **self._one(self._found(breach_id)))

    def _found(self, breach_id: str) -> BreachView:
        principal = caller().principal
        filters = BreachFilter(categories=(self.category,), allowed_accounts=principal.account_ids)
        with self._store.read_unit(principal.tenant_id) as unit:
            found = queries.get_breach(unit, breach_id, filters)
        if found is None:
            raise UnknownBreach("there is no such breach")
        return found

    def _one(self, breach: BreachView, form: Form | None = None) -> dict[str, Any]:
        principal = caller().principal
        with self._store.read_unit(principal.tenant_id) as unit:
            notes = queries.breach_notes(unit, breach.breach_id)
            evidence = breach_evidence(unit, breach)
        if self.category is Category.RISK and Scope.VIEW_ORDERS not in principal.scopes:
            evidence = msgspec.structs.replace(evidence, orders=(), executions=())
        scopes = [breach, *(one.order.request for one in evidence.orders)]
        empty = Form(values={**dict.fromkeys(FIELDS, ""), "assigned_to": f"user:{caller().user_id}"})
        return {
            "breach": breach,
            "base": self.base,
            "may_act": self.acting_scope in principal.scopes,
            "is_case": self.category is Category.SURVEILLANCE,
            "notes": notes,
            "evidence": evidence,
            "names": self._names.of(principal, scopes),
            "people": self._rows.people(principal, (breach.assigned_to, breach.closed_by)),
            "members": [one for one in self._members.list(principal) if one.is_active],
            "findings": FINDINGS,
            "statuses": STATUSES,
            "form": form or empty,
        }


class BreachPages(CasePages):
    """Breaches of limits of risk; their list stands on the risk page."""

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        act = Scope.MANAGE_RISK
        return (
            (BREACH, self.show_breach, Scope.VIEW_POSITIONS, "GET"),
            (f"{BREACH}/assign", self.assign_breach, act, "POST"),
            (f"{BREACH}/note", self.note_breach, act, "POST"),
            (f"{BREACH}/close", self.close_breach, act, "POST"),
        )

    def show_breach(self, breach_id: str) -> ResponseReturnValue:
        """One breach."""
        return self._page(breach_id)

    def assign_breach(self, breach_id: str) -> ResponseReturnValue:
        """Say who takes care of it."""
        return self._act(breach_id, "assign")

    def note_breach(self, breach_id: str) -> ResponseReturnValue:
        """Write down what was found out so far."""
        return self._act(breach_id, "note")

    def close_breach(self, breach_id: str) -> ResponseReturnValue:
        """Close it with a finding."""
        return self._act(breach_id, "close")


class CompliancePages(CasePages):
    """Cases of surveillance, for compliance."""

    category = Category.SURVEILLANCE
    base = "/compliance"
    acting_scope = Scope.MANAGE_COMPLIANCE

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        act = Scope.MANAGE_COMPLIANCE
        return (
            ("/compliance", self.show_cases, Scope.VIEW_AUDIT, "GET"),
            (CASE, self.show_case, Scope.VIEW_AUDIT, "GET"),
            (f"{CASE}/assign", self.assign_case, act, "POST"),
            (f"{CASE}/note", self.note_case, act, "POST"),
            (f"{CASE}/close", self.close_case, act, "POST"),
        )

    def show_cases(self) -> ResponseReturnValue:
        """The cases that pass the filters, newest first."""
        principal, asked = caller().principal, request.args
        state, rule = asked.get("state", "open"), asked.get("rule", "").strip()
        filters = BreachFilter(
            categories=(self.category,),
            rule=rule or None,
            is_open={"open": True, "closed": False}.get(state),
            allowed_accounts=principal.account_ids,
        )
        paging = Paging(limit=PAGE, cursor=asked.get("cursor") or None, with_total=False)
        with self._store.read_unit(principal.tenant_id) as unit:
            try:
                found = queries.list_breaches(unit, filters, paging)
            except InvalidCursor:
                raise InvalidRequest("the cursor is not one of this list", field="cursor") from None
        return self._sheets.page(
            "compliance",
            cases=found.items,
            next_cursor=found.next_cursor,
            names=self._names.of(principal, found.items),
            people=self._rows.people(principal, (one.assigned_to for one in found.items)),
            statuses=STATUSES,
            form=Form(values={"state": state, "rule": rule}),
            query={"state": state, "rule": rule},
        )

    def show_case(self, breach_id: str) -> ResponseReturnValue:
        """One case with its evidence."""
        return self._page(breach_id)

    def assign_case(self, breach_id: str) -> ResponseReturnValue:
        """Say who takes care of it."""
        return self._act(breach_id, "assign")

    def note_case(self, breach_id: str) -> ResponseReturnValue:
        """Write down what was found out so far."""
        return self._act(breach_id, "note")

    def close_case(self, breach_id: str) -> ResponseReturnValue:
        """Close it with a finding."""
        return self._act(breach_id, "close")


def _finding(word: str) -> Finding:
    try:
        return Finding(word)
    except ValueError:
        raise InvalidRequest("choose one of the list", field="finding") from None
