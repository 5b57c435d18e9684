"""Venue calendars: an instant in, whether the venue is open and which trading date it belongs to out."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from oms_kernel.domain.errors import InvalidRequest


class Calendar(msgspec.Struct, frozen=True):
    """One venue's weekly sessions, holidays and days with other hours, in the venue's own time zone.

    `weekdays` are ISO (Monday 1). A session with opens_at == closes_at lasts 24 hours (midnight and all weekdays:
    24x7); one with opens_at >= closes_at after midnight began the evening before and bears the later date.
    early_closes, late_opens: trading date -> another hour than the regular one. break_from, break_until: the pause of
    each day within the session. known_until: the last date whose holidays are known; None: for ever.
    """

    name: str
    time_zone: str = "UTC"
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    opens_at: time = time(0)
    closes_at: time = time(0)
    holidays: tuple[date, ...] = ()
    early_closes: dict[date, time] = {}
    late_opens: dict[date, time] = {}
    break_from: time | None = None
    break_until: time | None = None
    known_until: date | None = None

    def trading_date(self, at: datetime) -> date:
        """The date under which the venue books what happens at this instant."""
        local = local_time(at, self.time_zone)
        if self._begins_the_evening_before and local.time() >= self.opens_at:
            return local.date() + timedelta(days=1)
        return local.date()

    def is_open(self, at: datetime) -> bool:
        """Whether the venue's regular session is open at this instant."""
        local = local_time(at, self.time_zone)
        day = self.trading_date(at)
        if not self.is_session(day):
            return False
        closes_at = self.early_closes.get(day, self.closes_at)
        opens_at = self.late_opens.get(day, self.opens_at)
        now = local.time()
        if self.break_from is not None and self.break_until is not None and self.break_from <= now < self.break_until:
            return False
        if self._begins_the_evening_before:
            return now >= opens_at or now < closes_at
        if closes_at == time(0):
            return now >= opens_at
        return opens_at <= now < closes_at

    def is_session(self, day: date) -> bool:
        """Whether the venue trades on this trading date at all."""
        return day.isoweekday() in self.weekdays and day not in self.holidays

    def is_known(self, day: date) -> bool:
        """Whether the holidays of this trading date are known."""
        return self.known_until is None or day <= self.known_until

    def session_open(self, day: date) -> datetime:
        """The beginning of the session of this trading date, in UTC."""
        opens_at = self.late_opens.get(day, self.opens_at)
        began = day - timedelta(days=1) if self._begins_the_evening_before else day
        return datetime.combine(began, opens_at, ZoneInfo(self.time_zone)).astimezone(UTC)

    def next_change(self, at: datetime) -> datetime | None:
        """When the venue, as it is at this instant, next opens or closes; None: not within the next 30 days.

        A pause within the session counts as closed.
        """
        if self.weekdays == _EVERY_DAY and self.opens_at == self.closes_at and not self.holidays:
            return None
        was_open, first = self.is_open(at), self.trading_date(at)
        for ahead in range(_LONGEST_CLOSED):
            day = first + timedelta(days=ahead)
            if not self.is_session(day):
                continue
            for edge in self._edges(day):
                if edge > at and self.is_open(edge) != was_open:
                    return edge
        return None

    def _edges(self, day: date) -> tuple[datetime, ...]:
        """The instants of a trading date at which the venue may open or close, in their order."""
        zone = ZoneInfo(self.time_zone)
        pause = tuple(
            datetime.combine(day, edge, zone).astimezone(UTC) for edge in (self.break_from, self.break_until) if edge
        )
        return (self.session_open(day), *pause, self.session_close(day))

    def session_close(self, day: date) -> datetime:
        """The end of the session of this trading date, in UTC; where DAY orders end."""
        zone = ZoneInfo(self.time_zone)
        closes_at = self.early_closes.get(day, self.closes_at)
        local = datetime.combine(day, closes_at, zone)
        if closes_at == time(0) and not self._begins_the_evening_before:
            local += timedelta(days=1)
        return local.astimezone(UTC)

    @property
    def _begins_the_evening_before(self) -> bool:
        return self.opens_at != time(0) and self.opens_at >= self.closes_at


_EVERY_DAY = (1, 2, 3, 4, 5, 6, 7)
_LONGEST_CLOSED = 30

ALWAYS_OPEN = Calendar(name="24x7")
US_EQUITIES = Calendar(
    name="us-equities",
    time_zone="America/New_York",
    weekdays=(1, 2, 3, 4, 5),
    opens_at=time(9, 30),
    closes_at=time(16),
)


def local_time(at: datetime, zone: str) -> datetime:
    """The instant in a time zone. Raises InvalidRequest on a naive datetime."""
    if at.tzinfo is None:
        raise InvalidRequest("an instant needs a time zone")
    return at.astimezone(UTC if zone == "UTC" else ZoneInfo(zone))


def risk_date(at: datetime, zone: str, day_roll: time) -> date:
    """The account's risk and P&L day: local date, rolled to the next one from `day_roll` on (midnight: no roll)."""
    local = local_time(at, zone)
    if day_roll != time(0) and local.time() >= day_roll:
        return local.date() + timedelta(days=1)
    return local.date()
