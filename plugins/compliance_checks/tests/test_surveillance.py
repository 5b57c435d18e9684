"""What is looked for after the fact: wash trades, layers that are withdrawn, orders that hardly rested."""

from datetime import timedelta
from typing import Any

import pytest

from oms_compliance_checks.min_resting_time import MinRestingTime
from oms_compliance_checks.spoof_layer_alert import SpoofLayerAlert
from oms_compliance_checks.wash_trade_pattern import WashTradePattern
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain import events as ev
from oms_kernel.domain.controls import Category
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.ids import AccountId, StrategyId
from oms_kernel.domain.lifecycle import Evidence
from oms_kernel.domain.order import Order, Side, TimeInForce
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.testkit.builders import ACCOUNT_ID, a_uuid
from oms_kernel.testkit.scene import Scene

SECOND = AccountId(a_uuid("second account"))
OWNERS = [{"owner": "Family", "account_ids": [ACCOUNT_ID, SECOND]}]
STRATEGY = StrategyId(a_uuid("strategy"))


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.another_account()
    return made


def test_all_of_them_open_cases_for_surveillance() -> None:
    assert {rule.category for rule in (WashTradePattern, SpoofLayerAlert, MinRestingTime)} == {Category.SURVEILLANCE}


# wash_trade_pattern --------------------------------------------------------------------------------------


def wash(scope: Scope = EVERYTHING, **params: Any) -> WashTradePattern:
    return WashTradePattern(parse_params(WashTradePattern, params), scope)


@pytest.mark.parametrize(
    ("quantity", "price", "seconds", "found"),
    [
        (-100, "100", 0, 1),
        (-100, "100", 60, 1),
        (-100, "100", 61, 0),
        (-90, "100", 1, 1),
        (-89, "100", 1, 0),
        (-111, "100", 1, 1),
        (-112, "100", 1, 0),
        (-100, "99.95", 1, 1),
        (-100, "99.94", 1, 0),
        (-100, "100.05", 1, 1),
        (-100, "100.06", 1, 0),
        (100, "100", 1, 0),
    ],
)
def test_a_purchase_and_a_sale_that_cancel_each_other_are_a_pattern(
    scene: Scene, quantity: int, price: str, seconds: int, found: int
) -> None:
    scene.hold(100, 100)
    scene.wait(seconds=seconds)
    scene.hold(quantity, price)
    assert len(scene.triggers(wash())) == found


def test_the_case_says_what_was_traded_and_for_whom(scene: Scene) -> None:
    scene.hold(100, 100)
    scene.wait(seconds=3)
    scene.hold(-100, 100)
    (found,) = scene.triggers(wash())
    assert isinstance(found, Trigger)
    assert (found.observed, found.limit, found.unit) == (3, 60, "s")
    assert found.message == f"{ACCOUNT_ID} traded 100 at 100 (BUY, EXEC-2) and 100 at 100 (SELL, EXEC-3)"
    assert found.key == f"{ACCOUNT_ID}:{scene.instrument.instrument_id}:2026-03-02"
    assert found.scope == Scope(account_id=ACCOUNT_ID, instrument_id=scene.instrument.instrument_id)


@pytest.mark.parametrize(("owners", "found"), [([], 0), (OWNERS, 1)])
def test_accounts_of_one_owner_are_looked_at_together(scene: Scene, owners: list[Any], found: int) -> None:
    scene.hold(100)
    scene.hold(-100, account_id=SECOND)
    triggers = scene.triggers(wash(owners=owners))
    assert len(triggers) == found
    assert all(trigger.key.startswith("owner Family:") for trigger in triggers)


def test_other_instruments_and_other_strategies_make_no_pattern(scene: Scene) -> None:
    scene.hold(100)
    scene.hold(-100, instrument=scene.another_instrument("OTHER"))
    scene.hold(-100, strategy_id=STRATEGY)
    assert len(scene.triggers(wash())) == 1
    assert scene.triggers(wash(Scope(strategy_id=STRATEGY))) == ()
    scene.hold(100, strategy_id=STRATEGY)
    assert len(scene.triggers(wash(Scope(strategy_id=STRATEGY)))) == 1


@pytest.mark.parametrize(("seconds", "outcome"), [(0, "DENY"), (119, "DENY"), (120, "PASS")])
def test_a_block_holds_its_time_but_for_what_closes(scene: Scene, seconds: int, outcome: str) -> None:
    scene.hold(50)
    scene.hold(100)
    scene.hold(-100)
    scene.wait(seconds=seconds)
    scene.quote()
    check = wash(block_s=120)
    assert scene.judge(check, scene.order()).outcome == outcome
    assert scene.judge(check, scene.order(Side.SELL, 50)).outcome is Outcome.PASS
    assert scene.judge(wash(), scene.order()).outcome is Outcome.PASS


def test_a_blocks_memory_is_rebuilt_from_the_log_of_its_horizon(scene: Scene) -> None:
    scene.hold(100)
    scene.hold(-100)
    check = wash(block_s=600)
    assert check.horizon == timedelta(seconds=1200)
    assert scene.memory(check) == scene.memory(wash(block_s=600))
    order = scene.accept(scene.order(limit_price="99"))
    assert scene.judge_replace(check, order, quantity=150).outcome is Outcome.DENY
    assert scene.judge_replace(check, order, quantity=50).outcome is Outcome.PASS


# spoof_layer_alert ---------------------------------------------------------------------------------------


def spoof(scope: Scope = EVERYTHING, **params: Any) -> SpoofLayerAlert:
    return SpoofLayerAlert(parse_params(SpoofLayerAlert, params), scope)


def layers(scene: Scene, *prices: str, side: Side = Side.BUY, **fields: Any) -> list[Order]:
    return [scene.acknowledge(scene.accept(scene.order(side, limit_price=price, **fields))) for price in prices]


def withdraw(scene: Scene, *orders: Order) -> None:
    for order in orders:
        scene.cancel(order)


@pytest.mark.parametrize(
    ("prices", "found"),
    [(("99", "98"), 0), (("99", "98", "97"), 1), (("99", "99", "98"), 0), (("99", "98", "97", "96"), 1)],
    ids=str,
)
def test_enough_withdrawn_prices_on_one_side_around_a_sale_are_a_pattern(
    scene: Scene, prices: tuple[str, ...], found: int
) -> None:
    withdraw(scene, *layers(scene, *prices))
    scene.hold(-10)
    assert len(scene.triggers(spoof())) == found


def test_a_trade_before_the_cancels_counts_as_well_and_the_side_is_named(scene: Scene) -> None:
    orders = layers(scene, "101", "102", "103", side=Side.SELL)
    scene.hold(10)
    withdraw(scene, *orders)
    (found,) = scene.triggers(spoof())
    assert "withdrew 3 of 3 SELL orders at 3 prices (100 %)" in found.message
    assert (found.observed, found.limit, found.unit, found.order_id) == (100, 80, "%", orders[-1].order_id)


def test_a_trade_on_the_same_side_is_none(scene: Scene) -> None:
    withdraw(scene, *layers(scene, "99", "98", "97"))
    scene.hold(10)
    assert scene.triggers(spoof()) == ()


@pytest.mark.parametrize(("kept", "found"), [(0, 1), (1, 1), (2, 0)])
def test_what_was_not_withdrawn_lowers_the_share(scene: Scene, kept: int, found: int) -> None:
    layers(scene, *["90"] * kept)
    withdraw(scene, *layers(scene, "99", "98", "97", "96"))
    scene.hold(-10)
    assert len(scene.triggers(spoof())) == found


def test_an_order_that_traded_in_part_was_meant(scene: Scene) -> None:
    orders = layers(scene, "99", "98", "97")
    scene.fill(orders[0], 1, "99")
    withdraw(scene, *orders)
    scene.hold(-10)
    assert scene.triggers(spoof()) == ()


@pytest.mark.parametrize(("seconds", "found"), [(60, 1), (61, 0)])
def test_what_lies_longer_apart_is_no_pattern(scene: Scene, seconds: int, found: int) -> None:
    withdraw(scene, *layers(scene, "99", "98", "97"))
    scene.wait(seconds=seconds)
    scene.hold(-10)
    assert len(scene.triggers(spoof())) == found


@pytest.mark.parametrize(("owners", "found"), [([], 0), (OWNERS, 1)])
def test_an_owner_is_looked_at_as_a_whole(scene: Scene, owners: list[Any], found: int) -> None:
    withdraw(scene, *layers(scene, "99", "98", "97", account_id=SECOND))
    scene.hold(-10)
    assert len(scene.triggers(spoof(owners=owners))) == found


def test_a_cancel_by_the_broker_is_a_withdrawal_too(scene: Scene) -> None:
    for order in layers(scene, "99", "98", "97"):
        scene.record(
            ev.OrderCanceled(
                account_id=ACCOUNT_ID, order_id=order.order_id, evidence=Evidence.BROKER, broker_at=scene.now
            )
        )
    scene.hold(-10)
    assert len(scene.triggers(spoof())) == 1


def test_a_limit_of_an_instrument_looks_at_nothing_else(scene: Scene) -> None:
    withdraw(scene, *layers(scene, "99", "98", "97"))
    scene.hold(-10)
    assert scene.triggers(spoof(Scope(instrument_id=scene.another_instrument("B").instrument_id))) == ()
    assert len(scene.triggers(spoof(Scope(instrument_id=scene.instrument.instrument_id)))) == 1


# min_resting_time ----------------------------------------------------------------------------------------


def resting(scope: Scope = EVERYTHING, **params: Any) -> MinRestingTime:
    return MinRestingTime(parse_params(MinRestingTime, params), scope)


@pytest.mark.parametrize(("milliseconds", "found"), [(0, 1), (499.999, 1), (500, 0), (5_000, 0)])
def test_an_order_has_to_rest_its_time(scene: Scene, milliseconds: float, found: int) -> None:
    (order,) = layers(scene, "99")
    scene.wait(milliseconds=milliseconds)
    scene.cancel(order)
    assert len(scene.triggers(resting())) == found


def test_the_case_says_how_long_it_was(scene: Scene) -> None:
    (order,) = layers(scene, "99")
    scene.wait(milliseconds=120)
    scene.cancel(order)
    (found,) = scene.triggers(resting(min_resting_ms=200))
    assert found.message == "an order in ACME was cancelled 120 ms after the broker took it"
    assert (found.observed, found.limit, found.unit) == (120, 200, "ms")
    assert found.key == f"{ACCOUNT_ID}:{scene.instrument.instrument_id}:2026-03-02"


def test_the_time_begins_when_the_broker_takes_the_order(scene: Scene) -> None:
    order = scene.accept(scene.order(limit_price="99"))
    scene.wait(seconds=5)
    order = scene.acknowledge(order)
    scene.wait(milliseconds=100)
    scene.cancel(order)
    assert len(scene.triggers(resting())) == 1


@pytest.mark.parametrize("time_in_force", [TimeInForce.IOC, TimeInForce.FOK])
def test_what_is_not_meant_to_rest_does_not(scene: Scene, time_in_force: TimeInForce) -> None:
    scene.cancel(layers(scene, "99", time_in_force=time_in_force)[0])
    scene.cancel(scene.accept(scene.order(limit_price="99")))  # the broker never had it
    assert scene.triggers(resting()) == ()


def test_a_cancel_that_is_asked_for_twice_is_told_once_by_its_key(scene: Scene) -> None:
    orders = layers(scene, "99", "98")
    withdraw(scene, *orders)
    found = scene.triggers(resting())
    assert len(found) == 2
    assert len({trigger.key for trigger in found}) == 1


def test_a_limit_of_an_account_looks_at_no_other(scene: Scene) -> None:
    scene.cancel(layers(scene, "99", account_id=SECOND)[0])
    assert scene.triggers(resting(Scope(account_id=ACCOUNT_ID))) == ()
    assert len(scene.triggers(resting(Scope(account_id=SECOND)))) == 1
    assert scene.watch(resting()) == ()
