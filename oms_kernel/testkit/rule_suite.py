"""A rule or check in, a verdict out: every duty of the rule contract has a case.

In a pytest module of your own, one class for each rule:

    class TestMaxOrderQuantity(RuleConformanceSuite):
        contributed = MaxOrderQuantity
        params = {"max_quantity": "100"}

        def permitted(self, scene: Scene) -> OrderRequest:
            return scene.order(quantity=100)

        def forbidden(self, scene: Scene) -> OrderRequest:
            return scene.order(quantity=101)

A Monitor has a suite of its own: `oms_kernel.testkit.monitor_suite`.
"""

import copy
from typing import Any, ClassVar

import msgspec

from oms_kernel.contracts.rules import Basket
from oms_kernel.domain.decision import Outcome, Verdict
from oms_kernel.domain.order import OrderRequest
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.registry import Kind
from oms_kernel.soundness import is_sound, is_sound_trigger
from oms_kernel.testkit.contributions import ContributionSuite
from oms_kernel.testkit.purity import fields_of, median_s, seen_by
from oms_kernel.testkit.scene import Scene

CALLS = 200
SLOWEST_MEDIAN_S = 0.001


class RuleConformanceSuite(ContributionSuite):
    """The duties of RiskRule, StatefulRule and ComplianceCheck.

    permitted, forbidden: set up the scene and return an order that the rule passes, or denies for its own reason.
    without_quote: what the rule says of the permitted order when no instrument has a quote: DENY when it needs one.
    scope: that of its limit, for a rule with `takes_scope`. principal: who places the orders.
    has_figures: whether its verdicts show observed, limit and unit, and its denials what would pass.
    passes_with_figures: whether what it passes shows them too, where it has figures.
    """

    kind = Kind.RISK_RULE
    without_quote: ClassVar[Outcome] = Outcome.PASS
    has_figures: ClassVar[bool] = True
    passes_with_figures: ClassVar[bool] = True
    scope: ClassVar[Scope] = EVERYTHING
    principal: ClassVar[str] = "user:trader"

    def permitted(self, scene: Scene) -> OrderRequest:
        """An order that passes."""
        raise NotImplementedError("say which order passes")

    def forbidden(self, scene: Scene) -> OrderRequest:
        """An order that is denied."""
        raise NotImplementedError("say which order is denied")

    def basket(self, scene: Scene, request: OrderRequest) -> Basket | None:
        """What the order came in with; None, alone, unless a rule with `needs_basket` says otherwise."""
        return None

    def rule(self) -> Any:
        """A fresh instance."""
        return make_rule(self.contributed, self.params, self.scope)

    def test_it_passes_what_it_permits(self) -> None:
        scene = Scene()
        verdict = self._judge(scene, self.permitted(scene))
        assert _outcome(verdict) is Outcome.PASS, verdict

    def test_it_denies_what_it_forbids_with_a_code_and_a_sentence(self) -> None:
        scene = Scene()
        verdict = self._judge(scene, self.forbidden(scene))
        assert _outcome(verdict) is Outcome.DENY, verdict
        assert verdict.rule == self.contributed.name
        assert verdict.code, "the denial has no code"
        assert verdict.message, "the denial has no message"

    def test_its_denial_shows_observed_limit_and_unit(self) -> None:
        scene = Scene()
        verdict = self._judge(scene, self.forbidden(scene))
        shown = _shows(verdict)
        assert all(shown) if self.has_figures else not all(shown), verdict

    def test_its_denial_says_what_would_pass(self) -> None:
        scene = Scene()
        verdict = self._judge(scene, self.forbidden(scene))
        assert verdict.would_pass or not self.has_figures, verdict

    def test_what_it_passes_shows_its_figures_too(self) -> None:
        """So that a person sees how near to the limit an order comes."""
        scene = Scene()
        verdict = self._judge(scene, self.permitted(scene))
        assert all(_shows(verdict)) or not (self.has_figures and self.passes_with_figures), verdict

    def test_its_figures_say_the_same_as_its_word(self) -> None:
        """Head-room is left where it passes and none where it denies; a limit that is a floor says so by is_floor."""
        scene = Scene()
        passing = self._judge(scene, self.permitted(scene)).headroom
        assert passing is None or passing >= 0, f"it passes with a head-room of {passing}"
        scene = Scene()
        denying = self._judge(scene, self.forbidden(scene)).headroom
        assert denying is None or denying <= 0, f"it denies with a head-room of {denying}"

    def test_its_verdicts_can_be_stored(self) -> None:
        """Figures are Decimals of bounded size, texts are text; the host denies in place of any other verdict."""
        for arrange in (self.permitted, self.forbidden):
            scene = Scene()
            verdict = self._judge(scene, arrange(scene))
            assert isinstance(verdict, Verdict), f"no verdict: {verdict!r}"
            assert is_sound(verdict), f"a field has a type or size that the log cannot store: {verdict}"

    def test_it_judges_new_terms_of_an_order_too(self) -> None:
        scene = Scene()
        request = self.permitted(scene)
        order = scene.acknowledge(scene.accept(request))
        verdict = scene.judge_replace(self.rule(), order, quantity=request.quantity * 2)
        assert _outcome(verdict) in Outcome
        assert is_sound(verdict), verdict

    def test_it_judges_an_order_that_came_alone(self) -> None:
        scene = Scene()
        verdict = scene.judge(self.rule(), self.permitted(scene), principal=self.principal)
        assert _outcome(verdict) in Outcome

    def test_without_a_quote_it_does_what_it_declares(self) -> None:
        scene = Scene()
        request = self.permitted(scene)
        scene.lose_quotes()
        missing = self._judge(scene, request)
        assert _outcome(missing) is self.without_quote, missing
        if self.without_quote is Outcome.DENY:
            assert missing.code, "the denial does not say what is missing"

    def test_a_stale_quote_is_no_quote(self) -> None:
        scene = Scene()
        request = self.permitted(scene)
        scene.lose_quotes()
        absent = self._judge(scene, request)
        scene.quote(instrument=scene.instrument)
        scene.quotes = {key: _aged(quote) for key, quote in scene.quotes.items()}
        assert self._judge(scene, request) == absent

    def test_the_same_inputs_give_the_same_verdict(self) -> None:
        for arrange in (self.permitted, self.forbidden):
            scene = Scene()
            intent, view = self._intent(scene, arrange(scene))
            rule, other = self.rule(), self.rule()
            memory = scene.memory(rule)
            first = rule.assess(intent, view, memory)
            assert all(rule.assess(intent, view, memory) == first for _ in range(20))
            assert other.assess(intent, view, scene.memory(other)) == first

    def test_it_keeps_nothing_in_itself(self) -> None:
        for arrange in (self.permitted, self.forbidden):
            scene = Scene()
            intent, view = self._intent(scene, arrange(scene))
            rule = self.rule()
            memory = scene.memory(rule)
            before = copy.deepcopy(fields_of(rule))
            rule.assess(intent, view, memory)
            assert fields_of(rule) == before, "assess changed the rule"

    def test_it_changes_nothing_that_it_is_shown(self) -> None:
        """The order, its instrument, the book, the quotes and the facts are as before; frozen structs can be forced."""
        for arrange in (self.permitted, self.forbidden):
            scene = Scene()
            intent, view = self._intent(scene, arrange(scene))
            rule = self.rule()
            memory = scene.memory(rule)
            kept, before = copy.deepcopy(intent), seen_by(scene)
            rule.assess(intent, view, memory)
            assert intent == kept, "assess changed the order that it judges"
            assert seen_by(scene) == before, "assess changed what it was shown"

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
            again, repeated = rule.fold(state, recorded)
            assert isinstance(triggers, tuple)
            assert all(is_sound_trigger(one) and one.message for one in triggers), f"no triggers: {triggers}"
            assert triggers == repeated, f"fold is not pure at {recorded.event.kind}"
            assert state == kept, f"fold changed the state at {recorded.event.kind}"
            assert following == again, f"fold is not pure at {recorded.event.kind}"
            state = following
        intent, view = self._intent(scene, request)
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
            intent, view = self._intent(scene, arrange(scene))
            rule = self.rule()
            memory = scene.memory(rule)
            assert median_s(CALLS, rule.assess, intent, view, memory) < SLOWEST_MEDIAN_S

    def _intent(self, scene: Scene, request: OrderRequest) -> tuple[Any, Any]:
        return scene.intent(request, principal=self.principal, basket=self.basket(scene, request))

    def _judge(self, scene: Scene, request: OrderRequest) -> Verdict:
        return scene.judge(self.rule(), request, principal=self.principal, basket=self.basket(scene, request))


class ComplianceConformanceSuite(RuleConformanceSuite):
    """The same duties for a ComplianceCheck."""

    kind = Kind.COMPLIANCE_CHECK


def _outcome(verdict: object) -> Outcome:
    assert isinstance(verdict, Verdict), f"no verdict: {verdict!r}"
    return verdict.outcome


def _shows(verdict: Verdict) -> tuple[bool, bool, bool]:
    return verdict.observed is not None, verdict.limit is not None, bool(verdict.unit)


def _aged(quote: Any) -> Any:
    return msgspec.structs.replace(quote, received_at=quote.received_at.replace(year=quote.received_at.year - 1))
