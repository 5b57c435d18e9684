"""A hang ends inside its call or with the process, and never strikes beside it."""

import ctypes
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms_kernel.domain.decision import Gate, Outcome, Verdict, passed
from oms_kernel.guard import Guard, GuardedRule, RuleHung
from oms_kernel.terms import Terms
from oms_kernel.watchdog import PluginHung, Watchdog, plugins_in_report, read_hang_report

pytestmark = [
    pytest.mark.untraced,
    # A strike may land in a callback of the garbage collector that hypothesis has set; Python tells of it and goes on.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog()
    watchdog.start()
    yield watchdog
    watchdog.stop()


@pytest.fixture
def hasty() -> Iterator[Watchdog]:
    watchdog = Watchdog(limit_s=0.001)
    watchdog.start()
    switching = sys.getswitchinterval()
    sys.setswitchinterval(0.00005)
    yield watchdog
    sys.setswitchinterval(switching)
    watchdog.stop()


class Does:
    """A rule that does something first."""

    def __init__(self, deed: Any) -> None:
        self.deed = deed

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        self.deed()
        return passed("does")

    def initial_state(self) -> int:
        return 0

    def fold(self, state: int, event: Any) -> tuple[int, tuple[Any, ...]]:
        self.deed()
        return state + 1, ()


def guarded(deed: Any, watchdog: Watchdog) -> GuardedRule:
    return GuardedRule("k", "acme", "does", Gate.RISK, Terms(), Does(deed), Guard("acme", watchdog))


def spin() -> None:
    while True:
        pass


def spin_and_hide_it() -> None:
    try:
        spin()
    except BaseException:
        return


def spin_and_rename_it() -> None:
    try:
        spin()
    except BaseException as hidden:
        raise ValueError("something else") from hidden


@pytest.mark.parametrize("deed", [spin, spin_and_hide_it, spin_and_rename_it], ids=lambda deed: deed.__name__)
def test_a_busy_loop_ends_soon_as_rule_hung(watchdog: Watchdog, deed: Any) -> None:
    rule = guarded(deed, watchdog)
    started = time.perf_counter()
    with pytest.raises(RuleHung) as caught:
        rule.assess(None, None, None)  # type: ignore[arg-type]
    assert time.perf_counter() - started < 10
    assert (caught.value.plugin, caught.value.rule) == ("acme", "does")
    assert caught.value.elapsed_s >= 0.25
    assert rule.guard.errors == 1


def test_a_busy_fold_ends_too(watchdog: Watchdog) -> None:
    with pytest.raises(RuleHung):
        guarded(spin, watchdog).fold(0, None)  # type: ignore[arg-type]


def test_a_quick_call_after_a_hang_is_let_through(watchdog: Watchdog) -> None:
    with pytest.raises(RuleHung):
        guarded(spin, watchdog).assess(None, None, None)  # type: ignore[arg-type]
    quick = guarded(lambda: None, watchdog)
    for _ in range(1000):
        assert quick.assess(None, None, None).outcome is Outcome.PASS  # type: ignore[arg-type]


def test_a_hang_in_another_thread_is_ended_there(watchdog: Watchdog) -> None:
    outcome: list[object] = []

    def judge() -> None:
        try:
            outcome.append(guarded(spin, watchdog).assess(None, None, None))  # type: ignore[arg-type]
        except RuleHung as hung:
            outcome.append(hung)

    thread = threading.Thread(target=judge)
    thread.start()
    quick = guarded(lambda: None, watchdog)
    while thread.is_alive():
        assert quick.assess(None, None, None).outcome is Outcome.PASS  # type: ignore[arg-type]
    thread.join(5)
    assert isinstance(outcome[0], RuleHung)


def test_a_process_that_stood_still_is_not_the_plugins_fault() -> None:
    """SIGSTOP in the middle of a call, as a paused machine would do."""
    script = """
import os, signal, time
from oms_kernel.domain.decision import Gate, passed
from oms_kernel.guard import Guard, GuardedRule
from oms_kernel.terms import Terms
from oms_kernel.watchdog import Watchdog

class Rule:
    def assess(self, intent, view, state):
        print("inside", flush=True)
        until = time.process_time() + 0.01
        while time.process_time() < until:
            pass
        return passed("r")

watchdog = Watchdog()
watchdog.start()
verdict = GuardedRule("k", "p", "r", Gate.RISK, Terms(), Rule(), Guard("p", watchdog)).assess(None, None, None)
print(verdict.outcome.value, flush=True)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.6)
        process.send_signal(signal.SIGCONT)
        assert process.stdout.readline() == "PASS\n"


def test_an_unstarted_watchdog_strikes_nobody() -> None:
    slow = guarded(lambda: time.sleep(0.3), Watchdog())
    assert slow.assess(None, None, None).outcome is Outcome.PASS  # type: ignore[arg-type]


def test_ctrl_c_inside_a_rule_goes_through_and_leaves_nothing_behind(watchdog: Watchdog) -> None:
    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(interrupt, watchdog).assess(None, None, None)  # type: ignore[arg-type]
    assert watchdog.local.slot.started is None


def test_calls_about_as_long_as_the_limit_are_struck_inside_or_not_at_all(hasty: Watchdog) -> None:
    """The race: each call ends about when the watchdog strikes; the strike may never land outside the guard."""
    calls = {"passed": 0, "hung": 0}
    escaped: list[BaseException] = []

    def judge(seed: int) -> None:
        try:
            for number in range(600):
                length = 0.0008 + (number * 7 + seed) % 10 * 0.00007

                def wait(length: float = length) -> None:
                    until = time.perf_counter() + length
                    while time.perf_counter() < until:
                        pass

                try:
                    guarded(wait, hasty).assess(None, None, None)  # type: ignore[arg-type]
                    calls["passed"] += 1
                except RuleHung:
                    calls["hung"] += 1
                for _ in range(50):  # bytecode in which a late strike would land
                    pass
        except BaseException as error:
            escaped.append(error)

    threads = [threading.Thread(target=judge, args=(seed,)) for seed in range(3)]
    for thread in threads:
        thread.start()
    judge(9)
    for thread in threads:
        thread.join(60)
    assert escaped == []
    assert calls["hung"] > 20, "the race was not raced"
    assert calls["passed"] > 20, "the race was not raced"


def test_a_strike_that_lands_outside_would_be_seen_by_the_race_test() -> None:
    """The checker is checked: without taking back, the same kind of strike does escape."""
    target = threading.get_ident()

    def strike() -> None:
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(target), ctypes.py_object(PluginHung))

    thread = threading.Thread(target=strike)
    with pytest.raises(PluginHung):
        thread.start()
        thread.join()
        for _ in range(1_000_000):
            pass


HANGING = """
import sys, threading, time
from pathlib import Path
from oms_kernel.domain.decision import Gate, passed
from oms_kernel.guard import Guard, GuardedRule
from oms_kernel.terms import Terms
from oms_kernel.watchdog import Watchdog

class Rule:
    def __init__(self, deed):
        self.deed = deed
    def assess(self, intent, view, state):
        self.deed()
        return passed("r")

watchdog = Watchdog(report_path=Path(sys.argv[1]), fatal_s=float(sys.argv[2]))
watchdog.start()

def rule(plugin, deed):
    return GuardedRule("k", plugin, "r", Gate.RISK, Terms(), Rule(deed), Guard(plugin, watchdog))

{body}
"""


def run_hanging(tmp_path: Path, body: str, fatal_s: float = 5) -> tuple[int, float, Path]:
    report = tmp_path / "hang.txt"
    script = tmp_path / "hanging.py"
    script.write_text(HANGING.replace("{body}", textwrap.dedent(body)))
    started = time.perf_counter()
    command = [sys.executable, str(script), str(report), str(fatal_s)]
    ended = subprocess.run(command, timeout=30, check=False)
    return ended.returncode, time.perf_counter() - started, report


def test_a_sleep_in_c_ends_the_process_and_the_next_start_reads_whose_it_was(tmp_path: Path) -> None:
    returncode, seconds, report = run_hanging(
        tmp_path,
        """
        def busy():
            while True:
                rule("innocent", lambda: None).assess(None, None, None)
                time.sleep(0.001)
        threading.Thread(target=busy, daemon=True).start()
        time.sleep(1.5)
        rule("sleepy", lambda: time.sleep(30)).assess(None, None, None)
        """,
    )
    assert returncode == 1
    assert 4 < seconds < 12
    assert read_hang_report(report) == "sleepy"


def test_c_code_that_keeps_the_interpreter_to_itself_ends_the_process_too(tmp_path: Path) -> None:
    returncode, seconds, report = run_hanging(
        tmp_path,
        """
        import ctypes
        rule("greedy", lambda: ctypes.PyDLL(None).sleep(30)).assess(None, None, None)
        """,
        fatal_s=1.5,
    )
    assert returncode == 1
    assert 1 < seconds < 8
    assert plugins_in_report(report) == ("greedy",)


def test_a_process_that_ends_by_itself_leaves_no_name(tmp_path: Path) -> None:
    returncode, _, report = run_hanging(tmp_path, "rule('fine', lambda: None).assess(None, None, None)")
    assert returncode == 0
    assert read_hang_report(report) is None


def test_a_hang_that_was_ended_in_time_leaves_no_name(tmp_path: Path) -> None:
    returncode, _, report = run_hanging(
        tmp_path,
        """
        from oms_kernel.guard import RuleHung
        def spin():
            while True: pass
        try:
            rule("spinner", spin).assess(None, None, None)
        except RuleHung:
            pass
        time.sleep(1.5)
        """,
    )
    assert returncode == 0
    assert read_hang_report(report) is None


def test_an_absent_report_names_nobody(tmp_path: Path) -> None:
    assert read_hang_report(tmp_path / "none.txt") is None
