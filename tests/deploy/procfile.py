"""A Procfile in, its processes running out: what honcho or foreman does, for tests."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from oms_app.lifeline import die_with_parent

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent
STOP_S = 30.0


def read(path: Path) -> dict[str, list[str]]:
    """The words of each process's command line, by the process's name."""
    lines = (line.partition(":") for line in path.read_text().splitlines() if line.strip())
    return {name.strip(): shlex.split(command) for name, _colon, command in lines}


class Processes:
    """Running processes of a Procfile, each with an output file of its own."""

    def __init__(self, env: Mapping[str, str], folder: Path) -> None:
        self._env = {**env, "PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}"}
        self._folder = folder
        self._running: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *words: str) -> str:
        """What a command that ends printed. Raises CalledProcessError."""
        done = subprocess.run(words, env=self._env, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def start(self, name: str, words: list[str], **variables: str) -> None:
        """Start one process."""
        with (self._folder / f"{name}.out").open("wb") as output:
            self._running[name] = subprocess.Popen(
                words,
                env={**self._env, **variables},
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )

    def kill(self, name: str) -> None:
        """kill -9 of one process and what it started."""
        process = self._running.pop(name)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    def stop(self) -> dict[str, int]:
        """The exit codes after SIGTERM to all; who does not end in time is killed and has a negative one."""
        for process in self._running.values():
            process.send_signal(signal.SIGTERM)
        codes = {}
        for name, process in self._running.items():
            try:
                codes[name] = process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                codes[name] = process.wait()
        self._running.clear()
        return codes

    def output(self) -> str:
        """The ends of all outputs."""
        return "\n".join(f"== {path.name}\n{path.read_text()[-2000:]}" for path in sorted(self._folder.glob("*.out")))
