"""The contracts of risk rules and compliance checks: pure functions of the order, the view and the rule's own state."""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Protocol

import msgspec

from oms_kernel.domain.account import TradingAccount
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.decision import Verdict
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import AccountId, InstrumentId, OrderId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.market import MarketView
from oms_kernel.domain.order import Order, OrderRequest, Side
from oms_kernel.domain.position import Position


class Exposure(msgspec.Struct, frozen=True):
    """Open quantity of one instrument in one account, worst case, orders in doubt counted in full."""

    buy_quantity: Decimal
    sell_quantity: Decimal
    buy_orders: int
    sell_orders: int


class OrderIntent(msgspec.Struct, frozen=True):
    """What a rule judges: a new order (PLACE), or new terms for one (REPLACE, then `replaces` is the order).

    request: the order's terms; for REPLACE with the new total and prices. added_quantity: what the request adds to
    the open quantity (the whole quantity for PLACE, the increase or 0 for REPLACE). price: at which the open quantity
    counts (limit, stop or the opposite quote); None when there is no fresh quote for it.
    """

    kind: RequestKind
    order_id: OrderId
    request: OrderRequest
    instrument: Instrument
    added_quantity: Decimal
    price: Decimal | None
    price_source: str
    replaces: Order | None = None


class RuleView(Protocol):
    """What a rule may look at: the ledger as of this order, earlier orders of the same batch included; read-only."""

    now: datetime
    market: MarketView

    def account(self, account_id: AccountId) -> TradingAccount:
        """The trading account."""

    def instrument(self, instrument_id: InstrumentId) -> Instrument | None:
        """An instrument that the batch knows, or None."""

    def calendar(self, instrument: Instrument) -> Calendar:
        """The calendar of the instrument's venue."""

    def position(self, account_id: AccountId, instrument_id: InstrumentId, book: str = "NET") -> Position | None:
        """The position of a book; NET is the whole account. None: never traded."""

    def exposure(self, account_id: AccountId, instrument_id: InstrumentId) -> Exposure:
        """Open quantity by side, without the order being judged."""

    def open_orders(self, account_id: AccountId, instrument_id: InstrumentId, side: Side) -> Iterable[Order]:
        """The orders that may still trade, of one side, without the order being judged."""

    def cash(self, account_id: AccountId, currency: str) -> Decimal:
        """Cash of one currency."""


class RiskRule(Protocol):
    """A pre-trade rule. One instance serves one ledger and one row of limits; it keeps nothing in `self`.

    assess must be pure and quick (under 1 ms): no I/O, no clock (`view.now`), no randomness, no sleeping.
    Missing data denies: a rule that lacks the quote or limit it needs says DENY with the code of what is missing.
    On failure the host denies: an exception, a wrong type or more than 250 ms denies the order naming the plugin,
    and after a hang the plugin is quarantined for the ledger: its rule denies until a person releases it.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    Params: ClassVar[type[msgspec.Struct]]

    def __init__(self, params: Any) -> None:
        """Keep the parameters."""

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS, DENY or HOLD with observed, limit and unit. state: what `fold` made; None for rules without memory."""


class StatefulRule(RiskRule, Protocol):
    """A rule with memory: the host folds committed events into its state and rebuilds it from the log.

    It may have a class attribute `observes`, a frozenset of the event classes that its memory takes in: the host then
    folds no others, which spares most of the calls. Without it every event is folded.

    It may have an attribute `horizon`, a timedelta: what is older than that makes no difference to any verdict. The
    host then builds its state from the events since, instead of from the whole log.
    """

    def initial_state(self) -> Any:
        """The state before the first event."""

    def fold(self, state: Any, event: Recorded) -> tuple[Any, tuple[Any, ...]]:
        """(the state after the event, triggers). Never change `state` in place: an overlay may be dropped."""


class ComplianceCheck(RiskRule, Protocol):
    """The same as a RiskRule; its denial is `compliance_denied`, and compliance runs before risk."""
