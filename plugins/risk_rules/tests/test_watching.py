"""What the monitors of positions, exposure, quotes, breaks, doubts and flow tell, of what, and for whom."""

from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_kernel.domain import events as ev
from oms_kernel.domain.breaks import BreakType, Difference, Severity
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.controls import Action
from oms_kernel.domain.ids import AccountId, BreakId, BrokerOrderId, ConnectionId, OrderId, StrategyId
from oms_kernel.domain.lifecycle import Evidence, RequestKind
from oms_kernel.domain.order import Order, Reservation, Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID, a_uuid, an_instrument
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.doubt_monitor import DoubtMonitor
from oms_risk_rules.exposure_monitors import ExposureMonitor
from oms_risk_rules.flow_monitor import FlowMonitor
from oms_risk_rules.open_breaks_monitor import OpenBreaksMonitor
from oms_risk_rules.position_monitor import PositionMonitor
from oms_risk_rules.stale_data_monitor import StaleDataMonitor

MOMENTUM = StrategyId("momentum")
DAY = "2026-03-02"


@pytest.fixture
def scene() -> Scene:
    return Scene()


def monitor(contributed: Any, scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(contributed, params, scope)


# position_monitor ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "held", "told"),
    [
        ({"max_quantity": 100}, 100, None),
        ({"max_quantity": 100}, 101, (101, 100, "units")),
        ({"max_quantity": 100}, -101, (101, 100, "units")),
        ({"max_quantity": 100, "max_short": 0}, -1, (1, 0, "units")),
        ({"max_long": 100}, -500, None),
        ({"max_long": 0, "max_short": 5}, 1, (1, 0, "units")),
        ({"max_short": 0, "max_long": 5}, "-0.5", ("0.5", 0, "units")),
        ({"max_notional": 10_000}, 100, None),
        ({"max_notional": 10_000}, -101, (10_100, 10_000, "USD")),
        ({"max_short_notional": 0}, 500, None),
        ({"max_short_notional": 0}, -1, (100, 0, "USD")),
        ({"max_quantity": 200, "max_notional": 10_000}, 150, (15_000, 10_000, "USD")),
    ],
    ids=str,
)
def test_positions_below_at_and_above_the_limit(
    scene: Scene, params: dict[str, Any], held: int | str, told: tuple[int | str, int, str] | None
) -> None:
    scene.hold(held)
    found = scene.watch(monitor(PositionMonitor, **params))
    expected = [] if told is None else [(Decimal(told[0]), told[1], told[2])]
    assert [(trigger.observed, trigger.limit, trigger.unit) for trigger in found] == expected


def test_a_positions_trigger_is_for_the_instrument_in_its_account(scene: Scene) -> None:
    other = scene.another_account()
    scene.hold(101)
    scene.hold(500, account_id=other, instrument=scene.another_instrument("OTHER"))
    first, second = scene.watch(monitor(PositionMonitor, max_quantity=100))
    assert first.scope == Scope(account_id=ACCOUNT_ID, instrument_id=scene.instrument.instrument_id)
    assert second.scope is not None
    assert (second.scope.account_id, first.key != second.key) == (other, True)
    assert "long position in ACME of 101 units" in first.message


def test_open_orders_are_no_position(scene: Scene) -> None:
    scene.accept(scene.order(Side.BUY, 500, limit_price="99"))
    assert scene.watch(monitor(PositionMonitor, max_quantity=100)) == ()


def test_a_strategys_position_is_its_own(scene: Scene) -> None:
    scene.hold(101)
    scene.hold(50, strategy_id=MOMENTUM)
    watching = monitor(PositionMonitor, Scope(strategy_id=MOMENTUM), max_quantity=49)
    (trigger,) = scene.watch(watching)
    assert (trigger.observed, trigger.scope is not None and trigger.scope.strategy_id) == (50, MOMENTUM)


def test_positions_of_several_accounts_net_when_the_limit_says_so(scene: Scene) -> None:
    scene.hold(150)
    scene.hold(-100, account_id=scene.another_account())
    assert len(scene.watch(monitor(PositionMonitor, max_quantity=60))) == 2
    assert scene.watch(monitor(PositionMonitor, max_quantity=60, per="SCOPE")) == ()
    (trigger,) = scene.watch(monitor(PositionMonitor, max_quantity=49, per="SCOPE"))
    assert trigger.scope == Scope(instrument_id=scene.instrument.instrument_id)


def test_a_position_that_cannot_be_valued_is_judged_by_its_quantity(scene: Scene) -> None:
    scene.hold(101)
    scene.lose_quotes()
    assert scene.watch(monitor(PositionMonitor, max_notional=1)) == ()
    assert len(scene.watch(monitor(PositionMonitor, max_notional=1, max_quantity=100))) == 1


def test_positions_of_accounts_in_different_currencies_are_judged_by_their_quantity(scene: Scene) -> None:
    scene.hold(101)
    scene.another_account(base_currency="EUR")
    assert scene.watch(monitor(PositionMonitor, max_notional=1, per="SCOPE")) == ()
    assert len(scene.watch(monitor(PositionMonitor, max_notional=1, max_quantity=100, per="SCOPE"))) == 1


# exposure_monitor ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"max_gross": 20_000}, []),
        ({"max_gross": 19_999}, [("gross", 20_000, 19_999)]),
        ({"max_net": 0}, []),
        ({"max_leverage": 4}, []),
        ({"max_leverage": "3.9"}, [("leveraged", 20_000, 19_500)]),
        ({"max_gross": 1, "max_net": 1, "max_leverage": 1}, [("gross", 20_000, 1), ("leveraged", 20_000, 5_000)]),
    ],
    ids=str,
)
def test_exposures_below_at_and_above_the_limit(
    scene: Scene, params: dict[str, Any], told: list[tuple[str, int, int]]
) -> None:
    scene.pay(5_000)
    scene.hold(100)
    scene.hold(-100, instrument=scene.another_instrument("OTHER"))
    found = scene.watch(monitor(ExposureMonitor, **params))
    assert [(trigger.key.split(":")[1], trigger.observed, trigger.limit) for trigger in found] == told


def test_an_exposure_is_told_for_its_account_or_for_the_scope(scene: Scene) -> None:
    other = scene.another_account()
    scene.hold(60)
    scene.hold(60, account_id=other)
    assert scene.watch(monitor(ExposureMonitor, max_gross=6_000)) == ()
    (trigger,) = scene.watch(monitor(ExposureMonitor, max_gross=6_000, per="SCOPE"))
    assert (trigger.scope, trigger.observed) == (EVERYTHING, 12_000)
    found = scene.watch(monitor(ExposureMonitor, max_gross=5_000))
    assert [trigger.scope for trigger in found] == [Scope(account_id=ACCOUNT_ID), Scope(account_id=other)]


def test_what_a_limit_for_the_firm_finds_is_for_the_tenant_in_whose_ledger_it_is(scene: Scene) -> None:
    scene.hold(60)
    scene.hold(60, account_id=scene.another_account())
    (trigger,) = scene.watch(monitor(ExposureMonitor, Scope(is_firm=True), max_gross=6_000, per="SCOPE"))
    assert trigger.scope == EVERYTHING


def test_a_short_net_exposure_counts_as_a_long_one_does_with_open_orders_in_it(scene: Scene) -> None:
    scene.hold(-80)
    scene.accept(scene.order(Side.SELL, 30, limit_price="101"))
    scene.accept(scene.order(Side.BUY, 500, limit_price="99"))
    (trigger,) = scene.watch(monitor(ExposureMonitor, max_net=10_999, max_gross=50_000))
    assert trigger.observed == 42_000
    scene.hold(-500)
    (trigger,) = scene.watch(monitor(ExposureMonitor, max_net=60_999))
    assert trigger.observed == 61_000


def test_a_mark_that_moves_is_enough_and_what_has_no_price_is_not_told(scene: Scene) -> None:
    scene.hold(100)
    watching = monitor(ExposureMonitor, max_gross=10_000)
    assert scene.watch(watching) == ()
    scene.quote(bid=101, ask=101)
    assert len(scene.watch(watching)) == 1
    scene.lose_quotes()
    assert scene.watch(watching) == ()


def test_equity_at_or_below_zero_allows_no_leverage(scene: Scene) -> None:
    scene.hold(1, 101)
    (trigger,) = scene.watch(monitor(ExposureMonitor, max_leverage=5))
    assert (trigger.observed, trigger.limit) == (100, 0)


# stale_data_monitor --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("seconds", "told"), [(0, 0), (30, 0), (30.001, 1), (3_600, 1)])
def test_a_quote_of_what_is_held_may_be_so_old(scene: Scene, seconds: float, told: int) -> None:
    scene.hold(1)
    scene.wait(seconds=seconds)
    found = scene.watch(monitor(StaleDataMonitor, max_age_s=30))
    assert len(found) == told
    for trigger in found:
        assert (trigger.observed, trigger.limit, trigger.unit) == (int(seconds), 30, "s")
        assert trigger.scope == Scope(account_id=ACCOUNT_ID, instrument_id=scene.instrument.instrument_id)
        assert "ACME for 3" in trigger.message, "of one instrument no others are told"


def test_what_has_open_orders_needs_a_quote_too_and_what_has_nothing_does_not(scene: Scene) -> None:
    scene.another_instrument("IDLE")
    order = scene.accept(scene.order(limit_price="99"))
    scene.wait(minutes=5)
    assert len(scene.watch(monitor(StaleDataMonitor))) == 1
    scene.cancel(order)
    assert scene.watch(monitor(StaleDataMonitor)) == ()


def test_a_quote_that_never_came_is_told_without_an_age(scene: Scene) -> None:
    scene.hold(1)
    scene.lose_quotes()
    (trigger,) = scene.watch(monitor(StaleDataMonitor))
    assert (trigger.observed, trigger.limit) == (None, 30)


@pytest.mark.parametrize(
    ("at", "told"),
    [("13:59:59", 0), ("14:00:00", 0), ("14:00:29", 0), ("14:00:30", 1), ("19:59:59", 1), ("20:00:00", 0)],
)
def test_a_closed_venue_has_no_quotes_and_the_first_of_a_session_have_time_to_come(at: str, told: int) -> None:
    scene = Scene(an_instrument(calendar="afternoon"))
    scene.calendars["afternoon"] = Calendar(name="afternoon", opens_at=time(14), closes_at=time(20))
    scene.hold(1)
    scene.now = datetime.combine(scene.now.date(), time.fromisoformat(at), UTC)
    scene.quotes = {key: msgspec.structs.replace(one, received_at=one.received_at - timedelta(days=1))
                    for key, one in scene.quotes.items()}  # fmt: skip
    assert len(scene.watch(monitor(StaleDataMonitor, max_age_s=30))) == told


def test_a_calendar_that_does_not_exist_counts_as_always_open() -> None:
    scene = Scene(an_instrument(calendar="nowhere"))
    scene.record(ev.CashChanged(account_id=ACCOUNT_ID, currency="USD", amount=Decimal(1), reason_code="deposit"))
    scene.hold(1)
    scene.wait(minutes=1)
    assert len(scene.watch(monitor(StaleDataMonitor))) == 1


def test_a_silent_feed_is_told_once_for_the_account(scene: Scene) -> None:
    for number in range(3):
        scene.hold(1, instrument=scene.another_instrument(f"S{number}"))
    scene.wait(minutes=1)
    assert len(scene.watch(monitor(StaleDataMonitor, most_alone=3))) == 3
    (trigger,) = scene.watch(monitor(StaleDataMonitor, most_alone=2))
    assert (trigger.scope, trigger.key) == (Scope(account_id=ACCOUNT_ID), f"{ACCOUNT_ID}:many")
    assert "S0 and 2 more" in trigger.message


def test_the_same_instrument_is_told_for_each_account(scene: Scene) -> None:
    scene.hold(1)
    scene.hold(1, account_id=scene.another_account())
    scene.wait(minutes=1)
    assert len({trigger.key for trigger in scene.watch(monitor(StaleDataMonitor))}) == 2
    assert len(scene.watch(monitor(StaleDataMonitor, Scope(account_id=ACCOUNT_ID)))) == 1


# open_breaks_monitor -------------------------------------------------------------------------------------


def find_break(
    scene: Scene,
    severity: Severity = Severity.WARNING,
    *,
    subject: str = "USD",
    account_id: AccountId | None = ACCOUNT_ID,
) -> BreakId:
    difference = Difference(
        break_type=BreakType.CASH,
        broker_account_id=BROKER_ACCOUNT_ID,
        subject=subject,
        account_id=account_id,
        currency=subject,
        ours="100",
        theirs="90",
    )
    found = ev.BreakFound(
        account_id=account_id, difference=difference, severity=severity, proposed_fix="look", as_of=scene.now
    )
    scene.record(found)
    return BreakId(scene.events[-1].event_id)


@pytest.mark.parametrize(
    ("severity", "seconds", "told"),
    [
        (Severity.WARNING, 60, 0),
        (Severity.WARNING, 61, 1),
        (Severity.INFO, 3_600, 0),
        (Severity.CRITICAL, 0, 1),
    ],
    ids=str,
)
def test_a_break_counts_by_its_age_or_at_once_by_its_severity(
    scene: Scene, severity: Severity, seconds: int, told: int
) -> None:
    find_break(scene, severity)
    scene.wait(seconds=seconds)
    found = scene.watch(monitor(OpenBreaksMonitor))
    assert len(found) == told
    for trigger in found:
        assert (trigger.observed, trigger.limit, trigger.unit) == (1, 0, "breaks")
        assert (trigger.scope, trigger.key) == (Scope(account_id=ACCOUNT_ID), f"{ACCOUNT_ID}:{DAY}")
        assert "ours 100, theirs 90" in trigger.message


def test_a_number_of_breaks_may_be_borne_with(scene: Scene) -> None:
    watching = monitor(OpenBreaksMonitor, max_breaks=2)
    for subject in ("USD", "EUR"):
        find_break(scene, Severity.CRITICAL, subject=subject)
    assert scene.watch(watching) == ()
    find_break(scene, Severity.CRITICAL, subject="CHF")
    (trigger,) = scene.watch(watching)
    assert trigger.observed == 3


def test_of_several_breaks_the_worst_is_named(scene: Scene) -> None:
    find_break(scene, Severity.WARNING, subject="EUR")
    find_break(scene, Severity.CRITICAL, subject="CHF")
    scene.wait(seconds=61)
    (trigger,) = scene.watch(monitor(OpenBreaksMonitor))
    assert trigger.observed == 2
    assert "the worst: CASH of CHF, CRITICAL" in trigger.message


def test_a_break_that_was_resolved_counts_no_more(scene: Scene) -> None:
    break_id = find_break(scene, Severity.CRITICAL)
    scene.record(ev.BreakResolved(account_id=ACCOUNT_ID, break_id=break_id, resolution="gone"))
    assert scene.watch(monitor(OpenBreaksMonitor)) == ()


def test_a_break_that_was_acknowledged_counts_unless_the_limit_leaves_it_out(scene: Scene) -> None:
    break_id = find_break(scene, Severity.CRITICAL)
    scene.record(ev.BreakAcknowledged(account_id=ACCOUNT_ID, break_id=break_id, principal="user:ops"))
    assert len(scene.watch(monitor(OpenBreaksMonitor))) == 1
    assert scene.watch(monitor(OpenBreaksMonitor, count_acknowledged=False)) == ()


def test_nothing_counts_at_once_where_the_limit_says_so(scene: Scene) -> None:
    find_break(scene, Severity.CRITICAL)
    assert scene.watch(monitor(OpenBreaksMonitor, at_once=None)) == ()
    scene.wait(seconds=61)
    assert len(scene.watch(monitor(OpenBreaksMonitor, at_once=None))) == 1


def test_a_break_stops_its_own_account_alone_and_one_without_an_account_none(scene: Scene) -> None:
    other = scene.another_account()
    find_break(scene, Severity.CRITICAL, subject="EUR", account_id=other)
    find_break(scene, Severity.CRITICAL, subject="U999", account_id=None)
    (trigger,) = scene.watch(monitor(OpenBreaksMonitor))
    assert trigger.scope == Scope(account_id=other)
    assert scene.watch(monitor(OpenBreaksMonitor, Scope(account_id=ACCOUNT_ID))) == ()


# doubt_monitor -------------------------------------------------------------------------------------------


def test_orders_in_doubt_below_at_and_above_the_limit(scene: Scene) -> None:
    orders = [scene.accept(scene.order(limit_price=90 + number)) for number in range(3)]
    watching = monitor(DoubtMonitor, max_orders=1)
    assert scene.watch(watching) == ()
    scene.doubt(orders[0])
    assert scene.watch(watching) == ()
    scene.doubt(orders[1])
    (trigger,) = scene.watch(watching)
    assert (trigger.observed, trigger.limit, trigger.unit) == (2, 1, "orders")
    assert (trigger.scope, trigger.key) == (Scope(account_id=ACCOUNT_ID), f"{ACCOUNT_ID}:{DAY}:orders")


@pytest.mark.parametrize(("seconds", "told"), [(60, 0), (60.5, 1), (61, 1), (600, 1)])
def test_a_doubt_may_last_so_long(scene: Scene, seconds: float, told: int) -> None:
    order = scene.doubt(scene.accept(scene.order(limit_price="99")))
    scene.wait(seconds=seconds)
    found = scene.watch(monitor(DoubtMonitor))
    assert len(found) == told
    for trigger in found:
        assert (trigger.order_id, trigger.unit) == (order.order_id, "s")
        assert trigger.key.endswith(":age")


def test_of_several_doubts_the_oldest_is_told(scene: Scene) -> None:
    oldest, newest = (scene.accept(scene.order(limit_price=price)) for price in (98, 99))
    scene.doubt(oldest)
    scene.wait(seconds=70)
    scene.doubt(newest)
    scene.wait(seconds=1)
    (trigger,) = scene.watch(monitor(DoubtMonitor))
    assert (trigger.order_id, trigger.observed) == (oldest.order_id, 71)


def test_a_question_to_the_broker_does_not_make_a_doubt_younger(scene: Scene) -> None:
    order = scene.doubt(scene.accept(scene.order(limit_price="99")))
    scene.wait(seconds=59)
    scene.record(
        ev.DoubtQueried(account_id=ACCOUNT_ID, order_id=order.order_id, request_kind=RequestKind.PLACE, as_of=scene.now)
    )
    scene.wait(seconds=2)
    (trigger,) = scene.watch(monitor(DoubtMonitor))
    assert trigger.observed == 61


def test_a_change_in_doubt_counts_from_when_it_was_sent(scene: Scene) -> None:
    order = scene.acknowledge(scene.accept(scene.order(limit_price="99")))
    scene.wait(minutes=5)
    scene.replace(order, quantity=200)
    sent = {"account_id": ACCOUNT_ID, "order_id": order.order_id, "request_kind": RequestKind.REPLACE}
    scene.record(
        ev.IntentRecorded(**sent, attempt=1, lease_token=1, wire_id=ev.WireId("WIRE-change")),  # type: ignore[arg-type]
        ev.RequestInDoubt(**sent, reason="no word in time"),  # type: ignore[arg-type]
    )
    assert scene.watch(monitor(DoubtMonitor)) == ()
    scene.wait(seconds=61)
    (trigger,) = scene.watch(monitor(DoubtMonitor))
    assert trigger.observed == 61


def test_a_doubt_that_was_settled_counts_no_more(scene: Scene) -> None:
    order = scene.doubt(scene.accept(scene.order(limit_price="99")))
    scene.wait(seconds=61)
    scene.record(ev.OrderAcknowledged(account_id=ACCOUNT_ID, order_id=order.order_id, broker_at=scene.now))
    assert scene.watch(monitor(DoubtMonitor)) == ()


def test_doubts_are_counted_for_each_account_and_within_the_scope(scene: Scene) -> None:
    other = scene.another_account()
    scene.doubt(scene.accept(scene.order(limit_price="99")))
    scene.doubt(scene.accept(scene.order(limit_price="99", account_id=other)))
    assert scene.watch(monitor(DoubtMonitor, max_orders=1)) == ()
    assert len(scene.watch(monitor(DoubtMonitor, max_orders=0))) == 2
    assert len(scene.watch(monitor(DoubtMonitor, Scope(account_id=other), max_orders=0))) == 1
    assert scene.watch(monitor(DoubtMonitor, Scope(strategy_id=MOMENTUM), max_orders=0)) == ()


# flow_monitor --------------------------------------------------------------------------------------------


def adopt(scene: Scene, orders: int, account_id: AccountId = ACCOUNT_ID) -> None:
    """Let orders turn up at the broker that nobody placed here."""
    for _ in range(orders):
        number = len(scene.events)
        request = scene.order(limit_price="99", account_id=account_id)
        scene.record(
            ev.OrderAdopted(
                account_id=account_id,
                order_id=OrderId(a_uuid(f"adopted {number}")),
                request=request,
                broker_account_id=BROKER_ACCOUNT_ID,
                connection_id=ConnectionId(a_uuid("connection")),
                symbol="ACME",
                currency="USD",
                multiplier=scene.instrument.multiplier,
                reservation=Reservation(price=request.limit_price, source="limit_price"),
                trading_date=DAY,
                broker_order_id=BrokerOrderId(f"EXT-{number}"),
                broker_at=scene.now,
            )
        )


def trade(scene: Scene, orders: int) -> list[Order]:
    """Place orders and send them."""
    return [
        scene.acknowledge(scene.accept(scene.order(limit_price="99", quantity=1 + number))) for number in range(orders)
    ]


def test_one_order_out_for_each_one_in_is_all_right(scene: Scene) -> None:
    trade(scene, 200)
    watching = monitor(FlowMonitor, min_orders=1, max_ratio=1)
    assert (scene.watch(watching), scene.triggers(watching)) == ((), ())


@pytest.mark.parametrize(("adopted", "told"), [(9, 0), (10, 0), (11, 1)])
def test_orders_out_below_at_and_above_the_ratio(scene: Scene, adopted: int, told: int) -> None:
    trade(scene, 10)
    adopt(scene, adopted)
    watching = monitor(FlowMonitor, min_orders=5, max_ratio=2)
    found = scene.watch(watching)
    assert len(found) == told
    assert len(scene.triggers(watching)) == told
    for trigger in found:
        assert (trigger.observed, trigger.limit, trigger.unit) == (Decimal("2.1"), 2, "x")
        assert (trigger.scope, trigger.key) == (Scope(account_id=ACCOUNT_ID), ACCOUNT_ID)


def test_the_trigger_comes_with_the_very_order_that_is_too_many(scene: Scene) -> None:
    watching = monitor(FlowMonitor, min_orders=3)
    state = watching.initial_state()
    adopt(scene, 3)
    told = []
    for recorded in scene.events:
        state, triggers = watching.fold(state, recorded)
        told.append(len(triggers))
    assert told[-3:] == [0, 0, 1]
    assert FlowMonitor.default_action is Action.HALT


def test_few_orders_make_no_flow(scene: Scene) -> None:
    adopt(scene, 19)
    assert scene.watch(monitor(FlowMonitor)) == ()
    adopt(scene, 1)
    assert len(scene.watch(monitor(FlowMonitor))) == 1


def test_an_account_that_is_traded_elsewhere_too_may_leave_those_orders_out(scene: Scene) -> None:
    adopt(scene, 50)
    watching = monitor(FlowMonitor, count_foreign=False)
    assert (scene.watch(watching), scene.triggers(watching)) == ((), ())


def test_a_minute_later_it_is_forgotten(scene: Scene) -> None:
    adopt(scene, 20)
    scene.wait(seconds=59)
    assert len(scene.watch(monitor(FlowMonitor))) == 1
    scene.wait(seconds=2)
    assert scene.watch(monitor(FlowMonitor)) == ()


def test_orders_that_waited_for_long_may_go_out_all_at_once(scene: Scene) -> None:
    waiting = [scene.accept(scene.order(limit_price="99", quantity=1 + number)) for number in range(30)]
    scene.wait(hours=6)
    scene.quote()
    for order in waiting:
        scene.acknowledge(order)
    watching = monitor(FlowMonitor, min_orders=1, max_ratio=1)
    assert (scene.watch(watching), scene.triggers(watching)) == ((), ())


def test_orders_that_ended_unsent_make_no_room_for_others(scene: Scene) -> None:
    for number in range(30):
        scene.cancel(scene.accept(scene.order(limit_price="99", quantity=1 + number)))
    assert scene.memory(monitor(FlowMonitor)).get(ACCOUNT_ID)[1].waiting == 0
    adopt(scene, 20)
    assert len(scene.watch(monitor(FlowMonitor))) == 1


def test_cancels_count_on_neither_side(scene: Scene) -> None:
    for order in trade(scene, 20):
        scene.cancel(order)
        for attempt in range(1, 6):
            scene.record(
                ev.IntentRecorded(
                    account_id=ACCOUNT_ID,
                    order_id=order.order_id,
                    request_kind=RequestKind.CANCEL,
                    attempt=attempt,
                    lease_token=attempt,
                    wire_id=ev.WireId(f"CANCEL-{order.order_id}-{attempt}"),
                )
            )
    assert scene.watch(monitor(FlowMonitor, min_orders=1, max_ratio=1)) == ()


def test_changes_count_on_both_sides(scene: Scene) -> None:
    (order,) = trade(scene, 1)
    for number in range(30):
        order = scene.replace(order, quantity=100 + number)
        sent = {"account_id": ACCOUNT_ID, "order_id": order.order_id}
        scene.record(
            ev.IntentRecorded(
                **sent,
                request_kind=RequestKind.REPLACE,
                attempt=number + 1,
                lease_token=1,
                wire_id=ev.WireId(f"CHANGE-{number}"),
            ),
            ev.ReplaceRefused(**sent, evidence=Evidence.BROKER, reason="too late"),
        )
        order = scene.state.book.orders[order.order_id]
    assert scene.watch(monitor(FlowMonitor, min_orders=1, max_ratio=1)) == ()
    flow = scene.memory(monitor(FlowMonitor)).get(ACCOUNT_ID)[1]
    assert (flow.out.total, flow.asked.total) == (31, 31)


def test_accounts_are_counted_apart_and_only_within_the_scope(scene: Scene) -> None:
    other = scene.another_account()
    trade(scene, 40)
    adopt(scene, 20, other)
    (trigger,) = scene.watch(monitor(FlowMonitor))
    assert trigger.scope == Scope(account_id=other)
    assert scene.watch(monitor(FlowMonitor, Scope(account_id=ACCOUNT_ID))) == ()
    assert scene.triggers(monitor(FlowMonitor, Scope(account_id=ACCOUNT_ID))) == ()


def test_its_memory_is_the_same_when_the_log_is_read_afresh(scene: Scene) -> None:
    trade(scene, 5)
    adopt(scene, 5)
    watching = monitor(FlowMonitor)
    assert scene.memory(watching) == scene.memory(watching)
    assert scene.memory(watching).get(ACCOUNT_ID)[1].out.total == 10
