"""What is installed: each plugin with its state, contributions, parameters' schemas, and how its calls went."""

from typing import Any

from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.json_text import plain
from oms_app.api.paging import whole_list
from oms_app.api.paths import v1
from oms_kernel.contracts.plugin import params_schema
from oms_kernel.registry import Kind


def list_plugins(call: Call) -> Answer:
    """The plugins that are installed, loaded or not, and why."""
    schemas = contributed_schemas(call.services.registries)
    return Answer(whole_list([_shown(report, schemas) for report in call.services.plugins.report()]))


def contributed_schemas(registries: Any) -> dict[tuple[str, str], tuple[str, dict[str, Any]]]:
    """(kind, name) -> (title, JSON Schema of Params) of every class that a plugin registered."""
    found = {}
    for kind in Kind:
        for name, registered in registries.of(kind).items():
            found[kind.value, name] = (registered.contributed.title, params_schema(registered.contributed))
    return found


def _shown(report: Any, schemas: dict[tuple[str, str], tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    return {
        "name": report.name,
        "distribution": report.distribution,
        "version": report.version,
        "status": str(report.status.value),
        "reason": report.reason or report.quarantined or report.last_error or "",
        "load_ms": f"{report.load_ms:.3f}",
        "contributions": [_contribution(one, schemas) for one in report.contributions],
        "calls": report.calls,
        "error_count": report.errors,
        "latency_ms": f"{report.mean_us / 1000:.6f}",
    }


def _contribution(one: Any, schemas: dict[tuple[str, str], tuple[str, dict[str, Any]]]) -> dict[str, Any]:
    shown: dict[str, Any] = plain(one)
    title, schema = schemas.get((str(shown.get("kind")), str(shown.get("name"))), ("", {}))
    return {**shown, "title": shown.get("title") or title, "params_schema": schema}


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/plugins"),
        view=list_plugins,
        scope=Access.AUTHENTICATED,
        tag="plugins",
        answers={200: "PluginList"},
    ),
)
