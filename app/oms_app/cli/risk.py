"""`oms risk`: the rules that are installed, the limits in force, and all limits of a firm as one file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from oms_app.cli.breaches import breaches, monitoring
from oms_app.cli.errors import CommandFailed
from oms_app.cli.kill import kill
from oms_app.cli.liquidations import liquidate
from oms_app.cli.on_this_machine import services_here
from oms_app.cli.output import json_option, print_table, show

if TYPE_CHECKING:
    from oms_app.bootstrap import Services
    from oms_app.flow.limit_edits import Edit
    from oms_app.flow.limit_file import BadLimits
    from oms_app.flow.limit_files import SectionResult
    from oms_app.flow.principal import Principal

WOULD_CHANGE = 7
"""Exit code of a dry run that found differences."""
LONGEST_FILE = 4_000_000
RULES = ("name", "kind", "title", "rank", "can_trigger", "plugin", "source")
LIMITS = (
    "name", "rule", "scope", "severity", "action", "params", "effective_from", "effective_until", "version", "limit_id",
)  # fmt: skip
USAGE = ("limit", "rule", "figure", "used", "of", "unit", "share", "scope")
CHANGES = ("change_id", "asked_by", "reason", "expires_at", "changes")
tenant_option = click.option("--tenant", help="Slug or id of the tenant.")


@click.group()
def risk() -> None:
    """List rules and limits, apply or export all limits as one file, and handle breaches."""


risk.add_command(breaches)
risk.add_command(monitoring)
risk.add_command(kill)
risk.add_command(liquidate)


@risk.command()
@json_option
def rules(as_json: bool) -> None:
    """List the rules, checks and monitors that are installed; --json shows their parameters with units and bounds."""
    import msgspec

    from oms_app.bootstrap import build_plugins
    from oms_app.config import load_settings
    from oms_app.flow.rule_catalogue import catalogue

    found = [msgspec.to_builtins(one) for one in catalogue(build_plugins(load_settings())[1])]
    show(as_json, {"rules": found}, lambda: print_table("Rules", RULES, found, empty="no plugin provides a rule"))


@risk.command()
@tenant_option
@json_option
def limits(tenant: str | None, as_json: bool) -> None:
    """List the limits in force: the firm's, and those of --tenant."""
    import msgspec

    from oms_app.flow.limit_names import Names

    with services_here() as services:
        if tenant is None:
            stored = list(services.limits.list_firm())
            with services.store.read_unit(None) as unit:
                names = {one.limit.limit_id: Names(unit).words(one.limit.scope) for one in stored}
        else:
            operator = _operator(services, tenant)
            stored = list(services.limits.list(operator))
            with services.store.read_unit(operator.tenant_id) as unit:
                known = Names(unit)
                names = {one.limit.limit_id: known.words(one.limit.scope) for one in stored}
    found = [
        {
            **{name: value for name, value in msgspec.to_builtins(one.limit).items() if name != "scope"},
            "level": one.limit.scope.level.value,
            "scope": names[one.limit.limit_id],
        }
        for one in stored
    ]
    rows = [{**one, "scope": _scope(one["scope"]) or one["level"].lower()} for one in found]
    none = "no limit is in force" if tenant else "no limit of the firm is in force; --tenant lists those of a tenant"
    show(as_json, {"limits": found}, lambda: print_table("Limits", LIMITS, rows, empty=none))


@risk.command()
@click.option("--tenant", required=True, help="Slug or id of the tenant.")
@json_option
def usage(tenant: str, as_json: bool) -> None:
    """List how much of each limit is used, most used first, as far as its rule can tell."""
    from oms_app.flow.limit_names import Names
    from oms_kernel.domain.money import to_text

    with services_here() as services:
        operator = _operator(services, tenant)
        found = services.risk_usage.of(operator)
        with services.store.read_unit(operator.tenant_id) as unit:
            names = Names(unit)
            scopes = [names.words(one.scope) for one in found]
    rows = [
        {
            "limit": one.name or one.limit_id,
            "rule": one.rule,
            "figure": one.usage.figure,
            "used": to_text(one.usage.used),
            "of": to_text(one.usage.limit),
            "unit": one.usage.unit,
            "share": to_text(one.share) if one.share is not None else None,
            "scope": _scope(words),
        }
        for one, words in zip(found, scopes, strict=True)
    ]
    show(as_json, {"usage": rows}, lambda: print_table("Usage", USAGE, rows, empty="no limit has figures"))


@risk.command()
@click.option("--tenant", required=True, help="Slug or id of the tenant.")
@json_option
def changes(tenant: str, as_json: bool) -> None:
    """List the changes of limits that wait for a second person, who decides over the API or in the dashboard."""
    import msgspec

    from oms_app.flow.limit_edits import from_rows, shown_edit
    from oms_app.store.queries import Paging

    with services_here() as services:
        operator = _operator(services, tenant)
        waiting = services.limit_changes.list(operator, Paging(limit=500), status="PENDING").items
    found = [
        {**msgspec.structs.asdict(one), "changes": [shown_edit(edit) for edit in from_rows(one.changes)]}
        for one in waiting
    ]
    show(as_json, {"changes": found}, lambda: print_table("Waiting", CHANGES, found, empty="nothing waits"))


@risk.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False, allow_dash=True))
@tenant_option
@click.option("--dry-run", is_flag=True, help="Only show what differs; exit code 0: nothing, 7: something.")
@click.option("--prune", is_flag=True, help="End the limits that the file does not name.")
@click.option("--reason", default="", help="Why; kept on record. Needed where limits take two persons.")
@json_option
def apply(file: Path, tenant: str | None, dry_run: bool, prune: bool, reason: str, as_json: bool) -> None:
    """Bring limits and settings of risk to what FILE says, in one transaction; a second time it changes nothing.

    What differs is shown field by field, old -> new; under LOOSER stands once more all that lets more through, limits
    that end included. --tenant: whose limits stand at the top of the file; sections
    under `tenants` and `firm` say it themselves. Where a tenant wants a second person for limits, its new limits come
    into force at once, and all else waits until a person approves it over the API or in the dashboard.
    """
    from oms_app.flow.audit import cli_actor
    from oms_app.flow.limit_file import BadLimits, document_of
    from oms_app.flow.limit_files import shown_section

    text = _read(file)
    with services_here() as services:
        operator = _operator(services, tenant)
        try:
            results = services.limit_files.apply(
                operator,
                cli_actor(),
                document_of(text),
                tenant_id=operator.tenant_id if tenant is not None else None,
                dry_run=dry_run,
                prune=prune,
                reason=reason,
                is_operator=True,
            )
        except BadLimits as error:
            raise _told(str(file), error) from None
    has_changes = any(one.edits or one.waiting for one in results)
    sections = [shown_section(one) for one in results]
    told = {"dry_run": dry_run, "has_changes": has_changes, "sections": sections}
    show(as_json, told, lambda: _print(results, dry_run=dry_run))
    if dry_run and has_changes:
        raise SystemExit(WOULD_CHANGE)


@risk.command()
@tenant_option
@click.option("--output", "-o", type=click.Path(path_type=Path, dir_okay=False), help="Write here instead of stdout.")
def export(tenant: str | None, output: Path | None) -> None:
    """Write the limits and settings of risk in force as a file; of every tenant and the firm without --tenant."""
    from oms_app.store.tenants import list_tenants

    with services_here() as services:
        if tenant is not None:
            wanted = [services.tenancy.find(tenant)]
        else:
            with services.store.read_unit(None) as unit:
                wanted = [one.tenant_id for one in list_tenants(unit)]
        text = services.limit_files.export(wanted, with_firm=tenant is None)
    if output is None:
        click.echo(text, nl=False)
    else:
        output.write_text(text, encoding="utf-8")


def _operator(services: Services, tenant: str | None) -> Principal:
    """Whoever works on this machine, in the named tenant or in that of the platform."""
    from oms_app.flow.audit import CLI
    from oms_app.flow.principal import Principal
    from oms_app.flow.scopes import Scope
    from oms_app.store.platform import PLATFORM_TENANT

    tenant_id = services.tenancy.find(tenant) if tenant is not None else PLATFORM_TENANT
    return Principal(principal_id=CLI, tenant_id=tenant_id, scopes=frozenset(str(scope) for scope in Scope))


def _read(file: Path) -> str:
    try:
        data = sys.stdin.buffer.read() if str(file) == "-" else file.read_bytes()
        if len(data) > LONGEST_FILE:
            raise CommandFailed(f"{file} is larger than {LONGEST_FILE} bytes")
        return data.decode("utf-8")
    except OSError as error:
        raise CommandFailed(f"{file} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise CommandFailed(f"{file} is not UTF-8\n  fix: save it in UTF-8") from None


def _told(file: str, error: BadLimits) -> CommandFailed:
    """Every fault with its place and its fix."""
    count = "1 fault" if len(error.faults) == 1 else f"{len(error.faults)} faults"
    lines = [f"{file} has {count}; nothing was changed"]
    for fault in error.faults:
        place = f"{file}:{fault.line}" if fault.line else file
        lines.append(f"  {place}: {fault.path or 'the file'}: {fault.detail}\n    fix: {fault.fix}")
    return CommandFailed("\n".join(lines))


def _print(results: list[SectionResult], *, dry_run: bool) -> None:
    for result in results:
        click.echo("the firm" if result.is_firm else f"tenant {result.tenant}")
        for edit in result.edits:
            _print_edit(edit, result.words)
        if result.waiting:
            until = f"; change {result.change_id}" if result.change_id else ""
            click.echo(f"  a second person {'would decide' if dry_run else 'decides'} over{until}:")
            for edit in result.waiting:
                _print_edit(edit, result.words)
        click.echo(f"  {result.unchanged} unchanged")
    edits = [(edit, one.words) for one in results for edit in (*one.edits, *one.waiting)]
    looser = [(edit, words) for edit, words in edits if edit.loosens]
    if looser:
        told = "would let more through" if dry_run else "let more through"
        click.echo(f"LOOSER: {len(looser)} of {len(edits)} changes {told}")
        for edit, words in looser:
            click.echo(f"  ! {_named(edit, words)}: {', '.join(edit.loosens)}")
    counts = [sum(edit.kind == kind for edit, _words in edits) for kind in _SIGNS]
    told = ", ".join(f"{count} {word}" for count, word in zip(counts, _COUNTED, strict=True))
    click.echo(f"{'would be' if dry_run else 'done'}: {told}")


def _print_edit(edit: Edit, words: dict[str, dict[str, str]]) -> None:
    looser = f"  (looser: {', '.join(edit.loosens)})" if edit.loosens and edit.kind != "END" else ""
    click.echo(f"  {_SIGNS[edit.kind]} {_named(edit, words)}{looser}")
    if edit.kind == "END":
        return
    for field, old, new in edit.fields:
        if field in ("rule", "name") and edit.kind == "CREATE":
            continue
        told = _value(new) if edit.kind == "CREATE" else f"{_value(old)} -> {_value(new)}"
        click.echo(f"      {field}: {told}")


def _named(edit: Edit, words: dict[str, dict[str, str]]) -> str:
    """Which limit the edit is about, or that it is about settings."""
    values = edit.after or edit.before
    what = f"limit {values.get('name') or edit.limit_id}: {values.get('rule', '')}" if edit.limit_id else "settings"
    scope = _scope(words.get(edit.limit_id, {}))
    return f"{what} on {scope}" if scope else what


def _value(value: Any) -> str:
    import json

    return "none" if value is None else value if isinstance(value, str) else json.dumps(value)


def _scope(words: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in words.items())


_SIGNS: dict[str, str] = {"CREATE": "+", "CHANGE": "~", "END": "-", "SETTINGS": "~"}
_COUNTED = ("new", "changed", "ended", "settings")
