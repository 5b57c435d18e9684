"""Answer `GET /api/v1/stream` with a ledger's events as server-sent events, resumable by Last-Event-ID without a gap.

What is new goes out at once and after that in bundles: each listener is written to at most a hundred times a second,
with many listeners at most ten times. One that does not read is cut and resumes.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from contextlib import suppress
from typing import Any

import structlog

from oms_app.flow.identity import Caller, Identity
from oms_app.flow.routing import Directory
from oms_app.store.unit_of_work import StoreUnavailable
from oms_app.stream.requests import HEALTH_PATHS, Refused, Wish, caller_of, cors_headers, headers_of, wish_of
from oms_app.stream.tail import LedgerTail, Listener, Tails
from oms_kernel.domain.ids import LedgerId, TenantId

COALESCE_S = 0.01
LONGEST_COALESCE_S = 0.1
COALESCE_PER_LISTENER_S = 0.0003
KEEP_ALIVE_S = 15.0
LOOK_S = 0.5
"""How often the auth epochs of all tenants that listen are read, in one statement: what was revoked closes streams."""
SEND_LIMIT_S = 10.0
"""A reader that takes nothing for so long is cut."""
log = structlog.get_logger(__name__)

Scope = Mapping[str, Any]
Receive = Callable[[], Awaitable[Mapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class StreamApp:
    """The ASGI application. `close` ends every open stream, so that stopping does not wait for listeners."""

    def __init__(
        self,
        tails: Tails,
        identity: Identity,
        directory: Directory,
        *,
        url: str,
        keep_alive_s: float = KEEP_ALIVE_S,
        tenant_of: Callable[[str], TenantId | None] = lambda host: None,
    ) -> None:
        self._tails = tails
        self._identity = identity
        self._directory = directory
        self._url = url
        self._tenant_of = tenant_of
        self._keep_alive_s = keep_alive_s
        self._open: dict[Listener, Caller] = {}
        self._outdated: set[Listener] = set()
        """Those to be recognised anew: something was taken from somebody of their tenant."""
        self._watcher: asyncio.Task[None] | None = None
        self._is_closing = False

    @property
    def listeners(self) -> int:
        """How many streams are open."""
        return len(self._open)

    def close(self) -> None:
        """End all streams now."""
        self._is_closing = True
        for listener in self._open:
            listener.woken.set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        headers = headers_of(scope)
        try:
            await self._answer(scope, headers, receive, send)
        except Refused as refusal:
            await self._whole(send, headers, refusal.status, refusal.body(), b"application/problem+json")
        except StoreUnavailable:
            away = Refused(503, "unavailable", "the database cannot be reached; try again")
            await self._whole(send, headers, 503, away.body(), b"application/problem+json")

    async def _answer(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        path = scope["path"].rstrip("/") or "/"
        if scope["method"] == "OPTIONS":
            await self._whole(send, headers, 204, b"", b"text/plain")
        elif scope["method"] != "GET":
            raise Refused(405, "method_not_allowed", "only GET is answered here")
        elif path in HEALTH_PATHS:
            await self._whole(send, headers, 200, b'{"status":"ok"}', b"application/json")
        elif path == "/" or path.endswith("/stream"):
            await self._stream(scope, headers, receive, send)
        else:
            raise Refused(404, "not_found", "the stream is at /api/v1/stream")

    async def _stream(self, scope: Scope, headers: dict[str, str], receive: Receive, send: Send) -> None:
        wish = wish_of(scope, headers)
        caller = await asyncio.to_thread(caller_of, headers, self._identity, self._tenant_of)
        ledger_id = await asyncio.to_thread(self._ledger, caller, wish)
        accounts = _accounts(wish, caller)
        tail, listener = await self._tails.listen(
            caller.principal.tenant_id, ledger_id, wish.after_seq, accounts, wish.kinds
        )
        self._open[listener] = caller
        if self._watcher is None or self._watcher.done():
            self._watcher = asyncio.create_task(self._watch())
        gone = asyncio.create_task(_disconnected(receive))
        gone.add_done_callback(lambda _: listener.woken.set())
        try:
            start = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
            start += [(b"x-accel-buffering", b"no"), *cors_headers(headers, self._url)]
            await send({"type": "http.response.start", "status": 200, "headers": start})
            await self._feed(tail, listener, headers, send, gone)
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        except (TimeoutError, OSError) as error:
            log.info("a listener was cut", principal=caller.principal.principal_id, error=repr(error))
        finally:
            gone.cancel()
            self._open.pop(listener, None)
            self._outdated.discard(listener)
            self._tails.leave(tail, listener)

    async def _feed(
        self,
        tail: LedgerTail,
        listener: Listener,
        headers: dict[str, str],
        send: Send,
        gone: asyncio.Task[None],
    ) -> None:
        """Send events until the listener leaves, its permission ends or the server closes."""
        sent_at = time.monotonic()
        await _push(send, b"retry: 1000\n: listening after %d\n\n" % listener.position)
        try:
            while not (gone.done() or self._is_closing):
                listener.woken.clear()
                messages = await self._tails.read(tail, listener)
                if messages:
                    await _push(send, b"".join([one.frame for one in messages]))
                    sent_at = time.monotonic()
                    await asyncio.wait({gone}, timeout=self._coalesce_s())
                elif listener.position >= tail.head:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(self._idle_s(listener)):
                            await listener.woken.wait()
                now = time.monotonic()
                if listener in self._outdated or self._is_over(listener):
                    self._outdated.discard(listener)
                    await self._recognise(listener, headers)
                if now - sent_at >= self._keep_alive_s:
                    sent_at = now
                    await _push(send, b": still here\n\n")
        except Refused as refusal:
            await _push(send, b"event: closed\ndata: %s\n\n" % refusal.body())

    async def _watch(self) -> None:
        """Wake whoever must be recognised anew, as long as somebody listens. A database that is away tells nothing."""
        while self._open and not self._is_closing:
            await asyncio.sleep(LOOK_S)
            tenants = {caller.principal.tenant_id for caller in self._open.values()}
            try:
                epochs = await asyncio.to_thread(self._identity.epochs, tenants)
            except StoreUnavailable:
                continue
            for listener, caller in self._open.items():
                if epochs.get(caller.principal.tenant_id, caller.epoch) != caller.epoch:
                    self._outdated.add(listener)
                    listener.woken.set()

    async def _recognise(self, listener: Listener, headers: dict[str, str]) -> None:
        """Nothing, when the listener may still hear the same. Raises Refused."""
        try:
            caller = await asyncio.to_thread(caller_of, headers, self._identity, self._tenant_of)
        except StoreUnavailable:
            self._outdated.add(listener)  # there is nothing to tell it meanwhile; the next look asks again
            return
        if caller.principal.account_ids != self._open[listener].principal.account_ids:
            raise Refused(403, "not_permitted", "the accounts that you may see have changed; connect again")
        self._open[listener] = caller

    def _is_over(self, listener: Listener) -> bool:
        left_s = self._identity.lasts_s(self._open[listener])
        return left_s is not None and left_s <= 0

    def _idle_s(self, listener: Listener) -> float:
        """How long the listener may be left alone: until a sign of life is due, or its token ends."""
        left_s = self._identity.lasts_s(self._open[listener])
        return self._keep_alive_s if left_s is None else min(self._keep_alive_s, max(LOOK_S / 10, left_s))

    def _coalesce_s(self) -> float:
        """How long the next events gather: with many listeners fewer and longer bundles."""
        return min(LONGEST_COALESCE_S, max(COALESCE_S, COALESCE_PER_LISTENER_S * len(self._open)))

    def _ledger(self, caller: Caller, wish: Wish) -> LedgerId:
        ledgers = self._directory.ledgers(caller.principal)
        if wish.ledger_id is not None:
            if wish.ledger_id not in ledgers:
                raise Refused(404, "unknown_ledger", "ledger_id names no ledger of yours")
            return LedgerId(wish.ledger_id)
        if len(ledgers) != 1:
            raise Refused(422, "invalid_request", f"you have {len(ledgers)} ledgers: name one with ledger_id")
        return ledgers[0]

    async def _whole(self, send: Send, headers: dict[str, str], status: int, body: bytes, kind: bytes) -> None:
        answer = [(b"content-type", kind), (b"content-length", str(len(body)).encode())]
        if status == 401:
            answer.append((b"www-authenticate", b"Bearer"))
        if status == 503:
            answer.append((b"retry-after", b"1"))
        if status == 405:
            answer.append((b"allow", b"GET, OPTIONS"))
        answer += cors_headers(headers, self._url)
        await send({"type": "http.response.start", "status": status, "headers": answer})
        await send({"type": "http.response.body", "body": body, "more_body": False})


async def _push(send: Send, body: bytes) -> None:
    """Send part of the answer. Raises TimeoutError when the listener does not read."""
    await asyncio.wait_for(send({"type": "http.response.body", "body": body, "more_body": True}), SEND_LIMIT_S)


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _accounts(wish: Wish, caller: Caller) -> frozenset[str] | None:
    """The accounts whose events are told: those that are asked for and permitted; None for everything."""
    allowed = caller.principal.account_ids
    if allowed is None:
        return wish.account_ids or None
    return frozenset(allowed) & wish.account_ids if wish.account_ids else frozenset(allowed)
