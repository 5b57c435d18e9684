"""The share of one instrument, sector or issuer: of what, over which scope, and what is missing."""

from typing import Any

import pytest

from oms_kernel.domain.decision import Outcome, Verdict
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.testkit.builders import ACCOUNT_ID
from oms_kernel.testkit.scene import Scene
from oms_risk_rules.concentration import ConcentrationLimit
from oms_risk_rules.exposure_monitors import ConcentrationMonitor

CASH = 100_000


@pytest.fixture
def scene() -> Scene:
    scene = Scene()
    scene.pay(CASH)
    return scene


def share(percent: int = 10, scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(ConcentrationLimit, {"max_percent": percent, **params}, scope)


def buy(scene: Scene, rule: Any, quantity: int, **fields: Any) -> Verdict:
    return scene.judge(rule, scene.order(Side.BUY, quantity, **fields))


def another(scene: Scene, symbol: str, held: int = 0, **facts: str) -> Instrument:
    instrument = scene.another_instrument(symbol)
    if facts:
        scene.facts(instrument, **facts)
    if held:
        scene.hold(held, instrument=instrument)
    return instrument


def test_instruments_are_measured_one_by_one(scene: Scene) -> None:
    another(scene, "OTHER", 90)
    assert buy(scene, share(), 100).outcome is Outcome.PASS
    denied = buy(scene, share(), 101)
    assert (denied.observed, denied.limit, denied.unit) == (denied.observed, 10, "%")
    assert str(denied.observed) == "10.100000000000"
    assert denied.inputs == {"group": 10_100, "whole": 100_000}


def test_a_sector_is_measured_as_a_whole(scene: Scene) -> None:
    scene.facts(sector="Energy")
    another(scene, "OIL", 60, sector="Energy")
    another(scene, "BANK", 500, sector="Finance")
    rule = share(by="SECTOR")
    assert buy(scene, rule, 40).outcome is Outcome.PASS
    denied = buy(scene, rule, 41)
    assert (denied.outcome, denied.would_pass) == (Outcome.DENY, "a quantity of at most 40")
    assert "sector" in denied.message


def test_an_issuer_is_measured_as_a_whole(scene: Scene) -> None:
    scene.facts(issuer="Acme Inc", sector="Energy")
    another(scene, "ACME-B", -60, issuer="Acme Inc", sector="Energy")
    another(scene, "OIL", 500, issuer="Oil Inc", sector="Energy")
    assert buy(scene, share(by="ISSUER"), 40).outcome is Outcome.PASS
    assert buy(scene, share(by="ISSUER"), 41).outcome is Outcome.DENY


def test_open_orders_of_the_sector_count(scene: Scene) -> None:
    scene.facts(sector="Energy")
    oil = another(scene, "OIL", sector="Energy")
    scene.accept(scene.order(Side.BUY, 60, instrument=oil))
    assert buy(scene, share(by="SECTOR"), 40).outcome is Outcome.PASS
    assert buy(scene, share(by="SECTOR"), 41).outcome is Outcome.DENY


def test_an_unknown_sector_denies_and_names_the_instrument(scene: Scene) -> None:
    verdict = buy(scene, share(by="SECTOR"), 1)
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_facts")
    assert "ACME" in verdict.message
    scene.facts(sector="Energy")
    assert buy(scene, share(by="SECTOR"), 1).outcome is Outcome.PASS
    another(scene, "RIDDLE", 1)
    verdict = buy(scene, share(by="SECTOR"), 1)
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_facts")
    assert "RIDDLE" in verdict.message


def test_a_price_missing_in_another_sector_does_not_matter_and_in_the_same_denies(scene: Scene) -> None:
    scene.facts(sector="Energy")
    oil = another(scene, "OIL", 1, sector="Energy")
    rule = share(by="SECTOR")
    del scene.quotes[oil.instrument_id]
    verdict = buy(scene, rule, 1)
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_quote")
    assert "OIL" in verdict.message


def test_of_the_gross_exposure_the_order_itself_is_a_part(scene: Scene) -> None:
    another(scene, "OTHER", -100)
    rule = share(50, of="GROSS")
    assert buy(scene, rule, 100).outcome is Outcome.PASS
    denied = buy(scene, rule, 101)
    assert (denied.outcome, denied.would_pass) == (Outcome.DENY, "a quantity of at most 100")
    assert buy(scene, share(100, of="GROSS"), 1_000_000).outcome is Outcome.PASS


def test_the_first_holding_is_all_of_the_gross_exposure_and_free_below_lets_it_begin(scene: Scene) -> None:
    assert buy(scene, share(50, of="GROSS"), 1).observed == 100
    rule = share(50, of="GROSS", free_below=5_000)
    assert buy(scene, rule, 50).outcome is Outcome.PASS
    denied = buy(scene, rule, 51)
    assert (denied.outcome, denied.would_pass) == (Outcome.DENY, "a quantity of at most 50")


@pytest.mark.parametrize("cash", [-CASH, -CASH - 1])
def test_without_equity_above_zero_nothing_can_be_a_share_of_it(scene: Scene, cash: int) -> None:
    scene.pay(cash)
    verdict = buy(scene, share(), 1)
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_equity")
    assert buy(scene, share(free_below=100), 1).outcome is Outcome.PASS


def test_the_tenant_is_measured_as_a_whole_and_each_account_alone_when_the_limit_says_so(scene: Scene) -> None:
    other = scene.another_account()
    scene.hold(60, account_id=other)
    assert buy(scene, share(), 40).outcome is Outcome.PASS
    assert buy(scene, share(), 41).outcome is Outcome.DENY
    assert buy(scene, share(per="ACCOUNT"), 100).outcome is Outcome.PASS
    assert buy(scene, share(scope=Scope(account_id=ACCOUNT_ID)), 100).outcome is Outcome.PASS


def test_selling_what_is_too_much_passes_and_buying_more_does_not(scene: Scene) -> None:
    scene.hold(500)
    assert scene.judge(share(), scene.order(Side.SELL, 500)).outcome is Outcome.PASS
    assert buy(scene, share(), 1).would_pass == "only an order that reduces the position"


def test_accounts_in_different_currencies_have_no_common_whole(scene: Scene) -> None:
    scene.another_account(base_currency="EUR")
    assert buy(scene, share(), 1).code == "no_base_currency"


# concentration_monitor -----------------------------------------------------------------------------------


def watching(percent: int = 10, scope: Scope = EVERYTHING, **params: Any) -> Any:
    return make_rule(ConcentrationMonitor, {"max_percent": percent, **params}, scope)


@pytest.mark.parametrize(("held", "told"), [(99, 0), (100, 0), (101, 1), (-101, 1)])
def test_the_monitor_tells_what_is_above_the_limit(scene: Scene, held: int, told: int) -> None:
    scene.hold(held)
    assert len(scene.watch(watching())) == told


def test_its_trigger_is_for_the_instrument_in_its_account(scene: Scene) -> None:
    scene.hold(200)
    (trigger,) = scene.watch(watching())
    assert trigger.scope == Scope(account_id=ACCOUNT_ID, instrument_id=scene.instrument.instrument_id)
    assert (trigger.observed, trigger.limit, trigger.unit) == (20, 10, "%")
    assert "ACME" in trigger.message


def test_a_sectors_trigger_is_for_the_account_and_names_the_sector(scene: Scene) -> None:
    scene.facts(sector="Energy")
    scene.hold(60)
    another(scene, "OIL", 60, sector="Energy")
    (trigger,) = scene.watch(watching(by="SECTOR"))
    assert trigger.scope == Scope(account_id=ACCOUNT_ID)
    assert (trigger.key, "Energy" in trigger.message) == (f"{ACCOUNT_ID}:Energy", True)


def test_a_price_that_moves_is_enough(scene: Scene) -> None:
    scene.hold(100)
    assert scene.watch(watching()) == ()
    scene.quote(bid=120, ask=120)
    assert len(scene.watch(watching())) == 1


def test_each_account_is_watched_alone_or_all_together(scene: Scene) -> None:
    other = scene.another_account()
    scene.pay(CASH, account_id=other)
    for account_id in (ACCOUNT_ID, other):
        scene.hold(120, account_id=account_id)
    found = scene.watch(watching())
    assert {trigger.scope.account_id for trigger in found if trigger.scope} == {ACCOUNT_ID, other}
    assert len({trigger.key for trigger in found}) == 2
    (together,) = scene.watch(watching(per="SCOPE"))
    assert together.scope == Scope(instrument_id=scene.instrument.instrument_id)
    assert together.observed == 12


def test_small_holdings_and_what_cannot_be_measured_are_not_told(scene: Scene) -> None:
    scene.hold(200)
    assert scene.watch(watching(free_below=20_000)) == ()
    assert scene.watch(watching(by="SECTOR")) == ()
    scene.pay(-CASH)
    assert scene.watch(watching()) == ()
    scene.pay(-CASH)
    assert scene.watch(watching()) == ()
