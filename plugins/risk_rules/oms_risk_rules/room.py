"""What is left below a limit in, the words and figures of a verdict out: what was observed, and what would pass."""

from decimal import Decimal

from oms_kernel.contracts.rules import OrderIntent
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.money import EXACT, ZERO, add, multiply, to_text
from oms_risk_rules.valuation import figure
from oms_risk_rules.verdicts import exceeded

NOTHING_BUT_REDUCING = "only an order that reduces the position"


def at_most(intent: OrderIntent, room: Decimal, unit_value: Decimal, always: Decimal = ZERO) -> str:
    """The largest quantity that would pass, in whole lots: `room` / `unit_value`, or `always`, which needs no room.

    Of a modified order it is the new total.
    """
    order = intent.replaces
    lot = intent.instrument.lot_size
    lots = EXACT.divide_int(room, multiply(unit_value, lot)) if unit_value else ZERO
    quantity = multiply(max(lots, EXACT.divide_int(always, lot)), lot)
    if order is not None and quantity > ZERO:
        quantity = add(quantity, order.filled_quantity)
    return f"a quantity of at most {to_text(quantity)}" if quantity > ZERO else NOTHING_BUT_REDUCING


def kept(rule: str, observed: Decimal, limit: Decimal, unit: str, inputs: dict[str, Decimal]) -> Verdict:
    """PASS with its figures."""
    return passed(rule, observed=figure(observed), limit=figure(limit), unit=unit, inputs=inputs)


def overstepped(
    rule: str,
    text: str,
    observed: Decimal,
    limit: Decimal,
    unit: str,
    inputs: dict[str, Decimal],
    would_pass: str,
    *,
    bound_by: str = "the limit",
) -> Verdict:
    """DENY with its figures as `exceeded` words them; without, where a figure has more digits than can be stored."""
    shown, bound = figure(observed), figure(limit)
    if shown is None or bound is None:
        return denied(rule, rule, f"{text} more digits than any limit can have", would_pass=would_pass)
    return exceeded(rule, rule, text, shown, bound, unit, inputs=inputs, would_pass=would_pass, bound_by=bound_by)
