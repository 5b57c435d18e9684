"""Cases of surveillance: what the monitors of compliance found, with its evidence, and how people handle it."""

from typing import Any

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import QueryFlag, Text
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.reading import breaches as reading
from oms_app.api.routes.breaches import ASSIGN, CLOSE, CLOSE_EXAMPLE, LONGEST_TEXT
from oms_app.flow.breaches import Finding
from oms_app.flow.errors import UnknownBreach
from oms_app.flow.scopes import Scope
from oms_app.store.queries import BreachView
from oms_kernel.domain.controls import Category
from oms_kernel.domain.ids import EventId, LedgerId

CASE = "/compliance/alerts/<uuid:breach_id>"
NOTE = SchemaBody("NoteBreach", {"text": Text(longest=LONGEST_TEXT, required=True)})


def list_surveillance_cases(call: Call) -> Answer:
    """List cases of surveillance, newest first."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_breaches(unit, call.principal, Category.SURVEILLANCE, call.query))


def get_surveillance_case(call: Call, breach_id: str) -> Answer:
    """Read a case with its notes, and the orders and executions that it is about."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.whole_case(unit, _found(unit, call, breach_id)))


def assign_surveillance_case(call: Call, breach_id: str) -> Answer:
    """Say who takes care of a case, with a note if you like. 409 when it is closed."""
    body: dict[str, Any] = call.body or {}
    call.services.breaches.assign(
        call.principal,
        _ledger(call, breach_id),
        EventId(breach_id),
        Category.SURVEILLANCE,
        assigned_to=body.get("assigned_to") or "",
        text=body.get("text") or "",
    )
    return get_surveillance_case(call, breach_id)


def note_surveillance_case(call: Call, breach_id: str) -> Answer:
    """Add a note to a case; you take care of it unless somebody does. 409 when it is closed."""
    call.services.breaches.note(
        call.principal, _ledger(call, breach_id), EventId(breach_id), Category.SURVEILLANCE, call.body["text"]
    )
    return get_surveillance_case(call, breach_id)


def close_surveillance_case(call: Call, breach_id: str) -> Answer:
    """Close a case with its finding. The same may be found anew from now on."""
    call.services.breaches.close(
        call.principal,
        _ledger(call, breach_id),
        EventId(breach_id),
        Category.SURVEILLANCE,
        Finding(call.body["finding"]),
        call.body["text"],
    )
    return get_surveillance_case(call, breach_id)


def _ledger(call: Call, breach_id: str) -> LedgerId:
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return LedgerId(_found(unit, call, breach_id).ledger_id)


def _found(unit: Any, call: Call, breach_id: str) -> BreachView:
    found = reading.find_breach(unit, call.principal, Category.SURVEILLANCE, breach_id)
    if found is None:
        fix = "GET /api/v1/compliance/alerts lists those that you may see"
        raise UnknownBreach(f"there is no case {breach_id}", field="breach_id", fix=fix)
    return found


def _handling(path: str, view: Any, **more: Any) -> Endpoint:
    return Endpoint(
        method="POST",
        path=v1(CASE + path),
        view=view,
        scope=Scope.MANAGE_COMPLIANCE,
        tag="compliance",
        answers={200: "SurveillanceCase"},
        problems=(409,),
        **more,
    )


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/compliance/alerts"),
        view=list_surveillance_cases,
        scope=Scope.VIEW_AUDIT,
        tag="compliance",
        query=list_query("rule", "account_id", open=QueryFlag()),
        answers={200: "BreachList"},
    ),
    Endpoint(
        method="GET",
        path=v1(CASE),
        view=get_surveillance_case,
        scope=Scope.VIEW_AUDIT,
        tag="compliance",
        answers={200: "SurveillanceCase"},
    ),
    _handling(
        "/assign",
        assign_surveillance_case,
        body=ASSIGN,
        body_optional=True,
        body_example={"text": "Asked the trader for the reason."},
    ),
    _handling("/notes", note_surveillance_case, body=NOTE, body_example={"text": "The two accounts have one owner."}),
    _handling("/close", close_surveillance_case, body=CLOSE, body_example=CLOSE_EXAMPLE),
)
