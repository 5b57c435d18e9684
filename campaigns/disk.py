"""A home whose disk can be full: on a small tmpfs of its own where one may mount, else by a limit on file sizes."""

import os
import resource
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path

SIZE = "96m"
_BLOCK = b"\0" * 65536


class Way(StrEnum):
    """How the disk becomes full."""

    TMPFS = "tmpfs"
    FILE_LIMIT = "file_limit"


class Disk:
    """The disk under a home. processes: leaders of the process groups that write there."""

    def __init__(self, home: Path, way: Way) -> None:
        self.way = way
        self._home = home
        self._filler = home / "filler"

    def fill(self, leaders: Iterable[int]) -> None:
        """From now on nothing more fits."""
        if self.way is Way.TMPFS:
            with self._filler.open("wb", buffering=0) as file:
                try:
                    while True:
                        file.write(_BLOCK)
                except OSError:
                    return
        for pid in _members(leaders):
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY))

    def free(self, leaders: Iterable[int]) -> None:
        """There is room again."""
        self._filler.unlink(missing_ok=True)
        if self.way is Way.FILE_LIMIT:
            for pid in _members(leaders):
                resource.prlimit(pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@contextmanager
def small_disk(home: Path) -> Iterator[Disk]:
    """A disk for an empty home; unmounted at the end."""
    home.mkdir(mode=0o700, parents=True)
    mounted = _run("mount", "-t", "tmpfs", "-o", f"size={SIZE},mode=700", "oms-campaign", str(home))
    try:
        yield Disk(home, Way.TMPFS if mounted else Way.FILE_LIMIT)
    finally:
        if mounted:
            _run("umount", "-l", str(home))


def _run(*command: str) -> bool:
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        return False


def _members(leaders: Iterable[int]) -> list[int]:
    """The processes of these groups."""
    wanted = set(leaders)
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) in wanted:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found
