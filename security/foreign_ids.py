"""Every place of every route that takes an id, with another tenant's ids in it: answered exactly as ids of nobody are.

A place counts once its owner was answered differently for an id of its own: only then would a leak have been seen.
"""

import random
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
from flask import Response, request

from campaigns.asking import say
from oms_app.store import migrate
from security.operations import Operation, Slot, operations
from security.requests import Asked, normal, request_of
from security.result import Result
from security.sides import UUID, Side, Sides, two_sides
from security.streams import foreign_streams

SHORT = 1
LONG = 6
PLANTS = ("existence", "leak", "uncovered", "replay")
PLATFORMS_OWN = frozenset({"instrument_id", "symbol", "name", "filename"})
"""Names in paths and filters that are the platform's: the same for every tenant."""
NOT_STORED = frozenset({"letter_id", "broker_order_id", "locate_id"})
"""Ids that no row of ours stands for: dead messages of the queue, and the broker's own words."""
CALLERS_WORD = frozenset({
    "place_order", "place_orders", "preview_order", "send_heartbeat", "disarm_heartbeat", "throw_kill_switch",
    "drill_kill_switch", "start_liquidation",
})  # fmt: skip
"""Operations that take any strategy_id as the caller's word: strategies may run elsewhere, no row is asked for."""
MEANS = {"parent_order_id": "order_id"}
"""Names of ids that are those of something else."""
LEAST_PROVED = 0.9
"""Of all places so many must be answered differently to their owner; those that are not are listed."""


_ENDS_THE_OWNER = frozenset({"session_id", "user_id", "tenant_id"})
"""Ids of things without which the owner cannot ask for anything else: they are ended last of all."""
ORDER = {"GET": 0, "POST": 1, "PATCH": 1, "PUT": 1, "DELETE": 2}
"""What reads comes first, what ends things last."""


class Try(msgspec.Struct, frozen=True):
    """One place of one operation."""

    operation: Operation
    slot: Slot

    def __str__(self) -> str:
        return f"{self.operation} [{self.slot}]"


def run(n: int, seed: int, plant: str) -> Result:
    """Try every place with at most n ids of each kind that are the other tenant's."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="oms-security-") as folder:
        url = f"sqlite:///{folder}/oms.db"
        migrate.upgrade(url)
        with two_sides(url, Path(folder)) as sides:
            hunt = hunted(sides, n, seed, plant)
    return Result(
        name="foreign_ids", n=hunt.requests, seed=seed, seconds=time.monotonic() - began, plant=plant,
        failures=hunt.failures,
        figures={
            "routes": hunt.routes, "places": len(hunt.tries), "id_kinds": hunt.kinds, "cursors": hunt.cursors,
            "replays": hunt.replays, "streams": hunt.streams, "proved": len(hunt.tries) - len(hunt.unproved),
            "unproved": sorted(map(str, hunt.unproved)),
        },
    )  # fmt: skip


def hunted(sides: Sides, n: int, seed: int, plant: str) -> "Hunt":
    """The check on two sides that stand. With a planted defect only what may catch it is tried."""
    hunt = Hunt(sides, n, random.Random(seed), plant)
    with planted(sides, plant):
        hunt.run()
    return hunt


class Hunt:
    """What was tried, and what failed."""

    def __init__(self, sides: Sides, most: int, chance: random.Random, plant: str) -> None:
        self.failures: list[str] = []
        self.requests = self.cursors = self.replays = self.streams = 0
        self._mine, self._theirs = sides.mine, sides.theirs
        self._sides = sides
        self._most = most
        self._chance = chance
        self._plant = plant
        self._operations = operations(sides.app)
        self.tries = list(self._listed())
        self.routes = len({str(one.operation) for one in self.tries})
        self.unproved: list[Try] = []
        self._secrets = {*sides.theirs.all_ids(), sides.theirs.mark}
        self._said: set[str] = set()
        """Ids of the other tenant that stand in our own rows now, because they were sent and taken as words of ours."""

    @property
    def kinds(self) -> int:
        """How many kinds of ids there are."""
        return len(self._theirs.owned)

    def run(self) -> None:
        """Everything."""
        for one in self.tries:
            self._covered(one)
        if self._plant:
            self.tries = [one for one in self.tries if one.operation.path == "/api/v1/orders/{order_id}"]
        for one in sorted(self.tries, key=lambda one: ORDER[one.operation.method]):
            self._foreign(one)
        say(f"  {len(self.tries)} places tried, {self.requests} requests")
        self._replay()
        if self._plant:
            return
        for operation in self._operations:
            self._lists(operation)
        self.streams, told = foreign_streams(self._sides)
        self.failures += told
        self._prove()

    # The places ---------------------------------------------------------------------------------------------

    def _listed(self) -> Iterator[Try]:
        for operation in self._operations:
            for slot in operation.slots():
                if slot.place == "path" or not operation.alias_of:
                    yield Try(operation, slot)
        if self._plant == "uncovered":
            ghost = Operation(name="ghost", method="GET", path="/api/v1/ghosts/{ghost_id}")
            yield from (Try(ghost, slot) for slot in ghost.slots())

    def _covered(self, one: Try) -> None:
        name = MEANS.get(one.slot.name, one.slot.name)
        if name not in {*self._theirs.owned, *PLATFORMS_OWN, *NOT_STORED}:
            self.failures.append(f"{one}: nobody knows what a {name} is: no table has such a column")

    def _foreign(self, one: Try) -> None:
        """Nobody's id and the other tenant's ids are answered alike, and nothing of the other tenant is told."""
        expected: dict[bool, tuple[int, str]] = {}
        for value in self._values(one):
            is_uuid = UUID.fullmatch(value) is not None
            if is_uuid not in expected:
                nobodys = self.nobodys(is_uuid)
                expected[is_uuid] = normal(self._ask(self._mine, one, nobodys), nobodys)
            asked = self._ask(self._mine, one, value)
            self._check(asked, value, str(one))
            if one.slot.place == "body" and asked.status < 300:
                self._said.add(value)
            found = normal(asked, value)
            if found != expected[is_uuid]:
                self.failures.append(f"{one}: another tenant's id gives {found}, nobody's {expected[is_uuid]}"[:900])

    def nobodys(self, is_uuid: bool = True) -> str:
        """An id that nothing bears."""
        drawn = self._chance.getrandbits(128)
        return str(uuid.UUID(int=drawn, version=4)) if is_uuid else f"nobody-{drawn}"

    def _values(self, one: Try) -> Iterator[str]:
        """Ids of the other tenant: those of this name, and (in a path, but not again for an alias) one of each kind."""
        meant = MEANS.get(one.slot.name, one.slot.name)
        unsaid = [value for value in self._theirs.owned.get(meant, ()) if value not in self._said]
        yield from unsaid[: self._most]
        others = [name for name in sorted(self._theirs.owned) if name != meant]
        if one.operation.alias_of or one.slot.place != "path":
            others = self._chance.sample(others, min(2, len(others)))
        for name in others:
            left = [value for value in self._theirs.owned[name] if value not in self._said]
            if left:
                yield self._chance.choice(left)

    # Lists, cursors and replays -----------------------------------------------------------------------------

    def _lists(self, operation: Operation) -> None:
        """No list shows another tenant's rows, also not from a cursor that was made for the other tenant."""
        if operation.method != "GET" or operation.is_page:
            return
        mine = self._send(self._mine, request_of(operation, self._mine, self._chance))
        self._check(mine, "", str(operation))
        if "cursor" not in operation.query:
            return
        asked = request_of(operation, self._theirs, self._chance)
        first = self._theirs.ask("GET", asked.path, query={"limit": "1"})
        cursor = first.get_json().get("next_cursor") if first.status_code == 200 else None
        if cursor is None:
            return
        self.cursors += 1
        own = request_of(operation, self._mine, self._chance)
        answer = self._send(self._mine, msgspec.structs.replace(own, query={"cursor": cursor, "limit": "50"}))
        self._check(answer, cursor, f"{operation} [cursor]")
        if answer.status >= 500:
            self.failures.append(f"{operation}: another tenant's cursor gives {answer.status}")

    def _replay(self) -> None:
        """A key that another tenant used stands for nothing, with our body or with theirs."""
        fresh = uuid.uuid4().hex
        for operation in self._operations:
            if not operation.takes_idempotency_key or operation.alias_of:
                continue
            key = {"Idempotency-Key": f"shared-{operation.name}-{fresh}"}
            theirs = request_of(operation, self._theirs, self._chance)
            first = self._send(self._theirs, theirs, key)
            again = self._send(self._theirs, theirs, key)
            if first.status < 300 and again.headers.get("Idempotency-Replayed") == "true":
                self.replays += 1
            for asked in (theirs, request_of(operation, self._mine, self._chance)):
                answer = self._send(self._mine, asked, key)
                self._check(answer, asked.text, f"{operation} [Idempotency-Key]")
                if "Idempotency-Replayed" in answer.headers:
                    self.failures.append(f"{operation}: another tenant's Idempotency-Key is replayed")
        if not self.replays:
            self.failures.append("no answer was replayed to its own tenant: nothing was tried")

    # The owner ----------------------------------------------------------------------------------------------

    def _prove(self) -> None:
        """The owner is answered otherwise than for nobody's id; what reads first, what ends things last."""
        needs = [one for one in self.tries if one.slot.name in self._theirs.owned and not _is_nobodys(one)]
        for one in sorted(needs, key=lambda one: (ORDER[one.operation.method], one.slot.name in _ENDS_THE_OWNER)):
            if self._theirs.ask("GET", "/api/v1/auth/me").status_code == 401:
                self._theirs.sign_in()
            values = self._theirs.owned[one.slot.name]
            nobodys = self.nobodys(UUID.fullmatch(values[0]) is not None)
            expected = normal(self._ask(self._theirs, one, nobodys), nobodys)
            if not any(normal(self._ask(self._theirs, one, value), value) != expected for value in values[:8]):
                self.unproved.append(one)
        for one in self.unproved:
            if one.operation.method == "GET" and one.slot.place == "path":
                self.failures.append(f"{one}: its owner is told no more than anybody else: nothing was proved")
        if len(self.unproved) > (1 - LEAST_PROVED) * len(needs):
            self.failures.append(f"{len(self.unproved)} of {len(needs)} places were not proved: {self.unproved}")

    # The small parts ----------------------------------------------------------------------------------------

    def _ask(self, side: Side, one: Try, value: str) -> "Asked":
        return self._send(side, request_of(one.operation, side, self._chance, one.slot, value))

    def _send(self, side: Side, request: Any, headers: dict[str, str] | None = None) -> "Asked":
        self.requests += 1
        asked = request.sent_by(side, headers)
        if asked.status >= 500:
            self.failures.append(f"{request.method} {request.path}: {asked.status} {asked.text[:200]}")
        return asked

    def _check(self, asked: "Asked", sent: str, where: str) -> None:
        """Nothing of the other tenant stands in the answer but what was sent."""
        told = f"{asked.text} {asked.headers}"
        for word in self._said:
            told = told.replace(word, "")
        leaked = sorted(secret for secret in self._secrets if secret in told and secret not in sent)
        if leaked:
            self.failures.append(f"{where}: {asked.status} tells {', '.join(leaked[:3])}")


def _is_nobodys(one: Try) -> bool:
    """Whether a place has no owner: an alias is tried under its own name, and some words are taken as they are."""
    is_word = one.slot.name == "strategy_id" and one.operation.name in CALLERS_WORD
    return bool(one.operation.alias_of) or is_word


@contextmanager
def planted(sides: Sides, plant: str) -> Iterator[None]:
    """Make the application tell another tenant of an order: that it exists, or what it is; or replay for anybody."""
    orders = set(sides.theirs.owned["order_id"])
    keys: set[str] = set()

    def answer() -> Response | None:
        found = next((one for one in orders if f"/orders/{one}" in request.path), None)
        is_mine = request.headers.get("Authorization") == f"Bearer {sides.mine.token}"
        if plant == "existence" and is_mine and found and request.method == "GET":
            return Response('{"code": "not_permitted"}', 403, content_type="application/json")
        if plant == "leak" and is_mine and found and request.method == "GET":
            return Response(f'{{"symbol": "ACME", "of": "{sides.theirs.mark}"}}', content_type="application/json")
        key = request.headers.get("Idempotency-Key", "")
        if plant == "replay" and is_mine and key in keys:
            return Response("{}", 201, {"Idempotency-Replayed": "true"}, content_type="application/json")
        keys.add(key) if key else None
        return None

    first = sides.app.before_request_funcs.setdefault(None, [])
    first.insert(0, answer)
    try:
        yield
    finally:
        first.remove(answer)
