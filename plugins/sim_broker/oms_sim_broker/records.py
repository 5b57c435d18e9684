"""The lines of the broker's own ledger: what a broker writes down before it says anything."""

from datetime import datetime

import msgspec

from oms_kernel.contracts.broker import AnyReport
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.ids import BrokerOrderId, WireId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.simulation.orders import NewOrder, NewTerms
from oms_kernel.simulation.trading import StopMoved
from oms_sim_broker.config import AccountConfig


class Record(msgspec.Struct, frozen=True, omit_defaults=True, tag_field="record"):
    """What every line has: when it was written, by the wall clock."""

    written_at: datetime


class Opened(Record, frozen=True, omit_defaults=True, tag="opened"):
    """The first line: the ledger's own id, which execution and order ids begin with."""

    ledger_id: str
    version: int = 1


class FeedStarted(Record, frozen=True, omit_defaults=True, tag="feed_started"):
    """The server began to play a feed; the broker's clock goes on only with the same one."""

    feed: str


class AccountOpened(Record, frozen=True, omit_defaults=True, tag="account_opened"):
    """An account was opened with its cash."""

    account: AccountConfig


class InstrumentListed(Record, frozen=True, omit_defaults=True, tag="instrument_listed"):
    """An instrument is traded from now on, on these terms."""

    instrument: Instrument


class CalendarAdded(Record, frozen=True, omit_defaults=True, tag="calendar_added"):
    """A calendar is known from now on."""

    calendar: Calendar


class OrderReceived(Record, frozen=True, omit_defaults=True, tag="order_received"):
    """An order came in at `at` by the broker's clock; whether it was taken is told by the reports about it."""

    order: NewOrder
    at: datetime


class ReplaceReceived(Record, frozen=True, omit_defaults=True, tag="replace_received"):
    """New terms were asked for; the next Replaced or ReplaceRefused of the order answers the oldest such request."""

    broker_order_id: BrokerOrderId
    request_id: WireId
    terms: NewTerms
    at: datetime


class CancelReceived(Record, frozen=True, omit_defaults=True, tag="cancel_received"):
    """A cancel was asked for."""

    broker_order_id: BrokerOrderId
    at: datetime


class Reported(Record, frozen=True, omit_defaults=True, tag="reported"):
    """Something happened to an order, whether or not anybody heard of it."""

    report: AnyReport


class StopNoted(Record, frozen=True, omit_defaults=True, tag="stop_noted"):
    """A stop moved or was triggered."""

    moved: StopMoved


class ClockNoted(Record, frozen=True, omit_defaults=True, tag="clock_noted"):
    """How far the feed had come; a restart goes on from there."""

    at: datetime


AnyRecord = (
    Opened
    | FeedStarted
    | AccountOpened
    | InstrumentListed
    | CalendarAdded
    | OrderReceived
    | ReplaceReceived
    | CancelReceived
    | Reported
    | StopNoted
    | ClockNoted
)

encoder = msgspec.json.Encoder()
decoder: msgspec.json.Decoder[AnyRecord] = msgspec.json.Decoder(AnyRecord)
