"""What a rule's memory or a kill switch sets off is stored with the event that set it off, once, or not at all."""

from typing import Any

import pytest

from oms_app.flow.consequences import act_on_triggers, throw
from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.controls import Action, Category
from oms_kernel.domain.decision import RuleSeverity, passed
from oms_kernel.domain.lifecycle import OrderStatus
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.terms import Terms
from oms_kernel.testkit.builders import ACCOUNT_ID, a_uuid
from tests.flow.trading import Trading


class TooMany:
    """Triggers at every accepted order from the second on, each time for the account."""

    name = "too_many"

    def __init__(self, key: str = "") -> None:
        self.key = key

    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        return passed(self.name)

    def initial_state(self) -> int:
        return 0

    def fold(self, state: int, event: ev.Recorded) -> tuple[int, tuple[Trigger, ...]]:
        if not isinstance(event.event, ev.OrderAccepted):
            return state, ()
        if state == 0:
            return 1, ()
        return state + 1, (Trigger(message="too many orders", scope=Scope(ACCOUNT_ID), key=self.key),)


def events(trading: Trading, kind: type[ev.Event]) -> list[Any]:
    recorded = trading.in_turn(lambda turn: turn.unit.tail(0))
    return [one.event for one in recorded if isinstance(one.event, kind)]


def state(trading: Trading) -> TradingState:
    return trading.in_turn(  # type: ignore[no-any-return]
        lambda turn: turn.view.trading_state(ACCOUNT_ID, None, trading.instrument.instrument_id)
    )


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Action.ALERT, TradingState.ACTIVE),
        (Action.REDUCE_ONLY, TradingState.REDUCE_ONLY),
        (Action.CANCEL_WORKING, TradingState.CANCEL_ONLY),
        (Action.FLATTEN, TradingState.CANCEL_ONLY),
        (Action.HALT, TradingState.HALTED),
    ],
)
def test_a_trigger_does_what_its_limit_says_in_the_transaction_that_set_it_off(
    action: Action, expected: TradingState
) -> None:
    trading = Trading([TooMany()], terms=Terms(action=action))
    trading.place(quantity=1)
    assert state(trading) is TradingState.ACTIVE
    before = len(trading.kinds())
    trading.submit(trading.draft(quantity=1))
    assert trading.kinds()[before : before + 3] == ["order_accepted", "limit_breached", "alert_raised"]
    assert state(trading) is expected
    (breached,) = events(trading, ev.LimitBreached)
    assert (breached.limit_id, breached.rule, breached.action) == ("limit-0", "too_many", action)
    assert len(events(trading, ev.LiquidationStarted)) == (action is Action.FLATTEN)


def test_a_halt_ends_what_was_never_sent_and_cancels_the_rest() -> None:
    trading = Trading([TooMany()], terms=Terms(action=Action.HALT))
    first = trading.place(quantity=1)
    (second,) = trading.submit(trading.draft(quantity=1)).items
    assert second.order is not None
    for order in (first, second.order):
        assert trading.order(order.order_id).status is OrderStatus.CANCELED


def test_a_breach_is_told_once_while_it_is_open_and_again_after_it_was_closed() -> None:
    trading = Trading([TooMany()], terms=Terms(action=Action.ALERT))
    for _ in range(4):
        trading.place(quantity=1)
    assert len(events(trading, ev.LimitBreached)) == 1
    breach_id = trading.in_turn(lambda turn: turn.batch.book.open_breach("limit-0", ""))
    trading.record(ev.BreachClosed(breach_id=breach_id, principal="user:officer"))
    trading.place(quantity=1)
    assert len(events(trading, ev.LimitBreached)) == 2


def test_a_restarted_process_reads_the_same_events_and_sets_nothing_off_again() -> None:
    trading = Trading([TooMany()], terms=Terms(action=Action.HALT))
    trading.place(quantity=1)
    trading.submit(trading.draft(quantity=1))
    told = trading.kinds()
    trading.restart()
    assert state(trading) is TradingState.HALTED
    assert trading.kinds() == told


def test_a_shadow_limit_tells_its_breach_and_stops_nothing() -> None:
    trading = Trading([TooMany()], terms=Terms(action=Action.HALT, severity=RuleSeverity.SHADOW))
    for _ in range(3):
        trading.place(quantity=1)
    (breached,) = events(trading, ev.LimitBreached)
    assert breached.action is Action.ALERT
    assert state(trading) is TradingState.ACTIVE


def test_a_case_of_surveillance_raises_no_alert_that_the_watched_would_read() -> None:
    trading = Trading([TooMany()], terms=Terms(action=Action.ALERT, category=Category.SURVEILLANCE))
    for _ in range(2):
        trading.place(quantity=1)
    assert len(events(trading, ev.LimitBreached)) == 1
    assert events(trading, ev.AlertRaised) == []


def test_a_limit_whose_time_is_over_sets_nothing_off() -> None:
    trading = Trading([TooMany()], terms=Terms(action=Action.HALT))
    trading.terms = Terms(action=Action.HALT, effective_until=trading.now)
    trading.restart()
    for _ in range(3):
        trading.place(quantity=1)
    assert events(trading, ev.LimitBreached) == []


def test_a_thrown_switch_names_what_it_ended_what_it_cancels_and_what_it_cannot_recall() -> None:
    trading = Trading()
    unsent = trading.place(quantity=1)
    sent = trading.place(quantity=2)
    trading.record(
        ev.IntentRecorded(
            account_id=ACCOUNT_ID,
            order_id=sent.order_id,
            request_kind=ev.RequestKind.PLACE,
            attempt=0,
            lease_token=1,
            wire_id=a_uuid("wire"),  # type: ignore[arg-type]
        )
    )
    activation = ev.KillSwitchActivated(
        scope=EVERYTHING, trading_state=TradingState.HALTED, reason_code="test", cancel_working=True
    )
    thrown = trading.in_turn(lambda turn: throw(turn, activation))
    assert thrown.ended == (unsent.order_id,)
    assert thrown.cancelling == (sent.order_id,)
    assert thrown.beyond_recall == (sent.order_id,)
    assert trading.order(sent.order_id).cancel is not None


def test_a_transaction_that_fails_leaves_no_breach_behind() -> None:
    trading = Trading([TooMany()], terms=Terms(action=Action.HALT))
    trading.place(quantity=1)
    before = trading.kinds()

    def place_and_fail(turn: Any) -> None:
        turn.batch.record(*[one.event for one in turn.unit.tail(2)][:0])
        turn.batch.triggered.append((turn.batch.rules[0], Trigger(message="x")))
        act_on_triggers(turn)
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError):
        trading.in_turn(place_and_fail)
    assert trading.kinds() == before
    assert state(trading) is TradingState.ACTIVE
    assert trading.place(Side.BUY, 1).status is not OrderStatus.DENIED
