"""Lists in force, venues that are closed, and orders that would meet each other."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from oms_compliance_checks.restricted_list import RestrictedList
from oms_compliance_checks.self_trade_prevention import SelfTradePrevention
from oms_compliance_checks.trading_hours import TradingHours
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.calendar import US_EQUITIES
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.instrument import AssetClass, ComboLeg
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.testkit.builders import NOON, a_trading_account, an_instrument
from oms_kernel.testkit.scene import Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


# restricted_list -----------------------------------------------------------------------------------------


def restricted(**entry: Any) -> RestrictedList:
    return RestrictedList(parse_params(RestrictedList, {"restrictions": [entry]}))


@pytest.mark.parametrize(
    ("side", "order_side", "outcome"),
    [
        ("BOTH", Side.BUY, "DENY"),
        ("BOTH", Side.SELL, "DENY"),
        ("BUY", Side.BUY, "DENY"),
        ("BUY", Side.SELL, "PASS"),
        ("SELL", Side.BUY, "PASS"),
        ("SELL", Side.SELL, "DENY"),
    ],
)
def test_a_restriction_holds_for_its_side(scene: Scene, side: str, order_side: Side, outcome: str) -> None:
    verdict = scene.judge(restricted(symbol="ACME", side=side), scene.order(order_side))
    assert verdict.outcome == outcome


def test_an_instrument_may_be_named_by_id_or_by_symbol_in_any_case(scene: Scene) -> None:
    by_id = restricted(instrument_id=scene.instrument.instrument_id)
    assert scene.judge(by_id, scene.order()).outcome is Outcome.DENY
    verdict = scene.judge(restricted(symbol="acme"), scene.order())
    assert (verdict.code, verdict.message) == ("restricted_list", "ACME is on the restricted list")
    assert scene.judge(restricted(symbol="ACM"), scene.order()).outcome is Outcome.PASS


@pytest.mark.parametrize(("seconds", "outcome"), [(-1, "PASS"), (0, "DENY"), (59, "DENY"), (60, "PASS")], ids=str)
def test_a_restriction_is_in_force_from_its_first_moment_up_to_its_end(
    scene: Scene, seconds: int, outcome: str
) -> None:
    rule = restricted(
        symbol="ACME",
        effective_from=NOON.isoformat(),
        effective_to=(NOON + timedelta(minutes=1)).isoformat(),
    )
    scene.now = NOON + timedelta(seconds=seconds)
    assert scene.judge(rule, scene.order(limit_price="100")).outcome == outcome


def test_derivatives_and_combos_of_a_restricted_instrument_are_restricted(scene: Scene) -> None:
    rule = restricted(symbol="ACME")
    option = scene.add(
        an_instrument("ACME C100", asset_class=AssetClass.OPTION, underlying_id=scene.instrument.instrument_id)
    )
    combo = scene.add(
        an_instrument("SPREAD", asset_class=AssetClass.COMBO, legs=(ComboLeg(scene.instrument.instrument_id, 1),))
    )
    other = scene.add(an_instrument("OTHER"))
    assert scene.judge(rule, scene.order(instrument=option, limit_price="1")).outcome is Outcome.DENY
    assert scene.judge(rule, scene.order(instrument=combo, limit_price="1")).outcome is Outcome.DENY
    assert scene.judge(rule, scene.order(instrument=other, limit_price="1")).outcome is Outcome.PASS


def test_a_modification_in_a_restricted_instrument_is_denied(scene: Scene) -> None:
    order = scene.accept(scene.order(limit_price="99"))
    assert scene.judge_replace(restricted(symbol="ACME"), order, quantity=1).outcome is Outcome.DENY


@pytest.mark.parametrize(
    "entry",
    [{}, {"symbol": "A", "instrument_id": "b"}, {"symbol": "A", "effective_from": "2026-01-01T00:00:00"}],
    ids=["neither", "both", "naive_time"],
)
def test_an_entry_that_is_not_clear_is_refused(entry: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest):
        restricted(**entry)


# trading_hours -------------------------------------------------------------------------------------------


def hours(**params: Any) -> TradingHours:
    return TradingHours(parse_params(TradingHours, params))


@pytest.fixture
def listed(scene: Scene) -> Scene:
    """A scene whose instrument trades on a US venue: 14:30 to 21:00 UTC in winter."""
    scene.calendars["us-equities"] = US_EQUITIES
    scene.add(msgspec.structs.replace(scene.instrument, calendar="us-equities"))
    return scene


@pytest.mark.parametrize(
    ("at", "outcome"),
    [
        (datetime(2026, 3, 2, 14, 29, 59, tzinfo=UTC), "DENY"),
        (datetime(2026, 3, 2, 14, 30, tzinfo=UTC), "PASS"),
        (datetime(2026, 3, 2, 20, 59, 59, tzinfo=UTC), "PASS"),
        (datetime(2026, 3, 2, 21, 0, tzinfo=UTC), "DENY"),
        (datetime(2026, 3, 7, 16, 0, tzinfo=UTC), "DENY"),
        (datetime(2026, 3, 9, 13, 30, tzinfo=UTC), "PASS"),
    ],
    ids=["before_open", "at_open", "before_close", "at_close", "saturday", "summer_time"],
)
def test_orders_pass_from_the_opening_up_to_the_close(listed: Scene, at: datetime, outcome: str) -> None:
    listed.now = at
    verdict = listed.judge(hours(), listed.order(limit_price="100"))
    assert verdict.outcome == outcome
    if outcome == "DENY":
        assert verdict.message == "XSIM is closed for ACME (calendar us-equities)"


def test_a_holiday_is_closed(listed: Scene) -> None:
    listed.now = datetime(2026, 3, 2, 16, tzinfo=UTC)
    listed.calendars["us-equities"] = msgspec.structs.replace(US_EQUITIES, holidays=(listed.now.date(),))
    assert listed.judge(hours(), listed.order(limit_price="100")).outcome is Outcome.DENY


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({}, "DENY"),
        ({"time_in_force": TimeInForce.IOC}, "DENY"),
        ({"time_in_force": TimeInForce.GTC}, "PASS"),
        ({"time_in_force": TimeInForce.OPG}, "PASS"),
        ({"time_in_force": TimeInForce.GTD, "expire_at": datetime(2026, 3, 9, tzinfo=UTC)}, "PASS"),
        ({"queue_until": datetime(2026, 3, 9, tzinfo=UTC)}, "PASS"),
    ],
    ids=["day", "ioc", "gtc", "opg", "gtd", "queued"],
)
def test_outside_the_session_what_may_wait_passes_where_allowed(
    listed: Scene, fields: dict[str, Any], outcome: str
) -> None:
    listed.now = datetime(2026, 3, 7, 12, tzinfo=UTC)
    order = listed.order(limit_price="100", **fields)
    assert listed.judge(hours(allow_waiting=True), order).outcome == outcome
    assert listed.judge(hours(), order).outcome is Outcome.DENY


def test_an_unknown_calendar_denies_and_says_so(scene: Scene) -> None:
    intent, view = scene.intent(scene.order())
    lost = msgspec.structs.replace(intent.instrument, calendar="nowhere")
    verdict = hours().assess(msgspec.structs.replace(intent, instrument=lost), view, None)
    assert (verdict.outcome, verdict.code) == (Outcome.DENY, "no_calendar")


# self_trade_prevention -----------------------------------------------------------------------------------


def prevention() -> SelfTradePrevention:
    return SelfTradePrevention(parse_params(SelfTradePrevention, {}))


@pytest.mark.parametrize(
    ("side", "resting", "price", "outcome"),
    [
        (Side.BUY, "101", "100.99", "PASS"),
        (Side.BUY, "101", "101", "DENY"),
        (Side.BUY, "101", "101.01", "DENY"),
        (Side.BUY, "101", None, "DENY"),
        (Side.SELL, "99", "99.01", "PASS"),
        (Side.SELL, "99", "99", "DENY"),
        (Side.SELL, "99", "98.99", "DENY"),
        (Side.SELL, "99", None, "DENY"),
    ],
)
def test_an_order_that_crosses_an_own_opposite_order_is_denied(
    scene: Scene, side: Side, resting: str, price: str | None, outcome: str
) -> None:
    scene.accept(scene.order(side.opposite, limit_price=resting))
    verdict = scene.judge(prevention(), scene.order(side, limit_price=price))
    assert verdict.outcome == outcome
    if outcome == "DENY":
        assert str(verdict.limit) == resting
        assert verdict.unit == "USD"


def test_an_open_market_order_crosses_every_opposite_price(scene: Scene) -> None:
    scene.accept(scene.order(Side.SELL))
    verdict = scene.judge(prevention(), scene.order(Side.BUY, limit_price="1"))
    assert verdict.outcome is Outcome.DENY
    assert "at any price" in verdict.message


def test_orders_of_the_same_side_do_not_meet(scene: Scene) -> None:
    scene.accept(scene.order(Side.BUY, limit_price="101"))
    assert scene.judge(prevention(), scene.order(Side.BUY, limit_price="105")).outcome is Outcome.PASS


def test_orders_that_wait_for_a_trigger_do_not_meet_anything(scene: Scene) -> None:
    scene.accept(scene.order(Side.SELL, order_type=OrderType.STOP, stop_price="95"))
    assert scene.judge(prevention(), scene.order(Side.BUY, limit_price="99")).outcome is Outcome.PASS
    scene.accept(scene.order(Side.BUY, limit_price="99"))
    stop = scene.order(Side.SELL, order_type=OrderType.STOP, stop_price="95")
    assert scene.judge(prevention(), stop).outcome is Outcome.PASS


def test_an_order_that_ended_does_not_meet_anything_and_one_being_cancelled_does(scene: Scene) -> None:
    unsent = scene.accept(scene.order(Side.SELL, limit_price="101"))
    scene.cancel(unsent)
    assert scene.judge(prevention(), scene.order(Side.BUY)).outcome is Outcome.PASS
    working = scene.acknowledge(scene.accept(scene.order(Side.SELL, limit_price="101")))
    scene.cancel(working)
    assert scene.judge(prevention(), scene.order(Side.BUY)).outcome is Outcome.DENY


def test_an_open_replace_counts_with_both_prices(scene: Scene) -> None:
    working = scene.acknowledge(scene.accept(scene.order(Side.SELL, limit_price="105")))
    scene.replace(working, limit_price="101")
    assert scene.judge(prevention(), scene.order(Side.BUY, limit_price="102")).outcome is Outcome.DENY
    assert scene.judge(prevention(), scene.order(Side.BUY, limit_price="100")).outcome is Outcome.PASS


def test_a_modification_that_moves_into_an_own_order_is_denied(scene: Scene) -> None:
    scene.accept(scene.order(Side.SELL, limit_price="101"))
    order = scene.accept(scene.order(Side.BUY, limit_price="99"))
    assert scene.judge_replace(prevention(), order, limit_price="100").outcome is Outcome.PASS
    assert scene.judge_replace(prevention(), order, limit_price="101").outcome is Outcome.DENY


def test_other_accounts_and_instruments_may_trade_with_each_other(scene: Scene) -> None:
    other = scene.open(a_trading_account("other"))  # type: ignore[arg-type]
    scene.accept(scene.order(Side.SELL, limit_price="101", account_id=other))
    scene.accept(scene.order(Side.SELL, limit_price="101", instrument=scene.add(an_instrument("OTHER"))))
    assert scene.judge(prevention(), scene.order(Side.BUY)).outcome is Outcome.PASS


@pytest.mark.parametrize(("own", "outcome"), [("98.00", "DENY"), ("97.99", "PASS"), ("1.00", "PASS")])
def test_a_market_order_meets_own_orders_within_its_reach_of_the_touch(scene: Scene, own: str, outcome: str) -> None:
    """The bid is 99.99: two percent below it is 97.9902."""
    scene.accept(scene.order(Side.BUY, 10, limit_price=own))
    check = SelfTradePrevention(parse_params(SelfTradePrevention, {"reach": "2.0000"}))
    assert scene.judge(check, scene.order(Side.SELL, 10)).outcome == outcome


def test_without_a_quote_a_market_order_meets_every_own_opposite_order(scene: Scene) -> None:
    scene.accept(scene.order(Side.BUY, 10, limit_price="1.00"))
    scene.lose_quotes()
    check = SelfTradePrevention(parse_params(SelfTradePrevention, {}))
    assert scene.judge(check, scene.order(Side.SELL, 10)).outcome is Outcome.DENY
