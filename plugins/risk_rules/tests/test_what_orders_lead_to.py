"""What every rule over positions, exposure, funds and open orders has in common: what counts, and what passes.

Each rule is set so that from a flat account 100 units at 100 are exactly at the limit.
"""

import re
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_kernel.batch import LedgerState
from oms_kernel.contracts.rules import OrderIntent
from oms_kernel.domain.decision import Outcome, Verdict
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import ACCOUNT_ID, an_instrument
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.buying_power import BuyingPower
from oms_risk_rules.concentration import ConcentrationLimit
from oms_risk_rules.exposure_limits import GrossExposure, NetExposure
from oms_risk_rules.max_position import MaxPosition
from oms_risk_rules.open_order_limits import OpenOrderValue

ACCOUNT = Scope(account_id=ACCOUNT_ID)


class Tried(msgspec.Struct, frozen=True):
    """A rule, its parameters and what has to be there for it."""

    contributed: Any
    params: dict[str, Any]
    unit: str
    cash: int = 0
    scope: Scope = ACCOUNT
    is_valued: bool = True
    counts_fills: bool = True

    def rule(self) -> Any:
        """The rule."""
        return make_rule(self.contributed, self.params, self.scope)

    def scene(self, **instrument: Any) -> Scene:
        """A scene with the cash that the rule needs for 100 units at 100."""
        scene = Scene(an_instrument(**instrument))
        if self.cash:
            scene.pay(self.cash)
        return scene


RULES = {
    "position": Tried(MaxPosition, {"max_quantity": "100"}, "units", is_valued=False),
    "position of a tenant": Tried(
        MaxPosition, {"max_quantity": "100", "per": "SCOPE"}, "units", scope=EVERYTHING, is_valued=False
    ),
    "position in value": Tried(MaxPosition, {"max_notional": "10000"}, "USD"),
    "gross": Tried(GrossExposure, {"max_exposure": "10000"}, "USD"),
    "gross of a tenant": Tried(GrossExposure, {"max_exposure": "10000"}, "USD", scope=EVERYTHING),
    "leverage": Tried(GrossExposure, {"max_leverage": "2"}, "USD", cash=5_000),
    "net": Tried(NetExposure, {"max_exposure": "10000"}, "USD"),
    "net leverage": Tried(NetExposure, {"max_leverage": "0.5", "max_exposure": "20000"}, "USD", cash=20_000),
    "funds": Tried(BuyingPower, {}, "USD", cash=10_000),
    "funds on margin": Tried(BuyingPower, {"long_margin_percent": "50", "reserve": "1000"}, "USD", cash=6_000),
    "share": Tried(ConcentrationLimit, {"max_percent": "10"}, "%", cash=100_000),
    "open value": Tried(OpenOrderValue, {"max_value": "10000"}, "USD", counts_fills=False),
}

every_rule = pytest.mark.parametrize("tried", RULES.values(), ids=RULES.keys())


def judge(tried: Tried, scene: Scene, quantity: Any, **fields: Any) -> Verdict:
    return scene.judge(tried.rule(), scene.order(Side.BUY, quantity, **{"limit_price": "100", **fields}))


def intend(scene: Scene, quantity: int) -> OrderIntent:
    """An order as a rule sees it, to be judged by a later view: the kernel itself takes none while one is in doubt."""
    return scene.intent(scene.order(Side.BUY, quantity, limit_price="100"))[0]


@every_rule
@pytest.mark.parametrize(("quantity", "outcome"), [(99, "PASS"), (100, "PASS"), (101, "DENY")])
def test_below_at_and_above_the_limit(tried: Tried, quantity: int, outcome: str) -> None:
    verdict = judge(tried, tried.scene(), quantity)
    assert verdict.outcome == outcome
    assert verdict.unit == tried.unit
    assert verdict.headroom is not None
    assert (verdict.headroom >= 0) is (outcome == "PASS")


@every_rule
def test_the_explanation_says_what_would_pass_and_that_passes(tried: Tried) -> None:
    scene = tried.scene()
    verdict = judge(tried, scene, 250)
    found = re.fullmatch(r"a quantity of at most (\d+)", verdict.would_pass)
    assert found is not None, verdict
    assert int(found[1]) == 100
    assert verdict.code == tried.contributed.name
    assert verdict.inputs or tried.unit == "units", "the figures behind what was observed"


@every_rule
@pytest.mark.parametrize(
    "standing",
    [
        lambda scene, request: scene.accept(request),
        lambda scene, request: scene.accept(request, held=True),
        lambda scene, request: scene.acknowledge(scene.accept(request)),
        lambda scene, request: scene.doubt(scene.accept(request)),
    ],
    ids=["new", "held", "working", "in doubt"],
)
def test_two_orders_that_pass_alone_fail_together(tried: Tried, standing: Any) -> None:
    scene = tried.scene()
    forty, more = intend(scene, 40), intend(scene, 41)
    standing(scene, scene.order(Side.BUY, 60, limit_price="100"))
    assert tried.rule().assess(forty, scene.view(), None).outcome is Outcome.PASS
    assert tried.rule().assess(more, scene.view(), None).outcome is Outcome.DENY


@every_rule
def test_what_is_filled_counts_once(tried: Tried) -> None:
    scene = tried.scene()
    order = scene.acknowledge(scene.accept(scene.order(Side.BUY, 60, limit_price="100")))
    scene.fill(order, 25, "100")
    room = 40 if tried.counts_fills else 65
    assert judge(tried, scene, room).outcome is Outcome.PASS
    assert judge(tried, scene, room + 1).outcome is Outcome.DENY


@every_rule
@pytest.mark.parametrize(
    "end",
    [
        lambda scene, order: scene.cancel(order),
        lambda scene, order: scene.reject(scene.acknowledge(order)),
    ],
    ids=["cancelled", "rejected"],
)
def test_an_order_that_ended_counts_no_more(tried: Tried, end: Any) -> None:
    scene = tried.scene()
    end(scene, scene.accept(scene.order(Side.BUY, 60, limit_price="100")))
    assert judge(tried, scene, 100).outcome is Outcome.PASS
    assert judge(tried, scene, 101).outcome is Outcome.DENY


@every_rule
def test_modifying_upwards_is_judged_and_downwards_passes(tried: Tried) -> None:
    scene = tried.scene()
    order = scene.acknowledge(scene.accept(scene.order(Side.BUY, 60, limit_price="100")))
    assert scene.judge_replace(tried.rule(), order, quantity=100).outcome is Outcome.PASS
    denied = scene.judge_replace(tried.rule(), order, quantity=101)
    assert (denied.outcome, denied.would_pass) == (Outcome.DENY, "a quantity of at most 100")
    assert scene.judge_replace(tried.rule(), order, quantity=30).outcome is Outcome.PASS


@every_rule
def test_modifying_downwards_passes_above_the_limit_too(tried: Tried) -> None:
    scene = tried.scene()
    order = scene.acknowledge(scene.accept(scene.order(Side.BUY, 500, limit_price="100")))
    assert scene.judge_replace(tried.rule(), order, quantity=400).outcome is Outcome.PASS
    assert scene.judge_replace(tried.rule(), order, quantity=501).outcome is Outcome.DENY


@every_rule
def test_an_open_change_counts_in_full(tried: Tried) -> None:
    scene = tried.scene()
    order = scene.acknowledge(scene.accept(scene.order(Side.BUY, 20, limit_price="100")))
    scene.replace(order, quantity=70)
    assert judge(tried, scene, 30).outcome is Outcome.PASS
    assert judge(tried, scene, 31).outcome is Outcome.DENY


@every_rule
def test_usage_is_there_again_when_the_log_is_read_afresh(tried: Tried) -> None:
    scene = tried.scene()
    more = intend(scene, 41)
    scene.doubt(scene.accept(scene.order(Side.BUY, 60, limit_price="100")))
    before = tried.rule().assess(more, scene.view(), None)
    scene.state = LedgerState()
    scene.state.fold(scene.events)
    assert tried.rule().assess(more, scene.view(), None) == before
    assert before.outcome is Outcome.DENY


@every_rule
def test_the_last_digit_decides(tried: Tried) -> None:
    scene = tried.scene(lot_size=Decimal("0.000000000001"))
    assert judge(tried, scene, "100.000000000000").outcome is Outcome.PASS
    denied = judge(tried, scene, "100.000000000001")
    assert (denied.outcome, denied.would_pass) == (Outcome.DENY, "a quantity of at most 100")


@every_rule
def test_what_would_pass_is_in_whole_lots(tried: Tried) -> None:
    scene = tried.scene(lot_size=Decimal(30))
    assert judge(tried, scene, 120).would_pass == "a quantity of at most 90"


@every_rule
def test_the_multiplier_counts_where_money_is_meant(tried: Tried) -> None:
    scene = tried.scene(multiplier=Decimal(10))
    room = 10 if tried.is_valued else 100
    assert judge(tried, scene, room).outcome is Outcome.PASS
    assert judge(tried, scene, room + 1).outcome is Outcome.DENY


@every_rule
def test_another_currency_is_converted_and_a_missing_rate_denies_where_money_is_meant(tried: Tried) -> None:
    scene = tried.scene(currency="EUR")
    missing = judge(tried, scene, 100)
    scene.rate("EUR", "USD", 2)
    if not tried.is_valued:
        assert missing.outcome is Outcome.PASS
        return
    assert (missing.outcome, missing.code) == (Outcome.DENY, "no_fx_rate")
    assert "EUR" in missing.message
    assert judge(tried, scene, 50).outcome is Outcome.PASS
    assert judge(tried, scene, 51).outcome is Outcome.DENY


@every_rule
def test_a_missing_price_denies_where_money_is_meant(tried: Tried) -> None:
    scene = tried.scene()
    scene.lose_quotes()
    verdict = judge(tried, scene, 1, limit_price=None)
    if not tried.is_valued:
        assert verdict.outcome is Outcome.PASS
        return
    assert verdict.outcome is Outcome.DENY
    assert verdict.code in ("no_quote", "no_price")
    assert "ACME" in verdict.message


@every_rule
def test_the_longest_numbers_deny_and_are_no_failure(tried: Tried) -> None:
    scene = tried.scene(multiplier=Decimal(10) ** 3)
    verdict = judge(tried, scene, "999999999999")
    assert verdict.outcome is Outcome.DENY
    assert verdict.code == tried.contributed.name


CLOSING = {name: tried for name, tried in RULES.items() if tried.counts_fills}


@pytest.mark.parametrize("tried", CLOSING.values(), ids=CLOSING.keys())
@pytest.mark.parametrize("held", [500, -500])
def test_what_reduces_passes_however_far_the_limit_is_overstepped(tried: Tried, held: int) -> None:
    scene = tried.scene()
    scene.hold(held)
    side = Side.SELL if held > 0 else Side.BUY
    assert scene.judge(tried.rule(), scene.order(side, 10, limit_price="100")).outcome is Outcome.PASS
    assert scene.judge(tried.rule(), scene.order(side, 500, limit_price="100")).outcome is Outcome.PASS
    assert scene.judge(tried.rule(), scene.order(side.opposite, 1, limit_price="100")).outcome is Outcome.DENY
    far = scene.judge(tried.rule(), scene.order(side, 1_000_000, limit_price="100"))
    assert far.outcome is Outcome.DENY


MIRRORED = {name: tried for name, tried in CLOSING.items() if tried.contributed is not BuyingPower}


@pytest.mark.parametrize("tried", MIRRORED.values(), ids=MIRRORED.keys())
@pytest.mark.parametrize(("quantity", "outcome"), [(100, "PASS"), (101, "DENY")])
def test_selling_short_is_the_mirror_image(tried: Tried, quantity: int, outcome: str) -> None:
    scene = tried.scene()
    assert scene.judge(tried.rule(), scene.order(Side.SELL, quantity, limit_price="100")).outcome == outcome


@pytest.mark.parametrize("tried", MIRRORED.values(), ids=MIRRORED.keys())
def test_going_through_zero_is_judged_by_the_other_side(tried: Tried) -> None:
    scene = tried.scene()
    scene.hold(-70)
    assert judge(tried, scene, 170).outcome is Outcome.PASS
    denied = judge(tried, scene, 171)
    assert (denied.outcome, denied.would_pass) == (Outcome.DENY, "a quantity of at most 170")


@every_rule
def test_another_account_does_not_count_for_a_limit_of_one(tried: Tried) -> None:
    scene = tried.scene()
    other = scene.another_account()
    scene.accept(scene.order(Side.BUY, 60, limit_price="100", account_id=other))
    together = tried.scope is EVERYTHING
    assert judge(tried, scene, 40).outcome is Outcome.PASS
    assert judge(tried, scene, 41).outcome is (Outcome.DENY if together else Outcome.PASS)
