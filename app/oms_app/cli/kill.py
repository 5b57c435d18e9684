"""`oms kill`: throw a kill switch through the API, or on this machine with the API gone, or with the database gone too.

On this machine no key is needed: who may read the settings may do this, and it is recorded as the command line's.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import click
import msgspec

from oms_app.cli.connection import Api, connected
from oms_app.cli.connection import facts as facts_of
from oms_app.cli.control_sockets import Asked as Answered
from oms_app.cli.control_sockets import halt_now
from oms_app.cli.errors import CommandFailed
from oms_app.cli.on_this_machine import services_here
from oms_app.cli.output import err, json_option, print_facts, print_table, show
from oms_app.config import load_settings, read_settings

if TYPE_CHECKING:
    from oms_app.bootstrap import Services
    from oms_app.flow.kill_switch import Activated, Asked
    from oms_app.flow.principal import Principal
    from oms_kernel.domain.ids import TenantId

STATES = ("REDUCE_ONLY", "CANCEL_ONLY", "HALTED")
SWITCHES = (
    "switch_id", "level", "account_id", "strategy_id", "instrument_id", "trading_state", "cause", "reason_code",
    "activated_at", "activated_by", "release_asked_by", "released_at", "released_by",
)  # fmt: skip
ORDERS = ("order_id", "what", "why")
NO_TENANT = "name a tenant with --tenant, or say --firm: there is not exactly one tenant here"


@click.group(invoke_without_command=True)
@click.option("--account", "account_id", help="Only this trading account.")
@click.option("--strategy", "strategy_id", help="Only this strategy.")
@click.option("--instrument", "instrument_id", help="Only this instrument.")
@click.option("--all", "everything", is_flag=True, help="Everything of the tenant.")
@click.option("--tenant", help="On this machine: slug or id of the tenant. Implies --now.")
@click.option("--firm", is_flag=True, help="On this machine: every tenant of this installation. Implies --now.")
@click.option("--state", default="HALTED", show_default=True, type=click.Choice(STATES, case_sensitive=False))
@click.option("--reason-code", default="manual", show_default=True, help="Why, as a short word.")
@click.option("--reason", default="", help="Why, in your own words; kept beside the log.")
@click.option("--cancel", "cancel_working", is_flag=True, help="Cancel what works.")
@click.option("--flatten", is_flag=True, help="Cancel what works and close every position.")
@click.option("--drill", is_flag=True, help="Decide all of it and do nothing; tell counts and the time it took.")
@click.option("--now", is_flag=True, help="On this machine, without the API; without the database by its sessions.")
@click.option("--url", help="Where the API is. Else OMS_URL, else demo.json in OMS_HOME.")
@click.option("--api-key", help="The key to use. Else OMS_API_KEY, else demo.json in OMS_HOME.")
@json_option
@click.pass_context
def kill(
    context: click.Context,
    /,
    everything: bool,
    tenant: str | None,
    firm: bool,
    state: str,
    drill: bool,
    now: bool,
    url: str | None,
    api_key: str | None,
    as_json: bool,
    **asked: Any,
) -> None:
    """Stop what is new until a person releases it: oms kill --all --cancel --reason 'prices of yesterday'

    Orders that may still trade are named with the reason. Exit code 0 means that nothing new goes out any more.
    """
    if context.invoked_subcommand is not None:
        return
    narrow = [asked[f"{name}_id"] for name in ("account", "strategy", "instrument")]
    if not any(narrow) and not (everything or tenant or firm):
        raise click.UsageError("name --account, --strategy or --instrument, or say --all or --firm")
    if firm and (asked["account_id"] or asked["strategy_id"]):
        raise click.UsageError("--firm covers every account and strategy; only --instrument may narrow it")
    body = {name: value for name, value in asked.items() if value}
    body["trading_state"] = state.upper()
    if now or tenant or firm:
        _here(body, tenant, firm=firm, drill=drill, as_json=as_json)
        return
    if not any(narrow):
        body["level"] = "TENANT"
    with Api(facts_of(url, api_key)) as api:
        if drill:
            done = api.post("/risk/kill-switches/drill", body)
            show(as_json, done, lambda: print_facts("Drill", done))
            return
        _show_result(api.post("/risk/kill-switches", body), as_json)


@kill.command("list")
@click.option("--ended", is_flag=True, help="Those that were released, too.")
@click.option("--events", is_flag=True, help="Everything that happened, drills included.")
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first.")
@json_option
@connected
def list_switches(api: Api, as_json: bool, ended: bool, events: bool, limit: int) -> None:
    """List the kill switches that hold, newest first."""
    if events:
        found = api.items("/risk/kill-switch-events", at_most=limit)
        columns: tuple[str, ...] = (
            "recorded_at", "kind", "switch_id", "trading_state", "reason_code", "principal", "order_count",
            "position_count", "elapsed_ms",
        )  # fmt: skip
    else:
        found = api.items("/risk/kill-switches", at_most=limit, **({} if ended else {"active": "true"}))
        columns = SWITCHES
    show(as_json, {"items": found}, lambda: print_table("Kill switches", columns, found, empty="none holds"))


@kill.command()
@click.argument("switch_id")
@click.option("--reason", required=True, help="Why trading may go on, in your own words.")
@click.option("--tenant", help="Slug or id of the tenant, where there are several.")
@json_option
def release(switch_id: str, reason: str, tenant: str | None, as_json: bool) -> None:
    """Release a kill switch, on this machine. SWITCH_ID may be that of a switch of the whole firm.

    Where the tenant wants two persons, this asks for the release, and a person confirms it in the dashboard or over
    the API; or the other way round.
    """
    from oms_app.flow.audit import cli_actor
    from oms_app.flow.kill_switch import UnknownSwitch
    from oms_kernel.domain.ids import EventId

    with services_here() as services:
        firm = {one.firm_switch_id: one for one in services.firm_switches.active()}
        if switch_id in firm:
            principal = _principal(services, next(iter(_tenants(services, None))))
            done = services.firm_switches.release(principal, switch_id, reason, cli_actor())
            told = {"switch_id": switch_id, "released": not done.waits, "ledgers": done.ledgers}
        else:
            for tenant_id in _tenants(services, tenant):
                try:
                    released = services.kill_switches.release(
                        _principal(services, tenant_id), EventId(switch_id), reason, cli_actor()
                    )
                    break
                except UnknownSwitch:
                    continue
            else:
                raise CommandFailed(f"there is no kill switch {switch_id}\n  fix: `oms kill list`")
            told = {"switch_id": switch_id, "released": not released.waits, "ledgers": 1}
    if not told["released"]:
        err().print("[yellow]it still holds: a second person has to confirm the release[/yellow]")
    show(as_json, told, lambda: print_facts("Kill switch", told))


def _here(body: dict[str, Any], tenant: str | None, *, firm: bool, drill: bool, as_json: bool) -> None:
    """On this machine: by the database, and where that is away by the sessions' own sockets."""
    from sqlalchemy.exc import SQLAlchemyError

    from oms_app.bootstrap import build_services
    from oms_app.flow.errors import OutcomeUnknown, Unavailable
    from oms_app.store.unit_of_work import CommitUnknown, StoreUnavailable

    services = build_services(load_settings())
    try:
        with _refusals():
            done = _throw(services, body, tenant, firm=firm, drill=drill)
    except (SQLAlchemyError, StoreUnavailable, CommitUnknown, Unavailable, OutcomeUnknown) as error:
        err().print(f"[yellow]the database is away ({type(error).__name__}): asking the sessions themselves[/yellow]")
        done = None
    finally:
        services.close()
    if done is not None and drill:
        show(as_json, done, lambda: print_facts("Drill", done))
    elif done is not None:
        _show_result(done, as_json)
    elif drill:
        raise CommandFailed("a drill needs the database")
    else:
        _halt_sessions(body, tenant, as_json)


def _throw(services: Services, body: dict[str, Any], tenant: str | None, *, firm: bool, drill: bool) -> dict[str, Any]:
    from oms_app.flow.audit import cli_actor

    asked = _asked(body, firm=firm)
    if firm:
        principal = _principal(services, next(iter(_tenants(services, None))))
        if drill:
            return _plain(services.firm_switches.drill(principal, asked, cli_actor()))
        return _shown(services.firm_switches.activate(principal, asked, cli_actor()))
    tenants = _tenants(services, tenant)
    if len(tenants) != 1:
        raise click.UsageError(NO_TENANT)
    principal = _principal(services, tenants[0])
    if drill:
        return _plain(services.kill_switches.drill(principal, asked, cli_actor()))
    return _shown(services.kill_switches.activate(principal, asked, cli_actor()))


def _halt_sessions(body: dict[str, Any], tenant: str | None, as_json: bool) -> None:
    """Halt the sessions of this machine; each records the switch itself as soon as the database answers."""
    if body.get("strategy_id") or body.get("instrument_id"):
        raise CommandFailed(
            "without the database the sessions can halt an account or everything\n"
            "  fix: leave --strategy and --instrument out"
        )
    if body["trading_state"] != "HALTED":
        err().print("[yellow]without the database the sessions can only halt[/yellow]")
    tenant_id = tenant if tenant is not None and _is_id(tenant) else None
    cancels = bool(body.get("cancel_working") or body.get("flatten"))
    answered = halt_now(
        read_settings().home, body.get("account_id"), tenant_id, body.get("reason", ""), cancel_working=cancels
    )
    _show_answers(answered, as_json)


def _show_answers(answered: list[Answered], as_json: bool) -> None:
    rows = [
        {"connection_id": one["connection_id"], "order_id": order_id, "cancel": told}
        for process in answered
        for one in process.connections
        for order_id, told in [*((order_id, "sent") for order_id in one["sent"]), *one["waiting"].items()]
    ]
    columns = ("connection_id", "order_id", "cancel")
    show(
        as_json,
        {"processes": msgspec.to_builtins(answered)},
        lambda: print_table("Halted; cancels", columns, rows, empty="halted; no cancels"),
    )
    problems = [f"{process.process}: {process.problem}" for process in answered if process.problem]
    problems += [one["problem"] for process in answered for one in process.connections if one.get("problem")]
    if problems:
        raise CommandFailed("\n".join(problems))


def _asked(body: dict[str, Any], *, firm: bool) -> Asked:
    from oms_app.flow.kill_switch import Asked
    from oms_kernel.domain.account import TradingState
    from oms_kernel.domain.scope import Scope

    return Asked(
        scope=Scope(
            account_id=body.get("account_id"),
            strategy_id=body.get("strategy_id"),
            instrument_id=body.get("instrument_id"),
            is_firm=firm,
        ),
        trading_state=TradingState(body["trading_state"]),
        reason_code=body["reason_code"],
        reason=body.get("reason", ""),
        cancel_working=bool(body.get("cancel_working")),
        flatten=bool(body.get("flatten")),
    )


def _principal(services: Services, tenant_id: TenantId) -> Principal:
    from oms_app.flow.audit import CLI
    from oms_app.flow.principal import Principal

    return Principal(CLI, tenant_id, frozenset())


def _tenants(services: Services, name: str | None) -> list[TenantId]:
    """The tenant of this name, or every tenant that has a ledger."""
    from oms_app.store.platform import PLATFORM_TENANT

    if name is not None:
        return [services.tenancy.find(name)]
    return sorted({tenant_id for tenant_id, _ in services.store.ledgers() if tenant_id != PLATFORM_TENANT})


def _shown(done: Activated) -> dict[str, Any]:
    return {
        "already_active": not done.is_new,
        "kill_switches": [
            {**_plain(part.switch), "level": part.switch.scope.level.value, "ledger_id": part.ledger_id}
            for part in done.parts
        ],
        "cancelling": [order_id for part in done.parts for order_id in part.cancelling],
        "ended": [order_id for part in done.parts for order_id in part.ended],
        "unrecallable": [_plain(one) for part in done.parts for one in part.unrecallable],
        "liquidation_ids": [part.liquidation_id for part in done.parts if part.liquidation_id is not None],
        "ledgers": len(done.parts),
        "elapsed_ms": done.elapsed_ms,
    }


def _show_result(done: dict[str, Any], as_json: bool) -> None:
    def for_people() -> None:
        print_table("Kill switches", SWITCHES[:9], done["kill_switches"], empty="no ledger that did not have it")
        rows = [{"order_id": one, "what": "cancelling"} for one in done["cancelling"]]
        rows += [{"order_id": one, "what": "ended, never sent"} for one in done["ended"]]
        rows += [{**one, "what": "cannot be recalled"} for one in done["unrecallable"]]
        print_table("Orders", ORDERS, rows, empty="no orders")
        if done["already_active"]:
            err().print("an equal switch held already: nothing was changed")

    show(as_json, done, for_people)


def _plain(value: Any) -> dict[str, Any]:
    found: dict[str, Any] = msgspec.to_builtins(value, enc_hook=str)
    return found


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False


@contextmanager
def _refusals() -> Iterator[None]:
    """Tell what flow refuses as a sentence; an outage goes through to whoever can do without the database."""
    from oms_app.flow.errors import FlowError, OutcomeUnknown, Unavailable
    from oms_kernel.domain.errors import KernelError

    try:
        yield
    except (Unavailable, OutcomeUnknown):
        raise
    except (FlowError, KernelError) as error:
        at = f"{error.field}: " if getattr(error, "field", None) else ""
        raise CommandFailed(f"{at}{getattr(error, 'detail', error)}") from None
