"""Rules over the order at work in the flow: what a batch overdoes stops in that batch, and stays stopped."""

from decimal import Decimal
from typing import Any

from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.controls import Action
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import ExecId, StrategyId
from oms_kernel.domain.lifecycle import RequestKind, Word
from oms_kernel.domain.order import Order, Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.terms import Terms
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID, a_uuid
from oms_risk_rules.basket_notional import BasketNotional
from oms_risk_rules.clock_guard import ClockGuard
from oms_risk_rules.max_order_quantity import MaxOrderQuantity
from oms_risk_rules.message_rate import MessageRate
from oms_risk_rules.parent_child_guard import ParentChildGuard
from oms_risk_rules.reject_storm import RejectStorm
from oms_risk_rules.repeated_execution import RepeatedExecution
from tests.flow.trading import Trading

ALGO, OTHER_ALGO = StrategyId(a_uuid("algo")), StrategyId(a_uuid("other algo"))


def made(cls: Any, **params: Any) -> Any:
    return make_rule(cls, params, EVERYTHING)


def state(trading: Trading, strategy_id: StrategyId | None = None) -> TradingState:
    return trading.in_turn(  # type: ignore[no-any-return]
        lambda turn: turn.view.trading_state(ACCOUNT_ID, strategy_id, trading.instrument.instrument_id)
    )


def told(trading: Trading, kind: type[ev.Event]) -> list[Any]:
    recorded = trading.in_turn(lambda turn: turn.unit.tail(0))
    return [one.event for one in recorded if isinstance(one.event, kind)]


def denials(result: Any) -> list[str]:
    return [",".join(one.code for one in item.decision.denials) for item in result.items]


def fill(trading: Trading, order: Order) -> None:
    """Let the broker execute an accepted order as a whole."""
    instrument = trading.instrument
    number = len(trading.kinds())
    trading.record(
        ev.IntentRecorded(
            account_id=ACCOUNT_ID,
            order_id=order.order_id,
            request_kind=RequestKind.PLACE,
            attempt=0,
            lease_token=1,
            wire_id=f"WIRE-{number}",  # type: ignore[arg-type]
        ),
        ev.OrderFilled(
            account_id=ACCOUNT_ID,
            order_id=order.order_id,
            word=Word.FILLED_WHOLE,
            fill=Fill(
                exec_id=ExecId(f"EXEC-{number}"),
                order_id=order.order_id,
                account_id=ACCOUNT_ID,
                broker_account_id=BROKER_ACCOUNT_ID,
                instrument_id=instrument.instrument_id,
                book=order.book,
                side=order.request.side,
                quantity=order.quantity,
                price=Decimal(100),
                currency=instrument.currency,
                multiplier=instrument.multiplier,
                executed_at=trading.now,
                trading_date="2026-03-02",
                risk_date="2026-03-02",
            ),
        ),
    )


def test_a_storm_is_denied_in_its_own_batch_and_pauses_its_sender_only() -> None:
    rules = [made(MaxOrderQuantity, max_quantity=10), made(RejectStorm, max_rejects=3)]
    trading = Trading(rules, terms=Terms(action=Action.REDUCE_ONLY))
    oversized = [trading.draft(quantity=11, strategy_id=ALGO) for _ in range(5)]
    result = trading.submit(*oversized, trading.draft(quantity=1, strategy_id=ALGO), trading.draft(quantity=1))
    assert denials(result)[:4] == ["max_order_quantity"] * 4
    assert denials(result)[5:] == ["reject_storm", ""]
    (breached,) = told(trading, ev.LimitBreached)
    assert (breached.rule, breached.scope) == ("reject_storm", Scope(account_id=ACCOUNT_ID, strategy_id=ALGO))
    assert [state(trading, one) for one in (ALGO, OTHER_ALGO, None)] == [
        TradingState.REDUCE_ONLY,
        TradingState.ACTIVE,
        TradingState.ACTIVE,
    ]


def test_a_paused_sender_may_reduce_and_feeds_no_new_storm() -> None:
    trading = Trading(
        [made(MaxOrderQuantity, max_quantity=100), made(RejectStorm, max_rejects=1)],
        terms=Terms(action=Action.REDUCE_ONLY),
    )
    fill(trading, trading.place(quantity=10))
    trading.submit(*[trading.draft(quantity=101 + number) for number in range(2)])
    assert state(trading) is TradingState.REDUCE_ONLY
    for number in range(5):
        (item,) = trading.submit(trading.draft(quantity=1 + number)).items
        assert item.decision is not None
        assert not item.decision.accepted
    trading.place(Side.SELL, quantity=10)
    assert len(told(trading, ev.LimitBreached)) == 1


def test_a_strategy_that_executes_again_and_again_is_off_until_a_person_releases_it() -> None:
    trading = Trading([made(RepeatedExecution, max_executions=2)], terms=Terms(action=Action.HALT))
    for _ in range(3):
        fill(trading, trading.place(quantity=1, strategy_id=ALGO))
    assert state(trading, ALGO) is TradingState.HALTED
    trading.wait(hours=3)
    trading.restart()
    assert state(trading, ALGO) is TradingState.HALTED
    assert state(trading) is TradingState.ACTIVE
    (thrown,) = told(trading, ev.KillSwitchActivated)
    switch_id = next(one.event_id for one in trading.in_turn(lambda turn: turn.unit.tail(0)) if one.event == thrown)
    trading.record(ev.KillSwitchReleased(switch_id=switch_id, principal="user:officer"))
    trading.place(quantity=1, strategy_id=ALGO)


def test_what_a_strategy_did_before_a_restart_counts_after_it() -> None:
    trading = Trading([made(RepeatedExecution, max_executions=2)], terms=Terms(action=Action.HALT))
    for _ in range(2):
        fill(trading, trading.place(quantity=1, strategy_id=ALGO))
    trading.restart()
    assert state(trading, ALGO) is TradingState.ACTIVE
    fill(trading, trading.place(quantity=1, strategy_id=ALGO))
    assert state(trading, ALGO) is TradingState.HALTED


def test_a_batch_leaves_the_reserve_of_the_rate_to_cancels() -> None:
    trading = Trading([made(MessageRate, per_second=10)])
    result = trading.submit(*[trading.draft(quantity=1 + number, limit_price="99") for number in range(10)])
    assert denials(result) == [""] * 8 + ["message_rate"] * 2
    placed = [item.order for item in result.items[:8]]
    for order in placed:
        assert order is not None
        trading.amendment.cancel(trading.principal, order.order_id)
    assert len(told(trading, ev.CancelRequested)) == 8


def test_a_basket_is_denied_before_its_first_leg() -> None:
    trading = Trading([made(BasketNotional, max_notional=1500)])
    legs = [trading.draft(quantity=8, limit_price="100") for _ in range(2)]
    assert denials(trading.submit(*legs)) == ["basket_notional"] * 2
    assert denials(trading.submit(legs[0])) == [""]


def test_children_of_one_batch_share_their_parents_quantity() -> None:
    trading = Trading([made(ParentChildGuard)])
    parent = trading.place(quantity=10, limit_price="100")
    children = [trading.draft(quantity=4, limit_price="99", parent_order_id=parent.order_id) for _ in range(3)]
    assert denials(trading.submit(*children)) == ["", "", "parent_child_guard"]


def test_the_clock_is_measured_with_each_transaction() -> None:
    trading = Trading([made(ClockGuard)])
    (item,) = trading.submit(trading.draft(quantity=1)).items
    assert item.decision is not None
    (verdict,) = item.decision.verdicts
    assert (verdict.outcome, verdict.observed, verdict.unit) == ("PASS", Decimal(0), "ms")
