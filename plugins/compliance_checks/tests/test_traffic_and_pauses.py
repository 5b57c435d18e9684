"""Messages for each trade, pauses, day trades: checks with a memory of what happened."""

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_compliance_checks.cooldown import Cooldown
from oms_compliance_checks.day_trade_counter import DayTradeCounter, first_business_day
from oms_compliance_checks.order_to_trade_ratio import OrderToTradeRatio
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.calendar import US_EQUITIES
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import StrategyId
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.testkit.builders import ACCOUNT_ID, a_trading_account, a_uuid
from oms_kernel.testkit.scene import Scene

STRATEGY = StrategyId(a_uuid("strategy"))


@pytest.fixture
def scene() -> Scene:
    return Scene()


# order_to_trade_ratio ------------------------------------------------------------------------------------


def ratio(scope: Scope = EVERYTHING, **params: Any) -> OrderToTradeRatio:
    values = {"block_ratio": "3", "min_orders": 1, **params}
    return OrderToTradeRatio(parse_params(OrderToTradeRatio, values), scope)


def quote_again(scene: Scene, **time: float) -> Scene:
    scene.wait(**time)
    scene.quote()
    return scene


def send(scene: Scene, count: int, **fields: Any) -> None:
    for _ in range(count):
        scene.accept(scene.order(limit_price="99", **fields))


@pytest.mark.parametrize(("sent", "outcome"), [(1, "PASS"), (2, "PASS"), (3, "DENY"), (9, "DENY")])
def test_messages_below_at_and_above_the_ratio_before_any_trade(scene: Scene, sent: int, outcome: str) -> None:
    send(scene, sent)
    verdict = scene.judge(ratio(), scene.order())
    assert (verdict.outcome, verdict.observed, verdict.limit) == (outcome, sent + 1, 3)


@pytest.mark.parametrize(("trades", "outcome"), [(1, "DENY"), (2, "DENY"), (3, "PASS"), (4, "PASS")])
def test_each_trade_allows_more_messages(scene: Scene, trades: int, outcome: str) -> None:
    send(scene, 8)
    for _ in range(trades):
        scene.hold(1)
    verdict = scene.judge(ratio(), scene.order())
    assert verdict.outcome == outcome
    assert verdict.inputs == {"messages": 9, "trades": trades}


def test_the_ratio_is_exact_to_twelve_digits(scene: Scene) -> None:
    send(scene, 9)
    for _ in range(3):
        scene.hold(1)
    assert scene.judge(ratio(block_ratio="3.333333333333"), scene.order()).outcome is Outcome.PASS
    assert scene.judge(ratio(block_ratio="3.333333333332"), scene.order()).outcome is Outcome.DENY


@pytest.mark.parametrize(("least", "outcome"), [(4, "DENY"), (5, "PASS")])
def test_nothing_is_denied_before_so_many_messages(scene: Scene, least: int, outcome: str) -> None:
    send(scene, 4)
    assert scene.judge(ratio(min_orders=least), scene.order()).outcome == outcome


def test_modifications_and_cancels_are_messages_and_denials_are_none(scene: Scene) -> None:
    order = scene.acknowledge(scene.accept(scene.order(limit_price="99")))
    scene.deny(scene.order())
    assert scene.judge(ratio(), scene.order()).observed == 2
    scene.replace(order, quantity=90)
    assert scene.judge(ratio(), scene.order()).observed == 3
    scene.cancel(scene.accept(scene.order(limit_price="98")))
    assert scene.judge(ratio(), scene.order()).observed == 5


def test_what_only_reduces_passes(scene: Scene) -> None:
    scene.hold(100)
    send(scene, 5)
    order = scene.accept(scene.order(limit_price="99"))
    check = ratio()
    assert scene.judge(check, scene.order(Side.SELL, 100)).outcome is Outcome.PASS
    denied = scene.judge(check, scene.order(Side.SELL, 101))
    assert denied.would_pass == "orders that only reduce a position, and cancels"
    assert scene.judge_replace(check, order, quantity=50).outcome is Outcome.PASS
    assert scene.judge_replace(check, order, quantity=150).outcome is Outcome.DENY


def test_each_account_counts_by_itself(scene: Scene) -> None:
    other = scene.another_account()
    send(scene, 5, account_id=other)
    assert scene.judge(ratio(), scene.order()).outcome is Outcome.PASS
    assert scene.judge(ratio(), scene.order(account_id=other)).outcome is Outcome.DENY


def test_a_day_begins_with_the_accounts_own_roll() -> None:
    scene = Scene(account=a_trading_account(time_zone="America/New_York", day_roll=time(17)))
    scene.now = datetime(2026, 3, 2, 21, 59, tzinfo=UTC)  # 16:59 in New York
    scene.quote()
    send(scene, 3)
    assert scene.judge(ratio(), scene.order()).outcome is Outcome.DENY
    quote_again(scene, minutes=1)
    assert scene.judge(ratio(), scene.order()).outcome is Outcome.PASS
    send(scene, 1)
    assert scene.judge(ratio(), scene.order()).observed == 2


def test_a_limit_of_a_strategy_counts_its_messages_only(scene: Scene) -> None:
    check = ratio(Scope(strategy_id=STRATEGY))
    send(scene, 9)
    send(scene, 1, strategy_id=STRATEGY)
    order = scene.acknowledge(scene.accept(scene.order(limit_price="98", strategy_id=STRATEGY)))
    scene.replace(order, quantity=50)
    assert scene.judge(check, scene.order(strategy_id=STRATEGY)).observed == 4
    scene.fill(order, 10, "98")
    assert scene.judge(check, scene.order(strategy_id=STRATEGY)).inputs["trades"] == 1


def test_an_alert_is_told_once_when_the_ratio_is_reached(scene: Scene) -> None:
    check = ratio(block_ratio="100", alert_ratio="4", min_orders=2)
    send(scene, 3)
    assert scene.triggers(check) == ()
    send(scene, 3)
    (found,) = scene.triggers(check)
    assert (found.observed, found.limit, found.key) == (4, 4, f"{ACCOUNT_ID}:2026-03-02")
    assert found.scope == Scope(account_id=ACCOUNT_ID)


def test_the_ratio_is_rebuilt_from_the_log(scene: Scene) -> None:
    send(scene, 3)
    scene.hold(1)
    check = ratio()
    assert scene.memory(check) == scene.memory(ratio())
    assert scene.judge(check, scene.order()).inputs == {"messages": 4, "trades": 1}


# cooldown ------------------------------------------------------------------------------------------------


def pause(scope: Scope = EVERYTHING, **params: Any) -> Cooldown:
    return Cooldown(parse_params(Cooldown, {"pause_s": 60, **params}), scope)


@pytest.mark.parametrize(("seconds", "outcome"), [(0, "DENY"), (59.999999, "DENY"), (60, "PASS"), (61, "PASS")])
def test_a_pause_lasts_its_time(scene: Scene, seconds: float, outcome: str) -> None:
    scene.hold(10)
    quote_again(scene, seconds=seconds)
    verdict = scene.judge(pause(after=["FILL"]), scene.order())
    assert verdict.outcome == outcome
    if outcome == "DENY":
        assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(str(seconds)), 60, "s")
        assert verdict.would_pass.startswith("the order in ")


@pytest.mark.parametrize(
    ("price", "after", "outcome"),
    [
        ("99.99", ["LOSS"], "DENY"),
        ("100", ["LOSS"], "PASS"),
        ("100.01", ["LOSS"], "PASS"),
        ("100.01", ["FILL", "LOSS"], "DENY"),
        ("99.99", ["REJECT"], "PASS"),
    ],
    ids=str,
)
def test_a_loss_is_a_fill_below_what_it_cost(scene: Scene, price: str, after: list[str], outcome: str) -> None:
    scene.hold(100, 100)
    quote_again(scene, minutes=5)
    scene.hold(-50, price)
    verdict = scene.judge(pause(after=after), scene.order())
    assert verdict.outcome == outcome
    if after == ["LOSS"] and outcome == "DENY":
        assert verdict.message == "the instrument lost 0 s ago and has a pause"


def test_only_the_brokers_rejection_pauses(scene: Scene) -> None:
    check = pause(after=["REJECT"])
    scene.deny(scene.order())
    order = scene.accept(scene.order(limit_price="99"))
    scene.cancel(scene.accept(scene.order(limit_price="98")))
    assert scene.judge(check, scene.order()).outcome is Outcome.PASS
    scene.reject(scene.acknowledge(order))
    assert (
        scene.judge(check, scene.order()).message == "the instrument was rejected by the broker 0 s ago and has a pause"
    )


@pytest.mark.parametrize(
    ("per", "same", "other_instrument", "other_strategy", "other_account"),
    [
        ("INSTRUMENT", "DENY", "PASS", "DENY", "PASS"),
        ("STRATEGY", "DENY", "DENY", "PASS", "PASS"),
        ("ACCOUNT", "DENY", "DENY", "DENY", "PASS"),
    ],
)
def test_a_pause_holds_for_what_it_is_per(
    scene: Scene, per: str, same: str, other_instrument: str, other_strategy: str, other_account: str
) -> None:
    order = scene.acknowledge(scene.accept(scene.order(quantity=1, strategy_id=STRATEGY)))
    scene.fill(order, 1)
    other, second = scene.another_instrument("OTHER"), scene.another_account()
    check = pause(after=["FILL"], per=per)
    judged = [
        scene.judge(check, scene.order(strategy_id=STRATEGY)).outcome,
        scene.judge(check, scene.order(strategy_id=STRATEGY, instrument=other)).outcome,
        scene.judge(check, scene.order()).outcome,
        scene.judge(check, scene.order(strategy_id=STRATEGY, account_id=second)).outcome,
    ]
    assert judged == [same, other_instrument, other_strategy, other_account]


def test_in_a_pause_one_may_close_and_change_and_no_more(scene: Scene) -> None:
    order = scene.accept(scene.order(limit_price="99"))
    scene.hold(100)
    check = pause(after=["FILL"])
    assert scene.judge(check, scene.order(Side.SELL, 100)).outcome is Outcome.PASS
    assert scene.judge(check, scene.order(Side.SELL, 101)).outcome is Outcome.DENY
    assert scene.judge_replace(check, order, quantity=200).outcome is Outcome.PASS


def test_a_loss_of_a_strategy_is_one_in_its_own_book(scene: Scene) -> None:
    scene.hold(100, 90)  # the account as a whole does not lose
    scene.hold(100, 100, strategy_id=STRATEGY)
    quote_again(scene, minutes=5)
    scene.hold(-100, 95, strategy_id=STRATEGY)
    assert scene.judge(pause(per="STRATEGY"), scene.order(strategy_id=STRATEGY)).outcome is Outcome.DENY
    assert scene.judge(pause(per="INSTRUMENT"), scene.order(strategy_id=STRATEGY)).outcome is Outcome.PASS


def test_a_limit_of_a_strategy_takes_no_notice_of_others(scene: Scene) -> None:
    scene.hold(10)
    check = pause(Scope(strategy_id=STRATEGY), after=["FILL"])
    assert scene.judge(check, scene.order(strategy_id=STRATEGY)).outcome is Outcome.PASS
    scene.hold(10, strategy_id=STRATEGY)
    assert scene.judge(check, scene.order(strategy_id=STRATEGY)).outcome is Outcome.DENY


def test_a_pause_says_how_far_back_it_looks() -> None:
    assert pause().horizon is None
    assert pause(after=["FILL"]).horizon == timedelta(days=2, seconds=60)
    with pytest.raises(InvalidRequest, match="at least one of FILL"):
        pause(after=[])


# day_trade_counter ---------------------------------------------------------------------------------------


def counter(*rules: dict[str, Any]) -> DayTradeCounter:
    values = {"rules": list(rules) or [{"effective_from": "2020-01-01", "max_day_trades": 3}]}
    return DayTradeCounter(parse_params(DayTradeCounter, values))


def day_trade(scene: Scene, quantity: int = 1, **fields: Any) -> None:
    scene.hold(quantity, **fields)
    scene.hold(-quantity, **fields)


@pytest.fixture
def small(scene: Scene) -> Scene:
    """An account with 1,000 dollars."""
    scene.pay(1_000)
    return scene


@pytest.mark.parametrize(("done", "outcome"), [(0, "PASS"), (2, "PASS"), (3, "DENY"), (4, "DENY")])
def test_day_trades_below_at_and_above_the_most(small: Scene, done: int, outcome: str) -> None:
    for _ in range(done):
        day_trade(small)
    verdict = small.judge(counter(), small.order())
    assert verdict.outcome == outcome
    assert verdict.observed == (done or None)


@pytest.mark.parametrize(("paid", "outcome"), [(23_999, "DENY"), (24_000, "PASS")])
def test_with_enough_equity_any_number_is_allowed(small: Scene, paid: int, outcome: str) -> None:
    small.pay(paid)
    for _ in range(5):
        day_trade(small)
    verdict = small.judge(counter(), small.order())
    assert verdict.outcome == outcome
    assert verdict.inputs == {"equity": paid + 1_000, "equity_threshold": 25_000}


def test_unknown_equity_denies(small: Scene) -> None:
    for _ in range(3):
        day_trade(small)
    small.hold(1)
    order = small.order(limit_price="99")
    small.lose_quotes()
    assert small.judge(counter(), order).code == "no_equity"


def test_nobody_is_kept_in_a_position(small: Scene) -> None:
    for _ in range(3):
        day_trade(small)
    small.hold(10)
    check = counter()
    assert small.judge(check, small.order(Side.SELL, 10)).outcome is Outcome.PASS
    assert small.judge(check, small.order(Side.SELL, 11)).outcome is Outcome.DENY
    order = small.accept(small.order(limit_price="99"))
    assert small.judge_replace(check, order, quantity=50).outcome is Outcome.PASS
    assert small.judge_replace(check, order, quantity=150).outcome is Outcome.DENY


def done(scene: Scene) -> int:
    """How many day trades the account has, as the check says."""
    observed = scene.judge(counter({"effective_from": "2020-01-01", "max_day_trades": 99}), scene.order()).observed
    return int(observed or 0)


def test_a_position_that_is_closed_in_parts_is_one_day_trade(small: Scene) -> None:
    small.hold(10)
    small.hold(-4)
    small.hold(-6)
    assert done(small) == 1
    small.hold(10)
    small.hold(-5)
    assert done(small) == 2


def test_a_fill_through_zero_closes_and_opens(small: Scene) -> None:
    small.hold(10)
    small.hold(-25)
    assert done(small) == 1
    small.hold(15)
    assert done(small) == 2


def test_what_was_opened_another_day_may_be_closed_freely(small: Scene) -> None:
    small.hold(10)
    quote_again(small, days=1)
    small.hold(-10)
    assert done(small) == 0
    small.hold(5)
    small.hold(-5)
    assert done(small) == 1


def test_day_trades_of_different_instruments_add_up_and_of_accounts_do_not(small: Scene) -> None:
    day_trade(small)
    day_trade(small, instrument=small.another_instrument("OTHER"))
    day_trade(small, account_id=small.another_account())
    assert done(small) == 2


def test_only_business_days_count() -> None:
    calendar = msgspec.structs.replace(US_EQUITIES, holidays=(date(2026, 3, 10),))
    assert first_business_day(calendar, date(2026, 3, 12), 5) == date(2026, 3, 5)
    assert first_business_day(calendar, date(2026, 3, 13), 5) == date(2026, 3, 6)
    assert first_business_day(calendar, date(2026, 3, 16), 5) == date(2026, 3, 9)
    assert first_business_day(calendar, date(2026, 3, 15), 1) == date(2026, 3, 13)


@pytest.mark.parametrize(("days", "count"), [(0, 1), (7, 1), (10, 0)], ids=["friday", "next_friday", "monday_after"])
def test_a_day_trade_is_forgotten_after_the_business_days(small: Scene, days: int, count: int) -> None:
    small.calendars["us-equities"] = msgspec.structs.replace(US_EQUITIES, holidays=(date(2026, 3, 10),))
    small.instrument = small.add(msgspec.structs.replace(small.instrument, calendar="us-equities"))
    small.now = datetime(2026, 3, 6, 15, tzinfo=UTC)
    day_trade(small)
    quote_again(small, days=days)
    assert done(small) == count


@pytest.mark.parametrize(
    ("second", "outcome"),
    [
        ({"effective_from": "2026-03-02", "max_day_trades": 9}, "PASS"),
        ({"effective_from": "2026-03-03", "max_day_trades": 9}, "DENY"),
        ({"effective_from": "2026-01-01", "max_day_trades": -1}, "PASS"),
        ({"effective_from": "2026-01-01", "max_day_trades": 3, "equity_threshold": "500"}, "PASS"),
    ],
    ids=str,
)
def test_the_rules_of_the_day_hold(small: Scene, second: dict[str, Any], outcome: str) -> None:
    for _ in range(3):
        day_trade(small)
    check = counter({"effective_from": "2020-01-01", "max_day_trades": 3}, second)
    assert small.judge(check, small.order()).outcome == outcome


def test_before_the_first_rules_there_are_none(small: Scene) -> None:
    for _ in range(9):
        day_trade(small)
    assert small.judge(counter({"effective_from": "2027-01-01"}), small.order()).outcome is Outcome.PASS
    with pytest.raises(InvalidRequest, match="at least one"):
        DayTradeCounter(parse_params(DayTradeCounter, {"rules": []}))
