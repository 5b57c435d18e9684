"""`oms orders`: an order from the command line to the API, and what became of it back."""

from __future__ import annotations

import time
from typing import Any

import click
import msgspec

from oms_app.cli.connection import Api, connected
from oms_app.cli.control_sockets import cancel_all_now
from oms_app.cli.errors import CommandFailed
from oms_app.cli.output import err, json_option, print_facts, print_table, progress, show
from oms_app.config import read_settings
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.resolution import Finding

COLUMNS = (
    "order_id", "symbol", "side", "quantity", "filled_quantity", "order_type", "limit_price", "stop_price",
    "average_price", "state", "reason",
)  # fmt: skip
MODIFICATION_COLUMNS = (
    "number", "requested_at", "principal", "quantity", "limit_price", "stop_price", "status", "reason", "settled_at",
)  # fmt: skip
WAITING_COLUMNS = (
    "order_id", "symbol", "side", "quantity", "limit_price", "requested_by", "hold_until", "held_by",
)  # fmt: skip
EVENT_COLUMNS = ("seq", "recorded_at", "kind", "detail")
ENVELOPE = frozenset({"seq", "event_id", "kind", "version", "recorded_at", "account_id", "order_id", "ledger_id"})
RESTING = frozenset({"HELD", "WORKING", "PARTIALLY_FILLED", "IN_DOUBT"})
FINISHED = frozenset({"FILLED", "CANCELED", "REJECTED", "EXPIRED", "DENIED"})


@click.group()
def orders() -> None:
    """Place, list, show and cancel orders."""


@orders.command()
@click.argument("side", type=click.Choice([side.value for side in Side], case_sensitive=False))
@click.argument("quantity")
@click.argument("symbol")
@click.option("--account-id", help="The trading account. Default: the demo's.")
@click.option("--order-type", "-t", default="MARKET", show_default=True,
              type=click.Choice([kind.value for kind in OrderType], case_sensitive=False))  # fmt: skip
@click.option("--limit-price", "-l", help="For LIMIT and STOP_LIMIT.")
@click.option("--stop-price", "-s", help="The trigger of STOP and STOP_LIMIT.")
@click.option("--trail-amount", help="For TRAILING_STOP, in money.")
@click.option("--trail-percent", help="For TRAILING_STOP, in percent.")
@click.option("--time-in-force", "-f", default=None,
              type=click.Choice([kind.value for kind in TimeInForce], case_sensitive=False))  # fmt: skip
@click.option("--expire-at", help="For GTD: RFC 3339, such as 2031-05-01T20:00:00Z.")
@click.option("--queue-until", help="Wait for the broker until this time: RFC 3339.")
@click.option("--client-order-id", help="Your own id; a second order with the same id is refused.")
@click.option("--idempotency-key", help="The same key and order twice is one order.")
@click.option("--exchange", help="Narrows the symbol to one venue.")
@click.option("--wait", "wait_s", type=float, default=0, metavar="SECONDS", help="Wait until the order rests or ends.")
@json_option
@connected
def place(api: Api, as_json: bool, wait_s: float, idempotency_key: str | None, **terms: Any) -> None:
    """Place an order: oms orders place BUY 10 SPY --order-type LIMIT --limit-price 450.10"""
    body = {name: value for name, value in terms.items() if value is not None}
    body.setdefault("account_id", api.facts.account_id)
    if body["account_id"] is None:
        body["account_id"] = _only_account(api)
    headers = {"Idempotency-Key": idempotency_key} if idempotency_key else None
    order = api.post("/orders", body, headers=headers)
    if wait_s:
        order = _settled(api, order, wait_s)
    show(as_json, order, lambda: print_table("Order", COLUMNS, [order], empty=""))


@orders.command("list")
@click.option("--account-id", help="Only this trading account.")
@click.option("--symbol", help="Only this symbol.")
@click.option("--state", help="Only this state, such as FILLED or WORKING.")
@click.option("--strategy-id", help="Only this strategy's orders.")
@click.option("--limit", default=50, show_default=True, help="At most so many, newest first; 0 for all.")
@json_option
@connected
def list_orders(api: Api, as_json: bool, limit: int, **filters: Any) -> None:
    """List orders, newest first."""
    found: list[dict[str, Any]] = []
    with progress() as bar:
        task = bar.add_task("orders", total=limit or None)
        for page in api.pages("/orders", at_most=limit or None, **filters):
            found += page
            bar.update(task, completed=len(found))
    show(as_json, {"items": found}, lambda: print_table("Orders", COLUMNS, found, empty="no orders"))


@orders.command("show")
@click.argument("order_id")
@json_option
@connected
def show_order(api: Api, as_json: bool, order_id: str) -> None:
    """Show one order and everything that happened to it."""
    order = api.get(f"/orders/{order_id}")
    events = api.get(f"/orders/{order_id}/events")["items"]
    changes = api.get(f"/orders/{order_id}/modifications")["items"]

    def for_people() -> None:
        print_facts("Order", order)
        if changes:
            print_table("Modifications", MODIFICATION_COLUMNS, changes, empty="")
        print_table("Events", EVENT_COLUMNS, [_told(event) for event in events], empty="no events")

    show(as_json, {"order": order, "events": events, "modifications": changes}, for_people)


@orders.command("resolve")
@click.argument("order_id")
@click.argument("finding", type=click.Choice([one.value for one in Finding], case_sensitive=False))
@click.option("--reason", required=True, help="Why the finding is right.")
@click.option("--evidence", required=True, help="What shows it: a statement, a ticket, who said so at the broker.")
@click.option("--broker-order-id", help="The broker's id of an order found WORKING that is not known yet.")
@json_option
@connected
def resolve_order(api: Api, as_json: bool, order_id: str, **body: Any) -> None:
    """Settle an order in doubt by what you FOUND at the broker; nothing is sent."""
    told = {name: value for name, value in body.items() if value is not None}
    order = api.post(f"/orders/{order_id}/resolve", told)
    show(as_json, order, lambda: print_table("Order", COLUMNS, [order], empty=""))


@orders.command("waiting")
@click.option("--account-id", help="Only this trading account.")
@json_option
@connected
def list_waiting(api: Api, as_json: bool, account_id: str | None) -> None:
    """List the orders that a soft limit holds until a person approves them."""
    found = [one for page in api.pages("/risk/approvals", account_id=account_id) for one in page]
    rows = [
        {
            **one["order"],
            "hold_until": one["hold_until"],
            "requested_by": ", ".join(one["requested_by"]),
            "held_by": "; ".join(f"{verdict['rule']}: {verdict['message']}" for verdict in one["verdicts"]),
        }
        for one in found
    ]
    show(as_json, {"items": found}, lambda: print_table("Waiting", WAITING_COLUMNS, rows, empty="no orders wait"))


@orders.command("approve")
@click.argument("order_id")
@click.option("--reason", required=True, help="Why it may go out in spite of the limit.")
@json_option
@connected
def approve_order(api: Api, as_json: bool, order_id: str, reason: str) -> None:
    """Release a held order, once; whoever placed or changed it cannot."""
    order = api.post(f"/risk/approvals/{order_id}/approve", {"reason": reason})
    show(as_json, order, lambda: print_table("Order", COLUMNS, [order], empty=""))


@orders.command("decline")
@click.argument("order_id")
@click.option("--reason", required=True, help="Why it may not go out.")
@json_option
@connected
def decline_order(api: Api, as_json: bool, order_id: str, reason: str) -> None:
    """End a held order; it was never sent."""
    order = api.post(f"/risk/approvals/{order_id}/decline", {"reason": reason})
    show(as_json, order, lambda: print_table("Order", COLUMNS, [order], empty=""))


@orders.command()
@click.argument("order_ids", nargs=-1)
@click.option("--all", "cancel_all", is_flag=True, help="Cancel every open order (of --account-id, if given).")
@click.option("--account-id", help="With --all: only this trading account.")
@json_option
@connected
def cancel(api: Api, as_json: bool, order_ids: tuple[str, ...], cancel_all: bool, account_id: str | None) -> None:
    """Cancel orders by id, or all of them."""
    if bool(order_ids) == cancel_all:
        raise click.UsageError("give order ids, or --all")
    if cancel_all:
        answer = api.post("/orders/cancel-all", {"account_id": account_id} if account_id else {})
        results = answer.get("results", answer.get("items", []))
    else:
        results = []
        with progress() as bar:
            for order_id in bar.track(order_ids, description="cancelling"):
                results.append({"order_id": order_id, "order": api.post(f"/orders/{order_id}/cancel")})

    def for_people() -> None:
        rows = [
            {"order_id": one.get("order_id") or (one.get("order") or {}).get("order_id"),
             "state": (one.get("order") or {}).get("state"),
             "problem": (one.get("problem") or {}).get("detail")}
            for one in results
        ]  # fmt: skip
        print_table("Cancelled", ("order_id", "state", "problem"), rows, empty="no open orders")

    show(as_json, {"results": results}, for_people)


@orders.command("cancel-all")
@click.option("--now", is_flag=True, help="Ask the sessions of this machine directly: works without API and database.")
@click.option("--account-id", help="Only this trading account.")
@click.option("--connection-id", help="With --now: only this broker connection.")
@click.option("--url", help="Where the API is. Else OMS_URL, else demo.json in OMS_HOME.")
@click.option("--api-key", help="The key to use. Else OMS_API_KEY, else demo.json in OMS_HOME.")
@json_option
@click.pass_context
def cancel_all(
    context: click.Context,
    as_json: bool,
    now: bool,
    account_id: str | None,
    connection_id: str | None,
    url: str | None,
    api_key: str | None,
) -> None:
    """Cancel every open order; with --now the sessions send the cancels first and record them after."""
    if not now:
        if connection_id is not None:
            raise click.UsageError("--connection-id needs --now")
        context.invoke(
            cancel, url=url, api_key=api_key, as_json=as_json, order_ids=(), cancel_all=True, account_id=account_id
        )
        return
    asked = cancel_all_now(read_settings().home, account_id, connection_id)
    rows = [
        {"connection_id": one["connection_id"], "order_id": order_id, "cancel": told}
        for process in asked
        for one in process.connections
        for order_id, told in [*((order_id, "sent") for order_id in one["sent"]), *one["waiting"].items()]
    ]
    columns = ("connection_id", "order_id", "cancel")
    show(
        as_json,
        {"processes": msgspec.to_builtins(asked)},
        lambda: print_table("Cancels", columns, rows, empty="no open orders"),
    )
    problems = [f"{process.process}: {process.problem}" for process in asked if process.problem]
    problems += [one["problem"] for process in asked for one in process.connections if one.get("problem")]
    if problems:
        raise CommandFailed("\n".join(problems))


def _only_account(api: Api) -> str:
    accounts = api.get("/accounts")["items"]
    if len(accounts) != 1:
        raise click.UsageError(f"there are {len(accounts)} accounts: name one with --account-id (`oms accounts`)")
    return str(accounts[0]["account_id"])


def _settled(api: Api, order: dict[str, Any], wait_s: float) -> dict[str, Any]:
    """The order once it rests at the broker or has ended; as it is when the time is over."""
    deadline = time.monotonic() + wait_s
    is_resting_kind = order.get("order_type") != OrderType.MARKET
    while time.monotonic() < deadline:
        state = order.get("state")
        if state in FINISHED or (is_resting_kind and state in RESTING):
            return order
        time.sleep(0.05)
        order = api.get(f"/orders/{order['order_id']}")
    err().print(f"[yellow]still {order.get('state')} after {wait_s:g} s[/yellow]")
    return order


def _told(event: dict[str, Any]) -> dict[str, Any]:
    """An event as a row: its own fields in one column."""
    fields = dict(event.get("payload") or event.get("data") or event)
    rest = {name: value for name, value in fields.items() if name not in ENVELOPE and value not in (None, "", [], {})}
    return {**event, "detail": rest}
