"""The whole system as a newcomer runs it: `oms run` in a process of its own, its printed lines, and its processes."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2

from oms_app.cli.demo import DemoFacts, read_demo_file
from tests.waiting import until

READY_S = 90.0
STOP_S = 40.0
OMS = str(Path(sys.executable).parent / "oms")
CHEAP = {"OMS_ARGON2_MEMORY_KIB": "1024", "OMS_ARGON2_TIME_COST": "1"}
FINAL = {"FILLED", "CANCELED", "REJECTED", "EXPIRED", "DENIED"}


@contextmanager
def running(home: Path, *arguments: str, **variables: str) -> Iterator[System]:
    """A system on this home that is ready and has quotes; nothing of it is left behind."""
    system = System(home, **variables)
    try:
        system.start(*arguments)
        yield system
    finally:
        system.close()


class System:
    """One home and the `oms run` that serves it."""

    def __init__(self, home: Path, **variables: str) -> None:
        self.home = home
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMS_")}
        self.env = {**inherited, **CHEAP, "OMS_HOME": str(home), **variables}
        self.process: subprocess.Popen[bytes] | None = None
        self._starts = 0

    @property
    def _printed(self) -> Path:
        return self.home.with_name(f"{self.home.name}.{self._starts}.out")

    @property
    def output(self) -> str:
        """What this start of `oms run` printed so far."""
        return self._printed.read_text() if self._printed.exists() else ""

    def start(self, *arguments: str) -> None:
        """Start it and wait until it has printed how to use it."""
        self._starts += 1
        with self._printed.open("wb") as output:
            self.process = subprocess.Popen(
                [OMS, "run", "--port", "0", *arguments],
                stdout=output,
                stderr=output,
                env=self.env,
                start_new_session=True,
            )
        until(lambda: "Ctrl-C stops" in self.output or self.ended, "it is ready", READY_S)
        assert not self.ended, f"it ended: {self.output}\n{self.logs()}"

    @property
    def ended(self) -> bool:
        return self.process is None or self.process.poll() is not None

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def stop(self) -> int:
        """Ctrl-C; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGINT)
        return self.process.wait(STOP_S)

    def kill_group(self) -> None:
        """kill -9 of the whole group."""
        assert self.process is not None
        os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def close(self) -> None:
        """Leave nothing behind."""
        if not self.ended:
            self.kill_group()
        until(lambda: not self.processes(), "nothing is left behind")

    @property
    def demo(self) -> dict[str, Any]:
        facts: dict[str, Any] = json.loads((self.home / "demo.json").read_text())
        return facts

    @property
    def facts(self) -> DemoFacts:
        """The same as the demo's own words."""
        found = read_demo_file(self.home / "demo.json")
        assert found is not None
        return found

    def api(self) -> httpx2.Client:
        """A client with the demo's key."""
        facts = self.demo
        return httpx2.Client(
            base_url=facts["url"] + "/api/v1",
            headers={"X-API-Key": facts["api_key"]},
            timeout=30,
            trust_env=False,
        )

    def oms(self, *arguments: str, check: bool = True, **variables: str) -> subprocess.CompletedProcess[str]:
        """Run the command line in this home."""
        env = {**self.env, **variables}
        return subprocess.run([OMS, *arguments], env=env, capture_output=True, text=True, check=check)

    def printed(self, beginning: str) -> list[str]:
        """A printed command line as words."""
        found = re.search(rf"^.*{re.escape(beginning)}.*$", self.output, re.MULTILINE)
        assert found is not None, self.output
        return shlex.split(found.group(0))

    def processes(self) -> dict[int, list[str]]:
        """Every living process of this home: by its command line or its environment."""
        found = {}
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit() or int(folder.name) == os.getpid():
                continue
            try:
                state = (folder / "stat").read_text().rsplit(") ", 1)[1][0]
                words = (folder / "cmdline").read_bytes().split(b"\0")
                env = (folder / "environ").read_bytes()
            except OSError:
                continue
            home = os.fsencode(self.home)
            if state != "Z" and b"OMS_HOME=" + home + b"\0" in env:
                found[int(folder.name)] = [os.fsdecode(word) for word in words if word]
        return found

    def pids(self, name: str) -> list[int]:
        """The processes of one child, the parent first."""
        return sorted(pid for pid, words in self.processes().items() if name in words)

    def order(self, order_id: str) -> dict[str, Any]:
        with self.api() as api:
            answer = api.get(f"/orders/{order_id}")
            assert answer.status_code == 200, answer.text
            found: dict[str, Any] = answer.json()
            return found

    def filled(self, order_id: str) -> dict[str, Any]:
        """The order once it is over; it is filled then."""
        order = until(lambda: (one := self.order(order_id))["state"] in FINAL and one, f"{order_id} is over")
        assert order["state"] == "FILLED", order
        found: dict[str, Any] = order
        return found

    def trade(self) -> str:
        """Place one market order over HTTP and wait for its fill; retried while nothing can be stored."""
        body = {"account_id": self.demo["account_id"], "symbol": "SPY", "side": "BUY", "quantity": "1"}

        def place() -> Any:
            try:
                with self.api() as api:
                    answer = api.post("/orders", json={**body, "order_type": "MARKET"})
            except httpx2.HTTPError:
                return None
            assert answer.status_code in {201, 503, 422}, answer.text
            return answer.json() if answer.status_code == 201 else None

        order = until(place, "an order is accepted", 60)
        self.filled(order["order_id"])
        return str(order["order_id"])

    def verify(self) -> None:
        """The log and every row agree."""
        done = self.oms("verify", "--json", check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert json.loads(done.stdout)["is_clean"]

    def broker_orders(self) -> dict[str, Any]:
        """What stands in the simulated broker's own ledger."""
        broker = str(Path(sys.executable).parent / "oms-sim-broker")
        done = subprocess.run(
            [broker, "ledger", "--home", str(self.home), "--json"], capture_output=True, text=True, check=True
        )
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def logs(self) -> str:
        """The ends of all logs."""
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-1500:]}" for path in (self.home / "logs").glob("*.log")
        )
