"""Plugin calls that last too long in, an end to them out: first an exception in the call, then the process's end.

Each thread that calls plugins owns a slot and marks in it when it went inside. After `limit_s` the watchdog raises
PluginHung in that thread, once for each call, and only between the mark's coming and going: the guard takes a strike
that has not landed back before it returns. What a strike cannot stop (a call in C) ends with the process: while a call
is overdue the watchdog no longer re-arms `faulthandler`, which needs no GIL, and after `fatal_s` it writes every
thread's stack into a file and exits. `read_hang_report` finds the plugin's name in that file at the next start.
"""

import ctypes
import faulthandler
import re
import threading
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from types import FunctionType
from typing import Any, TextIO, TypeVar, cast

LIMIT_S = 0.25
FATAL_S = 5.0
HEARTBEAT_S = 1.0

QUIET, AIMING, FIRED = 0, 1, 2

_FRAME = 'File "<oms plugin: {plugin}>"'
_FRAME_LINE = re.compile(r'^  File "<oms plugin: (?P<plugin>[^">]*)>", line \d+ in ', re.MULTILINE)
_OVERDUE = "overdue plugin: "

F = TypeVar("F", bound=Callable[..., Any])


class PluginHung(BaseException):
    """Raised by the watchdog inside a plugin call; the guard absorbs it, it is never seen outside."""


class Slot:
    """Whether one thread is inside a plugin: `started` is the watchdog's clock at entry, None outside.

    The order of reads and writes is the protocol. The watchdog sets `alarm` AIMING before it looks at `started`
    a last time; the thread clears `started` before it looks at `alarm`. So a thread that sees QUIET after it left
    cannot be struck, and one that sees more calls `settle`.
    """

    __slots__ = ("__weakref__", "alarm", "observed_s", "plugin", "seen", "started", "thread_id")

    def __init__(self) -> None:
        self.thread_id = threading.get_ident()
        self.started: float | None = None
        self.alarm = QUIET
        self.plugin = ""
        self.seen: float | None = None
        self.observed_s = 0.0

    def settle(self) -> bool:
        """Whether the call was struck; afterwards no strike is under way. Only for the slot's own thread, outside.

        PluginHung may still land in here; the caller catches it and calls `settle` again.
        """
        while self.alarm == AIMING:
            time.sleep(0)
        struck = self.alarm == FIRED
        if struck:
            _flush(self.thread_id)
            self.alarm = QUIET
        return struck

    def abandon(self) -> None:
        """Leave for good, whatever is under way; at most one strike can land, and it lands in here."""
        self.started = None
        try:
            self.settle()
        except PluginHung:
            self.settle()


class _Slots(threading.local):
    def __init__(self, register: Callable[[Slot], None]) -> None:
        self.slot = Slot()
        register(self.slot)


class Watchdog:
    """Watches the slots of all threads. Nothing is watched before `start`.

    clock: monotonic seconds. report_path: where the stacks go when the process must end; without it, it never must.
    """

    def __init__(
        self,
        *,
        limit_s: float = LIMIT_S,
        fatal_s: float = FATAL_S,
        report_path: Path | None = None,
        clock: Callable[[], float] = time.perf_counter,
    ) -> None:
        self.limit_s = limit_s
        self.interval_s = limit_s / 5
        self.fatal_s = fatal_s
        self.report_path = report_path
        self.clock = clock
        self._slots: weakref.WeakSet[Slot] = weakref.WeakSet()
        self._lock = threading.Lock()
        self.local = _Slots(self._register)
        self._stopped = threading.Event()
        self._thread: threading.Thread | None = None
        self._report: TextIO | None = None
        self._named = ""
        self._looked_at = clock()

    def start(self) -> None:
        """Begin to watch, in one daemon thread. With a report path the fatal timer of this process is ours.

        The report of the last process is overwritten: read it first.
        """
        if self._thread is not None:
            return
        if self.report_path is not None:
            self.report_path.parent.mkdir(parents=True, exist_ok=True)
            self._report = self.report_path.open("w", encoding="utf-8")
            self._arm()
        self._thread = threading.Thread(target=self._watch, name="oms-watchdog", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer, and disarm the fatal timer."""
        self._stopped.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._report is not None:
            faulthandler.cancel_dump_traceback_later()
            self._report.close()
            self._report = None
        self._stopped.clear()

    def _register(self, slot: Slot) -> None:
        with self._lock:
            self._slots.add(slot)

    def _watch(self) -> None:
        heartbeat_at = self.clock()
        while not self._stopped.wait(self.interval_s):
            overdue = self._strike_overdue()
            now = self.clock()
            if self._report is None:
                continue
            if overdue:
                self._name(overdue)
            elif now - heartbeat_at >= min(HEARTBEAT_S, self.fatal_s / 5):
                heartbeat_at = now
                self._arm()

    def _strike_overdue(self) -> str:
        """The plugin of an overdue call, or an empty text."""
        overdue = ""
        now = self.clock()
        # Time in which the whole process stood still is nobody's: a look counts for two intervals at most.
        step, self._looked_at = min(now - self._looked_at, self.interval_s * 2), now
        with self._lock:
            slots = list(self._slots)
        for slot in slots:
            seen = slot.started
            if seen is None:
                continue
            slot.observed_s = slot.observed_s + step if slot.seen == seen else min(now - seen, step)
            slot.seen = seen
            if slot.observed_s < self.limit_s:
                continue
            overdue = slot.plugin
            if slot.alarm == FIRED:
                continue
            slot.alarm = AIMING
            try:
                struck = slot.started == seen and _raise_in(slot.thread_id, PluginHung)
            except BaseException:
                slot.alarm = QUIET
                raise
            slot.alarm = FIRED if struck else QUIET
        return overdue

    def _arm(self) -> None:
        assert self._report is not None
        if self._named:
            self._report.seek(0)
            self._report.truncate()
            self._named = ""
        faulthandler.dump_traceback_later(self.fatal_s, exit=True, file=self._report)

    def _name(self, plugin: str) -> None:
        """Write down who is overdue: with several threads inside plugins their stacks alone would not tell."""
        assert self._report is not None
        if plugin != self._named:
            self._report.write(f"{_OVERDUE}{plugin}\n")
            self._report.flush()
            self._named = plugin


def read_hang_report(path: Path) -> str | None:
    """The plugin that ended the last process, or None when the file is absent or names none."""
    inside = plugins_in_report(path)
    return inside[0] if inside else None


def plugins_in_report(path: Path) -> tuple[str, ...]:
    """Every plugin that a thread was inside of when the process ended: the overdue one first, each once.

    Empty when the process did not end by the fatal timer.
    """
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ()
    framed = _FRAME_LINE.findall(text)
    if not framed:
        return ()
    named = [line.removeprefix(_OVERDUE) for line in text.splitlines() if line.startswith(_OVERDUE)]
    return tuple(dict.fromkeys([*reversed(named), *framed]))


def framed(plugin: str, entry: str) -> Callable[..., Any]:
    """A function `(call, *three arguments)` whose stack frame bears the plugin's name, for `read_hang_report`.

    The name is in the code object, so that it costs nothing when nothing hangs.
    """
    code = _inside.__code__.replace(co_filename=f"<oms plugin: {plugin}>", co_name=entry, co_qualname=entry)
    return cast("Callable[..., Any]", FunctionType(code, {}, entry))


def _inside(call: Callable[..., Any], *arguments: Any) -> Any:  # pragma: no cover - runs under other file names
    return call(*arguments)


def _flush(thread_id: int) -> None:
    """Leave no asynchronous exception pending in the calling thread.

    Taking one back would leave the interpreter's request for attention set for ever: every call is slower from then on,
    and CPython 3.11 loops without end where a tracer runs. A delivered one clears it; so one more is, and ends here.
    """
    try:
        _raise_in(thread_id, PluginHung)
        while True:
            pass
    except PluginHung:
        return


def _raise_in(thread_id: int, exception: type[BaseException]) -> bool:
    """Set the asynchronous exception of a thread; False when the thread is gone."""
    target = ctypes.py_object(exception)
    return bool(ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread_id), target))
