"""An operation and who asks in, a whole request out: ids of the asker's own wherever nothing else is said."""

import copy
import itertools
import random
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import msgspec

from security.operations import Operation, Slot, sample
from security.sides import UUID, Side
from tests.api.desk import PASSWORD

WORDS = {"symbol": "ACME", "name": "sim_broker", "filename": "docs.js"}
"""Names in paths that are no ids."""
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[0-9:.]+(?:Z|\+00:00)?")
_NUMBER = re.compile(r"\d+")
_TOKEN = re.compile(r'(value|content|data-[a-z-]+)="[^"]{20,}"')


class Asked(msgspec.Struct, frozen=True):
    """What came back."""

    status: int
    text: str
    headers: Mapping[str, str]


class Request(msgspec.Struct, frozen=True):
    """One request."""

    method: str
    path: str
    query: Mapping[str, str] = {}
    body: Any = None
    is_page: bool = False

    @property
    def text(self) -> str:
        """All of it, to be looked through."""
        return f"{self.path} {dict(self.query)} {self.body}"

    def sent_by(self, side: Side, headers: Mapping[str, str] | None = None) -> Asked:
        """The answer to it."""
        if self.is_page:
            answer = side.open_page(self.method, self.path)
        else:
            answer = side.ask(self.method, self.path, query=self.query, body=self.body, headers=headers)
        return Asked(answer.status_code, answer.get_data(as_text=True), dict(answer.headers))


def request_of(
    operation: Operation, side: Side, chance: random.Random, slot: Slot | None = None, value: str = ""
) -> Request:
    """A good request of this side, with `value` at the slot."""
    path = operation.path
    for name in operation.parameters:
        given = value if slot is not None and slot.place == "path" and slot.name == name else _own(side, name)
        path = path.replace(f"{{{name}}}", quote(given, safe=""))
    query = {slot.at[0]: value} if slot is not None and slot.place == "query" else {}
    body = good_body(operation, side, chance) if operation.body is not None else None
    if slot is not None and slot.place == "body":
        if isinstance(body, dict):
            body.pop("level", None)  # what is named makes the level
        body = _with(body, slot.at, value, operation, side)
    return Request(operation.method, path, {str(name): one for name, one in query.items()}, body, operation.is_page)


def normal(asked: Asked, sent: str) -> tuple[int, str]:
    """Status and body, with what differs between any two requests taken out: the id that was sent, times, numbers."""
    text = asked.text.replace(sent, "<sent>").replace(quote(sent, safe=""), "<sent>")
    text = re.sub(r'"request_id":\s*"[^"]*"', '"request_id":""', text)
    text = _TOKEN.sub(r"\1", UUID.sub("<id>", _TIME.sub("<time>", text)))
    return asked.status, _NUMBER.sub("<n>", text)


def good_body(operation: Operation, side: Side, chance: random.Random) -> Any:
    """A body that the operation takes, with ids of this side's own."""
    return _filled(_body(operation, side, chance), side)


def _own(side: Side, name: str) -> str:
    if name in WORDS:
        return WORDS[name]
    return side.owned.get(name, [side.ids.get(name, "00000000-0000-4000-8000-000000000000")])[0]


def _body(operation: Operation, side: Side, chance: random.Random) -> Any:
    order = side.desk.order(client_order_id=f"check-{chance.getrandbits(64)}", allow_duplicate=True)
    own: dict[str, Any] = {
        "place_order": order,
        "place_orders": {"orders": [order]},
        "modify_order": {"quantity": "20"},
        "preview_order": order,
        "preview_replace": {"quantity": "20"},
        "log_in": {"email": side.email, "password": PASSWORD},
        "create_strategy": {
            "name": "check",
            "strategy": next(iter(side.desk.services.registries.strategies)),
            "account_id": "$account_id",
        },
    }
    name = operation.alias_of or operation.name
    if name in own:
        return own[name]
    return copy.deepcopy(dict(operation.example)) if operation.example is not None else sample(operation.body or {})


def _filled(value: Any, side: Side) -> Any:
    """The body with `$account_id` replaced by an id of this side's own."""
    if isinstance(value, dict):
        return {name: _filled(one, side) for name, one in value.items()}
    if isinstance(value, list):
        return [_filled(one, side) for one in value]
    return _own(side, value[1:]) if isinstance(value, str) and value.startswith("$") else value


def _with(body: Any, way: tuple[str | int, ...], value: str, operation: Operation, side: Side) -> Any:
    """The body with the value at the end of the way; what is missing on the way is made."""
    changed = copy.deepcopy(body) if body is not None else {}
    at = changed
    for step, following in itertools.pairwise(way):
        if isinstance(at, list):
            if not at:
                at.append([] if isinstance(following, int) else {})
            at = at[0]
        else:
            if not isinstance(at.get(step), (dict, list)):
                at[step] = [] if isinstance(following, int) else {}
            at = at[step]
    if isinstance(at, list):
        at[:] = [value]
    else:
        at[way[-1]] = value
    return changed
