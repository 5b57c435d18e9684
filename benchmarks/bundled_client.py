"""A load as JSON on stdin, what was answered as JSON on stdout: keep-alive HTTP/1.1 over raw sockets in one loop.

It is honest about itself: Python sends a few thousand requests a second at most, which the runner measures and prints.
"""

import asyncio
import itertools
import statistics
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import msgspec

from benchmarks.generator import MARK, Answered, Load


async def send(load: Load) -> Answered:
    """Send the load over its connections and count the answers."""
    address = urlsplit(load.url)
    host, port = address.hostname or "127.0.0.1", address.port or 80
    target = address.path + (f"?{address.query}" if address.query else "")
    lines = [f"{load.method} {target} HTTP/1.1", f"Host: {host}:{port}"]
    head = "\r\n".join([*lines, *(f"{name}: {value}" for name, value in load.headers.items())])
    messages = _messages(head, load.body.split(MARK), load.first)
    latencies: list[float] = []
    failed = 0
    began = time.perf_counter()
    deadline = began + load.seconds

    async def one() -> None:
        nonlocal failed
        reader, writer = await asyncio.open_connection(host, port)
        while time.perf_counter() < deadline:
            sent_at = time.perf_counter()
            writer.write(next(messages))
            try:
                status = await _answer(reader)
            except (ConnectionError, asyncio.IncompleteReadError):
                failed += 1
                break
            latencies.append(time.perf_counter() - sent_at)
            failed += not 200 <= status < 300
        writer.close()

    await asyncio.gather(*(one() for _ in range(load.connections)))
    cuts = statistics.quantiles(latencies, n=100) if len(latencies) > 1 else [0.0] * 99
    return Answered(
        requests=len(latencies),
        failed=failed,
        seconds=time.perf_counter() - began,
        p50_ms=cuts[49] * 1000,
        p99_ms=cuts[98] * 1000,
    )


def _messages(head: str, pieces: list[str], first: int) -> Iterator[bytes]:
    counter = itertools.count(first)
    while True:
        body = pieces[0] + "".join(f"{next(counter)}{piece}" for piece in pieces[1:])
        yield f"{head}\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode()


async def _answer(reader: asyncio.StreamReader) -> int:
    """The status of the next answer, its body read."""
    head = await reader.readuntil(b"\r\n\r\n")
    length = 0
    for line in head.split(b"\r\n")[1:]:
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(value)
    if length:
        await reader.readexactly(length)
    return int(head.split(b" ", 2)[1])


if __name__ == "__main__":
    answered = asyncio.run(send(msgspec.json.decode(sys.stdin.buffer.read(), type=Load)))
    sys.stdout.buffer.write(msgspec.json.encode(answered))
