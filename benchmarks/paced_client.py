"""A pace as JSON on stdin, latencies as JSON on stdout: orders at even intervals, and when each is seen on the stream.

Each order is due at its own moment, whether or not those before it were answered; its latencies count from there.
"""

import asyncio
import statistics
import sys
import time
from collections import Counter
from urllib.parse import urlsplit

import msgspec

from benchmarks.generator import MARK


class Paced(msgspec.Struct, frozen=True):
    """What to send and where to listen."""

    url: str
    stream_url: str
    headers: dict[str, str]
    body: str
    first: int
    per_second: int
    seconds: float
    kind: str
    """The event that is waited for."""
    patience_s: float = 15.0


class Seen(msgspec.Struct, frozen=True):
    """Milliseconds from the moment at which an order was due. unseen: orders whose event never came."""

    orders: int
    failed: dict[str, int]
    """Status and body of an answer that was not 201 -> how many."""
    unseen: int
    answer_p50_ms: float
    answer_p99_ms: float
    seen_p50_ms: float
    seen_p99_ms: float


class _Event(msgspec.Struct):
    kind: str
    order_id: str | None = None


class Client:
    """One run."""

    def __init__(self, paced: Paced) -> None:
        self._paced = paced
        self._due: dict[str, float] = {}
        self._early: dict[str, float] = {}
        self._answered: list[float] = []
        self._seen: list[float] = []
        self._failed: Counter[str] = Counter()
        self._idle: asyncio.LifoQueue[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = asyncio.LifoQueue()

    async def run(self) -> Seen:
        """Send everything, wait for what is still to come."""
        paced = self._paced
        listening = asyncio.Event()
        listener = asyncio.create_task(self._listen(listening))
        await asyncio.wait_for(listening.wait(), 30)
        count = int(paced.per_second * paced.seconds)
        began = time.perf_counter() + 0.1
        sending = []
        for number in range(count):
            due = began + number / paced.per_second
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            sending.append(asyncio.create_task(self._place(paced.first + number, due)))
        await asyncio.gather(*sending)
        deadline = time.perf_counter() + paced.patience_s
        while self._due and time.perf_counter() < deadline and not listener.done():
            await asyncio.wait({listener}, timeout=0.02)
        listener.cancel()
        if listener.done() and not listener.cancelled():
            listener.result()
        answered, seen = _cuts(self._answered), _cuts(self._seen)
        return Seen(count, dict(self._failed), len(self._due), answered[49], answered[98], seen[49], seen[98])

    async def _place(self, number: int, due: float) -> None:
        paced = self._paced
        address = urlsplit(paced.url)
        try:
            reader, writer = self._idle.get_nowait()
        except asyncio.QueueEmpty:
            reader, writer = await asyncio.open_connection(address.hostname, address.port)
        body = paced.body.replace(MARK, str(number))
        writer.write(_request("POST", paced.url, {**paced.headers, "Content-Length": str(len(body))}, body))
        head = await reader.readuntil(b"\r\n\r\n")
        answer = await reader.readexactly(_length(head))
        self._answered.append((time.perf_counter() - due) * 1000)
        self._idle.put_nowait((reader, writer))
        if head.split(b" ", 2)[1] != b"201":
            self._failed[f"{head.split(b' ', 2)[1].decode()} {answer.decode()[:200]}"] += 1
            return
        order_id = msgspec.json.decode(answer)["order_id"]
        seen_at = self._early.pop(order_id, None)
        if seen_at is None:
            self._due[order_id] = due
        else:
            self._seen.append((seen_at - due) * 1000)

    async def _listen(self, listening: asyncio.Event) -> None:
        paced = self._paced
        address = urlsplit(paced.stream_url)
        reader, writer = await asyncio.open_connection(address.hostname, address.port)
        writer.write(_request("GET", f"{paced.stream_url}?kinds={paced.kind}", paced.headers, ""))
        status = await reader.readuntil(b"\r\n\r\n")
        if status.split(b" ", 2)[1] != b"200":
            raise RuntimeError(status.decode())
        decoder = msgspec.json.Decoder(_Event)
        while line := await reader.readline():
            listening.set()
            if line.startswith(b"data: ") and (event := decoder.decode(line[6:])).order_id is not None:
                now = time.perf_counter()
                due = self._due.pop(event.order_id, None)
                if due is None:
                    self._early[event.order_id] = now
                else:
                    self._seen.append((now - due) * 1000)


def _request(method: str, url: str, headers: dict[str, str], body: str) -> bytes:
    address = urlsplit(url)
    target = address.path + (f"?{address.query}" if address.query else "")
    lines = [f"{method} {target} HTTP/1.1", f"Host: {address.netloc}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n" + body).encode()


def _length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _cuts(values: list[float]) -> list[float]:
    return statistics.quantiles(values, n=100) if len(values) > 1 else [0.0] * 99


if __name__ == "__main__":
    seen = asyncio.run(Client(msgspec.json.decode(sys.stdin.buffer.read(), type=Paced)).run())
    sys.stdout.buffer.write(msgspec.json.encode(seen))
