"""What is known of instruments and of venues' hours over HTTP, and what a limit makes of it in the next order."""

import itertools
from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import pytest

from oms_app.flow.audit import cli_actor
from oms_app.flow.calendars import replace_calendar
from oms_app.store.limits import end_limit, put_limit
from oms_kernel.domain.calendar import Calendar
from tests.api.conftest import opened
from tests.api.desk import Desk
from tests.api.people_desk import People
from tests.waiting import until


@pytest.fixture(scope="module")
def desk(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened(migrated_file, tmp_path_factory.mktemp("facts")) as made:
        yield made


@pytest.fixture(scope="module")
def people(desk: Desk) -> People:
    return People(desk)


@pytest.fixture(scope="module")
def superuser(people: People) -> str:
    return people.token(people.person(is_superuser=True))


@pytest.fixture(scope="module")
def admin(people: People) -> str:
    return people.token(people.person("ADMIN"))


def path(desk: Desk) -> str:
    return f"/instruments/{desk.ids['instrument_id']}/facts"


def test_what_a_superuser_tells_everybody_reads(desk: Desk, people: People, superuser: str, admin: str) -> None:
    told = {"average_daily_volume": "1200000", "is_halted": False, "limit_up": "105.5", "issuer": "Acme Holdings"}
    answer = people.send(superuser, "PUT", path(desk), told)
    assert answer.status_code == 200, answer.json
    read = people.send(admin, "GET", path(desk))
    assert read.status_code == 200
    assert {name: read.json[name] for name in told} == told
    assert read.json["instrument_id"] == desk.ids["instrument_id"]
    assert read.json["as_of"].endswith("Z")


def test_a_tenants_administrator_and_a_key_may_not_tell(desk: Desk, people: People, admin: str) -> None:
    assert people.send(admin, "PUT", path(desk), {"is_halted": True}).status_code == 403
    assert desk.send("PUT", f"/api/v1{path(desk)}", {"is_halted": True}).status_code == 403


def test_the_facts_replace_all_that_was_known(desk: Desk, people: People, superuser: str) -> None:
    people.send(superuser, "PUT", path(desk), {"is_halted": True, "sector": "tools"})
    people.send(superuser, "PUT", path(desk), {"is_halted": False})
    read = people.send(superuser, "GET", path(desk)).json
    assert read["is_halted"] is False
    assert "sector" not in read or read["sector"] == ""


@pytest.mark.parametrize(
    ("body", "status", "field"),
    [
        ({"limit_up": "0"}, 422, "limit_up"),
        ({"average_daily_volume": "-1"}, 422, "average_daily_volume"),
        ({"limit_up": "5", "limit_down": "5"}, 422, "limit_up"),
        ({"as_of": "2999-01-01T00:00:00Z"}, 422, "as_of"),
        ({"is_halted": "yes"}, 422, "is_halted"),
        ({"nonsense": 1}, 422, "nonsense"),
        ({"as_of": "2001-01-01T00:00:00Z", "is_halted": True}, 409, "as_of"),
    ],
    ids=str,
)
def test_what_cannot_be_is_refused_and_names_its_field(
    desk: Desk, people: People, superuser: str, body: dict[str, Any], status: int, field: str
) -> None:
    people.send(superuser, "PUT", path(desk), {"is_halted": False})
    answer = people.send(superuser, "PUT", path(desk), body)
    assert answer.status_code == status, answer.json
    assert answer.json["errors"][0]["field"] == field
    assert people.send(superuser, "GET", path(desk)).json["is_halted"] is False


def test_an_instrument_that_is_none_and_one_of_which_nothing_is_known_are_404(
    desk: Desk, people: People, superuser: str
) -> None:
    nobody = "/instruments/0190f3a1-0000-7000-8000-000000000001/facts"
    assert people.send(superuser, "GET", nobody).status_code == 404
    assert people.send(superuser, "PUT", nobody, {"is_halted": True}).status_code == 404
    lots = next(one for one in desk.send("GET", "/api/v1/instruments").json["items"] if one["symbol"] == "LOTS")
    assert people.send(superuser, "GET", f"/instruments/{lots['instrument_id']}/facts").status_code == 404


def test_a_change_is_on_record_and_a_mere_confirmation_is_not(desk: Desk, people: People, superuser: str) -> None:
    def told() -> int:
        found = people.send(superuser, "GET", "/audit?action=instrument_facts.changed&with_total=true")
        assert found.status_code == 200, found.json
        return int(found.json["total_count"])

    people.send(superuser, "PUT", path(desk), {"is_halted": False, "sector": "tools"})
    before = told()
    people.send(superuser, "PUT", path(desk), {"is_halted": False, "sector": "tools"})
    assert told() == before
    people.send(superuser, "PUT", path(desk), {"is_halted": True, "sector": "tools"})
    assert told() == before + 1


def test_a_halt_stops_the_next_orders(desk: Desk, people: People, superuser: str) -> None:
    with desk.services.store.tenant_unit(desk.tenant_id) as unit:
        put_limit(unit, "halts", rule="halt_status", params={"max_age_s": 3600, "allow_auction": True})
    numbers = itertools.count(1)

    def code() -> str:
        answer = desk.place(quantity=str(next(numbers)))
        return "" if answer.status_code == 201 else str(answer.json["verdicts"][0]["code"])

    try:
        people.send(superuser, "PUT", path(desk), {"is_halted": True})
        until(lambda: code() == "halted", "orders in a halted instrument are denied")
        people.send(superuser, "PUT", path(desk), {"is_halted": False})
        until(lambda: code() == "", "orders pass when the halt is over")
    finally:
        with desk.services.store.tenant_unit(desk.tenant_id) as unit:
            end_limit(unit, "halts")


def test_calendars_say_whether_venues_are_open_and_when_that_changes(desk: Desk) -> None:
    now = datetime.now(UTC)
    opens = (now + timedelta(hours=2)).replace(minute=0, second=0, microsecond=0)
    later = Calendar(name="later", opens_at=opens.time(), closes_at=(opens + timedelta(hours=1)).time())
    holiday = Calendar(
        name="X/Y",
        opens_at=time(1),
        closes_at=time(2),
        holidays=(date(2020, 1, 1),),
        early_closes={date(2020, 1, 2): time(1, 30)},
        known_until=date(2020, 12, 31),
    )
    for calendar in (later, holiday):
        assert replace_calendar(desk.services.store, cli_actor(), calendar)
        assert not replace_calendar(desk.services.store, cli_actor(), calendar)
    listed = {one["name"]: one for one in desk.send("GET", "/api/v1/calendars").json["items"]}
    assert listed["24x7"]["is_open"] is True
    assert listed["24x7"]["next_change_at"] is None
    assert listed["X/Y"]["is_known"] is False
    assert "holidays" not in listed["X/Y"]
    assert listed["later"]["next_change_at"] is not None
    whole = desk.send("GET", "/api/v1/calendars/X/Y").json
    assert (whole["holidays"], whole["early_closes"]) == (["2020-01-01"], {"2020-01-02": "01:30:00"})
    assert desk.send("GET", "/api/v1/calendars/none").status_code == 404
