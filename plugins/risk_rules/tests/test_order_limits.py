"""Quantity, value and price of one order: below, at and above the limit, modified upwards, and with data missing."""

from decimal import Decimal
from typing import Any

import pytest

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.order import OrderType, Side
from oms_kernel.testkit.builders import an_instrument
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.max_order_notional import MaxOrderNotional
from oms_risk_rules.max_order_quantity import MaxOrderQuantity
from oms_risk_rules.price_collar import PriceCollar


def made(cls: Any, **params: Any) -> Any:
    return cls(parse_params(cls, params))


@pytest.fixture
def scene() -> Scene:
    return Scene()


# Quantity ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "outcome"), [(99, "PASS"), (100, "PASS"), (101, "DENY")])
def test_quantity_below_at_and_above_the_limit(scene: Scene, quantity: int, outcome: str) -> None:
    verdict = scene.judge(made(MaxOrderQuantity, max_quantity=100), scene.order(quantity=quantity))
    assert verdict.outcome == outcome


def test_a_denied_quantity_tells_observed_limit_and_unit(scene: Scene) -> None:
    verdict = scene.judge(made(MaxOrderQuantity, max_quantity=100), scene.order(quantity=101))
    assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal(101), Decimal(100), "units")
    assert verdict.message == "the order's quantity of 101 units is above the limit of 100 units"


def test_a_fraction_above_the_limit_is_above_the_limit() -> None:
    scene = Scene(an_instrument(lot_size=Decimal("0.000000000001")))
    rule = made(MaxOrderQuantity, max_quantity="0.1")
    assert scene.judge(rule, scene.order(quantity="0.1")).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(quantity="0.100000000001")).outcome is Outcome.DENY


def test_modifying_the_quantity_upwards_is_judged_as_a_new_order_is(scene: Scene) -> None:
    rule = made(MaxOrderQuantity, max_quantity=100)
    order = scene.accept(scene.order(quantity=90, limit_price="99"))
    assert scene.judge_replace(rule, order, quantity=100).outcome is Outcome.PASS
    assert scene.judge_replace(rule, order, quantity=101).outcome is Outcome.DENY


def test_a_modification_that_adds_nothing_passes_even_above_a_lowered_limit(scene: Scene) -> None:
    rule = made(MaxOrderQuantity, max_quantity=100)
    order = scene.accept(scene.order(quantity=500, limit_price="99"))
    assert scene.judge_replace(rule, order, quantity=400).outcome is Outcome.PASS
    assert scene.judge_replace(rule, order, limit_price="98").outcome is Outcome.PASS


# Value ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("price", "outcome"), [("99.99", "PASS"), ("100", "PASS"), ("100.01", "DENY")])
def test_value_below_at_and_above_the_limit(scene: Scene, price: str, outcome: str) -> None:
    rule = made(MaxOrderNotional, max_notional="10000")
    assert scene.judge(rule, scene.order(quantity=100, limit_price=price)).outcome == outcome


def test_a_denied_value_tells_observed_limit_and_the_base_currency(scene: Scene) -> None:
    rule = made(MaxOrderNotional, max_notional="10000")
    verdict = scene.judge(rule, scene.order(quantity=100, limit_price="100.01"))
    assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal("10001"), Decimal(10_000), "USD")


def test_a_market_order_is_valued_at_the_opposite_quote(scene: Scene) -> None:
    rule = made(MaxOrderNotional, max_notional="10000")
    assert scene.judge(rule, scene.order(Side.BUY, 100)).observed == Decimal("10001")
    assert scene.judge(rule, scene.order(Side.SELL, 100)).outcome is Outcome.PASS


def test_a_sell_far_below_the_market_is_valued_where_it_would_trade(scene: Scene) -> None:
    rule = made(MaxOrderNotional, max_notional="5000")
    verdict = scene.judge(rule, scene.order(Side.SELL, 100, limit_price="1"))
    assert verdict.observed == Decimal("9999")


def test_the_multiplier_counts() -> None:
    scene = Scene(an_instrument(multiplier=Decimal(50), asset_class=AssetClass.FUTURE))
    rule = made(MaxOrderNotional, max_notional="10000")
    assert scene.judge(rule, scene.order(quantity=2, limit_price="100")).outcome is Outcome.PASS
    assert scene.judge(rule, scene.order(quantity=3, limit_price="100")).observed == Decimal(15_000)


def test_an_order_without_a_price_is_denied_as_no_price(scene: Scene) -> None:
    scene.lose_quotes()
    rule = made(MaxOrderNotional, max_notional="10000")
    verdict = scene.judge(rule, scene.order(quantity=1))
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_price")


def test_a_foreign_currency_needs_a_rate() -> None:
    scene = Scene(an_instrument(currency="EUR"))
    order = scene.order(quantity=10, limit_price="100")
    assert scene.judge(made(MaxOrderNotional, max_notional="1100"), order).code == "no_fx_rate"
    dear = made(MaxOrderNotional, max_notional="1100", fx_rates={"EUR": "1.11"})
    verdict = scene.judge(dear, order)
    assert (verdict.observed, verdict.unit) == (Decimal(1110), "USD")
    assert (
        scene.judge(made(MaxOrderNotional, max_notional="1100", fx_rates={"EUR": "1.1"}), order).outcome is Outcome.PASS
    )


def test_a_value_beyond_every_number_is_denied_and_not_a_failure() -> None:
    scene = Scene(an_instrument(currency="EUR"))
    rule = made(MaxOrderNotional, max_notional="9" * 18, fx_rates={"EUR": "1000"})
    verdict = scene.judge(rule, scene.order(quantity="900000000", limit_price="100000000"))
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "max_order_notional")


def test_modifying_the_value_upwards_is_judged_and_downwards_passes(scene: Scene) -> None:
    rule = made(MaxOrderNotional, max_notional="10000")
    order = scene.accept(scene.order(quantity=100, limit_price="99"))
    assert scene.judge_replace(rule, order, limit_price="100").outcome is Outcome.PASS
    assert scene.judge_replace(rule, order, limit_price="100.01").outcome is Outcome.DENY
    assert scene.judge_replace(rule, order, quantity=102).outcome is Outcome.DENY
    large = scene.accept(scene.order(quantity=1000, limit_price="99"))
    assert scene.judge_replace(rule, large, quantity=900).outcome is Outcome.PASS
    assert scene.judge_replace(rule, large, quantity=1001).outcome is Outcome.DENY


# Price ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("side", "price", "outcome"),
    [
        (Side.BUY, "50", "PASS"),
        (Side.BUY, "110.00", "PASS"),
        (Side.BUY, "110.01", "DENY"),
        (Side.SELL, "150", "PASS"),
        (Side.SELL, "90.00", "PASS"),
        (Side.SELL, "89.99", "DENY"),
    ],
)
def test_a_limit_is_collared_on_its_losing_side(scene: Scene, side: Side, price: str, outcome: str) -> None:
    scene.quote("100", "100")
    rule = made(PriceCollar, max_deviation_percent=10)
    assert scene.judge(rule, scene.order(side, limit_price=price)).outcome == outcome


def test_the_verdict_tells_the_deviation_the_limit_and_the_quote_used(scene: Scene) -> None:
    scene.quote("99", "100")
    rule = made(PriceCollar, max_deviation_percent=10)
    verdict = scene.judge(rule, scene.order(limit_price="112.50"))
    assert (verdict.observed, verdict.limit, verdict.unit) == (Decimal("12.5"), Decimal(10), "%")
    assert (verdict.quote_price, verdict.quote_at) == (Decimal(100), scene.now)
    assert verdict.message == "12.5 % away from 100 is above the limit of 10 %"
    assert scene.judge(rule, scene.order(limit_price="101")).quote_price == Decimal(100)


@pytest.mark.parametrize(("side", "price"), [(Side.BUY, "89.99"), (Side.SELL, "110.01")])
def test_the_winning_side_is_collared_where_asked_for(scene: Scene, side: Side, price: str) -> None:
    scene.quote("100", "100")
    order = scene.order(side, limit_price=price)
    assert scene.judge(made(PriceCollar, max_deviation_percent=10), order).outcome is Outcome.PASS
    both = made(PriceCollar, max_deviation_percent=10, passive_too=True)
    assert scene.judge(both, order).outcome is Outcome.DENY


def test_the_reference_may_be_the_mid_price(scene: Scene) -> None:
    scene.quote("90", "110")
    order = scene.order(limit_price="111")
    assert scene.judge(made(PriceCollar, max_deviation_percent=10), order).outcome is Outcome.PASS
    mid = made(PriceCollar, max_deviation_percent=10, reference="MID")
    assert scene.judge(mid, order).observed == Decimal(11)


@pytest.mark.parametrize(
    ("bid", "ask", "denied"), [("99", None, Side.BUY), (None, "101", Side.SELL), ("0", "0", Side.BUY)]
)
def test_a_one_sided_or_zero_quote_denies_where_the_side_is_needed(
    scene: Scene, bid: str | None, ask: str | None, denied: Side
) -> None:
    scene.quote(bid, ask)
    rule = made(PriceCollar, max_deviation_percent=10)
    assert scene.judge(rule, scene.order(denied, limit_price="100")).code == "no_quote"


def test_a_quote_at_its_greatest_age_is_used_and_an_older_one_denies(scene: Scene) -> None:
    rule = made(PriceCollar, max_deviation_percent=10)
    order = scene.order(limit_price="100")
    assert scene.wait(seconds=5).judge(rule, order).outcome is Outcome.PASS
    assert scene.wait(microseconds=1).judge(rule, order).code == "no_quote"


def test_an_order_without_a_price_has_nothing_to_collar(scene: Scene) -> None:
    scene.lose_quotes()
    rule = made(PriceCollar, max_deviation_percent=10, max_stop_deviation_percent=10)
    assert scene.judge(rule, scene.order()).outcome is Outcome.PASS


def test_a_limit_behind_a_trigger_is_measured_from_the_trigger(scene: Scene) -> None:
    rule = made(PriceCollar, max_deviation_percent=10)

    def order(limit_price: str) -> Any:
        return scene.order(order_type=OrderType.STOP_LIMIT, stop_price="150", limit_price=limit_price)

    assert scene.judge(rule, order("165")).outcome is Outcome.PASS
    verdict = scene.judge(rule, order("165.01"))
    assert (verdict.outcome, verdict.quote_price) == (Outcome.DENY, Decimal(150))


def test_a_trigger_is_bounded_only_where_asked_for(scene: Scene) -> None:
    scene.quote("100", "100")

    def order(stop_price: str) -> Any:
        return scene.order(Side.SELL, order_type=OrderType.STOP, stop_price=stop_price)

    assert scene.judge(made(PriceCollar, max_deviation_percent=1), order("10")).outcome is Outcome.PASS
    rule = made(PriceCollar, max_deviation_percent=1, max_stop_deviation_percent=20)
    assert scene.judge(rule, order("80")).outcome is Outcome.PASS
    assert scene.judge(rule, order("79.99")).outcome is Outcome.DENY
    assert scene.judge(rule, order("120.01")).outcome is Outcome.DENY


def test_modifying_the_price_outwards_is_collared(scene: Scene) -> None:
    rule = made(PriceCollar, max_deviation_percent=10)
    order = scene.accept(scene.order(limit_price="99"))
    assert scene.judge_replace(rule, order, limit_price="110").outcome is Outcome.PASS
    assert scene.judge_replace(rule, order, limit_price="110.02").outcome is Outcome.DENY
