"""One ledger for trying rules: accounts, quotes, positions and orders set up by real events, judged by the real engine.

scene = Scene()
scene.hold(70)
verdict = scene.judge(MaxPosition(params), scene.order(Side.BUY, 40))
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec

from oms_kernel import engine
from oms_kernel.batch import LedgerState
from oms_kernel.contracts.broker import BrokerCapabilities, ReplaceMode
from oms_kernel.contracts.rules import OrderIntent
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingAccount
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import AccountId, ConnectionId, EventId, ExecId, InstrumentId, OrderId, WireId
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.domain.lifecycle import RequestKind, Word
from oms_kernel.domain.market import MarketView, Quote
from oms_kernel.domain.order import EXTERNAL_BOOK, Order, OrderRequest, OrderType, Side, TimeInForce
from oms_kernel.testkit.builders import (
    ACCOUNT_ID,
    BROKER_ACCOUNT_ID,
    NOON,
    Number,
    a_quote,
    a_trading_account,
    a_uuid,
    an_instrument,
    an_order_request,
)
from oms_kernel.view import LedgerView

EVERYTHING = BrokerCapabilities(
    order_types=frozenset(OrderType),
    time_in_force=frozenset(TimeInForce),
    asset_classes=frozenset(AssetClass),
    replace=ReplaceMode.NATIVE,
)
_UNSET = object()


class Scene:
    """A ledger at NOON with one account in USD and one instrument, quoted 99.99 to 100.01. Time moves by `wait`."""

    def __init__(self, instrument: Instrument | None = None, *, account: TradingAccount | None = None) -> None:
        self.now: datetime = NOON
        self.instrument = instrument or an_instrument()
        self.instruments: dict[InstrumentId, Instrument] = {}
        self.calendars: dict[str, Calendar] = {}
        self.quotes: dict[InstrumentId, Quote] = {}
        self.state = LedgerState()
        self.events: list[ev.Recorded] = []
        self.add(self.instrument)
        self.open(account or a_trading_account())
        self.quote()

    # Setting up ------------------------------------------------------------------------------------------

    def wait(self, **time: float) -> "Scene":
        """Let time pass: `scene.wait(seconds=3)`. Quotes grow older."""
        self.now += timedelta(**time)
        return self

    def add(self, instrument: Instrument) -> Instrument:
        """Make an instrument known."""
        self.instruments[instrument.instrument_id] = instrument
        return instrument

    def open(self, account: TradingAccount) -> AccountId:
        """Open a trading account."""
        self.record(
            ev.AccountOpened(
                account_id=account.account_id,
                base_currency=account.base_currency,
                time_zone=account.time_zone,
                day_roll=account.day_roll,
            )
        )
        return account.account_id

    def quote(
        self, bid: Number | None = "99.99", ask: Number | None = "100.01", instrument: Instrument | None = None
    ) -> None:
        """Quote an instrument now."""
        quoted = instrument or self.instrument
        self.quotes[quoted.instrument_id] = a_quote(quoted, bid, ask, at=self.now)

    def lose_quotes(self) -> None:
        """No instrument has a quote any more."""
        self.quotes.clear()

    def hold(
        self,
        quantity: Number,
        price: Number = 100,
        *,
        instrument: Instrument | None = None,
        account_id: AccountId = ACCOUNT_ID,
    ) -> None:
        """Trade a signed quantity elsewhere, so that the account holds it."""
        traded, signed = instrument or self.instrument, Decimal(quantity)
        self._fill(None, traded, account_id, Side.BUY if signed > 0 else Side.SELL, abs(signed), Decimal(price))

    def order(self, side: Side = Side.BUY, quantity: Number = 100, **fields: Any) -> OrderRequest:
        """A request for the scene's instrument: LIMIT when `limit_price` is given, else MARKET; nothing is recorded."""
        return an_order_request(fields.pop("instrument", self.instrument), side, quantity, **fields)

    def accept(self, request: OrderRequest) -> Order:
        """Let an order in without any rule."""
        order_id = self._new_order_id()
        _, event = self._place(request, order_id, ())
        self.record(event)
        return self._order(order_id)

    def deny(self, request: OrderRequest) -> Order:
        """Record a denial of the order."""
        order_id = self._new_order_id()
        _, event = self._place(request, order_id, ())
        fields = msgspec.structs.asdict(event)
        names = {field.name for field in msgspec.structs.fields(ev.OrderDenied)}
        self.record(ev.OrderDenied(**{name: value for name, value in fields.items() if name in names}))
        return self._order(order_id)

    def acknowledge(self, order: Order) -> Order:
        """Send an accepted order and let the broker acknowledge it."""
        self.record(
            ev.IntentRecorded(
                account_id=order.request.account_id,
                order_id=order.order_id,
                request_kind=RequestKind.PLACE,
                attempt=0,
                lease_token=1,
                wire_id=WireId(f"WIRE-{order.order_id}"),
            ),
            ev.OrderAcknowledged(account_id=order.request.account_id, order_id=order.order_id, broker_at=self.now),
        )
        return self._order(order.order_id)

    def fill(self, order: Order, quantity: Number, price: Number = 100) -> Order:
        """Fill a part of a working order, or all of it."""
        instrument = self.instruments[order.request.instrument_id]
        self._fill(order, instrument, order.request.account_id, order.request.side, Decimal(quantity), Decimal(price))
        return self._order(order.order_id)

    def cancel(self, order: Order) -> Order:
        """Ask to cancel an order; one that was never sent ends."""
        self.record(*engine.cancel(order))
        return self._order(order.order_id)

    def replace(self, order: Order, **terms: Number) -> Order:
        """Ask for new terms of an order without any rule."""
        _, events = self._replace(order, terms, ())
        self.record(*events)
        return self._order(order.order_id)

    def record(self, *events: ev.Event) -> None:
        """Append events to the ledger's log at the scene's time."""
        for event in events:
            seq = self.state.book.seq + 1
            recorded = ev.Recorded(seq=seq, event_id=EventId(a_uuid(f"event {seq}")), recorded_at=self.now, event=event)
            self.state.fold([recorded])
            self.events.append(recorded)

    # Judging ---------------------------------------------------------------------------------------------

    def judge(self, rule: Any, request: OrderRequest, memory: Any = _UNSET) -> Verdict:
        """What a rule says of a new order. memory: its state; by default folded from the scene's events."""
        intent, view = self.intent(request)
        return self._assess(rule, intent, view, memory)

    def judge_replace(self, rule: Any, order: Order, memory: Any = _UNSET, **terms: Number) -> Verdict:
        """What a rule says of new terms of an order."""
        intent, view = self.intent_of_replace(order, **terms)
        return self._assess(rule, intent, view, memory)

    def intent(self, request: OrderRequest) -> tuple[OrderIntent, LedgerView]:
        """What the engine shows to a rule for a new order."""
        seen = _Onlooker()
        self._place(request, self._new_order_id(), (seen,))
        return seen.shown()

    def intent_of_replace(self, order: Order, **terms: Number) -> tuple[OrderIntent, LedgerView]:
        """What the engine shows to a rule for new terms of an order."""
        seen = _Onlooker()
        self._replace(order, terms, (seen,))
        return seen.shown()

    def memory(self, rule: Any) -> Any:
        """The state of a rule after the scene's events; None for a rule without memory."""
        if not hasattr(rule, "initial_state"):
            return None
        state = rule.initial_state()
        for recorded in self.events:
            state, _ = rule.fold(state, recorded)
        return state

    def view(self) -> LedgerView:
        """The ledger as it is now."""
        return LedgerView(
            self.state.book, MarketView(now=self.now, quotes=dict(self.quotes)), self.instruments, self.calendars
        )

    def _assess(self, rule: Any, intent: OrderIntent, view: LedgerView, memory: Any) -> Verdict:
        verdict: Verdict = rule.assess(intent, view, self.memory(rule) if memory is _UNSET else memory)
        return verdict

    def _place(
        self, request: OrderRequest, order_id: OrderId, rules: "tuple[_Onlooker, ...]"
    ) -> tuple[Any, ev.OrderAccepted]:
        decision, event = engine.place(
            self.view(),
            request,
            order_id=order_id,
            instrument=self.instruments[request.instrument_id],
            destination=engine.Destination(BROKER_ACCOUNT_ID, ConnectionId(a_uuid("connection")), EVERYTHING),
            rules=rules,
            states={},
            send_before=self.now + timedelta(seconds=10),
        )
        assert isinstance(event, ev.OrderAccepted), f"the scene's account does not take the order: {decision}"
        return decision, event

    def _replace(
        self, order: Order, terms: dict[str, Number], rules: "tuple[_Onlooker, ...]"
    ) -> tuple[Any, tuple[ev.Event, ...]]:
        return engine.replace(
            self.view(),
            order,
            engine.NewTerms(**{name: Decimal(value) for name, value in terms.items()}),
            instrument=self.instruments[order.request.instrument_id],
            capabilities=EVERYTHING,
            rules=rules,
            states={},
            send_before=self.now + timedelta(seconds=10),
        )

    def _fill(
        self,
        order: Order | None,
        instrument: Instrument,
        account_id: AccountId,
        side: Side,
        quantity: Decimal,
        price: Decimal,
    ) -> None:
        whole = order is None or order.filled_quantity + quantity >= order.quantity
        fill = Fill(
            exec_id=ExecId(f"EXEC-{len(self.events)}"),
            order_id=order.order_id if order else None,
            account_id=account_id,
            broker_account_id=BROKER_ACCOUNT_ID,
            instrument_id=instrument.instrument_id,
            book=order.book if order else EXTERNAL_BOOK,
            side=side,
            quantity=quantity,
            price=price,
            currency=instrument.currency,
            multiplier=instrument.multiplier,
            executed_at=self.now,
            trading_date=self.now.date().isoformat(),
            risk_date=self.now.date().isoformat(),
        )
        self.record(
            ev.OrderFilled(
                account_id=account_id,
                order_id=fill.order_id,
                fill=fill,
                word=Word.FILLED_WHOLE if whole else Word.FILLED_PART,
            )
        )

    def _order(self, order_id: OrderId) -> Order:
        return self.state.book.orders[order_id]

    def _new_order_id(self) -> OrderId:
        return OrderId(a_uuid(f"order {len(self.events)}"))


class _Onlooker:
    """Takes the place of a rule and keeps what the engine shows to it."""

    key: str = "onlooker"

    def __init__(self) -> None:
        self.account_id: AccountId | None = None
        self._shown: tuple[OrderIntent, LedgerView] | None = None

    def assess(self, intent: OrderIntent, view: Any, state: Any) -> Verdict:
        self._shown = (intent, view)
        return passed(self.key)

    def shown(self) -> tuple[OrderIntent, LedgerView]:
        assert self._shown is not None, "the engine asked no rule"
        return self._shown
