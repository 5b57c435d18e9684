"""A child order in, DENY out when its parent's children would be more together than the parent asked for."""

from collections.abc import Iterable
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.events import Event, OrderAccepted, Recorded
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ONE, ZERO, add, subtract
from oms_kernel.domain.order import Order, OrderRequest
from oms_kernel.recent import Recent
from oms_risk_rules.verdicts import at_most, exceeded, whole_lots

State = Recent[OrderId, tuple[OrderId, ...]]
"""The accepted children of each parent."""


class Family(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long a parent is worked, and in how many parts."""

    parent_days: Annotated[
        int, described("How long after its acceptance a parent may have new children", "days", ge=1, le=30)
    ] = 2
    max_children: Annotated[int, described("Most children of one parent", "orders", ge=1, le=2_000)] = 500


class ParentChildGuard:
    """Denies a child whose parent's children, filled and working ones, would exceed the parent's quantity.

    A child is an order with `parent_order_id`; others pass. Each child counts with what is filled and what may still
    trade, doubtful ones in full, the larger total while a change is under way. The parent must be an active order of
    the same account, instrument and side: else `parent_unknown`, `parent_ended` or `parent_differs`. One that was
    accepted more than `parent_days` ago denies with `parent_too_old`, one with `max_children` with
    `too_many_children`. A modification that adds nothing passes; one of the parent itself below its children is
    denied. State: the ids of the children.
    """

    name: ClassVar[str] = "parent_child_guard"
    title: ClassVar[str] = "Children together no more than their parent"
    source: ClassVar[str] = "SEC release 34-70694 (Knight Capital, 1 August 2012); SEC 15c3-5(c)(1)"
    rank: ClassVar[int] = 80
    Params: ClassVar[type[msgspec.Struct]] = Family
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderAccepted})

    def __init__(self, params: Family) -> None:
        self.horizon = timedelta(days=params.parent_days)
        self.days = params.parent_days
        self.most = params.max_children
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS up to and at the parent's quantity."""
        parent_id = intent.request.parent_order_id
        if parent_id is None:
            return self._as_parent(intent, view, state)
        if intent.kind is RequestKind.REPLACE and intent.added_quantity <= ZERO:
            return self.passed
        parent = view.order(parent_id)
        others = [child for child in _children(state, parent_id) if child != intent.order_id]
        defect = self._defect(parent, intent.request, others, view)
        if parent is None or defect is not None:
            code, text = defect or ("parent_unknown", "")
            return denied(self.name, code, text)
        filled = intent.replaces.filled_quantity if intent.replaces is not None else ZERO
        own = add(filled, intent.open_quantity)
        taken = _taken(others, view)
        observed, limit = add(taken, own), parent.quantity
        inputs = {"children": taken, "order": own, "parent": limit}
        if observed <= limit:
            return passed(self.name, observed=observed, limit=limit, unit="units", inputs=inputs)
        hint = at_most(whole_lots(subtract(limit, taken), ONE, intent.instrument.lot_size))
        text = "the sum of the parent's children of"
        return exceeded(self.name, self.name, text, observed, limit, "units", inputs=inputs, would_pass=hint)

    def initial_state(self) -> State:
        """No order has children."""
        return Recent(self.horizon)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Any, ...]]:
        """The families after the event."""
        accepted = event.event
        if not isinstance(accepted, OrderAccepted) or accepted.request.parent_order_id is None:
            return state, ()
        parent_id = accepted.request.parent_order_id
        return state.put(parent_id, event.recorded_at, (*_children(state, parent_id), accepted.order_id)), ()

    def _as_parent(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """New terms of an order that may have children: they must leave room for those."""
        if intent.kind is not RequestKind.REPLACE:
            return self.passed
        children = _children(state, intent.order_id)
        if not children:
            return self.passed
        taken, limit = _taken(children, view), intent.request.quantity
        if taken <= limit:
            return passed(self.name, observed=taken, limit=limit, unit="units")
        hint = "a quantity of at least what the children have, or the same when some are cancelled"
        text = "the sum of the order's children of"
        return exceeded(self.name, self.name, text, taken, limit, "units", would_pass=hint)

    def _defect(
        self, parent: Order | None, child: OrderRequest, others: list[OrderId], view: RuleView
    ) -> tuple[str, str] | None:
        """Code and sentence of what is wrong with the parent."""
        if parent is None:
            return "parent_unknown", "parent_order_id names no order of this ledger"
        asked = parent.request
        if (asked.account_id, asked.instrument_id, asked.side) != (child.account_id, child.instrument_id, child.side):
            return "parent_differs", "a child has its parent's account, instrument and side"
        if not parent.is_active:
            return "parent_ended", f"the parent is {parent.state}: it takes no new children"
        if view.now - parent.accepted_at > self.horizon:
            return "parent_too_old", f"the parent was accepted more than {self.days} days ago"
        if len(others) >= self.most:
            return "too_many_children", f"the parent has {len(others)} children; at most {self.most} are allowed"
        return None


def _children(state: State, parent_id: OrderId) -> tuple[OrderId, ...]:
    found = state.get(parent_id)
    return found[1] if found is not None else ()


def _taken(children: Iterable[OrderId], view: RuleView) -> Decimal:
    """What the children have: filled, or may still trade."""
    total = ZERO
    for child in children:
        order = view.order(child)
        if order is not None:
            total = add(total, add(order.filled_quantity, order.worst_case_quantity))
    return total
