"""`oms kill` on this machine: with the API gone, and with the database gone too; `oms risk liquidate`."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from oms_app.cli.kill import kill
from oms_app.cli.liquidations import liquidate
from oms_app.sessions.control import Command, ControlSocket, HaltAll
from oms_app.sessions.recalling import Recalled
from oms_kernel.domain.ids import OrderId
from tests.app_kit import CHEAP, demo_services, demo_settings


@pytest.fixture(scope="module")
def seeded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("kill")
    services, _facts = demo_services(demo_settings(home))
    services.close()
    return home


@pytest.fixture
def home(seeded: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMS_HOME", str(seeded))
    for name, value in CHEAP.items():
        monkeypatch.setenv(name, value)
    return seeded


def ran(command: Any, *arguments: str) -> Any:
    return CliRunner().invoke(command, list(arguments))


def document(done: Any) -> Any:
    assert done.exit_code == 0, done.output
    return json.loads(done.output[done.output.index("{\n") :])


def test_without_the_api_a_switch_is_thrown_named_again_and_released_with_words(home: Path) -> None:
    thrown = document(ran(kill, "--now", "--all", "--cancel", "--reason", "prices of yesterday", "--json"))
    (switch,) = thrown["kill_switches"]
    assert (thrown["already_active"], switch["trading_state"], switch["level"]) == (False, "HALTED", "TENANT")
    assert document(ran(kill, "--now", "--all", "--cancel", "--json"))["already_active"] is True
    assert ran(kill, "release", switch["switch_id"]).exit_code == 2
    released = document(ran(kill, "release", switch["switch_id"], "--reason", "settled", "--json"))
    assert released["released"] is True
    assert ran(kill, "release", switch["switch_id"], "--reason", "again").exit_code == 1


def test_the_whole_firm_is_stopped_and_released_from_its_own_machine(home: Path) -> None:
    thrown = document(ran(kill, "--firm", "--state", "cancel_only", "--json"))
    (switch,) = thrown["kill_switches"]
    assert (switch["level"], switch["trading_state"]) == ("FIRM", "CANCEL_ONLY")
    assert document(ran(kill, "release", switch["firm_switch_id"], "--reason", "settled", "--json"))["released"] is True


def test_a_drill_is_told_and_what_is_not_said_clearly_is_wrong_usage(home: Path) -> None:
    assert document(ran(kill, "--now", "--all", "--drill", "--json"))["ledgers"] == 1
    assert ran(kill).exit_code == 2
    assert ran(kill, "--firm", "--account", "a").exit_code == 2
    assert ran(liquidate, "--tenant", "demo").exit_code == 2


def test_positions_are_closed_from_this_machine(home: Path) -> None:
    services, _facts = demo_services(demo_settings(home))
    slug = services.tenancy.get(services.store.ledgers()[-1][0]).slug
    services.close()
    started = document(ran(liquidate, "--tenant", slug, "--all", "--json"))
    assert started["liquidations"][0]["reason_code"] == "manual"


@contextmanager
def listening(home: Path, got: list[Command]) -> Iterator[None]:
    """A session process's control socket that halts."""
    started, ending = threading.Event(), threading.Event()

    async def carry_out(asked: Command) -> list[Recalled]:
        got.append(asked)
        return [Recalled("c1", [OrderId("o1")], {})]

    async def serve() -> None:
        control = ControlSocket(home / "control", carry_out)
        await control.open()
        started.set()
        while not ending.is_set():
            await asyncio.sleep(0.01)
        await control.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    try:
        assert started.wait(10)
        yield
    finally:
        ending.set()
        thread.join(10)


def test_with_the_database_gone_the_sessions_themselves_halt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMS_HOME", str(tmp_path))
    monkeypatch.setenv("OMS_DATABASE_URL", "postgresql+psycopg://oms@127.0.0.1:1/oms")
    monkeypatch.setenv("OMS_SECRET_KEY", "kill-" * 10)
    assert ran(kill, "--now", "--all").exit_code == 4  # no session listens here
    got: list[Command] = []
    with listening(tmp_path, got):
        done = ran(kill, "--now", "--all", "--cancel", "--reason", "why")
        narrow = ran(kill, "--now", "--strategy", "s1")
    assert done.exit_code == 0, done.output
    assert "o1" in done.output
    assert got == [HaltAll(reason="why", cancel_working=True)]
    assert narrow.exit_code == 1
    assert "leave --strategy" in narrow.output
