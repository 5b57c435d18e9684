"""Self-trade prevention across the accounts of one owner, and the modes in which open orders make way."""

from decimal import Decimal
from typing import Any

import pytest

from oms_compliance_checks.self_trade_prevention import MOST, SelfTradePrevention
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.order import Side, TimeInForce
from oms_kernel.testkit.builders import ACCOUNT_ID, a_uuid
from oms_kernel.testkit.scene import Scene

SECOND = AccountId(a_uuid("second account"))
OWNERS = [{"owner": "Family", "account_ids": [ACCOUNT_ID, SECOND]}]


def prevention(mode: str = "NEWEST", **params: Any) -> SelfTradePrevention:
    return SelfTradePrevention(parse_params(SelfTradePrevention, {"mode": mode, **params}))


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    assert made.another_account() == SECOND
    return made


# owners --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("owners", "outcome"), [([], "PASS"), (OWNERS, "DENY")])
def test_orders_of_one_owner_meet_across_accounts(scene: Scene, owners: list[Any], outcome: str) -> None:
    scene.accept(scene.order(Side.SELL, limit_price="101", account_id=SECOND))
    verdict = scene.judge(prevention(owners=owners), scene.order(Side.BUY, limit_price="101"))
    assert verdict.outcome == outcome
    if outcome == "DENY":
        assert verdict.message.startswith("the order would meet the owner's own SELL order")
        assert verdict.would_pass == "a limit below 101"


def test_an_owner_has_at_least_its_own_account(scene: Scene) -> None:
    scene.accept(scene.order(Side.SELL, limit_price="101"))
    check = prevention(owners=[{"owner": "Other", "account_ids": [SECOND]}])
    assert scene.judge(check, scene.order(Side.BUY, limit_price="101")).outcome is Outcome.DENY


def test_an_account_belongs_to_one_owner() -> None:
    with pytest.raises(InvalidRequest, match="two owners"):
        prevention(owners=[*OWNERS, {"owner": "Other", "account_ids": [SECOND]}])


def test_orders_that_wait_for_the_opening_meet_too(scene: Scene) -> None:
    scene.accept(scene.order(Side.SELL, limit_price="101", time_in_force=TimeInForce.OPG))
    order = scene.order(Side.BUY, limit_price="101", time_in_force=TimeInForce.OPG)
    assert scene.judge(prevention(), order).outcome is Outcome.DENY


def test_what_passes_says_how_near_the_nearest_own_order_is(scene: Scene) -> None:
    for price in ("103", "101", "102"):
        scene.accept(scene.order(Side.SELL, limit_price=price))
    buying = scene.judge(prevention(), scene.order(Side.BUY, limit_price="100.5"))
    assert (buying.observed, buying.limit, buying.headroom) == (Decimal("100.5"), 101, Decimal("0.5"))
    for price in ("97", "98"):
        scene.accept(scene.order(Side.BUY, limit_price=price))
    selling = scene.judge(prevention(), scene.order(Side.SELL, limit_price="99"))
    assert (selling.observed, selling.limit, selling.headroom) == (99, 98, 1)


# modes ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mode", "outcome", "cancels"),
    [("NEWEST", "DENY", False), ("OLDEST", "PASS", True), ("BOTH", "DENY", True)],
)
def test_a_mode_says_which_order_gives_way(scene: Scene, mode: str, outcome: str, cancels: bool) -> None:
    resting = scene.accept(scene.order(Side.SELL, limit_price="101"))
    scene.accept(scene.order(Side.SELL, limit_price="105"))
    verdict = scene.judge(prevention(mode), scene.order(Side.BUY, limit_price="101"))
    assert verdict.outcome == outcome
    assert verdict.makes_way == ({resting.order_id: 0} if cancels else {})


@pytest.mark.parametrize(
    ("resting", "asked", "outcome", "left", "own"),
    [
        (30, 100, "PASS", 0, 70),
        (100, 30, "DENY", 70, None),
        (50, 50, "DENY", 0, None),
        (1, 100, "PASS", 0, 99),
    ],
)
def test_in_mode_decrement_both_lose_the_smaller_quantity(
    scene: Scene, resting: int, asked: int, outcome: str, left: int, own: int | None
) -> None:
    order = scene.accept(scene.order(Side.SELL, resting, limit_price="101"))
    intent, view = scene.intent(scene.order(Side.BUY, asked, limit_price="101"))
    verdict = prevention("DECREMENT").assess(intent, view, None)
    assert verdict.outcome == outcome
    expected = {order.order_id: Decimal(left)}
    if own is not None:
        expected[intent.order_id] = Decimal(own)
    assert verdict.makes_way == expected


def test_in_mode_decrement_a_partly_filled_order_keeps_what_is_filled_in_its_total(scene: Scene) -> None:
    order = scene.fill(scene.acknowledge(scene.accept(scene.order(Side.SELL, 100, limit_price="101"))), 40, "101")
    verdict = scene.judge(prevention("DECREMENT"), scene.order(Side.BUY, 20, limit_price="101"))
    assert verdict.makes_way == {order.order_id: 80}  # 40 are filled, 40 of the 60 that were open stay open


def test_in_mode_decrement_several_orders_are_met_one_after_the_other(scene: Scene) -> None:
    first = scene.accept(scene.order(Side.SELL, 30, limit_price="101"))
    second = scene.accept(scene.order(Side.SELL, 30, limit_price="100"))
    third = scene.accept(scene.order(Side.SELL, 30, limit_price="101"))
    verdict = scene.judge(prevention("DECREMENT"), scene.order(Side.BUY, 50, limit_price="101"))
    assert verdict.outcome is Outcome.DENY
    assert verdict.makes_way == {first.order_id: 0, second.order_id: 10}
    assert third.order_id not in verdict.makes_way


@pytest.mark.parametrize("mode", ["OLDEST", "BOTH", "DECREMENT"])
def test_a_doubtful_order_makes_no_way(scene: Scene, mode: str) -> None:
    scene.hold(-100)
    scene.doubt(scene.accept(scene.order(Side.SELL, 10, limit_price="101")))
    verdict = scene.judge(prevention(mode), scene.order(Side.BUY, 10, limit_price="101"))
    assert (verdict.outcome, verdict.makes_way) == (Outcome.DENY, {})


@pytest.mark.parametrize(("mode", "outcome"), [("OLDEST", "PASS"), ("BOTH", "DENY"), ("DECREMENT", "DENY")])
def test_a_modification_moves_open_orders_but_in_mode_decrement(scene: Scene, mode: str, outcome: str) -> None:
    resting = scene.accept(scene.order(Side.SELL, limit_price="101"))
    order = scene.accept(scene.order(Side.BUY, limit_price="99"))
    verdict = scene.judge_replace(prevention(mode), order, limit_price="101")
    assert verdict.outcome == outcome
    assert verdict.makes_way == ({} if mode == "DECREMENT" else {resting.order_id: 0})


def test_an_order_that_is_being_cancelled_is_met_and_does_not_stop_the_newer_one(scene: Scene) -> None:
    resting = scene.cancel(scene.acknowledge(scene.accept(scene.order(Side.SELL, limit_price="101"))))
    order = scene.order(Side.BUY, limit_price="101")
    assert scene.judge(prevention("OLDEST"), order).makes_way == {resting.order_id: 0}
    assert scene.judge(prevention("NEWEST"), order).outcome is Outcome.DENY


def test_so_many_orders_make_way_and_no_more(scene: Scene) -> None:
    for _ in range(MOST):
        scene.accept(scene.order(Side.SELL, 1, limit_price="101"))
    order = scene.order(Side.BUY, limit_price="101")
    assert len(scene.judge(prevention("OLDEST"), order).makes_way) == MOST
    scene.accept(scene.order(Side.SELL, 1, limit_price="101"))
    verdict = scene.judge(prevention("OLDEST"), order)
    assert (verdict.outcome, verdict.makes_way) == (Outcome.DENY, {})
