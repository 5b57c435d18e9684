"""An order in, DENY out when its venue is closed and the order may not wait."""

from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Outcome, Verdict, passed
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.order import OrderRequest, TimeInForce

WAITING = frozenset({TimeInForce.GTC, TimeInForce.GTD, TimeInForce.OPG})
"""Orders that are meant to outlast a session, or to wait for one."""


class TradingHoursParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may come outside the session."""

    allow_waiting: Annotated[
        bool, described("Let GTC, GTD, OPG and orders with queue_until pass outside the session")
    ] = False


class TradingHours:
    """Denies orders and modifications while the venue's session is closed.

    The session is that of the instrument's calendar: weekdays, holidays, early closes, in the venue's time zone.
    With `allow_waiting` orders that may wait for the next session pass. An unknown calendar denies: `no_calendar`.
    """

    name: ClassVar[str] = "trading_hours"
    title: ClassVar[str] = "Orders only while the venue is open"
    Params: ClassVar[type[msgspec.Struct]] = TradingHoursParams

    def __init__(self, params: TradingHoursParams) -> None:
        self.allow_waiting = params.allow_waiting
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS from the opening on and up to, not including, the close."""
        instrument = intent.instrument
        try:
            calendar = view.calendar(instrument)
        except InvalidRequest:
            text = f"the calendar {instrument.calendar} of {instrument.symbol} is unknown"
            return Verdict(rule=self.name, outcome=Outcome.DENY, code="no_calendar", message=text)
        if calendar.is_open(view.now) or (self.allow_waiting and _may_wait(intent.request)):
            return self.passed
        return Verdict(
            rule=self.name,
            outcome=Outcome.DENY,
            code=self.name,
            message=f"{instrument.venue} is closed for {instrument.symbol} (calendar {calendar.name})",
        )


def _may_wait(request: OrderRequest) -> bool:
    return request.time_in_force in WAITING or request.queue_until is not None
