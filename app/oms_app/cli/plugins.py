"""`oms plugins`: what is installed, what it contributes, why something was not loaded, and which limits miss a rule."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from oms_app.cli.errors import CommandFailed
from oms_app.cli.orphaned_limits import OrphanedLimit, end_orphaned_limit, orphaned_limits
from oms_app.cli.output import json_option, print_facts, print_json, print_table, show
from oms_app.cli.quarantines import quarantines, release_plugin
from oms_app.config import load_settings, read_settings
from oms_kernel.host import PluginHost
from oms_kernel.registry import Registries

COLUMNS = ("name", "distribution", "version", "status", "load_ms", "contributes", "reason")
CONTRIBUTIONS = ("kind", "name", "title")
QUARANTINES = ("plugin", "reason", "ledger_id", "tenant_id")
LIMITS = ("limit_id", "rule", "account_id", "tenant_id")


@click.group()
def plugins() -> None:
    """List, show and check the installed plugins."""


@plugins.command("list")
@json_option
def list_plugins(as_json: bool) -> None:
    """List the installed plugins and what they contribute."""
    found = _reports(_load()[0])
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
    host, registries = _load()
    found = [one for one in _reports(host) if name in (one["name"], one["distribution"])]
    if not found:
        raise CommandFailed(f"no plugin named {name}: `oms plugins list` shows what is installed")
    one = found[0]
    schemas = _parameters(registries, one["name"])
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
    """Load every plugin; look for limits without a rule and for plugins in quarantine.

    Fails when a plugin is broken or refused, when a limit names a rule that no loaded plugin provides, and when a
    plugin is in quarantine because a rule of it hung: the last two deny every order that they cover.
    """
    host, registries = _load()
    bad = [one for one in _reports(host) if one["status"] in {"BROKEN", "REFUSED"}]
    orphans = orphaned_limits(read_settings(), registries)
    rows = [msgspec.to_builtins(one) for one in orphans]
    shut_out = [msgspec.to_builtins(one) for one in quarantines(read_settings())]

    def for_people() -> None:
        print_table("Broken", COLUMNS, bad, empty="every plugin loads")
        print_table("Limits without a rule", LIMITS, rows, empty="every limit has its rule")
        print_table("In quarantine", QUARANTINES, shut_out, empty="no plugin is in quarantine")

    show(as_json, {"broken": bad, "limits_without_rule": rows, "quarantines": shut_out}, for_people)
    said = [f"{len(bad)} of the installed plugins cannot be used"] if bad else []
    if orphans:
        said.append(_way_out(orphans))
    if shut_out:
        said.append(
            f"{len(shut_out)} plugins are in quarantine and their rules deny every order\n"
            "  fix: repair or upgrade each, then `oms plugins release NAME`"
        )
    if said:
        raise CommandFailed("\n".join(said))


@plugins.command("end-limit")
@click.argument("limit_id")
@json_option
def end_limit(limit_id: str, as_json: bool) -> None:
    """End LIMIT_ID, whose rule no loaded plugin provides.

    The limit then denies nothing and checks nothing, from the next batch of orders on. Its row stays.
    """
    ended = end_orphaned_limit(read_settings(), _load()[1], limit_id)
    rows = [msgspec.to_builtins(one) for one in ended]
    show(as_json, {"ended": rows}, lambda: print_table("Ended", LIMITS, rows, empty=""))


@plugins.command()
@click.argument("name")
@json_option
def release(name: str, as_json: bool) -> None:
    """Release plugin NAME from quarantine, in every ledger.

    Repair or upgrade it first and restart the processes: they go on with the code that they loaded.
    """
    released = [msgspec.to_builtins(one) for one in release_plugin(load_settings(), name)]
    show(as_json, {"released": released}, lambda: print_table("Released", QUARANTINES, released, empty=""))


def _way_out(orphans: list[OrphanedLimit]) -> str:
    rules = ", ".join(sorted({one.rule for one in orphans}))
    return (
        f"{len(orphans)} limits name a rule that no loaded plugin provides ({rules}) and deny every order they cover\n"
        "  fix: install the plugin again, or end each with `oms plugins end-limit LIMIT_ID`"
    )


def _load() -> tuple[PluginHost, Registries]:
    from oms_app.bootstrap import build_plugins

    return build_plugins(read_settings())


def _reports(host: PluginHost) -> list[dict[str, Any]]:
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


def _parameters(registries: Registries, plugin: str) -> dict[str, dict[str, Any]]:
    from oms_kernel.contracts.plugin import params_schema

    found: dict[str, dict[str, Any]] = {}
    for registry in (
        registries.brokers,
        registries.risk_rules,
        registries.compliance_checks,
        registries.strategies,
        registries.webhook_sinks,
        registries.tables,
    ):
        for registered in registry.values():
            if registered.plugin == plugin:
                found[registered.name] = params_schema(registered.contributed)
    return found
