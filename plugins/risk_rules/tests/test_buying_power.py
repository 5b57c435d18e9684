"""What an order needs and what is free: cash, margins, open orders, short sales and prices above the mark."""

from typing import Any

import pytest

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.decision import Outcome, Verdict
from oms_kernel.domain.order import Side
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.buying_power import BuyingPower


@pytest.fixture
def scene() -> Scene:
    return Scene()


def funds(**params: Any) -> BuyingPower:
    return BuyingPower(parse_params(BuyingPower, params))


def at_par(scene: Scene, rule: BuyingPower, quantity: int, side: Side = Side.BUY) -> Verdict:
    return scene.judge(rule, scene.order(side, quantity, limit_price="100"))


def test_in_a_cash_account_what_is_held_is_no_money(scene: Scene) -> None:
    scene.pay(20_000)
    scene.hold(100, 100)
    assert at_par(scene, funds(), 100).outcome is Outcome.PASS
    denied = at_par(scene, funds(), 101)
    assert (denied.observed, denied.limit, denied.unit) == (10_100, 10_000, "USD")
    assert denied.inputs == {"equity": 20_000, "bound": 10_000, "reserve": 0}


def test_a_gain_that_is_not_realised_buys_nothing_in_a_cash_account(scene: Scene) -> None:
    scene.pay(11_000)
    scene.hold(100, 50)
    assert at_par(scene, funds(), 60).outcome is Outcome.PASS
    assert at_par(scene, funds(), 61).outcome is Outcome.DENY


def test_on_margin_a_part_of_what_is_held_counts(scene: Scene) -> None:
    scene.pay(20_000)
    scene.hold(100, 100)
    rule = funds(long_margin_percent=50)
    assert at_par(scene, rule, 300).outcome is Outcome.PASS
    assert at_par(scene, rule, 301).would_pass == "a quantity of at most 300"


def test_open_buys_bind_money_and_open_sells_free_none(scene: Scene) -> None:
    scene.pay(10_000)
    scene.hold(50, 100)
    scene.accept(scene.order(Side.BUY, 20, limit_price="99"))
    scene.accept(scene.order(Side.SELL, 50, limit_price="101"))
    assert at_par(scene, funds(), 30).outcome is Outcome.PASS
    assert at_par(scene, funds(), 31).outcome is Outcome.DENY


def test_a_short_sale_needs_its_margin_and_its_proceeds_are_no_money(scene: Scene) -> None:
    scene.pay(5_000)
    assert at_par(scene, funds(), 100, Side.SELL).outcome is Outcome.PASS
    denied = at_par(scene, funds(), 101, Side.SELL)
    assert (denied.observed, denied.limit) == (5_050, 5_000)
    scene.hold(-100, 100)
    assert at_par(scene, funds(), 1, Side.SELL).outcome is Outcome.DENY
    assert scene.judge(
        funds(), scene.order(Side.BUY, 1, limit_price="100", instrument=scene.another_instrument("OTHER"))
    ).outcome is (Outcome.DENY)


def test_selling_what_is_held_needs_nothing_and_the_rest_its_margin(scene: Scene) -> None:
    scene.pay(6_000)
    scene.hold(50, 100)
    assert at_par(scene, funds(), 50, Side.SELL).outcome is Outcome.PASS
    denied = at_par(scene, funds(), 1_000, Side.SELL)
    assert denied.would_pass == "a quantity of at most 70"
    assert at_par(scene, funds(), 70, Side.SELL).outcome is Outcome.PASS
    assert at_par(scene, funds(), 71, Side.SELL).outcome is Outcome.DENY


def test_covering_a_short_needs_nothing_though_nothing_is_free(scene: Scene) -> None:
    scene.hold(-100, 50)
    assert at_par(scene, funds(), 100).outcome is Outcome.PASS
    assert at_par(scene, funds(), 101).outcome is Outcome.DENY


def test_a_price_above_the_mark_is_paid_at_once(scene: Scene) -> None:
    scene.pay(1_100)
    assert scene.judge(funds(), scene.order(Side.BUY, 10, limit_price="110")).outcome is Outcome.PASS
    denied = scene.judge(funds(), scene.order(Side.BUY, 11, limit_price="110"))
    assert (denied.observed, denied.would_pass) == (1_210, "a quantity of at most 10")
    assert scene.judge(funds(), scene.order(Side.BUY, 11, limit_price="90")).outcome is Outcome.PASS


def test_a_market_order_costs_the_ask(scene: Scene) -> None:
    scene.pay(1_000)
    assert scene.judge(funds(), scene.order(Side.BUY, 10)).outcome is Outcome.DENY
    scene.pay("0.1")
    assert scene.judge(funds(), scene.order(Side.BUY, 10)).outcome is Outcome.PASS


def test_raising_the_price_of_a_buy_is_judged_and_lowering_it_passes(scene: Scene) -> None:
    scene.pay(1_100)
    order = scene.acknowledge(scene.accept(scene.order(Side.BUY, 10, limit_price="100")))
    assert scene.judge_replace(funds(), order, limit_price="110").outcome is Outcome.PASS
    assert scene.judge_replace(funds(), order, limit_price="111").outcome is Outcome.DENY
    scene.pay(-1_100)
    assert scene.judge_replace(funds(), order, limit_price="99").outcome is Outcome.PASS


def test_a_reserve_is_not_spent(scene: Scene) -> None:
    scene.pay(1_000)
    assert at_par(scene, funds(reserve=100), 9).outcome is Outcome.PASS
    assert at_par(scene, funds(reserve=100), 10).outcome is Outcome.DENY


def test_cash_in_another_currency_counts_at_its_rate_and_denies_without_one(scene: Scene) -> None:
    scene.pay(500, "EUR")
    missing = at_par(scene, funds(), 1)
    assert (missing.outcome, missing.code) == (Outcome.DENY, "no_equity")
    scene.rate("EUR", "USD", 2)
    assert at_par(scene, funds(), 10).outcome is Outcome.PASS
    assert at_par(scene, funds(), 11).outcome is Outcome.DENY


def test_a_debt_in_another_currency_counts_against_it(scene: Scene) -> None:
    scene.pay(1_500)
    scene.pay(-250, "EUR")
    scene.rate("EUR", "USD", 2)
    assert at_par(scene, funds(), 10).outcome is Outcome.PASS
    assert at_par(scene, funds(), 11).outcome is Outcome.DENY


def test_without_a_price_of_what_is_held_nothing_is_free(scene: Scene) -> None:
    scene.pay(10_000)
    other = scene.another_instrument("OTHER")
    scene.hold(1, instrument=other)
    del scene.quotes[other.instrument_id]
    verdict = at_par(scene, funds(), 1)
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_quote")
    assert "OTHER" in verdict.message


def test_another_accounts_money_is_not_used(scene: Scene) -> None:
    scene.pay(10_000, account_id=scene.another_account())
    assert at_par(scene, funds(), 1).outcome is Outcome.DENY


def test_a_margin_of_nothing_needs_nothing(scene: Scene) -> None:
    assert at_par(scene, funds(long_margin_percent=0), 1_000).outcome is Outcome.PASS
    scene.hold(-1, 100, instrument=scene.another_instrument("OTHER"))
    assert at_par(scene, funds(short_margin_percent=0), 1_000, Side.SELL).outcome is Outcome.PASS
