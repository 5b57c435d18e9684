"""Breaks: where the broker's state and ours differ, what each side says, and how the difference may end.

A break is known by its key (type, broker account, subject), so that finding it again adds nothing.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from oms_kernel.domain.ids import AccountId, BreakId, BrokerAccountId, InstrumentId, OrderId


class Severity(StrEnum):
    """How loud an alert or a break is."""

    INFO = "INFO"
    WARNING = "WARNING"
    CRITICAL = "CRITICAL"


class BreakType(StrEnum):
    """In what the two sides differ."""

    MISSING_FILL = "MISSING_FILL"
    """The broker executed what we had not booked."""
    PHANTOM_ORDER = "PHANTOM_ORDER"
    """We hold an order for working that the broker does not show."""
    QUANTITY = "QUANTITY"
    """A position, or an order's total."""
    PRICE = "PRICE"
    """An order's price, or the average price of a position."""
    CASH = "CASH"
    EXTERNAL_ORDER = "EXTERNAL_ORDER"
    """An order works at the broker that was not placed here."""
    STALE = "STALE"
    """A request has had no word for too long, though the broker answers."""
    DUPLICATE = "DUPLICATE"
    """One order of ours stands at the broker more than once."""
    UNKNOWN_ACCOUNT = "UNKNOWN_ACCOUNT"
    """The broker speaks of an account to which no trading account is routed."""


class BreakPolicy(msgspec.Struct, frozen=True):
    """How loud a type of break is, whether it is put right by itself, and what a person should do about it."""

    severity: Severity
    auto_fix: bool
    proposed_fix: str


POLICIES: dict[BreakType, BreakPolicy] = {
    BreakType.MISSING_FILL: BreakPolicy(
        Severity.WARNING, True, "The broker's executions are booked; check what was decided without them."
    ),
    BreakType.PHANTOM_ORDER: BreakPolicy(
        Severity.CRITICAL, False, "Look the order up at the broker, then resolve it with what you found."
    ),
    BreakType.QUANTITY: BreakPolicy(
        Severity.CRITICAL, False, "Compare the executions with the broker's statement; accept the broker's figure."
    ),
    BreakType.PRICE: BreakPolicy(
        Severity.WARNING, False, "Compare the order or the executions with the broker's statement."
    ),
    BreakType.CASH: BreakPolicy(
        Severity.WARNING, False, "Look for a deposit, dividend, interest or fee; accept the broker's figure."
    ),
    BreakType.EXTERNAL_ORDER: BreakPolicy(
        Severity.WARNING, True, "The order is adopted read-only; find out who placed it at the broker."
    ),
    BreakType.STALE: BreakPolicy(
        Severity.WARNING, False, "Ask the broker about the request; it is sent again or settled by evidence only."
    ),
    BreakType.DUPLICATE: BreakPolicy(
        Severity.CRITICAL, False, "Cancel the second order at the broker, and report how it came about."
    ),
    BreakType.UNKNOWN_ACCOUNT: BreakPolicy(
        Severity.CRITICAL, False, "Route a trading account to this broker account, or take it off the connection."
    ),
}
"""What may be put right without a person: only what adds the broker's own proved word to our book."""

BreakKey = tuple[BreakType, BrokerAccountId, str]


class Difference(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One difference between the sides. `subject` names what differs: an order, instrument, currency or account id."""

    break_type: BreakType
    broker_account_id: BrokerAccountId
    subject: str
    account_id: AccountId | None = None
    order_id: OrderId | None = None
    instrument_id: InstrumentId | None = None
    currency: str | None = None
    symbol: str = ""
    ours: str
    """What our book says, as text."""
    theirs: str
    """What the broker says, as text."""

    @property
    def key(self) -> BreakKey:
        """By what the same difference is known again."""
        return self.break_type, self.broker_account_id, self.subject


class Break(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A difference in the ledger of breaks, from its finding to its resolution."""

    break_id: BreakId
    difference: Difference
    severity: Severity
    proposed_fix: str
    found_at: datetime
    as_of: datetime
    """The broker's time of the answer that shows it last."""
    acknowledged_at: datetime | None = None
    acknowledged_by: str = ""
    resolved_at: datetime | None = None
    resolved_by: str = ""
    resolution: str = ""
    """How it ended: gone, fixed, accepted_broker, or a person's own reason (its text stands beside the log)."""
    auto_fixed: bool = False

    @property
    def is_open(self) -> bool:
        """Whether nobody has resolved it."""
        return self.resolved_at is None

    @property
    def is_critical(self) -> bool:
        """Whether a person has to look at once."""
        return self.severity is Severity.CRITICAL
