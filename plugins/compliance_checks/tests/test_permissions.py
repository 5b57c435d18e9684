"""What may be traded, by whom, and what every order has to say of itself."""

from datetime import timedelta
from typing import Any

import msgspec
import pytest

from oms_compliance_checks.access_control import AccessControl
from oms_compliance_checks.algo_tag import AlgoTag
from oms_compliance_checks.allowed_instruments import AllowedInstruments
from oms_compliance_checks.restricted_list import RestrictedList
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import EventId, StrategyId
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.order import Side
from oms_kernel.testkit.builders import ACCOUNT_ID, NOON, a_uuid, an_instrument
from oms_kernel.testkit.scene import Scene


@pytest.fixture
def scene() -> Scene:
    return Scene()


# restricted_list: issuers --------------------------------------------------------------------------------


def restricted(*entries: dict[str, Any]) -> RestrictedList:
    return RestrictedList(parse_params(RestrictedList, {"restrictions": list(entries)}))


ISSUER = {"issuer": "Acme Holdings"}


@pytest.mark.parametrize(
    ("issuer", "code"),
    [("Acme Holdings", "restricted_list"), ("ACME holdings", "restricted_list"), ("Other", ""), ("", "no_issuer")],
)
def test_everything_of_a_restricted_issuer_is_restricted(scene: Scene, issuer: str, code: str) -> None:
    scene.facts(issuer=issuer)
    assert scene.judge(restricted(ISSUER), scene.order()).code == code


def test_without_facts_a_restriction_of_issuers_denies_what_somebody_issued(scene: Scene) -> None:
    coin = scene.another_instrument("COIN", asset_class=AssetClass.CRYPTO)
    assert scene.judge(restricted(ISSUER), scene.order()).code == "no_issuer"
    assert scene.judge(restricted(ISSUER), scene.order(instrument=coin)).outcome is Outcome.PASS
    assert scene.judge(restricted({"symbol": "OTHER"}), scene.order()).outcome is Outcome.PASS


def test_an_option_is_restricted_by_the_issuer_of_its_underlying(scene: Scene) -> None:
    option = scene.add(
        an_instrument("ACME C100", asset_class=AssetClass.OPTION, underlying_id=scene.instrument.instrument_id)
    )
    scene.facts(issuer="Acme Holdings")
    verdict = scene.judge(restricted(ISSUER), scene.order(instrument=option, limit_price="1"))
    assert verdict.message == "ACME, of Acme Holdings, is on the restricted list"


def test_an_entry_that_is_not_in_force_asks_for_no_issuer(scene: Scene) -> None:
    entry = {**ISSUER, "effective_from": (NOON + timedelta(days=1)).isoformat()}
    assert scene.judge(restricted(entry), scene.order()).outcome is Outcome.PASS
    assert scene.judge(restricted({**ISSUER, "side": "SELL"}), scene.order(Side.BUY)).outcome is Outcome.PASS


def test_a_denial_says_which_side_or_which_day_would_pass(scene: Scene) -> None:
    until = (NOON + timedelta(days=1)).isoformat()
    buy = scene.judge(restricted({"symbol": "ACME", "side": "BUY", "effective_to": until}), scene.order())
    assert buy.would_pass == f"a SELL order or the order from {until} on"
    assert scene.judge(restricted({"symbol": "ACME"}), scene.order()).would_pass == ""


@pytest.mark.parametrize("entry", [{"symbol": "A", "issuer": "B"}, {"instrument_id": "A", "issuer": "B"}])
def test_an_entry_names_one_thing(entry: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="one of symbol, instrument_id and issuer"):
        restricted(entry)


# allowed_instruments -------------------------------------------------------------------------------------


def allowed(**params: Any) -> AllowedInstruments:
    return AllowedInstruments(parse_params(AllowedInstruments, params))


@pytest.mark.parametrize(
    ("params", "outcome"),
    [
        ({"asset_classes": ["EQUITY"]}, "PASS"),
        ({"asset_classes": ["ETF", "FUTURE"]}, "DENY"),
        ({"venues": ["xsim"]}, "PASS"),
        ({"venues": ["XNYS"]}, "DENY"),
        ({"currencies": ["usd"]}, "PASS"),
        ({"currencies": ["EUR"]}, "DENY"),
        ({"instruments": ["acme"]}, "PASS"),
        ({"instruments": ["XSIM:ACME"]}, "PASS"),
        ({"instruments": [a_uuid("instrument ACME")]}, "PASS"),
        ({"instruments": ["XNYS:ACME"]}, "DENY"),
        ({"instruments": ["ACME"], "currencies": ["EUR"]}, "DENY"),
        ({"asset_classes": ["EQUITY"], "venues": ["XSIM"], "instruments": ["ACME"]}, "PASS"),
    ],
    ids=str,
)
def test_an_instrument_has_to_be_on_every_list_that_is_given(
    scene: Scene, params: dict[str, Any], outcome: str
) -> None:
    assert scene.judge(allowed(**params), scene.order()).outcome == outcome


def test_a_denial_says_what_is_not_permitted_and_what_is(scene: Scene) -> None:
    verdict = scene.judge(allowed(currencies=["EUR", "CHF"]), scene.order())
    assert verdict.message == "ACME may not be traded here: currency USD is not permitted"
    assert verdict.would_pass == "one of CHF, EUR"
    many = scene.judge(allowed(instruments=[f"S{number:02}" for number in range(12)]), scene.order())
    assert many.would_pass.endswith("S09 and others")


def test_what_closes_passes_only_where_the_limit_says_so(scene: Scene) -> None:
    scene.hold(100)
    sale, more = scene.order(Side.SELL, 100), scene.order(Side.SELL, 101)
    assert scene.judge(allowed(venues=["XNYS"]), sale).outcome is Outcome.DENY
    closing = allowed(venues=["XNYS"], allow_closing=True)
    assert scene.judge(closing, sale).outcome is Outcome.PASS
    assert scene.judge(closing, more).outcome is Outcome.DENY
    scene.accept(scene.order(Side.SELL, 60))
    assert scene.judge(closing, scene.order(Side.SELL, 41)).outcome is Outcome.DENY


def test_new_terms_are_judged_too_and_less_of_an_order_passes_where_closing_does(scene: Scene) -> None:
    order = scene.accept(scene.order(limit_price="99"))
    strict, closing = allowed(venues=["XNYS"]), allowed(venues=["XNYS"], allow_closing=True)
    assert scene.judge_replace(strict, order, quantity=50).outcome is Outcome.DENY
    assert scene.judge_replace(closing, order, quantity=50).outcome is Outcome.PASS
    assert scene.judge_replace(closing, order, quantity=150).outcome is Outcome.DENY
    assert scene.judge_replace(closing, order, quantity=50, limit_price="100").outcome is Outcome.DENY


def test_an_order_of_a_liquidation_passes(scene: Scene) -> None:
    order = scene.order(Side.SELL, liquidation_id=EventId(a_uuid("liquidation")))
    intent, view = scene.intent(scene.order(Side.SELL))
    intent = msgspec.structs.replace(intent, request=order)
    for check in (allowed(venues=["XNYS"]), AccessControl(parse_params(AccessControl, {"approved": []}))):
        assert check.assess(intent, view, None).outcome is Outcome.PASS


def test_lists_that_allow_everything_are_refused() -> None:
    with pytest.raises(InvalidRequest, match="at least one"):
        allowed()


# access_control ------------------------------------------------------------------------------------------


def access(*approved: dict[str, Any]) -> AccessControl:
    return AccessControl(parse_params(AccessControl, {"approved": list(approved)}))


@pytest.mark.parametrize(
    ("approved", "principal", "outcome"),
    [
        ({"principal": "user:1"}, "user:1", "PASS"),
        ({"principal": "user:1"}, "user:2", "DENY"),
        ({"principal": "user:1"}, "key:1", "DENY"),
        ({"principal": "key:1"}, "key:1", "PASS"),
        ({"principal": "strategy:1"}, "strategy:1", "PASS"),
        ({"principal": "user:*"}, "user:2", "PASS"),
        ({"principal": "user:*"}, "strategy:2", "DENY"),
        ({"principal": "user:1"}, "", "DENY"),
        ({"principal": "user:1", "account_ids": [ACCOUNT_ID]}, "user:1", "PASS"),
        ({"principal": "user:1", "account_ids": ["another"]}, "user:1", "DENY"),
        ({"principal": "user:*", "account_ids": ["another"]}, "user:1", "DENY"),
    ],
    ids=str,
)
def test_only_who_is_approved_for_the_account_trades(
    scene: Scene, approved: dict[str, Any], principal: str, outcome: str
) -> None:
    verdict = scene.judge(access(approved), scene.order(), principal=principal)
    assert verdict.outcome == outcome
    assert bool(verdict.would_pass) is (outcome == "DENY")


def test_several_approvals_of_one_principal_add_up(scene: Scene) -> None:
    check = access(
        {"principal": "user:1", "account_ids": ["other"]}, {"principal": "user:1", "account_ids": [ACCOUNT_ID]}
    )
    assert scene.judge(check, scene.order(), principal="user:1").outcome is Outcome.PASS
    wide = access({"principal": "user:1", "account_ids": ["other"]}, {"principal": "user:1"})
    assert scene.judge(wide, scene.order(), principal="user:1").outcome is Outcome.PASS


def test_a_person_by_name_may_have_more_than_all_people_have(scene: Scene) -> None:
    check = access({"principal": "user:*", "account_ids": ["other"]}, {"principal": "user:1"})
    assert scene.judge(check, scene.order(), principal="user:1").outcome is Outcome.PASS
    assert scene.judge(check, scene.order(), principal="user:2").outcome is Outcome.DENY


def test_a_modification_by_somebody_who_is_not_approved_is_denied(scene: Scene) -> None:
    order = scene.accept(scene.order(limit_price="99"))
    assert scene.judge_replace(access({"principal": "user:1"}), order, quantity=1).outcome is Outcome.DENY


@pytest.mark.parametrize("principal", ["1", "user", "user:", "robot:1"])
def test_an_approval_names_a_kind_and_an_id(principal: str) -> None:
    with pytest.raises(InvalidRequest, match="principal begins with"):
        access({"principal": principal})


# algo_tag ------------------------------------------------------------------------------------------------

STRATEGY = StrategyId(a_uuid("strategy"))


def tag(**params: Any) -> AlgoTag:
    return AlgoTag(parse_params(AlgoTag, params))


@pytest.mark.parametrize(
    ("params", "principal", "fields", "missing"),
    [
        ({}, "user:1", {}, None),
        ({}, "strategy:1", {}, "strategy_id, algo_version"),
        ({}, "strategy:1", {"strategy_id": STRATEGY}, "algo_version"),
        ({}, "strategy:1", {"strategy_id": STRATEGY, "algo_version": "v1"}, None),
        ({}, "user:1", {"strategy_id": STRATEGY}, "algo_version"),
        ({}, "strategy:1", {"strategy_id": STRATEGY, "algo_version": ""}, "algo_version"),
        ({"applies_to": "ALL"}, "user:1", {}, "strategy_id, algo_version"),
        ({"applies_to": "ALL", "required": ["desk"]}, "key:1", {"desk": "rates"}, None),
        ({"applies_to": "ALL", "required": ["client_ref", "desk"]}, "key:1", {"desk": "rates"}, "client_ref"),
        ({"required": ["desk", "desk"]}, "strategy:1", {}, "desk"),
    ],
    ids=str,
)
def test_an_order_says_what_is_required(
    scene: Scene, params: dict[str, Any], principal: str, fields: dict[str, Any], missing: str | None
) -> None:
    verdict = scene.judge(tag(**params), scene.order(**fields), principal=principal)
    assert verdict.code == ("missing_tag" if missing else "")
    if missing:
        assert (verdict.message, verdict.would_pass) == (f"the order does not say its {missing}", f"it with {missing}")


def test_an_order_without_its_tags_may_only_shrink(scene: Scene) -> None:
    check = tag(applies_to="ALL")
    order = scene.accept(scene.order(limit_price="99"))
    assert scene.judge_replace(check, order, quantity=99).outcome is Outcome.PASS
    assert scene.judge_replace(check, order, quantity=101).code == "missing_tag"


def test_required_may_not_be_empty() -> None:
    with pytest.raises(InvalidRequest, match="at least one field"):
        tag(required=[])
