"""What restrains a ledger beside its limits: kill switches, breaches and liquidations, as the book keeps them."""

from datetime import datetime
from decimal import Decimal
from enum import StrEnum

import msgspec

from oms_kernel.domain.account import TradingState
from oms_kernel.domain.ids import EventId
from oms_kernel.domain.scope import Scope


class Action(StrEnum):
    """What a breach of a limit sets off, each with an alert; all but ALERT are latched until a person releases them."""

    ALERT = "ALERT"
    REDUCE_ONLY = "REDUCE_ONLY"
    CANCEL_WORKING = "CANCEL_WORKING"
    """Cancel what works and let cancels only in."""
    FLATTEN = "FLATTEN"
    """Cancel what works, close every position, let nothing else in."""
    HALT = "HALT"
    """Cancel what works and let nothing in."""


class Cause(StrEnum):
    """Who or what threw a kill switch."""

    PERSON = "PERSON"
    TRIGGER = "TRIGGER"
    DEAD_MAN = "DEAD_MAN"


class Category(StrEnum):
    """What a breach is about: risk is for risk officers, surveillance opens a case for compliance."""

    RISK = "RISK"
    SURVEILLANCE = "SURVEILLANCE"


class KillSwitch(msgspec.Struct, frozen=True, omit_defaults=True):
    """A trading state that holds for a scope from its activation until a person releases it.

    switch_id: the event id of the activation. breach_id: the breach that threw it.
    """

    switch_id: EventId
    scope: Scope
    trading_state: TradingState
    cause: Cause
    reason_code: str
    activated_at: datetime
    activated_by: str = ""
    cancel_working: bool = False
    flatten: bool = False
    breach_id: EventId | None = None
    firm_switch_id: str = ""
    """The id that the parts of a switch for the whole firm share; empty for any other."""
    release_asked_by: str = ""
    """Who asked for the release, while it waits for a second person."""
    released_at: datetime | None = None
    released_by: str = ""

    @property
    def is_active(self) -> bool:
        """Whether it still holds."""
        return self.released_at is None


class Breach(msgspec.Struct, frozen=True, omit_defaults=True):
    """A limit that was overstepped, from the event that tells it until a person closes it.

    key: what makes it another one than an earlier breach of the same limit; while one is open it is not told again.
    """

    breach_id: EventId
    limit_id: str
    key: str
    rule: str
    scope: Scope
    category: Category
    action: Action
    message: str
    breached_at: datetime
    observed: Decimal | None = None
    limit: Decimal | None = None
    unit: str = ""
    assigned_to: str = ""
    closed_at: datetime | None = None
    closed_by: str = ""
    finding: str = ""

    @property
    def is_open(self) -> bool:
        """Whether nobody has closed it."""
        return self.closed_at is None


class Liquidation(msgspec.Struct, frozen=True, omit_defaults=True):
    """The closing of every position of a scope, slice by slice, until nothing is left or a person stops it."""

    liquidation_id: EventId
    scope: Scope
    started_at: datetime
    started_by: str = ""
    reason_code: str = ""
    switch_id: EventId | None = None
    ended_at: datetime | None = None
    outcome: str = ""

    @property
    def is_running(self) -> bool:
        """Whether it still closes positions."""
        return self.ended_at is None


class EquityMark(msgspec.Struct, frozen=True, omit_defaults=True):
    """An account's equity when its risk day began, and the most it ever was, in its base currency."""

    risk_date: str
    day_start: Decimal
    high_water: Decimal
    marked_at: datetime
