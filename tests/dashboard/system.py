"""The whole system as a person starts it: `oms run` on a home and free ports of its own, stopped as with Ctrl-C."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from oms_app import lifeline
from oms_app.cli.demo import DemoFacts, read_demo_file

READY_S = 90.0
STOP_S = 30.0
READY_WORD = "Place an order"


@contextmanager
def running_system(home: Path, *arguments: str) -> Iterator[DemoFacts]:
    """The facts of a demo that is ready and has quotes. Raises AssertionError with its output when it is not."""
    output = home / "output.txt"
    environment = {name: value for name, value in os.environ.items() if not name.startswith("OMS_")}
    # Cheap passwords, because the tests sign in often.
    environment |= {"OMS_HOME": str(home), "OMS_ARGON2_MEMORY_KIB": "1024", "OMS_ARGON2_TIME_COST": "1"}
    command = [sys.executable, "-m", "oms_app.cli.main", "run", "--port", "0", *arguments]
    with output.open("wb") as file:
        process = subprocess.Popen(command, env=environment, stdout=file, stderr=subprocess.STDOUT)
    try:
        deadline = time.monotonic() + READY_S
        while READY_WORD not in output.read_text():
            assert process.poll() is None, output.read_text()
            assert time.monotonic() < deadline, output.read_text()
            time.sleep(0.05)
        facts = read_demo_file(home / "demo.json")
        assert facts is not None
        yield facts
    finally:
        process.send_signal(signal.SIGINT)
        try:
            process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def process_id(home: Path, name: str) -> int:
    """The process id of one process of a running system, from its last heartbeat."""
    slot = lifeline._SLOT
    beats = (home / "heartbeats").read_bytes()
    return int(slot.unpack_from(beats, lifeline.PROCESSES.index(name) * slot.size)[1])
