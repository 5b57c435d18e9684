"""`oms queues`: Redis and the database in, what waits, what died and who works out; replays the dead when told to."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from oms_app.cli.database import opened_store
from oms_app.cli.errors import CommandFailed, Unavailable
from oms_app.cli.output import err, json_option, print_table, show
from oms_app.config import Settings, read_settings

DELIVERY = "delivery"
"""In place of a queue: a webhook's dead delivery, which is a row and not a message."""
DEAD_AT_ONCE = 500


@click.group()
def queues() -> None:
    """Show the workers' queues, and list or replay what died in them."""


@queues.command("list")
@json_option
def list_queues(as_json: bool) -> None:
    """List the queues with what waits in them, the workers, the schedules, and what each webhook has to deliver."""
    settings = read_settings()
    found = {**_messages(settings), **_rows(settings)}

    def tell() -> None:
        if not found["is_shared"]:
            err().print("[dim]without OMS_REDIS_URL the queues are in the worker's own memory[/dim]")
        print_table(
            "Queues", ("queue", "waiting", "taken", "delayed", "dead"), found["queues"], empty="no queue is seen"
        )
        print_table("Workers", ("worker_id", "seen_at"), found["workers"], empty="no worker is seen")
        columns = ("name", "when", "fired_at", "fired_by", "finished_at", "handled", "error")
        print_table("Schedules", columns, found["schedules"], empty="no schedule is known")
        print_table(
            "Webhooks",
            ("webhook_id", "url", "is_active", "pending", "dead", "oldest_pending_at"),
            found["webhooks"],
            empty="no webhook is open",
        )

    show(as_json, found, tell)


@queues.group()
def dead() -> None:
    """What was given up: messages of the queues, and deliveries of webhooks."""


@dead.command("list")
@json_option
def list_dead(as_json: bool) -> None:
    """List dead messages and dead webhook deliveries, the latest first."""
    letters = _dead(read_settings())
    columns = ("id", "queue", "what", "died_at", "error")
    show(as_json, letters, lambda: print_table("Dead letters", columns, letters, empty="nothing was given up"))


@dead.command("replay")
@click.argument("ids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Replay every dead message and delivery.")
def replay_dead(ids: tuple[str, ...], everything: bool) -> None:
    """Replay the dead messages and deliveries with these IDS, or --all of them.

    A delivery keeps the message id that it had. Those of a disabled webhook stay dead until it is active again.
    """
    if bool(ids) == everything:
        raise click.UsageError("name the ids that `oms queues dead list` shows, or give --all")
    settings = read_settings()
    wanted = set(ids)
    chosen = [one for one in _dead(settings) if everything or one["id"] in wanted]
    missing = sorted(wanted - {one["id"] for one in chosen})
    if missing:
        raise CommandFailed(f"no dead letter has the id {missing[0]}: `oms queues dead list` shows them")
    replayed = _replay_messages(settings, [one["id"] for one in chosen if one["queue"] != DELIVERY])
    with opened_store(settings) as store:
        from oms_app.store import webhooks

        for one in chosen:
            if one["queue"] == DELIVERY:
                with store.tenant_unit(one["tenant_id"]) as unit:
                    replayed += webhooks.replay(unit, one["webhook_id"], one["id"])
    click.echo(f"{replayed} replayed")


def _messages(settings: Settings) -> dict[str, Any]:
    from oms_app.flow.queues import QueueBoard, QueuesUnavailable

    board = QueueBoard(settings.redis_url)
    if not board.is_shared:
        return {"is_shared": False, "queues": [], "workers": []}
    try:
        queues_seen = [msgspec.structs.asdict(one) for one in board.queues()]
        workers_seen = [msgspec.structs.asdict(one) for one in board.workers()]
    except QueuesUnavailable as error:
        raise Unavailable(str(error)) from None
    finally:
        board.close()
    return {"is_shared": True, "queues": queues_seen, "workers": workers_seen}


def _rows(settings: Settings) -> dict[str, Any]:
    from oms_app.flow.minding import minding
    from oms_app.store import webhooks

    with opened_store(settings) as store:
        minded = minding(store)
        counts: list[dict[str, Any]] = []
        for tenant_id in sorted({tenant_id for tenant_id, _ledger_id in store.ledgers()}):
            with store.read_unit(tenant_id) as unit:
                counts += [
                    {"tenant_id": tenant_id, **msgspec.structs.asdict(one)} for one in webhooks.count_deliveries(unit)
                ]
    return {
        "schedules": [msgspec.structs.asdict(one) for one in minded.schedules],
        "leader": minded.leader,
        "webhooks": counts,
    }


def _dead(settings: Settings) -> list[dict[str, Any]]:
    from oms_app.flow.queues import QueueBoard, QueuesUnavailable
    from oms_app.store import webhooks
    from oms_app.store.queries import Paging

    found: list[dict[str, Any]] = []
    board = QueueBoard(settings.redis_url)
    if board.is_shared:
        try:
            for letter in board.dead():
                what = f"{letter.actor}({', '.join(letter.arguments)})"
                found.append(
                    {
                        "id": letter.letter_id,
                        "queue": letter.queue,
                        "what": what,
                        "died_at": letter.died_at,
                        "error": letter.error,
                    }
                )
        except QueuesUnavailable as error:
            raise Unavailable(str(error)) from None
        finally:
            board.close()
    with opened_store(settings) as store:
        for tenant_id in sorted({tenant_id for tenant_id, _ledger_id in store.ledgers()}):
            with store.read_unit(tenant_id) as unit:
                page = webhooks.list_deliveries(unit, Paging(limit=DEAD_AT_ONCE), status="DEAD")
            found += [
                {
                    "id": one.delivery_id,
                    "queue": DELIVERY,
                    "what": f"{one.event_kind} {one.message_id}",
                    "died_at": one.due_at,
                    "error": one.last_error,
                    "webhook_id": one.webhook_id,
                    "tenant_id": tenant_id,
                }
                for one in page.items
            ]
    return found


def _replay_messages(settings: Settings, ids: list[str]) -> int:
    from oms_app.flow.queues import QueueBoard, QueuesUnavailable

    if not ids:
        return 0
    board = QueueBoard(settings.redis_url)
    try:
        return len(board.replay(ids))
    except QueuesUnavailable as error:
        raise Unavailable(str(error)) from None
    finally:
        board.close()
