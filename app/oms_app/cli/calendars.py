"""`oms calendars`: sessions, holidays and half days of venues, listed and imported by whoever runs the platform."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any

import click

from oms_app.cli.on_this_machine import services_here
from oms_app.cli.output import err, json_option, print_facts, print_table, show

if TYPE_CHECKING:
    from oms_app.flow.calendar_import import Imported
    from oms_app.flow.calendars import CalendarStatus

COLUMNS = ("name", "is_open", "trading_date", "next_change_at", "time_zone", "opens_at", "closes_at", "known_until")
RESULTS = ("name", "changed", "first", "last", "holidays", "half_days", "left_out")
DATE = click.DateTime(formats=["%Y-%m-%d"])


@click.group()
def calendars() -> None:
    """Show and import the calendars of venues, on the database of this machine."""


@calendars.command("list")
@json_option
def list_calendars(as_json: bool) -> None:
    """List the calendars, and which venues are open now."""
    from oms_app.flow import calendars as flow

    with services_here() as services, services.store.read_unit(None) as unit:
        found = [_shown(flow.status_of(one, unit.now)) for one in flow.list_calendars(unit)]
    show(as_json, found, lambda: print_table("Calendars", COLUMNS, found, empty="None yet: `oms calendars import`."))


@calendars.command("show")
@click.argument("name")
@json_option
def show_calendar(name: str, as_json: bool) -> None:
    """Show the calendar NAME with its holidays and half days."""
    import msgspec

    from oms_app.cli.errors import CommandFailed
    from oms_app.flow import calendars as flow

    with services_here() as services, services.store.read_unit(None) as unit:
        found = flow.get_calendar(unit, name)
    if found is None:
        raise CommandFailed(f"there is no calendar {name}\n  fix: `oms calendars list` shows them")
    facts: dict[str, Any] = msgspec.to_builtins(found, str_keys=True)
    show(as_json, facts, lambda: print_facts("Calendar", facts))


@calendars.command("import")
@click.argument("codes", nargs=-1, required=True)
@click.option("--from", "first", type=DATE, help="First day; else 1 January of this year.")
@click.option("--to", "last", type=DATE, help="Last day; else the end of next year, or as far as is known.")
@click.option("--as", "name", help="What the calendar is called here; else as the exchange's code. One code only.")
@json_option
def import_calendars(
    codes: tuple[str, ...], first: datetime | None, last: datetime | None, name: str | None, as_json: bool
) -> None:
    """Import the calendars of exchanges, CODES such as XNYS XBOM CMES, with holidays, half days and pauses."""
    from oms_app.cli.errors import WrongSettings
    from oms_app.flow.audit import cli_actor
    from oms_app.flow.calendar_import import import_calendar
    from oms_app.flow.calendars import replace_calendar

    if name is not None and len(codes) != 1:
        raise WrongSettings("--as names one calendar; give one code with it")
    this_year = datetime.now(UTC).year
    begin = first.date() if first is not None else date(this_year, 1, 1)
    end = last.date() if last is not None else date(this_year + 1, 12, 31)
    done = []
    with services_here() as services:
        for imported in [import_calendar(code, begin, end, name=name) for code in codes]:
            done.append(_result(imported, replace_calendar(services.store, cli_actor(), imported.calendar)))
    show(as_json, done, lambda: print_table("Imported", RESULTS, done, empty="nothing"))
    for one in done:
        if one["left_out"]:
            err().print(f"[yellow]{one['name']}[/yellow] differs from the exchange on: {', '.join(one['left_out'])}")


def _result(imported: Imported, changed: bool) -> dict[str, Any]:
    calendar = imported.calendar
    return {
        "name": calendar.name,
        "changed": changed,
        "first": imported.first.isoformat(),
        "last": imported.last.isoformat(),
        "holidays": len(calendar.holidays),
        "half_days": len({*calendar.early_closes, *calendar.late_opens}),
        "left_out": [day.isoformat() for day in imported.left_out],
    }


def _shown(status: CalendarStatus) -> dict[str, Any]:
    calendar = status.calendar
    return {
        "name": calendar.name,
        "is_open": status.is_open,
        "trading_date": status.trading_date,
        "next_change_at": status.next_change_at,
        "time_zone": calendar.time_zone,
        "opens_at": calendar.opens_at,
        "closes_at": calendar.closes_at,
        "known_until": calendar.known_until,
    }
