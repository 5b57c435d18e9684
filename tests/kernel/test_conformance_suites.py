"""Each suite is shown to catch planted faults, and to let sound classes pass, before it counts."""

import time
import urllib.error
import urllib.request
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec
import pytest

from oms_kernel.contracts.plugin import NoParams, described
from oms_kernel.contracts.strategy import Action, StrategyBase, StrategyContext, StrategyOrder
from oms_kernel.contracts.webhook import Delivered, DeliveryFailed, SinkMessage
from oms_kernel.domain.decision import Outcome, Verdict, passed
from oms_kernel.domain.events import OrderAccepted
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import OrderRequest, Side
from oms_kernel.testkit.rule_suite import RuleConformanceSuite
from oms_kernel.testkit.scene import Scene
from oms_kernel.testkit.sink_suite import SinkConformanceSuite
from oms_kernel.testkit.strategy_suite import StrategyConformanceSuite
from oms_kernel.testkit.trial import failures

# Rules ---------------------------------------------------------------------------------------------------


class Most(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A described limit."""

    most: Annotated[Decimal, described("The limit", "units", gt=0)]


class Undescribed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A limit that tells nothing."""

    most: Decimal


class Lax(msgspec.Struct, frozen=True):
    """A limit that takes any other field as well."""

    most: Annotated[Decimal, described("The limit", "units", gt=0)]


class SoundRule:
    """Denies above `most`; remembers how many orders there were, and needs a quote."""

    name = "sound"
    title = "A sound rule"
    Params: type[msgspec.Struct] = Most

    def __init__(self, params: Any) -> None:
        self.most = params.most

    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        if view.market.fresh(intent.request.instrument_id) is None:
            return Verdict(rule=self.name, outcome=Outcome.DENY, code="no_quote")
        if intent.request.quantity <= self.most:
            return passed(self.name, observed=intent.request.quantity, limit=self.most, unit="units")
        return self.deny(intent)

    def deny(self, intent: Any) -> Any:
        return Verdict(
            rule=self.name,
            outcome=Outcome.DENY,
            code="too_much",
            message="too much",
            observed=intent.request.quantity,
            limit=self.most,
            unit="units",
            would_pass=f"a quantity of at most {self.most}",
        )

    def initial_state(self) -> Any:
        return {"orders": 0}

    def fold(self, state: Any, event: Any) -> Any:
        return {"orders": state["orders"] + 1}, ()


class PassesAll(SoundRule):
    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        return passed(self.name)


class SaysTrue(SoundRule):
    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        return True


class IgnoresMissingQuotes(SoundRule):
    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        return passed(self.name) if intent.request.quantity <= self.most else self.deny(intent)


class UsesStaleQuotes(SoundRule):
    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        if view.market.last_known(intent.request.instrument_id) is None:
            return Verdict(rule=self.name, outcome=Outcome.DENY, code="no_quote")
        return passed(self.name) if intent.request.quantity <= self.most else self.deny(intent)


class Counts(SoundRule):
    calls = 0

    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        self.calls += 1
        return super().assess(intent, view, state)


class ReadsTheClock(SoundRule):
    def deny(self, intent: Any) -> Any:
        return msgspec.structs.replace(super().deny(intent), message=f"too much at {time.perf_counter_ns()}")


class HidesFigures(SoundRule):
    def deny(self, intent: Any) -> Any:
        return Verdict(rule=self.name, outcome=Outcome.DENY, code="too_much", message="too much")


class OffersNothing(SoundRule):
    def deny(self, intent: Any) -> Any:
        return msgspec.structs.replace(super().deny(intent), would_pass="")


class PassesWithoutFigures(SoundRule):
    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        verdict = super().assess(intent, view, state)
        return passed(self.name) if verdict.outcome is Outcome.PASS else verdict


class TurnsItsFiguresRound(SoundRule):
    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        verdict = super().assess(intent, view, state)
        return msgspec.structs.replace(verdict, observed=verdict.limit, limit=verdict.observed)


class CountsWithFloats(SoundRule):
    def deny(self, intent: Any) -> Any:
        return msgspec.structs.replace(super().deny(intent), inputs={"share": 0.5})


class KnowsOnlyNewOrders(SoundRule):
    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        return None if intent.replaces is not None else super().assess(intent, view, state)


class ChangesTheOrder(SoundRule):
    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        verdict = super().assess(intent, view, state)
        msgspec.structs.force_setattr(intent.request, "quantity", Decimal(1))
        return verdict


class ChangesTheBook(SoundRule):
    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        msgspec.structs.force_setattr(view.account(intent.request.account_id), "base_currency", "EUR")
        return super().assess(intent, view, state)


class TriggersNonsense(SoundRule):
    def fold(self, state: Any, event: Any) -> Any:
        return {"orders": state["orders"] + 1}, ("nonsense",)


class HasNoCode(SoundRule):
    def deny(self, intent: Any) -> Any:
        return msgspec.structs.replace(super().deny(intent), code="")


class ChangesItsState(SoundRule):
    def fold(self, state: Any, event: Any) -> Any:
        state["orders"] += 1
        return state, ()


class ChangesItsStateWhenAsked(SoundRule):
    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        state["asked"] = True
        return super().assess(intent, view, state)


class OverlooksEvents(SoundRule):
    observes = frozenset({OrderAccepted})


class Dawdles(SoundRule):
    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        time.sleep(0.0015)
        return super().assess(intent, view, state)


class Nameless(SoundRule):
    name = "Not A Name"


class Tells(SoundRule):
    Params = Undescribed


class TakesAnything(SoundRule):
    Params = Lax


class SuiteOfSound(RuleConformanceSuite):
    contributed: ClassVar[Any] = SoundRule
    params = {"most": "100"}
    without_quote = Outcome.DENY

    def permitted(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=100)

    def forbidden(self, scene: Scene) -> OrderRequest:
        return scene.order(quantity=101)


def suite_of(rule: type[Any]) -> type[Any]:
    return type("Suite", (SuiteOfSound,), {"contributed": rule})


def test_a_sound_rule_passes_every_case() -> None:
    assert failures(SuiteOfSound) == {}


@pytest.mark.parametrize(
    ("rule", "case"),
    [
        (PassesAll, "test_it_denies_what_it_forbids_with_a_code_and_a_sentence"),
        (SaysTrue, "test_it_passes_what_it_permits"),
        (IgnoresMissingQuotes, "test_without_a_quote_it_does_what_it_declares"),
        (UsesStaleQuotes, "test_a_stale_quote_is_no_quote"),
        (Counts, "test_it_keeps_nothing_in_itself"),
        (ReadsTheClock, "test_the_same_inputs_give_the_same_verdict"),
        (HidesFigures, "test_its_denial_shows_observed_limit_and_unit"),
        (OffersNothing, "test_its_denial_says_what_would_pass"),
        (PassesWithoutFigures, "test_what_it_passes_shows_its_figures_too"),
        (TurnsItsFiguresRound, "test_its_figures_say_the_same_as_its_word"),
        (CountsWithFloats, "test_its_verdicts_can_be_stored"),
        (KnowsOnlyNewOrders, "test_it_judges_new_terms_of_an_order_too"),
        (ChangesTheOrder, "test_it_changes_nothing_that_it_is_shown"),
        (ChangesTheBook, "test_it_changes_nothing_that_it_is_shown"),
        (TriggersNonsense, "test_it_changes_no_state_in_place"),
        (HasNoCode, "test_it_denies_what_it_forbids_with_a_code_and_a_sentence"),
        (ChangesItsState, "test_it_changes_no_state_in_place"),
        (ChangesItsStateWhenAsked, "test_it_changes_no_state_in_place"),
        (OverlooksEvents, "test_what_it_does_not_observe_leaves_its_state_as_it_is"),
        (Dawdles, "test_half_of_its_calls_take_less_than_a_millisecond"),
        (Nameless, "test_it_is_a_sound_contribution"),
        (Tells, "test_its_parameters_are_described_and_numbers_have_a_unit"),
        (TakesAnything, "test_it_is_a_sound_contribution"),
    ],
)
def test_a_planted_fault_in_a_rule_is_caught(rule: type[Any], case: str) -> None:
    assert case in failures(suite_of(rule), [case])


# Strategies ----------------------------------------------------------------------------------------------


class SoundStrategy(StrategyBase):
    """Buys one at every tenth quote."""

    name: ClassVar[str] = "sound"
    title: ClassVar[str] = "A sound strategy"
    Params: ClassVar[type[msgspec.Struct]] = NoParams
    symbols = ("ACME",)

    def __init__(self, params: Any) -> None:
        self.quotes = 0

    def on_quote(self, quote: Quote, symbol: str, context: StrategyContext) -> list[Action]:
        self.quotes += 1
        return [self.order()] if self.quotes % 10 == 0 else []

    def order(self) -> Any:
        return StrategyOrder(symbol="ACME", side=Side.BUY, quantity=Decimal(1))


class WantsNothing(SoundStrategy):
    symbols = ()


class ReturnsNone(SoundStrategy):
    def on_start(self, context: StrategyContext) -> Any:
        return None


class BuysHalf(SoundStrategy):
    def order(self) -> Any:
        return StrategyOrder(symbol="ACME", side=Side.BUY, quantity=Decimal("0.5"))


class BuysWithFloats(SoundStrategy):
    def order(self) -> Any:
        return StrategyOrder(symbol="ACME", side=Side.BUY, quantity=1.0)  # type: ignore[arg-type]


class LimitsOffTick(SoundStrategy):
    def order(self) -> Any:
        return msgspec.structs.replace(super().order(), order_type="LIMIT", limit_price=Decimal("1.001"))


class Rolls(SoundStrategy):
    def order(self) -> Any:
        return msgspec.structs.replace(super().order(), client_order_id=str(time.perf_counter_ns()))


class WritesPositions(SoundStrategy):
    def on_quote(self, quote: Quote, symbol: str, context: StrategyContext) -> list[Action]:
        context.positions["ACME"] = Decimal(5)
        return super().on_quote(quote, symbol, context)


class NeedsBothSides(SoundStrategy):
    def on_quote(self, quote: Quote, symbol: str, context: StrategyContext) -> list[Action]:
        assert quote.bid is not None
        assert quote.ask is not None
        return super().on_quote(quote, symbol, context)


class FailsOnDenial(SoundStrategy):
    def on_order(self, update: Any, context: StrategyContext) -> list[Action]:
        return [] if update.state != "DENIED" else [][0]  # type: ignore[misc]


class NeverTrades(SoundStrategy):
    def on_quote(self, quote: Quote, symbol: str, context: StrategyContext) -> list[Action]:
        return []


class Ponders(SoundStrategy):
    def on_quote(self, quote: Quote, symbol: str, context: StrategyContext) -> list[Action]:
        time.sleep(0.006)
        return []


def strategy_suite(strategy: type[Any]) -> type[Any]:
    return type("Suite", (StrategyConformanceSuite,), {"contributed": strategy})


def test_a_sound_strategy_passes_every_case() -> None:
    assert failures(strategy_suite(SoundStrategy)) == {}


@pytest.mark.parametrize(
    ("strategy", "case"),
    [
        (WantsNothing, "test_it_says_which_symbols_it_wants"),
        (ReturnsNone, "test_every_callback_returns_a_list_of_actions"),
        (BuysHalf, "test_its_orders_are_ones_that_the_host_can_take"),
        (BuysWithFloats, "test_its_actions_survive_the_pipe_to_the_host"),
        (LimitsOffTick, "test_its_orders_are_ones_that_the_host_can_take"),
        (Rolls, "test_the_same_quotes_give_the_same_actions"),
        (WritesPositions, "test_it_changes_nothing_that_it_is_given"),
        (NeedsBothSides, "test_it_lives_with_quotes_that_lack_a_side"),
        (FailsOnDenial, "test_it_lives_with_every_fate_of_its_orders"),
        (NeverTrades, "test_its_orders_are_ones_that_the_host_can_take"),
        (Ponders, "test_half_of_its_calls_take_less_than_five_milliseconds"),
    ],
)
def test_a_planted_fault_in_a_strategy_is_caught(strategy: type[Any], case: str) -> None:
    assert case in failures(strategy_suite(strategy), [case])


# Sinks ---------------------------------------------------------------------------------------------------


class Url(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where to post."""

    url: Annotated[str, described("Endpoint")]


class NaiveSink:
    """What one writes first: an HTTP client of the standard library, following redirects, believing everything."""

    name = "naive"
    title = "A naive sink"
    Params: type[msgspec.Struct] = Url

    def __init__(self, params: Any, host: Any) -> None:
        self.url = params.url

    def deliver(self, message: SinkMessage) -> Delivered:

        request = urllib.request.Request(self.url, data=message.body)
        try:
            with urllib.request.urlopen(request, timeout=1) as answer:
                answer.read(1024)
                return Delivered(status_code=answer.status, duration_ms=1)
        except urllib.error.HTTPError as error:
            with error:
                raise DeliveryFailed(f"{self.url}: {error}", retry=True) from error
        except OSError as error:
            raise DeliveryFailed(f"{self.url}: {error}", retry=True) from error

    def close(self) -> None:
        """Nothing."""


class SuiteOfNaive(SinkConformanceSuite):
    contributed: ClassVar[Any] = NaiveSink

    def params_for(self, url: str) -> dict[str, Any]:
        return {"url": url}


NAIVE_FAULTS = (
    "test_a_second_attempt_bears_the_same_message_id",
    "test_410_disables_the_endpoint",
    "test_it_tells_how_long_the_receiver_asked_to_wait",
    "test_private_addresses_are_refused_unless_they_are_allowed",
    "test_a_closed_port_fails_without_telling_which",
    "test_it_follows_no_redirect",
)
DELIVERY = "test_it_delivers_the_body_byte_by_byte_and_the_receiver_can_trust_it"


@pytest.mark.parametrize("case", NAIVE_FAULTS)
def test_a_naive_sink_is_caught_at_what_naive_sinks_do_wrong(case: str) -> None:
    assert case in failures(SuiteOfNaive, [case])


def test_what_a_naive_sink_does_right_passes() -> None:
    assert failures(SuiteOfNaive, [DELIVERY, "test_every_2xx_is_delivered"]) == {}


def test_a_sink_that_says_delivered_without_sending_is_caught() -> None:
    class Liar(NaiveSink):
        def deliver(self, message: SinkMessage) -> Delivered:
            return Delivered(status_code=200, duration_ms=0)

    cases = [DELIVERY, "test_every_other_answer_fails_and_may_be_tried_again"]
    assert set(failures(type("Suite", (SuiteOfNaive,), {"contributed": Liar}), cases)) == set(cases)
