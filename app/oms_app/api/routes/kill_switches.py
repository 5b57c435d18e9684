"""Kill switches over HTTP: thrown, tried, listed, released."""

from typing import Any

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import Flag, IdText, Text, Word
from oms_app.api.json_text import plain
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import invalid
from oms_app.api.rate_limit import Bucket
from oms_app.api.reading import restraints as reading
from oms_app.flow.kill_switch import LONGEST_CODE, Activated, Asked, UnknownSwitch
from oms_app.flow.scopes import Scope as Permission
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.ids import AccountId, EventId, InstrumentId, StrategyId
from oms_kernel.domain.scope import Scope, ScopeLevel

SWITCH = "/risk/kill-switches/<uuid:switch_id>"
LONGEST_TEXT = 4_000
EXAMPLE = {
    "level": "TENANT",
    "trading_state": "HALTED",
    "reason_code": "bad_prices",
    "reason": "The feed shows prices of yesterday.",
    "cancel_working": True,
}


def throw_kill_switch(call: Call) -> Answer:
    """Stop what is new, in a scope and until a person releases it; cancel what works and close what is held, if asked.

    From the answer on nothing new goes out on any process. Orders that may still trade are named with the reason. An
    equal switch that holds already is named with `already_active`, and nothing is done. Keys may throw, not release.
    """
    asked = _asked(call)
    if asked.scope.is_firm:
        call.services.tenancy.require_superuser(call.principal)
        done = call.services.firm_switches.activate(call.principal, asked, call.actor)
    else:
        done = call.services.kill_switches.activate(call.principal, asked, call.actor)
    return Answer(_result(call, done), 201 if done.is_new else 200)


def drill_kill_switch(call: Call) -> Answer:
    """Try a kill switch: all of it is decided under the ledgers' locks and dropped; counts and the time taken stay."""
    asked = _asked(call)
    if asked.scope.is_firm:
        call.services.tenancy.require_superuser(call.principal)
        return Answer(plain(call.services.firm_switches.drill(call.principal, asked, call.actor)))
    return Answer(plain(call.services.kill_switches.drill(call.principal, asked, call.actor)))


def list_kill_switches(call: Call) -> Answer:
    """List kill switches, newest first; those of the whole tenant are for those who may use every account."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_switches(unit, call.principal, call.query))


def list_kill_switch_events(call: Call) -> Answer:
    """List everything that happened to kill switches, drills included, newest first."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_switch_events(unit, call.principal, call.query))


def get_kill_switch(call: Call, switch_id: str) -> Answer:
    """Read a kill switch."""
    return Answer(_document(call, switch_id))


def release_kill_switch(call: Call, switch_id: str) -> Answer:
    """Let trading go on. A person must have stepped up; where the tenant wants two persons the first one only asks.

    200 when it is released, 202 while it waits for a second person. A switch of the whole firm is released in every
    ledger at once, by superusers.
    """
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        known = reading.find_switch(unit, call.principal, switch_id)
    reason = call.body["reason"]
    if known is not None and known.firm_switch_id:
        call.services.tenancy.require_superuser(call.principal)
        done = call.services.firm_switches.release(call.principal, known.firm_switch_id, reason, call.actor)
        return Answer(_document(call, switch_id), 202 if done.waits else 200)
    released = call.services.kill_switches.release(call.principal, EventId(switch_id), reason, call.actor)
    return Answer(_document(call, switch_id), 202 if released.waits else 200)


def scope_of(body: dict[str, Any]) -> Scope:
    """The scope that a body names. Raises Problem when it is not said clearly."""
    account_id, strategy_id, instrument_id = (body.get(f"{name}_id") for name in ("account", "strategy", "instrument"))
    level = body.get("level")
    scope = Scope(
        account_id=AccountId(account_id) if account_id is not None else None,
        strategy_id=StrategyId(strategy_id) if strategy_id is not None else None,
        instrument_id=InstrumentId(instrument_id) if instrument_id is not None else None,
        is_firm=level == ScopeLevel.FIRM,
    )
    if scope.is_firm and (account_id is not None or strategy_id is not None):
        raise invalid("level", "level: FIRM covers every account and strategy", "name an instrument, or nothing")
    if level is None and scope == Scope():
        fix = "name an account, strategy or instrument, or send level TENANT"
        raise invalid("level", "level: is required where nothing is named", fix)
    if level is not None and not scope.is_firm and level != scope.level:
        raise invalid("level", f"level: what is named makes it {scope.level}", f"send {scope.level}, or leave it out")
    return scope


def _asked(call: Call) -> Asked:
    body = call.body
    return Asked(
        scope=scope_of(body),
        trading_state=TradingState(body["trading_state"]),
        reason_code=body["reason_code"],
        reason=body.get("reason", ""),
        cancel_working=body.get("cancel_working", False),
        flatten=body.get("flatten", False),
    )


def _result(call: Call, done: Activated) -> dict[str, Any]:
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        shown = reading.switch_documents(unit, [part.switch.switch_id for part in done.parts])
    return {
        "already_active": not done.is_new,
        "firm_switch_id": next((part.switch.firm_switch_id for part in done.parts), ""),
        "kill_switches": shown,
        "cancelling": [order_id for part in done.parts for order_id in part.cancelling],
        "ended": [order_id for part in done.parts for order_id in part.ended],
        "unrecallable": [plain(one) for part in done.parts for one in part.unrecallable],
        "liquidation_ids": [part.liquidation_id for part in done.parts if part.liquidation_id is not None],
        "ledgers": len(done.parts),
        "elapsed_ms": done.elapsed_ms,
    }


def _document(call: Call, switch_id: str) -> dict[str, Any]:
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        if reading.find_switch(unit, call.principal, switch_id) is None:
            fix = "GET /api/v1/risk/kill-switches lists those that you may see"
            raise UnknownSwitch(f"there is no kill switch {switch_id}", field="switch_id", fix=fix)
        return reading.switch_documents(unit, [switch_id])[0]


_BODY = SchemaBody(
    "KillSwitchRequest",
    {
        "level": Word(ScopeLevel),
        "account_id": IdText(),
        "strategy_id": IdText(),
        "instrument_id": IdText(),
        "trading_state": Word(TradingState, required=True),
        "reason_code": Text(longest=LONGEST_CODE, load_default="manual"),
        "reason": Text(longest=LONGEST_TEXT),
        "cancel_working": Flag(),
        "flatten": Flag(),
    },
)

ENDPOINTS = (
    Endpoint(
        method="POST",
        path=v1("/risk/kill-switches"),
        view=throw_kill_switch,
        scope=Permission.MANAGE_RISK,
        tag="risk",
        body=_BODY,
        body_example=EXAMPLE,
        answers={201: "KillSwitchResult", 200: "KillSwitchResult"},
        problems=(404,),
        bucket=Bucket.CANCELS,
    ),
    Endpoint(
        method="POST",
        path=v1("/risk/kill-switches/drill"),
        view=drill_kill_switch,
        scope=Permission.MANAGE_RISK,
        tag="risk",
        body=_BODY,
        body_example=EXAMPLE,
        answers={200: "KillSwitchDrill"},
        problems=(404,),
        bucket=Bucket.CANCELS,
    ),
    Endpoint(
        method="GET",
        path=v1("/risk/kill-switches"),
        view=list_kill_switches,
        scope=Permission.VIEW_ORDERS,
        tag="risk",
        query=list_query("account_id", "active"),
        answers={200: "KillSwitchList"},
    ),
    Endpoint(
        method="GET",
        path=v1("/risk/kill-switch-events"),
        view=list_kill_switch_events,
        scope=Permission.VIEW_ORDERS,
        tag="risk",
        query=list_query("account_id"),
        answers={200: "KillSwitchEventList"},
    ),
    Endpoint(
        method="GET",
        path=v1(SWITCH),
        view=get_kill_switch,
        scope=Permission.VIEW_ORDERS,
        tag="risk",
        answers={200: "KillSwitch"},
    ),
    Endpoint(
        method="POST",
        path=v1(SWITCH + "/release"),
        view=release_kill_switch,
        scope=Permission.MANAGE_RISK,
        tag="risk",
        body=SchemaBody("KillSwitchRelease", {"reason": Text(longest=LONGEST_TEXT, required=True)}),
        body_example={"reason": "The feed was repaired and checked against the broker's prices."},
        answers={200: "KillSwitch", 202: "KillSwitch"},
        problems=(409,),
        step_up=True,
    ),
)
