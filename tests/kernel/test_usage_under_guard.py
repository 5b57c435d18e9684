"""Whatever a rule does when it is asked how much of its limit is used: only sound figures are shown."""

import itertools
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from oms_kernel.contracts.plugin import NoParams
from oms_kernel.contracts.rules import Usage
from oms_kernel.contribution import defect_of
from oms_kernel.domain.decision import Gate, passed
from oms_kernel.guard import MOST_USAGES, Guard, GuardedRule
from oms_kernel.registry import Kind
from oms_kernel.terms import Terms
from oms_kernel.testkit.scene import Scene

GOOD = Usage(used=Decimal(3), limit=Decimal(4), unit="orders")


class Tells:
    """A rule that answers what it was made with."""

    def __init__(self, usage: Callable[[Any, Any], Any] | None = None) -> None:
        if usage is not None:
            self.usage = usage


def guarded(rule: Any) -> GuardedRule:
    return GuardedRule("1", "plugin", "tells", Gate.RISK, Terms(), rule, Guard("plugin"))


def figures(**fields: Any) -> Usage:
    """Figures that are sound but for these fields."""
    return Usage(**{"used": Decimal(1), "limit": Decimal(1), **fields})


def raises(view: Any, state: Any) -> Any:
    raise ZeroDivisionError


def breaks_off(view: Any, state: Any) -> Any:
    yield GOOD
    raise ZeroDivisionError


def test_a_rule_without_the_method_shows_nothing_and_did_nothing_wrong() -> None:
    rule = guarded(Tells())
    assert rule.usage(Scene().view(), None) == ()
    assert rule.guard.errors == 0


def test_what_a_rule_tells_is_shown_as_it_is() -> None:
    assert guarded(Tells(lambda view, state: [GOOD])).usage(Scene().view(), None) == (GOOD,)
    assert GOOD.headroom == 1
    assert Usage(used=Decimal(3), limit=Decimal(4), is_floor=True).headroom == -1


@pytest.mark.parametrize(
    "told",
    [
        raises,
        breaks_off,
        None,
        [GOOD, "3 of 4"],
        [figures(used=0.5)],
        [figures(used=Decimal("NaN"))],
        [figures(limit=None)],
        [figures(limit=Decimal("1e30"))],
        [figures(unit=7)],
        [figures(account_id=7)],
    ],
    ids=["raises", "breaks off", "nothing", "text", "float", "no number", "no limit", "too large", "unit", "account"],
)
def test_garbage_and_exceptions_show_nothing_and_are_counted_against_the_plugin(told: Any) -> None:
    rule = guarded(Tells(told if callable(told) else lambda view, state: told))
    assert rule.usage(Scene().view(), None) == ()
    assert rule.guard.errors == 1


def test_an_endless_answer_is_cut_off() -> None:
    rule = guarded(Tells(lambda view, state: itertools.repeat(GOOD)))
    assert len(rule.usage(Scene().view(), None)) == MOST_USAGES


def test_a_quarantined_plugin_is_not_asked() -> None:
    rule = guarded(Tells(raises))
    rule.quarantined = "it hung"
    assert rule.usage(Scene().view(), None) == ()
    assert rule.guard.errors == 0


def test_a_class_whose_method_takes_something_else_is_no_contribution() -> None:
    class Odd:
        """A rule."""

        name: ClassVar[str] = "odd"
        title: ClassVar[str] = "Odd"
        Params: ClassVar[type] = NoParams

        def __init__(self, params: Any) -> None:
            """Keep nothing."""

        def assess(self, intent: Any, view: Any, state: Any) -> Any:
            """PASS."""
            return passed(self.name)

        def usage(self) -> Any:
            """Nothing."""
            return ()

    assert "usage must take" in (defect_of(Kind.RISK_RULE, Odd) or "")
