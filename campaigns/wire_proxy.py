"""Bytes of a session in, the same to the simulated broker and back, except for what a fault does to them.

One proxy stands before one connection; all proxies share one event loop in a thread of their own.
"""

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

from campaigns.timing import scaled
from campaigns.wire_faults import Fault, FaultKind, Way
from oms_sim_broker.link import Endpoint

LOOPBACK = "127.0.0.1"
PREFIX = 4
CHUNK = 64 * 1024
HELD_S = 0.2
"""How long a frame waits for the one that is to overtake it."""
ADDS = (b'"type":"place"', b'"type":"replace"')
IDLE = (b'"type":"quote"', b'"type":"ping"')
HEAD = 48
"""The type of a message stands within so many bytes of its frame."""


class Proxies:
    """The event loop of all proxies. Thread-safe."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="proxies", daemon=True)
        self._thread.start()
        self._proxies: list[WireProxy] = []

    def open(self, broker: Callable[[], Endpoint]) -> "WireProxy":
        """A new proxy to the broker, whose address is asked for at each connection."""
        proxy = WireProxy(self._loop, broker)
        self.do(proxy.listen())
        self._proxies.append(proxy)
        return proxy

    def do(self, work: Any) -> Any:
        """The result of a coroutine on the loop."""
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(30)

    def close(self) -> None:
        """End all of them."""
        for proxy in self._proxies:
            self.do(proxy.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(30)
        self._loop.close()


class WireProxy:
    """One listening port. `struck` counts what each kind of fault did."""

    def __init__(self, loop: asyncio.AbstractEventLoop, broker: Callable[[], Endpoint]) -> None:
        self.port = 0
        self.struck: Counter[FaultKind] = Counter()
        self.fault: Fault | None = None
        self._loop = loop
        self._broker = broker
        self._passed = 0
        self._left = 0
        self._links: set[Link] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        """Take a free port."""
        self._server = await asyncio.start_server(self._serve, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def apply(self, fault: Fault) -> None:
        """Put a fault in force in place of the one before. Thread-safe."""
        self._loop.call_soon_threadsafe(self._apply, fault)

    def heal(self) -> None:
        """Let everything pass, and end the connections that lost something. Thread-safe."""
        self._loop.call_soon_threadsafe(self._heal)

    async def close(self) -> None:
        """Stop listening, end every connection."""
        if self._server is not None:
            self._server.close()
        for link in tuple(self._links):
            link.cut()
        await asyncio.gather(*self._serving, return_exceptions=True)

    def strikes(self, way: Way, frame: bytes) -> Fault | None:
        """The fault that strikes this frame."""
        fault = self.fault
        head = frame[:HEAD]
        if fault is None or any(word in head for word in IDLE):
            return None
        if fault.way is not way:
            return None
        self._passed += 1
        if self._passed <= fault.after:
            return None
        if fault.kind in (FaultKind.SKIP, FaultKind.DUPLICATE, FaultKind.REORDER, FaultKind.CUT):
            if fault.kind is FaultKind.DUPLICATE and any(word in head for word in ADDS):
                return None  # TCP does not double a request, and a broker that was asked twice is not our doing
            if self._left <= 0:
                return None
            self._left -= 1
        self.struck[fault.kind] += 1
        return fault

    def _apply(self, fault: Fault) -> None:
        self.fault, self._passed, self._left = fault, 0, fault.count
        for link in tuple(self._links):
            if fault.kind is FaultKind.SILENT:
                link.silence()
            elif fault.kind is FaultKind.HALF_OPEN_BROKER:
                link.half_open(Way.TO_BROKER)
            elif fault.kind is FaultKind.HALF_OPEN_SESSION:
                link.half_open(Way.TO_SESSION)
            elif fault.kind is FaultKind.REFUSE:
                link.cut()
            else:
                continue
            self.struck[fault.kind] += 1

    def _heal(self) -> None:
        self.fault = None
        for link in tuple(self._links):
            if link.is_sick:
                link.cut()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        kind = self.fault.kind if self.fault is not None else None
        if kind is FaultKind.REFUSE:
            self.struck[kind] += 1
            writer.transport.abort()
            return
        try:
            endpoint = self._broker()
            theirs = await asyncio.open_connection(endpoint.host, endpoint.port)
        except OSError:
            writer.transport.abort()
            return
        serving = asyncio.current_task()
        assert serving is not None
        self._serving.add(serving)
        serving.add_done_callback(self._serving.discard)
        link = Link(self, (reader, writer), theirs)
        self._links.add(link)
        if kind is FaultKind.SILENT:
            self.struck[kind] += 1
            link.silence()
        try:
            await link.run()
        finally:
            self._links.discard(link)


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Link:
    """One connection through the proxy: two ways, each frame by frame."""

    def __init__(self, proxy: WireProxy, session: Stream, broker: Stream) -> None:
        self.is_sick = False
        """It lost something, and has to end before the wire counts as well."""
        self._proxy = proxy
        self._session, self._broker = session, broker
        self._silent: set[Way] = set()
        self._over = asyncio.Event()

    async def run(self) -> None:
        """Pass on both ways until one side ends, or the link is cut."""
        ways = [
            asyncio.create_task(self._pass_on(Way.TO_BROKER, self._session[0], self._broker[1])),
            asyncio.create_task(self._pass_on(Way.TO_SESSION, self._broker[0], self._session[1])),
        ]
        await self._over.wait()
        for task in ways:
            task.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
        for _, writer in (self._session, self._broker):
            writer.transport.abort()

    def cut(self) -> None:
        """End it on both sides."""
        self._over.set()

    def silence(self, *ways: Way) -> None:
        """Let nothing pass any more."""
        self.is_sick = True
        self._silent.update(ways or Way)

    def half_open(self, way: Way) -> None:
        """End one side; the other one hears nothing."""
        self.silence()
        (self._broker if way is Way.TO_BROKER else self._session)[1].transport.abort()

    async def _pass_on(self, way: Way, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held = b""
        try:
            while data := await reader.read(CHUNK):
                held += data
                while len(held) >= PREFIX and len(held) >= (size := PREFIX + int.from_bytes(held[:PREFIX], "big")):
                    frame, held = held[:size], held[size:]
                    await self._frame(way, frame, writer)
            if not self._silent:
                self.cut()
        except OSError:
            if not self._silent:
                self.cut()

    async def _frame(self, way: Way, frame: bytes, writer: asyncio.StreamWriter) -> None:
        if way in self._silent or self._over.is_set():
            return
        fault = self._proxy.strikes(way, frame)
        if fault is None:
            writer.write(frame)
        elif fault.kind is FaultKind.LOSE:
            self.silence(way)
        elif fault.kind is FaultKind.SKIP:
            self.is_sick = True
        elif fault.kind is FaultKind.DELAY:
            await asyncio.sleep(scaled(fault.amount))
            writer.write(frame)
        elif fault.kind is FaultKind.DUPLICATE:
            writer.write(frame + frame)
        elif fault.kind is FaultKind.REORDER:
            asyncio.get_running_loop().call_later(scaled(HELD_S), self._late, writer, frame)
            return
        elif fault.kind is FaultKind.CUT:
            writer.write(frame[: min(int(fault.amount), len(frame) - 1)])
            with contextlib.suppress(OSError):
                await writer.drain()
            await asyncio.sleep(0)
            self.cut()
        elif fault.kind is FaultKind.SLOW:
            await self._slowly(frame, writer, fault)
        await writer.drain()

    def _late(self, writer: asyncio.StreamWriter, frame: bytes) -> None:
        if not self._over.is_set():
            writer.write(frame)

    async def _slowly(self, frame: bytes, writer: asyncio.StreamWriter, fault: Fault) -> None:
        step = max(1, int(fault.amount / 20))
        for start in range(0, len(frame), step):
            writer.write(frame[start : start + step])
            if self._proxy.fault is fault:
                await asyncio.sleep(step / fault.amount)
