"""An execution in, its fee in the instrument's currency out; the same execution always costs the same."""

from decimal import Decimal
from typing import ClassVar

import msgspec

from oms_kernel.contracts.simulation import FeeModel
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.money import ZERO, multiply, notional, quantise
from oms_kernel.domain.order import Side

MAKER = "MAKER"
TAKER = "TAKER"
_ONE_BASIS_POINT = Decimal("0.0001")


class ZeroFees:
    """Nothing is charged."""

    name: ClassVar[str] = "zero"

    def fee(self, instrument: Instrument, side: Side, quantity: Decimal, price: Decimal, liquidity: str) -> Decimal:
        """Always 0."""
        return ZERO


class PerUnitFees:
    """So much for each unit, and not less than a minimum for each execution; both in the instrument's currency."""

    name: ClassVar[str] = "per_unit"

    def __init__(self, amount: Decimal, minimum: Decimal = ZERO) -> None:
        self.amount = amount
        self.minimum = minimum

    def fee(self, instrument: Instrument, side: Side, quantity: Decimal, price: Decimal, liquidity: str) -> Decimal:
        """quantity x amount, at least the minimum."""
        return max(self.minimum, quantise(multiply(quantity, self.amount)))


class BasisPointFees:
    """A share of the value, in basis points, apart for those who rest (maker) and those who take (taker)."""

    name: ClassVar[str] = "basis_points"

    def __init__(self, maker: Decimal, taker: Decimal) -> None:
        self.maker = maker
        self.taker = taker

    def fee(self, instrument: Instrument, side: Side, quantity: Decimal, price: Decimal, liquidity: str) -> Decimal:
        """value x basis points / 10,000, rounded half-even to 12 digits; a negative rate is a rebate."""
        value = notional(quantity, price, instrument.multiplier)
        rate = self.maker if liquidity == MAKER else self.taker
        return quantise(multiply(multiply(value, rate), _ONE_BASIS_POINT))


class FeeSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """A fee model as it is written in a configuration: the kind, and that kind's figures."""

    kind: str = "zero"
    amount: Decimal = ZERO
    minimum: Decimal = ZERO
    maker: Decimal = ZERO
    taker: Decimal = ZERO

    def build(self) -> FeeModel:
        """The model. Raises InvalidRequest on an unknown kind."""
        if self.kind == ZeroFees.name:
            return ZeroFees()
        if self.kind == PerUnitFees.name:
            return PerUnitFees(self.amount, self.minimum)
        if self.kind == BasisPointFees.name:
            return BasisPointFees(self.maker, self.taker)
        raise InvalidRequest(
            f"unknown fee model {self.kind!r}: choose zero, per_unit or basis_points", field="fees.kind"
        )
