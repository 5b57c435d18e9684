"""Message rates and duplicates: counted at once, forgotten in time, never changed in place."""

import time
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.events import OrderAccepted
from oms_kernel.domain.order import OrderType, Side
from oms_kernel.recent import Recent
from oms_kernel.testkit.builders import a_trading_account, an_instrument
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.duplicate_order import DuplicateOrder
from oms_risk_rules.message_rate import MessageRate
from oms_risk_rules.rates import Rate

START = datetime(2026, 3, 2, 12, tzinfo=UTC)


def rate(**params: Any) -> MessageRate:
    """The rule without a reserve for cancels, unless it is asked for."""
    return MessageRate(parse_params(MessageRate, {"cancel_reserve_percent": 0, **params}))


def duplicates(window_s: int = 5) -> DuplicateOrder:
    return DuplicateOrder(parse_params(DuplicateOrder, {"window_s": window_s}))


@pytest.fixture
def scene() -> Scene:
    return Scene()


# message_rate --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("sent", "outcome"), [(1, "PASS"), (2, "PASS"), (3, "DENY")])
def test_messages_below_at_and_above_the_limit_of_a_second(scene: Scene, sent: int, outcome: str) -> None:
    for _ in range(sent):
        scene.accept(scene.order())
    verdict = scene.judge(rate(per_second=3), scene.order())
    assert verdict.outcome == outcome
    if outcome == "DENY":
        assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(4), Decimal(3), "messages/s")


def test_denied_modified_and_cancelled_count_as_accepted_do(scene: Scene) -> None:
    order = scene.accept(scene.order(limit_price="99"))
    scene.deny(scene.order())
    order = scene.replace(order, quantity=50)
    scene.cancel(order)
    assert scene.judge(rate(per_second=5), scene.order()).outcome is Outcome.PASS
    assert scene.judge(rate(per_second=4), scene.order()).observed == Decimal(5)


def test_a_modification_is_limited_too(scene: Scene) -> None:
    order = scene.accept(scene.order(limit_price="99"))
    assert scene.judge_replace(rate(per_second=1), order, quantity=50).outcome is Outcome.DENY
    assert scene.judge_replace(rate(per_second=2), order, quantity=50).outcome is Outcome.PASS


def test_what_the_broker_says_does_not_count(scene: Scene) -> None:
    order = scene.acknowledge(scene.accept(scene.order(limit_price="99")))
    scene.fill(order, 10, "99")
    assert scene.judge(rate(per_second=2), scene.order()).outcome is Outcome.PASS


def test_a_second_later_the_messages_are_forgotten_but_not_earlier(scene: Scene) -> None:
    scene.accept(scene.order())
    rule = rate(per_second=1)
    assert scene.wait(milliseconds=1000).judge(rule, scene.order()).outcome is Outcome.DENY
    assert scene.wait(milliseconds=100).judge(rule, scene.order()).outcome is Outcome.PASS


def test_the_limit_of_a_minute_holds_by_itself(scene: Scene) -> None:
    rule = rate(per_second=10, per_minute=3)
    for _ in range(3):
        scene.accept(scene.order())
        scene.wait(seconds=15)
    verdict = scene.judge(rule, scene.order())
    assert (verdict.outcome, verdict.unit) == (Outcome.DENY, "messages/min")
    assert scene.wait(seconds=16).judge(rule, scene.order()).outcome is Outcome.PASS


def test_accounts_are_counted_apart(scene: Scene) -> None:
    other = scene.open(a_trading_account("other"))  # type: ignore[arg-type]
    scene.accept(scene.order())
    assert scene.judge(rate(per_second=1), scene.order(account_id=other)).outcome is Outcome.PASS
    assert scene.judge(rate(per_second=1), scene.order()).outcome is Outcome.DENY


@given(st.lists(st.integers(0, 400), max_size=60), st.integers(0, 1500))
def test_a_rate_never_counts_too_few_and_at_most_one_slot_too_many(gaps: list[int], later: int) -> None:
    counted, at, times = Rate(timedelta(milliseconds=100), 10), START, []
    for gap in gaps:
        at += timedelta(milliseconds=gap)
        counted = counted.counted(at)
        times.append(at)
    now = at + timedelta(milliseconds=later)
    least = sum(1 for time_ in times if now - time_ < timedelta(seconds=1))
    most = sum(1 for time_ in times if now - time_ <= timedelta(milliseconds=1100))
    assert least <= counted.within(now) <= most


# duplicate_order -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("after", "outcome"),
    [(timedelta(0), "DENY"), (timedelta(seconds=5, microseconds=-1), "DENY"), (timedelta(seconds=5), "PASS")],
    ids=str,
)
def test_an_equal_order_within_the_window_is_denied(scene: Scene, after: timedelta, outcome: str) -> None:
    scene.accept(scene.order(limit_price="99"))
    scene.now += after
    verdict = scene.judge(duplicates(), scene.order(limit_price="99"))
    assert verdict.outcome == outcome
    if outcome == "DENY":
        assert (verdict.limit, verdict.unit) == (Decimal(5), "s")
        assert verdict.observed is not None and verdict.observed < 5


@pytest.mark.parametrize(
    "change",
    [
        {"side": Side.SELL},
        {"quantity": 101},
        {"limit_price": "98"},
        {"order_type": OrderType.LIMIT_ON_CLOSE},
        {"instrument": an_instrument("OTHER")},
        {"allow_duplicate": True},
    ],
    ids=lambda change: next(iter(change)),
)
def test_an_order_that_differs_or_is_meant_passes(scene: Scene, change: dict[str, Any]) -> None:
    scene.add(an_instrument("OTHER"))
    scene.accept(scene.order(limit_price="99"))
    request = scene.order(**{"limit_price": "99", **change})
    assert scene.judge(duplicates(), request).outcome is Outcome.PASS


def test_the_same_numbers_written_otherwise_are_a_duplicate(scene: Scene) -> None:
    scene.accept(scene.order(quantity="100", limit_price="99"))
    assert scene.judge(duplicates(), scene.order(quantity="100.0", limit_price="99.00")).outcome is Outcome.DENY


def test_another_account_may_send_the_same(scene: Scene) -> None:
    other = scene.open(a_trading_account("other"))  # type: ignore[arg-type]
    scene.accept(scene.order())
    assert scene.judge(duplicates(), scene.order(account_id=other)).outcome is Outcome.PASS


def test_a_denied_order_may_be_tried_again_and_a_cancelled_one_not_at_once(scene: Scene) -> None:
    scene.deny(scene.order())
    assert scene.judge(duplicates(), scene.order()).outcome is Outcome.PASS
    scene.cancel(scene.accept(scene.order()))
    assert scene.judge(duplicates(), scene.order()).outcome is Outcome.DENY


def test_a_modification_is_no_duplicate(scene: Scene) -> None:
    order = scene.accept(scene.order(quantity=10, limit_price="99"))
    scene.accept(scene.order(quantity=20, limit_price="99"))
    assert scene.judge_replace(duplicates(), order, quantity=20).outcome is Outcome.PASS


# The memory itself ---------------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(0, 30), st.integers(0, 3)), max_size=200))
def test_recent_remembers_the_newest_of_each_key_within_the_horizon(puts: list[tuple[int, int]]) -> None:
    memory: Recent[int, int] = Recent(timedelta(seconds=10))
    model: dict[int, tuple[datetime, int]] = {}
    at = START
    for value, (key, gap) in enumerate(puts):
        at += timedelta(seconds=gap)
        memory = memory.put(key, at, value)
        model[key] = (at, value)
    for key, (put_at, value) in model.items():
        if put_at >= at - timedelta(seconds=10):
            assert memory.get(key) == (put_at, value)
        else:
            assert memory.get(key) in (None, (put_at, value))


def test_recent_forgets_so_that_it_stays_small() -> None:
    memory: Recent[int, None] = Recent(timedelta(seconds=5))
    for number in range(50_000):
        memory = memory.put(number, START + timedelta(milliseconds=number), None)
    assert len(memory) <= 4 * 5_000
    assert len(memory.generations) <= 20


@pytest.mark.parametrize("rule", [rate(), duplicates()], ids=lambda rule: rule.name)
def test_two_thousand_orders_a_second_are_folded_and_judged_in_a_fraction_of_a_second(rule: Any) -> None:
    scene = Scene()
    recorded = next(
        event
        for event in (scene.accept(scene.order()), *scene.events)
        if isinstance(getattr(event, "event", None), OrderAccepted)
    )
    request = recorded.event.request  # type: ignore[union-attr]
    events = [
        msgspec.structs.replace(
            recorded,
            recorded_at=scene.now + timedelta(microseconds=500 * number),
            event=msgspec.structs.replace(
                recorded.event,  # type: ignore[union-attr]
                request=msgspec.structs.replace(request, quantity=Decimal(number + 1)),
            ),
        )
        for number in range(10_000)
    ]
    intent, view = scene.intent(scene.order(quantity=3))
    state = rule.initial_state()
    started = time.perf_counter()
    for event in events:
        rule.assess(intent, view, state)
        state, _ = rule.fold(state, event)
    assert time.perf_counter() - started < 2.5, "five seconds of orders must cost less than half of them"
