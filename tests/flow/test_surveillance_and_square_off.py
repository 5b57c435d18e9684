"""What the installed compliance plugins find is a case, or closes a position, in the ledger it was found in."""

from datetime import UTC, datetime, time
from decimal import Decimal
from typing import Any

import msgspec

from oms_app.flow import booking, submission
from oms_app.flow.rulebook import make_monitors, make_rules
from oms_app.flow.watching import LedgerWatch
from oms_app.store.unit_of_work import LedgerConfig, LimitRow
from oms_kernel.batch import RememberingRule
from oms_kernel.contracts import broker as br
from oms_kernel.domain import events as ev
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.controls import Action, Category
from oms_kernel.domain.ids import ExecId, wire_id
from oms_kernel.domain.order import Product, Side
from oms_kernel.domain.scope import Scope
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID, a_quote
from tests.flow.every_rule import plugins
from tests.flow.trading import CAPABILITIES, CONNECTION, LEDGER, TENANT, Trading

INDIA = Calendar(name="india", time_zone="Asia/Kolkata", opens_at=time(9, 15), closes_at=time(15, 30))


class Compliant(Trading):
    """A tenant that trades an Indian share under limits of the installed plugins."""

    def __init__(self, *rows: LimitRow) -> None:
        super().__init__()
        self.now = datetime(2026, 3, 3, 9, 0, tzinfo=UTC)  # 14:30 in India
        self.store.put_calendar(INDIA)
        self.store.put_instrument(msgspec.structs.replace(self.instrument, calendar=INDIA.name))
        self.store.put_quote(a_quote(self.instrument, at=self.now))
        for row in rows:
            self.store.put_limit(TENANT, row)

    def _make_rules(self, config: LedgerConfig) -> list[RememberingRule]:
        host, registries = plugins()
        return list(make_rules(registries, host.guard, config))

    def _make_monitors(self, config: LedgerConfig) -> Any:
        host, registries = plugins()
        return list(make_monitors(registries, host.guard, config))

    def trade(self, side: Side, quantity: int, **fields: Any) -> None:
        """Place, send and fill an order."""
        order = self.place(side, quantity, limit_price="100", **fields)

        def prepare(command: br.Command) -> br.WireIdentity:
            return br.WireIdentity(wire_id(command.order_id, command.attempt, 28))

        (intent,) = self.in_turn(lambda turn: submission.next_intents(turn, CONNECTION, 1, CAPABILITIES, prepare))
        filled = br.Filled(
            broker_account_id=BROKER_ACCOUNT_ID,
            broker_at=self.now,
            wire_id=intent.identity.wire_id,
            exec_id=ExecId(f"E-{order.order_id}"),
            instrument_id=self.instrument.instrument_id,
            side=side,
            quantity=Decimal(quantity),
            price=Decimal(100),
            fee=Decimal(0),
        )
        self.in_turn(lambda turn: booking.book(turn, CONNECTION, [filled]))

    def watch(self) -> None:
        """Ask the monitors once."""
        LedgerWatch(self.desk, plugins()[1], TENANT, LEDGER).look()

    def events(self, kind: type[ev.Event]) -> list[Any]:
        recorded = self.in_turn(lambda turn: turn.unit.tail(0))
        return [one.event for one in recorded if isinstance(one.event, kind)]


def row(rule: str, **fields: Any) -> LimitRow:
    return LimitRow(limit_id=f"limit-{rule}", rule=rule, params=fields.pop("params", {}), version=1, **fields)


def test_at_the_cut_off_an_intraday_position_is_closed_and_a_delivered_one_is_left() -> None:
    desk = Compliant(row("mis_square_off_monitor"), row("mis_square_off"))
    desk.trade(Side.BUY, 10, product=Product.MIS)
    desk.watch()
    assert desk.events(ev.LiquidationStarted) == []
    desk.now = datetime(2026, 3, 3, 9, 50, tzinfo=UTC)
    desk.store.put_quote(a_quote(desk.instrument, at=desk.now))
    desk.watch()
    desk.watch()
    (started,) = desk.events(ev.LiquidationStarted)
    assert started.scope == Scope(account_id=ACCOUNT_ID, instrument_id=desk.instrument.instrument_id)
    (breached,) = desk.events(ev.LimitBreached)
    assert (breached.action, breached.code) == (Action.FLATTEN, "square_off")

    delivered = Compliant(row("mis_square_off_monitor"))
    delivered.trade(Side.BUY, 10, product=Product.CNC)
    delivered.now = datetime(2026, 3, 3, 9, 50, tzinfo=UTC)
    delivered.watch()
    assert delivered.events(ev.LimitBreached) == []


def test_a_round_trip_opens_a_case_for_surveillance_with_the_execution_that_completes_it() -> None:
    desk = Compliant(row("wash_trade_pattern"))
    desk.trade(Side.BUY, 10)
    assert desk.events(ev.LimitBreached) == []
    desk.trade(Side.SELL, 10)
    desk.trade(Side.BUY, 10)
    (breached,) = desk.events(ev.LimitBreached)
    assert (breached.category, breached.action, breached.rule) == (
        Category.SURVEILLANCE,
        Action.ALERT,
        "wash_trade_pattern",
    )
    assert desk.events(ev.KillSwitchActivated) == []


def test_a_hasty_cancel_opens_a_case_and_is_let_through() -> None:
    desk = Compliant(row("min_resting_time"))
    order = desk.place(Side.BUY, 10, limit_price="99")

    def prepare(command: br.Command) -> br.WireIdentity:
        return br.WireIdentity(wire_id(command.order_id, command.attempt, 28))

    desk.in_turn(lambda turn: submission.next_intents(turn, CONNECTION, 1, CAPABILITIES, prepare))
    desk.record(ev.OrderAcknowledged(account_id=ACCOUNT_ID, order_id=order.order_id, broker_at=desk.now))
    desk.wait(milliseconds=100)
    assert not desk.amendment.cancel(desk.principal, order.order_id).repeated
    (breached,) = desk.events(ev.LimitBreached)
    assert (breached.category, breached.observed, breached.limit) == (Category.SURVEILLANCE, 100, 500)
