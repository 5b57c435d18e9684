"""Whatever is held and open: the quantity that a denial offers passes, and one lot more does not."""

import re
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import an_instrument
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.buying_power import BuyingPower
from oms_risk_rules.concentration import ConcentrationLimit
from oms_risk_rules.exposure_limits import GrossExposure, NetExposure
from oms_risk_rules.max_position import MaxPosition
from oms_risk_rules.open_order_limits import OpenOrderValue

RULES: dict[str, tuple[Any, dict[str, Any]]] = {
    "position": (MaxPosition, {"max_long": 900, "max_short": "333.5"}),
    "position in value": (MaxPosition, {"max_notional": "123456.789", "per": "SCOPE"}),
    "gross": (GrossExposure, {"max_exposure": "234567.891"}),
    "leverage": (GrossExposure, {"max_leverage": "1.7"}),
    "net": (NetExposure, {"max_exposure": "98765.4321"}),
    "funds": (BuyingPower, {"long_margin_percent": "37.5", "short_margin_percent": "62.5", "reserve": "999.99"}),
    "cash": (BuyingPower, {}),
    "share": (ConcentrationLimit, {"max_percent": "33.3333"}),
    "share of gross": (ConcentrationLimit, {"max_percent": "66.6667", "of": "GROSS", "free_below": 20_000}),
    "sector": (ConcentrationLimit, {"max_percent": "45", "by": "SECTOR"}),
    "open value": (OpenOrderValue, {"max_value": "150000"}),
}
held = st.integers(-1_500, 1_500)
placed = st.lists(st.tuples(st.sampled_from(Side), st.integers(1, 800), st.integers(80, 120)), max_size=3)


@pytest.mark.parametrize(("contributed", "params"), RULES.values(), ids=RULES.keys())
@settings(max_examples=40)
@given(
    own=held,
    other=held,
    elsewhere=held,
    orders=placed,
    side=st.sampled_from(Side),
    lot=st.sampled_from((1, 7, Decimal("0.001"))),
    price=st.sampled_from((None, 90, 100, 131)),
    cash=st.integers(0, 300_000),
)
def test_what_is_offered_passes_and_one_lot_more_does_not(
    contributed: Any,
    params: dict[str, Any],
    own: int,
    other: int,
    elsewhere: int,
    orders: list[tuple[Side, int, int]],
    side: Side,
    lot: Decimal | int,
    price: int | None,
    cash: int,
) -> None:
    scene = Scene(an_instrument(lot_size=Decimal(lot), multiplier=Decimal(3)))
    scene.pay(cash)
    scene.facts(sector="Energy")
    peer = scene.another_instrument("PEER", "49.37", "49.38")
    scene.facts(peer, sector="Energy")
    for quantity, place in (
        (own, {}),
        (other, {"instrument": peer}),
        (elsewhere, {"account_id": scene.another_account()}),
    ):
        if quantity:
            scene.hold(quantity, **place)
    for one, quantity, limit in orders:
        scene.accept(scene.order(one, quantity * 7, limit_price=limit))
    rule = make_rule(contributed, params, EVERYTHING)

    def asked(quantity: Decimal) -> Any:
        return scene.judge(rule, scene.order(side, quantity, limit_price=price))

    denied = asked(Decimal(700_000))
    assert denied.outcome is Outcome.DENY
    offered = re.fullmatch(r"a quantity of at most ([0-9.]+)", denied.would_pass)
    most = Decimal(offered[1]) if offered is not None else Decimal(0)
    if most:
        assert asked(most).outcome is Outcome.PASS
    more = asked(most + Decimal(lot))
    assert more.outcome is Outcome.DENY or (offered is None and denied.code != contributed.name), denied
