"""Every test of the repository gets its services from `tests.services`."""

import gc
import os
import sys
import threading
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

if sys.dont_write_bytecode:
    # As in the Makefile: workers and the hundreds of processes of a run find what one of them compiled.
    os.environ.setdefault("PYTHONPYCACHEPREFIX", str(Path(__file__).parent / ".cache" / "bytecode"))
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    sys.pycache_prefix, sys.dont_write_bytecode = os.environ["PYTHONPYCACHEPREFIX"], False

pytest_plugins = ["tests.services.plugin"]

# Two busy cores say nothing about an example's speed; under CI hypothesis chooses its own reproducible profile.
settings.register_profile("local", deadline=None)
if not os.environ.get("CI"):
    settings.load_profile("local")

COLLECT_AFTER = 5_000
"""Objects; seven times what Python takes, since tests allocate in bursts."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """--teeth: run the proofs that campaigns catch defects planted into a whole production set, and nothing else."""
    parser.addoption("--teeth", action="store_true", help="run only the campaigns' proofs with planted defects")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Spare the garbage collector what lives to the end: thousands of tests and every module of the system.

    Looking through them again and again took a third of the time of a run.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.set_threshold(COLLECT_AFTER)
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Those proofs take minutes: they are left out unless asked for, and then run alone."""
    wanted = bool(config.getoption("teeth"))
    chosen = [item for item in items if (item.get_closest_marker("teeth") is not None) is wanted]
    left_out = [item for item in items if (item.get_closest_marker("teeth") is not None) is not wanted]
    config.hook.pytest_deselected(items=left_out)
    items[:] = chosen


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Iterator[None]:
    """Run a test marked `untraced` without the tracer of coverage: CPython 3.11 may loop without end where an
    asynchronous exception meets one."""
    if item.get_closest_marker("untraced") is None:
        return (yield)
    tracer, of_threads = sys.gettrace(), threading.gettrace()
    sys.settrace(None)
    threading.settrace(None)  # type: ignore[arg-type]
    try:
        return (yield)
    finally:
        sys.settrace(tracer)
        threading.settrace(of_threads)  # type: ignore[arg-type]
