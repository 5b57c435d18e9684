"""Virtual time: nothing waits. Inside `virtual` every clock of the process tells it, and sleeping moves it on.

`wall` may be set forward or back, as a time server does; `monotonic` only grows.
"""

import os
import random
import secrets
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Any

BEGINNING = datetime(2026, 3, 2, 12, tzinfo=UTC)


class VirtualClock:
    """Seconds since the beginning, and the wall clock that people and databases read."""

    def __init__(self) -> None:
        self.monotonic = 0.0
        self.jumped = timedelta(0)

    def wall(self) -> datetime:
        """Now, UTC."""
        return BEGINNING + timedelta(seconds=round(self.monotonic, 6)) + self.jumped

    def advance(self, seconds: float) -> None:
        """Let time pass."""
        self.monotonic += max(0.0, seconds)


@contextmanager
def virtual(clock: VirtualClock, randomness: random.Random) -> Iterator[None]:
    """Let every clock and every source of randomness of this process be the given ones."""

    class VirtualDatetime(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return clock.wall().astimezone(tz)

    def read(*_: Any) -> float:
        return clock.monotonic

    def random_bytes(count: int = 16) -> bytes:
        return randomness.randbytes(count)

    replaced: list[tuple[Any, str, Any]] = [
        (time, "monotonic", read),
        (time, "clock_gettime", read),
        (time, "time", lambda: clock.wall().timestamp()),
        (time, "sleep", clock.advance),
        (secrets, "token_bytes", random_bytes),
        (os, "urandom", random_bytes),
        (uuid, "uuid4", lambda: uuid.UUID(bytes=random_bytes(16), version=4)),
        *((module, "datetime", VirtualDatetime) for module in _that_read_the_clock()),
    ]
    with ExitStack() as stack:
        for holder, name, value in replaced:
            stack.callback(_restore(holder, name))
            setattr(holder, name, value)
        yield


def _restore(holder: Any, name: str) -> Callable[[], None]:
    original = getattr(holder, name)
    return lambda: setattr(holder, name, original)


def _that_read_the_clock() -> list[Any]:
    """The loaded modules of ours that ask `datetime` for the time."""
    ours = ("oms_app.flow", "oms_app.sessions", "oms_app.store.memory", "oms_kernel", "oms_sim_broker")
    found = []
    for name, module in sorted(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if name.startswith(ours) and file and vars(module).get("datetime") is datetime and _asks(file):
            found.append(module)
    return found


def _asks(file: str) -> bool:
    if file not in _ASKS:
        with open(file, encoding="utf-8") as source:
            _ASKS[file] = "datetime.now(" in source.read()
    return _ASKS[file]


_ASKS: dict[str, bool] = {}
