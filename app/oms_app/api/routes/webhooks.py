"""Webhooks: made with a secret that is shown once, changed, closed; and what became of their messages."""

from typing import Any

import marshmallow as ma
import msgspec

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import Flag, JsonObject, Text
from oms_app.api.json_text import plain
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.reading.asked import page_of, paging_of
from oms_app.flow.scopes import Scope
from oms_app.flow.webhooks import LONGEST_URL, Webhooks
from oms_app.store.webhooks import WebhookRow

WEBHOOK = "/webhooks/<uuid:webhook_id>"


def list_webhooks(call: Call) -> Answer:
    """List webhooks, newest first."""
    return Answer(page_of(_webhooks(call).list(call.principal, paging_of(call.query, dated=True)), _shown))


def create_webhook(call: Call) -> Answer:
    """Make a webhook. Where the sink signs and you send no secret, one is made and shown in this answer only."""
    asked = call.body
    view, secret = _webhooks(call).create(
        call.principal,
        url=asked["url"],
        sink=asked.get("sink"),
        name=asked["name"],
        params=plain(asked["params"]),
        event_kinds=asked["event_kinds"],
    )
    shown = {**_shown(view), "secret": secret} if secret is not None else _shown(view)
    return Answer(shown, 201, {"Location": v1(f"/webhooks/{view.webhook_id}")})


def get_webhook(call: Call, webhook_id: str) -> Answer:
    """Read a webhook, without its secret."""
    return Answer(_shown(_webhooks(call).find(call.principal, webhook_id)))


def change_webhook(call: Call, webhook_id: str) -> Answer:
    """Change a webhook; what is not sent stays. `is_active` false pauses it."""
    asked: dict[str, Any] = dict(call.body)
    if "params" in asked:
        asked["params"] = plain(asked["params"])
    return Answer(_shown(_webhooks(call).change(call.principal, webhook_id, **asked)))


def close_webhook(call: Call, webhook_id: str) -> Answer:
    """Close a webhook for good; its deliveries stay to be read."""
    _webhooks(call).close(call.principal, webhook_id)
    return Answer(None, 204)


def list_deliveries(call: Call, webhook_id: str) -> Answer:
    """List what was sent or is to be sent, newest first."""
    found = _webhooks(call).deliveries(
        call.principal, webhook_id, paging_of(call.query, dated=True), status=call.query.get("status")
    )
    return Answer(page_of(found))


def replay_delivery(call: Call, webhook_id: str, delivery_id: str) -> Answer:
    """Deliver a message again under its old id, whether it is dead or was delivered."""
    return Answer(plain(_webhooks(call).replay(call.principal, webhook_id, delivery_id)), 202)


def _shown(row: WebhookRow) -> dict[str, Any]:
    """The webhook without what is sealed."""
    shown: dict[str, Any] = plain(msgspec.structs.replace(row, credentials=None))
    del shown["credentials"]
    return shown


def _webhooks(call: Call) -> Webhooks:
    services = call.services
    return Webhooks(services.store, services.registries, services.sealer, services.new_id, call.actor)


def _endpoint(method: str, path: str, view: Any, status: int, schema: str | None, **more: Any) -> Endpoint:
    return Endpoint(
        method=method,
        path=v1(path),
        view=view,
        scope=Scope.MANAGE_WEBHOOKS,
        tag="webhooks",
        answers={status: schema},
        **more,
    )


ENDPOINTS = (
    _endpoint("GET", "/webhooks", list_webhooks, 200, "WebhookList", query=list_query()),
    _endpoint(
        "POST",
        "/webhooks",
        create_webhook,
        201,
        "Webhook",
        body=SchemaBody(
            "WebhookRequest",
            {
                "url": Text(longest=LONGEST_URL, required=True),
                "sink": Text(longest=100),
                "name": Text(longest=200, shortest=0, load_default=""),
                "params": JsonObject(load_default=dict),
                "event_kinds": ma.fields.List(
                    Text(longest=60), load_default=list, validate=ma.validate.Length(max=100)
                ),
            },
        ),
    ),
    _endpoint("GET", WEBHOOK, get_webhook, 200, "Webhook"),
    _endpoint(
        "PUT",
        WEBHOOK,
        change_webhook,
        200,
        "Webhook",
        body=SchemaBody(
            "WebhookChange",
            {
                "url": Text(longest=LONGEST_URL),
                "name": Text(longest=200, shortest=0),
                "params": JsonObject(),
                "event_kinds": ma.fields.List(Text(longest=60), validate=ma.validate.Length(max=100)),
                "is_active": Flag(),
            },
        ),
        aliases=(("PATCH", v1(WEBHOOK)),),
    ),
    _endpoint("DELETE", WEBHOOK, close_webhook, 204, None),
    _endpoint(
        "GET",
        WEBHOOK + "/deliveries",
        list_deliveries,
        200,
        "WebhookDeliveryList",
        query=list_query("status"),
    ),
    _endpoint(
        "POST",
        WEBHOOK + "/deliveries/<uuid:delivery_id>/replay",
        replay_delivery,
        202,
        "WebhookDelivery",
        problems=(409,),
    ),
)
