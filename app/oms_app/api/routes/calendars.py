"""When venues are open: sessions, holidays and half days, and how each stands now."""

from typing import Any

import msgspec

from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.json_text import plain
from oms_app.api.market_answers import SUMMED
from oms_app.api.paging import whole_list
from oms_app.api.paths import v1
from oms_app.api.problems import not_found
from oms_app.flow import calendars
from oms_app.flow.calendars import CalendarStatus
from oms_app.flow.scopes import Scope


def list_calendars(call: Call) -> Answer:
    """List the calendars, whether each venue is open now, and when that changes; one alone shows its days too."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        found = [calendars.status_of(one, unit.now) for one in calendars.list_calendars(unit)]
    items = [_shown(one) for one in found]
    return Answer(whole_list([{key: one[key] for key in one if key not in SUMMED} for one in items]))


def get_calendar(call: Call, name: str) -> Answer:
    """Read a calendar with its holidays and half days."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        found = calendars.get_calendar(unit, name)
        now = unit.now
    if found is None:
        raise not_found("calendar")
    return Answer(_shown(calendars.status_of(found, now)))


def _shown(status: CalendarStatus) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(status.calendar, str_keys=True)
    names = ("is_open", "trading_date", "next_change_at", "is_known")
    return {**told, **{name: plain(getattr(status, name)) for name in names}}


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/calendars"),
        view=list_calendars,
        scope=Scope.VIEW_ORDERS,
        tag="market data",
        answers={200: "CalendarList"},
    ),
    Endpoint(
        method="GET",
        path=v1("/calendars/<path:name>"),
        view=get_calendar,
        scope=Scope.VIEW_ORDERS,
        tag="market data",
        answers={200: "Calendar"},
    ),
)
