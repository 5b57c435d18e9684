"""A limit for every rule that is installed, and a tenant that trades under all of them, driven by a seed.

A rule that is added later has its limit here too: by the table, or by values that its Params take.
"""

import random
import typing
from collections.abc import Iterator, Sequence
from datetime import date, time, timedelta
from decimal import Decimal
from enum import StrEnum
from functools import cache
from typing import Any

import msgspec

from oms_app.flow import booking, submission
from oms_app.flow.costs import unknown_cost
from oms_app.flow.desk import Turn
from oms_app.flow.errors import FlowError
from oms_app.flow.pretrade import OrderDraft
from oms_app.flow.preview import Previews
from oms_app.flow.rulebook import make_rules
from oms_app.store.unit_of_work import LedgerConfig, LimitRow
from oms_kernel.batch import RememberingRule
from oms_kernel.contracts import broker as br
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain import events as ev
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.ids import ClientOrderId, ExecId, StrategyId, wire_id
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.order import Order, OrderType, Product, Side, TimeInForce
from oms_kernel.domain.scope import Scope
from oms_kernel.engine import NewTerms
from oms_kernel.host import PluginHost
from oms_kernel.registry import Registries
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID, a_quote, a_uuid, an_instrument
from tests.flow.trading import CAPABILITIES, CONNECTION, LEDGER, TENANT, Trading

LOOSE: dict[str, dict[str, Any]] = {
    "max_order_quantity": {"max_quantity": "800"},
    "max_order_notional": {"max_notional": "90000"},
    "max_position": {"max_quantity": "5000"},
    "price_collar": {"max_deviation_percent": "20"},
    "message_rate": {"per_second": 40, "per_minute": 600},
    "duplicate_order": {"window_s": 1},
    "basket_notional": {"max_notional": "200000"},
    "concentration": {"max_percent": "80", "of": "EQUITY"},
    "gross_exposure": {"max_exposure": "900000"},
    "net_exposure": {"max_exposure": "800000"},
    "fat_finger_confirm": {"max_unconfirmed_notional": "85000"},
    "max_daily_loss": {"max_loss": "400000"},
    "max_drawdown": {"max_drawdown_percent": "60"},
    "min_order_notional": {"min_notional": "20"},
    "open_order_value": {"max_value": "800000"},
    "allowed_instruments": {"asset_classes": ["EQUITY", "FOREX"]},
    "order_to_trade_ratio": {"block_ratio": "400"},
    "restricted_list": {"restrictions": []},
    "reject_storm": {"max_rejects": 1000000},
    "collar_over_time": {"max_move_percent": "60"},
}
"""Parameters under which most orders of the seeded day pass; every other rule has what its Params take first."""
TIGHT: dict[str, dict[str, Any]] = {
    "max_order_quantity": {"max_quantity": "200"},
    "max_order_notional": {"max_notional": "20000"},
    "max_position": {"max_quantity": "600"},
    "price_collar": {"max_deviation_percent": "3"},
    "message_rate": {"per_second": 3, "per_minute": 60},
    "duplicate_order": {"window_s": 20},
    "gross_exposure": {"max_exposure": "120000"},
    "open_order_count": {"max_orders": 12},
    "open_order_value": {"max_value": "90000"},
}
"""The same rules where many orders do not pass."""
UNFIT = frozenset(
    {"access_control", "adv_participation", "broker_link_guard", "clock_guard", "controlled_rollout", "cooldown",
     "halt_status", "self_trade_prevention", "short_sale"}
)  # fmt: skip
"""Rules that need to be told what the seeded day does not tell, or would deny most of it: tried as shadows only."""
STRATEGIES = (None, None, StrategyId(a_uuid("strategy one")), StrategyId(a_uuid("strategy two")))
EURO = an_instrument("EURO", currency="EUR")
BETA = an_instrument("BETA")
DARK = an_instrument("DARK")
RATE = an_instrument("EURUSD", asset_class=AssetClass.FOREX)
PRICES = {"ACME": Decimal(100), "BETA": Decimal(40), "EURO": Decimal(60), "EURUSD": Decimal("1.10")}


@cache
def plugins() -> tuple[PluginHost, Registries]:
    """(host, registries) of everything that is installed."""
    host = PluginHost()
    return host, host.load()


def every_rule() -> dict[str, Any]:
    """Every rule and check that is installed, by name."""
    registries = plugins()[1]
    return {
        name: registered.contributed
        for registry in (registries.compliance_checks, registries.risk_rules)
        for name, registered in registry.items()
    }


def some_params(contributed: Any) -> dict[str, Any]:
    """Values that the rule's Params take: none, what is required, or one more. Fails the test when none are found."""
    fields = msgspec.structs.fields(contributed.Params)
    hints = typing.get_type_hints(contributed.Params)
    required = {field.encode_name: _value(hints[field.name]) for field in fields if field.required}
    optional = [{field.encode_name: _value(hints[field.name])} for field in fields if not field.required]
    lists = {field.encode_name: _value(hints[field.name], filled=True) for field in fields if field.required}
    for extra in ({}, *optional, lists):
        try:
            parse_params(contributed, {**required, **extra})
        except (InvalidRequest, TypeError, ValueError):
            continue
        return {**required, **extra}
    raise AssertionError(f"give rule {contributed.name} parameters in LOOSE: none of its own were found")


def _value(hint: Any, *, filled: bool = False) -> Any:
    """A plain value of the type: a round number, the first word, nothing in a list unless it is to be filled."""
    arguments = [one for one in typing.get_args(hint) if one is not type(None)]
    origin = typing.get_origin(hint)
    if origin in (list, tuple):
        return [_value(arguments[0], filled=filled)] if filled else []
    if origin is dict:
        return {}
    if origin is typing.Annotated or arguments:
        return _value(arguments[0], filled=filled)
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        hints = typing.get_type_hints(hint)
        fields = msgspec.structs.fields(hint)
        return {one.encode_name: _value(hints[one.name], filled=True) for one in fields if one.required}
    if isinstance(hint, type) and issubclass(hint, StrEnum):
        return next(iter(hint)).value
    return {Decimal: "1000", int: 100, bool: False, str: "x", date: "2020-01-01", time: "15:20:00"}.get(hint, "1000")


def limits(*, loose: bool = True, soft: bool = True, shadows: bool = True) -> list[LimitRow]:
    """loose: a hard limit of every rule. soft: some that hold. shadows: tight ones that only look."""
    rows: list[LimitRow] = []
    for name, contributed in sorted(every_rule().items()):
        params = LOOSE.get(name) or some_params(contributed)
        if loose and name not in UNFIT:
            rows.append(_row(f"hard {name}", name, params))
        if shadows:
            rows.append(_row(f"shadow {name}", name, TIGHT.get(name, params), severity=RuleSeverity.SHADOW))
    if soft:
        rows.append(_row("soft 1", "max_order_quantity", {"max_quantity": "250"}, severity=RuleSeverity.SOFT))
        rows.append(
            _row(
                "soft 2",
                "max_order_notional",
                {"max_notional": "12000"},
                severity=RuleSeverity.SOFT,
                scope=Scope(strategy_id=STRATEGIES[2]),
            )
        )
        rows.append(
            _row("narrow", "max_order_quantity", {"max_quantity": "250"}, scope=Scope(instrument_id=BETA.instrument_id))
        )
    return rows


def _row(name: str, rule: str, params: dict[str, Any], **fields: Any) -> LimitRow:
    return LimitRow(limit_id=a_uuid(f"limit {name}"), rule=rule, params=params, version=1, **fields)


class Ruled(Trading):
    """A tenant that trades four instruments under these limits; every process of it judges by the installed rules."""

    def __init__(self, rows: Sequence[LimitRow]) -> None:
        super().__init__()
        for instrument in (BETA, EURO, DARK, RATE):
            self.store.put_instrument(instrument)
        for symbol, price in PRICES.items():
            self.quote(symbol, price)
        for row in rows:
            self.store.put_limit(TENANT, row)
        self.record(
            ev.EquityMarked(
                account_id=ACCOUNT_ID,
                risk_date=self.now.date().isoformat(),
                day_start=Decimal(1_000_000),
                high_water=Decimal(1_000_000),
                equity=Decimal(1_000_000),
            )
        )
        self.previews = Previews(
            self.desk,
            self.intake._lanes,
            self.intake._directory,
            lambda tenant_id, route, instrument, request, price: unknown_cost(instrument, "a broker of the tests"),
        )

    def _make_rules(self, config: LedgerConfig) -> list[RememberingRule]:
        host, registries = plugins()
        return list(make_rules(registries, host.guard, config))

    def quote(self, symbol: str, price: Decimal) -> None:
        """Quote an instrument in this process and its store alike, fresh for the whole day."""
        known = self.store.instrument_catalogue()
        instrument = known.instruments[known.by_symbol[symbol][0]]
        spread = max(instrument.tick_size, (price * Decimal("0.0002")).quantize(instrument.tick_size))
        quote = a_quote(instrument, price - spread, price + spread, at=self.now + timedelta(days=1))
        self.store.put_quote(quote)
        self.desk.quotes.put([quote])


class Day:
    """One seeded day: what is asked next, and what happens in between. The same seed asks for the same."""

    def __init__(self, trading: Ruled, seed: int) -> None:
        self.trading = trading
        self.random = random.Random(seed)
        self._executions = 0

    def drafts(self, count: int) -> Iterator[OrderDraft]:
        """So many orders, with something happening after most of them."""
        for number in range(count):
            yield self.draft(number)
            self.happen()

    def draft(self, number: int) -> OrderDraft:
        """Any order that a caller could send, good, strange or bad."""
        pick = self.random
        symbol = pick.choices(("ACME", "BETA", "EURO", "DARK", "EURUSD", "NONE"), (50, 25, 12, 6, 5, 2))[0]
        side = pick.choice((Side.BUY, Side.SELL))
        order_type = pick.choices((OrderType.LIMIT, OrderType.MARKET, OrderType.STOP), (70, 22, 8))[0]
        around = PRICES.get(symbol, Decimal(100)) * (1 + Decimal(pick.randint(-80, 80)) / 1000)
        price = around.quantize(Decimal("0.01"))
        strategy_id = pick.choice(STRATEGIES)
        return OrderDraft(
            account_id=ACCOUNT_ID,
            symbol=symbol,
            side=side,
            quantity=Decimal(
                pick.choices(("1", "10", "100", "300", "450", "900", "0.5"), (20, 30, 25, 10, 8, 4, 3))[0]
            ),
            order_type=order_type,
            limit_price=price if order_type is OrderType.LIMIT else None,
            stop_price=price if order_type is OrderType.STOP else None,
            time_in_force=pick.choice((TimeInForce.DAY, TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC)),
            client_order_id=ClientOrderId(f"c{pick.randint(0, 40)}") if number % 9 == 0 else None,
            strategy_id=strategy_id,
            algo_version="1.0" if strategy_id is not None else None,
            product=pick.choice((None, None, None, None, Product.NRML)),
            reduce_only=pick.random() < 0.06,
            allow_duplicate=pick.random() < 0.5,
            tags={"n": str(number)} if number % 11 == 0 else None,
        )

    def terms(self, order: Order) -> NewTerms:
        """New terms of an order, up or down."""
        quantity = max(Decimal(1), order.quantity + self.random.choice((-100, -10, 5, 50, 200, 600)))
        price = order.limit_price
        moved = None if price is None else price + self.random.choice((Decimal(0), Decimal("0.05"), Decimal("-4")))
        return NewTerms(quantity=quantity, limit_price=moved if moved is None or moved > 0 else None)

    def active(self) -> list[Order]:
        """The orders that may still trade, in their order."""
        active: list[Order] = self.trading.in_turn(lambda turn: list(turn.batch.book.open_order_list()))
        return active

    def happen(self) -> None:
        """Time passes; the broker takes, fills and ends orders; people cancel; quotes move."""
        chance = self.random.random()
        self.trading.wait(milliseconds=self.random.randint(1, 1500))
        if chance < 0.25:
            self._send_and_fill()
        elif chance < 0.45:
            self._cancel_one()
        elif chance < 0.55:
            symbol = self.random.choice(tuple(PRICES))
            step = Decimal(self.random.randint(-20, 20)) / 1000
            self.trading.quote(symbol, (PRICES[symbol] * (1 + step)).quantize(Decimal("0.01")))
        elif chance < 0.62:
            self._release()
        elif chance < 0.64:
            self.trading.amendment.cancel_all(self.trading.principal)

    def _release(self) -> None:
        """A person closes what was overstepped and lets trade again."""

        def work(turn: Turn) -> None:
            book = turn.batch.book
            for breach in [one for one in book.breaches.values() if one.is_open]:
                turn.batch.record(
                    ev.BreachClosed(account_id=ACCOUNT_ID, breach_id=breach.breach_id, principal="user:officer")
                )
            for switch in list(book.switches()):
                turn.batch.record(
                    ev.KillSwitchReleased(account_id=ACCOUNT_ID, switch_id=switch.switch_id, principal="user:officer")
                )

        self.trading.in_turn(work)

    def _cancel_one(self) -> None:
        active = self.active()
        if active:
            try:
                self.trading.amendment.cancel(self.trading.principal, self.random.choice(active).order_id)
            except (FlowError, KernelError):
                return

    def _send_and_fill(self) -> None:
        def prepare(command: br.Command) -> br.WireIdentity:
            return br.WireIdentity(wire_id(command.order_id, command.attempt, 28))

        sent = self.trading.in_turn(lambda turn: submission.next_intents(turn, CONNECTION, 1, CAPABILITIES, prepare))
        for intent in sent:
            command = intent.command
            named: dict[str, Any] = {"broker_account_id": BROKER_ACCOUNT_ID, "broker_at": self.trading.now}
            if command.kind is not RequestKind.PLACE:
                self._hear(_answer(intent, named))
                continue
            if self.random.random() < 0.3:
                self._hear(br.Acknowledged(wire_id=intent.identity.wire_id, **named))
                continue
            self._executions += 1
            filled = br.Filled(
                broker_account_id=BROKER_ACCOUNT_ID,
                broker_at=self.trading.now,
                wire_id=intent.identity.wire_id,
                exec_id=ExecId(f"E{self._executions}"),
                instrument_id=intent.command.instrument.instrument_id,
                side=intent.command.side,
                quantity=intent.command.quantity,
                price=intent.command.limit_price or PRICES.get(intent.command.instrument.symbol, Decimal(100)),
                fee=Decimal("0.10"),
            )
            self._hear(filled)

    def _hear(self, report: br.AnyReport) -> None:
        self.trading.in_turn(lambda turn: booking.book(turn, CONNECTION, [report]))


def _answer(intent: br.Intent, named: dict[str, Any]) -> br.AnyReport:
    """The broker does what a cancel or change asks."""
    command = intent.command
    if command.kind is RequestKind.CANCEL:
        return br.Canceled(wire_id=command.wire_id, **named)
    terms = {"limit_price": command.limit_price, "stop_price": command.stop_price, **named}
    return br.Replaced(wire_id=intent.identity.wire_id, quantity=command.quantity, **terms)


__all__ = ["LEDGER", "TENANT", "Day", "Ruled", "every_rule", "limits", "plugins"]
