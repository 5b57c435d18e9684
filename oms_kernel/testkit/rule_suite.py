"""A rule or check in, a verdict out: every duty of the rule contract has a case.

In a pytest module of your own, one class for each rule:

    class TestMaxOrderQuantity(RuleConformanceSuite):
        contributed = MaxOrderQuantity
        params = {"max_quantity": "100"}

        def permitted(self, scene: Scene) -> OrderRequest:
            return scene.order(quantity=100)

        def forbidden(self, scene: Scene) -> OrderRequest:
            return scene.order(quantity=101)
"""

import copy
import statistics
import time
from typing import Any, ClassVar

import msgspec

from oms_kernel.domain.decision import Outcome, Verdict
from oms_kernel.domain.order import OrderRequest
from oms_kernel.registry import Kind
from oms_kernel.testkit.contributions import ContributionSuite
from oms_kernel.testkit.scene import Scene

CALLS = 200
SLOWEST_MEDIAN_S = 0.001


class RuleConformanceSuite(ContributionSuite):
    """The duties of RiskRule, StatefulRule and ComplianceCheck.

    permitted, forbidden: set up the scene and return an order that the rule passes, or denies for its own reason.
    without_quote: what the rule says of the permitted order when no instrument has a quote: DENY when it needs one.
    has_figures: whether its denial shows observed, limit and unit.
    """

    kind = Kind.RISK_RULE
    without_quote: ClassVar[Outcome] = Outcome.PASS
    has_figures: ClassVar[bool] = True

    def permitted(self, scene: Scene) -> OrderRequest:
        """An order that passes."""
        raise NotImplementedError("say which order passes")

    def forbidden(self, scene: Scene) -> OrderRequest:
        """An order that is denied."""
        raise NotImplementedError("say which order is denied")

    def rule(self) -> Any:
        """A fresh instance."""
        return self.contributed(self.parsed())

    def test_it_passes_what_it_permits(self) -> None:
        scene = Scene()
        verdict = scene.judge(self.rule(), self.permitted(scene))
        assert _outcome(verdict) is Outcome.PASS, verdict

    def test_it_denies_what_it_forbids_with_a_code_and_a_sentence(self) -> None:
        scene = Scene()
        verdict = scene.judge(self.rule(), self.forbidden(scene))
        assert _outcome(verdict) is Outcome.DENY, verdict
        assert verdict.rule == self.contributed.name
        assert verdict.code, "the denial has no code"
        assert verdict.message, "the denial has no message"

    def test_its_denial_shows_observed_limit_and_unit(self) -> None:
        scene = Scene()
        verdict = scene.judge(self.rule(), self.forbidden(scene))
        shown = (verdict.observed is not None, verdict.limit is not None, bool(verdict.unit))
        assert all(shown) if self.has_figures else not all(shown), verdict

    def test_without_a_quote_it_does_what_it_declares(self) -> None:
        scene = Scene()
        request = self.permitted(scene)
        rule = self.rule()
        scene.lose_quotes()
        missing = scene.judge(rule, request)
        assert _outcome(missing) is self.without_quote, missing
        if self.without_quote is Outcome.DENY:
            assert missing.code, "the denial does not say what is missing"

    def test_a_stale_quote_is_no_quote(self) -> None:
        scene = Scene()
        request = self.permitted(scene)
        scene.lose_quotes()
        absent = scene.judge(self.rule(), request)
        scene.quote(instrument=scene.instrument)
        memory = scene.memory(self.rule())
        scene.quotes = {key: _aged(quote) for key, quote in scene.quotes.items()}
        assert scene.judge(self.rule(), request, memory) == absent

    def test_the_same_inputs_give_the_same_verdict(self) -> None:
        for arrange in (self.permitted, self.forbidden):
            scene = Scene()
            intent, view = scene.intent(arrange(scene))
            rule, other = self.rule(), self.rule()
            memory = scene.memory(rule)
            first = rule.assess(intent, view, memory)
            assert all(rule.assess(intent, view, memory) == first for _ in range(20))
            assert other.assess(intent, view, scene.memory(other)) == first

    def test_it_keeps_nothing_in_itself(self) -> None:
        for arrange in (self.permitted, self.forbidden):
            scene = Scene()
            intent, view = scene.intent(arrange(scene))
            rule = self.rule()
            memory = scene.memory(rule)
            before = copy.deepcopy(_fields(rule))
            rule.assess(intent, view, memory)
            assert _fields(rule) == before, "assess changed the rule"

    def test_it_changes_no_state_in_place(self) -> None:
        """States are kept while later ones are made, as a batch that is dropped does."""
        rule = self.rule()
        if not hasattr(rule, "fold"):
            return
        scene = Scene()
        request = self.forbidden(scene)
        scene.accept(self.permitted(scene))
        state = rule.initial_state()
        for recorded in scene.events:
            kept = copy.deepcopy(state)
            following, triggers = rule.fold(state, recorded)
            again, _ = rule.fold(state, recorded)
            assert isinstance(triggers, tuple)
            assert state == kept, f"fold changed the state at {recorded.event.kind}"
            assert following == again, f"fold is not pure at {recorded.event.kind}"
            state = following
        intent, view = scene.intent(request)
        kept = copy.deepcopy(state)
        rule.assess(intent, view, state)
        assert state == kept, "assess changed the state"

    def test_what_it_does_not_observe_leaves_its_state_as_it_is(self) -> None:
        """The host folds only the events that `observes` names, where a rule has it."""
        rule = self.rule()
        observes = getattr(rule, "observes", None)
        if observes is None or not hasattr(rule, "fold"):
            return
        scene = Scene()
        self.forbidden(scene)
        order = scene.acknowledge(scene.accept(scene.order(quantity=7, limit_price="99")))
        order = scene.replace(scene.fill(order, 2, "99"), quantity=9)
        scene.cancel(order)
        scene.deny(scene.order(quantity=8))
        state = rule.initial_state()
        for recorded in scene.events:
            following, _ = rule.fold(state, recorded)
            if type(recorded.event) not in observes:
                assert following == state, f"{recorded.event.kind} changed the state and is not observed"
            state = following

    def test_its_state_is_rebuilt_from_the_log(self) -> None:
        scene = Scene()
        self.forbidden(scene)
        assert scene.memory(self.rule()) == scene.memory(self.rule())

    def test_half_of_its_calls_take_less_than_a_millisecond(self) -> None:
        for arrange in (self.permitted, self.forbidden):
            scene = Scene()
            intent, view = scene.intent(arrange(scene))
            rule = self.rule()
            memory = scene.memory(rule)
            times = []
            for _ in range(CALLS):
                started = time.perf_counter()
                rule.assess(intent, view, memory)
                times.append(time.perf_counter() - started)
            assert statistics.median(times) < SLOWEST_MEDIAN_S


class ComplianceConformanceSuite(RuleConformanceSuite):
    """The same duties for a ComplianceCheck."""

    kind = Kind.COMPLIANCE_CHECK


def _outcome(verdict: object) -> Outcome:
    assert isinstance(verdict, Verdict), f"no verdict: {verdict!r}"
    return verdict.outcome


def _fields(rule: object) -> dict[str, Any]:
    slots = [name for cls in type(rule).__mro__ for name in getattr(cls, "__slots__", ())]
    return {**getattr(rule, "__dict__", {}), **{name: getattr(rule, name, None) for name in slots}}


def _aged(quote: Any) -> Any:
    return msgspec.structs.replace(quote, received_at=quote.received_at.replace(year=quote.received_at.year - 1))
