"""What a scope holds and has open, by sums that follow the book: as a recount would say it after every event."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from oms_kernel.batch import Batch, LedgerState
from oms_kernel.contracts.rules import Exposures, OpenTotals, WorstCase
from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.freezing import freeze, thaw
from oms_kernel.domain.ids import (
    AccountId,
    BrokerOrderId,
    ConnectionId,
    ExecId,
    InstrumentId,
    OrderId,
    StrategyId,
    WireId,
)
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.domain.lifecycle import TERMINAL, Evidence, RequestKind, RequestStatus, Word
from oms_kernel.domain.market import MarketView
from oms_kernel.domain.order import NET_BOOK, Order, OrderType, Reservation, Side
from oms_kernel.domain.scope import Scope
from oms_kernel.testkit.builders import BROKER_ACCOUNT_ID, NOON, a_quote, a_uuid, an_instrument, an_order_request
from oms_kernel.view import LedgerView
from tests.engine.book_oracle import check_sums

ONE, TWO = AccountId(a_uuid("one")), AccountId(a_uuid("two"))
STRATEGIES = (None, StrategyId("trend"), StrategyId("pairs"))
ACME = an_instrument("ACME")
FUTURE = an_instrument("FUT", multiplier=Decimal(50), asset_class=AssetClass.FUTURE)
GERMAN = an_instrument("DEX", currency="EUR")
COMBO = an_instrument("SPREAD", asset_class=AssetClass.COMBO)
SILENT = an_instrument("SILENT")
EURO = an_instrument("EURUSD", asset_class=AssetClass.FOREX)
INSTRUMENTS = {one.instrument_id: one for one in (ACME, FUTURE, GERMAN, COMBO, SILENT, EURO)}
TRADED = (ACME, FUTURE, GERMAN, COMBO, SILENT)
PRICES = {ACME: Decimal(100), FUTURE: Decimal("20.5"), GERMAN: Decimal(40), COMBO: Decimal("-1.5")}
RATES = {"USD": Decimal(1), "EUR": Decimal("1.25")}
MARKET = MarketView(
    now=NOON,
    quotes={one.instrument_id: a_quote(one, price, price) for one, price in PRICES.items()}
    | {EURO.instrument_id: a_quote(EURO, "1.25", "1.25")},
)
SCOPES = [
    Scope(account_id=account_id, strategy_id=strategy_id, instrument_id=instrument_id)
    for account_id in (None, ONE, TWO)
    for strategy_id in STRATEGIES[:2]
    for instrument_id in (None, ACME.instrument_id, SILENT.instrument_id)
]
picks = st.integers(0, 10**6)
sizes = st.integers(1, 50).map(Decimal)


class LedgerAtRandom(RuleBasedStateMachine):
    """Every step is one event of an overlay; now and then the overlay is adopted, or the book frozen and thawed."""

    @initialize()
    def open(self) -> None:
        self.state = LedgerState()
        self.number = 0
        self.begin()
        for account_id in (ONE, TWO):
            self.batch.record(ev.AccountOpened(account_id=account_id, base_currency="USD"))

    def begin(self) -> None:
        self.batch = Batch(self.state, now=NOON, new_id=lambda: a_uuid(f"event {self.next()}"))
        self.view = LedgerView(self.batch.book, MARKET, INSTRUMENTS, {})

    def next(self) -> int:
        self.number += 1
        return self.number

    # What happens -----------------------------------------------------------------------------------------

    @rule(pick=picks, side=st.sampled_from(Side), quantity=sizes, price=st.integers(1, 300), held=st.booleans())
    def accept(self, pick: int, side: Side, quantity: Decimal, price: int, held: bool) -> None:
        instrument = TRADED[pick % len(TRADED)]
        known = pick % 7 != 0
        request = an_order_request(
            instrument,
            side,
            quantity,
            account_id=(ONE, TWO)[pick % 2],
            strategy_id=STRATEGIES[pick % 3],
            order_type=OrderType.LIMIT if known else OrderType.MARKET,
        )
        self.batch.record(
            ev.OrderAccepted(
                **self.told(request.account_id, instrument),
                request=request,
                reservation=Reservation(price=Decimal(price) if known else None, source="limit_price"),
                held=held,
                send_before=NOON,
                trading_date="2026-01-01",
                risk_date="2026-01-01",
            )
        )

    @rule(pick=picks, side=st.sampled_from(Side), quantity=sizes, filled=st.integers(0, 1))
    def adopt_what_is_not_ours(self, pick: int, side: Side, quantity: Decimal, filled: int) -> None:
        instrument = TRADED[pick % len(TRADED)]
        request = an_order_request(instrument, side, quantity, account_id=(ONE, TWO)[pick % 2])
        self.batch.record(
            ev.OrderAdopted(
                **self.told(request.account_id, instrument),
                request=request,
                broker_order_id=BrokerOrderId(f"B{self.next()}"),
                filled_quantity=Decimal(filled),
                reservation=Reservation(price=Decimal(7), source="limit_price"),
                trading_date="2026-01-01",
                broker_at=NOON,
            )
        )

    @precondition(lambda self: self.active())
    @rule(pick=picks, quantity=sizes, price=st.one_of(st.none(), st.integers(1, 300)), settled=st.integers(0, 3))
    def replace(self, pick: int, quantity: Decimal, price: int | None, settled: int) -> None:
        """New terms: asked for, in doubt, refused or in force."""
        order = self.one(pick)
        named = self.named(order)
        if order.replace is not None and order.replace.status in (RequestStatus.SENT, RequestStatus.IN_DOUBT):
            self.batch.record(ev.ReplaceRefused(**named, evidence=Evidence.BROKER, reason="no"))
            return
        terms: dict[str, Any] = {
            "quantity": quantity + order.filled_quantity,
            "limit_price": None if price is None else Decimal(price),
            "stop_price": None,
        }
        reservation = Reservation(price=terms["limit_price"], source="limit_price")
        self.batch.record(ev.ReplaceRequested(**named, **terms, reservation=reservation, send_before=NOON))
        if settled == 0:
            return
        wire_id = WireId(f"W{self.next()}")
        self.batch.record(
            ev.IntentRecorded(
                **named, request_kind=RequestKind.REPLACE, attempt=self.number, lease_token=1, wire_id=wire_id
            )
        )
        if settled == 1:
            self.batch.record(ev.RequestInDoubt(**named, request_kind=RequestKind.REPLACE, reason="no word"))
        elif settled == 2:
            self.batch.record(ev.OrderReplaced(**named, **terms, settles=True, broker_at=NOON))

    @precondition(lambda self: self.active())
    @rule(pick=picks, doubtful=st.booleans())
    def send(self, pick: int, doubtful: bool) -> None:
        order = self.one(pick)
        if order.place is not RequestStatus.REQUESTED:
            return
        named = self.named(order)
        if order.hold_until is not None or order.status == "HELD":
            self.batch.record(ev.HoldReleased(**named, principal="user:second", send_before=NOON))
        self.batch.record(
            ev.IntentRecorded(
                **named, request_kind=RequestKind.PLACE, attempt=0, lease_token=1, wire_id=WireId(f"W{self.next()}")
            )
        )
        if doubtful:
            self.batch.record(ev.RequestInDoubt(**named, request_kind=RequestKind.PLACE, reason="no word"))

    @precondition(lambda self: self.active())
    @rule(pick=picks, kind=st.sampled_from([ev.OrderCanceled, ev.OrderRejected, ev.OrderExpired]))
    def end(self, pick: int, kind: type[ev.OrderEnded]) -> None:
        order = self.one(pick)
        self.batch.record(kind(**self.named(order), evidence=Evidence.BROKER, broker_at=NOON))

    @precondition(lambda self: self.active())
    @rule(pick=picks, quantity=sizes, whole=st.booleans())
    def fill(self, pick: int, quantity: Decimal, whole: bool) -> None:
        order = self.one(pick)
        left = order.worst_case_quantity
        quantity = left if (whole and left) else quantity
        word = Word.FILLED_WHOLE if quantity >= left else Word.FILLED_PART
        self.batch.record(ev.OrderFilled(**self.named(order), fill=self.a_fill(order, quantity), word=word))

    @precondition(lambda self: len(self.batch.book.executions))
    @rule(pick=picks)
    def bust(self, pick: int) -> None:
        fills = [fill for fill in self.batch.book.executions.values() if not fill.busted]
        if not fills:
            return
        fill = fills[pick % len(fills)]
        order = self.batch.book.orders[fill.order_id] if fill.order_id else None
        reopened = order is not None and order.status == "FILLED"
        self.batch.record(
            ev.ExecutionBusted(
                account_id=fill.account_id,
                order_id=fill.order_id,
                broker_account_id=fill.broker_account_id,
                exec_id=fill.exec_id,
                bust_id=ExecId(f"U{self.next()}"),
                word=Word.UNFILLED if reopened else None,
            )
        )

    @rule(pick=picks, amount=st.integers(-100, 100), currency=st.sampled_from(["USD", "EUR"]))
    def pay(self, pick: int, amount: int, currency: str) -> None:
        self.batch.record(
            ev.CashChanged(
                account_id=(ONE, TWO)[pick % 2], currency=currency, amount=Decimal(amount), reason_code="deposit"
            )
        )

    @rule(frozen=st.booleans())
    def commit(self, frozen: bool) -> None:
        self.state.adopt(self.batch)
        if frozen:
            self.state.book = thaw(freeze(self.state.book))
        self.begin()

    # What always holds ------------------------------------------------------------------------------------

    @invariant()
    def what_is_told_of_every_scope_is_what_a_recount_gives(self) -> None:
        book = self.batch.book
        check_sums(book)
        active = self.active()
        hidden = active[self.number % len(active)] if active else None
        views = [(self.view, None)]
        if hidden is not None:
            views.append((self.view.hiding(hidden.order_id), hidden))
        for view, without in views:
            for scope in SCOPES:
                assert view.open_totals(scope) == open_totals(book, scope, without), scope
                for but in (None, ACME.instrument_id, SILENT.instrument_id):
                    assert view.exposures(scope, but=but) == exposures(book, scope, but, without), (scope, but)
                assert set(view.holdings(scope)) == {holding for holding, _, _ in holdings(book, scope, None)}
        for account_id in (ONE, TWO):
            assert self.view.equity(account_id) == equity(book, account_id)
            for instrument in TRADED:
                for name in (NET_BOOK, "trend", "pairs", "MANUAL", "EXTERNAL"):
                    told = self.view.worst_case(account_id, instrument.instrument_id, name)
                    assert told == worst_case(book, account_id, instrument.instrument_id, name, None)

    # Helping ----------------------------------------------------------------------------------------------

    def active(self) -> list[Order]:
        return [order for order in self.batch.book.orders.values() if order.is_active]

    def one(self, pick: int) -> Order:
        active = self.active()
        return active[pick % len(active)]

    def named(self, order: Order) -> dict[str, Any]:
        return {"account_id": order.request.account_id, "order_id": order.order_id}

    def told(self, account_id: AccountId, instrument: Instrument) -> dict[str, Any]:
        return {
            "account_id": account_id,
            "order_id": OrderId(a_uuid(f"order {self.next()}")),
            "broker_account_id": BROKER_ACCOUNT_ID,
            "connection_id": ConnectionId(a_uuid("connection")),
            "symbol": instrument.symbol,
            "currency": instrument.currency,
            "multiplier": instrument.multiplier,
        }

    def a_fill(self, order: Order, quantity: Decimal) -> Fill:
        return Fill(
            exec_id=ExecId(f"E{self.next()}"),
            order_id=order.order_id,
            account_id=order.request.account_id,
            broker_account_id=order.broker_account_id,
            instrument_id=order.request.instrument_id,
            book=order.book,
            side=order.request.side,
            quantity=quantity,
            price=Decimal(90),
            currency=order.currency,
            multiplier=order.multiplier,
            executed_at=NOON,
            trading_date="2026-01-01",
            risk_date="2026-01-01",
        )


# A recount -------------------------------------------------------------------------------------------------


def orders_in(book: Book, name: str, without: Order | None) -> Iterator[Order]:
    for order in book.orders.values():
        is_hidden = without is not None and order.order_id == without.order_id
        if order.status not in TERMINAL and not is_hidden and name in (NET_BOOK, order.book):
            yield order


def worst_case(
    book: Book, account_id: AccountId, instrument_id: InstrumentId, name: str, without: Order | None
) -> WorstCase:
    position = book.positions.get((account_id, name, instrument_id))
    long = short = position.quantity if position else Decimal(0)
    for order in orders_in(book, name, without):
        if (order.request.account_id, order.request.instrument_id) == (account_id, instrument_id):
            long += order.worst_case_quantity if order.request.side is Side.BUY else 0
            short -= order.worst_case_quantity if order.request.side is Side.SELL else 0
    return WorstCase(long=long, short=short)


def holdings(book: Book, scope: Scope, without: Order | None) -> list[tuple[Any, WorstCase, Instrument]]:
    name = scope.strategy_id or NET_BOOK
    found = {}
    for account_id in (ONE, TWO):
        for instrument in TRADED:
            if not scope.covers(account_id, scope.strategy_id, instrument.instrument_id):
                continue
            position = book.positions.get((account_id, name, instrument.instrument_id))
            here = [
                order
                for order in orders_in(book, name, without)
                if (order.request.account_id, order.request.instrument_id) == (account_id, instrument.instrument_id)
            ]
            if here or (position is not None and position.quantity):
                worst = worst_case(book, account_id, instrument.instrument_id, name, without)
                found[account_id, instrument.instrument_id] = worst, instrument
    return [(holding, worst, instrument) for holding, (worst, instrument) in found.items()]


def exposures(book: Book, scope: Scope, but: InstrumentId | None, without: Order | None) -> Exposures:
    gross = long = short = high = low = Decimal(0)
    missing = ""
    for (_, instrument_id), worst, instrument in holdings(book, scope, without):
        if instrument_id == but or not (worst.long or worst.short):
            continue
        if instrument is SILENT:
            missing = "SILENT"
            continue
        unit = abs(PRICES[instrument]) * instrument.multiplier * RATES[instrument.currency]
        gross += max(worst.long, -worst.short, Decimal(0)) * unit
        long += max(worst.long, Decimal(0)) * unit
        short += max(-worst.short, Decimal(0)) * unit
        high += worst.long * unit
        low += worst.short * unit
    if missing:
        return Exposures(gross=None, long=None, short=None, missing=missing)
    return Exposures(gross=gross, long=long, short=short, net_high=high, net_low=low)


def open_totals(book: Book, scope: Scope, without: Order | None) -> OpenTotals:
    count, value, known = 0, Decimal(0), True
    for order in orders_in(book, scope.strategy_id or NET_BOOK, without):
        request = order.request
        if not scope.covers(request.account_id, scope.strategy_id, request.instrument_id):
            continue
        count += 1
        terms = [(order.quantity, order.reservation.price)]
        if order.replace is not None and order.replace.status in ("REQUESTED", "SENT", "IN_DOUBT"):
            terms.append((order.replace.quantity, order.replace.reservation.price))
        if not order.worst_case_quantity:
            continue
        if any(price is None for _, price in terms):
            known = False
            continue
        worst = max(max(total - order.filled_quantity, Decimal(0)) * price for total, price in terms if price)
        value += worst * order.multiplier * RATES[order.currency]
    return OpenTotals(orders=count, value=value if known else None)


def equity(book: Book, account_id: AccountId) -> Decimal | None:
    worth = sum(
        (amount * RATES[currency] for (owner, currency), amount in book.cash.items() if owner == account_id), Decimal(0)
    )
    for (owner, name, instrument_id), position in book.positions.items():
        if owner != account_id or name != NET_BOOK or not position.quantity:
            continue
        instrument = INSTRUMENTS[instrument_id]
        if instrument is SILENT:
            return None
        worth += position.quantity * PRICES[instrument] * instrument.multiplier * RATES[instrument.currency]
    return worth


LedgerAtRandom.TestCase.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)


class TestSumsOfALedgerAtRandom(LedgerAtRandom.TestCase):  # type: ignore[misc, name-defined]
    """Run by Hypothesis."""
