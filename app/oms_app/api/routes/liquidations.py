"""Liquidations over HTTP: positions closed by scope or one alone, through every switch; stopped by a person."""

from typing import Any

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import IdText, Text, Word
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import invalid
from oms_app.api.rate_limit import Bucket
from oms_app.api.reading import restraints as reading
from oms_app.api.routes.kill_switches import LONGEST_TEXT, scope_of
from oms_app.flow.kill_switch import LONGEST_CODE
from oms_app.flow.liquidation import UnknownLiquidation
from oms_app.flow.scopes import Scope as Permission
from oms_kernel.domain.ids import AccountId, EventId, InstrumentId
from oms_kernel.domain.scope import Scope, ScopeLevel

LIQUIDATION = "/risk/liquidations/<uuid:liquidation_id>"


def start_liquidation(call: Call) -> Answer:
    """Close every position of a scope by orders that only reduce, through every kill switch, until nothing is held.

    Orders from before are cancelled first. An equal liquidation that runs is named with `already_running`. A person
    must have stepped up.
    """
    scope = scope_of(call.body)
    if scope.is_firm:
        raise invalid("level", "level: a liquidation is of one tenant", "throw a kill switch of the firm that flattens")
    return _start(call, scope, call.body["reason_code"])


def close_position(call: Call) -> Answer:
    """Close one position: a liquidation of one instrument in one account. A person must have stepped up."""
    scope = Scope(account_id=AccountId(call.body["account_id"]), instrument_id=InstrumentId(call.body["instrument_id"]))
    return _start(call, scope, "close_position")


def list_liquidations(call: Call) -> Answer:
    """List liquidations, newest first."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_liquidations(unit, call.principal, call.query))


def get_liquidation(call: Call, liquidation_id: str) -> Answer:
    """Read a liquidation."""
    return Answer(_document(call, liquidation_id))


def stop_liquidation(call: Call, liquidation_id: str) -> Answer:
    """Stop a liquidation: it places nothing more. What it placed and works goes on until somebody cancels it."""
    reason = call.body.get("reason", "")
    call.services.liquidations.stop(call.principal, EventId(liquidation_id), reason=reason, actor=call.actor)
    return Answer(_document(call, liquidation_id))


def _start(call: Call, scope: Scope, reason_code: str) -> Answer:
    started = call.services.liquidations.start(
        call.principal, scope, reason_code, reason=call.body.get("reason", ""), actor=call.actor
    )
    is_new = any(one.is_new for one in started)
    shown = [_document(call, one.liquidation.liquidation_id) for one in started]
    return Answer({"already_running": not is_new, "liquidations": shown}, 201 if is_new else 200)


def _document(call: Call, liquidation_id: str) -> dict[str, Any]:
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        found = reading.find_liquidation(unit, call.principal, liquidation_id)
    if found is None:
        fix = "GET /api/v1/risk/liquidations lists those that you may see"
        raise UnknownLiquidation(f"there is no liquidation {liquidation_id}", field="liquidation_id", fix=fix)
    return reading.liquidation_document(found)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=v1("/risk/liquidations"),
        view=start_liquidation,
        scope=Permission.MANAGE_RISK,
        tag="risk",
        body=SchemaBody(
            "LiquidationRequest",
            {
                "level": Word(ScopeLevel),
                "account_id": IdText(),
                "strategy_id": IdText(),
                "instrument_id": IdText(),
                "reason_code": Text(longest=LONGEST_CODE, load_default="manual"),
                "reason": Text(longest=LONGEST_TEXT),
            },
        ),
        body_example={"level": "TENANT", "reason_code": "margin_call", "reason": "The clearer asked for it by phone."},
        answers={201: "LiquidationResult", 200: "LiquidationResult"},
        problems=(404,),
        bucket=Bucket.CANCELS,
        step_up=True,
    ),
    Endpoint(
        method="POST",
        path=v1("/positions/close"),
        view=close_position,
        scope=Permission.MANAGE_RISK,
        tag="positions",
        body=SchemaBody(
            "ClosePosition",
            {
                "account_id": IdText(required=True),
                "instrument_id": IdText(required=True),
                "reason": Text(longest=LONGEST_TEXT),
            },
        ),
        answers={201: "LiquidationResult", 200: "LiquidationResult"},
        problems=(404,),
        bucket=Bucket.CANCELS,
        step_up=True,
    ),
    Endpoint(
        method="GET",
        path=v1("/risk/liquidations"),
        view=list_liquidations,
        scope=Permission.VIEW_ORDERS,
        tag="risk",
        query=list_query("account_id", "active"),
        answers={200: "LiquidationList"},
    ),
    Endpoint(
        method="GET",
        path=v1(LIQUIDATION),
        view=get_liquidation,
        scope=Permission.VIEW_ORDERS,
        tag="risk",
        answers={200: "Liquidation"},
    ),
    Endpoint(
        method="POST",
        path=v1(LIQUIDATION + "/stop"),
        view=stop_liquidation,
        scope=Permission.MANAGE_RISK,
        tag="risk",
        body=SchemaBody("StopLiquidation", {"reason": Text(longest=LONGEST_TEXT)}),
        body_optional=True,
        answers={200: "Liquidation"},
        problems=(409,),
        bucket=Bucket.CANCELS,
    ),
)
