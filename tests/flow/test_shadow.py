"""Shadow limits change nothing and miss nothing: the same day with and without them ends the same, order by order.

What each would have refused is found by a second judge: the same rules as hard limits, over the same book.
"""

import os
from typing import Any

import msgspec
import pytest

from oms_app.flow.errors import FlowError
from oms_app.flow.pretrade import OrderDraft, judge
from oms_app.store.projection import denial_rows
from oms_kernel import engine, judging
from oms_kernel.domain.decision import Outcome, RuleSeverity, Verdict
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.order import Order
from oms_kernel.guard import GuardedRule
from oms_kernel.testkit.builders import ACCOUNT_ID, a_uuid
from tests.flow.every_rule import LEDGER, TENANT, Day, Ruled, limits

ORDERS = 10_000 if os.environ.get("OMS_TEST_LONG") else 2_000
SEED = 8


class Shown:
    """What a seeded day came to: each order's fate in turn, the account's end, and what shadows found and missed."""

    def __init__(self) -> None:
        self.fates: list[tuple[Any, ...]] = []
        self.end: list[Any] = []
        self.would_be_denied = 0
        self.denying_rules: set[str] = set()
        self.missed: list[str] = []


def test_shadow_limits_change_no_outcome_and_report_all_that_they_would_deny() -> None:
    without, beside = live(ORDERS, shadows=False), live(ORDERS, shadows=True)
    assert beside.fates == without.fates
    assert beside.end == without.end
    assert not beside.missed, beside.missed[0]
    assert beside.would_be_denied > ORDERS / 4
    assert len(beside.denying_rules) >= 8
    states = {fate[0] for fate in beside.fates}
    assert {"NEW", "HELD", "DENIED"} <= states


def test_a_planted_shadow_that_refuses_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def strict(verdicts: Any) -> bool:
        return all(verdict.outcome is not Outcome.DENY for verdict in verdicts)

    without = live(60, shadows=False)
    monkeypatch.setattr(engine, "accepts", strict)
    assert live(60, shadows=True).fates != without.fates


def test_a_planted_shadow_that_is_not_written_down_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    every = judging.judge

    def forgetful(*arguments: Any) -> tuple[Verdict, ...]:
        return tuple(one for one in every(*arguments) if one.severity is not RuleSeverity.SHADOW)

    monkeypatch.setattr(engine, "judge", forgetful)
    assert live(60, shadows=True).missed


def live(orders: int, *, shadows: bool) -> Shown:
    """The seeded day under the usual limits, with tight shadow limits beside them or without."""
    trading, shown = Ruled(limits(shadows=shadows)), Shown()
    day = Day(trading, SEED)
    for number, draft in enumerate(day.drafts(orders)):
        expected = would_deny(trading, draft) if shadows else frozenset()
        try:
            (item,) = trading.submit(draft).items
        except (FlowError, KernelError) as error:
            shown.fates.append(("refused", type(error).__name__))
            continue
        if item.order is None:
            shown.fates.append(("refused", type(item.error).__name__))
            continue
        order = item.order
        assert item.decision is not None
        enforced = [verdict for verdict in item.decision.verdicts if verdict.severity is not RuleSeverity.SHADOW]
        shown.fates.append((order.state, order.reason_code, order.reason, order.hold_until, tuple(enforced)))
        if not shadows:
            continue
        told, found = reported(trading, order), searchable(trading, order)
        shown.would_be_denied += bool(told)
        shown.denying_rules |= {rule for rule, _ in told}
        if not told == found == expected:
            shown.missed.append(f"order {number}: would deny {expected}, reported {told}, searchable {found}")
    shown.end = the_end(trading)
    return shown


def would_deny(trading: Ruled, draft: OrderDraft) -> frozenset[tuple[str, str]]:
    """(rule, limit) of every shadow limit that would deny the order as a hard one; judged dry, on the present book."""

    def work(turn: Any) -> frozenset[tuple[str, str]]:
        every = turn.batch.rules
        turn.batch.rules = tuple(hardened(rule) for rule in every)
        try:
            judged = judge(turn, trading.principal, ACCOUNT_ID, draft, OrderId(a_uuid("a dry order")))
        except (FlowError, KernelError):
            return frozenset()
        finally:
            turn.batch.rules = every
        shadows = {rule.terms.limit_id for rule in every if rule.terms.severity is RuleSeverity.SHADOW}
        return frozenset((one.rule, one.limit_id) for one in judged.decision.denials if one.limit_id in shadows)

    denied: frozenset[tuple[str, str]] = trading.in_turn(work)
    return denied


def hardened(rule: Any) -> Any:
    """The same rule with the same memory, as a hard limit."""
    if rule.terms.severity is not RuleSeverity.SHADOW:
        return rule
    terms = msgspec.structs.replace(rule.terms, severity=RuleSeverity.HARD)
    return GuardedRule(rule.key, rule.plugin, rule.name, rule.gate, terms, rule.rule, rule.guard)


def reported(trading: Ruled, order: Order) -> frozenset[tuple[str, str]]:
    """(rule, limit) of the would-be denials in the order's own event."""
    verdicts = _event(trading, order).event.verdicts
    return frozenset(
        (one.rule, one.limit_id)
        for one in verdicts
        if one.severity is RuleSeverity.SHADOW and one.outcome is Outcome.DENY
    )


def searchable(trading: Ruled, order: Order) -> frozenset[tuple[str, str]]:
    """The same, as the search rows tell them."""
    return frozenset((row[4], row[14]) for row in denial_rows(_event(trading, order)) if row[13] == "SHADOW")


def the_end(trading: Ruled) -> list[Any]:
    """How every order, position and cash stands."""

    def work(turn: Any) -> list[Any]:
        book = turn.batch.book
        orders = [(one.symbol, one.state, one.quantity, one.filled_quantity) for one in book.orders.values()]
        positions = [(key, one.quantity, one.cost, one.realised_pnl) for key, one in book.positions.items()]
        switches = [(switch.scope, switch.trading_state) for switch in book.switches()]
        return [*orders, *sorted(positions, key=str), *sorted(book.cash.items()), *switches]

    ended: list[Any] = trading.in_turn(work)
    return ended


def _event(trading: Ruled, order: Order) -> Any:
    (recorded,) = trading.store.events(TENANT, LEDGER, order.version - 1, 1)
    return recorded
