"""Exact decimals: text or number in, a bounded Decimal out; no operation here rounds unless it says `quantise`."""

import re
from decimal import ROUND_HALF_EVEN, Context, Decimal, DivisionByZero, Inexact, InvalidOperation, Overflow

from oms_kernel.domain.errors import InvalidNumber

INTEGER_DIGITS = 18
FRACTION_DIGITS = 12
ZERO = Decimal(0)
ONE = Decimal(1)

EXACT = Context(prec=80, rounding=ROUND_HALF_EVEN, traps=[Inexact, InvalidOperation, DivisionByZero, Overflow])
"""The one context of exact arithmetic: a result that would need rounding raises instead."""
_ROUNDING = Context(prec=120, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation, DivisionByZero, Overflow])

add = EXACT.add
subtract = EXACT.subtract
multiply = EXACT.multiply

_PLAIN = re.compile(r"[+-]?[0-9]{1,40}(\.[0-9]{1,40})?\Z", re.ASCII)
_SMALLEST = Decimal(1).scaleb(-FRACTION_DIGITS)
_LIMIT = Decimal(10) ** INTEGER_DIGITS


def parse_decimal(value: object) -> Decimal:
    """The exact Decimal of plain text, an int or a Decimal.

    Raises InvalidNumber on floats, booleans, exponents in text, underscores, NaN, infinities, and on
    more than 18 integer or 12 fraction digits (trailing zeros do not count).
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, Decimal)):
        raise InvalidNumber(f"a decimal number is needed, got {type(value).__name__}")
    if isinstance(value, str):
        if not _PLAIN.match(value):
            raise InvalidNumber("a plain decimal number such as '12.50' is needed")
        value = Decimal(value)
    elif isinstance(value, int):
        if abs(value) >= 10**INTEGER_DIGITS:
            raise InvalidNumber(f"at most {INTEGER_DIGITS} digits may stand before the point")
        return Decimal(value)
    return bounded(value)


def bounded(value: Decimal) -> Decimal:
    """The value itself, in canonical form, when it fits 18 integer and 12 fraction digits; else InvalidNumber."""
    if not value.is_finite():
        raise InvalidNumber("a finite number is needed")
    if value and value.adjusted() >= INTEGER_DIGITS:
        raise InvalidNumber(f"at most {INTEGER_DIGITS} digits may stand before the point")
    exponent = value.as_tuple().exponent
    if isinstance(exponent, int) and exponent >= -FRACTION_DIGITS and exponent <= 0:
        return value if value else ZERO
    if value and value.adjusted() < -FRACTION_DIGITS:
        raise InvalidNumber(f"at most {FRACTION_DIGITS} digits may stand after the point")
    try:
        return (
            EXACT.quantize(value, _SMALLEST if isinstance(exponent, int) and exponent < 0 else ONE) if value else ZERO
        )
    except (Inexact, InvalidOperation) as error:
        raise InvalidNumber(f"at most {FRACTION_DIGITS} digits may stand after the point") from error


def to_text(value: Decimal) -> str:
    """The canonical text of a number: no exponent, no trailing zeros, no negative zero."""
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    return "0" if text in ("-0", "") else text


def quantise(value: Decimal) -> Decimal:
    """The value rounded half-even to 12 fraction digits. Raises InvalidNumber beyond 18 integer digits."""
    rounded = _ROUNDING.quantize(value, _SMALLEST)
    if rounded.copy_abs() >= _LIMIT:  # abs() would round to the thread's context
        raise InvalidNumber(f"the amount exceeds {INTEGER_DIGITS} integer digits")
    return rounded


def notional(quantity: Decimal, price: Decimal, multiplier: Decimal = ONE) -> Decimal:
    """quantity x price x multiplier in the instrument's currency, quantised to 12 fraction digits."""
    product = multiply(quantity, price)
    return quantise(product if multiplier == ONE else multiply(product, multiplier))


def share(amount: Decimal, part: Decimal, whole: Decimal) -> Decimal:
    """amount x part / whole, quantised: the part of a cost that leaves with part of a quantity."""
    if part == whole:
        return amount
    return quantise(_ROUNDING.divide(multiply(amount, part), whole))


def ratio(numerator: Decimal, denominator: Decimal) -> Decimal:
    """numerator / denominator for display and comparison, quantised to 12 fraction digits."""
    return quantise(_ROUNDING.divide(numerator, denominator))


def is_multiple(value: Decimal, step: Decimal) -> bool:
    """Whether the value is a whole number of steps; step > 0."""
    return not EXACT.remainder(value, step)
