"""A ledger in memory for tests: requests and broker reports in, committed events out, by the kernel's own functions."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

from oms_kernel import engine, settlement
from oms_kernel.batch import Batch, LedgerState
from oms_kernel.contracts import broker as br
from oms_kernel.contracts.rules import OrderIntent
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.book import Book
from oms_kernel.domain.calendar import ALWAYS_OPEN
from oms_kernel.domain.decision import Decision, Verdict, passed
from oms_kernel.domain.ids import BrokerOrderId, ConnectionId, ExecId, InstrumentId, OrderId, WireId, wire_id
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.market import MarketView, Quote
from oms_kernel.domain.order import Order, OrderRequest, OrderType, Side, TimeInForce
from oms_kernel.testkit.builders import (
    ACCOUNT_ID,
    BROKER_ACCOUNT_ID,
    NOON,
    Number,
    a_quote,
    a_uuid,
    an_instrument,
    an_order_request,
)
from oms_kernel.view import LedgerView

ACME, BETA = an_instrument("ACME"), an_instrument("BETA", lot_size=Decimal("0.001"))
INSTRUMENTS = {instrument.instrument_id: instrument for instrument in (ACME, BETA)}
CONNECTION = ConnectionId("connection")
EVERYTHING = br.BrokerCapabilities(
    order_types=frozenset(OrderType), time_in_force=frozenset(TimeInForce), asset_classes=frozenset(AssetClass)
)
OWNER = settlement.BrokerAccountOwner(broker_account_id=BROKER_ACCOUNT_ID, account_id=ACCOUNT_ID)
OPENING_CASH = Decimal("1000000")


class NoMemory:
    """Rules without memory remember nothing."""

    def get(self, key: str, /) -> Any:
        return None


@dataclass
class Ruling:
    """A rule that answers every order with the same verdict and keeps what it was asked."""

    verdict: Verdict = field(default_factory=lambda: passed("ruling"))
    account_id: Any = None
    """The account it is for; None: every account."""
    key: str = "ruling"
    asked: list[tuple[OrderIntent, Any]] = field(default_factory=list)

    def covers(self, request: OrderRequest, now: datetime) -> bool:
        return self.account_id is None or self.account_id == request.account_id

    def assess(self, intent: OrderIntent, view: Any, state: Any) -> Verdict:
        self.asked.append((intent, view.exposure(intent.request.account_id, intent.request.instrument_id)))
        return self.verdict


class Ledger:
    """One account at one broker; every act is a batch of its own, committed at once."""

    def __init__(self, *, rules: Sequence[Ruling] = (), capabilities: br.BrokerCapabilities = EVERYTHING) -> None:
        self.state = LedgerState()
        self.rules = list(rules)
        self.capabilities = capabilities
        self.now = NOON
        self.quotes: dict[InstrumentId, Quote] = {ACME.instrument_id: a_quote(ACME), BETA.instrument_id: a_quote(BETA)}
        self.instruments: Mapping[InstrumentId, Instrument] = INSTRUMENTS
        self.log: list[ev.Recorded] = []
        self._ids = 0
        self.commit(
            ev.AccountOpened(account_id=ACCOUNT_ID, base_currency="USD"),
            ev.CashChanged(account_id=ACCOUNT_ID, currency="USD", amount=OPENING_CASH, reason_code="opening"),
        )

    @property
    def book(self) -> Book:
        return self.state.book

    def batch(self) -> Batch:
        return Batch(self.state, now=self.now, new_id=self._new_id)

    def adopt(self, batch: Batch) -> None:
        self.state.adopt(batch)
        self.log.extend(batch.events)

    def commit(self, *events: ev.Event) -> tuple[ev.Event, ...]:
        batch = self.batch()
        batch.record(*events)
        self.adopt(batch)
        return events

    def view(self, book: Book | None = None) -> LedgerView:
        market = MarketView(now=self.now, quotes=self.quotes)
        return LedgerView(book or self.book, market, self.instruments, {ALWAYS_OPEN.name: ALWAYS_OPEN})

    # Deciding ---------------------------------------------------------------------------------------------

    def decide(
        self, side: Side = Side.BUY, quantity: Number = 100, *, batch: Batch | None = None, **fields: Any
    ) -> tuple[Decision, ev.OrderAccepted | ev.OrderDenied]:
        instrument = fields.pop("instrument", ACME)
        send_before = fields.pop("send_before", self.now + timedelta(seconds=10))
        return engine.place(
            self.view(batch.book if batch else None),
            an_order_request(instrument, side, quantity, **fields),
            order_id=OrderId(self._new_id()),
            instrument=instrument,
            destination=engine.Destination(BROKER_ACCOUNT_ID, CONNECTION, self.capabilities),
            rules=self.rules,
            states=NoMemory(),
            send_before=send_before,
        )

    def place(self, side: Side = Side.BUY, quantity: Number = 100, **fields: Any) -> Order:
        """A new order as it stands in the book, accepted or denied."""
        decision, event = self.decide(side, quantity, **fields)
        self.commit(event)
        return self.order(decision.order_id)

    def replace(self, order_id: OrderId, **terms: Any) -> Decision:
        order = self.order(order_id)
        decision, events = engine.replace(
            self.view(),
            order,
            engine.NewTerms(**{name: Decimal(value) for name, value in terms.items()}),
            instrument=self.instruments[order.request.instrument_id],
            capabilities=self.capabilities,
            rules=self.rules,
            states=NoMemory(),
            send_before=self.now + timedelta(seconds=10),
        )
        self.commit(*events)
        return decision

    def cancel(self, order_id: OrderId) -> tuple[ev.Event, ...]:
        return self.commit(*engine.cancel(self.order(order_id)))

    def send(self, order_id: OrderId, kind: RequestKind = RequestKind.PLACE) -> WireId | None:
        """Pass the gate and record the intent; None when the gate ended the request."""
        order = self.order(order_id)
        attempt = engine.next_attempt(order, kind)
        ended = engine.gate_intent(self.view(), order, kind)
        if ended is not None:
            self.commit(ended)
            return None
        name = wire_id(order_id, attempt, 28)
        self.commit(engine.intent(order, kind, name, {}, 1))
        return name

    def doubt(self, order_id: OrderId, kind: RequestKind = RequestKind.PLACE) -> tuple[ev.Event, ...]:
        return self.commit(*settlement.doubt(self.order(order_id), kind, "no word"))

    def refuse(self, order_id: OrderId, kind: RequestKind = RequestKind.PLACE) -> tuple[ev.Event, ...]:
        return self.commit(*settlement.refuse(self.order(order_id), kind, "no", self.now))

    def not_shown(self, order_id: OrderId) -> tuple[ev.Event, ...]:
        return self.commit(*settlement.not_at_broker(self.order(order_id), self.now))

    # Hearing ----------------------------------------------------------------------------------------------

    def hear(self, report: br.AnyReport) -> tuple[ev.Event, ...]:
        return self.commit(*settlement.apply_report(self.view(), self.book, OWNER, report))

    def report(self, cls: type[Any], order_id: OrderId | None = None, **fields: Any) -> Any:
        """A report, named by the order's first wire id unless told otherwise."""
        wires = self.order(order_id).wire_ids if order_id is not None else ()
        named = {"wire_id": wires[0]} if wires else {}
        return cls(**{"broker_account_id": BROKER_ACCOUNT_ID, "broker_at": self.now, **named, **fields})

    def acknowledge(self, order_id: OrderId, broker_order_id: str = "B1") -> tuple[ev.Event, ...]:
        return self.hear(self.report(br.Acknowledged, order_id, broker_order_id=BrokerOrderId(broker_order_id)))

    def execution(
        self, order_id: OrderId | None, quantity: Number, price: Number = 100, exec_id: str = "E1", **fields: Any
    ) -> br.Filled:
        request = self.order(order_id).request if order_id is not None else None
        about = {
            "instrument_id": request.instrument_id if request else ACME.instrument_id,
            "side": request.side if request else Side.BUY,
            "exec_id": ExecId(exec_id),
            "quantity": Decimal(quantity),
            "price": Decimal(price),
            "fee": Decimal(0),
        }
        made: br.Filled = self.report(br.Filled, order_id, **{**about, **fields})
        return made

    def fill(
        self, order_id: OrderId | None, quantity: Number, price: Number = 100, exec_id: str = "E1", **fields: Any
    ) -> tuple[ev.Event, ...]:
        return self.hear(self.execution(order_id, quantity, price, exec_id, **fields))

    def end(self, cls: type[Any], order_id: OrderId, reason: str = "why") -> tuple[ev.Event, ...]:
        return self.hear(self.report(cls, order_id, reason=reason))

    # Short ways -------------------------------------------------------------------------------------------

    def working(self, side: Side = Side.BUY, quantity: Number = 100, **fields: Any) -> OrderId:
        """An order that the broker acknowledged."""
        order_id = self.sent(side, quantity, **fields)
        self.acknowledge(order_id, f"B-{order_id}")
        return order_id

    def sent(self, side: Side = Side.BUY, quantity: Number = 100, **fields: Any) -> OrderId:
        """An order that is on the wire, without a word from the broker yet."""
        order_id = self.place(side, quantity, **fields).order_id
        assert self.send(order_id) is not None
        return order_id

    def replacing(self, quantity: Number = 150) -> OrderId:
        """A working order of 100 with a replace of its total on the wire."""
        order_id = self.working(quantity=100)
        self.replace(order_id, quantity=quantity)
        assert self.send(order_id, RequestKind.REPLACE) is not None
        return order_id

    def hold(self, quantity: Number, price: Number = 100) -> None:
        """Start with a position: positive bought, negative sold."""
        signed = Decimal(quantity)
        order_id = self.working(Side.BUY if signed > 0 else Side.SELL, signed.copy_abs())
        self.fill(order_id, signed.copy_abs(), price, f"held-{order_id}")

    def set_state(self, state: TradingState) -> None:
        self.commit(ev.TradingStateChanged(account_id=ACCOUNT_ID, trading_state=state, reason_code="test"))

    def later(self, **passed_time: float) -> datetime:
        self.now += timedelta(**passed_time)
        return self.now

    def order(self, order_id: OrderId) -> Order:
        return self.book.orders[order_id]

    def held(self) -> Decimal:
        return self.view().held(ACCOUNT_ID, ACME.instrument_id)

    def open_quantity(self, side: Side = Side.BUY) -> Decimal:
        found = self.book.open_quantity.get((ACCOUNT_ID, ACME.instrument_id, side))
        return found.quantity if found else Decimal(0)

    def alerts(self) -> list[ev.AlertRaised]:
        return [recorded.event for recorded in self.log if isinstance(recorded.event, ev.AlertRaised)]

    def trading_state(self) -> TradingState:
        return self.book.accounts[ACCOUNT_ID].trading_state

    def _new_id(self) -> str:
        self._ids += 1
        return a_uuid(f"test {self._ids}")
