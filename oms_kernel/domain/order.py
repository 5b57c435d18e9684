"""Orders: what a caller asks for (OrderRequest) and what has become of it (Order)."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from oms_kernel.domain.ids import (
    AccountId,
    BrokerAccountId,
    BrokerOrderId,
    ClientOrderId,
    ConnectionId,
    EventId,
    GroupId,
    InstrumentId,
    OrderId,
    StrategyId,
    StrategyRunId,
    WireId,
)
from oms_kernel.domain.lifecycle import (
    TERMINAL,
    Evidence,
    OrderState,
    OrderStatus,
    RequestStatus,
    derive_state,
    is_open_request,
)
from oms_kernel.domain.money import ZERO, multiply, ratio, subtract


class Side(StrEnum):
    """FIX 54."""

    BUY = "BUY"
    SELL = "SELL"

    @property
    def sign(self) -> int:
        """+1 for BUY, -1 for SELL."""
        return 1 if self is Side.BUY else -1

    @property
    def opposite(self) -> "Side":
        """The other side."""
        return Side.SELL if self is Side.BUY else Side.BUY


class OrderType(StrEnum):
    """FIX 40, spelled out."""

    MARKET = "MARKET"
    LIMIT = "LIMIT"
    STOP = "STOP"
    STOP_LIMIT = "STOP_LIMIT"
    TRAILING_STOP = "TRAILING_STOP"
    MARKET_ON_CLOSE = "MARKET_ON_CLOSE"
    LIMIT_ON_CLOSE = "LIMIT_ON_CLOSE"
    LIMIT_IF_TOUCHED = "LIMIT_IF_TOUCHED"
    MARKET_IF_TOUCHED = "MARKET_IF_TOUCHED"


class TimeInForce(StrEnum):
    """FIX 59. OPG trades at the open only, CLS at the close only."""

    DAY = "DAY"
    GTC = "GTC"
    IOC = "IOC"
    FOK = "FOK"
    GTD = "GTD"
    OPG = "OPG"
    CLS = "CLS"


class Product(StrEnum):
    """The Indian product of an order: intraday margin, delivery, carried derivative."""

    MIS = "MIS"
    CNC = "CNC"
    NRML = "NRML"


class OrderGroupType(StrEnum):
    """How the members of a group depend on each other."""

    BRACKET = "BRACKET"
    OCO = "OCO"
    OTO = "OTO"
    COMBO = "COMBO"


class OrderGroup(msgspec.Struct, frozen=True, omit_defaults=True):
    """Orders that belong together; `parent_order_id` leads in BRACKET and OTO."""

    group_id: GroupId
    group_type: OrderGroupType
    order_ids: tuple[OrderId, ...]
    parent_order_id: OrderId | None = None


class PriceField(StrEnum):
    """The price fields that an order type may need."""

    LIMIT_PRICE = "limit_price"
    STOP_PRICE = "stop_price"
    TRAIL = "trail_amount or trail_percent"


REQUIRED_PRICES: dict[OrderType, frozenset[PriceField]] = {
    OrderType.MARKET: frozenset(),
    OrderType.LIMIT: frozenset({PriceField.LIMIT_PRICE}),
    OrderType.STOP: frozenset({PriceField.STOP_PRICE}),
    OrderType.STOP_LIMIT: frozenset({PriceField.STOP_PRICE, PriceField.LIMIT_PRICE}),
    OrderType.TRAILING_STOP: frozenset({PriceField.TRAIL}),
    OrderType.MARKET_ON_CLOSE: frozenset(),
    OrderType.LIMIT_ON_CLOSE: frozenset({PriceField.LIMIT_PRICE}),
    OrderType.LIMIT_IF_TOUCHED: frozenset({PriceField.STOP_PRICE, PriceField.LIMIT_PRICE}),
    OrderType.MARKET_IF_TOUCHED: frozenset({PriceField.STOP_PRICE}),
}
"""Exactly these prices are given with each type: a missing one and a superfluous one are both refused."""


class OrderRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a caller asks for, with its instrument resolved. Prices in the instrument's currency for one unit."""

    account_id: AccountId
    instrument_id: InstrumentId
    side: Side
    quantity: Decimal
    order_type: OrderType
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    """The trigger of STOP, STOP_LIMIT, LIMIT_IF_TOUCHED, MARKET_IF_TOUCHED; the first trigger of TRAILING_STOP."""
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    time_in_force: TimeInForce = TimeInForce.DAY
    expire_at: datetime | None = None
    queue_until: datetime | None = None
    """Until when the order may wait for a ready broker session; without it there is no waiting."""
    client_order_id: ClientOrderId | None = None
    strategy_id: StrategyId | None = None
    strategy_run_id: StrategyRunId | None = None
    product: Product | None = None
    group_id: GroupId | None = None
    reduce_only: bool = False
    allow_duplicate: bool = False
    tags_hash: str | None = None
    parent_order_id: OrderId | None = None
    """The order of which this one works a part."""
    confirmed_quantity: Decimal | None = None
    """The quantity typed a second time, where a limit asks for that."""
    locate_id: str | None = None
    """The broker's promise of borrowed shares for a short sale."""
    algo_version: str | None = None
    """Which version of which algorithm decided on the order."""
    desk: str | None = None
    client_ref: str | None = None
    """On whose behalf the order is, as the firm calls them."""
    liquidation_id: EventId | None = None
    """The liquidation that the order belongs to; set by the platform, never by a caller."""


class Reservation(msgspec.Struct, frozen=True, omit_defaults=True):
    """The price at which an order's open quantity counts as exposure, and where that price came from."""

    price: Decimal | None
    source: str
    """limit_price, stop_price, quote or none."""
    quote_at: datetime | None = None


class ReplaceRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """New terms asked for; `quantity` is the new total. Absent terms stay as they are."""

    status: RequestStatus
    quantity: Decimal
    limit_price: Decimal | None
    stop_price: Decimal | None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    wire_id: WireId | None = None
    attempt: int = 0
    send_before: datetime | None = None
    lease_token: int | None = None
    sent_at: datetime | None = None
    reservation: Reservation = Reservation(price=None, source="none")


class Order(msgspec.Struct, frozen=True, omit_defaults=True):
    """An order as the log tells it: `status` is what was proved; `place`, `replace`, `cancel` are what is under way."""

    order_id: OrderId
    request: OrderRequest
    broker_account_id: BrokerAccountId
    connection_id: ConnectionId
    symbol: str
    currency: str
    multiplier: Decimal
    status: OrderStatus
    place: RequestStatus
    accepted_at: datetime
    updated_at: datetime
    version: int
    """The seq of the last event that changed the order: the ETag."""
    quantity: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    replace: ReplaceRequest | None = None
    cancel: RequestStatus | None = None
    cancel_sent_at: datetime | None = None
    filled_quantity: Decimal = ZERO
    filled_value: Decimal = ZERO
    """Sum of quantity x price of the fills, without multiplier, quantised at each fill."""
    reservation: Reservation = Reservation(price=None, source="none")
    send_before: datetime | None = None
    sent_at: datetime | None = None
    lease_token: int | None = None
    attempt: int = 0
    queries_negative: int = 0
    """How many complete queries did not show the doubtful request."""
    queried_at: datetime | None = None
    wire_ids: tuple[WireId, ...] = ()
    broker_order_ids: tuple[BrokerOrderId, ...] = ()
    evidence: Evidence | None = None
    """What proves the terminal status; None while the order is open."""
    terms_wire_id: WireId | None = None
    """The change whose terms are in force; None while they are those of the place, or of a change that was not ours."""
    ended_before: OrderStatus | None = None
    """How the broker had ended the order before late fills completed it: a bust of those returns to it."""
    reason_code: str | None = None
    reason: str | None = None
    trading_date: str | None = None
    principal: str = ""
    hold_until: datetime | None = None
    """Until when a held order waits for its approval."""
    approved_by: str = ""
    is_external: bool = False
    """Whether it was placed at the broker and not here: it is counted and only read."""

    @property
    def state(self) -> OrderState:
        """The one word that users see, derived from status, requests and fills."""
        return derive_state(
            self.status,
            self.place,
            self.replace.status if self.replace else None,
            self.cancel,
            partly_filled=self.filled_quantity > 0,
        )

    @property
    def is_active(self) -> bool:
        """Whether the order may still trade, as far as is proved."""
        return self.status not in TERMINAL

    @property
    def is_filled(self) -> bool:
        """Whether the whole quantity was executed."""
        return self.status is OrderStatus.FILLED

    @property
    def fill_percentage(self) -> Decimal:
        """Filled share of the total quantity, 0 to 100, rounded to 12 digits; for display."""
        return ratio(multiply(self.filled_quantity, Decimal(100)), self.quantity)

    @property
    def leaves_quantity(self) -> Decimal:
        """What may still trade at the present total; 0 once the order is terminal or over-filled."""
        if self.status in TERMINAL:
            return ZERO
        return max(ZERO, subtract(self.quantity, self.filled_quantity))

    @property
    def worst_case_quantity(self) -> Decimal:
        """The open quantity that counts as exposure: the larger of old and new total while a replace is open."""
        if self.status in TERMINAL:
            return ZERO
        total = self.quantity
        if self.replace is not None and is_open_request(self.replace.status):
            total = max(total, self.replace.quantity)
        return max(ZERO, subtract(total, self.filled_quantity))

    @property
    def average_price(self) -> Decimal | None:
        """Quantity-weighted mean price of the fills, for display; None before the first (FIX 6 AvgPx)."""
        if not self.filled_quantity:
            return None
        return ratio(self.filled_value, self.filled_quantity)

    @property
    def in_doubt(self) -> bool:
        """Whether a place or replace may or may not have reached the broker."""
        return self.place is RequestStatus.IN_DOUBT or (
            self.replace is not None and self.replace.status is RequestStatus.IN_DOUBT
        )

    @property
    def live_wire_id(self) -> WireId | None:
        """The id under which the broker knows the terms in force: the place's or a change's, never that of a cancel."""
        return self.terms_wire_id or next(iter(self.wire_ids), None)

    @property
    def book(self) -> str:
        """The sub-book that the order's fills belong to."""
        return EXTERNAL_BOOK if self.is_external else self.request.strategy_id or MANUAL_BOOK


MANUAL_BOOK = "MANUAL"
EXTERNAL_BOOK = "EXTERNAL"
NET_BOOK = "NET"
"""Names of sub-books; any other name is a strategy id. NET is the account as a whole."""
