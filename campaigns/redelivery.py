"""Messages doubled, at once and too late, and holders stopped past their lease: every effect that came twice out.

Each message is sent to Dramatiq under one id several times over, so that two workers have it at the same moment and a
third comes when its row is done. Meanwhile workers and sessions are stopped for longer than what they hold lasts, and
continued. See campaigns/README.md.
"""

import signal
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import dramatiq
import msgspec
from redis import RedisError
from sqlalchemy import func, select

from campaigns.asking import Stuck, counted, say
from campaigns.cell import Cell, Slot
from campaigns.checks import Kind, Violation
from campaigns.ground import Ground, ground
from campaigns.pauses import CLAIM_S, LEASE_S
from campaigns.result import Result
from campaigns.timing import scaled
from campaigns.zygote import Zygote
from oms_app.cli.demo import CONNECTION_ID, TENANT_ID
from oms_app.flow.chores import ACTORS, DELIVER_WEBHOOK
from oms_app.store import tables as t
from oms_app.store.config_rows import connection_resource
from oms_app.workers.queue import declare, make_broker

SHORT = 200
LONG = 1_500
PLANTS = ("resend", "unclaimed")
A_STOP = 20
"""So many messages for each stop."""
BATCH = 500
AT_ONCE = 3
SLOW_S = 0.03
"""How long a receiver takes, so that a stop often meets a delivery under way."""


class Played(msgspec.Struct):
    """What cells came to."""

    found: list[Violation] = []
    stops: Counter[str] = msgspec.field(default_factory=Counter)
    figures: Counter[str] = msgspec.field(default_factory=Counter)


def run(n: int, seed: int, plant: str) -> Result:
    """Play the campaign. n: how many messages are doubled; plant: a defect, or empty."""
    began = time.monotonic()
    played = Played()
    with ground(say) as place:
        zygote = Zygote(place.folder / "zygote.log")
        try:
            with ThreadPoolExecutor(1, thread_name_prefix="cell") as lane:
                for number, first in enumerate(range(0, n, BATCH)):
                    count = min(BATCH, n - first)
                    folder = place.folder / f"cell-{number}"
                    lane.submit(_batch, place, zygote, folder, count, seed + number, plant, played).result()
        finally:
            zygote.close()
    stops = max(1, n // A_STOP)
    return Result(
        name="redelivery", n=n, seed=seed, plant=plant, seconds=time.monotonic() - began,
        **counted(played.found), points=dict(played.stops),
        missed=[] if sum(played.stops.values()) >= stops else ["stops"],
        figures={"stops": sum(played.stops.values()), **played.figures},
        texts=[f"{one.kind}: {one.text}" for one in played.found],
    )  # fmt: skip


def _batch(place: Ground, zygote: Zygote, folder: Path, n: int, seed: int, plant: str, played: Played) -> None:
    cell = Cell(place.on_postgres(folder), zygote, folder, seed=seed, plant=plant)
    cell.hooks.slow_s = SLOW_S
    redelivery = _Redelivery(cell, n)
    try:
        cell.start()
        cell.trade()
        redelivery.play()
        cell.finish()
        cell.found += redelivery.violations()
    except Stuck as error:
        cell.found.append(Violation(Kind.STUCK, f"{folder.name}: {error}"))
    finally:
        redelivery.close()
        cell.close()
    played.found += cell.found
    played.stops.update(redelivery.stops)
    played.figures.update({**cell.figures, "doubled_messages": redelivery.sent, "copies": redelivery.copies})
    say(f"{folder.name}: {redelivery.sent} messages in {sum(redelivery.stops.values())} stops, {len(cell.found)} found")


class _Redelivery:
    """The messages and stops of one cell."""

    def __init__(self, cell: Cell, n: int) -> None:
        self.sent = 0
        self.copies = 0
        self.stops: Counter[str] = Counter()
        self._cell = cell
        self._n = n
        self._late: list[dramatiq.Message[object]] = []
        broker = make_broker(cell.base.env["OMS_REDIS_URL"])
        self._broker = broker
        self._actor = declare(broker, dict.fromkeys(ACTORS, _nothing))[DELIVER_WEBHOOK]

    def play(self) -> None:
        """Stop one holder after the other, and double messages all the while."""
        rounds = max(1, self._n // A_STOP)
        for number in range(rounds):
            wanted = self._n * (number + 1) // rounds
            slot = self._worker() if number % 2 == 0 else self._holder()
            self._send(wanted - (wanted - self.sent) // 2)
            self._cell.signal(slot, signal.SIGSTOP)
            until = time.monotonic() + scaled(max(LEASE_S, CLAIM_S) * self._cell.random.uniform(1.1, 1.6))
            self._send(wanted)
            time.sleep(max(0.0, until - time.monotonic()))
            self._cell.signal(slot, signal.SIGCONT)
            self.stops[slot.role] += 1
            self._cell.await_ready()
            for one in self._cell.slots:
                self._cell.ended(one)

    def close(self) -> None:
        """End the connection to Redis."""
        self._broker.close()

    def violations(self) -> Iterator[Violation]:
        """What was delivered more often than stops explain, and rows that are not as they must be."""
        repeated = self._cell.hooks.repeated()
        allowed = self.stops["worker"] * len(self._cell.hooks.urls)
        if repeated > allowed:
            text = f"{repeated} messages came to a receiver once more, {allowed} are explained by stops of workers"
            yield Violation(Kind.DOUBLED, text)
        rows = t.WEBHOOK_DELIVERIES.c
        with self._cell.store.read_unit(TENANT_ID) as unit:
            unfinished = unit.connection.execute(
                select(rows.seq, rows.status).where(rows.tenant_id == TENANT_ID, rows.status != "DELIVERED")
            ).all()
            twice = unit.connection.execute(
                select(rows.webhook_id, rows.seq, func.count().label("rows"))
                .where(rows.tenant_id == TENANT_ID)
                .group_by(rows.webhook_id, rows.seq)
                .having(func.count() > 1)
            ).all()
        for row in unfinished:
            yield Violation(Kind.UNSETTLED, f"the delivery of event {row.seq} is {row.status}")
        for row in twice:
            yield Violation(Kind.DOUBLED, f"webhook {row.webhook_id} has {row.rows} deliveries of event {row.seq}")

    def _send(self, until: int) -> None:
        """Double messages until so many were sent: each at once, and once more after the next ones."""
        while self.sent < until:
            message = self._actor.message(self._cell.random.choice(self._cell.webhook_ids))
            try:
                for _ in range(AT_ONCE):
                    self._broker.enqueue(message)
                if self._late:
                    self._broker.enqueue(self._late.pop(0))
            except RedisError as error:
                raise Stuck(f"Redis did not take a message: {error}") from error
            if len(self._late) < A_STOP:
                self._late.append(message)
            self.sent += 1
            self.copies += AT_ONCE
            time.sleep(scaled(0.02))

    def _worker(self) -> Slot:
        return self._cell.random.choice([slot for slot in self._cell.slots if slot.role == "worker"])

    def _holder(self) -> Slot:
        """The session that has the lease."""
        table = t.LEASES.c
        with self._cell.store.read_unit(None) as unit:
            holder = unit.connection.scalar(
                select(table.holder).where(table.resource == connection_resource(CONNECTION_ID))
            )
        pid = str(holder or "").rpartition(":")[2]
        for slot in self._cell.slots:
            if slot.child is not None and str(slot.child.pid) == pid:
                return slot
        return next(slot for slot in self._cell.slots if slot.role == "session")


def _nothing(*arguments: str) -> None:
    """Messages are only sent from here."""
