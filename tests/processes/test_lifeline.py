"""A process dies with its parent, one home has one supervisor, and hearts are seen to stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from oms_app.lifeline import AlreadyRunning, Heartbeats, HomeLock, Pulse
from tests.waiting import until

pytestmark = pytest.mark.integration

GRANDCHILD = """
import os, sys, time
from oms_app.lifeline import die_with_parent
die_with_parent(int(sys.argv[1]))
print(os.getpid(), flush=True)
time.sleep(60)
"""
PARENT = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
time.sleep(60)
"""


def is_alive(pid: int) -> bool:
    """Whether the process runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except OSError:
        return False


def test_a_child_is_killed_with_its_parent_even_by_sigkill() -> None:
    with subprocess.Popen([sys.executable, "-c", PARENT, GRANDCHILD], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        grandchild = int(parent.stdout.readline())
        assert is_alive(grandchild)
        parent.send_signal(signal.SIGKILL)
        until(lambda: not is_alive(grandchild), "the grandchild is dead")


def test_a_child_whose_parent_is_gone_already_ends_at_once() -> None:
    child = subprocess.run([sys.executable, "-c", GRANDCHILD, "1"], capture_output=True, text=True, check=False)
    assert child.returncode == -signal.SIGKILL
    assert child.stdout == ""


def test_a_second_supervisor_is_refused_and_told_who_holds_the_home(tmp_path: Path) -> None:
    with HomeLock(tmp_path):
        with pytest.raises(AlreadyRunning, match=f"process id {os.getpid()}"), HomeLock(tmp_path):
            pass
    with HomeLock(tmp_path):
        pass


def test_the_lock_of_a_killed_supervisor_is_free(tmp_path: Path) -> None:
    script = "import sys,time,pathlib\nfrom oms_app.lifeline import HomeLock\n"
    script += "with HomeLock(pathlib.Path(sys.argv[1])):\n print('held', flush=True); time.sleep(60)"
    with subprocess.Popen([sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(AlreadyRunning), HomeLock(tmp_path):
            pass
        holder.kill()
        holder.wait()
    with HomeLock(tmp_path):
        pass


def test_a_heartbeat_ages_until_the_next_beat_and_is_unknown_before_the_first(tmp_path: Path) -> None:
    hearts = Heartbeats(tmp_path / "hearts")
    pulse = Pulse("api", tmp_path / "hearts")
    assert hearts.age_s("api") is None
    pulse.beat()
    first = hearts.age_s("api")
    assert first is not None and 0 <= first < 1
    until(lambda: (hearts.age_s("api") or 0) > first + 0.02, "the heart ages")
    assert hearts.age_s("worker") is None
    hearts.clear("api")
    assert hearts.age_s("api") is None
    Pulse("session", None).beat()
    assert hearts.age_s("session") is None
    hearts.close()
