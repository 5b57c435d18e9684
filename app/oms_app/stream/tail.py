"""Follow ledgers once for all listeners: one cheap poll of their heads, one read of new events, any number of readers.

Guarantee: a reader gets every event after its position once and in order, from memory or, when behind, from the log.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Sequence
from typing import Protocol

import msgspec
import structlog

from oms_app.flow.publishing import public_event
from oms_app.signals import NoSignals, Signals
from oms_app.store.unit_of_work import StoreUnavailable
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import LedgerId, TenantId

REMEMBERED = 4096
PAGE = 500
RETRY_S = 1.0
_SILENT = NoSignals()
log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder(enc_hook=str).encode


class Message(msgspec.Struct, frozen=True):
    """One event, ready to be sent: `frame` is its server-sent form."""

    seq: int
    kind: str
    account_id: str | None
    frame: bytes


class Reader(Protocol):
    """What the tail reads from (flow's LogReader)."""

    def heads(self, ledger_ids: Sequence[LedgerId]) -> dict[LedgerId, int]: ...
    def events(
        self, tenant_id: TenantId, ledger_id: LedgerId, after_seq: int, limit: int = 500
    ) -> Sequence[Recorded]: ...


class LedgerTail:
    """The last events of one ledger in memory, and how many listen."""

    def __init__(self, tenant_id: TenantId, ledger_id: LedgerId, head: int) -> None:
        self.tenant_id = tenant_id
        self.ledger_id = ledger_id
        self.head = head
        self.listeners = 0
        self.moved = asyncio.Event()
        self._recent: deque[Message] = deque(maxlen=REMEMBERED)

    def extend(self, messages: Sequence[Message]) -> None:
        """Take the next events and wake everyone who waits."""
        self._recent.extend(messages)
        self.head = messages[-1].seq
        self.moved.set()
        self.moved = asyncio.Event()

    def recent(self, after_seq: int) -> list[Message] | None:
        """The events after a seq, or None when memory does not reach so far back."""
        if after_seq >= self.head:
            return []
        if not self._recent or self._recent[0].seq > after_seq + 1:
            return None
        behind = self.head - after_seq
        return [self._recent[index] for index in range(len(self._recent) - behind, len(self._recent))]


class Tails:
    """All ledgers that somebody listens to, followed by one task."""

    def __init__(self, reader: Reader, poll_s: float, signals: Signals = _SILENT) -> None:
        self._reader = reader
        self._poll_s = poll_s
        self._signals = signals
        self._tails: dict[LedgerId, LedgerTail] = {}
        self.hint = asyncio.Event()
        """Set by a signal that something was committed; it only shortens the wait."""

    async def listen(self, tenant_id: TenantId, ledger_id: LedgerId) -> LedgerTail:
        """The ledger's tail; pair it with `leave`."""
        tail = self._tails.get(ledger_id)
        if tail is None:
            heads = await asyncio.to_thread(self._reader.heads, [ledger_id])
            tail = self._tails.setdefault(ledger_id, LedgerTail(tenant_id, ledger_id, heads.get(ledger_id, 0)))
        tail.listeners += 1
        self.hint.set()
        return tail

    def leave(self, tail: LedgerTail) -> None:
        """One listener less; the last one ends the following."""
        tail.listeners -= 1
        if tail.listeners <= 0:
            self._tails.pop(tail.ledger_id, None)

    async def read(self, tail: LedgerTail, after_seq: int) -> list[Message]:
        """The next events after a position, at most a page; empty when there are none."""
        messages = tail.recent(after_seq)
        if messages is not None:
            return messages[:PAGE]
        return await self._page(tail, after_seq)

    async def follow(self) -> None:
        """Poll and read until cancelled; a database that is away is waited for."""
        loop = asyncio.get_running_loop()
        self._signals.listen(lambda: loop.call_soon_threadsafe(self.hint.set))
        while True:
            # Cleared before looking: what is signalled meanwhile is looked at next.
            self.hint.clear()
            try:
                moved = await self._turn()
            except StoreUnavailable as error:
                log.warning("the database is away", error=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            if not moved:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(self._signals.poll_s(self._poll_s) if self._tails else None):
                        await self.hint.wait()

    async def _turn(self) -> bool:
        tails = list(self._tails.values())
        if not tails:
            return False
        heads = await asyncio.to_thread(self._reader.heads, [tail.ledger_id for tail in tails])
        moved = False
        for tail in tails:
            if heads.get(tail.ledger_id, 0) > tail.head:
                messages = await self._page(tail, tail.head)
                if messages:
                    tail.extend(messages)
                    moved = True
        return moved

    async def _page(self, tail: LedgerTail, after_seq: int) -> list[Message]:
        events = await asyncio.to_thread(self._reader.events, tail.tenant_id, tail.ledger_id, after_seq, PAGE)
        return [_message(recorded) for recorded in events]


def _message(recorded: Recorded) -> Message:
    data = _encode(public_event(recorded))
    frame = b"id: %d\nevent: %s\ndata: %s\n\n" % (recorded.seq, recorded.event.kind.encode(), data)
    return Message(seq=recorded.seq, kind=recorded.event.kind, account_id=recorded.event.account_id, frame=frame)
