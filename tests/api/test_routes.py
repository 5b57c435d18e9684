"""Every route: declares who may call it, is documented as it is served, and answers under each of its spellings."""

import json
import re
import uuid
from typing import Any

import pytest
from openapi_spec_validator import validate

from oms_app.api.app import ENDPOINTS, create_api, require_permissions
from oms_app.api.call import Access, Endpoint
from oms_app.api.descriptions import is_described
from oms_app.api.documentation import flask_path_to_openapi
from oms_app.api.problems import STATUS_OF_CODE
from oms_app.flow.scopes import Scope
from tests.api.desk import Desk

# Spelling that other systems' clients use -> our operation.
ALIASES = [
    ("POST", "/api/v1/oms/orders", "place_order"),
    ("GET", "/api/v1/oms/orders", "list_orders"),
    ("GET", "/api/v1/oms/orders/{order_id}", "get_order"),
    ("PUT", "/api/v1/oms/orders/{order_id}", "modify_order"),
    ("PUT", "/api/v1/orders/{order_id}", "modify_order"),
    ("POST", "/api/v1/orders/{order_id}/modify", "modify_order"),
    ("DELETE", "/api/v1/oms/orders/{order_id}", "cancel_order"),
    ("DELETE", "/api/v1/orders/{order_id}", "cancel_order"),
    ("POST", "/api/v1/oms/orders/bulk", "place_orders"),
    ("POST", "/api/v1/oms/orders/bulk/cancel", "cancel_orders"),
    ("GET", "/api/v1/oms/executions", "list_executions"),
    ("GET", "/api/v1/oms/executions/{execution_id}", "get_execution"),
    ("GET", "/api/v1/oms/positions", "list_positions"),
    ("GET", "/api/v1/oms/positions/{position_id}", "get_position"),
    ("POST", "/api/v1/strategies/{strategy_id}/start", "start_strategy"),
    ("DELETE", "/api/v1/strategies/runs/{run_id}", "stop_run"),
    ("POST", "/api/v1/refresh", "refresh_tokens"),
    ("POST", "/api/v1/logout", "log_out"),
    ("GET", "/healthz", "ready"),
    ("GET", "/api/v1/health", "ready"),
]


@pytest.fixture
def document(quiet_desk: Desk) -> dict[str, Any]:
    """The OpenAPI document as it is served."""
    found: dict[str, Any] = quiet_desk.client.get("/api/v1/openapi.json").json
    return found


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    validate(document)


def test_what_is_served_is_what_is_documented(quiet_desk: Desk, document: dict[str, Any]) -> None:
    documented = {
        (method.upper(), path)
        for path, operations in document["paths"].items()
        for method in operations
        if method in ("get", "post", "put", "patch", "delete")
    }
    served = {
        (method, flask_path_to_openapi(rule.rule))
        for rule in quiet_desk.app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint not in ("openapi_json", "docs", "docs_file")
    }
    assert served == documented


@pytest.mark.parametrize(("method", "path", "operation"), ALIASES)
def test_an_alias_is_the_same_function_and_marked_deprecated(
    quiet_desk: Desk, document: dict[str, Any], method: str, path: str, operation: str
) -> None:
    told = document["paths"][path][method.lower()]
    canonical = next(endpoint for endpoint in ENDPOINTS if endpoint.operation_id == operation)
    if (method, path) != (canonical.method, flask_path_to_openapi(canonical.path)):
        assert told["deprecated"] is True
        assert told["x-alias-of"] == operation
    ours = document["paths"][flask_path_to_openapi(canonical.path)][canonical.method.lower()]
    for part in ("responses", "requestBody", "security"):
        assert told.get(part) == ours.get(part)
    concrete = re.sub(r"\{[^}]+\}", str(uuid.uuid4()), path)
    assert quiet_desk.client.open(concrete, method=method).status_code not in (404, 405)


def test_operation_ids_are_unique(document: dict[str, Any]) -> None:
    ids = [
        operation["operationId"]
        for operations in document["paths"].values()
        for method, operation in operations.items()
        if method != "parameters"
    ]
    assert len(ids) == len(set(ids))


def test_every_field_of_every_schema_has_a_description_that_somebody_wrote(document: dict[str, Any]) -> None:
    bare = []
    for name, schema in document["components"]["schemas"].items():
        for field, told in schema.get("properties", {}).items():
            if not told.get("description") and not any("description" in part for part in told.get("allOf", [])):
                bare.append(f"{name}.{field}")
            elif not is_described(name, field):
                bare.append(f"{name}.{field}")
    assert bare == []


def test_every_parameter_has_a_description(document: dict[str, Any]) -> None:
    bare = [
        (path, parameter["name"])
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if method != "parameters"
        for parameter in operation["parameters"]
        if parameter["in"] != "path" and not parameter.get("description")
    ]
    assert bare == []


def test_decimals_are_texts_with_a_pattern_and_never_numbers(document: dict[str, Any]) -> None:
    text = json.dumps(document)
    assert '"type": "number"' not in text
    quantity = document["components"]["schemas"]["OrderRequest"]["properties"]["quantity"]
    assert (quantity["type"], quantity["format"]) == ("string", "decimal")
    assert re.match(quantity["pattern"], "12.50")
    assert not re.match(quantity["pattern"], "1_000")


def test_a_route_without_a_permission_stops_the_application_from_being_built(quiet_desk: Desk) -> None:
    bare = Endpoint(method="GET", path="/bare", view=lambda call: None, scope="", tag="health", answers={200: None})
    with pytest.raises(ValueError, match="declares no permission"):
        create_api(quiet_desk.services, [bare])
    app = create_api(quiet_desk.services)
    app.add_url_rule("/also-bare", "also_bare", lambda: "")
    with pytest.raises(ValueError, match="/also-bare declares no permission"):
        require_permissions(app)


def callable_path(endpoint: Endpoint) -> str:
    path = re.sub(r"<uuid:[^>]+>", str(uuid.uuid4()), endpoint.path)
    return re.sub(r"<[^>]+>", "sim_broker", path)


PRIVATE = [endpoint for endpoint in ENDPOINTS if endpoint.scope != Access.PUBLIC]


@pytest.mark.parametrize("endpoint", PRIVATE, ids=lambda endpoint: endpoint.operation_id)
def test_a_private_route_is_401_without_credentials_before_anything_is_read(
    quiet_desk: Desk, endpoint: Endpoint
) -> None:
    response = quiet_desk.client.open(callable_path(endpoint), method=endpoint.method, data=b"{")
    assert (response.status_code, response.json["code"]) == (401, "unauthenticated")


SCOPED = [endpoint for endpoint in PRIVATE if isinstance(endpoint.scope, Scope)]


@pytest.mark.parametrize("endpoint", SCOPED, ids=lambda endpoint: endpoint.operation_id)
def test_every_scope_but_the_right_one_is_403(quiet_desk: Desk, endpoint: Endpoint) -> None:
    others = [scope for scope in Scope if scope is not endpoint.scope]
    response = quiet_desk.send(endpoint.method, callable_path(endpoint), b"{", key=quiet_desk.key(*others))
    assert (response.status_code, response.json["scope"]) == (403, endpoint.scope)


def test_public_routes_are_those_that_must_be() -> None:
    public = {endpoint.operation_id for endpoint in ENDPOINTS if endpoint.scope == Access.PUBLIC}
    by_mailed_token = {"accept_invitation", "finish_registration", "look_at_invitation", "reset_password"}
    asking = {"log_in", "refresh_tokens", "ask_password_reset", "register", "verify_email"}
    assert public == {"live", "ready"} | asking | by_mailed_token


def test_every_code_has_a_status_of_an_error() -> None:
    assert all(400 <= status <= 599 and title for status, title in STATUS_OF_CODE.values())
