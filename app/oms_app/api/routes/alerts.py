"""Alerts: what people should see and what to do about it; listed, and acknowledged by whoever takes care."""

from collections.abc import Sequence

import marshmallow as ma

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import IdText
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.rate_limit import Bucket
from oms_app.api.reading import attention as reading
from oms_app.flow.errors import UnknownAlert
from oms_app.flow.scopes import Scope
from oms_app.store.queries import AlertView
from oms_kernel.domain.ids import EventId, LedgerId

ALERT = "/alerts/<uuid:alert_id>"
MOST_AT_ONCE = 500


def list_alerts(call: Call) -> Answer:
    """List alerts, newest first. Alerts of no account are for those who may use every account."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_alerts(unit, call.principal, call.query))


def get_alert(call: Call, alert_id: str) -> Answer:
    """Read an alert."""
    return Answer(reading.alert_document(_found(call, [alert_id])[alert_id]))


def acknowledge_alert(call: Call, alert_id: str) -> Answer:
    """Say that you take care of an alert; once more changes nothing. Every trader may."""
    _acknowledge(call, [alert_id])
    return get_alert(call, alert_id)


def acknowledge_alerts(call: Call) -> Answer:
    """Acknowledge several alerts at once. One that you may not see refuses the whole request."""
    return Answer({"acknowledged": _acknowledge(call, call.body["alert_ids"])})


def _acknowledge(call: Call, alert_ids: Sequence[str]) -> int:
    """How many had not been acknowledged before. Raises UnknownAlert."""
    by_ledger: dict[str, list[EventId]] = {}
    for alert_id, view in _found(call, alert_ids).items():
        by_ledger.setdefault(view.ledger_id, []).append(EventId(alert_id))
    attention = call.services.attention
    return sum(
        attention.acknowledge_alerts(call.principal, LedgerId(ledger_id), tuple(ids))
        for ledger_id, ids in by_ledger.items()
    )


def _found(call: Call, alert_ids: Sequence[str]) -> dict[str, AlertView]:
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        found = reading.find_alerts(unit, call.principal, alert_ids)
    unknown = [alert_id for alert_id in alert_ids if alert_id not in found]
    if unknown:
        fix = "GET /api/v1/alerts lists those that you may see"
        raise UnknownAlert(f"there is no alert {unknown[0]}", field="alert_id", fix=fix)
    return found


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/alerts"),
        view=list_alerts,
        scope=Scope.VIEW_ORDERS,
        tag="alerts",
        query=list_query("severity", "source", "account_id", "acknowledged", "raised_after", "raised_before"),
        answers={200: "AlertList"},
    ),
    Endpoint(
        method="GET",
        path=v1(ALERT),
        view=get_alert,
        scope=Scope.VIEW_ORDERS,
        tag="alerts",
        answers={200: "Alert"},
    ),
    Endpoint(
        method="POST",
        path=v1(ALERT + "/acknowledge"),
        view=acknowledge_alert,
        scope=Scope.CANCEL_ORDERS,
        tag="alerts",
        answers={200: "Alert"},
        bucket=Bucket.CANCELS,
    ),
    Endpoint(
        method="POST",
        path=v1("/alerts/acknowledge"),
        view=acknowledge_alerts,
        scope=Scope.CANCEL_ORDERS,
        tag="alerts",
        body=SchemaBody(
            "AcknowledgeAlerts",
            {
                "alert_ids": ma.fields.List(
                    IdText(), required=True, validate=ma.validate.Length(min=1, max=MOST_AT_ONCE)
                )
            },
        ),
        body_example={"alert_ids": ["0197a3f0-5b1e-7c41-9d1a-2f3b4c5d6e70"]},
        answers={200: "Acknowledged"},
        problems=(404,),
        bucket=Bucket.CANCELS,
    ),
)
