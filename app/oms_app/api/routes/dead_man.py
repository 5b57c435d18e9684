"""Dead-man switches over HTTP: a program says that it is alive; when it says no more, its orders are cancelled."""

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import Count, Flag, IdText, Word
from oms_app.api.paging import list_query, whole_list
from oms_app.api.paths import v1
from oms_app.api.problems import Problem
from oms_app.api.rate_limit import Bucket
from oms_app.api.reading.restraints import dead_man_document
from oms_app.flow.dead_man import LONGEST_S, SHORTEST_S, DeadManAction, Heartbeat
from oms_app.flow.scopes import Scope
from oms_kernel.domain.ids import AccountId, StrategyId

HEARTBEAT = "/risk/heartbeat"


def send_heartbeat(call: Call) -> Answer:
    """Say that you are alive, which arms your dead-man switch or renews it.

    When the next heartbeat does not come in time, your working orders are cancelled, or those of the strategy that you
    name; with HALT, which needs manage:risk, the account or strategy is halted besides, until a person releases it.
    """
    body = call.body
    action = DeadManAction(body.get("action", DeadManAction.CANCEL))
    if action is DeadManAction.HALT and Scope.MANAGE_RISK not in call.principal.scopes:
        raise Problem("not_permitted", f"HALT needs the scope {Scope.MANAGE_RISK}", extra={"scope": Scope.MANAGE_RISK})
    account_id, strategy_id = body.get("account_id"), body.get("strategy_id")
    heartbeat = Heartbeat(
        timeout_s=body["timeout_s"],
        action=action,
        account_id=AccountId(account_id) if account_id is not None else None,
        strategy_id=StrategyId(strategy_id) if strategy_id is not None else None,
        spare_gtc=body.get("spare_gtc", False),
    )
    return Answer(dead_man_document(call.services.dead_man.hear(call.principal, heartbeat, call.actor)))


def disarm_heartbeat(call: Call) -> Answer:
    """Disarm your dead-man switch before you end in order; once more changes nothing."""
    strategy_id = call.query.get("strategy_id")
    named = StrategyId(strategy_id) if strategy_id is not None else None
    call.services.dead_man.disarm(call.principal, named, call.actor)
    return Answer(None, 204)


def list_heartbeats(call: Call) -> Answer:
    """List the dead-man switches, armed or not."""
    return Answer(whole_list([dead_man_document(one) for one in call.services.dead_man.list(call.principal)]))


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=v1(HEARTBEAT),
        view=send_heartbeat,
        scope=Scope.CANCEL_ORDERS,
        tag="risk",
        body=SchemaBody(
            "Heartbeat",
            {
                "timeout_s": Count(low=SHORTEST_S, high=LONGEST_S, required=True),
                "action": Word(DeadManAction),
                "account_id": IdText(),
                "strategy_id": IdText(),
                "spare_gtc": Flag(),
            },
        ),
        body_example={"timeout_s": 10, "action": "CANCEL"},
        answers={200: "DeadManSwitch"},
        problems=(404,),
        bucket=Bucket.CANCELS,
    ),
    Endpoint(
        method="DELETE",
        path=v1(HEARTBEAT),
        view=disarm_heartbeat,
        scope=Scope.CANCEL_ORDERS,
        tag="risk",
        query=list_query("strategy_id"),
        answers={204: None},
        bucket=Bucket.CANCELS,
    ),
    Endpoint(
        method="GET",
        path=v1("/risk/heartbeats"),
        view=list_heartbeats,
        scope=Scope.VIEW_ORDERS,
        tag="risk",
        query=list_query(),
        answers={200: "DeadManSwitchList"},
    ),
)
