"""A run writes to memory where there is enough, leaves nothing there when it passed, and goes where people say."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tests.services import scratch
from tests.services.scratch import Scratch

ROOT = Path(__file__).parents[2]
TELLS = "def test_tells(tmp_path): print('WROTE', tmp_path); assert {good}\n"


def run(folder: Path, *, good: bool, **environment: str) -> Path:
    """Where a run of one test wrote. environment: TMPDIR is taken from the run unless it is given."""
    (folder / "test_inner.py").write_text(TELLS.format(good=good))
    inherited = {key: value for key, value in os.environ.items() if not key.startswith(("PYTEST_", "COV"))}
    inherited.pop("TMPDIR", None)
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-p", "tests.services.plugin", "-c", os.devnull, "-s"),
            *("--rootdir", str(folder), "-p", "no:cacheprovider", str(folder)),
        ],
        env={**inherited, "PYTHONPATH": str(ROOT), **environment},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == (0 if good else 1), done.stdout + done.stderr
    return Path(done.stdout.partition("WROTE ")[2].partition("\n")[0])


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that stands for the one in memory, and no wish of anybody's where to write."""
    monkeypatch.delenv("TMPDIR", raising=False)
    monkeypatch.setattr(scratch, "MEMORY", tmp_path)
    monkeypatch.setattr(scratch, "ENOUGH", 1)
    monkeypatch.setattr(tempfile, "tempdir", None)
    return tmp_path


@pytest.mark.skipif(not scratch.suits(scratch.MEMORY), reason="this machine has no folder in memory for a run")
def test_a_run_writes_to_memory_and_leaves_nothing_there_unless_a_test_failed(tmp_path: Path) -> None:
    wrote = run(tmp_path, good=True)
    assert wrote.is_relative_to(scratch.MEMORY)
    assert not wrote.parent.exists()
    failed = run(tmp_path, good=False)
    assert failed.is_dir()
    assert run(tmp_path, good=True) != failed
    assert not failed.exists()


def test_a_run_writes_where_people_say(tmp_path: Path) -> None:
    (tmp_path / "own").mkdir()
    wrote = run(tmp_path, good=True, TMPDIR=str(tmp_path / "own"))
    assert wrote.is_relative_to(tmp_path / "own")


def test_temporary_files_lie_in_the_folder_until_it_is_left(memory: Path) -> None:
    made = Scratch()
    assert made.folder is not None
    assert Path(tempfile.gettempdir()) == made.folder
    assert os.environ["TMPDIR"] == str(made.folder)
    folder = made.folder
    made.leave(keep=False)
    made.leave(keep=False)
    assert "TMPDIR" not in os.environ
    assert not folder.exists()


def test_a_machine_with_little_memory_writes_to_its_disk(memory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scratch, "ENOUGH", 1 << 60)
    assert Scratch().folder is None
    assert "TMPDIR" not in os.environ
