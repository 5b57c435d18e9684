"""The contracts of risk rules and compliance checks: pure functions of the order, the view and the rule's own state."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar, Protocol

import msgspec

from oms_kernel.domain.account import TradingAccount, TradingState
from oms_kernel.domain.breaks import Break
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.decision import Verdict
from oms_kernel.domain.events import Recorded
from oms_kernel.domain.ids import AccountId, InstrumentId, OrderId, StrategyId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.market import MarketView
from oms_kernel.domain.money import ZERO, subtract
from oms_kernel.domain.order import NET_BOOK, Order, OrderRequest, Side
from oms_kernel.domain.position import Position
from oms_kernel.domain.scope import Scope


class Exposure(msgspec.Struct, frozen=True):
    """Open quantity of one instrument in one account, worst case, orders in doubt counted in full."""

    buy_quantity: Decimal
    sell_quantity: Decimal
    buy_orders: int
    sell_orders: int


class WorstCase(msgspec.Struct, frozen=True):
    """How far a holding could go: the position with every open buy, or every open sell, filled. Signed quantities."""

    long: Decimal
    short: Decimal


class OpenTotals(msgspec.Struct, frozen=True):
    """The open orders of a scope: how many, and their value in the base currency; None: some have no price."""

    orders: int
    value: Decimal | None


class Exposures(msgspec.Struct, frozen=True):
    """Worst-case values of a scope in the base currency; each None when a price or rate is missing.

    gross: the sum over instruments of the larger of long and short. long, short: each side alone, both positive.
    net_high, net_low: long holdings less short ones, signed, with every open buy, or every open sell, filled.
    missing: the first instrument or currency that has no price.
    """

    gross: Decimal | None
    long: Decimal | None
    short: Decimal | None
    missing: str = ""
    net_high: Decimal | None = None
    net_low: Decimal | None = None


class Link(msgspec.Struct, frozen=True):
    """How the way to an account's broker is: whether its session is ready, and how many of its orders are in doubt."""

    is_ready: bool
    in_doubt: int
    detail: str = ""


class InstrumentFacts(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is known of an instrument today beside its quote; `as_of` says since when, an absent field is unknown.

    average_daily_volume: units a day over 20 days. limit_up, limit_down: the band in which it may trade.
    """

    instrument_id: InstrumentId
    as_of: datetime
    average_daily_volume: Decimal | None = None
    is_halted: bool | None = None
    in_auction: bool | None = None
    limit_up: Decimal | None = None
    limit_down: Decimal | None = None
    is_short_restricted: bool | None = None
    is_hard_to_borrow: bool | None = None
    sector: str = ""
    issuer: str = ""


class Basket(msgspec.Struct, frozen=True):
    """All orders of the request that an order came in with, its own account's only.

    notional: their value in the base currency; None: one of them has no price or no rate.
    """

    orders: int
    notional: Decimal | None


class OrderIntent(msgspec.Struct, frozen=True):
    """What a rule judges: a new order (PLACE), or new terms for one (REPLACE, then `replaces` is the order).

    request: the order's terms; for REPLACE with the new total and prices. added_quantity: what the request adds to
    the open quantity (the whole quantity for PLACE, the increase or 0 for REPLACE). price: at which the open quantity
    counts (limit, stop or the opposite quote); None when there is no fresh quote for it. principal: who asks.
    basket: what came in together, for rules that ask for it with `needs_basket`; None for an order that came alone.
    """

    kind: RequestKind
    order_id: OrderId
    request: OrderRequest
    instrument: Instrument
    added_quantity: Decimal
    price: Decimal | None
    price_source: str
    replaces: Order | None = None
    principal: str = ""
    basket: Basket | None = None

    @property
    def open_quantity(self) -> Decimal:
        """What may trade of the order: of a modified one the larger of old and new total, less what is filled."""
        order = self.replaces
        if order is None:
            return self.request.quantity
        return max(ZERO, subtract(max(self.request.quantity, order.quantity), order.filled_quantity))


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

    def order(self, order_id: OrderId) -> Order | None:
        """An order of the ledger, whatever became of it; also the one being judged. None: there is none."""

    def exposure(self, account_id: AccountId, instrument_id: InstrumentId) -> Exposure:
        """Open quantity by side, without the order being judged."""

    def open_orders(self, account_id: AccountId, instrument_id: InstrumentId, side: Side) -> Iterable[Order]:
        """The orders that may still trade, of one side, without the order being judged."""

    def best_limit(self, account_id: AccountId, instrument_id: InstrumentId, side: Side) -> Decimal | None:
        """The highest limit of the open BUY orders, the lowest of the open SELL orders; None: there is no such order.

        Infinite where one has no limit. Orders that wait for a trigger are left out, as is the one being judged; of a
        replace under way both limits count. Quick however many orders there are: ask it before `open_orders`.
        """

    def cash(self, account_id: AccountId, currency: str) -> Decimal:
        """Cash of one currency."""

    def risk_date(self, account_id: AccountId) -> str:
        """The account's risk day of this moment, ISO."""

    def accounts(self, scope: Scope) -> Sequence[AccountId]:
        """The trading accounts of a scope."""

    def holdings(self, scope: Scope) -> Iterable[tuple[AccountId, InstrumentId]]:
        """Where the scope holds a position or has open orders, each once; a strategy's: in its own book."""

    def doubts(self, scope: Scope) -> Iterable[Order]:
        """The orders of a scope that are in doubt."""

    def open_breaks(self, account_id: AccountId) -> Iterable[Break]:
        """The differences to the account's broker that nobody has resolved."""

    def base_currency(self, scope: Scope) -> str | None:
        """The currency in which a scope is valued: its account's, or the one that all accounts share; None: mixed."""

    def fx_rate(self, currency: str, into: str) -> Decimal | None:
        """Units of `into` for one unit of `currency`, by fresh quotes of FOREX instruments; None: no such quote."""

    def mark(self, instrument_id: InstrumentId) -> Decimal | None:
        """The price at which a position is valued: mid, else last, of a fresh quote; None: there is none."""

    def worst_case(self, account_id: AccountId, instrument_id: InstrumentId, book: str = NET_BOOK) -> WorstCase:
        """How far a holding could go, without the order being judged; `book` a strategy id: that strategy's alone."""

    def exposures(self, scope: Scope, *, but: InstrumentId | None = None) -> Exposures:
        """Worst-case values of every holding of a scope, without the order being judged, and without `but`."""

    def open_totals(self, scope: Scope) -> OpenTotals:
        """The open orders of a scope, without the order being judged."""

    def equity(self, account_id: AccountId) -> Decimal | None:
        """Cash and positions at their marks, in the base currency; None: a mark or rate is missing."""

    def day_pnl(self, account_id: AccountId) -> Decimal | None:
        """Equity less equity at the beginning of the risk day, moved cash left out; None: not known."""

    def high_water(self, account_id: AccountId) -> Decimal | None:
        """The most that the account was ever worth, as marked; None: it was never marked."""

    def facts(self, instrument_id: InstrumentId) -> InstrumentFacts | None:
        """What is known of the instrument today; None: nothing."""

    def link(self, account_id: AccountId) -> Link | None:
        """How the way to the account's broker is; None: it is routed nowhere."""

    def trading_state(
        self, account_id: AccountId, strategy_id: StrategyId | None, instrument_id: InstrumentId
    ) -> TradingState:
        """The strictest of the account's trading state and of the kill switches that cover such an order."""

    def reduces(self, request: OrderRequest, quantity: Decimal) -> bool:
        """Whether `quantity` of such an order can only bring the position nearer to zero, open orders counted."""


class Trigger(msgspec.Struct, frozen=True):
    """A limit was overstepped by what happened: the host tells people, and does what the limit's action says.

    key: what makes it another occasion; one with the key of a breach that nobody has closed is not told again.
    scope: what the action is for; None: the scope of the limit.
    """

    message: str
    observed: Decimal | None = None
    limit: Decimal | None = None
    unit: str = ""
    code: str = ""
    key: str = ""
    scope: Scope | None = None
    order_id: OrderId | None = None


class Usage(msgspec.Struct, frozen=True, omit_defaults=True):
    """How much of a limit is used at this moment, for people to look at; nothing is decided by it.

    figure: which of the limit's figures it is, where it has several, such as `long` or `per_minute`. The ids say what
    was measured by itself; absent ones: all of the limit's scope. is_floor: `limit` is the least that is allowed.
    """

    used: Decimal
    limit: Decimal
    unit: str = ""
    figure: str = ""
    account_id: AccountId | None = None
    strategy_id: StrategyId | None = None
    instrument_id: InstrumentId | None = None
    is_floor: bool = False

    @property
    def headroom(self) -> Decimal:
        """How far `used` is from the limit: negative beyond it."""
        return subtract(self.used, self.limit) if self.is_floor else subtract(self.limit, self.used)


class RiskRule(Protocol):
    """A pre-trade rule. One instance serves one ledger and one row of limits; it keeps nothing in `self`.

    assess must be pure and quick (under 1 ms): no I/O, no clock (`view.now`), no randomness, no sleeping.
    Missing data denies: a rule that lacks the quote or limit it needs says DENY with the code of what is missing.
    On failure the host denies: an exception, a wrong type or more than 250 ms denies the order naming the plugin,
    and after a hang the plugin is quarantined for the ledger: its rule denies until a person releases it.

    Optional class attributes. rank: an int, rules are asked from the lowest on (default 100; cheap ones first).
    takes_scope: True when `__init__` takes a second argument, the Scope of its limit, to measure over.
    needs_basket: True when it reads `intent.basket`. needs_equity: True when it reads `day_pnl` or `high_water`: the
    host marks the equity of its limit's accounts, as each risk day begins and on new highs. source: the regulation or
    guide that the rule follows.
    default_action: the Action of its triggers where the limit names none. category: the Category of its triggers.

    The host knows the limit and its severity: a rule says DENY where its limit is overstepped, and the host makes
    that a HOLD for a soft limit and a note for a shadow one.
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

    def fold(self, state: Any, event: Recorded) -> tuple[Any, tuple[Trigger, ...]]:
        """(the state after the event, triggers). Never change `state` in place: an overlay may be dropped.

        The host acts on a trigger in the transaction that wrote the event, and never when it reads the event again.
        """


class MeasuredRule(RiskRule, Protocol):
    """A rule, check or monitor that can tell how much of its limit is used, for the bars that people look at.

    The method is optional. What cannot be measured (no quote, no rate) is left out, never guessed; a failure is
    counted against the plugin and shows nothing.
    """

    def usage(self, view: RuleView, state: Any) -> Iterable[Usage]:
        """A figure for each thing that the limit measures now: account, strategy, instrument; at most 1,000 count."""


class ComplianceCheck(RiskRule, Protocol):
    """The same as a RiskRule; its denial is `compliance_denied`, and compliance runs before risk."""


class Monitor(Protocol):
    """Watches a ledger while nobody trades: asked again and again, several times a second, with present marks.

    Duties as a RiskRule: pure, quick, no I/O. It may have a memory, as a StatefulRule has. On failure the host raises
    an alert that names the plugin, once, and asks again. The optional class attributes are those of a RiskRule.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    Params: ClassVar[type[msgspec.Struct]]

    def __init__(self, params: Any, scope: Scope) -> None:
        """Keep the parameters and the scope of the limit."""

    def watch(self, view: RuleView, state: Any) -> tuple[Trigger, ...]:
        """What is overstepped now; empty while all is well. state: what `fold` made; None without memory."""
