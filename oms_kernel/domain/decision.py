"""Verdicts of rules and the decision over an order: values that say who decided, on which figures, in which unit."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from oms_kernel.domain.ids import OrderId


class Outcome(StrEnum):
    """What a rule says of an order."""

    PASS = "PASS"  # noqa: S105
    DENY = "DENY"
    HOLD = "HOLD"


class Gate(StrEnum):
    """Which gate an order did not pass; the API's code is made from it."""

    COMPLIANCE = "compliance"
    RISK = "risk"
    ACCOUNT = "account"
    """The trading state of the account, or a doubtful order on the instrument."""
    CAPABILITY = "capability"


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule's word: what was observed, which limit it met, in which unit, on which quote."""

    rule: str
    outcome: Outcome
    gate: Gate = Gate.RISK
    plugin: str = ""
    code: str = ""
    message: str = ""
    observed: Decimal | None = None
    limit: Decimal | None = None
    unit: str = ""
    quote_price: Decimal | None = None
    quote_at: datetime | None = None


class Decision(msgspec.Struct, frozen=True):
    """What became of one request of a batch."""

    order_id: OrderId
    accepted: bool
    verdicts: tuple[Verdict, ...] = ()

    @property
    def denials(self) -> tuple[Verdict, ...]:
        """The verdicts that denied the order, in the order of the rules."""
        return tuple(verdict for verdict in self.verdicts if verdict.outcome is Outcome.DENY)


def passed(rule: str) -> Verdict:
    """A verdict that lets the order through."""
    return Verdict(rule=rule, outcome=Outcome.PASS)


def denied(
    rule: str,
    code: str,
    message: str,
    *,
    observed: Decimal | int | None = None,
    limit: Decimal | int | None = None,
    unit: str = "",
) -> Verdict:
    """A verdict that refuses the order; with what was observed, the limit that it met, and their unit."""
    return Verdict(
        rule=rule,
        outcome=Outcome.DENY,
        code=code,
        message=message,
        observed=None if observed is None else Decimal(observed),
        limit=None if limit is None else Decimal(limit),
        unit=unit,
    )
