"""The worths of holdings in, their exact sums out; one that changed is put anew, nothing else is added up again."""

from collections.abc import Iterable
from decimal import Decimal
from typing import NamedTuple

from oms_kernel.contracts.rules import Exposures
from oms_kernel.domain.book import HoldingKey
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.money import ZERO, add, quantise, subtract
from oms_kernel.domain.totals import NO_VALUE, OpenValue


class Worth(NamedTuple):
    """Of one holding in the base currency, worst case: its shares of the sums of the scope."""

    gross: Decimal
    long: Decimal
    short: Decimal
    high: Decimal
    """With every open buy filled, signed."""
    low: Decimal
    """With every open sell filled, signed."""
    held: Decimal
    """The position alone, at its signed mark."""


NOTHING = Worth(ZERO, ZERO, ZERO, ZERO, ZERO, ZERO)
"""What is not held and not ordered is worth."""


class Sums:
    """The worths of the holdings of one scope and their sums, as of a moment of the batch."""

    __slots__ = ("_told", "counted", "missing", "parts", "seen", "seq", "total", "worths")

    def __init__(self) -> None:
        self.worths: dict[HoldingKey, Worth] = {}
        self.missing: dict[HoldingKey, str] = {}
        """Holdings that have no value -> the instrument or currency that has no price."""
        self.total = NOTHING
        self.parts: dict[AccountId, Sums] = {}
        """The sums of the accounts that these are the sums of; empty for those of one account."""
        self.counted: dict[AccountId, Worth] = {}
        """What each of them had come to when it was counted last."""
        self.seen = 0
        self.seq = 0
        self._told: tuple[Worth, Exposures] | None = None

    def put(self, holding: HoldingKey, worth: Worth | str) -> None:
        """Let a holding have this worth from now on."""
        self.missing.pop(holding, None)
        before = self.worths.pop(holding, None)
        if before is not None:
            self.total = _less(self.total, before)
        if isinstance(worth, str):
            self.missing[holding] = worth
        elif worth is not NOTHING:
            self.worths[holding] = worth
            self.total = _more(self.total, worth)

    def begin(self, worths: dict[HoldingKey, Worth | str]) -> None:
        """Take in holdings that the sums have not heard of: the same as putting each, in one go."""
        gross, long, short, high, low, held = self.total
        for holding, worth in worths.items():
            if isinstance(worth, str):
                self.missing[holding] = worth
            elif worth is not NOTHING:
                self.worths[holding] = worth
                gross, long, short = add(gross, worth[0]), add(long, worth[1]), add(short, worth[2])
                high, low, held = add(high, worth[3]), add(low, worth[4]), add(held, worth[5])
        self.total = Worth(gross, long, short, high, low, held)

    def without(self, holdings: Iterable[HoldingKey]) -> "Sums":
        """The sums of the others."""
        rest = Sums()
        rest.total, rest.missing = self.total, dict(self.missing)
        for holding in holdings:
            rest.missing.pop(holding, None)
            worth = self.parts.get(holding[0], self).worths.get(holding)
            if worth is not None:
                rest.total = _less(rest.total, worth)
        return rest

    def join(self, account_id: AccountId, part: "Sums") -> None:
        """Count an account, or count it anew."""
        self.total = _more(_less(self.total, self.counted.get(account_id, NOTHING)), part.total)
        self.parts[account_id], self.counted[account_id] = part, part.total
        for holding in [holding for holding in self.missing if holding[0] == account_id]:
            del self.missing[holding]
        if part.missing:
            self.missing.update(part.missing)

    def told(self) -> Exposures:
        """The sums for a rule."""
        if self.missing:
            return Exposures(gross=None, long=None, short=None, missing=next(iter(self.missing.values())))
        total = self.total
        if self._told is not None and self._told[0] is total:
            return self._told[1]
        told = Exposures(
            gross=kept(total.gross),
            long=kept(total.long),
            short=kept(total.short),
            net_high=kept(total.high),
            net_low=kept(total.low),
        )
        self._told = total, told
        return told


def kept(exact: Decimal) -> Decimal:
    """A sum as it is told and stored: 12 fraction digits, and a plain zero."""
    return quantise(exact) if exact else ZERO


def _more(total: Worth, worth: Worth) -> Worth:
    return Worth(*map(add, total, worth))


def _less(total: Worth, worth: Worth) -> Worth:
    return Worth(*map(subtract, total, worth))


class OpenSums:
    """What all accounts have open, by currency, as of a moment of the batch."""

    __slots__ = ("counted", "seen", "seq", "totals")

    def __init__(self) -> None:
        self.totals: dict[str, OpenValue] = {}
        self.counted: dict[AccountId, list[tuple[str, OpenValue]]] = {}
        self.seen = 0
        self.seq = 0

    def join(self, account_id: AccountId, found: list[tuple[str, OpenValue]]) -> None:
        """Count an account, or count it anew."""
        for currency, value in self.counted.get(account_id, ()):
            self.totals[currency] = minus(self.totals[currency], value)
        for currency, value in found:
            self.totals[currency] = plus(self.totals.get(currency) or NO_VALUE, value)
        self.counted[account_id] = found


def plus(one: OpenValue, other: OpenValue) -> OpenValue:
    """Both together."""
    return OpenValue(one.orders + other.orders, add(one.value, other.value), one.unpriced + other.unpriced)


def minus(one: OpenValue, other: OpenValue) -> OpenValue:
    """The one without the other."""
    return OpenValue(one.orders - other.orders, subtract(one.value, other.value), one.unpriced - other.unpriced)
