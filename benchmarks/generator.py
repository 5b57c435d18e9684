"""A load in, what was answered out: the same generator for the floor and for the system; wrk where it is installed."""

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Protocol

import msgspec

MARK = "@ID@"
"""Where a body gets a number that no other request of the run has."""
LUA = Path(__file__).with_name("post.lua")


class Load(msgspec.Struct, frozen=True):
    """What to send: the same request over `connections` kept open, for `seconds`.

    Every MARK in the body becomes the next number, beginning with `first`.
    """

    url: str
    body: str
    first: int
    connections: int
    seconds: float
    headers: dict[str, str] = {}
    method: str = "POST"


class Answered(msgspec.Struct, frozen=True):
    """What came back. `failed` counts answers other than 2xx and broken connections."""

    requests: int
    failed: int
    seconds: float
    p50_ms: float
    p99_ms: float

    @property
    def rate(self) -> float:
        """Good answers per second."""
        return (self.requests - self.failed) / self.seconds


class Generator(Protocol):
    """Sends loads."""

    name: str

    def send(self, load: Load) -> Answered:
        """Send it and wait until it is over."""


class Wrk:
    """wrk with one thread: its own process, in C."""

    name = "wrk"

    def send(self, load: Load) -> Answered:
        """Send it and wait until it is over."""
        with tempfile.NamedTemporaryFile("w", suffix=".json") as body:
            body.write(load.body)
            body.flush()
            command = self._command(load, Path(body.name))
            done = subprocess.run(command, capture_output=True, text=True, check=True)
        line = next(line for line in done.stdout.splitlines() if line.startswith("RESULT "))
        return msgspec.json.decode(line.removeprefix("RESULT "), type=Answered)

    def _command(self, load: Load, body: Path) -> list[str]:
        headers = [part for name, value in load.headers.items() for part in ("-H", f"{name}: {value}")]
        duration = f"{max(1, round(load.seconds))}s"
        return [
            *("wrk", "-t1", f"-c{load.connections}", f"-d{duration}", "--timeout", "30s", "--latency"),
            *("-s", str(LUA), *headers, load.url, "--", load.method, str(body), MARK, str(load.first)),
        ]


class Bundled:
    """A client in Python in a process of its own; `ceiling` tells what it could send at most."""

    name = "bundled"

    def send(self, load: Load) -> Answered:
        """Send it and wait until it is over."""
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.bundled_client"],
            input=msgspec.json.encode(load),
            capture_output=True,
            check=True,
            cwd=Path(__file__).parent.parent,
        )
        return msgspec.json.decode(done.stdout, type=Answered)


def best_generator(*, bundled: bool = False) -> Generator:
    """wrk, or the bundled client where wrk is missing or `bundled` asks for it."""
    return Wrk() if shutil.which("wrk") and not bundled else Bundled()
