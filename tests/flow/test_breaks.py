"""The ledger of breaks: what two snapshots show is one break, what policy allows is put right, what is gone closes."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from oms_app.flow import booking, submission
from oms_app.flow.attention import Attention
from oms_app.flow.breaks import Look, look
from oms_app.flow.errors import NotPermitted, UnknownAlert, UnknownBreak, UnknownReport
from oms_app.flow.principal import Principal
from oms_app.flow.resolution import Finding, Resolution
from oms_app.flow.routing import Directory
from oms_app.sessions.comparing import MOST_LOOKS
from oms_kernel.contracts import broker as br
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.breaks import Break, BreakType
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import AccountId, BrokerAccountId, BrokerOrderId, ExecId, WireId
from oms_kernel.domain.lifecycle import Evidence, OrderState, OrderStatus, RequestStatus
from oms_kernel.domain.order import EXTERNAL_BOOK, Order, Side
from oms_kernel.settlement import doubt
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID, a_uuid
from tests.flow.trading import CAPABILITIES, CONNECTION, LEDGER, TENANT, Trading

PARTS = (br.SnapshotPart.ORDERS, br.SnapshotPart.EXECUTIONS, br.SnapshotPart.POSITIONS, br.SnapshotPart.CASH)


class Broker:
    """A broker's side as a test says it; `look` shows it to the ledger, as often as a run does."""

    def __init__(self) -> None:
        self.trading = Trading()
        self.orders: list[br.OrderSnapshot] = []
        self.executions: list[br.Filled] = []
        self.positions: dict[Any, Decimal] = {}
        self.cash: dict[str, Decimal] = {"USD": Decimal(1_000_000)}
        self.failed: set[br.SnapshotPart] = set()

    def look(self, *, opening: bool = False) -> Look:
        """One run: another snapshot is taken when the last one calls for it."""
        found = self._once(None, opening)
        for _ in range(MOST_LOOKS - 1):
            if found.is_settled:
                break
            found = self._once(found, opening)
        return found

    def _once(self, before: Look | None, opening: bool) -> Look:
        self.trading.wait(seconds=1)
        asked_at = self.trading.store.heads([LEDGER])[LEDGER]
        parts = {part: self._part(part) for part in PARTS}

        def work(turn: Any) -> Look:
            return look(
                turn, CONNECTION, parts, asked_at_seq=asked_at, is_elsewhere=lambda _: False, before=before,
                opening=opening,
            )  # fmt: skip

        return self.trading.in_turn(work)  # type: ignore[no-any-return]

    def _part(self, part: br.SnapshotPart) -> br.PartResult:
        if part in self.failed:
            return br.PartResult(complete=False, as_of=self.trading.now, error="the query failed")
        items: dict[br.SnapshotPart, tuple[Any, ...]] = {
            br.SnapshotPart.ORDERS: tuple(self.orders),
            br.SnapshotPart.EXECUTIONS: tuple(self.executions),
            br.SnapshotPart.POSITIONS: tuple(
                br.PositionSnapshot(broker_account_id=BROKER_ACCOUNT_ID, instrument_id=key, quantity=quantity)
                for key, quantity in self.positions.items()
            ),
            br.SnapshotPart.CASH: tuple(
                br.CashSnapshot(broker_account_id=BROKER_ACCOUNT_ID, currency=key, amount=amount)
                for key, amount in self.cash.items()
            ),
        }
        return br.PartResult(complete=True, as_of=self.trading.now, items=items[part])

    def shows(self, order: Order | None = None, **fields: Any) -> br.OrderSnapshot:
        """An order at the broker: one of ours, or somebody else's."""
        values: dict[str, Any] = {
            "broker_account_id": BROKER_ACCOUNT_ID,
            "broker_order_id": BrokerOrderId("B1"),
            "wire_id": order.wire_ids[0] if order else None,
            "instrument_id": self.trading.instrument.instrument_id,
            "symbol": "ACME",
            "side": Side.BUY,
            "status": "WORKING",
            "quantity": order.quantity if order else Decimal(10),
            "filled_quantity": Decimal(0),
            "limit_price": order.limit_price if order else Decimal(95),
        }
        return br.OrderSnapshot(**{**values, **fields})

    def filled(self, exec_id: str = "E1", quantity: int = 10, price: str = "95", **fields: Any) -> br.Filled:
        values: dict[str, Any] = {
            "broker_account_id": BROKER_ACCOUNT_ID,
            "broker_at": self.trading.now,
            "broker_order_id": BrokerOrderId("B1"),
            "exec_id": ExecId(exec_id),
            "instrument_id": self.trading.instrument.instrument_id,
            "side": Side.BUY,
            "quantity": Decimal(quantity),
            "price": Decimal(price),
            "fee": Decimal(0),
        }
        return br.Filled(**{**values, **fields})

    def sent(self, **fields: Any) -> Order:
        """An order of ours that went out and had no word."""
        order = self.trading.place(**{"limit_price": "95", **fields})

        def send(turn: Any) -> None:
            submission.next_intents(
                turn, CONNECTION, 1, CAPABILITIES, lambda command: br.WireIdentity(WireId(f"W-{command.order_id}"))
            )

        self.trading.in_turn(send)
        return self.trading.order(order.order_id)

    def working(self, **fields: Any) -> Order:
        """An order of ours that the broker acknowledged and shows."""
        order = self.sent(**fields)
        self.report(br.Acknowledged(**self._named(order)))
        self.orders.append(self.shows(order))
        return self.trading.order(order.order_id)

    def _named(self, order: Order) -> dict[str, Any]:
        return {
            "broker_account_id": BROKER_ACCOUNT_ID,
            "broker_at": self.trading.now,
            "wire_id": order.wire_ids[0],
            "broker_order_id": BrokerOrderId("B1"),
        }

    def report(self, *reports: Any) -> None:
        self.trading.in_turn(lambda turn: booking.book(turn, CONNECTION, reports))

    def doubt(self, order: Order) -> None:
        self.trading.record(*doubt(order, br.RequestKind.PLACE, "no word"))

    def breaks(self) -> list[Break]:
        return self.trading.in_turn(lambda turn: list(turn.batch.book.breaks.values()))  # type: ignore[no-any-return]

    def the_break(self, break_type: BreakType) -> Break:
        (found,) = [one for one in self.breaks() if one.difference.break_type is break_type]
        return found

    @property
    def attention(self) -> Attention:
        return Attention(self.trading.desk)

    @property
    def resolution(self) -> Resolution:
        return Resolution(self.trading.desk, Directory(self.trading.desk))

    def state(self, order: Order) -> OrderState:
        return self.trading.order(order.order_id).state


@pytest.fixture
def broker() -> Broker:
    return Broker()


def settles(broker: Broker) -> None:
    """A further run changes nothing."""
    before = broker.trading.store.heads([LEDGER])
    again = broker.look()
    assert (again.opened, again.fixed, again.closed) == (0, 0, 0)
    assert broker.trading.store.heads([LEDGER]) == before, broker.trading.kinds()


def phantom(broker: Broker) -> None:
    broker.working()
    broker.orders.clear()


def other_total(broker: Broker) -> None:
    order = broker.working()
    broker.orders[0] = broker.shows(order, quantity=Decimal(7))


def other_price(broker: Broker) -> None:
    order = broker.working()
    broker.orders[0] = broker.shows(order, limit_price=Decimal("94.5"))


def more_filled(broker: Broker) -> None:
    order = broker.working()
    broker.orders[0] = broker.shows(order, filled_quantity=Decimal(4))


def twice_there(broker: Broker) -> None:
    order = broker.working()
    broker.orders.append(broker.shows(order, broker_order_id=BrokerOrderId("B2")))


def another_position(broker: Broker) -> None:
    broker.positions[broker.trading.instrument.instrument_id] = Decimal(-3)


def another_cash(broker: Broker) -> None:
    broker.cash["USD"] = Decimal("1000012.50")


def unknown_account(broker: Broker) -> None:
    broker.orders.append(broker.shows(broker_account_id=BrokerAccountId(a_uuid("nobody's"))))


def long_in_doubt(broker: Broker) -> None:
    broker.doubt(broker.sent())
    broker.trading.wait(seconds=90)


DIFFERENCES: dict[BreakType, Callable[[Broker], None]] = {
    BreakType.PHANTOM_ORDER: phantom,
    BreakType.MISSING_FILL: more_filled,
    BreakType.DUPLICATE: twice_there,
    BreakType.QUANTITY: another_position,
    BreakType.CASH: another_cash,
    BreakType.UNKNOWN_ACCOUNT: unknown_account,
    BreakType.STALE: long_in_doubt,
}


@pytest.mark.parametrize("break_type", DIFFERENCES)
def test_what_two_snapshots_show_is_a_break_once_and_is_alerted(broker: Broker, break_type: BreakType) -> None:
    DIFFERENCES[break_type](broker)
    assert broker.look().opened == 1
    found = broker.the_break(break_type)
    assert found.is_open and found.difference.ours != found.difference.theirs and found.proposed_fix
    assert "alert_raised" in broker.trading.kinds()
    settles(broker)


@pytest.mark.parametrize("break_type", DIFFERENCES)
def test_a_difference_of_one_snapshot_alone_is_no_break(broker: Broker, break_type: BreakType) -> None:
    DIFFERENCES[break_type](broker)
    once = broker._once(None, False)
    assert not once.is_settled
    assert broker.breaks() == []


@pytest.mark.parametrize("break_type", [BreakType.PHANTOM_ORDER, BreakType.QUANTITY, BreakType.CASH])
def test_a_failed_query_makes_no_break_and_closes_none(broker: Broker, break_type: BreakType) -> None:
    broker.failed = set(PARTS)
    DIFFERENCES[break_type](broker)
    broker.look()
    assert broker.breaks() == []
    broker.failed = set()
    broker.look()
    broker.failed = set(PARTS)
    broker.look()
    assert broker.the_break(break_type).is_open


def test_missed_executions_hide_no_difference_from_the_run_that_books_them(broker: Broker) -> None:
    broker.executions.append(broker.filled())
    another_cash(broker)
    broker.look()
    found = {one.difference.break_type for one in broker.breaks()}
    assert {BreakType.MISSING_FILL, BreakType.CASH} <= found
    settles(broker)


def test_a_break_that_is_gone_is_closed_and_one_with_other_figures_is_changed(broker: Broker) -> None:
    another_cash(broker)
    broker.look()
    broker.cash["USD"] = Decimal("1000020")
    broker.look()
    assert broker.the_break(BreakType.CASH).difference.theirs == "1000020"
    broker.cash["USD"] = Decimal(1_000_000)
    assert broker.look().closed == 1
    closed = broker.the_break(BreakType.CASH)
    assert (closed.resolution, closed.auto_fixed, closed.is_open) == ("gone", False, False)
    settles(broker)


def test_what_changed_while_the_question_was_under_way_is_not_compared(broker: Broker) -> None:
    order = broker.working()
    broker.orders.clear()
    asked_at = broker.trading.store.heads([LEDGER])[LEDGER]
    broker.report(broker.filled(quantity=4, wire_id=order.wire_ids[0]))
    parts = {part: broker._part(part) for part in PARTS if part is not br.SnapshotPart.EXECUTIONS}

    def work(turn: Any) -> Look:
        return look(turn, CONNECTION, parts, asked_at_seq=asked_at, is_elsewhere=lambda _: False)

    assert broker.trading.in_turn(work).found == ()


@pytest.mark.parametrize("plant", [other_total, other_price])
def test_terms_that_the_broker_shows_differently_are_taken_over(
    broker: Broker, plant: Callable[[Broker], None]
) -> None:
    plant(broker)
    result = broker.look()
    assert (result.opened, result.fixed) == (1, 1)
    (found,) = broker.breaks()
    assert (found.auto_fixed, found.resolution) == (True, "fixed")
    order = broker.trading.order(found.difference.order_id)
    assert (order.quantity, order.limit_price) == (broker.orders[0].quantity, broker.orders[0].limit_price)
    settles(broker)


def test_executions_that_no_report_told_are_booked_and_noted(broker: Broker) -> None:
    order = broker.working()
    broker.executions.append(broker.filled(quantity=4, wire_id=order.wire_ids[0]))
    broker.orders[0] = broker.shows(order, filled_quantity=Decimal(4))
    broker.positions[broker.trading.instrument.instrument_id] = Decimal(4)
    broker.cash["USD"] -= 380
    assert broker.look().fixed == 1
    found = broker.the_break(BreakType.MISSING_FILL)
    assert found.auto_fixed and "E1" in found.difference.theirs
    assert broker.trading.order(order.order_id).filled_quantity == 4
    settles(broker)


def test_an_execution_that_is_merely_under_way_is_no_break(broker: Broker) -> None:
    order = broker.working()
    broker.executions.append(broker.filled(quantity=4, wire_id=order.wire_ids[0]))
    first = broker._once(None, False)
    broker.report(*broker.executions)
    broker.orders[0] = broker.shows(order, filled_quantity=Decimal(4))
    broker.positions[broker.trading.instrument.instrument_id] = Decimal(4)
    broker.cash["USD"] -= 380
    broker._once(first, False)
    assert broker.breaks() == []
    settles(broker)


def test_a_foreign_order_is_adopted_counted_and_only_read(broker: Broker) -> None:
    broker.orders.append(broker.shows(filled_quantity=Decimal(3), quantity=Decimal(10)))
    broker.executions.append(broker.filled(quantity=2))
    broker.positions[broker.trading.instrument.instrument_id] = Decimal(2)
    broker.cash["USD"] -= 190
    broker.look()
    adopted = broker.the_break(BreakType.EXTERNAL_ORDER)
    assert adopted.auto_fixed
    assert adopted.difference.order_id is not None
    order = broker.trading.order(adopted.difference.order_id)
    assert (order.is_external, order.status, order.book) == (True, OrderStatus.WORKING, EXTERNAL_BOOK)
    assert (order.filled_quantity, order.leaves_quantity) == (3, 7)
    exposure = broker.trading.in_turn(
        lambda turn: turn.view.exposure(ACCOUNT_ID, broker.trading.instrument.instrument_id)
    )
    assert exposure.buy_quantity == 7, "what others placed counts as exposure"
    with pytest.raises(OrderConflict, match="placed at the broker"):
        broker.trading.amendment.cancel(broker.trading.principal, order.order_id)
    settles(broker)
    broker.report(broker.filled("E2", 7), br.Canceled(**{**broker._named(order_named("W")), "wire_id": None}))
    filled = broker.trading.order(order.order_id)
    assert (filled.status, filled.filled_quantity) == (OrderStatus.FILLED, 10)
    position = broker.trading.in_turn(
        lambda turn: turn.view.position(ACCOUNT_ID, broker.trading.instrument.instrument_id, EXTERNAL_BOOK)
    )
    assert position.quantity == 9


def order_named(wire_id: str) -> Any:
    return type("Named", (), {"wire_ids": (wire_id,)})()


def test_a_foreign_order_of_an_unknown_instrument_stays_an_open_break_until_it_is_gone(broker: Broker) -> None:
    broker.orders.append(broker.shows(instrument_id=None, symbol="WHAT"))
    broker.look()
    assert "does not know" in broker.the_break(BreakType.EXTERNAL_ORDER).difference.ours
    settles(broker)
    broker.orders.clear()
    assert broker.look().closed == 1


def test_an_alert_is_acknowledged_once_and_only_by_who_may_see_its_account(broker: Broker) -> None:
    another_cash(broker)
    broker.look()
    alert = next(
        recorded
        for recorded in broker.trading.store.events(TENANT, LEDGER, 0, 1000)
        if isinstance(recorded.event, ev.AlertRaised)
    )
    stranger = Principal("user:stranger", TENANT, frozenset(), frozenset({AccountId(a_uuid("another"))}))
    with pytest.raises(UnknownAlert):
        broker.attention.acknowledge_alerts(stranger, LEDGER, (alert.event_id,))
    assert broker.attention.acknowledge_alerts(broker.trading.principal, LEDGER, (alert.event_id,)) == 1
    assert broker.attention.acknowledge_alerts(broker.trading.principal, LEDGER, (alert.event_id,)) == 0


def test_a_person_explains_a_break_and_it_comes_back_while_it_is_there(broker: Broker) -> None:
    another_cash(broker)
    broker.look()
    found = broker.the_break(BreakType.CASH)
    me = broker.trading.principal
    assert broker.attention.acknowledge_break(me, LEDGER, found.break_id).acknowledged_by == me.principal_id
    with pytest.raises(InvalidRequest, match="say what"):
        broker.attention.explain_break(me, LEDGER, found.break_id, " ")
    done = broker.attention.explain_break(me, LEDGER, found.break_id, "interest of October")
    assert (done.resolution, done.resolved_by) == ("explained", me.principal_id)
    assert ("interest of October",) == tuple(text for text, _ in broker.trading.store.texts.values())
    with pytest.raises(OrderConflict, match="resolved before"):
        broker.attention.acknowledge_break(me, LEDGER, found.break_id)
    broker.look()
    assert len(broker.breaks()) == 2, "it is still there"


def test_accepting_the_brokers_figures_makes_ours_the_same(broker: Broker) -> None:
    another_cash(broker)
    another_position(broker)
    broker.look()
    me = broker.trading.principal
    cash, position = broker.the_break(BreakType.CASH), broker.the_break(BreakType.QUANTITY)
    broker.attention.accept_broker(me, LEDGER, cash.break_id, "dividend")
    with pytest.raises(InvalidRequest, match="price"):
        broker.attention.accept_broker(me, LEDGER, position.break_id, "transferred in")
    broker.attention.accept_broker(me, LEDGER, position.break_id, "transferred in", Decimal("10"))
    held = broker.trading.in_turn(lambda turn: turn.view.position(ACCOUNT_ID, broker.trading.instrument.instrument_id))
    assert (held.quantity, held.cost) == (-3, -30)
    broker.cash["USD"] += 30
    broker.look()
    assert [one.is_open for one in broker.breaks()] == [False, False]
    settles(broker)


def test_a_phantom_order_cannot_be_accepted_away(broker: Broker) -> None:
    phantom(broker)
    broker.look()
    with pytest.raises(OrderConflict, match="cannot be accepted"):
        broker.attention.accept_broker(
            broker.trading.principal, LEDGER, broker.the_break(BreakType.PHANTOM_ORDER).break_id, "gone"
        )
    with pytest.raises(UnknownBreak):
        broker.attention.explain_break(broker.trading.principal, LEDGER, a_uuid("no break"), "gone")  # type: ignore[arg-type]


def test_a_person_settles_a_phantom_order_and_the_break_closes(broker: Broker) -> None:
    order = broker.working()
    resolve = broker.resolution.resolve
    me = broker.trading.principal
    told = {"reason": "cancelled by phone", "evidence": "ticket 4711"}
    with pytest.raises(OrderConflict, match="no break names it"):
        resolve(me, order.order_id, Finding.CANCELED, **told)
    broker.orders.clear()
    broker.look()
    with pytest.raises(InvalidRequest, match="evidence"):
        resolve(me, order.order_id, Finding.CANCELED, reason="by phone", evidence="")
    ended = resolve(me, order.order_id, Finding.CANCELED, **told)
    assert (ended.status, ended.evidence) == (OrderStatus.CANCELED, Evidence.PERSON)
    assert broker.look().closed == 1
    settles(broker)


@pytest.mark.parametrize(
    ("finding", "status"),
    [
        (Finding.NOT_AT_BROKER, OrderStatus.REJECTED),
        (Finding.WORKING, OrderStatus.WORKING),
        (Finding.CANCELED, OrderStatus.CANCELED),
        (Finding.REJECTED, OrderStatus.REJECTED),
        (Finding.EXPIRED, OrderStatus.EXPIRED),
    ],
)
def test_a_person_settles_a_doubtful_order(broker: Broker, finding: Finding, status: OrderStatus) -> None:
    order = broker.sent()
    broker.doubt(order)
    settled = broker.resolution.resolve(
        broker.trading.principal,
        order.order_id,
        finding,
        reason="looked it up",
        evidence="screenshot",
        broker_order_id=BrokerOrderId("B9"),
    )
    assert settled.status is status
    assert not settled.in_doubt
    kinds = broker.trading.kinds()
    assert kinds[-1] == "person_resolved"


def test_what_a_person_ended_and_the_broker_shows_alive_works_again(broker: Broker) -> None:
    order = broker.sent()
    broker.doubt(order)
    broker.resolution.resolve(
        broker.trading.principal, order.order_id, Finding.NOT_AT_BROKER, reason="not listed", evidence="screen"
    )
    broker.orders.append(broker.shows(order))
    broker.look()
    assert broker.state(order) is OrderState.WORKING


def test_an_unbooked_report_stops_the_account_until_a_person_settles_it(broker: Broker) -> None:
    order = broker.working()
    first = broker.filled("E1", 4, wire_id=order.wire_ids[0])
    broker.report(first, broker.filled("E1", 5, wire_id=order.wire_ids[0]))
    (kept,) = broker.trading.in_turn(lambda turn: turn.unit.open_unbooked())
    account = broker.trading.in_turn(lambda turn: turn.batch.book.accounts[ACCOUNT_ID])
    assert account.trading_state is TradingState.CANCEL_ONLY
    me = broker.trading.principal
    stranger = Principal("user:stranger", TENANT, frozenset(), frozenset({AccountId(a_uuid("another"))}))
    with pytest.raises(UnknownReport):
        broker.resolution.dismiss_report(stranger, LEDGER, kept.report_id, "not mine")
    settled = broker.resolution.dismiss_report(me, LEDGER, kept.report_id, "the broker withdrew it")
    assert (settled.status, settled.settled_by) == ("DISMISSED", me.principal_id)
    with pytest.raises(OrderConflict, match="DISMISSED"):
        broker.resolution.book_report(me, LEDGER, kept.report_id)
    account = broker.trading.in_turn(lambda turn: turn.batch.book.accounts[ACCOUNT_ID])
    assert account.trading_state is TradingState.ACTIVE


def test_a_report_is_booked_once_what_hindered_it_is_repaired(broker: Broker) -> None:
    fee = br.FeeReported(
        broker_account_id=BROKER_ACCOUNT_ID, broker_at=broker.trading.now, exec_id=ExecId("E1"), fee=Decimal(2)
    )
    order = broker.working()
    broker.report(fee)
    (kept,) = broker.trading.in_turn(lambda turn: turn.unit.open_unbooked())
    broker.report(broker.filled("E1", 10, wire_id=order.wire_ids[0], fee=None))
    broker.resolution.book_report(broker.trading.principal, LEDGER, kept.report_id)
    cash = broker.trading.in_turn(lambda turn: turn.view.cash(ACCOUNT_ID, "USD"))
    assert cash == 1_000_000 - 950 - 2


def test_a_bust_of_yesterday_restates_that_day_and_today_and_says_so(broker: Broker) -> None:
    bought = broker.working()
    broker.report(broker.filled("E1", 10, "95", wire_id=bought.wire_ids[0]))
    broker.orders.clear()
    broker.trading.wait(days=1)
    yesterday = broker.trading.now.date() - timedelta(days=1)
    sold = broker.sent(side=Side.SELL, quantity=10, limit_price="97")
    broker.report(
        broker.filled("E2", 10, "97", wire_id=sold.wire_ids[0], side=Side.SELL, broker_order_id=BrokerOrderId("B2"))
    )
    book = broker.trading.in_turn(lambda turn: turn.batch.book)
    assert book.day(ACCOUNT_ID, "USD", broker.trading.now.date()).realised_pnl == 20
    broker.report(
        br.Busted(
            broker_account_id=BROKER_ACCOUNT_ID,
            broker_at=broker.trading.now,
            exec_id=ExecId("E1"),
            bust_id=ExecId("U1"),
        )
    )
    (told,) = [
        recorded.event
        for recorded in broker.trading.store.events(TENANT, LEDGER, 0, 1000)
        if isinstance(recorded.event, ev.FiguresRestated)
    ]
    assert (told.quantity_before, told.quantity, told.cash_change) == (0, -10, 950)
    changes = {change.risk_date: change for change in told.days}
    assert changes[yesterday].traded_value == -950
    assert changes[broker.trading.now.date()].realised_pnl == -20
    book = broker.trading.in_turn(lambda turn: turn.batch.book)
    assert book.day(ACCOUNT_ID, "USD", yesterday).traded_value == 0


def test_ledger_wide_alerts_are_for_those_who_may_use_every_account(broker: Broker) -> None:
    broker.trading.record(ev.AlertRaised(severity=ev.Severity.INFO, source="test", text="all of it", what_to_do="look"))
    alert = broker.trading.store.events(TENANT, LEDGER, 0, 1000)[-1]
    restricted = Principal("user:restricted", TENANT, frozenset(), frozenset({ACCOUNT_ID}))
    with pytest.raises(NotPermitted):
        broker.attention.acknowledge_alerts(restricted, LEDGER, (alert.event_id,))
    assert broker.attention.acknowledge_alerts(broker.trading.principal, LEDGER, (alert.event_id,)) == 1


def test_a_finding_that_cannot_be_is_refused(broker: Broker) -> None:
    order = broker.sent()
    broker.doubt(order)
    told = {"reason": "looked", "evidence": "screen"}
    me = broker.trading.principal
    with pytest.raises(OrderConflict, match="no change"):
        broker.resolution.resolve(me, order.order_id, Finding.REPLACED, **told)
    with pytest.raises(InvalidRequest, match="broker's id"):
        broker.resolution.resolve(me, order.order_id, Finding.WORKING, **told)
    assert broker.trading.order(order.order_id).place is RequestStatus.IN_DOUBT
