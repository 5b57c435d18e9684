"""A ledger's limits become rules in an order that is data; what is missing denies, and the tightest limit wins."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

import msgspec

from oms_app.flow.rulebook import make_monitors, make_rules
from oms_app.store.unit_of_work import LedgerConfig, LimitRow
from oms_kernel.contracts.plugin import NoParams
from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain.controls import Action, Category
from oms_kernel.domain.decision import Outcome, RuleSeverity, Verdict, denied, passed
from oms_kernel.domain.ids import LedgerId, TenantId
from oms_kernel.domain.scope import Scope
from oms_kernel.guard import Guard
from oms_kernel.judging import judge
from oms_kernel.registry import Registered, Registries, Registry
from oms_kernel.testkit.builders import ACCOUNT_ID
from oms_kernel.testkit.scene import Scene


class Most(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    most: Decimal


class Size:
    name: ClassVar[str] = "size"
    title: ClassVar[str] = "Size"
    Params: ClassVar[type[msgspec.Struct]] = Most
    rank: ClassVar[int] = 50

    def __init__(self, params: Most) -> None:
        self.most = params.most

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        if intent.request.quantity <= self.most:
            return passed(self.name, observed=intent.request.quantity, limit=self.most, unit="units")
        return denied(self.name, "too_much", "too much", observed=intent.request.quantity, limit=self.most)


class Cheap(Size):
    name = "zz_cheap"
    rank = 10


class Watcher:
    name: ClassVar[str] = "watcher"
    title: ClassVar[str] = "Watcher"
    Params: ClassVar[type[msgspec.Struct]] = NoParams
    default_action: ClassVar[Action] = Action.HALT
    category: ClassVar[Category] = Category.RISK

    def __init__(self, params: NoParams, scope: Scope) -> None:
        self.scope = scope

    def watch(self, view: Any, state: Any) -> tuple[Trigger, ...]:
        return ()


def registered(cls: Any) -> Registered[Any]:
    return Registered(cls.name, "acme", "acme", cls)


REGISTRIES = Registries(
    risk_rules=Registry([registered(Size), registered(Cheap)]), monitors=Registry([registered(Watcher)])
)


def limit(limit_id: str, most: int = 100, rule: str = "size", **terms: Any) -> LimitRow:
    params = {"most": str(most)} if rule != "watcher" else {}
    return LimitRow(limit_id=limit_id, rule=rule, params=params, version=3, **terms)


def config(*limits: LimitRow, **settings: Any) -> LedgerConfig:
    return LedgerConfig(
        tenant_id=TenantId("t"),
        ledger_id=LedgerId("l"),
        version=1,
        accounts={},
        account_names={},
        routes={},
        limits=limits,
        limits_version=3,
        settings=settings,
    )


def verdicts(quantity: int, *limits: LimitRow, defaults: tuple[LimitRow, ...] = (), **settings: Any) -> list[Verdict]:
    scene = Scene()
    intent, view = scene.intent(scene.order(quantity=quantity))
    rules = make_rules(REGISTRIES, Guard, config(*limits, **settings), defaults)
    return list(judge(intent, view, rules, {}))


def test_every_limit_that_covers_the_order_is_asked_and_the_tightest_wins() -> None:
    wide = limit("tenant", 100)
    tight = limit("account", 50, scope=Scope(ACCOUNT_ID))
    other = limit("other", 1, scope=Scope(account_id="somebody's"))  # type: ignore[arg-type]
    found = verdicts(60, wide, tight, other)
    assert [(verdict.limit_id, verdict.outcome) for verdict in found] == [
        ("account", Outcome.DENY),
        ("tenant", Outcome.PASS),
    ]
    assert [(verdict.scope, verdict.limit_version, verdict.headroom) for verdict in found] == [
        ("ACCOUNT", 3, -10),
        ("TENANT", 3, 40),
    ]


def test_a_narrower_limit_does_not_widen_a_wider_one() -> None:
    found = verdicts(60, limit("tenant", 50), limit("account", 100, scope=Scope(ACCOUNT_ID)))
    assert any(verdict.denies for verdict in found)


def test_cheap_rules_are_asked_first_whatever_their_name() -> None:
    assert [verdict.rule for verdict in verdicts(1, limit("a"), limit("b", rule="zz_cheap"))] == ["zz_cheap", "size"]


def test_a_soft_limit_holds_and_a_shadow_one_only_writes_down() -> None:
    (soft,) = verdicts(200, limit("soft", severity=RuleSeverity.SOFT))
    (shadow,) = verdicts(200, limit("shadow", severity=RuleSeverity.SHADOW))
    assert (soft.outcome, soft.denies, soft.holds) == (Outcome.HOLD, False, True)
    assert (shadow.outcome, shadow.denies, shadow.holds) == (Outcome.DENY, False, False)


def test_a_limit_holds_from_its_first_moment_to_before_its_last() -> None:
    now = Scene().now
    hour = timedelta(hours=1)
    for begins, ends, asked in (
        (now, None, 1),
        (now + hour, None, 0),
        (None, now, 0),
        (None, now + hour, 1),
        (now - hour, now + hour, 1),
    ):
        assert len(verdicts(1, limit("dated", effective_from=begins, effective_until=ends))) == asked


def test_a_limit_whose_rule_is_not_installed_denies() -> None:
    (found,) = verdicts(1, limit("old", rule="of_old"))
    assert (found.denies, found.code) == (True, "rule_not_installed")


def test_a_required_rule_without_a_limit_that_covers_the_order_denies() -> None:
    required = {"required_limits": ["size"]}
    (missing,) = verdicts(1, **required)
    assert (missing.denies, missing.code) == (True, "limit_missing")
    assert not any(verdict.denies for verdict in verdicts(1, limit("there"), **required))
    elsewhere = limit("elsewhere", scope=Scope(account_id="somebody's"))  # type: ignore[arg-type]
    assert any(verdict.code == "limit_missing" for verdict in verdicts(1, elsewhere, **required))
    shadow = limit("shadow", severity=RuleSeverity.SHADOW)
    assert any(verdict.code == "limit_missing" for verdict in verdicts(1, shadow, **required))


def test_limits_of_the_installations_settings_cover_every_tenant() -> None:
    firm = limit("env", 10, scope=Scope(is_firm=True))
    (found,) = verdicts(11, defaults=(firm,))
    assert (found.denies, found.scope) == (True, "FIRM")


def test_a_monitor_has_the_action_of_its_limit_else_of_its_class() -> None:
    usual, own = make_monitors(
        REGISTRIES,
        Guard,
        config(limit("a", rule="watcher"), limit("b", rule="watcher", action=Action.ALERT, scope=Scope(ACCOUNT_ID))),
    )
    assert (usual.terms.action, own.terms.action) == (Action.HALT, Action.ALERT)
    assert own.rule.scope == Scope(ACCOUNT_ID)


def test_a_rule_that_cannot_be_made_from_its_parameters_denies() -> None:
    (found,) = verdicts(1, LimitRow(limit_id="bad", rule="size", params={"most": "many"}, version=1))
    assert (found.denies, found.code) == (True, "plugin_failed")
