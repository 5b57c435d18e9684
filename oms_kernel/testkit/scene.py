"""One ledger for trying rules: accounts, quotes, positions and orders set up by real events, judged by the real engine.

scene = Scene()
scene.hold(70)
verdict = scene.judge(MaxPosition(params), scene.order(Side.BUY, 40))
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from decimal import Decimal
from functools import reduce
from typing import Any

import msgspec

from oms_kernel import engine
from oms_kernel.contracts.broker import BrokerCapabilities, ReplaceMode
from oms_kernel.contracts.rules import Basket, OrderIntent, Trigger
from oms_kernel.domain import events as ev
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import AccountId, ConnectionId, ExecId, OrderId, StrategyId, WireId
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.domain.lifecycle import Evidence, RequestKind, Word
from oms_kernel.domain.market import MarketView
from oms_kernel.domain.money import ZERO, add, notional
from oms_kernel.domain.order import EXTERNAL_BOOK, Order, OrderRequest, OrderType, Side, TimeInForce
from oms_kernel.judging import reserve
from oms_kernel.testkit.builders import (
    ACCOUNT_ID,
    BROKER_ACCOUNT_ID,
    Number,
    a_uuid,
    an_order_request,
)
from oms_kernel.testkit.circumstances import Circumstances
from oms_kernel.view import LedgerView

EVERYTHING = BrokerCapabilities(
    order_types=frozenset(OrderType),
    time_in_force=frozenset(TimeInForce),
    asset_classes=frozenset(AssetClass),
    replace=ReplaceMode.NATIVE,
)
_UNSET = object()


class Scene(Circumstances):
    """A ledger at NOON with one account in USD and one instrument, quoted 99.99 to 100.01, and orders in it.

    What surrounds the orders (quotes, rates, facts, cash, equity, switches) is set up by the methods of Circumstances.
    """

    # Setting up ------------------------------------------------------------------------------------------

    def hold(
        self,
        quantity: Number,
        price: Number = 100,
        *,
        instrument: Instrument | None = None,
        account_id: AccountId = ACCOUNT_ID,
        strategy_id: StrategyId | None = None,
    ) -> None:
        """Trade a signed quantity elsewhere: the account holds it, in the strategy's book where one is named."""
        traded, signed = instrument or self.instrument, Decimal(quantity)
        side = Side.BUY if signed > 0 else Side.SELL
        self._fill(None, traded, account_id, side, abs(signed), Decimal(price), book=strategy_id or EXTERNAL_BOOK)

    def order(self, side: Side = Side.BUY, quantity: Number = 100, **fields: Any) -> OrderRequest:
        """A request for the scene's instrument: LIMIT when `limit_price` is given, else MARKET; nothing is recorded."""
        return an_order_request(fields.pop("instrument", self.instrument), side, quantity, **fields)

    def accept(self, request: OrderRequest, *, held: bool = False, principal: str = "") -> Order:
        """Let an order in without any rule. held: as one that waits for an approval."""
        order_id = self._new_order_id()
        _, event = self._place(request, order_id, (), principal=principal)
        self.record(msgspec.structs.replace(event, held=held, hold_until=event.send_before if held else None))
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

    def doubt(self, order: Order) -> Order:
        """Send an accepted order and hear nothing: it is in doubt whether the broker has it."""
        account_id = order.request.account_id
        self.record(
            ev.IntentRecorded(
                account_id=account_id,
                order_id=order.order_id,
                request_kind=RequestKind.PLACE,
                attempt=0,
                lease_token=1,
                wire_id=WireId(f"WIRE-{order.order_id}"),
            ),
            ev.RequestInDoubt(
                account_id=account_id, order_id=order.order_id, request_kind=RequestKind.PLACE, reason="no word in time"
            ),
        )
        return self._order(order.order_id)

    def reject(self, order: Order) -> Order:
        """Let the broker reject a working order."""
        self.record(
            ev.OrderRejected(
                account_id=order.request.account_id,
                order_id=order.order_id,
                evidence=Evidence.BROKER,
                reason_code="rejected",
                broker_at=self.now,
            )
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

    # Judging ---------------------------------------------------------------------------------------------

    def judge(
        self,
        rule: Any,
        request: OrderRequest,
        memory: Any = _UNSET,
        *,
        principal: str = "",
        basket: Basket | None = None,
    ) -> Verdict:
        """What a rule says of a new order. memory: its state; by default folded from the scene's events."""
        intent, view = self.intent(request, principal=principal, basket=basket)
        return self._assess(rule, intent, view, memory)

    def judge_replace(self, rule: Any, order: Order, memory: Any = _UNSET, **terms: Number) -> Verdict:
        """What a rule says of new terms of an order."""
        intent, view = self.intent_of_replace(order, **terms)
        return self._assess(rule, intent, view, memory)

    def intent(
        self, request: OrderRequest, *, principal: str = "", basket: Basket | None = None
    ) -> tuple[OrderIntent, LedgerView]:
        """What the engine shows to a rule for a new order. basket: what the order came in with."""
        seen = _Onlooker()
        self._place(request, self._new_order_id(), (seen,), principal=principal, basket=basket)
        return seen.shown()

    def intent_of_replace(self, order: Order, **terms: Number) -> tuple[OrderIntent, LedgerView]:
        """What the engine shows to a rule for new terms of an order."""
        seen = _Onlooker()
        self._replace(order, terms, (seen,))
        return seen.shown()

    def basket(self, *requests: OrderRequest) -> Basket:
        """What orders of one request come to together, at limit price, stop price or quote; in one currency."""
        values = []
        for request in requests:
            price = reserve(request, self.view().market).price
            multiplier = self.instruments[request.instrument_id].multiplier
            values.append(None if price is None else notional(request.quantity, price, multiplier))
        known = [value for value in values if value is not None]
        return Basket(orders=len(requests), notional=reduce(add, known, ZERO) if len(known) == len(values) else None)

    def watch(self, monitor: Any, memory: Any = _UNSET) -> tuple[Trigger, ...]:
        """What a monitor finds overstepped now. memory: its state; by default folded from the scene's events."""
        found: tuple[Trigger, ...] = monitor.watch(self.view(), self.memory(monitor) if memory is _UNSET else memory)
        return found

    def triggers(self, rule: Any) -> tuple[Trigger, ...]:
        """What a rule or monitor with memory found overstepped while it took in the scene's events, oldest first."""
        found: list[Trigger] = []
        state = rule.initial_state()
        for recorded in self.events:
            state, triggers = rule.fold(state, recorded)
            found += triggers
        return tuple(found)

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
            self.state.book,
            MarketView(now=self.now, quotes=dict(self.quotes), clock_offset=self.clock_offset),
            self.instruments,
            self.calendars,
            facts=dict(self.known_facts),
            links=dict(self.links),
        )

    def _assess(self, rule: Any, intent: OrderIntent, view: LedgerView, memory: Any) -> Verdict:
        verdict: Verdict = rule.assess(intent, view, self.memory(rule) if memory is _UNSET else memory)
        return verdict

    def _place(
        self,
        request: OrderRequest,
        order_id: OrderId,
        rules: "Sequence[_Onlooker]",
        *,
        principal: str = "",
        basket: Basket | None = None,
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
            principal=principal,
            basket=basket,
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
        *,
        book: str = EXTERNAL_BOOK,
    ) -> None:
        whole = order is None or order.filled_quantity + quantity >= order.quantity
        fill = Fill(
            exec_id=ExecId(f"EXEC-{len(self.events)}"),
            order_id=order.order_id if order else None,
            account_id=account_id,
            broker_account_id=BROKER_ACCOUNT_ID,
            instrument_id=instrument.instrument_id,
            book=order.book if order else book,
            side=side,
            quantity=quantity,
            price=price,
            currency=instrument.currency,
            multiplier=instrument.multiplier,
            executed_at=self.now,
            trading_date=self.now.date().isoformat(),
            risk_date=self.view().risk_date(account_id),
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
        self._shown: tuple[OrderIntent, LedgerView] | None = None

    def covers(self, request: OrderRequest, now: datetime) -> bool:
        return True

    def tampered(self) -> Verdict:
        raise AssertionError("an onlooker changes nothing")

    def assess(self, intent: OrderIntent, view: Any, state: Any) -> Verdict:
        self._shown = (intent, view)
        return passed(self.key)

    def shown(self) -> tuple[OrderIntent, LedgerView]:
        assert self._shown is not None, "the engine asked no rule"
        return self._shown
