"""The stores campaign deals every kind of fault; a full disk refuses writes and takes them again once there is room."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from campaigns import stores
from campaigns.disk import Disk, Way, small_disk
from campaigns.stores import Fault


@pytest.mark.parametrize("n", [stores.SHORT, stores.LONG])
def test_every_kind_of_fault_is_dealt(n: int) -> None:
    dealt = stores.deal(n, 7)
    assert len(dealt) == n
    assert set(dealt) == set(Fault)


def test_the_long_form_deals_by_weight() -> None:
    assert Counter(stores.deal(stores.LONG, 7)) == stores.WEIGHTS


def test_fewer_faults_than_kinds_are_refused() -> None:
    with pytest.raises(ValueError, match="kinds"):
        stores.deal(len(Fault) - 1, 7)


def test_a_full_disk_takes_nothing_until_it_is_freed(tmp_path: Path) -> None:
    with small_disk(tmp_path / "home") as disk:
        if disk.way is not Way.TMPFS:
            pytest.skip("mounting is not allowed here")
        disk.fill([])
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "home" / "more").write_bytes(b"\0" * 1_000_000)
        disk.free([])
        (tmp_path / "home" / "more").write_bytes(b"\0" * 1_000_000)


def test_without_mounts_the_writers_files_may_not_grow(tmp_path: Path) -> None:
    writer = (
        "import sys\n"
        "for line in sys.stdin:\n"
        "    try:\n"
        "        open(sys.argv[1], 'wb').write(b'x' * 100_000)\n"
        "        print('written', flush=True)\n"
        "    except OSError:\n"
        "        print('refused', flush=True)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", writer, str(tmp_path / "file")],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1, start_new_session=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    disk = Disk(tmp_path, Way.FILE_LIMIT)
    try:
        said = []
        for change in (None, disk.fill, disk.free):
            if change is not None:
                change([process.pid])
            process.stdin.write("go\n")
            said.append(process.stdout.readline().strip())
        assert said == ["written", "refused", "written"]
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        process.stdin.close()
        process.stdout.close()


@pytest.mark.teeth
@pytest.mark.integration
def test_a_store_that_answers_a_commit_too_early_is_caught() -> None:
    result = stores.run(stores.SHORT, 7, "lazy_commit")
    assert result.exit_code == 1
    assert result.lost > 0 or any("served" in text for text in result.texts), result.texts
