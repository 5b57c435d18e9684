"""One client of the server: bytes in as messages, reports out in order, quotes out as the newest of each instrument."""

import asyncio
import contextlib
import hmac
from typing import Protocol

from oms_kernel.domain.ids import BrokerAccountId, InstrumentId
from oms_kernel.domain.market import Quote
from oms_sim_broker.protocol import (
    LARGEST_REQUEST,
    PROTOCOL_VERSION,
    BadFrame,
    ClientMessage,
    Frames,
    Goodbye,
    Hello,
    Quoted,
    ServerMessage,
    client_message,
    frame,
)

_CHUNK = 256 * 1024
_SIGN_IN_SECONDS = 10


class Broker(Protocol):
    """What a client's connection needs of the server."""

    token: str

    def welcome(self, client: "Client", hello: Hello) -> None:
        """Let a client in, or refuse it with a Goodbye."""

    def handle(self, client: "Client", message: ClientMessage) -> None:
        """Do what a client asks."""

    def leave(self, client: "Client") -> None:
        """Forget a client."""


class Client:
    """A connection, from its first byte to its last. Unsent quotes are replaced, unsent reports never."""

    def __init__(self, broker: Broker, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accounts: frozenset[BrokerAccountId] = frozenset()
        self.wants_quotes = False
        self._broker = broker
        self._reader = reader
        self._writer = writer
        self._out: list[bytes] = []
        self._quotes: dict[InstrumentId, Quote] = {}
        self._wake = asyncio.Event()
        self._ended = False

    async def serve(self) -> None:
        """Serve the client until it leaves, misbehaves or is hung up on."""
        sending = asyncio.create_task(self._send())
        try:
            await self._listen()
        except (OSError, BadFrame, TimeoutError):
            pass  # a client that breaks off or talks nonsense is let go; it hears of it by the closed socket
        finally:
            self._ended = True
            self._broker.leave(self)
            self._wake.set()
            await sending
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()

    def say(self, message: ServerMessage) -> None:
        """Send a message after those before it."""
        if not self._ended:
            self._out.append(frame(message))
            self._wake.set()

    def show(self, quote: Quote) -> None:
        """Send a quote, in place of an unsent one of the same instrument."""
        if not self._ended:
            self._quotes[quote.instrument_id] = quote
            self._wake.set()

    def hang_up(self) -> None:
        """Break the connection after what was said so far."""
        if not self._ended:
            self._ended = True
            self._broker.leave(self)
            self._wake.set()

    async def _listen(self) -> None:
        frames = Frames(LARGEST_REQUEST)
        signed_in = False
        while not self._ended:
            async with asyncio.timeout(None if signed_in else _SIGN_IN_SECONDS):
                data = await self._reader.read(_CHUNK)
            if not data:
                return
            for body in frames.feed(data):
                message = client_message(body)
                if signed_in:
                    self._broker.handle(self, message)
                    continue
                refusal = _refusal(message, self._broker.token)
                if refusal:
                    self.say(Goodbye(refusal))
                    return
                assert isinstance(message, Hello)
                signed_in = True
                self._broker.welcome(self, message)

    async def _send(self) -> None:
        try:
            while self._out or not self._ended:
                await self._wake.wait()
                self._wake.clear()
                out, self._out = self._out, []
                if self._quotes:
                    quotes, self._quotes = self._quotes, {}
                    out += [frame(Quoted(quote)) for quote in quotes.values()]
                if out:
                    self._writer.write(b"".join(out))
                    await self._writer.drain()
        except OSError:
            pass  # the client is gone; reading finds that out too
        finally:
            self._writer.close()  # ends the reading as well


def _refusal(message: ClientMessage, token: str) -> str:
    if not isinstance(message, Hello):
        return "sign in first"
    if not hmac.compare_digest(message.token.encode(), token.encode()):
        return "wrong token: read it anew from the endpoint file"
    if message.version != PROTOCOL_VERSION:
        return f"protocol version {message.version} is not spoken here, use {PROTOCOL_VERSION}"
    return ""
