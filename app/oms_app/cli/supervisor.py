"""Keep a set of child processes alive: restart what ends, kill what hangs, and stop all in order when told.

Guarantee: no child outlives the supervisor, however it ends; each child dies with its parent (see `lifeline`).
Start children from the main thread only: the kernel's parent-death signal belongs to the thread that forked.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from oms_app.lifeline import Heartbeats

FIRST_BACKOFF_S = 0.2
LONGEST_BACKOFF_S = 5.0
STEADY_AFTER_S = 30.0
"""A child that lived so long begins again with the first backoff."""
BIRTH_LIMIT_S = 60.0
"""A child that has not beaten once after this time counts as hung."""
LARGEST_LOG_BYTES = 20 * 1024 * 1024
TURN_S = 0.1


class ChildSpec(msgspec.Struct, frozen=True):
    """How to start one child. `stop_grace_s` is how long it may take to end after SIGTERM."""

    name: str
    command: Sequence[str]
    env: Mapping[str, str]
    log: Path
    beats: bool = True
    stop_grace_s: float = 12.0


class Child:
    """One child and its restarts."""

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.backoff_s = FIRST_BACKOFF_S
        self.start_at = 0.0
        self.restarts = 0

    @property
    def is_running(self) -> bool:
        """Whether the process lives."""
        return self.process is not None and self.process.poll() is None

    def start(self) -> None:
        """Start it now, its output appended to its log."""
        _rotate(self.spec.log)
        with self.spec.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - our own command line
                self.spec.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(self.spec.env),
                start_new_session=True,  # Ctrl-C reaches the supervisor only, which stops its children in order
            )
        self.started_at = time.monotonic()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it lives."""
        if self.is_running and self.process is not None:
            self.process.send_signal(number)


class Supervisor:
    """The children of one home, in the order in which they are started.

    say: tells people what happens. hearts: where the children beat. heartbeat_timeout_s: silence that counts as hung.
    buried: called with the name and process id of a child that has ended, before it is started again.
    """

    def __init__(
        self,
        specs: Sequence[ChildSpec],
        *,
        hearts: Heartbeats,
        heartbeat_timeout_s: float,
        say: Callable[[str], None],
        buried: Callable[[str, int], None] = lambda name, pid: None,
    ) -> None:
        self.children = {spec.name: Child(spec) for spec in specs}
        self._hearts = hearts
        self._heartbeat_timeout_s = heartbeat_timeout_s
        self._say = say
        self._buried = buried
        self._signals = 0

    @property
    def is_stopping(self) -> bool:
        """Whether SIGINT or SIGTERM came."""
        return self._signals > 0

    def listen(self) -> None:
        """From now on SIGINT and SIGTERM ask for an ordered stop, the second one for an immediate one."""
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    def start(self) -> None:
        """Start every child."""
        for child in self.children.values():
            self._start(child)

    def turn(self) -> None:
        """One look at every child: start again what ended, kill what hangs; takes about `TURN_S`."""
        now = time.monotonic()
        for child in self.children.values():
            if child.process is None:
                if now >= child.start_at:
                    self._start(child)
            elif (code := child.process.poll()) is not None:
                self._ended(child, child.process.pid, code, now)
            elif self._is_hung(child, now):
                self._say(f"{child.spec.name} hangs: killed, it starts again; see {child.spec.log}")
                child.signal(signal.SIGKILL)
        time.sleep(TURN_S)

    def stop(self, order: Sequence[str]) -> None:
        """Stop the children one after the other in this order; a second signal kills the rest at once."""
        for name in order:
            child = self.children.get(name)
            if child is not None and child.is_running:
                child.signal(signal.SIGTERM)
                self._await_end(child)
        for child in self.children.values():
            child.signal(signal.SIGKILL)
            if child.process is not None:
                child.process.wait()

    def _start(self, child: Child) -> None:
        if child.spec.beats:
            self._hearts.clear(child.spec.name)
        child.start()

    def _ended(self, child: Child, pid: int, code: int, now: float) -> None:
        if now - child.started_at > STEADY_AFTER_S:
            child.backoff_s = FIRST_BACKOFF_S
        child.process = None
        child.start_at = now + child.backoff_s
        how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        self._say(f"{child.spec.name} ended ({how}); it starts again in {child.backoff_s:.1f} s; see {child.spec.log}")
        self._buried(child.spec.name, pid)
        child.backoff_s = min(child.backoff_s * 2, LONGEST_BACKOFF_S)
        child.restarts += 1

    def _is_hung(self, child: Child, now: float) -> bool:
        if not child.spec.beats:
            return False
        age_s = self._hearts.age_s(child.spec.name)
        if age_s is None:
            return now - child.started_at > BIRTH_LIMIT_S
        return age_s > self._heartbeat_timeout_s

    def _await_end(self, child: Child) -> None:
        deadline = time.monotonic() + child.spec.stop_grace_s
        while child.is_running:
            if self._signals > 1 or time.monotonic() > deadline:
                self._say(f"{child.spec.name} did not stop in time: killed")
                child.signal(signal.SIGKILL)
                return
            time.sleep(0.02)

    def _on_signal(self, number: int, frame: object) -> None:
        self._signals += 1


def child_environment(env: Mapping[str, str], settings: Mapping[str, str]) -> dict[str, str]:
    """The environment of a child: the supervisor's, with the settings that it decided."""
    return {**env, **settings, "PYTHONUNBUFFERED": "1"}


def remove_stale_endpoint(path: Path) -> None:
    """Forget where a child of an earlier life listened."""
    path.unlink(missing_ok=True)


def _rotate(log: Path) -> None:
    if log.exists() and log.stat().st_size > LARGEST_LOG_BYTES:
        os.replace(log, log.with_suffix(".log.1"))
