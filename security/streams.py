"""Two tenants in, what the event stream tells one of the other out: it must be nothing, whatever it is asked for."""

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from oms_app.stream.app import StreamApp
from oms_app.stream.tail import Tails
from security.requests import Asked, normal
from security.sides import Side, Sides

DEADLINE_S = 10.0


class Listener:
    """One client of the stream: what it was sent."""

    def __init__(self, app: StreamApp, side: Side, query: Mapping[str, str]) -> None:
        self.status = 0
        self.body = b""
        self._gone = asyncio.Event()
        scope = {
            "type": "http", "method": "GET", "path": "/api/v1/stream", "query_string": urlencode(query).encode(),
            "headers": [(b"authorization", f"Bearer {side.token}".encode())], "client": ("127.0.0.1", 1),
        }  # fmt: skip
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: Mapping[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        else:
            self.body += message["body"]

    async def until(self, text: str) -> None:
        """Returns once the text was sent, or the answer has ended. Raises RuntimeError."""
        deadline = time.monotonic() + DEADLINE_S
        while text.encode() not in self.body and not self.task.done():
            if time.monotonic() > deadline:
                raise RuntimeError(f"the stream did not tell {text}: {self.status} {self.body[-300:]!r}")
            await asyncio.sleep(0.01)

    async def end(self) -> Asked:
        """Hang up; all that was sent."""
        self._gone.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(asyncio.shield(self.task), 2)
        return Asked(self.status, self.body.decode(), {})


def foreign_streams(sides: Sides) -> tuple[int, list[str]]:
    """(how many streams were opened, what was wrong with them)."""
    return asyncio.run(_listened(sides))


async def _listened(sides: Sides) -> tuple[int, list[str]]:
    services, mine, theirs = sides.services, sides.mine, sides.theirs
    tails = Tails(services.reader, poll_s=0.02)
    app = StreamApp(tails, services.identity, services.directory, url="http://127.0.0.1:8000")
    following = asyncio.create_task(tails.follow())
    failures: list[str] = []
    opened = 0
    secrets = {*theirs.all_ids(), theirs.mark}
    try:
        for name in ("ledger_id", "account_id"):
            nobodys = str(uuid.uuid4())
            asked = {value: Listener(app, mine, {name: value}) for value in (nobodys, *theirs.owned[name])}
            own = Listener(app, mine, {})
            opened += len(asked) + 1
            await own.until("listening")
            for listener in asked.values():
                await listener.until("listening")
            await asyncio.to_thread(_happens, theirs)
            seen = await asyncio.to_thread(_happens, mine)
            await own.until(seen)
            answers = {value: await listener.end() for value, listener in asked.items()}
            answers[""] = await own.end()
            expected = normal(answers[nobodys], nobodys)
            for value, answer in answers.items():
                leaked = sorted(secret for secret in secrets if secret in answer.text and secret != value)
                if leaked:
                    failures.append(f"stream {name}={value}: tells {', '.join(leaked[:3])}")
                if value and normal(answer, value) != expected:
                    failures.append(f"stream {name}: another tenant's {normal(answer, value)}, nobody's {expected}")
    finally:
        app.close()
        following.cancel()
    return opened, failures


def _happens(side: Side) -> str:
    """Place an order; its id."""
    placed = side.desk.place(client_order_id=f"{side.mark}-{uuid.uuid4()}", allow_duplicate=True)
    return str(placed.get_json()["order_id"])
