"""The supervisor restarts what ends, kills what hangs, and stops its children in order."""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from oms_app.cli.supervisor import Child, ChildSpec, Supervisor
from oms_app.lifeline import Heartbeats

pytestmark = pytest.mark.integration

LIVING = """
import signal, sys, time
from pathlib import Path
from oms_app.lifeline import Pulse, die_with_parent
name, home = sys.argv[1], Path(sys.argv[2])
pulse = Pulse(name, home / "hearts")
def stop(*_):
    with (home / "stopped").open("a") as file: file.write(name + "\\n")
    sys.exit(0)
signal.signal(signal.SIGTERM, stop)
while True:
    if not (home / (name + ".hang")).exists():
        pulse.beat()
    time.sleep(0.02)
"""


class Kit:
    """A supervisor over small real processes, and what it said."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.said: list[str] = []
        self.hearts = Heartbeats(home / "hearts")

    def spec(self, name: str, script: str = LIVING) -> ChildSpec:
        command = [sys.executable, "-c", script, name, str(self.home)]
        return ChildSpec(
            name=name, command=command, env=dict(os.environ), log=self.home / f"{name}.log", stop_grace_s=5
        )

    def supervisor(self, *specs: ChildSpec) -> Supervisor:
        return Supervisor(specs, hearts=self.hearts, heartbeat_timeout_s=1.0, say=self.said.append)


@pytest.fixture
def kit(tmp_path: Path) -> Iterator[Kit]:
    made = Kit(tmp_path)
    yield made
    made.hearts.close()


def turn_until(supervisor: Supervisor, condition: Callable[[], bool], timeout_s: float = 15.0) -> None:
    """Turns the supervisor until the condition holds."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not come true in time"
        supervisor.turn()


def pid_of(child: Child) -> int | None:
    """The child's process id while it runs."""
    return child.process.pid if child.is_running and child.process is not None else None


def test_a_child_that_is_killed_starts_again_and_people_are_told(kit: Kit) -> None:
    supervisor = kit.supervisor(kit.spec("api"))
    supervisor.start()
    try:
        child = supervisor.children["api"]
        turn_until(supervisor, lambda: kit.hearts.age_s("api") is not None)
        first = pid_of(child)
        assert first is not None
        os.kill(first, signal.SIGKILL)
        turn_until(supervisor, lambda: pid_of(child) not in (None, first) and kit.hearts.age_s("api") is not None)
        assert "api ended (signal SIGKILL)" in kit.said[0]
        assert "api.log" in kit.said[0]
    finally:
        supervisor.stop(["api"])


def test_a_child_whose_heart_stops_is_killed_and_starts_again(kit: Kit) -> None:
    supervisor = kit.supervisor(kit.spec("worker"))
    supervisor.start()
    try:
        child = supervisor.children["worker"]
        turn_until(supervisor, lambda: kit.hearts.age_s("worker") is not None)
        first = pid_of(child)
        (kit.home / "worker.hang").touch()
        turn_until(supervisor, lambda: any("worker hangs" in text for text in kit.said))
        (kit.home / "worker.hang").unlink()
        turn_until(supervisor, lambda: pid_of(child) not in (None, first) and kit.hearts.age_s("worker") is not None)
    finally:
        supervisor.stop(["worker"])


def test_a_child_that_ends_again_and_again_is_started_at_growing_distances(kit: Kit) -> None:
    supervisor = kit.supervisor(kit.spec("stream", "raise SystemExit(3)"))
    supervisor.start()
    child = supervisor.children["stream"]
    try:
        turn_until(supervisor, lambda: child.restarts >= 3)
    finally:
        supervisor.stop([])
    waits = [float(text.split("again in ")[1].split(" s")[0]) for text in kit.said]
    assert waits[:3] == [0.2, 0.4, 0.8]
    assert "exit code 3" in kit.said[0]


def test_children_are_stopped_one_after_the_other_in_the_given_order(kit: Kit) -> None:
    names = ["session", "api", "worker"]
    supervisor = kit.supervisor(*(kit.spec(name) for name in names))
    supervisor.start()
    turn_until(supervisor, lambda: all(kit.hearts.age_s(name) is not None for name in names))
    supervisor.stop(["api", "worker", "session"])
    assert (kit.home / "stopped").read_text().split() == ["api", "worker", "session"]
    assert kit.said == []


def test_a_child_that_does_not_stop_is_killed_after_its_grace(kit: Kit) -> None:
    deaf = LIVING.replace("signal.signal(signal.SIGTERM, stop)", "signal.signal(signal.SIGTERM, signal.SIG_IGN)")
    spec = kit.spec("api", deaf)
    supervisor = kit.supervisor(
        ChildSpec(**{**{f: getattr(spec, f) for f in spec.__struct_fields__}, "stop_grace_s": 0.3})
    )
    supervisor.start()
    turn_until(supervisor, lambda: kit.hearts.age_s("api") is not None)
    supervisor.stop(["api"])
    assert not supervisor.children["api"].is_running
    assert kit.said == ["api did not stop in time: killed"]


def test_a_signal_asks_for_an_ordered_stop(kit: Kit) -> None:
    supervisor = kit.supervisor()
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        supervisor.listen()
        assert not supervisor.is_stopping
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        assert supervisor.is_stopping
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
