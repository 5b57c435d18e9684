"""Follow ledgers once for all listeners: one cheap poll of their heads, one read of the new events that somebody wants.

Guarantee: a listener gets every wanted event after its position once and in order, from memory or, when behind, from
the log. Whoever wants nothing of what is new is not woken.
"""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import Sequence
from operator import attrgetter
from typing import Protocol

import msgspec
import structlog

from oms_app.flow.publishing import is_private, public_event
from oms_app.signals import NoSignals, Signals
from oms_app.store.unit_of_work import StoreUnavailable
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import LedgerId, TenantId

REMEMBERED = 4096
PAGE = 500
RETRY_S = 1.0
BUSY_S = 0.015
"""How often ledgers are looked at, by a signal or without, while listeners get what is new."""
CALM_S = 0.05
"""The least time between two looks while nobody wants what is new."""
BUSY_FOR_S = 1.0
_SILENT = NoSignals()
log = structlog.get_logger(__name__)
_encode = msgspec.json.Encoder(enc_hook=str).encode
_seq = attrgetter("seq")


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
        self,
        tenant_id: TenantId,
        ledger_id: LedgerId,
        after_seq: int,
        limit: int = 500,
        *,
        account_ids: frozenset[str] | None = None,
    ) -> Sequence[Recorded]: ...


class Listener:
    """One open stream: what it wants, the seq up to which it was told, and what wakes it."""

    def __init__(self, account_ids: frozenset[str] | None, kinds: frozenset[str], position: int) -> None:
        self.account_ids = account_ids
        """None: every account's events, and those of the ledger as a whole."""
        self.kinds = kinds
        self.position = position
        self.woken = asyncio.Event()

    def wants(self, message: Message) -> bool:
        """Whether the message is to be told."""
        if self.account_ids is not None and message.account_id not in self.account_ids:
            return False
        return not self.kinds or message.kind in self.kinds


class LedgerTail:
    """The last wanted events of one ledger in memory, and who listens."""

    def __init__(self, tenant_id: TenantId, ledger_id: LedgerId, head: int) -> None:
        self.tenant_id = tenant_id
        self.ledger_id = ledger_id
        self.head = head
        self.listeners: set[Listener] = set()
        self.account_ids: frozenset[str] | None = frozenset()
        """Whose events are read into memory; None: all."""
        self._since = head
        self._recent: list[Message] = []
        """Those events after `_since`, in order."""

    def join(self, listener: Listener) -> None:
        """Remember from now on what this listener wants too; what lies behind it reads from the log."""
        self.listeners.add(listener)
        wider = _union(self.account_ids, listener.account_ids)
        if wider != self.account_ids:
            self.account_ids = wider
            self._recent, self._since = [], self.head

    def leave(self, listener: Listener) -> None:
        """Read no more than the others want."""
        self.listeners.discard(listener)
        narrower: frozenset[str] | None = frozenset()
        for other in self.listeners:
            narrower = _union(narrower, other.account_ids)
        self.account_ids = narrower

    def extend(self, messages: Sequence[Message], head: int) -> None:
        """Take what is new up to `head`; wake who wants some of it, and take the others along."""
        before, self.head = self.head, head
        self._recent.extend(messages)
        if len(self._recent) > 2 * REMEMBERED:
            self._since = self._recent[-REMEMBERED - 1].seq
            del self._recent[:-REMEMBERED]
        concerned = {message.account_id for message in messages}
        for listener in self.listeners:
            is_abreast = listener.position >= before
            if is_abreast and (not concerned or _is_disjoint(listener.account_ids, concerned)):
                listener.position = head
            else:
                listener.woken.set()

    def recent(self, listener: Listener) -> tuple[list[Message], int] | None:
        """(the next messages that it wants, at most a page; up to which seq), or None when memory is too short."""
        if listener.position < self._since:
            return None
        first = bisect_right(self._recent, listener.position, key=_seq)
        page = self._recent[first : first + PAGE]
        is_last = first + len(page) == len(self._recent)
        return [one for one in page if listener.wants(one)], self.head if is_last else page[-1].seq


class Tails:
    """All ledgers that somebody listens to, followed by one task."""

    def __init__(self, reader: Reader, poll_s: float, signals: Signals = _SILENT) -> None:
        self._reader = reader
        self._poll_s = poll_s
        self._signals = signals
        self._tails: dict[LedgerId, LedgerTail] = {}
        self.hint = asyncio.Event()
        """Set by a signal that something was committed; it only shortens the wait."""

    async def listen(
        self,
        tenant_id: TenantId,
        ledger_id: LedgerId,
        after_seq: int | None,
        account_ids: frozenset[str] | None,
        kinds: frozenset[str],
    ) -> tuple[LedgerTail, Listener]:
        """The ledger's tail and a listener on it, after a seq or from now on; pair it with `leave`."""
        tail = self._tails.get(ledger_id)
        if tail is None:
            heads = await asyncio.to_thread(self._reader.heads, [ledger_id])
            tail = self._tails.setdefault(ledger_id, LedgerTail(tenant_id, ledger_id, heads.get(ledger_id, 0)))
        listener = Listener(account_ids, kinds, tail.head if after_seq is None else min(after_seq, tail.head))
        tail.join(listener)
        self.hint.set()
        return tail, listener

    def leave(self, tail: LedgerTail, listener: Listener) -> None:
        """One listener less; the last one ends the following."""
        tail.leave(listener)
        if not tail.listeners and self._tails.get(tail.ledger_id) is tail:
            del self._tails[tail.ledger_id]

    async def read(self, tail: LedgerTail, listener: Listener) -> list[Message]:
        """The next messages that it wants, at most a page; the listener stands behind them then."""
        found = tail.recent(listener)
        if found is None:
            head = tail.head
            page, position = await self._page(tail, listener.position, head, listener.account_ids)
            found = [one for one in page if listener.wants(one)], position
        messages, position = found
        listener.position = max(listener.position, position)
        return messages

    async def follow(self) -> None:
        """Look and read until cancelled; a database that is away is waited for."""
        loop = asyncio.get_running_loop()
        self._signals.listen(lambda: loop.call_soon_threadsafe(self.hint.set))
        told_at = float("-inf")
        while True:
            # Cleared before looking: what is signalled meanwhile is looked at next.
            self.hint.clear()
            began = loop.time()
            try:
                if await self._turn():
                    told_at = loop.time()
            except StoreUnavailable as error:
                log.warning("the database is away", error=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            if not self._tails:
                await self.hint.wait()
                continue
            is_busy = began - told_at < BUSY_FOR_S
            gap_s = min(self._poll_s, BUSY_S if is_busy else CALM_S)
            await asyncio.sleep(max(0.0, began + gap_s - loop.time()))
            longest_s = gap_s if is_busy else self._signals.poll_s(self._poll_s)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(began + longest_s):
                    await self.hint.wait()

    async def _turn(self) -> bool:
        """Whether something came that somebody wants."""
        tails = list(self._tails.values())
        if not tails:
            return False
        heads = await asyncio.to_thread(self._reader.heads, [tail.ledger_id for tail in tails])
        told = False
        for tail in tails:
            head = heads.get(tail.ledger_id, 0)
            while tail.head < head:
                wanted = tail.account_ids
                messages, position = await self._page(tail, tail.head, head, wanted)
                if wanted == tail.account_ids:  # else somebody came who wants more: it is read again for him too
                    tail.extend(messages, position)
                    told = told or bool(messages)
        return told

    async def _page(
        self, tail: LedgerTail, after_seq: int, head: int, account_ids: frozenset[str] | None
    ) -> tuple[list[Message], int]:
        """(the next messages of these accounts, at most a page; up to which seq they are complete).

        head: a seq of the log that is known to be committed.
        """
        events: Sequence[Recorded] = ()
        if account_ids is None or account_ids:
            read = self._reader.events
            events = await asyncio.to_thread(
                read, tail.tenant_id, tail.ledger_id, after_seq, PAGE, account_ids=account_ids
            )
        position = max(head, events[-1].seq) if events and len(events) < PAGE else events[-1].seq if events else head
        return [_message(recorded) for recorded in events if not is_private(recorded.event)], position


def _union(these: frozenset[str] | None, others: frozenset[str] | None) -> frozenset[str] | None:
    return None if these is None or others is None else these | others


def _is_disjoint(account_ids: frozenset[str] | None, concerned: set[str | None]) -> bool:
    return account_ids is not None and account_ids.isdisjoint(concerned)


def _message(recorded: Recorded) -> Message:
    data = _encode(public_event(recorded))
    frame = b"id: %d\nevent: %s\ndata: %s\n\n" % (recorded.seq, recorded.event.kind.encode(), data)
    return Message(seq=recorded.seq, kind=recorded.event.kind, account_id=recorded.event.account_id, frame=frame)
