"""One request on many kept connections at once, over several processes; every reply out, or None where it was lost."""

import http.client
import json
from collections.abc import Callable, Sequence
from typing import Any

import msgspec

from campaigns.timing import scaled

TIMEOUT_S = 30.0


class Reply(msgspec.Struct, frozen=True):
    """What one request was answered with."""

    status: int
    replayed: bool
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def code(self) -> str | None:
        """The code of a problem."""
        value = self.json
        return value.get("code") if isinstance(value, dict) else None

    @property
    def order_id(self) -> str | None:
        """The order that the answer names."""
        value = self.json
        return value.get("order_id") if isinstance(value, dict) else None


class Request(msgspec.Struct, frozen=True):
    """A request of a caller."""

    method: str
    path: str
    body: Any
    api_key: str
    key: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """Its headers."""
        named = {"X-API-Key": self.api_key, "Content-Type": "application/json"}
        return {**named, "Idempotency-Key": self.key} if self.key else named


class Lines:
    """`size` kept connections, dealt out evenly over the ports."""

    def __init__(self, ports: Sequence[int], size: int) -> None:
        self._lines = [
            http.client.HTTPConnection("127.0.0.1", ports[number % len(ports)], timeout=scaled(TIMEOUT_S))
            for number in range(size)
        ]

    def ask(self, request: Request) -> list[Reply | None]:
        """The replies to the same request sent on every connection before the first reply is read."""
        return self.ask_each([request] * len(self._lines))

    def ask_each(self, requests: Sequence[Request], between: Callable[[], None] | None = None) -> list[Reply | None]:
        """The replies to one request on each connection; `between` is called when all are sent."""
        sent = [self._sends(line, request) for line, request in zip(self._lines, requests, strict=False)]
        if between is not None:
            between()
        return [_reply(line) if is_sent else None for line, is_sent in zip(self._lines, sent, strict=False)]

    def close(self) -> None:
        """Close them."""
        for line in self._lines:
            line.close()

    def _sends(self, line: http.client.HTTPConnection, request: Request) -> bool:
        text = json.dumps(request.body) if request.body is not None else None
        try:
            line.request(request.method, request.path, text, request.headers)
        except (OSError, http.client.HTTPException):
            line.close()  # opens again at the next request
            return False
        return True


def _reply(line: http.client.HTTPConnection) -> Reply | None:
    try:
        answer = line.getresponse()
        body = answer.read()
    except (OSError, http.client.HTTPException):
        line.close()
        return None
    return Reply(answer.status, answer.getheader("Idempotency-Replayed") == "true", body)


def ask(port: int, request: Request) -> Reply | None:
    """The reply to one request on a connection of its own."""
    lines = Lines([port], 1)
    try:
        return lines.ask(request)[0]
    finally:
        lines.close()
