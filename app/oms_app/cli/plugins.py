"""`oms plugins`: what is installed, what it contributes, and why something was not loaded."""

from __future__ import annotations

from typing import Any

import click

from oms_app.cli.errors import CommandFailed
from oms_app.cli.output import json_option, print_facts, print_json, print_table, show
from oms_app.config import read_settings

COLUMNS = ("name", "distribution", "version", "status", "load_ms", "contributes", "reason")
CONTRIBUTIONS = ("kind", "name", "title")


@click.group()
def plugins() -> None:
    """List, show and check the installed plugins."""


@plugins.command("list")
@json_option
def list_plugins(as_json: bool) -> None:
    """List the installed plugins and what they contribute."""
    found = _reports()
    rows = [{**one, "contributes": ", ".join(item["name"] for item in one["contributions"])} for one in found]
    show(
        as_json,
        {"plugins": found},
        lambda: print_table("Plugins", COLUMNS, rows, empty="no plugins are installed"),
    )


@plugins.command("show")
@click.argument("name")
@json_option
def show_plugin(name: str, as_json: bool) -> None:
    """Show one plugin, its contributions and their parameters."""
    found = [one for one in _reports() if name in (one["name"], one["distribution"])]
    if not found:
        raise CommandFailed(f"no plugin named {name}: `oms plugins list` shows what is installed")
    one = found[0]
    schemas = _parameters(one)
    if as_json:
        print_json({**one, "parameters": schemas})
        return
    print_facts("Plugin", {key: value for key, value in one.items() if key != "contributions"})
    print_table("Contributions", CONTRIBUTIONS, one["contributions"], empty="contributes nothing")
    for title, schema in schemas.items():
        rows = [
            {"parameter": field, **facts, "required": field in schema.get("required", ())}
            for field, facts in schema.get("properties", {}).items()
        ]
        columns = ("parameter", "type", "unit", "default", "required", "description")
        if rows:
            print_table(title, columns, rows, empty="")


@plugins.command()
@json_option
def check(as_json: bool) -> None:
    """Load every plugin; fails when one is broken or refused."""
    bad = [one for one in _reports() if one["status"] in {"BROKEN", "REFUSED"}]
    show(as_json, {"broken": bad}, lambda: print_table("Broken", COLUMNS, bad, empty="every plugin loads"))
    if bad:
        raise CommandFailed(f"{len(bad)} of the installed plugins cannot be used")


def _reports() -> list[dict[str, Any]]:
    from oms_app.bootstrap import build_plugins

    host, _registries = build_plugins(read_settings())
    return [_report(one) for one in host.report()]


def _report(one: Any) -> dict[str, Any]:
    return {
        "name": one.name,
        "distribution": one.distribution,
        "version": one.version,
        "status": str(one.status),
        "reason": one.reason,
        "load_ms": one.load_ms,
        "contributions": [
            {"kind": str(item.kind), "name": item.name, "title": item.title} for item in one.contributions
        ],
    }


def _parameters(report: dict[str, Any]) -> dict[str, dict[str, Any]]:
    from oms_app.bootstrap import build_plugins
    from oms_kernel.contracts.plugin import params_schema

    _host, registries = build_plugins(read_settings())
    found: dict[str, dict[str, Any]] = {}
    for registry in (
        registries.brokers,
        registries.risk_rules,
        registries.compliance_checks,
        registries.strategies,
        registries.webhook_sinks,
    ):
        for registered in registry.values():
            if registered.plugin == report["name"]:
                found[registered.name] = params_schema(registered.contributed)
    return found
