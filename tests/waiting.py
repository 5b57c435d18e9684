"""A condition in, its first true value out: tests poll with a deadline, and never sleep and hope."""

import time
from collections.abc import Callable
from typing import Any

PAUSE_S = 0.02


def until(condition: Callable[[], Any], what: str, timeout_s: float = 30.0) -> Any:
    """The condition's first true value. Fails, saying what was waited for, after the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"not within {timeout_s:g} s: {what}"
        time.sleep(PAUSE_S)
