"""Reconciliation: where broker and book differ, the runs that compared them, and what people do about it."""

from decimal import Decimal
from enum import StrEnum
from typing import Any

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import DecimalText, Text, Word
from oms_app.api.json_text import plain
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import invalid, not_found
from oms_app.api.reading import attention as reading
from oms_app.flow.errors import UnknownBreak
from oms_app.flow.scopes import Scope
from oms_app.store.queries import BreakView
from oms_kernel.domain.ids import BreakId, LedgerId

BREAK = "/reconciliation/breaks/<uuid:break_id>"
LONGEST_TEXT = 4000


class BreakAction(StrEnum):
    """How a person ends a break."""

    EXPLAIN = "explain"
    ACCEPT_BROKER = "accept_broker"


def list_breaks(call: Call) -> Answer:
    """List breaks, newest first. Breaks of no account are for those who may use every account."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_breaks(unit, call.principal, call.query))


def get_break(call: Call, break_id: str) -> Answer:
    """Read a break: what each side says, what to do about it, and how it ended."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.break_document(unit, _found(unit, call, break_id)))


def acknowledge_break(call: Call, break_id: str) -> Answer:
    """Say that you take care of a break; once more changes nothing. 409 when it is resolved."""
    call.services.attention.acknowledge_break(call.principal, _ledger(call, break_id), BreakId(break_id))
    return get_break(call, break_id)


def resolve_break(call: Call, break_id: str) -> Answer:
    """End a break with what you found out. A break that the next run still sees is opened anew.

    explain: the difference is understood. accept_broker: the broker's figure is taken over, cash by a cash movement and
    a position by an execution in sub-book EXTERNAL at the `price` that you give; other types cannot be accepted (409).
    """
    attention, ledger_id = call.services.attention, _ledger(call, break_id)
    price: Decimal | None = call.body.get("price")
    if call.body["action"] == BreakAction.ACCEPT_BROKER:
        attention.accept_broker(call.principal, ledger_id, BreakId(break_id), call.body["text"], price)
    elif price is not None:
        raise invalid("price", "price: goes with accept_broker only", "remove it")
    else:
        attention.explain_break(call.principal, ledger_id, BreakId(break_id), call.body["text"])
    return get_break(call, break_id)


def list_reconciliation_runs(call: Call) -> Answer:
    """List the runs that compared broker and book, newest first."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_runs(unit, call.principal, call.query))


def get_reconciliation_run(call: Call, run_id: str) -> Answer:
    """Read a run: REQUESTED until the broker's session has compared, then COMPLETE or FAILED."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        found = reading.find_run(unit, call.principal, run_id)
    if found is None:
        raise not_found("reconciliation run")
    return Answer(plain(found))


def reconcile_broker_account(call: Call, broker_account_id: str) -> Answer:
    """Compare broker and book now; read the run to see when it is done and what it found.

    The run compares every account of the connection. 503 no_session when no session of it is ready.
    """
    run = call.services.reconcile_requests.request(call.principal, broker_account_id)
    return Answer(plain(run), 202, {"Location": v1(f"/reconciliation/runs/{run.run_id}")})


def _ledger(call: Call, break_id: str) -> LedgerId:
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return LedgerId(_found(unit, call, break_id).ledger_id)


def _found(unit: Any, call: Call, break_id: str) -> BreakView:
    found = reading.find_break(unit, call.principal, break_id)
    if found is None:
        fix = "GET /api/v1/reconciliation/breaks lists those that you may see"
        raise UnknownBreak(f"there is no break {break_id}", field="break_id", fix=fix)
    return found


def _endpoint(method: str, path: str, view: Any, status: int, schema: str, **more: Any) -> Endpoint:
    scope = Scope.VIEW_POSITIONS if method == "GET" else Scope.MANAGE_BROKERS
    return Endpoint(
        method=method, path=v1(path), view=view, scope=scope, tag="reconciliation", answers={status: schema}, **more
    )


ENDPOINTS = (
    _endpoint(
        "GET",
        "/reconciliation/breaks",
        list_breaks,
        200,
        "BreakList",
        query=list_query(
            "break_type", "severity", "account_id", "broker_account_id", "resolved", "found_after", "found_before"
        ),
    ),
    _endpoint("GET", BREAK, get_break, 200, "Break"),
    _endpoint("POST", BREAK + "/acknowledge", acknowledge_break, 200, "Break", problems=(409,)),
    _endpoint(
        "POST",
        BREAK + "/resolve",
        resolve_break,
        200,
        "Break",
        body=SchemaBody(
            "ResolveBreak",
            {
                "action": Word(BreakAction, required=True),
                "text": Text(longest=LONGEST_TEXT, required=True),
                "price": DecimalText(),
            },
        ),
        body_example={
            "action": "accept_broker",
            "text": "Transfer in from the old broker, see ticket 4711.",
            "price": "101.25",
        },
        problems=(409,),
    ),
    _endpoint(
        "GET", "/reconciliation/runs", list_reconciliation_runs, 200, "RunList", query=list_query("connection_id")
    ),
    _endpoint("GET", "/reconciliation/runs/<uuid:run_id>", get_reconciliation_run, 200, "Run"),
    _endpoint("POST", "/broker-accounts/<uuid:broker_account_id>/reconcile", reconcile_broker_account, 202, "Run"),
)
