"""The monitors of the risk rules at work: limits as rows, fills booked, marks that move, and what the action stops."""

from collections.abc import Sequence
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from oms_app.flow import booking, submission
from oms_app.flow.rulebook import make_monitors, make_rules
from oms_app.flow.watching import LedgerWatch
from oms_app.store.unit_of_work import LedgerConfig, LimitRow
from oms_kernel.batch import RememberingRule
from oms_kernel.contracts import broker as br
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.controls import Action
from oms_kernel.domain.ids import ExecId, wire_id
from oms_kernel.domain.order import Order, Side
from oms_kernel.domain.scope import Scope
from oms_kernel.guard import GuardedRule
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID, a_quote
from tests.flow.every_rule import plugins
from tests.flow.trading import CAPABILITIES, CONNECTION, LEDGER, TENANT, Trading

LOSS = LimitRow(limit_id="loss", rule="daily_loss_monitor", params={"max_loss": "1000"}, version=1)
STOP = LimitRow(limit_id="stop", rule="max_daily_loss", params={"max_loss": "1000"}, version=1)
SIZE = LimitRow(limit_id="size", rule="position_monitor", params={"max_quantity": "100"}, version=1)


class Floor(Trading):
    """A tenant with 1,000,000 that trades under these limits, and is watched."""

    def __init__(self, *rows: LimitRow) -> None:
        super().__init__()
        for row in rows:
            self.store.put_limit(TENANT, row)
        self.executions = 0
        self.watch = LedgerWatch(self.desk, plugins()[1], TENANT, LEDGER)

    def _make_rules(self, config: LedgerConfig) -> list[RememberingRule]:
        host, registries = plugins()
        return list(make_rules(registries, host.guard, config))

    def _make_monitors(self, config: LedgerConfig) -> list[GuardedRule]:
        host, registries = plugins()
        return list(make_monitors(registries, host.guard, config))

    def quote(self, price: int | str) -> None:
        self.store.put_quote(a_quote(self.instrument, price, price, at=self.now + timedelta(days=1)))
        self.desk.quotes._read_at = float("-inf")

    def trade(self, side: Side, quantity: int, price: int) -> Order:
        """Place an order, send it, and let the broker fill all of it."""
        order = self.place(side, quantity, limit_price=price)

        def prepare(command: br.Command) -> br.WireIdentity:
            return br.WireIdentity(wire_id(command.order_id, command.attempt, 28))

        sent = self.in_turn(lambda turn: submission.next_intents(turn, CONNECTION, 1, CAPABILITIES, prepare))
        self.executions += 1
        for intent in sent:
            filled = br.Filled(
                broker_account_id=BROKER_ACCOUNT_ID,
                broker_at=self.now,
                wire_id=intent.identity.wire_id,
                exec_id=ExecId(f"E{self.executions}"),
                instrument_id=self.instrument.instrument_id,
                side=side,
                quantity=Decimal(quantity),
                price=Decimal(price),
            )
            self.in_turn(lambda turn, told=filled: booking.book(turn, CONNECTION, [told]))
        return self.order(order.order_id)

    def events(self, kind: type[ev.Event]) -> list[Any]:
        stored: Sequence[ev.Recorded] = self.store.events(TENANT, LEDGER, 0, 10_000)
        return [recorded.event for recorded in stored if isinstance(recorded.event, kind)]

    def denied_by(self, side: Side, quantity: int) -> set[str]:
        """The rules that deny an order; none for one that is accepted."""
        (item,) = self.submit(self.draft(side, quantity, limit_price=100, allow_duplicate=True)).items
        assert item.decision is not None, item.error
        return {verdict.rule for verdict in item.decision.denials}


@pytest.fixture
def losing() -> Floor:
    """1,000 units bought at 100 and marked, after which they lose 5 each."""
    floor = Floor(LOSS, STOP)
    floor.quote(100)
    assert floor.watch.look().marks == 1
    floor.trade(Side.BUY, 1_000, 100)
    assert floor.watch.look().breaches == 0
    floor.quote(95)
    return floor


def test_a_days_loss_is_told_once_and_leaves_the_account_to_reduce(losing: Floor) -> None:
    assert losing.watch.look().breaches == 1
    assert losing.watch.look().breaches == 0
    (breach,) = losing.events(ev.LimitBreached)
    assert (breach.observed, breach.limit, breach.unit, breach.action) == (5_000, 1_000, "USD", Action.REDUCE_ONLY)
    (switch,) = losing.events(ev.KillSwitchActivated)
    assert (switch.scope, switch.trading_state) == (Scope(account_id=ACCOUNT_ID), TradingState.REDUCE_ONLY)
    assert losing.denied_by(Side.BUY, 1) == {"trading_state", "max_daily_loss"}
    assert losing.denied_by(Side.SELL, 1_000) == set()


def test_it_stays_stopped_when_the_price_recovers_and_after_a_restart(losing: Floor) -> None:
    losing.watch.look()
    losing.quote(120)
    losing.restart()
    assert losing.denied_by(Side.BUY, 1) == {"trading_state"}


def test_the_rule_denies_before_anybody_watched_and_lets_reduce(losing: Floor) -> None:
    assert losing.denied_by(Side.BUY, 1) == {"max_daily_loss"}
    assert losing.denied_by(Side.SELL, 1_000) == set()


def test_without_a_mark_nothing_that_adds_is_let_in() -> None:
    floor = Floor(STOP)
    floor.quote(100)
    assert floor.denied_by(Side.BUY, 1) == {"max_daily_loss"}
    assert floor.watch.look().marks == 1
    assert floor.denied_by(Side.BUY, 1) == set()


def test_a_position_above_its_limit_restrains_that_instrument_in_that_account() -> None:
    floor = Floor(SIZE)
    floor.quote(100)
    floor.trade(Side.BUY, 100, 100)
    assert floor.watch.look().breaches == 0
    floor.trade(Side.BUY, 1, 100)
    assert floor.watch.look().breaches == 1
    (switch,) = floor.events(ev.KillSwitchActivated)
    assert switch.scope == Scope(account_id=ACCOUNT_ID, instrument_id=floor.instrument.instrument_id)
    assert floor.denied_by(Side.BUY, 1) == {"trading_state"}
    assert floor.denied_by(Side.SELL, 101) == set()
