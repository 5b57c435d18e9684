"""A committed book in, bytes out, and the same book back: a cache of the fold, good for the build that made it.

Guarantee: bytes that are damaged, or of another version of the fold, never become a book.
"""

import hashlib
import zlib
from array import array
from datetime import date, datetime
from decimal import Decimal
from functools import lru_cache
from importlib.resources import files
from typing import Any

import msgspec

from oms_kernel.domain.account import TradingAccount
from oms_kernel.domain.book import (
    Book,
    BookKey,
    BookSideKey,
    DayCounters,
    ExecutionKey,
    Figures,
    HoldingKey,
    PositionKey,
    SideKey,
)
from oms_kernel.domain.breaks import Break, BreakKey
from oms_kernel.domain.controls import Breach, EquityMark, KillSwitch, Liquidation
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import (
    AccountId,
    BreakId,
    BrokerAccountId,
    BrokerOrderId,
    ClientOrderId,
    EventId,
    ExecId,
    InstrumentId,
    OrderId,
    WireId,
)
from oms_kernel.domain.layered import Layered
from oms_kernel.domain.order import Order
from oms_kernel.domain.packed import Places
from oms_kernel.domain.past import Past, attach
from oms_kernel.domain.position import Position
from oms_kernel.domain.totals import MovedCash, OpenQuantity, OpenValue, Reach

MAPS: dict[str, Any] = {
    "accounts": tuple[AccountId, TradingAccount],
    "orders": tuple[OrderId, Order],
    "client_orders": tuple[tuple[AccountId, ClientOrderId], OrderId],
    "wires": tuple[WireId, OrderId],
    "broker_orders": tuple[tuple[BrokerAccountId, BrokerOrderId], OrderId],
    "executions": tuple[ExecutionKey, Fill],
    "restatements": tuple[ExecutionKey, ExecId],
    "superseded": tuple[ExecutionKey, tuple[Figures, ...]],
    "fills": tuple[HoldingKey, list[tuple[ExecutionKey, int]]],
    "open_orders": tuple[SideKey, list[tuple[OrderId, int]]],
    "open_quantity": tuple[SideKey, OpenQuantity],
    "book_quantity": tuple[BookSideKey, OpenQuantity],
    "limits": tuple[SideKey, list[tuple[Decimal, int]]],
    "open_values": tuple[BookKey, list[tuple[str, OpenValue]]],
    "holdings": tuple[BookKey, list[tuple[InstrumentId, Reach]]],
    "doubts": tuple[HoldingKey, list[tuple[OrderId, int]]],
    "unsettled": tuple[str, list[tuple[OrderId, int]]],
    "positions": tuple[PositionKey, Position],
    "cash": tuple[tuple[AccountId, str], Decimal],
    "currencies": tuple[AccountId, list[tuple[str, int]]],
    "moved_cash": tuple[tuple[AccountId, str], MovedCash],
    "days": tuple[tuple[AccountId, str], DayCounters],
    "past_days": tuple[tuple[AccountId, str, date], DayCounters],
    "open_alerts": tuple[str, list[tuple[EventId, str]]],
    "breaks": tuple[BreakId, Break],
    "open_breaks": tuple[BrokerAccountId, list[tuple[BreakKey, BreakId]]],
    "quarantined": tuple[str, str],
    "breaches": tuple[EventId, Breach],
    "open_breaches": tuple[str, list[tuple[str, EventId]]],
    "kill_switches": tuple[EventId, KillSwitch],
    "active_switches": tuple[str, list[tuple[EventId, int]]],
    "liquidations": tuple[EventId, Liquidation],
    "running_liquidations": tuple[str, list[tuple[EventId, int]]],
    "equity_marks": tuple[AccountId, EquityMark],
}
"""Every map of a book -> the type of its entries; a group's entries are a list."""
_DIGEST_BYTES = 32
_encode = msgspec.json.Encoder(decimal_format="string").encode


class Damaged(Exception):
    """These bytes are no frozen book."""


class _Frozen(msgspec.Struct):
    """A book as it is stored; maps are JSON, what was packed stays packed."""

    seq: int
    recorded_at: datetime | None
    maps: dict[str, bytes]
    ended: list[str]
    booked: list[tuple[str, str]]
    order_blocks: list[bytes]
    fill_blocks: list[bytes]
    places: dict[str, list[bytes]]
    holdings: list[tuple[str, str, bytes, bytes]]


@lru_cache(maxsize=1)
def fold_version() -> str:
    """Names the fold of this build: another source of `oms_kernel.domain`, another version."""
    digest = hashlib.sha256()
    for source in sorted(files("oms_kernel.domain").iterdir(), key=lambda one: one.name):
        if source.name.endswith(".py"):
            digest.update(source.name.encode() + b"\0" + source.read_bytes())
    return digest.hexdigest()[:32]


def freeze(book: Book) -> bytes:
    """The committed book, which nobody changes meanwhile, as bytes."""
    maps = {name: zlib.compress(_encode(_entries(layer)), 1) for name, layer in book.layers()}
    past = book.past or Past()
    body = msgspec.msgpack.encode(
        _Frozen(
            seq=book.seq,
            recorded_at=book.recorded_at,
            maps=maps,
            ended=list(book.ended),
            booked=list(book.booked),
            order_blocks=past.order_blocks.blocks,
            fill_blocks=past.fill_blocks.blocks,
            places={name: packed.places.dump() for name, packed in past.maps.items()},
            holdings=[
                (*holding, places.tobytes(), seqs.tobytes()) for holding, (places, seqs) in past.holdings.groups.items()
            ],
        )
    )
    return hashlib.sha256(body).digest() + body


def thaw(data: bytes) -> Book:
    """The book that was frozen. Raises Damaged."""
    body = data[_DIGEST_BYTES:]
    if hashlib.sha256(body).digest() != data[:_DIGEST_BYTES]:
        raise Damaged("the digest is not that of the bytes")
    frozen = msgspec.msgpack.decode(body, type=_Frozen)
    book = Book()
    for name, layer in book.layers():
        entries = _decoder(name).decode(zlib.decompress(frozen.maps[name]))
        if isinstance(layer, Layered):
            layer.changes = dict(entries)
        else:
            layer.added = {group: dict(members) for group, members in entries}
    book.seq, book.recorded_at = frozen.seq, frozen.recorded_at
    book.ended = [OrderId(order_id) for order_id in frozen.ended]
    book.booked = [(BrokerAccountId(account), ExecId(exec_id)) for account, exec_id in frozen.booked]
    if frozen.order_blocks or frozen.fill_blocks:
        attach(book, _past(frozen))
    return book


@lru_cache(maxsize=len(MAPS))
def _decoder(name: str) -> "msgspec.json.Decoder[list[Any]]":
    entry: Any = MAPS[name]
    return msgspec.json.Decoder(list[entry])


def _past(frozen: _Frozen) -> Past:
    past = Past()
    past.order_blocks.blocks = frozen.order_blocks
    past.fill_blocks.blocks = frozen.fill_blocks
    for name, packed in past.maps.items():
        packed.places = Places(frozen.places[name])
    for account_id, instrument_id, places, seqs in frozen.holdings:
        past.holdings.groups[account_id, instrument_id] = (array("I", places), array("Q", seqs))
    return past


def _entries(layer: Any) -> list[Any]:
    if isinstance(layer, Layered):
        return list(layer.changes.items())
    return [(group, list(members.items())) for group, members in layer.added.items()]
