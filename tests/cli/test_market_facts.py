"""Facts of instruments and calendars of venues, told and shown on the database of this machine."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from oms_app.cli.main import cli
from oms_app.store.instruments import put_instrument
from oms_app.store.sql_store import SqlStore
from oms_kernel.testkit.builders import an_instrument
from tests.app_kit import CHEAP, demo_services, demo_settings


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with the demo tenant in it."""
    made = tmp_path_factory.mktemp("home")
    services, _ = demo_services(demo_settings(made))
    services.close()
    return made


def oms(home: Path, *arguments: str) -> Result:
    return CliRunner(env={"OMS_HOME": str(home), **CHEAP}).invoke(cli, list(arguments))


def told(home: Path, *arguments: str) -> Any:
    done = oms(home, *arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_facts_are_told_one_by_one_and_kept(home: Path) -> None:
    symbol = "AAPL"
    assert told(home, "instruments", "facts", symbol) == {}
    told(home, "instruments", "facts", symbol, "--adv", "1200000", "--not-halted", "--sector", "technology")
    known = told(home, "instruments", "facts", symbol, "--halted", "--limit-up", "105.5")
    assert (known["average_daily_volume"], known["is_halted"], known["limit_up"]) == ("1200000", True, "105.5")
    assert known["sector"] == "technology"
    assert told(home, "instruments", "facts", symbol) == known
    assert set(told(home, "instruments", "facts", symbol, "--forget", "--not-halted")) == {
        "instrument_id",
        "as_of",
        "is_halted",
    }


def test_the_largest_order_of_a_venue_is_set_shown_and_taken_back(home: Path) -> None:
    said = ("instruments", "largest-order", "AAPL")
    assert told(home, *said)["max_order_quantity"] is None
    assert told(home, *said, "300")["max_order_quantity"] == "300"
    assert told(home, *said) == {"symbol": "AAPL", "venue": "XNAS", "max_order_quantity": "300"}
    for wrong, words in (("0", "multiple of the lot size 1"), ("1.5", "multiple of the lot size 1"), ("x", "plain")):
        done = oms(home, *said, wrong)
        assert (done.exit_code != 0, words in done.output) == (True, True), done.output
    assert oms(home, *said, "5", "--none").exit_code != 0
    assert told(home, *said)["max_order_quantity"] == "300"
    assert told(home, *said, "--none")["max_order_quantity"] is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("NOWHERE", "--halted"), "no instrument is called NOWHERE"),
        (("AAPL", "--adv", "many"), "a plain decimal number"),
        (("AAPL", "--limit-up", "1", "--limit-down", "2"), "limit_up must be above limit_down"),
    ],
    ids=["symbol", "number", "band"],
)
def test_what_cannot_be_told_is_refused_in_words(home: Path, arguments: tuple[str, ...], words: str) -> None:
    done = oms(home, "instruments", "facts", *arguments)
    assert done.exit_code != 0
    assert words in done.output


def test_calendars_are_imported_listed_and_shown(home: Path) -> None:
    (first,) = told(home, "calendars", "import", "XNYS", "--from", "2026-01-01", "--to", "2026-12-31")
    assert (first["changed"], first["holidays"], first["half_days"], first["left_out"]) == (True, 10, 2, [])
    (again,) = told(home, "calendars", "import", "XNYS", "--from", "2026-01-01", "--to", "2026-12-31")
    assert again["changed"] is False
    listed = {one["name"]: one for one in told(home, "calendars", "list")}
    assert listed["24x7"]["is_open"] is True
    assert listed["XNYS"]["known_until"] == "2026-12-31"
    shown = told(home, "calendars", "show", "XNYS")
    assert "2026-12-25" in shown["holidays"]
    assert shown["early_closes"]["2026-11-27"] == "13:00:00"


def test_a_calendar_may_take_the_place_of_another(home: Path) -> None:
    span = ("--from", "2026-01-01", "--to", "2026-12-31")
    (one,) = told(home, "calendars", "import", "XNYS", "--as", "us-equities", *span)
    assert (one["name"], one["changed"]) == ("us-equities", True)
    assert oms(home, "calendars", "import", "XNYS", "XLON", "--as", "one", *span).exit_code == 2
    assert "no exchange is called NOPE" in oms(home, "calendars", "import", "NOPE", *span).output
    assert "there is no calendar nowhere" in oms(home, "calendars", "show", "nowhere").output


def test_the_doctor_warns_before_the_holidays_of_a_calendar_in_use_run_out(home: Path) -> None:
    def finding() -> dict[str, str]:
        found = {one["name"]: one for one in told(home, "doctor")["findings"]}
        return dict(found["calendars"])

    assert finding()["status"] == "ok"
    told(home, "calendars", "import", "XLON", "--from", "2019-01-01", "--to", "2020-12-31")
    assert finding()["status"] == "ok"  # nothing trades by it
    store = SqlStore(demo_settings(home).database_url)
    try:
        with store.platform_unit() as unit:
            put_instrument(unit, an_instrument("LON", calendar="XLON"))
    finally:
        store.close()
    warned = finding()
    assert warned["status"] == "warning"
    assert "XLON until 2020-12-31" in warned["detail"]
