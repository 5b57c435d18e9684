"""An order in, DENY out when its venue is closed, just opened or about to close, and the order may not wait."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_compliance_checks.verdicts import refused, too_early
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.order import OrderRequest, TimeInForce

WAITING = frozenset({TimeInForce.GTC, TimeInForce.GTD, TimeInForce.OPG})
"""Orders that are meant to outlast a session, or to wait for one."""


class TradingHoursParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may come when."""

    allow_waiting: Annotated[
        bool, described("Let GTC, GTD, OPG and orders with queue_until pass outside the session")
    ] = False
    after_open_s: Annotated[int, described("Deny so long after the session's opening", "s", ge=0, le=86_400)] = 0
    before_close_s: Annotated[int, described("Deny so long before the session's close", "s", ge=0, le=86_400)] = 0
    closed_on_half_days: Annotated[bool, described("Deny on days on which the venue closes early or opens late")] = (
        False
    )


class TradingHours:
    """Denies orders and modifications while the venue's session is closed, just opened or about to close.

    The session is that of the instrument's calendar: weekdays, holidays, half days, pauses, in the venue's time zone.
    With `allow_waiting` orders that may wait for the next session pass while it is closed; not while they would trade
    at once. An unknown calendar denies, and so does a day after the last one whose holidays are known: `no_calendar`.
    """

    name: ClassVar[str] = "trading_hours"
    title: ClassVar[str] = "Orders only while the venue is open"
    Params: ClassVar[type[msgspec.Struct]] = TradingHoursParams
    rank: ClassVar[int] = 20
    source: ClassVar[str] = "Rules of the venues on sessions, holidays and half days"

    def __init__(self, params: TradingHoursParams) -> None:
        self.params = params
        self.after_open = timedelta(seconds=params.after_open_s)
        self.before_close = timedelta(seconds=params.before_close_s)
        self.has_edges = bool(params.after_open_s or params.before_close_s)
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS from the opening on and up to, not including, the close, less the margins at both ends."""
        instrument = intent.instrument
        try:
            calendar = view.calendar(instrument)
        except InvalidRequest:
            text = f"the calendar {instrument.calendar} of {instrument.symbol} is unknown"
            return refused(self.name, "no_calendar", text)
        if calendar.known_until is not None and not calendar.is_known(calendar.trading_date(view.now)):
            text = f"the holidays of calendar {calendar.name} are known up to {calendar.known_until} only"
            return refused(self.name, "no_calendar", text, "the order once the calendar is imported anew")
        if not calendar.is_open(view.now):
            return self._closed(intent.request, instrument, calendar, view)
        if not self.has_edges and not self.params.closed_on_half_days:
            return self.passed
        return self._within(instrument, calendar, view)

    def _closed(self, request: OrderRequest, instrument: Instrument, calendar: Calendar, view: RuleView) -> Verdict:
        if self.params.allow_waiting and _may_wait(request):
            return self.passed
        opens_at = calendar.next_change(view.now)
        then = f"the order from {opens_at.isoformat()} on" if opens_at is not None else ""
        text = f"{instrument.venue} is closed for {instrument.symbol} (calendar {calendar.name})"
        return refused(self.name, self.name, text, would_pass=then)

    def _within(self, instrument: Instrument, calendar: Calendar, view: RuleView) -> Verdict:
        """The verdict within the session."""
        day = calendar.trading_date(view.now)
        where = f"{instrument.venue} for {instrument.symbol} (calendar {calendar.name})"
        if self.params.closed_on_half_days and _is_half_day(calendar, day):
            return refused(self.name, self.name, f"{day} is a half day at {where}")
        since, left = view.now - calendar.session_open(day), calendar.session_close(day) - view.now
        if since < self.after_open:
            begins = calendar.session_open(day) + self.after_open
            return too_early(
                self.name,
                "after_open",
                f"the session of {where} has only just opened",
                since,
                Decimal(self.params.after_open_s),
                f"the order from {begins.isoformat()} on",
            )
        if left <= self.before_close:
            text = f"the session of {where} is about to close"
            return too_early(self.name, "before_close", text, left, Decimal(self.params.before_close_s), "")
        return self.passed


def _is_half_day(calendar: Calendar, day: date) -> bool:
    return day in calendar.early_closes or day in calendar.late_opens


def _may_wait(request: OrderRequest) -> bool:
    return request.time_in_force in WAITING or request.queue_until is not None
