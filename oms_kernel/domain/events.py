"""The events of a ledger: everything that happened, self-contained, so that folding them needs nothing else.

An event is (kind, version, named fields). A stored event is never rewritten: a new version gets a new class and the old
one an upcaster in `UPCASTERS`. People's free text is not in events, only its salted hash.
"""

from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from oms_kernel.domain.account import TradingState
from oms_kernel.domain.breaks import Difference
from oms_kernel.domain.breaks import Severity as Severity
from oms_kernel.domain.controls import Action, Category, Cause
from oms_kernel.domain.decision import Verdict
from oms_kernel.domain.errors import UnknownEvent
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import (
    AccountId,
    BreakId,
    BrokerAccountId,
    BrokerOrderId,
    ConnectionId,
    EventId,
    ExecId,
    InstrumentId,
    OrderId,
    WireId,
)
from oms_kernel.domain.lifecycle import Evidence, RequestKind, Word
from oms_kernel.domain.money import ONE, ZERO
from oms_kernel.domain.order import OrderRequest, Reservation
from oms_kernel.domain.scope import Scope


class Event(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What every event has: the account it concerns, or None for the ledger as a whole."""

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    account_id: AccountId | None = None


class OrderEvent(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An event of one order."""

    order_id: OrderId


class AccountOpened(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A trading account began."""

    kind = "account_opened"
    base_currency: str
    time_zone: str = "UTC"
    day_roll: time = time(0)


class CashChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Cash moved without a trade: deposit, withdrawal, adjustment. Positive into the account."""

    kind = "cash_changed"
    currency: str
    amount: Decimal
    reason_code: str


class TradingStateChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What the account lets in changed."""

    kind = "trading_state_changed"
    trading_state: TradingState
    reason_code: str
    reason_hash: str | None = None
    principal: str = ""


class OrderAccepted(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """An order passed every check and will be sent, or is held."""

    kind = "order_accepted"
    request: OrderRequest
    broker_account_id: BrokerAccountId
    connection_id: ConnectionId
    symbol: str
    currency: str
    multiplier: Decimal
    reservation: Reservation
    trading_date: str
    risk_date: str
    send_before: datetime
    held: bool = False
    verdicts: tuple[Verdict, ...] = ()
    limits_version: int = 0
    fx_rate: Decimal = ONE
    """Instrument currency to the account's base currency, as used by the checks."""
    principal: str = ""
    request_id: str = ""
    hold_until: datetime | None = None
    """Until when a held order waits for its approval."""


class HoldReleased(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A person approved a held order: it is sent, once, in spite of the soft limits that held it.

    verdicts: what every rule said at the approval. overridden: the limits that the person overrode.
    """

    kind = "hold_released"
    principal: str
    send_before: datetime
    verdicts: tuple[Verdict, ...] = ()
    overridden: tuple[str, ...] = ()
    text_hash: str | None = None
    request_id: str = ""


class OrderDenied(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """An order did not pass our own checks; terminal."""

    kind = "order_denied"
    request: OrderRequest
    broker_account_id: BrokerAccountId
    connection_id: ConnectionId
    symbol: str
    currency: str
    multiplier: Decimal
    trading_date: str
    risk_date: str
    verdicts: tuple[Verdict, ...]
    limits_version: int = 0
    principal: str = ""
    request_id: str = ""


class IntentRecorded(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A request is about to go out under exactly this identity and lease; the first byte follows this commit."""

    kind = "intent_recorded"
    request_kind: RequestKind
    attempt: int
    lease_token: int
    wire_id: WireId
    wire_fields: dict[str, str] = {}


class RequestInDoubt(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A place or replace may or may not have reached the broker."""

    kind = "request_in_doubt"
    request_kind: RequestKind
    reason: str


class DoubtQueried(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A complete query of the broker did not show a doubtful request."""

    kind = "doubt_queried"
    request_kind: RequestKind
    as_of: datetime


class OrderAcknowledged(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """The broker has the order."""

    kind = "order_acknowledged"
    word: Word = Word.ACKNOWLEDGED
    broker_order_id: BrokerOrderId | None = None
    wire_id: WireId | None = None
    broker_at: datetime
    principal: str = ""
    """Who vouched for it, when a person did and not the broker's own report."""


class OrderAdopted(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """An order that was not placed here works at the broker: it is counted, in sub-book EXTERNAL, and only read.

    filled_quantity: what was filled before, as far as those executions are not booked with the order.
    """

    kind = "order_adopted"
    request: OrderRequest
    broker_account_id: BrokerAccountId
    connection_id: ConnectionId
    symbol: str
    currency: str
    multiplier: Decimal
    reservation: Reservation
    trading_date: str
    broker_order_id: BrokerOrderId
    wire_id: WireId | None = None
    filled_quantity: Decimal = ZERO
    broker_at: datetime


class ReplaceRequested(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """New terms passed every check and will be sent."""

    kind = "replace_requested"
    quantity: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    reservation: Reservation
    send_before: datetime
    verdicts: tuple[Verdict, ...] = ()
    limits_version: int = 0
    principal: str = ""
    request_id: str = ""


class ReplaceDenied(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """New terms did not pass our own checks; the order is as before."""

    kind = "replace_denied"
    quantity: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    verdicts: tuple[Verdict, ...]
    limits_version: int = 0
    principal: str = ""
    request_id: str = ""


class OrderReplaced(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """The new terms are in force. `word` is FILLED_WHOLE when the new total is already filled.

    settles: whether this is the outcome of the order's own replace, or the broker changed the order by itself.
    """

    kind = "order_replaced"
    quantity: Decimal
    limit_price: Decimal | None = None
    stop_price: Decimal | None = None
    trail_amount: Decimal | None = None
    trail_percent: Decimal | None = None
    word: Word | None = None
    settles: bool = True
    broker_order_id: BrokerOrderId | None = None
    broker_at: datetime | None = None
    principal: str = ""
    """Who vouched for it, when a person did and not the broker's own report."""


class ReplaceRefused(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """The old terms go on."""

    kind = "replace_refused"
    evidence: Evidence
    reason: str
    broker_at: datetime | None = None
    principal: str = ""


class CancelRequested(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """Someone wants the rest of the order cancelled."""

    kind = "cancel_requested"
    principal: str = ""
    request_id: str = ""


class CancelRefused(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """The broker did not accept the cancel."""

    kind = "cancel_refused"
    reason: str
    broker_at: datetime | None = None


class OrderFilled(Event, frozen=True, kw_only=True, omit_defaults=True):
    """One execution was booked. `order_id` is None for an execution of an order that is not ours."""

    kind = "order_filled"
    order_id: OrderId | None = None
    fill: Fill
    word: Word
    late: bool = False
    over_fill: bool = False
    fee_known: bool = True
    broker_order_id: BrokerOrderId | None = None


class FeeAttached(Event, frozen=True, kw_only=True, omit_defaults=True):
    """The fee of an execution became known or changed; `fee` replaces what was booked."""

    kind = "fee_attached"
    order_id: OrderId | None = None
    broker_account_id: BrokerAccountId
    exec_id: ExecId
    fee: Decimal


class ExecutionCorrected(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An execution had in truth these figures; positions and cash are restated."""

    kind = "execution_corrected"
    order_id: OrderId | None = None
    broker_account_id: BrokerAccountId
    exec_id: ExecId
    correction_id: ExecId
    quantity: Decimal
    price: Decimal
    fee: Decimal
    word: Word | None = None


class ExecutionBusted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An execution never happened; positions and cash are restated."""

    kind = "execution_busted"
    order_id: OrderId | None = None
    broker_account_id: BrokerAccountId
    exec_id: ExecId
    bust_id: ExecId
    word: Word | None = None


class DayRestated(msgspec.Struct, frozen=True, omit_defaults=True):
    """By how much the figures of one risk day changed, in the currency of the execution."""

    risk_date: date
    traded_value: Decimal = ZERO
    realised_pnl: Decimal = ZERO
    fees: Decimal = ZERO


class FiguresRestated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What a correction or bust of an execution did to the position and to its day and the days since."""

    kind = "figures_restated"
    order_id: OrderId | None = None
    broker_account_id: BrokerAccountId
    exec_id: ExecId
    instrument_id: InstrumentId
    currency: str
    quantity_before: Decimal
    quantity: Decimal
    cost_before: Decimal
    cost: Decimal
    realised_pnl_before: Decimal
    realised_pnl: Decimal
    cash_change: Decimal
    days: tuple[DayRestated, ...] = ()


class OrderEnded(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """The rest of the order is gone, and what proves it."""

    evidence: Evidence
    reason_code: str = ""
    reason: str = ""
    broker_order_id: BrokerOrderId | None = None
    broker_at: datetime | None = None
    principal: str = ""


class OrderCanceled(OrderEnded, frozen=True, kw_only=True, omit_defaults=True):
    """Cancelled, by us or by the broker."""

    kind = "order_canceled"


class OrderRejected(OrderEnded, frozen=True, kw_only=True, omit_defaults=True):
    """Refused by broker or venue, or proved not to be at the broker."""

    kind = "order_rejected"


class OrderExpired(OrderEnded, frozen=True, kw_only=True, omit_defaults=True):
    """Ended by its time in force, or by its time to be sent."""

    kind = "order_expired"


class PersonResolved(OrderEvent, frozen=True, kw_only=True, omit_defaults=True):
    """A person settled what the platform could not; the events beside it say how. The words stand beside the log."""

    kind = "person_resolved"
    finding: str
    principal: str
    text_hash: str


class AlertRaised(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Something that a person should see, and what to do about it."""

    kind = "alert_raised"
    severity: Severity
    source: str
    text: str
    what_to_do: str
    order_id: OrderId | None = None


class AlertAcknowledged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person has seen an alert and takes care of it."""

    kind = "alert_acknowledged"
    alert_id: EventId
    """The event id of the alert."""
    principal: str


class BreakFound(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Broker and book differ. The id of this event is the break's id."""

    kind = "break_found"
    difference: Difference
    severity: Severity
    proposed_fix: str
    as_of: datetime
    order_id: OrderId | None = None


class BreakChanged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """An open break shows other figures now."""

    kind = "break_changed"
    break_id: BreakId
    ours: str
    theirs: str
    as_of: datetime


class BreakAcknowledged(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person has seen a break and takes care of it."""

    kind = "break_acknowledged"
    break_id: BreakId
    principal: str


class BreakResolved(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A break ended. resolution: gone, fixed, accepted_broker or explained."""

    kind = "break_resolved"
    break_id: BreakId
    resolution: str
    auto_fixed: bool = False
    principal: str = ""
    text_hash: str | None = None


class LimitBreached(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A limit was overstepped. The id of this event is the breach's id; it is told once until it is closed."""

    kind = "limit_breached"
    limit_id: str
    limit_version: int = 0
    rule: str
    plugin: str = ""
    key: str = ""
    scope: Scope = Scope()
    category: Category = Category.RISK
    action: Action = Action.ALERT
    code: str = ""
    message: str
    observed: Decimal | None = None
    limit: Decimal | None = None
    unit: str = ""
    order_id: OrderId | None = None


class BreachAssigned(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody takes care of a breach."""

    kind = "breach_assigned"
    breach_id: EventId
    principal: str
    assigned_to: str
    text_hash: str | None = None


class BreachClosed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person closed a breach with a finding; the limit may be breached anew from now on."""

    kind = "breach_closed"
    breach_id: EventId
    principal: str
    finding: str = ""
    text_hash: str | None = None


class KillSwitchActivated(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A trading state holds for a scope until a person releases it. The id of this event is the switch's id.

    firm_switch_id: of a switch for the whole firm, which has an event in every ledger, the id that they share.
    """

    kind = "kill_switch_activated"
    scope: Scope = Scope()
    trading_state: TradingState
    cause: Cause = Cause.PERSON
    reason_code: str
    reason_hash: str | None = None
    cancel_working: bool = False
    flatten: bool = False
    breach_id: EventId | None = None
    firm_switch_id: str = ""
    principal: str = ""
    request_id: str = ""


class KillSwitchDrilled(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody tried what a kill switch would do; nothing was done.

    orders: how many working orders it would have cancelled. positions: how many it would have closed.
    """

    kind = "kill_switch_drilled"
    scope: Scope = Scope()
    trading_state: TradingState
    orders: int
    positions: int
    elapsed_ms: int
    principal: str


class ReleaseAsked(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody asks for the release of a kill switch, which needs a second person."""

    kind = "release_asked"
    switch_id: EventId
    principal: str
    reason_hash: str | None = None


class KillSwitchReleased(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A kill switch holds no more."""

    kind = "kill_switch_released"
    switch_id: EventId
    principal: str
    asked_by: str = ""
    reason_hash: str | None = None
    request_id: str = ""


class LiquidationStarted(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Every position of a scope is to be closed. The id of this event is the liquidation's id."""

    kind = "liquidation_started"
    scope: Scope
    reason_code: str
    switch_id: EventId | None = None
    principal: str = ""
    request_id: str = ""


class LiquidationEnded(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A liquidation places no more orders. outcome: flat, or stopped."""

    kind = "liquidation_ended"
    liquidation_id: EventId
    outcome: str
    principal: str = ""


class EquityMarked(Event, frozen=True, kw_only=True, omit_defaults=True):
    """What an account was worth when its risk day began and the most it ever was, in its base currency."""

    kind = "equity_marked"
    risk_date: str
    day_start: Decimal
    high_water: Decimal
    equity: Decimal


class PluginQuarantined(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A plugin's rule hung: it denies every order of this ledger until a person releases it."""

    kind = "plugin_quarantined"
    plugin: str
    reason: str


class PluginReleased(Event, frozen=True, kw_only=True, omit_defaults=True):
    """A person let a quarantined plugin judge again."""

    kind = "plugin_released"
    plugin: str
    principal: str


class AdminActed(Event, frozen=True, kw_only=True, omit_defaults=True):
    """Somebody did, or was refused, something other than an order: signed in, changed a member, a limit, a key.

    Opaque ids only: free text, addresses and personal values stand beside the log, and the hashes here prove them.
    """

    kind = "admin_acted"
    action: str
    """A dotted word, for instance `api_key.created`."""
    object_type: str
    object_id: str
    principal: str
    on_behalf_of: str = ""
    tenant_id: str = ""
    """Only in the log of the platform: the tenant that the action concerns."""
    request_id: str = ""
    decision: str = "ALLOWED"
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    """Values that changed, secret ones as hashes."""
    actor_hash: str | None = None
    """Salted hash of where the actor came from and what they wrote."""
    subject_hash: str | None = None
    """Salted hash of the personal values before and after of the person concerned."""
    order_id: OrderId | None = None


EVENT_CLASSES: tuple[type[Event], ...] = (
    AccountOpened,
    CashChanged,
    TradingStateChanged,
    OrderAccepted,
    OrderDenied,
    IntentRecorded,
    RequestInDoubt,
    DoubtQueried,
    OrderAcknowledged,
    OrderAdopted,
    ReplaceRequested,
    ReplaceDenied,
    OrderReplaced,
    ReplaceRefused,
    CancelRequested,
    CancelRefused,
    OrderFilled,
    FeeAttached,
    ExecutionCorrected,
    ExecutionBusted,
    FiguresRestated,
    OrderCanceled,
    OrderRejected,
    OrderExpired,
    PersonResolved,
    AlertRaised,
    AlertAcknowledged,
    BreakFound,
    BreakChanged,
    BreakAcknowledged,
    BreakResolved,
    PluginQuarantined,
    PluginReleased,
    AdminActed,
    HoldReleased,
    LimitBreached,
    BreachAssigned,
    BreachClosed,
    KillSwitchActivated,
    KillSwitchDrilled,
    ReleaseAsked,
    KillSwitchReleased,
    LiquidationStarted,
    LiquidationEnded,
    EquityMarked,
)


class Recorded(msgspec.Struct, frozen=True):
    """An event in its place: `seq` is gap-free within the ledger, `recorded_at` never decreases."""

    seq: int
    event_id: EventId
    recorded_at: datetime
    event: Event

    @property
    def order_id(self) -> OrderId | None:
        """The order that the event concerns, if any."""
        return getattr(self.event, "order_id", None)


Fields = dict[str, Any]
UPCASTERS: dict[tuple[str, int], Callable[[Fields], Fields]] = {}
"""(kind, stored version) -> a function from that version's fields to the next version's."""

_CURRENT: dict[str, int] = {cls.kind: cls.version for cls in EVENT_CLASSES}


_ENCODER = msgspec.json.Encoder(decimal_format="string", order="deterministic")
_DECODERS: dict[str, msgspec.json.Decoder[Event]] = {cls.kind: msgspec.json.Decoder(cls) for cls in EVENT_CLASSES}
_UNTYPED = msgspec.json.Decoder()


def encode_event(event: Event) -> bytes:
    """The event's fields as JSON: the payload column of the log."""
    return _ENCODER.encode(event)


def decode_event(kind: str, version: int, payload: bytes | str) -> Event:
    """The event of a log row, upcast to the present version. Raises UnknownEvent."""
    current = _CURRENT.get(kind)
    if current is None or not 1 <= version <= current:
        raise UnknownEvent(f"event {kind} version {version} is unknown to this build; start a build that wrote it")
    if version == current:
        return _DECODERS[kind].decode(payload)
    fields = _UNTYPED.decode(payload)
    while version < current:
        upcast = UPCASTERS.get((kind, version))
        if upcast is None:
            raise UnknownEvent(f"event {kind} version {version} has no way to version {version + 1} in this build")
        fields = upcast(fields)
        version += 1
    cls = next(cls for cls in EVENT_CLASSES if cls.kind == kind)
    return msgspec.convert(fields, cls)
