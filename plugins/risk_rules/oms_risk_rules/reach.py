"""Worst cases of holdings in, how far they could go from zero out, with and without the order that is judged."""

from decimal import Decimal

from oms_kernel.contracts.rules import OrderIntent, RuleView, WorstCase
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ZERO, add, subtract
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import Scope
from oms_risk_rules.measuring import accounts_of, book_of


def reach_of(worst: WorstCase) -> Decimal:
    """How far a holding could be from zero, either way."""
    return max(worst.long, worst.short.copy_negate(), ZERO)


def with_order(worst: WorstCase, intent: OrderIntent) -> WorstCase:
    """The worst case with the order that is judged."""
    if intent.request.side is Side.BUY:
        return WorstCase(long=add(worst.long, intent.open_quantity), short=worst.short)
    return WorstCase(long=worst.long, short=subtract(worst.short, intent.open_quantity))


def on_side(worst: WorstCase, side: Side) -> Decimal:
    """How far a holding could go to the side that an order of this side adds to; negative on the other."""
    return worst.long if side is Side.BUY else worst.short.copy_negate()


def of_others(view: RuleView, scope: Scope, intent: OrderIntent) -> Decimal:
    """How far the scope's other accounts could go in the order's instrument."""
    if scope.account_id is not None:
        return ZERO
    total, request, book = ZERO, intent.request, book_of(scope)
    for account_id in accounts_of(scope, view):
        if account_id != request.account_id:
            total = add(total, reach_of(view.worst_case(account_id, request.instrument_id, book)))
    return total


def adds_no_quantity(intent: OrderIntent) -> bool:
    """Whether it is a modification that leaves no more open than before."""
    return intent.kind is RequestKind.REPLACE and intent.added_quantity <= ZERO
