"""Positions equal an average-cost ledger kept in fractions, and no value is made or lost."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import ExecId, InstrumentId
from oms_kernel.domain.order import NET_BOOK, Side
from oms_kernel.domain.position import Position
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID, NOON

ACME = InstrumentId("acme")


def a_fill(side: Side, quantity: Decimal, price: Decimal, *, fee: Decimal = Decimal(0), multiplier: int = 1) -> Fill:
    return Fill(
        exec_id=ExecId("e"),
        order_id=None,
        account_id=ACCOUNT_ID,
        broker_account_id=BROKER_ACCOUNT_ID,
        instrument_id=ACME,
        book="MANUAL",
        side=side,
        quantity=quantity,
        price=price,
        currency="USD",
        multiplier=Decimal(multiplier),
        executed_at=NOON,
        trading_date="2026-03-02",
        risk_date="2026-03-02",
        fee=fee,
    )


def flat(multiplier: int = 1) -> Position:
    return Position(ACCOUNT_ID, NET_BOOK, ACME, "USD", Decimal(multiplier))


def units(lowest: int, highest: int, places: int) -> st.SearchStrategy[Decimal]:
    return st.integers(lowest, highest).map(lambda number: Decimal(f"{number}E-{places}"))


def fills(multiplier: int) -> st.SearchStrategy[Fill]:
    return st.builds(
        lambda side, quantity, price, fee: a_fill(side, quantity, price, fee=fee, multiplier=multiplier),
        st.sampled_from(Side),
        st.one_of(units(1, 300, 0), units(1, 10**9, 8)),
        st.one_of(units(1, 20_000, 2), units(-500, 10**10, 6)),
        units(-100, 1000, 4),
    )


histories = st.sampled_from([1, 50]).flatmap(lambda multiplier: st.lists(fills(multiplier), min_size=1, max_size=30))


@given(histories)
def test_quantity_cost_and_pnl_equal_an_average_cost_ledger_in_fractions(history: list[Fill]) -> None:
    position = flat(int(history[0].multiplier))
    quantity = cost = realised = Fraction(0)
    for step, fill in enumerate(history, start=1):
        position = position.apply(fill)
        change = Fraction(fill.signed_quantity)
        price = Fraction(fill.price) * Fraction(fill.multiplier)
        if quantity * change < 0:
            closing = min(abs(quantity), abs(change))
            sign = 1 if change > 0 else -1
            taken = cost * closing / abs(quantity)
            realised += -sign * closing * price - taken
            cost -= taken
            cost += (change - sign * closing) * price
        else:
            cost += change * price
        quantity += change
        assert Fraction(position.quantity) == quantity
        allowed = step * Fraction(4, 10**12)  # one quantisation for value and one for each share
        assert abs(Fraction(position.cost) - cost) <= allowed
        assert abs(Fraction(position.realised_pnl) - realised) <= allowed
        assert position.is_open is bool(quantity)


@given(histories)
def test_cash_cost_and_realised_pnl_sum_to_nothing_to_the_last_digit(history: list[Fill]) -> None:
    position = flat(int(history[0].multiplier))
    cash = Fraction(0)
    for fill in history:
        position = position.apply(fill)
        cash += Fraction(fill.cash_change)
        assert Fraction(position.realised_pnl) - Fraction(position.fees) - Fraction(position.cost) == cash
        if not position.quantity:
            assert position.cost == 0, "a flat position has cost nothing"
            assert position.average_price is None
    bought = sum((fill.quantity for fill in history if fill.side is Side.BUY), Decimal(0))
    sold = sum((fill.quantity for fill in history if fill.side is Side.SELL), Decimal(0))
    assert (position.bought_quantity, position.sold_quantity) == (bought, sold)
    assert position.quantity == bought - sold


def test_a_fill_beyond_the_position_is_split_at_zero() -> None:
    held = flat().apply(a_fill(Side.BUY, Decimal(100), Decimal(10)))
    flipped = held.apply(a_fill(Side.SELL, Decimal(150), Decimal(12)))
    assert (flipped.quantity, flipped.cost, flipped.realised_pnl) == (-50, -600, 200)
    assert flipped.average_price == 12
    back = flipped.apply(a_fill(Side.BUY, Decimal(50), Decimal(11)))
    assert (back.quantity, back.cost, back.realised_pnl) == (0, 0, 250)


def test_a_third_of_a_cost_is_rounded_once_and_the_rest_stays() -> None:
    held = flat().apply(a_fill(Side.BUY, Decimal(3), Decimal("3.333333333333")))
    held = held.apply(a_fill(Side.SELL, Decimal(1), Decimal("3.333333333333")))
    assert held.realised_pnl + (held.cost - Decimal("6.666666666666")) == 0
    assert held.apply(a_fill(Side.SELL, Decimal(2), Decimal(4))).cost == 0


def test_thirty_digits_close_to_nothing_without_rounding() -> None:
    large = Decimal("999999999999999.999999999999")
    held = flat().apply(a_fill(Side.BUY, large, Decimal(100))).apply(a_fill(Side.SELL, large, Decimal(101)))
    assert (held.quantity, held.cost) == (0, 0)
    assert held.realised_pnl == large


def test_unrealised_pnl_is_what_closing_would_realise() -> None:
    for side, other in ((Side.BUY, Side.SELL), (Side.SELL, Side.BUY)):
        held = flat().apply(a_fill(side, Decimal(7), Decimal("10.01")))
        closed = held.apply(a_fill(other, Decimal(7), Decimal("11.37")))
        assert held.unrealised_pnl(Decimal("11.37")) == closed.realised_pnl
