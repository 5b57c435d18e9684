"""An order meets a rule that misbehaves: it is stored as denied, the plugin is named, and the next order is judged."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

import pytest
from msgspec.structs import force_setattr

from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.events import OrderDenied, PluginQuarantined
from oms_kernel.domain.order import Order
from oms_kernel.guard import PLUGIN_FAILED, PLUGIN_QUARANTINED
from oms_kernel.watchdog import Watchdog
from tests.flow.trading import LEDGER, TENANT, Trading

Deed = Callable[[Any], Any]


class Misbehaves:
    """Does its deed to the first order, and passes every other one."""

    name = "bad"

    def __init__(self, deed: Deed) -> None:
        self.deed: Deed | None = deed

    def assess(self, intent: Any, view: Any, state: Any) -> Any:
        deed, self.deed = self.deed, None
        return deed(intent) if deed is not None else passed(self.name)


def fails(intent: Any) -> Any:
    raise KeyError("no such luck")


def answers_nonsense(intent: Any) -> Any:
    return {"outcome": "PASS"}


def answers_floats(intent: Any) -> Any:
    return passed("bad", observed=0.5)  # type: ignore[arg-type]


def changes_the_order(intent: Any) -> Verdict:
    force_setattr(intent.request, "quantity", Decimal(1_000_000))
    return passed("bad")


def never_ends(intent: Any) -> Any:
    while True:
        pass


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    made = Watchdog(limit_s=0.05)
    made.start()
    yield made
    made.stop()


def first_order(trading: Trading) -> tuple[Order, Verdict]:
    (item,) = trading.submit(trading.draft(quantity=10)).items
    assert item.order is not None
    assert item.decision is not None
    assert not item.decision.accepted
    (verdict,) = item.decision.verdicts
    return item.order, verdict


@pytest.mark.parametrize("deed", [fails, answers_nonsense, answers_floats, changes_the_order])
def test_the_order_is_denied_as_it_was_asked_for_and_the_next_one_is_judged(deed: Deed) -> None:
    trading = Trading([Misbehaves(deed)])
    order, verdict = first_order(trading)
    assert (order.quantity, order.request.quantity, verdict.code) == (10, 10, PLUGIN_FAILED)
    assert verdict.plugin == "plugin-bad"
    assert "plugin-bad" in verdict.message
    stored = [recorded.event for recorded in trading.store.events(TENANT, LEDGER, 0, 1_000)]
    (denied,) = [event for event in stored if isinstance(event, OrderDenied)]
    assert denied.request.quantity == 10
    assert trading.place(quantity=10).quantity == 10


def test_a_rule_that_never_ends_denies_until_a_person_releases_its_plugin(watchdog: Watchdog) -> None:
    trading = Trading([Misbehaves(never_ends)], watchdog)
    _order, verdict = first_order(trading)
    assert (verdict.code, verdict.plugin) == (PLUGIN_QUARANTINED, "plugin-bad")
    stored = [recorded.event for recorded in trading.store.events(TENANT, LEDGER, 0, 1_000)]
    assert [event.plugin for event in stored if isinstance(event, PluginQuarantined)] == ["plugin-bad"]
    _order, verdict = first_order(trading)
    assert verdict.code == PLUGIN_QUARANTINED
