"""A test run leaves nothing behind however it ends, and hides nothing that it could not test."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.services.server_process import RUN_PREFIX, free_port

ROOT = Path(__file__).parents[2]
NEEDS_REDIS = "def test_needs_redis(redis_url): assert redis_url\n"
# Writes the process ids of both servers and waits to be interrupted.
WAITS = """
import pathlib, time, psycopg, redis

def test_waits(postgres_url, redis_url):
    with psycopg.connect(postgres_url) as connection:
        postmaster = connection.execute("SELECT pg_read_file('postmaster.pid')").fetchone()[0].split()[0]
    client = redis.Redis.from_url(redis_url)
    server = client.info("server")["process_id"]
    client.close()
    partial = pathlib.Path(__file__).with_name("partial")
    partial.write_text(f"{postmaster} {server}")
    partial.rename(partial.with_name("pids"))
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        time.sleep(0.05)
"""


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.Popen[str]]:
    """Starts pytest on a source text in a folder of its own, with more environment variables."""

    def start(source: str, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        (tmp_path / "test_inner.py").write_text(source)
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("OMS_TEST_", "PYTEST_", "COV_", "COVERAGE_")) and key != "CI"
        }
        return subprocess.Popen(
            [
                *(sys.executable, "-m", "pytest", "-p", "tests.services.plugin", "-c", os.devnull),
                *("--rootdir", str(tmp_path), "-p", "no:cacheprovider", *arguments, str(tmp_path)),
            ],
            env={**inherited, "PYTHONPATH": str(ROOT), **environment},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    return start


@pytest.mark.integration
def test_a_missing_service_is_skipped_and_named_loudly(run, tmp_path: Path) -> None:
    process = run(NEEDS_REDIS, PATH=str(tmp_path), OMS_TEST_INSTALL="0")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 0, output
    assert "NOT EVERYTHING WAS TESTED" in output
    assert "Redis: not installed" in output
    assert "1 tests that need it were skipped" in output


@pytest.mark.integration
def test_a_missing_service_fails_on_the_build_server(run, tmp_path: Path) -> None:
    process = run(NEEDS_REDIS, PATH=str(tmp_path), OMS_TEST_INSTALL="0", CI="true")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert "Redis could not be had: not installed" in output


@pytest.mark.integration
def test_a_named_server_that_does_not_answer_fails(run) -> None:
    process = run(NEEDS_REDIS, OMS_TEST_REDIS_URL=f"redis://127.0.0.1:{free_port()}/0")
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 1, output
    assert "Redis could not be had: Redis does not answer" in output


@pytest.mark.integration
def test_markers_follow_from_the_fixtures(run) -> None:
    process = run(NEEDS_REDIS + "def test_needs_nothing(): assert True\n", "-m", "unit", "--collect-only", "-q")
    output, _ = process.communicate(timeout=60)
    assert "test_needs_nothing" in output
    assert "test_needs_redis" not in output


@pytest.mark.parametrize(
    "end",
    [
        signal.SIGINT,
        pytest.param(
            signal.SIGKILL, marks=pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG")
        ),
    ],
)
@pytest.mark.parametrize("workers", ["0", "1"])
def test_no_server_outlives_the_run(
    run, tmp_path: Path, redis_url: str, postgres_server_url: str, end: signal.Signals, workers: str
) -> None:
    process = run(WAITS, "-n", workers)
    try:
        pids_file = tmp_path / "pids"
        wait_for(lambda: pids_file.exists() or process.poll() is not None, lambda: "it never began")
        assert process.poll() is None, process.communicate()[0]
        pids = [int(pid) for pid in pids_file.read_text().split()]
        assert all(map(alive, pids))
        process.send_signal(end)
        process.communicate(timeout=30)
        wait_for(lambda: not any(map(alive, pids)), lambda: f"still there: {[p for p in pids if alive(p)]}")
        if end == signal.SIGINT:
            assert not list(Path(tempfile.gettempdir()).glob(f"{RUN_PREFIX}{process.pid}-*"))
    finally:
        process.kill()
        process.communicate()


def wait_for(condition: Callable[[], bool], complaint: Callable[[], str]) -> None:
    """Return as soon as `condition` holds; fail with the complaint after 30 s."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.05)


def alive(pid: int) -> bool:
    """Whether a process runs under this id; a zombie does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")
