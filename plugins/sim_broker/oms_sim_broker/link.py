"""The two ways to a simulated broker, which look the same to the connector: a socket, or the same process."""

import asyncio
import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import msgspec

from oms_kernel.contracts.broker import NotConnected
from oms_kernel.contracts.plugin import Secret
from oms_sim_broker.protocol import (
    LARGEST_ANSWER,
    BadFrame,
    ClientMessage,
    Frames,
    Hello,
    ServerMessage,
    frame,
    server_message,
)

ENDPOINT_FILE = "sim_broker.endpoint.json"
_CHUNK = 256 * 1024

Hear = Callable[[ServerMessage], None]
HearEnd = Callable[[str], None]


class Endpoint(msgspec.Struct, frozen=True):
    """Where a server listens, as it writes it into its home, mode 0600."""

    host: str
    port: int
    token: str
    pid: int


class Link(Protocol):
    """A way to the broker."""

    async def send(self, message: ClientMessage) -> None:
        """Hand the message over. Raises OSError when that cannot be."""

    async def close(self) -> None:
        """End it; nothing is heard after."""


class Where(Protocol):
    """The part of the connector's parameters that says where the broker is."""

    @property
    def endpoint_file(self) -> str | None: ...
    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int | None: ...
    @property
    def token(self) -> Secret | None: ...


def find_endpoint(where: Where) -> Endpoint:
    """Where the broker listens now. Raises NotConnected with what to do."""
    if where.endpoint_file is not None:
        try:
            return msgspec.json.decode(Path(where.endpoint_file).read_bytes(), type=Endpoint)
        except (OSError, msgspec.MsgspecError) as error:
            raise NotConnected(
                f"{where.endpoint_file} cannot be read ({error}): start oms-sim-broker, or correct endpoint_file"
            ) from None
    if where.port is None or where.token is None:
        raise NotConnected("the connector needs endpoint_file, or port and token")
    return Endpoint(where.host, where.port, where.token.reveal(), 0)


async def open_socket(where: Where, hear: Hear, hear_end: HearEnd) -> "SocketLink":
    """A connection to a server. Raises NotConnected."""
    endpoint = find_endpoint(where)
    try:
        reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port, limit=_CHUNK)
    except OSError as error:
        raise NotConnected(
            f"no simulated broker listens on {endpoint.host}:{endpoint.port} ({error}): start oms-sim-broker"
        ) from None
    return SocketLink(reader, writer, endpoint.token, hear, hear_end)


class SocketLink:
    """A TCP connection; a task of its own listens."""

    def __init__(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        token: str,
        hear: Hear,
        hear_end: HearEnd,
    ) -> None:
        self._writer = writer
        self._token = token
        self._listening = asyncio.create_task(_listen(reader, hear, hear_end))

    async def send(self, message: ClientMessage) -> None:
        """Write the message and wait until the kernel has room; the greeting gets the token."""
        if isinstance(message, Hello):
            message = msgspec.structs.replace(message, token=self._token)
        if self._writer.is_closing():
            raise ConnectionResetError("the connection is closed")
        self._writer.write(frame(message))
        await self._writer.drain()

    async def close(self) -> None:
        """Close the socket and stop listening."""
        if self._listening is not asyncio.current_task():
            self._listening.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._listening
        self._writer.close()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


async def _listen(reader: asyncio.StreamReader, hear: Hear, hear_end: HearEnd) -> None:
    frames = Frames(LARGEST_ANSWER)
    try:
        while data := await reader.read(_CHUNK):
            for body in frames.feed(data):
                hear(server_message(body))
    except (OSError, BadFrame) as error:
        hear_end(f"the connection to the simulated broker broke: {error}")
    else:
        hear_end("the simulated broker closed the connection")


def write_endpoint(home: Path, endpoint: Endpoint) -> Path:
    """Write the endpoint file of a home, readable by its owner only; the path."""
    path = home / ENDPOINT_FILE
    draft = path.with_suffix(".tmp")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(json.dumps(msgspec.to_builtins(endpoint)) + "\n", encoding="utf-8")
    draft.replace(path)
    return path
