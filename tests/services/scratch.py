"""A folder in memory for everything that a run writes: every commit waits for a disk, and a test waits for commits.

Guarantee: programs sync as they do in production; only how long the medium takes differs. What dies in a test is a
process and never the machine, so what it proves is the same.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from pathlib import Path

from tests.services.server_process import new_run_folder, remove_folder

MEMORY = Path("/dev/shm")
ENOUGH = 4 * 1024**3
"""Bytes; a whole run writes less than one gigabyte."""


class Scratch:
    """The folder that TMPDIR names for this process and its children; nothing where memory is short or TMPDIR given."""

    def __init__(self) -> None:
        self.folder: Path | None = None
        if os.environ.get("TMPDIR") or not suits(MEMORY):
            return
        self.folder = new_run_folder(MEMORY)
        self.folder.chmod(0o755)  # PostgreSQL's user must reach its own folder below
        self._point_to(str(self.folder))

    def leave(self, *, keep: bool) -> None:
        """Write elsewhere from now on. keep: for people to look into; the next run removes it. Safe to repeat."""
        if self.folder is None:
            return
        self._point_to(None)
        if not keep:
            remove_folder(self.folder)
        if sys.pycache_prefix is not None:  # of modules that tests wrote
            remove_folder(Path(sys.pycache_prefix) / self.folder.relative_to("/"))
        self.folder = None

    def _point_to(self, folder: str | None) -> None:
        if folder is None:
            os.environ.pop("TMPDIR", None)
        else:
            os.environ["TMPDIR"] = folder
        tempfile.tempdir = None  # asks the environment anew


def suits(folder: Path) -> bool:
    """Whether one may write there, run programs from there, and has enough of it: containers have 64 megabytes."""
    try:
        of_folder = os.statvfs(folder)
        memory = re.search(r"^MemAvailable:\s+(\d+) kB$", Path("/proc/meminfo").read_text(), re.MULTILINE)
    except OSError:
        return False
    if memory is None or of_folder.f_flag & os.ST_NOEXEC or not os.access(folder, os.W_OK | os.X_OK):
        return False
    return min(of_folder.f_bavail * of_folder.f_frsize, int(memory[1]) * 1024) >= ENOUGH
