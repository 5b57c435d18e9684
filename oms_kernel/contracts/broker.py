"""The contract of a broker connector: asyncio code that sends exactly what it is told and reports all that it hears.

The host drives one connector instance for each BrokerConnection, inside one asyncio loop, under one lease.
The connector decides nothing: it does not retry, does not de-duplicate, does not infer; booking does that.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, ClassVar, Protocol

import msgspec

from oms_kernel.domain.ids import (
    BrokerAccountId,
    BrokerOrderId,
    ConnectionId,
    ExecId,
    InstrumentId,
    OrderId,
    WireId,
)
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import OrderRequest, OrderType, Product, Side, TimeInForce


class Delivery(StrEnum):
    """Whether reports arrive by themselves or only when asked for."""

    PUSH = "PUSH"
    POLL = "POLL"


class ReplaceMode(StrEnum):
    """How the broker changes a live order."""

    NATIVE = "NATIVE"
    CANCEL_NEW = "CANCEL_NEW"
    NONE = "NONE"


class EvidenceQuery(StrEnum):
    """What the broker's order query can prove about an order that it does not show."""

    NONE = "NONE"
    OPEN_ONLY = "OPEN_ONLY"
    """Closed orders are not shown: absence proves nothing."""
    COMPLETE = "COMPLETE"
    """Every order since the horizon is shown: absence, asked twice by the host's rule, is evidence."""


class SnapshotPart(StrEnum):
    """The parts of a broker's state."""

    ORDERS = "ORDERS"
    EXECUTIONS = "EXECUTIONS"
    POSITIONS = "POSITIONS"
    CASH = "CASH"


class BrokerCapabilities(msgspec.Struct, frozen=True):
    """What a broker can do, as data. The host refuses what is not declared, before anything is stored."""

    order_types: frozenset[OrderType]
    time_in_force: frozenset[TimeInForce]
    asset_classes: frozenset[AssetClass]
    delivery: Delivery = Delivery.PUSH
    cancel_before_ack: bool = False
    replace: ReplaceMode = ReplaceMode.NATIVE
    wire_id_length: int = 28
    evidence: EvidenceQuery = EvidenceQuery.NONE
    evidence_horizon: timedelta | None = None
    """How far back the query reaches; None: since ever."""
    required_parts: frozenset[SnapshotPart] = frozenset(SnapshotPart)
    mass_cancel: bool = False
    cancel_on_disconnect: bool = False
    ack_timeout: timedelta = timedelta(seconds=10)
    """No word within this time after the send: the request is in doubt."""
    window: int = 1
    """How many requests, each of another order, may be under way at once: calls of submit, replace and cancel that have
    not returned. They are begun in their order; more than 1 serves a broker that answers each request."""
    market_data: bool = False
    fractional_quantity: bool = True
    simulated: bool = False
    """Nothing that is sent reaches a market, whatever the parameters say. Test keys reach only accounts behind such."""


class BrokerAccount(msgspec.Struct, frozen=True):
    """One account that the connection serves."""

    broker_account_id: BrokerAccountId
    account_number: str
    account_type: str
    base_currency: str


class Command(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the broker is to be asked, complete: nothing needs looking up.

    kind PLACE: all terms. REPLACE: the new terms; `wire_id` and `broker_order_id` name the live order,
    `filled_quantity` what we know was filled, `quantity` the new total. CANCEL: only the names are used.
    """

    kind: RequestKind
    order_id: OrderId
    attempt: int
    broker_account_id: BrokerAccountId
    instrument: Instrument
    side: Side
    quantity: Decimal
    order_type: OrderType
    time_in_force: TimeInForce
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    expire_at: datetime | None = None
    product: Product | None = None
    wire_id: WireId | None = None
    broker_order_id: BrokerOrderId | None = None
    filled_quantity: Decimal = ZERO


class WireIdentity(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every id that the broker will see for one command, allocated before anything is sent."""

    wire_id: WireId
    fields: dict[str, str] = {}
    """Further ids by the broker's own names, for instance IB's orderId."""


class Intent(msgspec.Struct, frozen=True):
    """A command whose identity is committed: exactly this may now be sent, once."""

    command: Command
    identity: WireIdentity
    lease_token: int


# Reports -------------------------------------------------------------------------------------------------


class Report(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="report"):
    """What every report says. At least one of `wire_id` and `broker_order_id` names the order."""

    broker_account_id: BrokerAccountId
    broker_at: datetime
    wire_id: WireId | None = None
    broker_order_id: BrokerOrderId | None = None


class Acknowledged(Report, frozen=True, kw_only=True, omit_defaults=True, tag="acknowledged"):
    """The broker has the order and it works."""


class Filled(Report, frozen=True, kw_only=True, omit_defaults=True, tag="filled"):
    """One execution. `exec_id` is the broker's, unique for ever within the broker account; fee None: told later."""

    exec_id: ExecId
    instrument_id: InstrumentId
    side: Side
    quantity: Decimal
    price: Decimal
    fee: Decimal | None = None
    liquidity: str = ""


class FeeReported(Report, frozen=True, kw_only=True, omit_defaults=True, tag="fee_reported"):
    """The commission of an execution, when it comes after the execution. Amount in the instrument's currency."""

    exec_id: ExecId
    fee: Decimal


class Corrected(Report, frozen=True, kw_only=True, omit_defaults=True, tag="corrected"):
    """An execution that was reported before had in truth these figures."""

    exec_id: ExecId
    correction_id: ExecId
    quantity: Decimal
    price: Decimal
    fee: Decimal | None = None


class Busted(Report, frozen=True, kw_only=True, omit_defaults=True, tag="busted"):
    """An execution that was reported before never happened."""

    exec_id: ExecId
    bust_id: ExecId


class Replaced(Report, frozen=True, kw_only=True, omit_defaults=True, tag="replaced"):
    """The new terms work. `quantity` is the total."""

    quantity: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None


class ReplaceRefused(Report, frozen=True, kw_only=True, omit_defaults=True, tag="replace_refused"):
    """The old terms go on."""

    reason: str


class CancelRefused(Report, frozen=True, kw_only=True, omit_defaults=True, tag="cancel_refused"):
    """The cancel was not accepted; it says nothing about a doubtful place."""

    reason: str


class Canceled(Report, frozen=True, kw_only=True, omit_defaults=True, tag="canceled"):
    """The rest of the order is cancelled, by us or by the broker."""

    reason: str = ""


class Rejected(Report, frozen=True, kw_only=True, omit_defaults=True, tag="rejected"):
    """The broker or venue refused the order."""

    reason: str


class Expired(Report, frozen=True, kw_only=True, omit_defaults=True, tag="expired"):
    """The rest of the order ended by its time in force."""

    reason: str = ""


AnyReport = (
    Acknowledged
    | Filled
    | FeeReported
    | Corrected
    | Busted
    | Replaced
    | ReplaceRefused
    | CancelRefused
    | Canceled
    | Rejected
    | Expired
)


class OrderSnapshot(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """An order as the broker shows it. `status` in our words: WORKING, FILLED, CANCELED, REJECTED, EXPIRED."""

    broker_account_id: BrokerAccountId
    broker_order_id: BrokerOrderId
    wire_id: WireId | None = None
    instrument_id: InstrumentId | None = None
    symbol: str = ""
    side: Side
    status: str
    quantity: Decimal
    filled_quantity: Decimal
    order_type: OrderType | None = None
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    time_in_force: TimeInForce | None = None
    reason: str = ""


class PositionSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """A holding as the broker shows it, signed. average_price: for one unit, without fees; None: not told."""

    broker_account_id: BrokerAccountId
    instrument_id: InstrumentId
    quantity: Decimal
    average_price: Decimal | None = None


class CashSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """Cash of one currency as the broker shows it."""

    broker_account_id: BrokerAccountId
    currency: str
    amount: Decimal


class PartResult(msgspec.Struct, frozen=True, kw_only=True):
    """One part of a snapshot. A failed query is FAILED with its reason, never an empty answer.

    as_of: the broker's time of the answer. since: how far back the part is complete; None: since ever.
    """

    complete: bool
    as_of: datetime
    since: datetime | None = None
    items: tuple[OrderSnapshot | Filled | PositionSnapshot | CashSnapshot, ...] = ()
    error: str = ""


class Health(msgspec.Struct, frozen=True):
    """How the connection is. `detail` tells people what is wrong and what to do."""

    connected: bool
    detail: str = ""
    last_heard_at: datetime | None = None
    latency_ms: int | None = None


# What the host gives and what the connector is ------------------------------------------------------------


class BrokerError(Exception):
    """Base of what a connector raises on purpose."""


class Refused(BrokerError):
    """The broker definitely did not take the request: nothing of it can trade. Anything less sure is no Refused."""


class NotConnected(BrokerError):
    """The request was not sent because there is no connection. From submit and replace it still means in doubt."""


class ConnectorStorage(Protocol):
    """A small durable store of the connection (id floors, FIX sequence numbers)."""

    def get(self, key: str) -> str | None:
        """The value, or None."""

    def put(self, key: str, value: str) -> None:
        """Remember the value. From `prepare` it is durable with the intent, else when the call returns."""


class BrokerHost(Protocol):
    """What the host gives to a connector, for its life.

    report: call it for each report in the order in which they were heard; it returns after the commit. Calls may
    overlap: the host books in the order of the calls, and many that wait are one transaction. It may take long (the
    database may be away); a connector that must not lose reports keeps each until its call returns.
    quote: tell a quote; never waits, newer replaces older.
    lost: say that the connection was lost, once; the host closes and reconnects with backoff.
    pace: await before each message to the broker; it keeps the rate that the connector's parameters allow.
    """

    connection_id: ConnectionId
    accounts: tuple[BrokerAccount, ...]
    instruments: tuple[Instrument, ...]
    storage: ConnectorStorage

    @property
    def report(self) -> Callable[[AnyReport], Awaitable[None]]: ...
    @property
    def quote(self) -> Callable[[Quote], None]: ...
    @property
    def lost(self) -> Callable[[str], None]: ...
    @property
    def clock(self) -> Callable[[], datetime]: ...
    @property
    def pace(self) -> Callable[[], Awaitable[None]]: ...


class CostEstimate(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an order would cost if all of it were executed; None where that is not known. Both in `currency`.

    fee: for the whole order; negative for a rebate. margin: what the order would bind beside its fee.
    source: where the figures come from, for people, such as `price list of 1 March` or `the connection's parameters`.
    """

    fee: Decimal | None
    currency: str
    margin: Decimal | None = None
    source: str = ""


class CostEstimator(Protocol):
    """What a connector may be as well: its class says what an order would cost, for previews. Optional.

    A preview asks in a process that has no connection, so that the answer follows from the arguments alone: no I/O, no
    clock, under 1 ms. On failure the preview shows no costs, and names the plugin.
    """

    @staticmethod
    def estimate(params: Any, instrument: Instrument, request: OrderRequest, price: Decimal) -> CostEstimate | None:
        """What the order would cost; None when the parameters do not tell it.

        params: those of the connection, without its secrets. request: its terms. price: at which its quantity counts:
        limit, stop or the opposite quote, for one unit, in the instrument's currency.
        """


class BrokerConnector(Protocol):
    """A broker, as the host uses it. All methods run in one asyncio loop; none may block it.

    On failure the host does this: an exception from connect or snapshot: close, wait with backoff, connect anew.
    From submit or replace: `Refused` ends the request REFUSED; anything else, a timeout and a cancelled task
    included, makes it IN_DOUBT, and it is never sent again. From cancel: `Refused` refuses the cancel, anything else
    leaves it SENT and it is sent again. From prepare: the order ends REJECTED, never sent.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    Params: ClassVar[type[msgspec.Struct]]
    capabilities: ClassVar[BrokerCapabilities]

    def __init__(self, params: Any, host: BrokerHost) -> None:
        """Keep both; do no I/O."""

    async def connect(self) -> None:
        """Connect and sign in; returns when requests may be sent. Reports may flow from here on."""

    async def close(self) -> None:
        """End the connection and free everything; may be called twice and in any state."""

    def prepare(self, command: Command) -> WireIdentity:
        """Allocate every id that the broker will see for this command; send nothing. Synchronous, under 1 ms.

        Called from the host's transaction thread, one call at a time, while the loop runs: touch only what is yours
        to allocate ids, and `host.storage`, whose writes are then part of the intent's transaction.

        A CANCEL is prepared without storage, from what the command and your own memory hold: a kill switch works
        with the database gone, and then `host.storage` raises. Such a call comes from another thread of the host, its
        attempt may skip numbers, and the cancel may be sent while others are on their way.
        """

    async def submit(self, intent: Intent) -> None:
        """Send exactly this order, once; return when it is on the wire. The acknowledgement comes as a report."""

    async def cancel(self, intent: Intent) -> None:
        """Ask to cancel the rest of the order; sending it twice does no harm. The outcome comes as a report.

        When everything is to be cancelled at once, calls overlap each other and a submit, whatever `window` says.
        """

    async def replace(self, intent: Intent) -> None:
        """Ask for the new terms, once. The outcome comes as `Replaced` or `ReplaceRefused`."""

    async def snapshot(self, since: datetime | None) -> dict[SnapshotPart, PartResult]:
        """The broker's own state, each part COMPLETE or FAILED; executions and closed orders since the given time."""

    async def health(self) -> Health:
        """The state of the connection now; cheap, never raises."""
