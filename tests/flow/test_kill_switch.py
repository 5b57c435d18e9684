"""Kill switches: what they stop, what they call back, what they cannot, and who lets trading go on."""

from typing import Any

import pytest

from oms_app.flow.errors import NotPermitted, UnknownAccount
from oms_app.flow.kill_switch import Asked, UnknownSwitch
from oms_app.flow.principal import Principal
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import AccountId, EventId, InstrumentId, StrategyId
from oms_kernel.domain.lifecycle import OrderState, RequestKind
from oms_kernel.domain.order import Order, Side
from oms_kernel.domain.scope import Scope
from oms_kernel.settlement import doubt
from oms_kernel.testkit.builders import ACCOUNT_ID, a_uuid
from tests.flow.stopping import OFFICER, SECOND, STRATEGY, Stopping
from tests.flow.trading import TENANT


@pytest.fixture
def stopping() -> Stopping:
    return Stopping()


def accepted(stopping: Stopping, **fields: Any) -> bool:
    """Whether an order would be taken now."""
    (item,) = stopping.submit(stopping.draft(**fields)).items
    assert item.decision is not None, item.error
    return item.decision.accepted


def every_scope(stopping: Stopping) -> dict[str, Scope]:
    instrument_id = stopping.instrument.instrument_id
    return {
        "tenant": Scope(),
        "account": Scope(account_id=ACCOUNT_ID),
        "strategy": Scope(strategy_id=STRATEGY),
        "instrument": Scope(instrument_id=instrument_id),
        "strategy on an instrument": Scope(strategy_id=STRATEGY, instrument_id=instrument_id),
    }


@pytest.mark.parametrize("name", ["tenant", "account", "strategy", "instrument", "strategy on an instrument"])
def test_a_switch_of_any_scope_stops_what_it_covers_and_nothing_besides(stopping: Stopping, name: str) -> None:
    scope = every_scope(stopping)[name]
    other = StrategyId(a_uuid("another strategy"))
    stopping.throw(scope=scope)
    assert accepted(stopping, strategy_id=STRATEGY) is False
    assert accepted(stopping, strategy_id=other) is (scope.strategy_id is not None)


def test_a_switch_of_another_instrument_or_account_stops_nothing_here(stopping: Stopping) -> None:
    with pytest.raises(InvalidRequest) as error:
        stopping.throw(scope=Scope(instrument_id=InstrumentId(a_uuid("no instrument"))))
    assert error.value.field == "instrument_id"
    with pytest.raises(UnknownAccount):
        stopping.throw(scope=Scope(account_id=AccountId(a_uuid("no account"))))
    assert accepted(stopping)


def test_halted_ends_what_was_not_sent_and_leaves_what_works_alone(stopping: Stopping) -> None:
    working = stopping.place(limit_price="90.00")
    stopping.working(working)
    unsent = stopping.place(limit_price="91.00")
    done = stopping.throw().parts[0]
    assert (done.ended, done.cancelling, done.unrecallable) == ((unsent.order_id,), (), ())
    assert stopping.order(unsent.order_id).state is OrderState.CANCELED
    assert stopping.order(working.order_id).state is OrderState.WORKING


def test_with_cancel_everything_that_works_is_called_back_in_the_same_transaction(stopping: Stopping) -> None:
    orders = [stopping.place(limit_price="90.00") for _ in range(3)]
    stopping.working(*orders)
    before = len(stopping.log())
    done = stopping.throw(cancel_working=True).parts[0]
    assert set(done.cancelling) == {order.order_id for order in orders}
    assert {one.recorded_at for one in stopping.log()[before:]} == {stopping.now}
    assert {stopping.order(order.order_id).state for order in orders} == {OrderState.PENDING_CANCEL}
    assert len(stopping.send()) == 3


@pytest.mark.parametrize("state", [TradingState.REDUCE_ONLY, TradingState.CANCEL_ONLY, TradingState.HALTED])
def test_what_was_accepted_and_not_sent_meets_the_switch_at_the_last_gate(
    stopping: Stopping, state: TradingState
) -> None:
    order = stopping.place(limit_price="90.00")
    stopping.throw(state)
    assert stopping.send() == []
    ended = stopping.order(order.order_id)
    assert (ended.state, ended.reason_code) == (OrderState.CANCELED, "trading_state")


def test_reduce_only_lets_out_what_reduces(stopping: Stopping) -> None:
    stopping.holds(10)
    stopping.throw(TradingState.REDUCE_ONLY)
    assert accepted(stopping, side=Side.BUY, quantity=1) is False
    assert accepted(stopping, side=Side.SELL, quantity=4)
    assert accepted(stopping, side=Side.SELL, quantity=7) is False  # with the four that are open it would go through 0
    assert len(stopping.send()) == 1


def test_cancel_only_takes_cancels_and_nothing_else(stopping: Stopping) -> None:
    stopping.holds(10)
    order = stopping.place(limit_price="90.00")
    stopping.working(order)
    stopping.throw(TradingState.CANCEL_ONLY)
    assert accepted(stopping, side=Side.SELL, quantity=4) is False
    stopping.amendment.cancel(stopping.principal, order.order_id)
    assert len(stopping.send()) == 1


def test_the_strictest_of_several_switches_holds_until_each_is_released(stopping: Stopping) -> None:
    first = stopping.throw(TradingState.HALTED).parts[0].switch
    stopping.throw(TradingState.REDUCE_ONLY, Scope(account_id=ACCOUNT_ID))
    stopping.switches.release(OFFICER, first.switch_id, "the feed is back")
    stopping_state = stopping.in_turn(
        lambda turn: turn.view.trading_state(ACCOUNT_ID, None, stopping.instrument.instrument_id)
    )
    assert stopping_state is TradingState.REDUCE_ONLY


def test_orders_on_the_wire_and_in_doubt_are_named_with_why_they_cannot_be_recalled(stopping: Stopping) -> None:
    sent, doubtful = stopping.place(limit_price="90.00"), stopping.place(limit_price="91.00")
    stopping.send()
    stopping.record(*doubt(stopping.order(doubtful.order_id), _PLACE, "cut"))
    named = {one.order_id: one.why for one in stopping.throw(cancel_working=True).parts[0].unrecallable}
    assert set(named) == {sent.order_id, doubtful.order_id}
    assert "on its way" in named[sent.order_id]
    assert "in doubt" in named[doubtful.order_id]
    stopping.fills(sent, 10)
    assert stopping.order(sent.order_id).state is OrderState.FILLED  # late, and booked all the same


def test_an_equal_switch_again_changes_nothing_and_says_so(stopping: Stopping) -> None:
    first = stopping.throw(cancel_working=True)
    events = len(stopping.log())
    again = stopping.throw(cancel_working=True)
    assert (first.is_new, again.is_new) == (True, False)
    assert again.parts[0].switch == first.parts[0].switch
    assert len(stopping.log()) == events
    assert stopping.throw(cancel_working=False).is_new  # another switch: both have to be released


def test_the_switch_is_folded_from_the_log_by_a_process_that_starts(stopping: Stopping) -> None:
    switch = stopping.throw().parts[0].switch
    stopping.restart()
    assert accepted(stopping) is False
    stopping.switches.release(OFFICER, switch.switch_id, "done")
    stopping.restart()
    assert accepted(stopping)


def test_the_old_door_of_an_account_goes_on_working_beside_a_switch(stopping: Stopping) -> None:
    unsent = stopping.place(limit_price="90.00")
    stopping.control.set_trading_state(OFFICER, ACCOUNT_ID, TradingState.HALTED, "by hand")
    assert stopping.order(unsent.order_id).state is OrderState.CANCELED
    switch = stopping.throw(TradingState.REDUCE_ONLY).parts[0].switch
    stopping.switches.release(OFFICER, switch.switch_id, "the switch only")
    assert accepted(stopping) is False
    stopping.control.set_trading_state(OFFICER, ACCOUNT_ID, TradingState.ACTIVE, "by hand")
    assert accepted(stopping)


def test_a_release_needs_words_and_happens_once(stopping: Stopping) -> None:
    switch = stopping.throw().parts[0].switch
    with pytest.raises(InvalidRequest):
        stopping.switches.release(OFFICER, switch.switch_id, "  ")
    with pytest.raises(UnknownSwitch):
        stopping.switches.release(OFFICER, EventId(a_uuid("no switch")), "why not")
    assert stopping.switches.release(OFFICER, switch.switch_id, "settled").waits is False
    with pytest.raises(OrderConflict):
        stopping.switches.release(OFFICER, switch.switch_id, "settled")


def test_where_two_persons_are_wanted_the_one_who_asks_cannot_confirm(stopping: Stopping) -> None:
    stopping.store.put_settings(TENANT, {"second_person_release": True})
    switch = stopping.throw().parts[0].switch
    assert stopping.switches.release(OFFICER, switch.switch_id, "settled").waits
    with pytest.raises(OrderConflict) as error:
        stopping.switches.release(OFFICER, switch.switch_id, "settled, really")
    assert "second person" in error.value.detail
    stopping.restart()
    assert accepted(stopping) is False
    released = stopping.switches.release(SECOND, switch.switch_id, "I looked too")
    assert (released.waits, released.switch.released_by) == (False, SECOND.principal_id)
    (event,) = [one.event for one in stopping.log() if isinstance(one.event, ev.KillSwitchReleased)]
    assert (event.asked_by, event.principal) == (OFFICER.principal_id, SECOND.principal_id)
    assert accepted(stopping)


def test_words_stand_beside_the_log_and_their_hash_in_it(stopping: Stopping) -> None:
    stopping.throw(reason="prices of yesterday")
    (event,) = [one for one in stopping.log() if isinstance(one.event, ev.KillSwitchActivated)]
    text, _ = stopping.store.texts[TENANT, event.event_id, "kill_switch"]  # type: ignore[index]
    assert text == "prices of yesterday"
    assert isinstance(event.event, ev.KillSwitchActivated)
    assert event.event.reason_hash is not None
    assert "yesterday" not in str(event.event)


def test_a_drill_counts_what_it_would_do_and_does_none_of_it(stopping: Stopping) -> None:
    stopping.holds(10)
    orders = [stopping.place(limit_price="90.00") for _ in range(2)]
    stopping.working(*orders)
    asked = Asked(
        scope=Scope(), trading_state=TradingState.HALTED, reason_code="drill", cancel_working=True, flatten=True
    )
    drill = stopping.switches.drill(OFFICER, asked)
    assert (drill.orders, drill.positions, drill.ledgers) == (2, 1, 1)
    assert stopping.kinds()[-1] == "kill_switch_drilled"
    assert {stopping.order(order.order_id).state for order in orders} == {OrderState.WORKING}
    assert accepted(stopping)


def test_who_may_use_one_account_throws_and_releases_switches_of_that_account_only(stopping: Stopping) -> None:
    narrow = Principal("key:narrow", TENANT, frozenset(), account_ids=frozenset({ACCOUNT_ID}))
    whole = stopping.throw().parts[0].switch
    asked = Asked(scope=Scope(), trading_state=TradingState.HALTED, reason_code="test")
    with pytest.raises(NotPermitted):
        stopping.switches.activate(narrow, asked)
    with pytest.raises(UnknownSwitch):
        stopping.switches.release(narrow, whole.switch_id, "not mine")
    mine = Asked(scope=Scope(account_id=ACCOUNT_ID), trading_state=TradingState.HALTED, reason_code="test")
    own = stopping.switches.activate(narrow, mine).parts[0].switch
    assert stopping.switches.release(narrow, own.switch_id, "mine").waits is False


@pytest.mark.parametrize(("field", "values"), [("trading_state", {"trading_state": TradingState.ACTIVE}),
                                               ("reason_code", {"reason_code": " "})])  # fmt: skip
def test_a_switch_that_stops_nothing_or_says_no_reason_is_refused(
    stopping: Stopping, field: str, values: dict[str, Any]
) -> None:
    good = {"scope": Scope(), "trading_state": TradingState.HALTED, "reason_code": "test"}
    with pytest.raises(InvalidRequest) as error:
        stopping.switches.activate(OFFICER, Asked(**{**good, **values}))
    assert error.value.field == field


def test_a_part_of_a_switch_of_the_whole_firm_is_not_released_by_a_tenant(stopping: Stopping) -> None:
    switch = stopping.throw(scope=Scope(is_firm=True), firm_switch_id=a_uuid("firm switch")).parts[0].switch
    with pytest.raises(NotPermitted):
        stopping.switches.release(OFFICER, switch.switch_id, "we want to trade")
    assert accepted(stopping) is False


def test_a_thousand_working_orders_are_called_back_in_one_transaction(stopping: Stopping) -> None:
    orders: list[Order] = []
    for _ in range(4):
        drafts = [stopping.draft(limit_price="90.00", quantity=1) for _ in range(250)]
        orders += [item.order for item in stopping.submit(*drafts).items if item.order is not None]
    while len(stopping.send()):
        pass
    done = stopping.throw(cancel_working=True).parts[0]
    assert (len(done.cancelling), len(done.unrecallable)) == (1000, 1000)
    assert len(orders) == 1000


_PLACE = RequestKind.PLACE
