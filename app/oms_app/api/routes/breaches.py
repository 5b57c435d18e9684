"""Breaches of limits: what was overstepped, who takes care of it, and what came of it; and how the watch goes."""

from typing import Any

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import QueryFlag, Text, Word
from oms_app.api.paging import list_query, whole_list
from oms_app.api.paths import v1
from oms_app.api.reading import breaches as reading
from oms_app.flow.breaches import LONGEST_ASSIGNEE, Finding
from oms_app.flow.errors import UnknownBreach
from oms_app.flow.scopes import Scope
from oms_app.store.queries import BreachView
from oms_kernel.domain.controls import Category
from oms_kernel.domain.ids import EventId, LedgerId

BREACH = "/risk/breaches/<uuid:breach_id>"
LONGEST_TEXT = 4000
ASSIGN = SchemaBody("AssignBreach", {"assigned_to": Text(longest=LONGEST_ASSIGNEE), "text": Text(longest=LONGEST_TEXT)})
CLOSE = SchemaBody(
    "CloseBreach", {"finding": Word(Finding, required=True), "text": Text(longest=LONGEST_TEXT, required=True)}
)
CLOSE_EXAMPLE = {"finding": "JUSTIFIED", "text": "Stopped at 09:31; the desk has closed the position by hand."}


def list_breaches(call: Call) -> Answer:
    """List breaches of limits, newest first. Breaches of no account are for those who may use every account."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_breaches(unit, call.principal, Category.RISK, call.query))


def get_breach(call: Call, breach_id: str) -> Answer:
    """Read a breach with what people noted about it."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.whole_breach(unit, _found(unit, call, breach_id)))


def assign_breach(call: Call, breach_id: str) -> Answer:
    """Say who takes care of a breach, with a note if you like. 409 when it is closed."""
    body: dict[str, Any] = call.body or {}
    call.services.breaches.assign(
        call.principal,
        _ledger(call, breach_id),
        EventId(breach_id),
        Category.RISK,
        assigned_to=body.get("assigned_to") or "",
        text=body.get("text") or "",
    )
    return get_breach(call, breach_id)


def close_breach(call: Call, breach_id: str) -> Answer:
    """Close a breach with what you found out; the limit may be breached anew. What it stopped stays stopped."""
    call.services.breaches.close(
        call.principal,
        _ledger(call, breach_id),
        EventId(breach_id),
        Category.RISK,
        Finding(call.body["finding"]),
        call.body["text"],
    )
    return get_breach(call, breach_id)


def list_monitoring_rounds(call: Call) -> Answer:
    """List how the last round of monitoring of each ledger went, as of at most some seconds ago."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(whole_list(reading.rounds(unit)))


def _ledger(call: Call, breach_id: str) -> LedgerId:
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return LedgerId(_found(unit, call, breach_id).ledger_id)


def _found(unit: Any, call: Call, breach_id: str) -> BreachView:
    found = reading.find_breach(unit, call.principal, Category.RISK, breach_id)
    if found is None:
        fix = "GET /api/v1/risk/breaches lists those that you may see"
        raise UnknownBreach(f"there is no breach {breach_id}", field="breach_id", fix=fix)
    return found


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/risk/breaches"),
        view=list_breaches,
        scope=Scope.VIEW_POSITIONS,
        tag="risk",
        query=list_query("rule", "account_id", open=QueryFlag()),
        answers={200: "BreachList"},
    ),
    Endpoint(
        method="GET",
        path=v1(BREACH),
        view=get_breach,
        scope=Scope.VIEW_POSITIONS,
        tag="risk",
        answers={200: "BreachRead"},
    ),
    Endpoint(
        method="POST",
        path=v1(BREACH + "/assign"),
        view=assign_breach,
        scope=Scope.MANAGE_RISK,
        tag="risk",
        body=ASSIGN,
        body_optional=True,
        body_example={"assigned_to": "user:0197a3f0-5b1e-7c41-9d1a-2f3b4c5d6e70", "text": "Asked the desk."},
        answers={200: "BreachRead"},
        problems=(409,),
    ),
    Endpoint(
        method="POST",
        path=v1(BREACH + "/close"),
        view=close_breach,
        scope=Scope.MANAGE_RISK,
        tag="risk",
        body=CLOSE,
        body_example=CLOSE_EXAMPLE,
        answers={200: "BreachRead"},
        problems=(409,),
    ),
    Endpoint(
        method="GET",
        path=v1("/risk/monitoring"),
        view=list_monitoring_rounds,
        scope=Scope.MANAGE_RISK,
        tag="risk",
        answers={200: "MonitoringRoundList"},
    ),
)
