"""Requests drawn from the OpenAPI document, by every kind of caller: no 5xx, and each answer as it is documented.

Half of the ids are real ones of the caller's tenant, so that much of what is asked for is there. What a caller breaks
(it may end its own session or close its own tenant) is made anew.
"""

import random
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as seeded
from schemathesis.core.failures import Failure, FailureGroup
from schemathesis.specs.openapi import checks

from oms_app.flow.scopes import ROLES, Scope
from oms_app.store import migrate
from security.operations import operations, singular
from security.requests import good_body
from security.result import Result
from security.sides import Sides, further_side, two_sides

SHORT = 4_000
LONG = 100_000
PLANTS = ("broken_view", "undocumented")
REAL_IDS = 0.5
GOOD_BODIES = 0.2
"""The share of bodies that are made so that they are taken; drawn ones seldom fit together."""
GOOD = 0.6
"""The share of requests that the document allows; the others break it on purpose."""
CHECKED = (
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_headers_conformance,
    checks.response_schema_conformance,
)
RENEWED_EVERY = 50
"""After so many requests of a kind of caller it is looked whether it still is what it was."""


def run(n: int, seed: int, plant: str) -> Result:
    """Send n requests, the same number for each operation."""
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="oms-security-") as folder:
        url = f"sqlite:///{folder}/oms.db"
        migrate.upgrade(url)
        with two_sides(url, Path(folder)) as sides:
            asked = asked_of(sides, n, seed, plant)
    return Result(
        name="open_api", n=sum(asked.sent.values()), seed=seed, seconds=time.monotonic() - began, plant=plant,
        failures=[f"{count}x {text}" for text, count in asked.failures.most_common()],
        figures={
            "operations": len(asked.sent), "callers": len(asked.callers.kinds),
            "server_errors": sum(count for status, count in asked.statuses.items() if status >= 500),
            "statuses": {str(status): count for status, count in sorted(asked.statuses.items())},
            "renewed": asked.callers.renewed,
        },
    )  # fmt: skip


def asked_of(sides: Sides, n: int, seed: int, plant: str) -> "Asking":
    """The check on two sides that stand."""
    asking = Asking(sides, random.Random(seed))
    document = dict(sides.app.extensions["oms_openapi"])
    schema = schemathesis.openapi.from_dict(document)
    schema.app = sides.app
    documented = [found.ok() for found in schema.get_all_operations()]
    documented = [one for one in documented if not one.definition.raw.get("deprecated")]
    if plant:
        documented = [one for one in documented if one.label == "GET /api/v1/accounts"]
        _plant(sides, plant)
    each = -(-n // len(documented))
    for number, operation in enumerate(documented):
        asking.ask(operation, each, seed + number)
    return asking


class Asking:
    """What was sent, and what was wrong with the answers."""

    def __init__(self, sides: Sides, chance: random.Random) -> None:
        self.sent: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.failures: Counter[str] = Counter()
        self.callers = Callers(sides, chance)
        self._chance = chance
        self._known = {str(one): one for one in operations(sides.app)}

    def ask(self, operation: Any, most: int, seed: int) -> None:
        """Send so many requests to an operation."""
        for mode, share in ((schemathesis.GenerationMode.POSITIVE, GOOD), (schemathesis.GenerationMode.NEGATIVE, 1)):
            left = most - self.sent[operation.label]
            wanted = max(1, round(left * share))
            self._draw(operation, mode, wanted, seed)
        while self.sent[operation.label] < most:  # of some operations there are not so many different requests
            before = self.sent[operation.label]
            self._draw(operation, schemathesis.GenerationMode.POSITIVE, most - before, seed + before)
            if self.sent[operation.label] == before:
                break

    def _draw(self, operation: Any, mode: Any, most: int, seed: int) -> None:
        @seeded(seed)
        @settings(
            max_examples=most, deadline=None, database=None, phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(generation_mode=mode))
        def send(case: Any) -> None:
            self._send(operation, case)

        try:
            send()
        except schemathesis.errors.InvalidSchema as error:
            self.failures[f"{operation.label}: {error}"] += 1
        except Exception as error:
            if "Unsatisfiable" not in type(error).__name__ and "negative" not in str(error).lower():
                raise

    def _send(self, operation: Any, case: Any) -> None:
        kind, headers = self.callers.draw()
        for name in list(case.path_parameters or {}):
            owned = self.callers.side.owned.get(singular(name))
            if owned and self._chance.random() < REAL_IDS:
                case.path_parameters[name] = self._chance.choice(owned)
        known = self._known.get(operation.label)
        if known is not None and known.body is not None and self._chance.random() < GOOD_BODIES:
            case.body = good_body(known, self.callers.side, self._chance)
            case.media_type = "application/json"
        answer = case.call(headers=headers)
        self.sent[operation.label] += 1
        self.statuses[answer.status_code] += 1
        try:
            case.validate_response(answer, checks=list(CHECKED))
        except FailureGroup as group:
            for failure in group.exceptions:
                self._note(operation, kind, answer, failure)
        except Failure as failure:
            self._note(operation, kind, answer, failure)

    def _note(self, operation: Any, kind: str, answer: Any, failure: BaseException) -> None:
        told = str(getattr(failure, "message", "") or failure).strip().replace("\n", " ")[:160]
        self.failures[f"{operation.label} by {kind}: {answer.status_code} {type(failure).__name__}: {told}"] += 1


class Callers:
    """Every kind of caller: nobody, each role, a key with few rights, another tenant's key, keys that hold no more."""

    def __init__(self, sides: Sides, chance: random.Random) -> None:
        self.side = sides.mine
        self.renewed = 0
        self._other = sides.theirs
        self._chance = chance
        self._drawn = 0
        self.kinds: dict[str, dict[str, str]] = {}
        self._make()

    def draw(self) -> tuple[str, dict[str, str]]:
        """(kind, headers) of the next caller."""
        self._drawn += 1
        if self._drawn % RENEWED_EVERY == 0 and not self._is_well():
            self.renewed += 1
            self.side = further_side(self._other, f"renewed{self.renewed}")
            self._make()
        kind = self._chance.choice(list(self.kinds))
        return kind, self.kinds[kind]

    def _is_well(self) -> bool:
        answers = [self.side.client.get("/api/v1/auth/me", headers=headers) for headers in self._alive()]
        return all(answer.status_code == 200 for answer in answers)

    def _alive(self) -> list[dict[str, str]]:
        return [self.kinds["ADMIN"], self.kinds["person"], self.kinds["key"]]

    def _make(self) -> None:
        desk = self.side.desk
        identity = desk.services.identity
        self.kinds = {"nobody": {}, "forged": {"Authorization": "Bearer a.b.c"}}
        for role in ROLES:
            self.kinds[role] = _keyed(desk.key(*sorted(ROLES[role])))
        self.kinds["person"] = {"Authorization": f"Bearer {self.side.token}"}
        self.kinds["key"] = _keyed(desk.key(Scope.VIEW_ORDERS))
        self.kinds["no account"] = _keyed(desk.key(*Scope, account_ids=[]))
        self.kinds["other tenant"] = _keyed(self._other.desk.key(*Scope))
        gone = identity.create_key(desk.principal, "gone", [str(scope) for scope in Scope])
        identity.machine_keys.revoke(desk.principal, gone.row.key_id)
        self.kinds["revoked"] = _keyed(gone.api_key)


def _keyed(key: str) -> dict[str, str]:
    return {"X-API-Key": key}


def _plant(sides: Sides, plant: str) -> None:
    """Let a view break, or answer what its document does not know."""
    from flask import Response, request

    def answer() -> Response | None:
        if request.path != "/api/v1/accounts" or request.method != "GET":
            return None
        if plant == "broken_view":
            return Response('{"code": "internal_error"}', 500, content_type="application/problem+json")
        return Response('{"items": "none"}', content_type="application/json")

    sides.app.before_request_funcs.setdefault(None, []).insert(0, answer)
