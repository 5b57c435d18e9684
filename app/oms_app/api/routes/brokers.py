"""Brokers that plugins connect to, and the tenant's connections: connect, status, credentials, disconnect."""

from typing import Any

import marshmallow as ma

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import IdText, Text
from oms_app.api.paging import whole_list
from oms_app.api.paths import v1
from oms_app.api.problems import not_found
from oms_app.api.reading import catalogue as reading
from oms_app.flow.broker_credentials import BrokerCredentials
from oms_app.flow.connections import Connections
from oms_app.flow.scopes import Scope
from oms_kernel.contracts.plugin import params_schema

BROKER = "/brokers/<name>"


def list_brokers(call: Call) -> Answer:
    """List the brokers that are installed, with your connections."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        connections = reading.connections(unit)
    brokers = [_broker(call, name, connections) for name in call.services.registries.brokers]
    return Answer(whole_list(brokers))


def broker_status(call: Call, name: str) -> Answer:
    """Read how your connections to a broker stand."""
    _require_broker(call, name)
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(_broker(call, name, reading.connections(unit, name)))


def connect_broker(call: Call, name: str) -> Answer:
    """Ask for a connection to be connected; a session process does it. Name one if you have several."""
    return _wanted(call, name, connected=True)


def disconnect_broker(call: Call, name: str) -> Answer:
    """Ask for a connection to be closed. Orders at the broker stay there."""
    return _wanted(call, name, connected=False)


def change_broker_credentials(call: Call, name: str) -> Answer:
    """Give a connection its secrets, for instance a password; null takes one away. They are never shown.

    A session uses them when it connects the next time: disconnect and connect. Name a connection if you have several.
    """
    _require_broker(call, name)
    services = call.services
    connection_id, names = BrokerCredentials(services.store, services.registries, services.sealer).change(
        call.principal, name, call.body.get("connection_id"), call.body["credentials"], call.actor
    )
    return Answer({"connection_id": connection_id, "credentials": names})


def _wanted(call: Call, name: str, *, connected: bool) -> Answer:
    _require_broker(call, name)
    connection_id = Connections(call.services.store, call.actor).want(
        call.principal, name, call.body.get("connection_id"), connected=connected
    )
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        found = [one for one in reading.connections(unit, name) if one["connection_id"] == connection_id]
    return Answer(found[0], 202)


def _require_broker(call: Call, name: str) -> None:
    if name not in call.services.registries.brokers:
        raise not_found(f"broker installed: {name}")


def _broker(call: Call, name: str, connections: list[dict[str, Any]]) -> dict[str, Any]:
    registered = call.services.registries.brokers[name]
    return {
        "name": name,
        "title": registered.contributed.title,
        "plugin": registered.plugin,
        "params_schema": params_schema(registered.contributed),
        "connections": [one for one in connections if one["broker"] == name],
    }


def _wish(name: str) -> SchemaBody:
    return SchemaBody(name, {"connection_id": IdText(allow_none=True)})


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/brokers"),
        view=list_brokers,
        scope=Scope.MANAGE_BROKERS,
        tag="brokers",
        answers={200: "BrokerList"},
    ),
    Endpoint(
        method="GET",
        path=v1(BROKER + "/status"),
        view=broker_status,
        scope=Scope.MANAGE_BROKERS,
        tag="brokers",
        answers={200: "Broker"},
    ),
    Endpoint(
        method="POST",
        path=v1(BROKER + "/connect"),
        view=connect_broker,
        scope=Scope.MANAGE_BROKERS,
        tag="brokers",
        body=_wish("Connect"),
        body_optional=True,
        answers={202: "Connection"},
        problems=(409,),
    ),
    Endpoint(
        method="PUT",
        path=v1(BROKER + "/credentials"),
        view=change_broker_credentials,
        scope=Scope.MANAGE_BROKERS,
        tag="brokers",
        body=SchemaBody(
            "BrokerCredentialsRequest",
            {
                "connection_id": IdText(allow_none=True),
                "credentials": ma.fields.Dict(
                    keys=Text(longest=100),
                    values=Text(longest=10_000, allow_none=True),
                    required=True,
                    validate=ma.validate.Length(1, 50),
                ),
            },
        ),
        answers={200: "BrokerCredentials"},
        problems=(409,),
        step_up=True,
    ),
    Endpoint(
        method="POST",
        path=v1(BROKER + "/disconnect"),
        view=disconnect_broker,
        scope=Scope.MANAGE_BROKERS,
        tag="brokers",
        body=_wish("Disconnect"),
        body_optional=True,
        answers={202: "Connection"},
        problems=(409,),
    ),
)
