"""An event loop in virtual time, one thread for several processes, of which each can be killed or stopped at any point.

What a killed process still had to do is never done, what a stopped one had to do waits: as with SIGKILL and SIGSTOP.
Calls to an executor are done at once, one after the other for each executor; their result comes after a delay.
"""

import asyncio
import contextvars
import heapq
from asyncio import events
from collections.abc import Callable, Coroutine
from typing import Any

from campaigns.simulated.clock import VirtualClock

PRESENT: contextvars.ContextVar["Process | None"] = contextvars.ContextVar("present_process", default=None)


class Process:
    """A process of the simulation: everything that is started inside it lives and dies with it."""

    def __init__(self, name: str, loop: "VirtualLoop") -> None:
        self.name = name
        self.alive = True
        self.stopped = False
        self.runs = True
        self._loop = loop
        self.parked: list[events.Handle] = []
        """What a stopped process does when it goes on; of a dead one it is kept, so that nothing is cleaned up."""

    def start(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin a task inside it."""
        context = contextvars.copy_context()
        context.run(PRESENT.set, self)
        self._loop.create_task(work(), context=context)

    def kill(self) -> None:
        """End it at once: nothing of it is ever done again."""
        self.alive = self.runs = False

    def stop(self) -> None:
        """Freeze it."""
        self.stopped, self.runs = True, False

    def go_on(self) -> None:
        """Let it run again; it does not know that time has passed."""
        self.stopped, self.runs = False, self.alive
        if self.alive:
            parked, self.parked = self.parked, []
            self._loop.requeue(parked)


class _Handle(events.Handle):
    def _run(self) -> None:
        process = self._context.get(PRESENT)
        if process is None or process.runs:
            super()._run()
        else:
            process.parked.append(self)


class _TimerHandle(events.TimerHandle):
    def _run(self) -> None:
        process = self._context.get(PRESENT)
        if process is None or process.runs:
            super()._run()
        else:
            process.parked.append(self)


class _Task(asyncio.Task):  # type: ignore[type-arg]
    """Sets of tasks are walked in the order in which the tasks began, not by their addresses."""

    def __init__(self, coro: Any, *, loop: "VirtualLoop", **options: Any) -> None:
        self.number = loop.next_number()
        super().__init__(coro, loop=loop, **options)
        self._log_destroy_pending = False  # a killed process leaves its tasks behind

    def __hash__(self) -> int:
        return self.number


class Deadlock(Exception):
    """Nobody has anything to do any more."""


class VirtualLoop(asyncio.BaseEventLoop):
    """delay_s: draws how long the result of a call to an executor takes."""

    def __init__(self, clock: VirtualClock, delay_s: Callable[[], float]) -> None:
        self._numbers = 0
        super().__init__()
        self.clock = clock
        self._delay_s = delay_s
        self._timers: list[tuple[float, int, events.TimerHandle]] = []
        """A heap by time, and by age among those of one time."""
        self.set_task_factory(lambda loop, coro, **options: _Task(coro, loop=self, **options))
        self.set_exception_handler(self._keep_failure)
        self.failures: list[str] = []

    def bury(self) -> None:
        """Forget what is left. Collecting it later runs pieces of dead processes; what they say is to be ignored."""
        self._ready.clear()  # type: ignore[attr-defined]
        self._timers.clear()
        self.close()

    def next_number(self) -> int:
        """Counts what begins."""
        self._numbers += 1
        return self._numbers

    def time(self) -> float:
        """Virtual seconds."""
        return self.clock.monotonic

    def _run_once(self) -> None:
        """Do what is ready; when nothing is, let time pass to the next timer instead of waiting."""
        ready, timers, clock = self._ready, self._timers, self.clock  # type: ignore[attr-defined]
        while timers and timers[0][2]._cancelled:
            heapq.heappop(timers)
        if not ready and not self._stopping:  # type: ignore[attr-defined]
            if not timers:
                raise Deadlock("nothing is left to happen")
            clock.advance(timers[0][0] - clock.monotonic)
        while timers and timers[0][0] <= clock.monotonic:
            ready.append(heapq.heappop(timers)[2])
        for _ in range(len(ready)):
            handle = ready.popleft()
            if not handle._cancelled:
                handle._run()

    def _timer_handle_cancelled(self, handle: events.TimerHandle) -> None:
        """It is passed over when its time comes."""

    def requeue(self, handles: list[events.Handle]) -> None:
        """Do these next."""
        self._ready.extend(handles)  # type: ignore[attr-defined]

    def run_in_executor(self, executor: Any, func: Callable[..., Any], *args: Any) -> Any:
        """Do it in its turn; the answer comes later, as from a thread that waits for a database."""
        future = self.create_future()
        now = self.time()
        begins = max(now, getattr(executor, "_busy_until", now))
        answers = begins + self._delay_s()
        if executor is not None:  # the loop's own has many threads: nothing waits for anything there
            executor._busy_until = answers

        def do() -> None:
            if future.cancelled():
                return
            try:
                result, error = func(*args), None
            except BaseException as raised:
                result, error = None, raised
            self.call_at(answers, _settle, future, result, error)

        if begins <= now:
            do()
        else:
            self.call_at(begins, do)
        return future

    def _call_soon(self, callback: Any, args: Any, context: Any) -> events.Handle:
        handle = _Handle(callback, args, self, context)
        self._ready.append(handle)  # type: ignore[attr-defined]
        return handle

    def call_at(self, when: float, callback: Any, *args: Any, context: Any = None) -> events.TimerHandle:
        """A timer; those of one moment go off in the order in which they were set."""
        timer = _TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, self.next_number(), timer))
        return timer

    def add_signal_handler(self, sig: int, callback: Any, *args: Any) -> None:
        """Nobody sends signals here."""

    def _write_to_self(self) -> None:
        """There are no other threads."""

    def _keep_failure(self, loop: Any, context: dict[str, Any]) -> None:
        error = context.get("exception")
        self.failures.append(f"{context.get('message')}: {type(error).__name__} {error}")


def _settle(future: Any, result: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(result)
