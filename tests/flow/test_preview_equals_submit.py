"""A preview says what the submit says: the same verdicts to the last figure, over the same book, for any order."""

import os
from collections import Counter
from typing import Any

import pytest

from oms_app.flow import preview as preview_module
from oms_app.flow.errors import FlowError
from oms_app.flow.pretrade import OrderDraft, judge
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.order import Order
from tests.flow.every_rule import LEDGER, TENANT, Day, Ruled, every_rule, limits

ORDERS = 10_000 if os.environ.get("OMS_TEST_LONG") else 2_000
Told = tuple[Any, ...]
"""(ACCEPTED, HELD or DENIED, verdicts), or (error, its type, its words)."""
WOULD_BE = {OrderState.NEW: "ACCEPTED", OrderState.HELD: "HELD", OrderState.DENIED: "DENIED"}


def test_every_installed_rule_has_a_limit_in_this_test() -> None:
    assert {row.rule for row in limits()} == set(every_rule())


def test_preview_and_submit_say_the_same_of_every_order() -> None:
    outcomes = compare(ORDERS, seed=5)
    assert not outcomes.differences, outcomes.differences[0]
    told = outcomes.told
    assert all(told[kind] > ORDERS / 50 for kind in ("ACCEPTED", "HELD", "DENIED")), told
    assert told["error"] > ORDERS / 100
    assert outcomes.changes > ORDERS / 20
    assert len(outcomes.rules) >= len(every_rule())


def test_a_preview_leaves_the_ledger_as_it_was() -> None:
    trading = Ruled(limits())
    day = Day(trading, 3)
    for draft in day.drafts(40):
        before = (len(trading.store.events(TENANT, LEDGER, 0, 100_000)), dict(trading.store.texts))
        memories = {
            rule.key: trading.desk.ledger(TENANT, LEDGER).state.memories.get(rule.key) for rule in rules(trading)
        }
        previewed(trading, draft)
        after = (len(trading.store.events(TENANT, LEDGER, 0, 100_000)), dict(trading.store.texts))
        assert after == before
        assert {
            rule.key: trading.desk.ledger(TENANT, LEDGER).state.memories.get(rule.key) for rule in rules(trading)
        } == memories
        submitted(trading, draft)


def test_a_planted_preview_that_skips_a_rule_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def skipping(turn: Any, *arguments: Any, **options: Any) -> Any:
        every = turn.batch.rules
        turn.batch.rules = tuple(rule for rule in every if rule.name != "max_position")
        try:
            return judge(turn, *arguments, **options)
        finally:
            turn.batch.rules = every

    monkeypatch.setattr(preview_module, "judge", skipping)
    assert compare(40, seed=5).differences


def test_a_planted_preview_of_an_old_book_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(turn: Any, *arguments: Any, **options: Any) -> Any:
        every, turn.batch.memories = turn.batch.memories, {}
        try:
            return judge(turn, *arguments, **options)
        finally:
            turn.batch.memories = every

    monkeypatch.setattr(preview_module, "judge", forgetful)
    assert compare(200, seed=5).differences


class Compared:
    """What a seeded day showed."""

    def __init__(self) -> None:
        self.differences: list[str] = []
        self.told: Counter[str] = Counter()
        self.rules: set[str] = set()
        self.changes = 0


def compare(orders: int, seed: int) -> Compared:
    """Preview and submit so many orders, and new terms of some, one after the other."""
    trading, found = Ruled(limits()), Compared()
    day = Day(trading, seed)
    for number, draft in enumerate(day.drafts(orders)):
        one, other = previewed(trading, draft), submitted(trading, draft)
        found.told[other[0]] += 1
        if other[0] != "error":
            found.rules |= {verdict.rule for verdict in other[1]}
        if one != other:
            found.differences.append(f"order {number} {draft}:\n preview {one}\n submit  {other}")
        active = day.active() if number % 6 == 0 else []
        if active:
            order = day.random.choice(active)
            terms = day.terms(order)
            one, other = previewed_change(trading, order, terms), changed(trading, order, terms)
            found.changes += other[0] != "error"
            if one != other:
                found.differences.append(f"change {terms} of {order}:\n preview {one}\n submit  {other}")
    return found


def previewed(trading: Ruled, draft: OrderDraft) -> Told:
    try:
        shown = trading.previews.order(trading.principal, draft)
    except (FlowError, KernelError) as error:
        return _error(error)
    return shown.would_be.value, shown.verdicts


def submitted(trading: Ruled, draft: OrderDraft) -> Told:
    try:
        (item,) = trading.submit(draft).items
    except (FlowError, KernelError) as error:
        return _error(error)
    if item.order is None:
        assert item.error is not None
        return _error(item.error)
    return WOULD_BE[item.order.state], _verdicts(trading, item.order)


def previewed_change(trading: Ruled, order: Order, terms: Any) -> Told:
    try:
        shown = trading.previews.replace(trading.principal, order.order_id, terms)
    except (FlowError, KernelError) as error:
        return _error(error)
    return shown.would_be.value, shown.verdicts


def changed(trading: Ruled, order: Order, terms: Any) -> Told:
    head = len(trading.store.events(TENANT, LEDGER, 0, 1_000_000))
    try:
        result = trading.amendment.replace(trading.principal, order.order_id, terms)
    except (FlowError, KernelError) as error:
        return _error(error)
    assert result.decision is not None
    asked = trading.store.events(TENANT, LEDGER, head, 1)[0].event
    held = result.order.state is OrderState.HELD
    word = "DENIED" if not result.decision.accepted else "HELD" if held else "ACCEPTED"
    return word, asked.verdicts  # type: ignore[attr-defined]


def rules(trading: Ruled) -> Any:
    return trading.desk.ledger(TENANT, LEDGER).state.rules


def _verdicts(trading: Ruled, order: Order) -> Any:
    (recorded,) = trading.store.events(TENANT, LEDGER, order.version - 1, 1)
    return recorded.event.verdicts  # type: ignore[attr-defined]


def _error(error: Any) -> Told:
    return "error", type(error), error.detail
