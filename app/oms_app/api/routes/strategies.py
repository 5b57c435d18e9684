"""Strategies and their runs: made, changed, started, stopped, closed."""

from typing import Any

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import IdText, JsonObject, Text
from oms_app.api.json_text import plain
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import invalid
from oms_app.api.reading.asked import page_of, paging_of
from oms_app.flow.scopes import Scope
from oms_app.flow.strategies import Strategies

STRATEGY = "/strategies/<uuid:strategy_id>"
RUN = "/strategies/runs/<uuid:run_id>"


def list_strategies(call: Call) -> Answer:
    """List strategies, newest first."""
    found = _strategies(call).list(call.principal, paging_of(call.query, dated=True), status=call.query.get("status"))
    return Answer(page_of(found))


def create_strategy(call: Call) -> Answer:
    """Make a strategy of a plugin's class, with its parameters; it does not run yet."""
    asked = call.body
    if ("strategy" in asked) == ("plugin" in asked):
        raise invalid("strategy", "strategy: is required, once", "send the name of the class; GET /api/v1/plugins")
    view = _strategies(call).create(
        call.principal,
        name=asked["name"],
        strategy=asked.get("strategy") or asked["plugin"],
        account_id=asked["account_id"],
        params=plain(asked["params"]),
    )
    return Answer(plain(view), 201, {"Location": v1(f"/strategies/{view.strategy_id}")})


def get_strategy(call: Call, strategy_id: str) -> Answer:
    """Read a strategy."""
    return Answer(plain(_strategies(call).find(call.principal, strategy_id)))


def change_strategy(call: Call, strategy_id: str) -> Answer:
    """Change a strategy's name or, while it does not run, its parameters."""
    params: dict[str, Any] | None = call.body.get("params")
    view = _strategies(call).change(
        call.principal,
        strategy_id,
        name=call.body.get("name"),
        params=plain(params) if params is not None else None,
    )
    return Answer(plain(view))


def close_strategy(call: Call, strategy_id: str) -> Answer:
    """Close a strategy for good; its orders and runs stay to be read."""
    _strategies(call).close(call.principal, strategy_id)
    return Answer(None, 204)


def start_strategy(call: Call, strategy_id: str) -> Answer:
    """Start a run, in a process of its own."""
    return Answer(plain(_strategies(call).start(call.principal, strategy_id)), 201)


def stop_strategy(call: Call, strategy_id: str) -> Answer:
    """Stop the run that is open."""
    return Answer(plain(_strategies(call).stop(call.principal, strategy_id)), 202)


def list_runs(call: Call, strategy_id: str) -> Answer:
    """List a strategy's runs, newest first."""
    return Answer(page_of(_strategies(call).runs(call.principal, strategy_id, paging_of(call.query, dated=True))))


def get_run(call: Call, run_id: str) -> Answer:
    """Read a run, with its log."""
    return Answer(plain(_strategies(call).find_run(call.principal, run_id)))


def stop_run(call: Call, run_id: str) -> Answer:
    """Stop a run."""
    return Answer(plain(_strategies(call).stop_run(call.principal, run_id)), 202)


def _strategies(call: Call) -> Strategies:
    services = call.services
    return Strategies(services.store, services.registries, services.new_id, call.actor)


def _endpoint(method: str, path: str, view: Any, status: int, schema: str | None, **more: Any) -> Endpoint:
    return Endpoint(
        method=method,
        path=v1(path),
        view=view,
        scope=Scope.RUN_STRATEGIES,
        tag="strategies",
        answers={status: schema},
        **more,
    )


ENDPOINTS = (
    _endpoint(
        "GET",
        "/strategies",
        list_strategies,
        200,
        "StrategyList",
        query=list_query("status"),
    ),
    _endpoint(
        "POST",
        "/strategies",
        create_strategy,
        201,
        "Strategy",
        body=SchemaBody(
            "StrategyRequest",
            {
                "name": Text(longest=200, required=True),
                "strategy": Text(longest=100),
                "plugin": Text(longest=100),
                "account_id": IdText(required=True),
                "params": JsonObject(load_default=dict),
            },
        ),
        problems=(404,),
    ),
    _endpoint("GET", STRATEGY, get_strategy, 200, "Strategy"),
    _endpoint(
        "PUT",
        STRATEGY,
        change_strategy,
        200,
        "Strategy",
        body=SchemaBody("StrategyChange", {"name": Text(longest=200), "params": JsonObject()}),
        aliases=(("PATCH", v1(STRATEGY)),),
        problems=(409,),
    ),
    _endpoint("DELETE", STRATEGY, close_strategy, 204, None, problems=(409,)),
    _endpoint("GET", STRATEGY + "/runs", list_runs, 200, "StrategyRunList", query=list_query()),
    _endpoint(
        "POST",
        STRATEGY + "/runs",
        start_strategy,
        201,
        "StrategyRun",
        aliases=(("POST", v1(STRATEGY + "/start")),),
        problems=(409,),
    ),
    _endpoint("POST", STRATEGY + "/stop", stop_strategy, 202, "StrategyRun", problems=(409,)),
    _endpoint("GET", RUN, get_run, 200, "StrategyRun"),
    _endpoint("DELETE", RUN, stop_run, 202, "StrategyRun", problems=(409,)),
)
