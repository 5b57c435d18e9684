"""Short sales: which sale is one, locates and how much of them is used, threshold lists, the price test."""

from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from oms_compliance_checks.short_sale import ShortSale
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain import events as ev
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.lifecycle import Evidence
from oms_kernel.domain.order import Order, OrderRequest, Side
from oms_kernel.testkit.scene import Scene

LOCATE = {"locate_id": "L1", "symbol": "ACME", "quantity": "100", "valid_on": "2026-03-02"}


def short(**params: Any) -> ShortSale:
    values = {"locates": [LOCATE], "price_test": False, **params}
    return ShortSale(parse_params(ShortSale, values))


def sale(scene: Scene, quantity: int | str = 100, *, locate: str | None = "L1", price: str | None = "100.05") -> Any:
    return scene.order(Side.SELL, quantity, locate_id=locate, limit_price=price)


@pytest.fixture
def scene() -> Scene:
    return Scene()


# what is a short sale ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("quantity", "code"), [(70, ""), (100, ""), (101, "no_locate")])
def test_a_sale_of_what_is_held_is_not_short(scene: Scene, quantity: int, code: str) -> None:
    scene.hold(100)
    verdict = scene.judge(short(), sale(scene, quantity, locate=None))
    assert verdict.code == code
    if code:
        assert verdict.would_pass == "a quantity of at most 100"


def test_open_sales_and_doubtful_ones_come_off_what_is_held(scene: Scene) -> None:
    scene.hold(100)
    order = scene.accept(sale(scene, 60, locate=None))
    assert scene.judge(short(), sale(scene, 41, locate=None)).code == "no_locate"
    scene.doubt(order)
    assert scene.judge(short(), sale(scene, 40, locate=None)).outcome is Outcome.PASS


def test_two_sales_that_pass_alone_are_short_together(scene: Scene) -> None:
    scene.hold(100)
    assert scene.judge(short(), sale(scene, 60, locate=None)).outcome is Outcome.PASS
    scene.accept(sale(scene, 60, locate=None))
    assert scene.judge(short(), sale(scene, 60, locate=None)).code == "no_locate"


@pytest.mark.parametrize("asset_class", [AssetClass.FUTURE, AssetClass.OPTION, AssetClass.FOREX, AssetClass.CRYPTO])
def test_what_is_not_borrowed_needs_no_locate(scene: Scene, asset_class: AssetClass) -> None:
    other = scene.another_instrument("OTHER", asset_class=asset_class)
    order = scene.order(Side.SELL, 5, instrument=other, limit_price="100")
    assert scene.judge(short(), order).outcome is Outcome.PASS


def test_purchases_pass(scene: Scene) -> None:
    scene.hold(-100)
    assert scene.judge(short(), scene.order(Side.BUY, 500)).outcome is Outcome.PASS


# locates -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("locate", "changes", "code"),
    [
        ("L1", {}, ""),
        (None, {}, "no_locate"),
        ("L2", {}, "no_locate"),
        ("L1", {"symbol": "XSIM:ACME"}, ""),
        ("L1", {"symbol": "OTHER"}, "no_locate"),
        ("L1", {"valid_on": "2026-03-01"}, "no_locate"),
        ("L1", {"valid_on": "2026-03-03"}, "no_locate"),
    ],
    ids=str,
)
def test_a_locate_is_for_one_instrument_and_day(
    scene: Scene, locate: str | None, changes: dict[str, str], code: str
) -> None:
    check = short(locates=[{**LOCATE, **changes}])
    assert scene.judge(check, sale(scene, 10, locate=locate)).code == code


@pytest.mark.parametrize(
    ("quantity", "outcome"), [("99.999999999999", "PASS"), ("100", "PASS"), ("100.000000000001", "DENY")]
)
def test_a_locate_is_good_for_its_quantity(scene: Scene, quantity: str, outcome: str) -> None:
    scene.instrument = scene.another_instrument("ACME", lot_size=Decimal("0.000000000001"))
    verdict = scene.judge(short(), sale(scene, quantity))
    assert (verdict.outcome, verdict.observed, verdict.limit) == (outcome, Decimal(quantity), 100)


def test_orders_use_a_locate_up_together(scene: Scene) -> None:
    check = short()
    first = scene.accept(sale(scene, 60))
    verdict = scene.judge(check, sale(scene, 60))
    assert (verdict.code, verdict.observed, verdict.would_pass) == ("locate_used_up", 120, "a quantity of at most 40")
    assert verdict.inputs == {"used": 60, "quantity": 60}
    assert scene.judge(check, sale(scene, 40)).outcome is Outcome.PASS
    scene.accept(sale(scene, 40))
    assert scene.judge(check, sale(scene, 1)).would_pass == "the order with another locate"
    scene.cancel(first)
    assert scene.judge(check, sale(scene, 60)).outcome is Outcome.PASS
    assert scene.judge(check, sale(scene, 61)).outcome is Outcome.DENY


def used(scene: Scene, check: ShortSale) -> Decimal:
    """How much of the locate is in use, by what the check says of one more share."""
    return scene.judge(check, sale(scene, 1)).inputs["used"]


def ended(scene: Scene, order: Order) -> None:
    scene.record(
        ev.OrderCanceled(
            account_id=order.request.account_id,
            order_id=order.order_id,
            evidence=Evidence.BROKER,
            broker_at=scene.now,
        )
    )


def test_only_the_rest_of_an_order_that_ended_is_free_again(scene: Scene) -> None:
    check = short()
    order = scene.fill(scene.acknowledge(scene.accept(sale(scene, 60))), 25)
    assert used(scene, check) == 60
    scene.cancel(order)
    assert used(scene, check) == 60  # until the broker says so
    ended(scene, order)
    assert used(scene, check) == 25
    scene.fill(order, 10)  # a late fill
    assert used(scene, check) == 35


def test_a_replace_under_way_uses_the_larger_total(scene: Scene) -> None:
    check = short()
    order = scene.acknowledge(scene.accept(sale(scene, 60)))
    scene.replace(order, quantity=80)
    assert used(scene, check) == 80
    refused = ev.ReplaceRefused(
        account_id=order.request.account_id, order_id=order.order_id, evidence=Evidence.BROKER, reason="no"
    )
    scene.record(refused)
    assert used(scene, check) == 60
    smaller = scene.accept(sale(scene, 30))
    scene.replace(smaller, quantity=5)  # it was never sent: its terms change at once
    assert used(scene, check) == 65


def test_new_terms_count_the_order_itself_once(scene: Scene) -> None:
    check = short()
    order = scene.acknowledge(scene.accept(sale(scene, 60)))
    scene.accept(sale(scene, 30))
    assert scene.judge_replace(check, order, quantity=70).outcome is Outcome.PASS
    assert scene.judge_replace(check, order, quantity=71).code == "locate_used_up"
    assert scene.judge_replace(check, order, quantity=50).outcome is Outcome.PASS


def test_a_purchase_with_a_locate_uses_none(scene: Scene) -> None:
    scene.accept(scene.order(Side.BUY, 60, locate_id="L1"))
    assert used(scene, short()) == 0


def test_easy_to_borrow_needs_no_locate_unless_it_became_hard(scene: Scene) -> None:
    check = short(easy_to_borrow=["acme"])
    assert scene.judge(check, sale(scene, locate=None)).outcome is Outcome.PASS
    scene.facts(is_hard_to_borrow=True)
    assert scene.judge(check, sale(scene, locate=None)).code == "no_locate"
    assert scene.judge(check, sale(scene)).outcome is Outcome.PASS


@pytest.mark.parametrize(("is_hard", "code"), [(True, "hard_to_borrow"), (None, "no_facts"), (False, "")])
def test_what_is_hard_to_borrow_may_be_denied_altogether(scene: Scene, is_hard: bool | None, code: str) -> None:
    scene.facts(is_hard_to_borrow=is_hard)
    assert scene.judge(short(deny_hard_to_borrow=True), sale(scene)).code == code


@pytest.mark.parametrize("name", ["ACME", "xsim:acme"])
def test_nothing_on_the_threshold_list_is_sold_short(scene: Scene, name: str) -> None:
    check = short(threshold_list=[name])
    assert scene.judge(check, sale(scene)).code == "threshold_list"
    scene.hold(100)
    assert scene.judge(check, sale(scene, 100)).outcome is Outcome.PASS


# the price test ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("price", "code"), [("99.98", "price_test"), ("99.99", "price_test"), ("100", ""), (None, "price_test")]
)
def test_a_restricted_short_sale_lies_above_the_best_bid(scene: Scene, price: str | None, code: str) -> None:
    scene.facts(is_short_restricted=True)
    verdict = scene.judge(short(price_test=True), sale(scene, price=price))
    assert verdict.code == code
    if code:
        assert verdict.would_pass == "a limit above 99.99"
    if code and price:
        assert (verdict.observed, verdict.limit, verdict.quote_price) == (
            Decimal(price),
            Decimal("99.99"),
            verdict.limit,
        )
        assert verdict.headroom is not None
        assert verdict.headroom <= 0


@pytest.mark.parametrize(
    ("restricted", "age", "bid", "code"),
    [
        (False, 0, "99.99", ""),
        (None, 0, "99.99", "no_facts"),
        (True, 0, None, "no_quote"),
        (False, 86_400, "99.99", ""),
        (False, 86_401, "99.99", "stale_facts"),
    ],
)
def test_the_price_test_needs_to_know(
    scene: Scene, restricted: bool | None, age: int, bid: str | None, code: str
) -> None:
    scene.facts(is_short_restricted=restricted)
    scene.wait(seconds=age)
    scene.quote(bid=bid)
    check = short(price_test=True, easy_to_borrow=["ACME"])
    assert scene.judge(check, sale(scene)).code == code


def test_without_facts_the_price_test_denies(scene: Scene) -> None:
    assert scene.judge(short(price_test=True), sale(scene)).code == "no_facts"
    scene.hold(100)
    assert scene.judge(short(price_test=True), sale(scene)).outcome is Outcome.PASS


def test_moving_a_restricted_short_sale_down_to_the_bid_is_denied(scene: Scene) -> None:
    scene.facts(is_short_restricted=True)
    order = scene.accept(sale(scene))
    check = short(price_test=True)
    assert scene.judge_replace(check, order, limit_price="100").outcome is Outcome.PASS
    assert scene.judge_replace(check, order, limit_price="99.99").code == "price_test"


def test_what_is_used_is_rebuilt_from_the_log(scene: Scene) -> None:
    check = short()
    order = scene.fill(scene.acknowledge(scene.accept(sale(scene, 60))), 25)
    ended(scene, order)
    scene.accept(sale(scene, 30))
    state = check.initial_state()
    for recorded in scene.events:
        state, triggers = check.fold(state, recorded)
        assert triggers == ()
    assert scene.judge(check, sale(scene, 1), state).inputs["used"] == 55


def test_a_locate_of_weeks_ago_is_no_locate(scene: Scene) -> None:
    request: OrderRequest = sale(scene, 10)
    scene.now += timedelta(days=14)
    scene.quote()
    assert scene.judge(short(), request).code == "no_locate"


def test_two_locates_of_one_name_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="same locate_id"):
        short(locates=[LOCATE, LOCATE])
