"""Whatever a rule of a third party does: the order is denied, its plugin named, and the next rule is not misled."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec
import pytest
from msgspec.structs import force_setattr

from oms_kernel import engine
from oms_kernel.domain.decision import Decision, Gate, Outcome, Verdict, denied, passed
from oms_kernel.domain.events import OrderAccepted, OrderDenied, ReplaceDenied
from oms_kernel.domain.ids import ConnectionId, OrderId
from oms_kernel.domain.order import OrderRequest
from oms_kernel.guard import PLUGIN_FAILED, Guard, GuardedRule
from oms_kernel.terms import Terms
from oms_kernel.testkit.builders import BROKER_ACCOUNT_ID, a_uuid
from oms_kernel.testkit.scene import EVERYTHING, Scene


class Does:
    """A rule that does with its arguments what it was made with, and returns that."""

    def __init__(self, deed: Callable[[Any, Any, Any], Any]) -> None:
        self.assess = deed


class AtMost:
    """An honest rule: at most 100 units, of an instrument with its true tick."""

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        if intent.instrument.tick_size != Decimal("0.01"):
            return denied("honest", "strange_tick", "the tick is not the true one")
        if intent.request.quantity > 100:
            return denied("honest", "too_much", "too much", observed=intent.request.quantity, limit=100, unit="units")
        return passed("honest")


def guarded(name: str, rule: Any) -> GuardedRule:
    return GuardedRule(name, f"plugin-of-{name}", name, Gate.RISK, Terms(), rule, Guard(f"plugin-of-{name}"))


def judged(request: OrderRequest, scene: Scene, *rules: GuardedRule) -> tuple[Decision, OrderAccepted | OrderDenied]:
    return engine.place(
        scene.view(),
        request,
        order_id=OrderId(a_uuid("judged")),
        instrument=scene.instrument,
        destination=engine.Destination(BROKER_ACCOUNT_ID, ConnectionId(a_uuid("connection")), EVERYTHING),
        rules=rules,
        states={},
        send_before=scene.now,
    )


def fails(intent: Any, view: Any, state: Any) -> Any:
    raise ZeroDivisionError("no such luck")


def returning(answer: Any) -> Callable[[Any, Any, Any], Any]:
    return lambda intent, view, state: answer


def with_figures(**fields: Any) -> Callable[[Any, Any, Any], Any]:
    return returning(Verdict(rule="bad", outcome=Outcome.PASS, **fields))


def raises_the_quantity(intent: Any, view: Any, state: Any) -> Verdict:
    force_setattr(intent.request, "quantity", Decimal(1_000_000))
    return passed("bad")


def shrinks_the_quantity(intent: Any, view: Any, state: Any) -> Verdict:
    force_setattr(intent.request, "quantity", Decimal(1))
    return passed("bad")


def changes_the_tick(intent: Any, view: Any, state: Any) -> Verdict:
    force_setattr(intent.instrument, "tick_size", Decimal(1))
    return passed("bad")


def exchanges_the_request(intent: Any, view: Any, state: Any) -> Verdict:
    force_setattr(intent, "request", msgspec.structs.replace(intent.request, quantity=Decimal(5)))
    return passed("bad")


DEEDS = {
    "raises": fails,
    "returns nothing": returning(None),
    "returns a bool": returning(True),
    "returns a dict that looks like a verdict": returning({"rule": "bad", "outcome": "PASS"}),
    "an outcome that is no outcome": returning(msgspec.structs.replace(passed("bad"), outcome="FINE")),
    "a float figure": with_figures(observed=0.1),
    "a whole number that is no Decimal": with_figures(limit=5),
    "a figure that is too large": with_figures(observed=Decimal(10) ** 40),
    "a figure that is no number": with_figures(observed=Decimal("NaN")),
    "a float among its inputs": with_figures(inputs={"price": 1.5}),
    "inputs without end": with_figures(inputs={f"figure {number}": Decimal(1) for number in range(1_000)}),
    "a message that is bytes": with_figures(message=b"no"),
    "a time without a zone": with_figures(quote_at="yesterday"),
    "raises the order's quantity": raises_the_quantity,
    "shrinks the order's quantity": shrinks_the_quantity,
    "changes the instrument": changes_the_tick,
    "exchanges the order": exchanges_the_request,
}


@pytest.mark.parametrize("deed", DEEDS.values(), ids=DEEDS.keys())
def test_it_denies_the_order_and_its_plugin_is_named(deed: Callable[[Any, Any, Any], Any]) -> None:
    scene = Scene()
    bad = guarded("bad", Does(deed))
    decision, event = judged(scene.order(quantity=100), scene, bad)
    assert not decision.accepted
    (verdict,) = decision.verdicts
    assert (verdict.outcome, verdict.code, verdict.plugin) == (Outcome.DENY, PLUGIN_FAILED, "plugin-of-bad")
    assert "plugin-of-bad" in verdict.message
    assert isinstance(event, OrderDenied)
    assert bad.guard.errors == 1


@pytest.mark.parametrize("deed", [raises_the_quantity, shrinks_the_quantity, changes_the_tick, exchanges_the_request])
@pytest.mark.parametrize(("quantity", "honest"), [(100, Outcome.PASS), (101, Outcome.DENY)])
def test_what_a_rule_changes_changes_neither_the_order_nor_what_the_next_rule_sees(
    deed: Callable[[Any, Any, Any], Any], quantity: int, honest: Outcome
) -> None:
    scene = Scene()
    request = scene.order(quantity=quantity)
    decision, event = judged(request, scene, guarded("bad", Does(deed)), guarded("honest", AtMost()))
    assert [verdict.outcome for verdict in decision.verdicts] == [Outcome.DENY, honest]
    assert event.request == request == scene.order(quantity=quantity)
    assert scene.instrument.tick_size == Decimal("0.01")


def test_a_rule_that_changes_the_working_order_denies_its_new_terms() -> None:
    def deed(intent: Any, view: Any, state: Any) -> Verdict:
        force_setattr(intent.replaces, "filled_quantity", Decimal(99))
        return passed("bad")

    scene = Scene()
    order = scene.acknowledge(scene.accept(scene.order(quantity=10, limit_price="99")))
    decision, events = engine.replace(
        scene.view(),
        order,
        engine.NewTerms(quantity=Decimal(20)),
        instrument=scene.instrument,
        capabilities=EVERYTHING,
        rules=(guarded("bad", Does(deed)),),
        states={},
        send_before=scene.now,
    )
    assert not decision.accepted
    assert [type(event) for event in events] == [ReplaceDenied]
    assert scene.state.book.orders[order.order_id].filled_quantity == 0
