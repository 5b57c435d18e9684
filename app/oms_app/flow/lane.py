"""Batches with hand-over: requests of one ledger in, one transaction for all that wait, every one answered for itself.

A waiting request leads exactly one batch and hands over to the oldest waiter, so nothing waits for a timer and nobody
starves. A batch holds at most 256 orders, unless one bulk has more; a bulk is never cut. A request that was recognised
before something was taken from anybody of its tenant is recognised anew before it is decided.
"""

import threading
from collections import deque
from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from oms_app.flow.desk import LedgerCache, Turn
from oms_app.flow.errors import FlowError, Unavailable
from oms_app.flow.principal import Outdated, Principal
from oms_app.store.unit_of_work import Conflict
from oms_kernel.domain.errors import InvalidRequest, OrderConflict

MAX_ORDERS = 256
RECOGNITIONS = 5
"""How often a request is recognised anew before it is told to come again."""

R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Job(Protocol[R_co]):
    """One request to a ledger.

    principal: who asks; replaced when recognised anew. size: how many orders it may touch. alone: it needs a
    transaction of its own, because it may drop everything.
    decide records events on the turn's batch and returns the answer; what it raises goes to its caller only, so it
    raises before it records, unless it is alone.
    """

    principal: Principal
    size: int
    alone: bool

    def decide(self, turn: Turn) -> R_co:
        """The answer, given once the turn is committed."""


class _Waiter(Generic[R]):
    def __init__(self, job: Job[R]) -> None:
        self.job = job
        self.called = False
        self._gate = threading.Lock()
        self._gate.acquire()
        self.done = False
        self.answer: R | None = None
        self.error: BaseException | None = None

    def wait(self) -> None:
        """Stand until `call`."""
        self._gate.acquire()

    def call(self) -> None:
        """Let the waiter go on; it is called once."""
        if not self.called:
            self.called = True
            self._gate.release()

    def finish(self, answer: R | None, error: BaseException | None) -> None:
        self.answer, self.error, self.done = answer, error, True


class Lane:
    """The queue in front of one ledger in this process."""

    def __init__(self, ledger: LedgerCache) -> None:
        self._ledger = ledger
        self._waiting: deque[_Waiter[Any]] = deque()
        self._lock = threading.Lock()
        self._busy = False

    def submit(self, job: Job[R]) -> R:
        """The job's answer, after its commit. Raises what the job raised, or what kept its batch from being stored.

        Raises InvalidToken and NotPermitted for a caller who lost the right meanwhile.
        """
        for _ in range(RECOGNITIONS):
            try:
                return self._submit(job)
            except Outdated:
                if job.principal.proof is None:
                    raise
                job.principal = job.principal.proof.again()
        raise Unavailable("rights in this tenant keep changing; nothing was stored", fix="try again")

    def _submit(self, job: Job[R]) -> R:
        waiter = _Waiter(job)
        with self._lock:
            self._waiting.append(waiter)
            leads = not self._busy
            self._busy = True
        if not leads:
            try:
                waiter.wait()
            except BaseException:
                self._leave(waiter)
                raise
        if not waiter.done:
            self._lead()
        if waiter.error is not None:
            raise waiter.error
        return waiter.answer  # type: ignore[return-value]

    def _lead(self) -> None:
        """Run one batch, the caller's own job in front, then hand over."""
        batch: list[_Waiter[Any]] = []
        try:
            batch = self._take()
            self._run(batch)
        finally:
            for waiter in batch:
                if not waiter.done:
                    waiter.finish(None, RuntimeError("the batch ended without an answer"))
            with self._lock:  # the next leader first: it is on its way to the database while the others answer
                self._hand_over()
            for waiter in batch:
                waiter.call()

    def _hand_over(self) -> None:
        if self._waiting:
            self._waiting[0].call()
        else:
            self._busy = False

    def _leave(self, waiter: _Waiter[Any]) -> None:
        """Let a waiter that was interrupted go, and pass on the lead if it had been given to it."""
        with self._lock:
            if waiter in self._waiting:
                self._waiting.remove(waiter)
                if waiter.called:
                    self._hand_over()

    def _take(self) -> list[_Waiter[Any]]:
        with self._lock:
            batch = [self._waiting.popleft()]
            size = batch[0].job.size
            while self._waiting and not batch[0].job.alone:
                following = self._waiting[0].job
                if following.alone or size + following.size > MAX_ORDERS:
                    break
                size += following.size
                batch.append(self._waiting.popleft())
            return batch

    def _run(self, batch: list[_Waiter[Any]], *, again: bool = False) -> None:
        """One transaction for the batch; on a conflict or an unexpected error each job is tried alone.

        A conflict that a job meets alone is decided anew, once: then it reads what the other one stored.
        """
        try:
            answers = self._transact(batch)
        except FlowError as error:
            for waiter in batch:
                waiter.finish(None, error)
        except Exception as error:
            if len(batch) == 1 and isinstance(error, Conflict) and not again:
                self._run(batch, again=True)
                return
            if len(batch) == 1:
                batch[0].finish(None, error)
                return
            for waiter in batch:
                self._run([waiter])
        else:
            for waiter, (answer, refused) in zip(batch, answers, strict=True):
                waiter.finish(answer, refused)

    def _transact(self, batch: list[_Waiter[Any]]) -> list[tuple[Any, Exception | None]]:
        return self._ledger.transact(lambda turn: [_decide(turn, waiter.job) for waiter in batch])


def _decide(turn: Turn, job: Job[Any]) -> tuple[Any, Exception | None]:
    if job.principal.proof is not None:
        try:
            job.principal.proof.confirm(turn.unit.auth_epoch)
        except Outdated as error:
            return None, error
    if job.alone:
        return job.decide(turn), None
    before = len(turn.batch.events)
    try:
        return job.decide(turn), None
    except (FlowError, InvalidRequest, OrderConflict) as error:
        if len(turn.batch.events) != before:
            raise Conflict(f"{type(job).__name__} refused after it had recorded") from error
        return None, error


class Lanes:
    """One lane for each ledger of this process."""

    def __init__(self, ledger: Callable[[Any, Any], LedgerCache]) -> None:
        self._ledger = ledger
        self._lanes: dict[Any, Lane] = {}
        self._lock = threading.Lock()

    def of(self, tenant_id: Any, ledger_id: Any) -> Lane:
        """The lane of a ledger; made at the first use."""
        with self._lock:
            lane = self._lanes.get(ledger_id)
            if lane is None:
                lane = self._lanes[ledger_id] = Lane(self._ledger(tenant_id, ledger_id))
            return lane
