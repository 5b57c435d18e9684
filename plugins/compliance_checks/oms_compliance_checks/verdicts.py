"""What several checks share: denials without figures, denials of what came too soon, and what only reduces."""

from datetime import timedelta
from decimal import Decimal

import msgspec

from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Outcome, Verdict, denied
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ratio

MICROSECOND = timedelta(microseconds=1)
MILLION = Decimal(1_000_000)
ONLY_REDUCING = "orders that only reduce a position, and cancels"


def refused(rule: str, code: str, message: str, would_pass: str = "") -> Verdict:
    """DENY without figures."""
    return Verdict(rule=rule, outcome=Outcome.DENY, code=code, message=message, would_pass=would_pass)


def too_early(rule: str, code: str, message: str, passed: timedelta, needed: Decimal, would_pass: str) -> Verdict:
    """DENY because less time has passed than is needed; both in seconds."""
    verdict = denied(rule, code, message, observed=seconds(passed), limit=needed, unit="s", would_pass=would_pass)
    return msgspec.structs.replace(verdict, is_floor=True)


def seconds(span: timedelta) -> Decimal:
    """A span of time in seconds, to the microsecond; 0 for one that is negative."""
    return ratio(Decimal(max(span, timedelta(0)) // MICROSECOND), MILLION)


def only_reduces(intent: OrderIntent, view: RuleView) -> bool:
    """Whether the order or the new terms can add nothing: an order that closes, a lower total, a liquidation's order.

    New terms that move the price do not only reduce, unless the order as a whole closes a position.
    """
    request = intent.request
    if request.liquidation_id is not None:
        return True
    before = intent.replaces
    if before is not None and request.quantity < before.quantity:
        return (request.limit_price, request.stop_price) == (before.limit_price, before.stop_price)
    return view.reduces(request, intent.open_quantity)


def is_new(intent: OrderIntent) -> bool:
    """Whether it is a new order, and none of a liquidation."""
    return intent.kind is RequestKind.PLACE and intent.request.liquidation_id is None
