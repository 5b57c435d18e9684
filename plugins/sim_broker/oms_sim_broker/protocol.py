"""What is said over the socket of the simulated broker: length-prefixed JSON frames in, typed messages out."""

from datetime import datetime
from decimal import Decimal

import msgspec

from oms_kernel.contracts.broker import (
    AnyReport,
    BrokerAccount,
    CashSnapshot,
    Filled,
    OrderSnapshot,
    PartResult,
    PositionSnapshot,
    SnapshotPart,
)
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.ids import BrokerAccountId, BrokerOrderId, WireId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.simulation.orders import NewOrder, NewTerms
from oms_kernel.testkit.faults import Fault
from oms_sim_broker.config import AccountConfig

PROTOCOL_VERSION = 1
_PREFIX = 4
LARGEST_ANSWER = 256 * 1024 * 1024
LARGEST_REQUEST = 16 * 1024 * 1024


class Message(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="type"):
    """What every message has: its type."""


# From the client -----------------------------------------------------------------------------------------


class Hello(Message, frozen=True, omit_defaults=True, tag="hello"):
    """The first message: who speaks, for which accounts, on which instruments.

    Unknown instruments are listed; unknown accounts are opened with `opening_cash`, or refused when that is absent.
    """

    token: str
    version: int = PROTOCOL_VERSION
    accounts: tuple[BrokerAccount, ...] = ()
    instruments: tuple[Instrument, ...] = ()
    opening_cash: Decimal | None = None
    quotes: bool = True


class Place(Message, frozen=True, omit_defaults=True, tag="place"):
    """A new order; its `broker_order_id` is empty, the broker allocates it."""

    order: NewOrder


class Cancel(Message, frozen=True, omit_defaults=True, tag="cancel"):
    """Cancel the rest of the order that has this id of the broker's, else of every live one with this wire id."""

    broker_account_id: BrokerAccountId
    wire_id: WireId | None
    broker_order_id: BrokerOrderId | None = None


class Replace(Message, frozen=True, omit_defaults=True, tag="replace"):
    """New terms for the order so named; `request_id` is the wire id of this request itself."""

    broker_account_id: BrokerAccountId
    request_id: WireId
    wire_id: WireId | None
    terms: NewTerms
    broker_order_id: BrokerOrderId | None = None


class SnapshotQuery(Message, frozen=True, omit_defaults=True, tag="snapshot"):
    """The broker's state of these accounts; executions and closed orders since the given wall-clock time."""

    query_id: int
    accounts: tuple[BrokerAccountId, ...]
    since: datetime | None = None


class Ping(Message, frozen=True, tag="ping"):
    """Answered at once."""

    query_id: int


class Configure(Message, frozen=True, omit_defaults=True, tag="configure"):
    """Add what the broker does not know yet; known instruments and calendars get their new terms."""

    query_id: int
    instruments: tuple[Instrument, ...] = ()
    calendars: tuple[Calendar, ...] = ()
    accounts: tuple[AccountConfig, ...] = ()


class SetFaults(Message, frozen=True, omit_defaults=True, tag="faults"):
    """A new fault script; counting begins anew."""

    query_id: int
    faults: tuple[Fault, ...] = ()


class PushQuote(Message, frozen=True, tag="push_quote"):
    """A quote by hand, answered when it has been matched."""

    query_id: int
    quote: Quote


class AdvanceTo(Message, frozen=True, tag="advance"):
    """Move the broker's own clock by hand."""

    query_id: int
    at: datetime


ClientMessage = Hello | Place | Cancel | Replace | SnapshotQuery | Ping | Configure | SetFaults | PushQuote | AdvanceTo

# From the broker -----------------------------------------------------------------------------------------


class Welcome(Message, frozen=True, tag="welcome"):
    """The sign-in was accepted; `clock` is the broker's own time."""

    ledger_id: str
    clock: datetime


class Goodbye(Message, frozen=True, tag="goodbye"):
    """The connection is refused or ended by the broker, and why."""

    reason: str


class Told(Message, frozen=True, tag="report"):
    """One report."""

    report: AnyReport


class Quoted(Message, frozen=True, tag="quote"):
    """The latest quote of an instrument; older ones may have been left out."""

    quote: Quote


class WirePart(msgspec.Struct, frozen=True, omit_defaults=True):
    """One part of a snapshot on the wire, its items apart by kind."""

    complete: bool
    as_of: datetime
    since: datetime | None = None
    error: str = ""
    orders: tuple[OrderSnapshot, ...] = ()
    executions: tuple[Filled, ...] = ()
    positions: tuple[PositionSnapshot, ...] = ()
    cash: tuple[CashSnapshot, ...] = ()

    def result(self) -> PartResult:
        """The part as the host knows it."""
        return PartResult(
            complete=self.complete,
            as_of=self.as_of,
            since=self.since,
            items=(*self.orders, *self.executions, *self.positions, *self.cash),
            error=self.error,
        )


class Answer(Message, frozen=True, omit_defaults=True, tag="answer"):
    """The answer to a query; `error` is empty when it was done."""

    query_id: int
    error: str = ""
    parts: dict[SnapshotPart, WirePart] = {}


ServerMessage = Welcome | Goodbye | Told | Quoted | Answer

_encoder = msgspec.json.Encoder()
_from_client: msgspec.json.Decoder[ClientMessage] = msgspec.json.Decoder(ClientMessage)
_from_server: msgspec.json.Decoder[ServerMessage] = msgspec.json.Decoder(ServerMessage)


class BadFrame(Exception):
    """Bytes that are no message of this protocol; the connection ends."""


def frame(message: ClientMessage | ServerMessage) -> bytes:
    """The message as it goes over the wire: four bytes of length, then JSON."""
    body = _encoder.encode(message)
    return len(body).to_bytes(_PREFIX, "big") + body


def client_message(body: bytes | bytearray) -> ClientMessage:
    """What a client said. Raises BadFrame."""
    try:
        return _from_client.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadFrame(str(error)) from None


def server_message(body: bytes | bytearray) -> ServerMessage:
    """What the broker said. Raises BadFrame."""
    try:
        return _from_server.decode(body)
    except (msgspec.MsgspecError, ValueError) as error:
        raise BadFrame(str(error)) from None


class Frames:
    """Bytes in as they come, whole frame bodies out; `largest` is how many bytes a body may have."""

    def __init__(self, largest: int) -> None:
        self._largest = largest
        self._held = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The bodies that are complete now. Raises BadFrame on a frame that is too large."""
        held = self._held
        held += data
        bodies = []
        start = 0
        while len(held) - start >= _PREFIX:
            length = int.from_bytes(held[start : start + _PREFIX], "big")
            if length > self._largest:
                raise BadFrame(f"a frame of {length} bytes; at most {self._largest} are allowed")
            end = start + _PREFIX + length
            if len(held) < end:
                break
            bodies.append(bytes(held[start + _PREFIX : end]))
            start = end
        del held[:start]
        return bodies
