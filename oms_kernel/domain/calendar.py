"""Venue calendars: an instant in, whether the venue is open and which trading date it belongs to out."""

from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

import msgspec

from oms_kernel.domain.errors import InvalidRequest


class Calendar(msgspec.Struct, frozen=True):
    """One venue's weekly sessions, holidays and early closes, in the venue's own time zone.

    `weekdays` are ISO (Monday 1). A session with opens_at == closes_at lasts 24 hours (midnight and all weekdays:
    24x7); one with opens_at >= closes_at after midnight began the evening before and bears the later date.
    """

    name: str
    time_zone: str = "UTC"
    weekdays: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 7)
    opens_at: time = time(0)
    closes_at: time = time(0)
    holidays: tuple[date, ...] = ()
    early_closes: dict[date, time] = {}

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
        if day.isoweekday() not in self.weekdays or day in self.holidays:
            return False
        closes_at = self.early_closes.get(day, self.closes_at)
        now = local.time()
        if self._begins_the_evening_before:
            return now >= self.opens_at or now < closes_at
        if closes_at == time(0):
            return now >= self.opens_at
        return self.opens_at <= now < closes_at

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
