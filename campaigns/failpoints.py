"""A table of places in, a process that kills itself at the k-th pass of one of them out; the product knows none of it.

Guarantee: the kill is SIGKILL, sent by the process to itself right before or right after the named function, and the
name was written to the campaign before; a target that does not exist any more is an error, never a point not hit.
"""

import inspect
import os
import signal
import threading
from collections.abc import Callable
from enum import StrEnum
from functools import reduce, wraps
from importlib import import_module
from typing import Any

import msgspec

BEFORE = False
AFTER = True


class Role(StrEnum):
    """Which process of the set a point lies in."""

    API = "api"
    SESSION = "session"
    WORKER = "worker"
    STREAM = "stream"
    STRATEGY = "strategy"


Passing = Callable[[tuple[Any, ...], Any], bool]
"""(the call's arguments with keyword values at the end, its result or None before it) -> whether the pass counts."""


class Point(msgspec.Struct, frozen=True):
    """A place to die. target: `module:Class.function`; when: BEFORE or AFTER it; most: the largest k that is drawn."""

    name: str
    target: str
    when: bool
    most: int = 2
    passing: Passing = lambda arguments, result: True

    @property
    def role(self) -> Role:
        """The process that it lies in; the first word of its name."""
        return Role(self.name.partition(".")[0])


def _is_bulk(arguments: tuple[Any, ...], result: Any) -> bool:
    return arguments[0].size > 1


def _has_result(arguments: tuple[Any, ...], result: Any) -> bool:
    return bool(result)


def _has_intents(arguments: tuple[Any, ...], result: Any) -> bool:
    return bool(arguments[1].intents)


def _many_drafts(arguments: tuple[Any, ...], result: Any) -> bool:
    return len(arguments[2]) > 1


def _one_draft(arguments: tuple[Any, ...], result: Any) -> bool:
    return len(arguments[2]) == 1


def _has_fill(arguments: tuple[Any, ...], result: Any) -> bool:
    return any(type(report).__name__ == "Filled" for report in arguments[2])


def _says(word: str) -> Passing:
    return lambda arguments, result: word in arguments


UNIT = "oms_app.store.postgres_ledger_unit:PostgresLedgerUnit"
INTAKE = "oms_app.flow.intake"
AMENDMENT = "oms_app.flow.amendment"
SIM = "oms_sim_broker.connector:SimBrokerConnector"
STORE = "oms_app.sessions.sql_rows:SqlSessionStore"
WORKERS = "oms_app.workers"
RUN = "oms_app.strategies.run:RunLoop"

POINTS: tuple[Point, ...] = (
    Point("api.lock.held", f"{UNIT}.lock", AFTER, 12),
    Point("api.bulk.decided", f"{INTAKE}:PlaceJob.decide", AFTER, 2, _is_bulk),
    Point("api.answer.kept", f"{UNIT}.put_answer", AFTER, 3),
    Point("api.events.appended", f"{UNIT}.append", AFTER, 8),
    Point("api.commit.sending", f"{UNIT}.commit", BEFORE, 8),
    Point("api.commit.done", f"{UNIT}.commit", AFTER, 8),
    Point("api.lane.handing_over", "oms_app.flow.lane:Lane._hand_over", BEFORE, 8),
    Point("api.place.not_answered", f"{INTAKE}:Intake.place", AFTER, 6, _one_draft),
    Point("api.bulk.not_answered", f"{INTAKE}:Intake.place", AFTER, 2, _many_drafts),
    Point("api.replace.decided", f"{AMENDMENT}:_ReplaceJob.decide", AFTER),
    Point("api.replace.not_answered", f"{AMENDMENT}:Amendment.replace", AFTER),
    Point("api.cancel.not_answered", f"{AMENDMENT}:Amendment.cancel", AFTER),
    Point("api.cancel_many.not_answered", f"{AMENDMENT}:Amendment.cancel_many", AFTER, 1),
    Point("session.lease.acquired", f"{STORE}.acquire", AFTER, 1, _has_result),
    Point("session.disown.decided", "oms_app.flow.submission:disown", AFTER, 1),
    Point("session.snapshot.heard", f"{SIM}.snapshot", AFTER, 1),
    Point("session.snapshot.booked", "oms_app.flow.breaks:book_snapshot", AFTER, 1),
    Point("session.reconciled", "oms_app.sessions.comparing:Comparing.open", AFTER, 1),
    Point("session.ready", f"{STORE}.set_status", AFTER, 1, _says("READY")),
    Point("session.settled", "oms_app.flow.reconciliation:settle_doubts", AFTER, 1),
    Point("session.prepare.done", f"{SIM}.prepare", AFTER, 4),
    Point("session.intent.decided", "oms_app.flow.submission:next_intents", AFTER, 3, _has_result),
    Point("session.commit.sending", f"{UNIT}.commit", BEFORE, 8),
    Point("session.commit.done", f"{UNIT}.commit", AFTER, 8),
    Point("session.intent.committed", "oms_app.sessions.pump:Pump._hand_over", BEFORE, 3, _has_intents),
    Point("session.place.sending", f"{SIM}.submit", BEFORE, 4),
    Point("session.place.sent", f"{SIM}.submit", AFTER, 4),
    Point("session.cancel.sending", f"{SIM}.cancel", BEFORE, 2),
    Point("session.cancel.sent", f"{SIM}.cancel", AFTER, 2),
    Point("session.replace.sending", f"{SIM}.replace", BEFORE, 1),
    Point("session.replace.sent", f"{SIM}.replace", AFTER, 1),
    Point("session.report.heard", "oms_app.sessions.host:ConnectorHost.report", BEFORE, 6),
    Point("session.fill.booking", "oms_app.flow.booking:book", BEFORE, 3, _has_fill),
    Point("session.fill.booked", "oms_app.flow.booking:book", AFTER, 3, _has_fill),
    Point("session.report.not_answered", "oms_app.sessions.host:Heard.answer", BEFORE, 6),
    Point("worker.events.read", f"{WORKERS}.fan_out:FanOut._deliveries", BEFORE, 4),
    Point("worker.cursor.moved", "oms_app.store.cursors:advance", AFTER, 4, _has_result),
    Point("worker.deliveries.added", f"{WORKERS}.rows:add_deliveries", AFTER, 4),
    Point("worker.fan_out.committed", f"{WORKERS}.fan_out:FanOut._advance", AFTER, 4, _has_result),
    Point("worker.webhook.claimed", f"{WORKERS}.rows:claim", AFTER, 4, _has_result),
    Point("worker.attempt.counted", f"{WORKERS}.delivery:Deliverer._deliver", BEFORE, 6),
    Point("worker.attempt.posted", f"{WORKERS}.delivery:Deliverer._deliver", AFTER, 6),
    Point("worker.attempt.noted", f"{WORKERS}.rows:change_delivery", AFTER, 8),
    Point("worker.claim.given_back", f"{WORKERS}.rows:finish", AFTER, 4),
    Point("worker.sweep.done", "oms_app.flow.control:Control.sweep", AFTER, 1),
    Point("stream.events.read", "oms_app.stream.tail:Tails._page", AFTER, 6),
    Point("stream.frames.sent", "oms_app.stream.app:_push", AFTER, 6),
    Point("strategy.actions.heard", "oms_app.strategies.process:StrategyProcess.call", AFTER, 6),
    Point("strategy.actions.stored", f"{RUN}._place", AFTER, 4),
    Point("strategy.cursor.moved", "oms_app.store.cursors:advance_on", AFTER, 3, _has_result),
)
BY_NAME = {point.name: point for point in POINTS}


def arm(point: Point, passes: int, die: Callable[[str], None]) -> None:
    """From now on call `die` with the point's name at its `passes`-th pass. Raises when the target does not exist."""
    owner, name = owner_of(point)
    function = inspect.getattr_static(owner, name)
    count = 0
    lock = threading.Lock()

    def passed(arguments: tuple[Any, ...], named: dict[str, Any], result: Any) -> None:
        nonlocal count
        if not point.passing((*arguments, *named.values()), result):
            return
        with lock:
            count += 1
            if count == passes:
                die(point.name)

    if inspect.iscoroutinefunction(function):

        @wraps(function)
        async def awaited(*arguments: Any, **named: Any) -> Any:
            if point.when is BEFORE:
                passed(arguments, named, None)
            result = await function(*arguments, **named)
            if point.when is AFTER:
                passed(arguments, named, result)
            return result

        setattr(owner, name, awaited)
        return

    @wraps(function)
    def called(*arguments: Any, **named: Any) -> Any:
        if point.when is BEFORE:
            passed(arguments, named, None)
        result = function(*arguments, **named)
        if point.when is AFTER:
            passed(arguments, named, result)
        return result

    setattr(owner, name, called)


def owner_of(point: Point) -> tuple[Any, str]:
    """The module or class of the target, and the function's name there. Raises ImportError, AttributeError."""
    module, _, path = point.target.partition(":")
    *outer, name = path.split(".")
    owner = reduce(getattr, outer, import_module(module))
    getattr(owner, name)
    return owner, name


def dying(report: int, main_pid: int | None) -> Callable[[str], None]:
    """What `arm` calls: write the name to the descriptor `report`, then kill -9 of the process, and of its main one."""

    def die(name: str) -> None:
        os.write(report, f"{name}\n".encode())
        if main_pid is not None and main_pid != os.getpid():
            os.kill(main_pid, signal.SIGKILL)
        os.kill(os.getpid(), signal.SIGKILL)
        threading.Event().wait()  # the signal is on its way; nothing more may happen in this thread

    return die
