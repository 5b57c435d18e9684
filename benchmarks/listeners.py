"""Streams that only listen: opens as many as it is told, says `open`, reads what comes until its stdin ends.

The last line of stdout is how many bytes came. A stream that ends by itself ends the process with an error.
"""

import argparse
import asyncio
import sys
from urllib.parse import urlsplit


async def listen(url: str, key: str, count: int) -> int:
    """The bytes that came over all streams until stdin ended."""
    opened = asyncio.Semaphore(0)
    streams = [asyncio.create_task(_one(url, key, opened)) for _ in range(count)]
    for _ in range(count):
        waiting = asyncio.create_task(opened.acquire())
        await asyncio.wait({waiting, *streams}, return_when=asyncio.FIRST_COMPLETED)
        _require(streams)
        await waiting
    print("open", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    _require(streams)
    for stream in streams:
        stream.cancel()
    await asyncio.gather(*streams, return_exceptions=True)
    return sum(_received)


_received: list[int] = []


async def _one(url: str, key: str, opened: asyncio.Semaphore) -> None:
    address = urlsplit(url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    target = f"{address.path}?{address.query}"
    writer.write(f"GET {target} HTTP/1.1\r\nHost: {address.netloc}\r\nX-API-Key: {key}\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    if head.split(b" ", 2)[1] != b"200":
        raise RuntimeError(head.decode())
    await reader.readline()
    opened.release()
    while data := await reader.read(65536):
        _received.append(len(data))
    raise RuntimeError("the stream ended")


def _require(streams: list[asyncio.Task[None]]) -> None:
    for stream in streams:
        if stream.done():
            stream.result()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--count", type=int, required=True)
    options = parser.parse_args()
    print(asyncio.run(listen(options.url, options.key, options.count)))
