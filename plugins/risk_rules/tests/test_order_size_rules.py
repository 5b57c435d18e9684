"""How large one order, or one request, may be: quantities, values, baskets, venue minima and typed confirmations."""

from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_kernel.contracts.rules import Basket
from oms_kernel.domain.decision import Outcome, Verdict
from oms_kernel.domain.ids import EventId, StrategyId
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.order import OrderType, Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import an_instrument
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.basket_notional import BasketNotional
from oms_risk_rules.fat_finger_confirm import FatFingerConfirm
from oms_risk_rules.max_order_notional import MaxOrderNotional
from oms_risk_rules.max_order_quantity import MaxOrderQuantity
from oms_risk_rules.min_order_notional import MinOrderNotional

ALGO = StrategyId("algo")


def made(cls: Any, scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(cls, params, scope)


@pytest.fixture
def scene() -> Scene:
    return Scene()


# max_order_quantity --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("asset_class", "quantity", "outcome"),
    [
        (AssetClass.EQUITY, 100, "PASS"),
        (AssetClass.EQUITY, 101, "DENY"),
        (AssetClass.FUTURE, 5, "PASS"),
        (AssetClass.FUTURE, 6, "DENY"),
        (AssetClass.CRYPTO, 1000, "PASS"),
        (AssetClass.CRYPTO, 1001, "DENY"),
    ],
)
def test_an_asset_class_may_have_its_own_quantity(asset_class: AssetClass, quantity: int, outcome: str) -> None:
    scene = Scene(an_instrument(asset_class=asset_class))
    rule = made(MaxOrderQuantity, max_quantity=100, by_asset_class={"FUTURE": 5, "CRYPTO": "1000"})
    assert scene.judge(rule, scene.order(quantity=quantity)).outcome == outcome


def test_a_denied_quantity_says_what_would_pass_in_whole_lots() -> None:
    scene = Scene(an_instrument(lot_size=Decimal(30)))
    verdict = scene.judge(made(MaxOrderQuantity, max_quantity=100), scene.order(quantity=120))
    assert verdict.would_pass == "a quantity of at most 90"
    assert scene.judge(made(MaxOrderQuantity, max_quantity=29), scene.order(quantity=30)).would_pass == ""


def test_a_passing_quantity_shows_its_figures(scene: Scene) -> None:
    verdict = scene.judge(made(MaxOrderQuantity, max_quantity=100), scene.order(quantity=60))
    assert (verdict.observed, verdict.limit, verdict.headroom) == (Decimal(60), Decimal(100), Decimal(40))
    assert verdict.inputs == {"added": Decimal(60)}


# max_order_notional --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "outcome"), [(9, "PASS"), (10, "PASS"), (11, "DENY")])
def test_an_order_that_may_trade_at_any_price_is_valued_higher(scene: Scene, quantity: int, outcome: str) -> None:
    scene.quote("100", "100")
    rule = made(MaxOrderNotional, max_notional="1050", market_collar_percent=5)
    for fields in ({}, {"order_type": OrderType.STOP, "stop_price": "100"}):
        assert scene.judge(rule, scene.order(quantity=quantity, **fields)).outcome == outcome


def test_the_market_collar_is_not_for_limit_orders_and_is_off_by_default(scene: Scene) -> None:
    scene.quote("100", "100")
    collared = made(MaxOrderNotional, max_notional="1000", market_collar_percent=5)
    assert scene.judge(collared, scene.order(quantity=10, limit_price="100")).outcome is Outcome.PASS
    assert scene.judge(collared, scene.order(quantity=10)).observed == Decimal(1050)
    assert scene.judge(made(MaxOrderNotional, max_notional="1000"), scene.order(quantity=10)).outcome is Outcome.PASS


def test_a_market_sell_is_valued_at_the_bid_plus_the_collar(scene: Scene) -> None:
    rule = made(MaxOrderNotional, max_notional="1000", market_collar_percent="0.5")
    assert scene.judge(rule, scene.order(Side.SELL, 10)).observed == Decimal("1004.8995")


def test_a_quote_of_the_currencies_values_what_has_no_fixed_rate() -> None:
    scene = Scene(an_instrument(currency="EUR"))
    scene.rate("EUR", "USD", "1.25")
    order = scene.order(quantity=10, limit_price="100")
    verdict = scene.judge(made(MaxOrderNotional, max_notional="1250"), order)
    assert (verdict.outcome, verdict.observed, verdict.unit) == (Outcome.PASS, Decimal(1250), "USD")
    assert verdict.inputs["fx_rate"] == Decimal("1.25")
    fixed = made(MaxOrderNotional, max_notional="1250", fx_rates={"EUR": "1.3"})
    assert scene.judge(fixed, order).observed == Decimal(1300)


def test_without_rate_and_quote_of_the_currencies_the_order_is_denied() -> None:
    scene = Scene(an_instrument(currency="EUR"))
    scene.rate("EUR", "GBP", "0.9")
    verdict = scene.judge(made(MaxOrderNotional, max_notional="1250"), scene.order(quantity=1, limit_price="1"))
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_fx_rate")


def test_a_denied_value_says_which_quantity_would_pass() -> None:
    scene = Scene(an_instrument(lot_size=Decimal(5), multiplier=Decimal(2)))
    verdict = scene.judge(made(MaxOrderNotional, max_notional="9999"), scene.order(quantity=100, limit_price="100"))
    assert verdict.would_pass == "a quantity of at most 45"
    passing = scene.judge(made(MaxOrderNotional, max_notional="9999"), scene.order(quantity=45, limit_price="100"))
    assert passing.outcome is Outcome.PASS


def test_the_value_is_exact_to_the_last_digit() -> None:
    scene = Scene(an_instrument(lot_size=Decimal("0.000000000001"), tick_size=Decimal("0.000001")))
    rule = made(MaxOrderNotional, max_notional="0.000003")
    assert scene.judge(rule, scene.order(quantity="3", limit_price="0.000001")).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(quantity="3.000001", limit_price="0.000001")).outcome is Outcome.DENY


# basket_notional -----------------------------------------------------------------------------------------


def judged(scene: Scene, rule: Any, basket: Basket | None, **fields: Any) -> Verdict:
    return scene.judge(rule, scene.order(**fields), basket=basket)


@pytest.mark.parametrize(("total", "outcome"), [("999.99", "PASS"), ("1000", "PASS"), ("1000.01", "DENY")])
def test_a_basket_below_at_and_above_the_limit(scene: Scene, total: str, outcome: str) -> None:
    rule = made(BasketNotional, max_notional=1000)
    verdict = judged(scene, rule, Basket(orders=3, notional=Decimal(total)), quantity=1)
    assert verdict.outcome == outcome
    assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(total), Decimal(1000), "USD")
    assert verdict.inputs == {"orders": Decimal(3)}


def test_orders_that_pass_alone_are_all_denied_when_they_are_too_much_together(scene: Scene) -> None:
    rule = made(BasketNotional, max_notional=1500)
    legs = [scene.order(quantity=8, limit_price="100"), scene.order(Side.SELL, 8, limit_price="101")]
    assert [scene.judge(rule, leg).outcome for leg in legs] == [Outcome.PASS, Outcome.PASS]
    together = scene.basket(*legs)
    assert [scene.judge(rule, leg, basket=together).outcome for leg in legs] == [Outcome.DENY, Outcome.DENY]


def test_a_basket_with_an_order_that_has_no_price_is_denied(scene: Scene) -> None:
    verdict = judged(scene, made(BasketNotional, max_notional=1000), Basket(orders=2, notional=None), quantity=1)
    assert (verdict.outcome, verdict.code, verdict.limit) == (Outcome.DENY, "no_price", Decimal(1000))


def test_an_order_that_came_alone_is_its_own_basket(scene: Scene) -> None:
    rule = made(BasketNotional, max_notional=1000)
    assert judged(scene, rule, None, quantity=10, limit_price="100").outcome is Outcome.PASS
    verdict = judged(scene, rule, None, quantity=11, limit_price="100")
    assert (verdict.outcome, verdict.observed) == (Outcome.DENY, Decimal(1100))


def test_a_lone_order_without_price_or_rate_is_denied() -> None:
    scene = Scene(an_instrument(currency="EUR"))
    rule = made(BasketNotional, max_notional=1000)
    assert judged(scene, rule, None, quantity=1, limit_price="1").code == "no_fx_rate"
    scene.rate("EUR", "USD", "2")
    assert judged(scene, rule, None, quantity=5, limit_price="100").observed == Decimal(1000)
    scene.lose_quotes()
    scene.rate("EUR", "USD", "2")
    assert judged(scene, rule, None, quantity=1).code == "no_price"


def test_new_terms_are_a_basket_of_their_own_and_may_shrink(scene: Scene) -> None:
    rule = made(BasketNotional, max_notional=1000)
    order = scene.accept(scene.order(quantity=8, limit_price="100"))
    assert scene.judge_replace(rule, order, quantity=10).outcome is Outcome.PASS
    assert scene.judge_replace(rule, order, quantity=11).outcome is Outcome.DENY
    large = scene.accept(scene.order(quantity=50, limit_price="100"))
    assert scene.judge_replace(rule, large, quantity=40).outcome is Outcome.PASS
    assert scene.judge_replace(rule, large, quantity=100, limit_price="50").outcome is Outcome.PASS
    assert scene.judge_replace(rule, large, quantity=100, limit_price="50.01").outcome is Outcome.DENY


def test_a_basket_denial_says_what_would_pass(scene: Scene) -> None:
    verdict = judged(scene, made(BasketNotional, max_notional=1000), Basket(orders=2, notional=Decimal(2000)))
    assert verdict.would_pass == "a request worth at most 1000 in the base currency"


def test_the_host_is_told_that_baskets_are_read() -> None:
    assert BasketNotional.needs_basket is True


# min_order_notional --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "outcome"), [("10.01", "PASS"), ("10", "PASS"), ("9.99", "DENY")])
def test_a_value_above_at_and_below_the_least(scene: Scene, price: str, outcome: str) -> None:
    verdict = scene.judge(made(MinOrderNotional, min_notional=100), scene.order(quantity=10, limit_price=price))
    assert verdict.outcome == outcome
    assert (verdict.observed, verdict.limit, verdict.is_floor) == (Decimal(price) * 10, Decimal(100), True)


def test_the_head_room_of_a_floor_is_what_lies_above_it(scene: Scene) -> None:
    rule = made(MinOrderNotional, min_notional=100)
    assert scene.judge(rule, scene.order(quantity=12, limit_price="10")).headroom == Decimal(20)
    assert scene.judge(rule, scene.order(quantity=8, limit_price="10")).headroom == Decimal(-20)


def test_a_venue_may_have_its_own_least_value(scene: Scene) -> None:
    rule = made(MinOrderNotional, min_notional=5, by_venue={"XSIM": "50", "OTHER": "1"})
    assert scene.judge(rule, scene.order(quantity=4, limit_price="10")).outcome is Outcome.DENY
    assert scene.judge(rule, scene.order(quantity=5, limit_price="10")).outcome is Outcome.PASS


@pytest.mark.parametrize(("lot", "quantity"), [("1", "11"), ("2", "12"), ("0.1", "10.1")])
def test_the_least_quantity_that_would_pass_is_said_in_whole_lots(lot: str, quantity: str) -> None:
    scene = Scene(an_instrument(lot_size=Decimal(lot)))
    verdict = scene.judge(made(MinOrderNotional, min_notional="100.5"), scene.order(quantity=2, limit_price="10"))
    assert verdict.would_pass == f"a quantity of at least {quantity}"
    assert (
        scene.judge(
            made(MinOrderNotional, min_notional="100.5"), scene.order(quantity=quantity, limit_price="10")
        ).outcome
        is Outcome.PASS
    )


def test_no_quantity_makes_an_order_at_price_zero_worth_enough() -> None:
    scene = Scene(an_instrument(asset_class=AssetClass.COMBO))
    verdict = scene.judge(made(MinOrderNotional, min_notional=100), scene.order(quantity=10, limit_price="0"))
    assert (verdict.code, verdict.observed, verdict.would_pass) == ("min_order_notional", 0, "")


def test_the_least_value_is_in_the_instruments_currency_and_counts_the_multiplier() -> None:
    scene = Scene(an_instrument(currency="EUR", multiplier=Decimal(50)))
    verdict = scene.judge(made(MinOrderNotional, min_notional=500), scene.order(quantity=1, limit_price="9.99"))
    assert (verdict.outcome, verdict.observed, verdict.unit) == (Outcome.DENY, Decimal("499.5"), "EUR")


def test_a_small_rest_may_be_closed_unless_the_venue_refuses_it(scene: Scene) -> None:
    scene.hold(1)
    order = scene.order(Side.SELL, 1, limit_price="10")
    assert scene.judge(made(MinOrderNotional, min_notional=100), order).outcome is Outcome.PASS
    strict = made(MinOrderNotional, min_notional=100, closing_passes=False)
    assert scene.judge(strict, order).outcome is Outcome.DENY
    assert scene.judge(made(MinOrderNotional, min_notional=100), scene.order(Side.BUY, 1)).outcome is Outcome.PASS
    assert (
        scene.judge(made(MinOrderNotional, min_notional=101), scene.order(Side.BUY, 1, limit_price="10")).outcome
        is Outcome.DENY
    )


def test_an_order_without_a_price_cannot_be_compared_with_the_least(scene: Scene) -> None:
    scene.lose_quotes()
    assert scene.judge(made(MinOrderNotional, min_notional=100), scene.order(quantity=10)).code == "no_price"


def test_new_terms_must_be_worth_the_least_as_well(scene: Scene) -> None:
    rule = made(MinOrderNotional, min_notional=100)
    order = scene.accept(scene.order(quantity=20, limit_price="10"))
    assert scene.judge_replace(rule, order, quantity=10).outcome is Outcome.PASS
    assert scene.judge_replace(rule, order, quantity=9).outcome is Outcome.DENY
    assert scene.judge_replace(rule, order, quantity=30).outcome is Outcome.PASS


# fat_finger_confirm --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "outcome"), [(9, "PASS"), (10, "PASS"), (11, "DENY")])
def test_values_below_at_and_above_the_level(scene: Scene, quantity: int, outcome: str) -> None:
    rule = made(FatFingerConfirm, max_unconfirmed_notional=1000)
    verdict = scene.judge(rule, scene.order(quantity=quantity, limit_price="100"))
    assert verdict.outcome == outcome
    assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(quantity * 100), Decimal(1000), "USD")
    assert verdict.code == ("confirmation_needed" if outcome == "DENY" else "")


@pytest.mark.parametrize(("typed", "outcome"), [("50", "PASS"), ("50.0", "PASS"), ("500", "DENY"), (None, "DENY")])
def test_only_the_same_quantity_confirms(scene: Scene, typed: str | None, outcome: str) -> None:
    rule = made(FatFingerConfirm, max_unconfirmed_notional=1000)
    confirmed = None if typed is None else Decimal(typed)
    order = scene.order(quantity=50, limit_price="100", confirmed_quantity=confirmed)
    assert scene.judge(rule, order).outcome == outcome


def test_the_denial_says_what_to_type(scene: Scene) -> None:
    rule = made(FatFingerConfirm, max_unconfirmed_notional=1000)
    verdict = scene.judge(rule, scene.order(quantity=50, limit_price="100"))
    assert verdict.would_pass == "confirmed_quantity 50"
    assert verdict.message == "the order is worth 5000 USD, more than 1000 USD: type its quantity again"
    assert verdict.inputs["price"] == Decimal(100)


def test_new_terms_above_the_level_cannot_be_confirmed(scene: Scene) -> None:
    rule = made(FatFingerConfirm, max_unconfirmed_notional=1000)
    small = scene.accept(scene.order(quantity=5, limit_price="100", confirmed_quantity=Decimal(20)))
    assert scene.judge_replace(rule, small, quantity=10).outcome is Outcome.PASS
    verdict = scene.judge_replace(rule, small, quantity=20)
    assert (verdict.code, verdict.would_pass) == ("confirmation_needed", "a new order with confirmed_quantity")
    assert verdict.message.endswith("new terms cannot be confirmed")
    large = scene.accept(scene.order(quantity=50, limit_price="100", confirmed_quantity=Decimal(50)))
    assert scene.judge_replace(rule, large, quantity=40).outcome is Outcome.PASS


def test_a_strategy_types_nothing_unless_it_is_asked(scene: Scene) -> None:
    order = scene.order(quantity=50, limit_price="100", strategy_id=ALGO)
    assert scene.judge(made(FatFingerConfirm, max_unconfirmed_notional=1000), order).outcome is Outcome.PASS
    asked = made(FatFingerConfirm, max_unconfirmed_notional=1000, strategies_too=True)
    assert scene.judge(asked, order).outcome is Outcome.DENY


def test_what_cannot_be_valued_cannot_be_confirmed() -> None:
    scene = Scene(an_instrument(currency="EUR"))
    rule = made(FatFingerConfirm, max_unconfirmed_notional=1000)
    order = scene.order(quantity=1, limit_price="1", confirmed_quantity=Decimal(1))
    assert scene.judge(rule, order).code == "no_fx_rate"
    scene.lose_quotes()
    scene.rate("EUR", "USD", "1")
    assert scene.judge(rule, scene.order(quantity=1, confirmed_quantity=Decimal(1))).code == "no_price"


def test_a_liquidation_is_confirmed_by_whoever_started_it(scene: Scene) -> None:
    rule = made(FatFingerConfirm, max_unconfirmed_notional=1000)
    intent, view = scene.intent(scene.order(quantity=50, limit_price="100"))
    request = msgspec.structs.replace(intent.request, liquidation_id=EventId("close-all"))
    assert rule.assess(msgspec.structs.replace(intent, request=request), view, None).outcome is Outcome.PASS
