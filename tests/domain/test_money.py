"""Numbers are exact, bounded and refused early."""

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.money import bounded, is_multiple, notional, parse_decimal, quantise, ratio, share, to_text

LARGEST = Decimal("999999999999999999.999999999999")
numbers = st.integers(-(10**30) + 1, 10**30 - 1).map(lambda units: Decimal(f"{units}E-12"))
amounts = st.decimals(min_value="-1000000", max_value="1000000", places=12)


@pytest.mark.parametrize(
    ("given_value", "text"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("-0.000", "0"),
        ("12.50", "12.5"),
        ("+7", "7"),
        ("007", "7"),
        ("100", "100"),
        ("0.000000000001", "0.000000000001"),
        ("1.5000000000000000", "1.5"),
        ("999999999999999999.999999999999", "999999999999999999.999999999999"),
        (5, "5"),
        (-(10**18) + 1, "-999999999999999999"),
        (Decimal("1E+5"), "100000"),
        (Decimal("0E+400"), "0"),
        (Decimal("0E-400"), "0"),
        (Decimal("1.10"), "1.1"),
    ],
)
def test_a_plain_number_is_taken(given_value: object, text: str) -> None:
    assert to_text(parse_decimal(given_value)) == text


@pytest.mark.parametrize(
    "given_value",
    [
        *(1.5, 0.0, float("nan"), True, False, None, [], b"1"),
        *(
            "",
            " ",
            " 1",
            "1 ",
            "1\n",
            "1_000",
            "1,000",
            "1e3",
            "1E3",
            "1e400",
            "0x10",
            ".5",
            "5.",
            "--1",
            "+-1",
            "1.2.3",
        ),
        *("NaN", "nan", "sNaN", "Infinity", "-inf", "٣", "1٣", "１"),
        *("1" * 19, "1" * 40, "0." + "0" * 12 + "1", "1." + "1" * 13),
        *(10**18, -(10**18)),
        *(
            Decimal("NaN"),
            Decimal("sNaN"),
            Decimal("Infinity"),
            Decimal("1E+18"),
            Decimal("1E-13"),
            Decimal("1E+999999"),
        ),
    ],
    ids=repr,
)
def test_anything_else_is_refused(given_value: object) -> None:
    with pytest.raises(InvalidNumber) as caught:
        parse_decimal(given_value)
    assert caught.value.code == "invalid_number"


@given(numbers)
def test_text_and_number_are_the_same_both_ways(number: Decimal) -> None:
    text = to_text(number)
    assert "E" not in text and text != "-0" and not (("." in text) and text.endswith("0"))
    assert parse_decimal(text) == number == bounded(number) == quantise(number)


@given(numbers)
def test_the_threads_own_context_changes_no_result(number: Decimal) -> None:
    with localcontext(Context(prec=3)):
        assert quantise(number) == number
        assert parse_decimal(to_text(number)) == number


def test_the_largest_number_is_no_more_refused_than_the_smallest() -> None:
    assert quantise(LARGEST) == LARGEST
    with pytest.raises(InvalidNumber):
        quantise(LARGEST + Decimal("0.000000000001"))
    with pytest.raises(InvalidNumber):
        notional(LARGEST, Decimal(2))


@given(amounts, amounts, st.sampled_from([Decimal(1), Decimal(100), Decimal("0.1")]))
def test_a_value_is_the_product_to_the_twelfth_digit(quantity: Decimal, price: Decimal, multiplier: Decimal) -> None:
    exact = Fraction(quantity) * Fraction(price) * Fraction(multiplier)
    assert abs(Fraction(notional(quantity, price, multiplier)) - exact) <= Fraction(1, 2 * 10**12)


@given(amounts, st.decimals("0.000000000001", "1000000", places=12), st.fractions(0, 1, max_denominator=1000))
def test_the_parts_of_an_amount_sum_to_it(amount: Decimal, whole: Decimal, at: Fraction) -> None:
    part = min(whole, quantise(whole * Decimal(at.numerator) / Decimal(at.denominator)))
    taken = share(amount, part, whole)
    assert abs(Fraction(taken) - Fraction(amount) * Fraction(part) / Fraction(whole)) <= Fraction(1, 2 * 10**12)
    assert share(amount, whole, whole) == amount
    assert taken + (amount - taken) == amount


def test_halves_go_to_the_even_digit() -> None:
    assert quantise(Decimal("0.0000000000005")) == Decimal(0)
    assert quantise(Decimal("0.0000000000015")) == Decimal("0.000000000002")
    assert ratio(Decimal(1), Decimal(3)) == Decimal(1).quantize(Decimal(1)) * Context(
        prec=12, rounding=ROUND_HALF_EVEN
    ).divide(Decimal(1), Decimal(3))


@given(st.integers(-(10**12), 10**12), st.sampled_from([Decimal("0.01"), Decimal("0.25"), Decimal(1), Decimal("5")]))
def test_a_multiple_is_known_for_one_and_its_neighbour_is_not(count: int, step: Decimal) -> None:
    assert is_multiple(count * step, step)
    assert not is_multiple(count * step + Decimal("0.000000000001"), step)
