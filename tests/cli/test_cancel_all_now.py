"""`oms orders cancel-all --now` asks every session process of the home, and says what each did or why it did not."""

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from oms_app.cli.orders import orders
from oms_app.sessions.control import CancelAll, ControlSocket
from oms_app.sessions.recalling import Recalled
from oms_kernel.domain.ids import OrderId


@contextmanager
def listening(home: Path, got: list[CancelAll]) -> Iterator[None]:
    """A session process's control socket that has one order sent and one waiting."""
    started, ending = threading.Event(), threading.Event()

    async def cancel_all(asked: CancelAll) -> list[Recalled]:
        got.append(asked)
        return [Recalled("c1", [OrderId("o1")], {OrderId("o2"): "the broker has not acknowledged it yet"})]

    async def serve() -> None:
        control = ControlSocket(home / "control", cancel_all)
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


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OMS_HOME", str(tmp_path))
    return tmp_path


def ran(*arguments: str) -> Any:
    return CliRunner().invoke(orders, ["cancel-all", *arguments])


def test_every_process_is_asked_without_the_api_and_its_answer_is_shown(home: Path) -> None:
    got: list[CancelAll] = []
    with listening(home, got):
        done = ran("--now", "--account-id", "a1", "--connection-id", "c1")
        programs = ran("--now", "--json")
    assert done.exit_code == 0, done.output
    for word in ("o1", "sent", "o2", "the broker has not acknowledged it yet"):
        assert word in done.output
    assert (got[0].account_id, got[0].connection_id) == ("a1", "c1")
    document = programs.output[programs.output.index("{") :]  # the session logs into the same output here
    (process,) = json.loads(document)["processes"]
    assert process["connections"][0]["sent"] == ["o1"]


def test_without_a_session_process_it_is_unavailable_and_one_that_is_dead_is_named(home: Path) -> None:
    missing = ran("--now")
    assert missing.exit_code == 4
    assert "no session process listens" in missing.output
    with listening(home, []):
        (home / "control" / "session-1.sock").touch()
        done = ran("--now")
    assert done.exit_code == 1
    assert "o1" in done.output
    assert "session-1: no answer" in done.output


def test_a_connection_is_only_named_to_the_sessions_themselves(home: Path) -> None:
    assert ran("--connection-id", "c1").exit_code == 2
