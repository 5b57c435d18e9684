"""What the clients asked for and what they were told, in the order of the answers: the one side of every check."""

import threading
from enum import StrEnum
from typing import Any

import msgspec


class Told(StrEnum):
    """What an answer to a new order means."""

    STORED = "stored"
    """201: it will be sent."""
    KNOWN = "known"
    """409 duplicate_client_order_id: it was stored before."""
    DENIED = "denied"
    """422 with an order id: stored as DENIED."""
    NOTHING = "nothing"
    """A refusal which says that nothing was stored."""
    UNKNOWN = "unknown"
    """No answer, or one that promises nothing: 504, 5xx, a broken connection."""


class Answer(msgspec.Struct, frozen=True):
    """One answer to one attempt. order_id: of the order that it names."""

    told: Told
    order_id: str | None = None
    status: int | None = None


class Posted(msgspec.Struct, frozen=True):
    """A new order under a client order id that the campaign chose, and every answer to it, oldest first."""

    client_order_id: str
    body: dict[str, Any]
    answers: tuple[Answer, ...] = ()

    @property
    def is_settled(self) -> bool:
        """Whether the last answer promises something."""
        return bool(self.answers) and self.answers[-1].told is not Told.UNKNOWN


class History:
    """The orders of all client threads. An order is noted before its first byte is sent."""

    def __init__(self) -> None:
        self._posted: dict[str, Posted] = {}
        self._lock = threading.Lock()

    def ask(self, client_order_id: str, body: dict[str, Any]) -> None:
        """Note that an order is about to be sent."""
        with self._lock:
            self._posted[client_order_id] = Posted(client_order_id, body)

    def hear(self, client_order_id: str, answer: Answer) -> None:
        """Note an answer, or that there was none."""
        with self._lock:
            posted = self._posted[client_order_id]
            self._posted[client_order_id] = msgspec.structs.replace(posted, answers=(*posted.answers, answer))

    def all(self) -> list[Posted]:
        """Every order that was sent."""
        with self._lock:
            return list(self._posted.values())


def answer_of(status: int, body: Any) -> Answer:
    """What the HTTP answer to a new order, or a bulk's item, means."""
    order_id = body.get("order_id") if isinstance(body, dict) else None
    code = body.get("code") if isinstance(body, dict) else None
    if status == 201:
        return Answer(Told.STORED, order_id, status)
    if status == 409 and code == "duplicate_client_order_id":
        return Answer(Told.KNOWN, order_id, status)
    if status == 422 and order_id is not None:
        return Answer(Told.DENIED, order_id, status)
    if status in (400, 401, 403, 404, 413, 415, 422, 429, 503):
        return Answer(Told.NOTHING, None, status)
    return Answer(Told.UNKNOWN, order_id, status)
