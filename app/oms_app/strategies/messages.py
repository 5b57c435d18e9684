"""What host and strategy process say to each other: four bytes of length, then JSON; imports the kernel only."""

from __future__ import annotations

import socket
from datetime import datetime
from decimal import Decimal
from typing import Any

import msgspec

from oms_kernel.contracts.strategy import Action, OrderUpdate
from oms_kernel.domain.ids import AccountId, StrategyId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote

PREFIX_BYTES = 4
LARGEST_MESSAGE = 16 * 1024 * 1024


class Now(msgspec.Struct, frozen=True):
    """What changes between two callbacks: the time, and the strategy's own signed quantities by symbol."""

    at: datetime
    positions: dict[str, Decimal]


class Begin(msgspec.Struct, frozen=True, tag="begin"):
    """The first message: which class (module:name) with which parameters, for which account."""

    target: str
    params: dict[str, Any]
    strategy_id: StrategyId
    account_id: AccountId
    instruments: dict[str, Instrument]
    now: Now


class OnQuote(msgspec.Struct, frozen=True, tag="quote"):
    """A new quote of one of the strategy's symbols."""

    quote: Quote
    symbol: str
    now: Now


class OnOrder(msgspec.Struct, frozen=True, tag="order"):
    """One of the strategy's orders changed."""

    update: OrderUpdate
    now: Now


class OnStop(msgspec.Struct, frozen=True, tag="stop"):
    """The run is being stopped by a person."""

    now: Now


class Ping(msgspec.Struct, frozen=True, tag="ping"):
    """Nothing happened; the host asks whether the strategy still answers."""

    now: Now


class Actions(msgspec.Struct, frozen=True, tag="actions"):
    """The answer to each message: what the strategy wants. `symbols` is said once, in the first answer."""

    actions: list[Action]
    symbols: tuple[str, ...] = ()


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The strategy raised; its process ends."""

    error: str


ToStrategy = Begin | OnQuote | OnOrder | OnStop | Ping
FromStrategy = Actions | Failed
_encoder = msgspec.json.Encoder(decimal_format="string")
_to_strategy: msgspec.json.Decoder[ToStrategy] = msgspec.json.Decoder(ToStrategy)
_from_strategy: msgspec.json.Decoder[FromStrategy] = msgspec.json.Decoder(FromStrategy)


class ChannelClosed(Exception):
    """The other side is gone, does not answer in time, or talks nonsense."""


class Channel:
    """One side of the connection between host and strategy."""

    def __init__(self, end: socket.socket) -> None:
        self._end = end

    def send(self, message: ToStrategy | FromStrategy) -> None:
        """Say something. Raises ChannelClosed."""
        body = _encoder.encode(message)
        try:
            self._end.sendall(len(body).to_bytes(PREFIX_BYTES, "big") + body)
        except OSError as error:
            raise ChannelClosed(str(error)) from error

    def hear_strategy(self, timeout_s: float) -> FromStrategy:
        """What the strategy answers. Raises ChannelClosed, also when it takes longer."""
        self._end.settimeout(timeout_s)
        try:
            return _from_strategy.decode(self._read())
        except msgspec.MsgspecError as error:
            raise ChannelClosed(f"the strategy's answer cannot be read: {error}") from error

    def hear_host(self) -> ToStrategy:
        """What the host says; waits for ever. Raises ChannelClosed."""
        self._end.settimeout(None)
        return _to_strategy.decode(self._read())

    def close(self) -> None:
        """Hang up."""
        self._end.close()

    def _read(self) -> bytes:
        length = int.from_bytes(self._exactly(PREFIX_BYTES), "big")
        if length > LARGEST_MESSAGE:
            raise ChannelClosed(f"a message of {length} bytes; at most {LARGEST_MESSAGE} are allowed")
        return self._exactly(length)

    def _exactly(self, size: int) -> bytes:
        held = bytearray()
        while len(held) < size:
            try:
                part = self._end.recv(size - len(held))
            except TimeoutError as error:
                raise ChannelClosed("no answer in time") from error
            except OSError as error:
                raise ChannelClosed(str(error)) from error
            if not part:
                raise ChannelClosed("the process ended")
            held += part
        return bytes(held)
