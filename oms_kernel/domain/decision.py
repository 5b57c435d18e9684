"""Verdicts of rules and the decision over an order: values that say who decided, on which figures, in which unit."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.money import subtract
from oms_kernel.domain.scope import ScopeLevel


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


class RuleSeverity(StrEnum):
    """What a rule's DENY does to the order."""

    HARD = "HARD"
    """Refuses it."""
    SOFT = "SOFT"
    """Holds it until another person approves it: the rule's DENY is a HOLD."""
    SHADOW = "SHADOW"
    """Nothing: the verdict is written down only, so that a limit can be tried before it is enforced."""


class Verdict(msgspec.Struct, frozen=True, omit_defaults=True):
    """One rule's word: what was observed, which limit it met, in which unit, on which figures and quote.

    inputs: the figures that `observed` was made from, by name. would_pass: what the caller may do instead, in words.
    limit_id, limit_version, scope and severity are those of the row of limits; the host fills them in.
    is_floor: `limit` is the least that is allowed, not the most. makes_way: orders of the same instrument that have to
    shrink for this one -> the total that each keeps, 0 for one that is cancelled; the judged order may be among them.
    """

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
    inputs: dict[str, Decimal] = {}
    would_pass: str = ""
    severity: RuleSeverity = RuleSeverity.HARD
    limit_id: str = ""
    limit_version: int = 0
    scope: ScopeLevel | None = None
    is_floor: bool = False
    makes_way: dict[OrderId, Decimal] = {}

    @property
    def headroom(self) -> Decimal | None:
        """How far `observed` is from the limit: negative beyond it; None without both figures."""
        if self.observed is None or self.limit is None:
            return None
        return subtract(self.observed, self.limit) if self.is_floor else subtract(self.limit, self.observed)

    @property
    def denies(self) -> bool:
        """Whether the verdict refuses the order; a shadow rule's never does."""
        return self.outcome is Outcome.DENY and self.severity is not RuleSeverity.SHADOW

    @property
    def holds(self) -> bool:
        """Whether the verdict parks the order until a person approves it."""
        return self.outcome is Outcome.HOLD and self.severity is not RuleSeverity.SHADOW


class Decision(msgspec.Struct, frozen=True):
    """What became of one request of a batch."""

    order_id: OrderId
    accepted: bool
    verdicts: tuple[Verdict, ...] = ()

    @property
    def denials(self) -> tuple[Verdict, ...]:
        """The verdicts that denied the order, in the order of the rules."""
        return tuple(verdict for verdict in self.verdicts if verdict.denies)


def passed(
    rule: str,
    *,
    observed: Decimal | int | None = None,
    limit: Decimal | int | None = None,
    unit: str = "",
    inputs: dict[str, Decimal] | None = None,
) -> Verdict:
    """A verdict that lets the order through; with its figures where the rule has any."""
    return Verdict(
        rule=rule,
        outcome=Outcome.PASS,
        observed=Decimal(observed) if isinstance(observed, int) else observed,
        limit=Decimal(limit) if isinstance(limit, int) else limit,
        unit=unit,
        inputs=inputs if inputs is not None else {},
    )


def denied(
    rule: str,
    code: str,
    message: str,
    *,
    observed: Decimal | int | None = None,
    limit: Decimal | int | None = None,
    unit: str = "",
    inputs: dict[str, Decimal] | None = None,
    would_pass: str = "",
) -> Verdict:
    """A verdict that refuses the order; with what was observed, the limit that it met, and their unit.

    inputs: the figures behind `observed`. would_pass: what would pass, for instance `a quantity of at most 40`.
    """
    return Verdict(
        rule=rule,
        outcome=Outcome.DENY,
        code=code,
        message=message,
        observed=None if observed is None else Decimal(observed),
        limit=None if limit is None else Decimal(limit),
        unit=unit,
        inputs=inputs if inputs is not None else {},
        would_pass=would_pass,
    )
