"""Queues of the workers: each actor on its own, by priority, tried again by the table; the dead kept and replayed."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import dramatiq
import pytest
import redis

from oms_app.flow import chores
from oms_app.flow.chores import ACTORS, DELIVER_WEBHOOK, PURGE_ANSWERS, PURGE_SIGN_INS, SCHEDULES, Queue
from oms_app.flow.queues import NAMESPACE, QueueBoard, QueuesUnavailable
from oms_app.workers import queue
from oms_app.workers.feeding import Hints
from oms_app.workers.queue import Sender, declare, make_broker, start_worker
from tests.services.server_process import free_port
from tests.waiting import until

NOBODY_THERE = f"redis://127.0.0.1:{free_port()}/0"


class Work:
    """What the actors of a test do: they write down that they were called, and fail as often as told."""

    def __init__(self) -> None:
        self.got: list[tuple[str, ...]] = []
        self.failures: dict[str, int] = {}

    def of(self, name: str) -> Callable[..., None]:
        def run(*arguments: str) -> None:
            self.got.append((name, *arguments))
            if self.failures.get(name, 0) > 0:
                self.failures[name] -= 1
                raise ValueError(f"{name} cannot")

        return run


@pytest.fixture
def work() -> Work:
    return Work()


@contextmanager
def serving(
    work: Work, url: str | None, queues: list[Queue] | None = None, threads: int = 2
) -> Iterator[dict[str, dramatiq.Actor[..., object]]]:
    """Actors of the table on a broker with a worker for these queues."""
    broker = make_broker(url)
    actors = declare(broker, {name: work.of(name) for name in ACTORS})
    worker = start_worker(broker, threads, queues)
    try:
        yield actors
    finally:
        worker.stop()
        broker.close()


@contextmanager
def board(url: str | None) -> Iterator[QueueBoard]:
    made = QueueBoard(url)
    try:
        yield made
    finally:
        made.close()


def counts(seen: QueueBoard, name: str) -> tuple[int, int, int, int]:
    state = next(one for one in seen.queues() if one.queue == name)
    return state.waiting, state.taken, state.delayed, state.dead


def test_every_actor_has_a_queue_limits_and_a_time_after_which_it_is_given_up() -> None:
    assert {spec.queue for spec in ACTORS.values()} == set(Queue)
    for spec in ACTORS.values():
        assert 0 < spec.time_limit_ms <= 600_000
        assert spec.max_retries >= 0 and spec.min_backoff_ms <= spec.max_backoff_ms
        assert spec.max_age_ms is None or spec.max_age_ms >= 60_000
    assert {schedule.name for schedule in SCHEDULES.values() if schedule.cron} <= set(ACTORS)


@pytest.mark.parametrize("home", ["embedded", pytest.param("redis", marks=pytest.mark.integration)])
def test_a_message_reaches_a_worker(home: str, work: Work, request: pytest.FixtureRequest) -> None:
    url = request.getfixturevalue("redis_url") if home == "redis" else None
    with serving(work, url) as actors:
        sender = Sender(actors, threads=1)
        sender.send(DELIVER_WEBHOOK, "a webhook")
        until(lambda: work.got == [(DELIVER_WEBHOOK, "a webhook")], "it arrives", 10)
        sender.close()


def test_a_worker_takes_from_its_own_queues_only(work: Work, redis_url: str) -> None:
    with serving(work, redis_url, [Queue.HOUSEKEEPING]) as actors, board(redis_url) as seen:
        actors[DELIVER_WEBHOOK].send("a webhook")
        actors[PURGE_ANSWERS].send()
        until(lambda: work.got == [(PURGE_ANSWERS,)], "housekeeping is done", 10)
        assert counts(seen, Queue.WEBHOOKS) == (1, 0, 0, 0)
        assert [one.worker_id for one in seen.workers()], "the worker is seen"


def test_of_what_waits_in_one_worker_the_lower_priority_number_runs_first(work: Work) -> None:
    begun, go_on = threading.Event(), threading.Event()
    broker = make_broker(None)

    def block(*_: str) -> None:
        begun.set()
        assert go_on.wait(10)

    calls = {name: work.of(name) for name in ACTORS}
    actors = declare(broker, {**calls, chores.PURGE_DELIVERIES: block})
    worker = start_worker(broker, threads=1)
    try:
        actors[chores.PURGE_DELIVERIES].send()
        assert begun.wait(10)
        actors[PURGE_SIGN_INS].send()
        until(lambda: worker.work_queue.qsize() == 1, "the chore waits in the worker", 10)
        actors[DELIVER_WEBHOOK].send("a webhook")
        until(lambda: worker.work_queue.qsize() == 2, "both wait in the worker", 10)
        go_on.set()
        until(lambda: len(work.got) == 2, "both ran", 10)
    finally:
        go_on.set()
        worker.stop()
        broker.close()
    assert [name for name, *_ in work.got] == [DELIVER_WEBHOOK, PURGE_SIGN_INS]


def test_a_hint_that_fails_dies_at_once_with_its_reason_and_a_replay_runs_it_again(work: Work, redis_url: str) -> None:
    work.failures[DELIVER_WEBHOOK] = 1
    with serving(work, redis_url) as actors, board(redis_url) as seen:
        actors[DELIVER_WEBHOOK].send("a webhook")
        letter = until(lambda: next(iter(seen.dead()), None), "it is dead", 10)
        until(lambda: seen.dead()[0].error, "its reason is kept", 10)
        letter = seen.dead()[0]
        assert (letter.queue, letter.actor, letter.arguments) == ("webhooks", DELIVER_WEBHOOK, ("a webhook",))
        assert letter.error == "ValueError: deliver_webhook cannot"
        assert counts(seen, Queue.WEBHOOKS)[3] == 1
        assert [one.letter_id for one in seen.replay([letter.letter_id])] == [letter.letter_id]
        until(lambda: len(work.got) == 2, "it ran again", 10)
        until(lambda: counts(seen, Queue.WEBHOOKS) == (0, 0, 0, 0), "nothing is left", 10)
        assert seen.dead() == [] and seen.replay([letter.letter_id]) == []


def test_a_chore_is_tried_again_as_often_as_the_table_says_and_dies_then(
    work: Work, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ACTORS[PURGE_ANSWERS]
    quick = type(spec)(spec.name, spec.does, spec.queue, spec.priority, spec.time_limit_ms, None, 2, 10, 20)
    monkeypatch.setitem(queue.ACTORS, PURGE_ANSWERS, quick)
    work.failures[PURGE_ANSWERS] = 10
    with serving(work, redis_url) as actors, board(redis_url) as seen:
        actors[PURGE_ANSWERS].send()
        until(lambda: seen.dead() and seen.dead()[0].retries == 3, "it is given up after its third try", 20)
        assert len(work.got) == 3
        assert seen.dead()[0].error
        work.failures.clear()
        assert len(seen.replay(queue="webhooks")) == 0
        assert len(seen.replay()) == 1
        until(lambda: len(work.got) == 4, "it ran again", 10)


def test_a_message_that_is_too_old_dies_unread_and_says_so(
    work: Work, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = ACTORS[PURGE_ANSWERS]
    brief = type(spec)(spec.name, spec.does, spec.queue, spec.priority, spec.time_limit_ms, max_age_ms=1)
    monkeypatch.setitem(queue.ACTORS, PURGE_ANSWERS, brief)
    broker = make_broker(redis_url)
    declare(broker, {PURGE_ANSWERS: work.of(PURGE_ANSWERS)})[PURGE_ANSWERS].send()
    broker.close()
    with serving(work, redis_url), board(redis_url) as seen:
        until(lambda: seen.dead() and seen.dead()[0].error, "it is dead", 10)
        assert seen.dead()[0].error == "it was too old when a worker came to it"
    assert work.got == []


def test_a_scheduled_message_that_is_found_late_is_passed_over(work: Work) -> None:
    with serving(work, None) as actors:
        actors[PURGE_ANSWERS].send_with_options(scheduled_at="2026-11-20T00:00:00+00:00")
        actors[PURGE_SIGN_INS].send()
        until(lambda: work.got == [(PURGE_SIGN_INS,)], "what was sent by hand runs", 10)
    assert work.got == [(PURGE_SIGN_INS,)]


def test_while_redis_is_away_the_work_is_done_here_and_nobody_waits(work: Work) -> None:
    broker = make_broker(NOBODY_THERE)
    actors = declare(broker, {name: work.of(name) for name in ACTORS})
    sender = Sender(actors, threads=1)
    work.failures[DELIVER_WEBHOOK] = 1
    for number in range(3):
        sender.send(DELIVER_WEBHOOK, str(number))
    until(lambda: len(work.got) == 3, "all three are done here, the one that failed too", 10)
    sender.close()
    broker.close()


def test_what_nobody_else_serves_is_done_here(work: Work) -> None:
    broker = make_broker(None)
    actors = declare(broker, {name: work.of(name) for name in ACTORS})
    sender = Sender(actors, threads=1, here=[PURGE_ANSWERS])
    sender.send(PURGE_ANSWERS, scheduled_at="2026-11-20T00:00:00+00:00")
    until(lambda: work.got == [(PURGE_ANSWERS,)], "it is done", 10)
    sender.close()
    broker.close()


def test_hints_are_not_repeated_at_once() -> None:
    sent: list[str] = []
    now = [0.0]
    hints = Hints(sent.append, clock=lambda: now[0])
    hints.hint({"a": 0})
    hints.hint({"a": 0, "b": 0})
    assert sent == ["a", "b"]
    now[0] += 6
    hints.hint({"a": 0})
    assert sent == ["a", "b", "a"]


def test_work_that_was_taken_and_is_due_again_is_hinted_at_anew() -> None:
    sent: list[str] = []
    hints = Hints(sent.append, clock=lambda: 0.0)
    hints.hint({"a": 3})
    hints.hint({"a": 4})
    assert sent == ["a", "a"]


def test_the_board_says_when_redis_is_away_or_not_configured() -> None:
    with board(NOBODY_THERE) as away, board(None) as embedded:
        assert away.is_shared and not embedded.is_shared
        for seen in (away, embedded):
            with pytest.raises(QueuesUnavailable):
                seen.queues()


def test_the_boards_keys_are_those_that_dramatiq_uses(work: Work, redis_url: str) -> None:
    broker: Any = make_broker(redis_url)
    declare(broker, {PURGE_ANSWERS: work.of(PURGE_ANSWERS)})[PURGE_ANSWERS].send_with_options(delay=60_000)
    client = redis.Redis.from_url(redis_url)
    with board(redis_url) as seen:
        assert counts(seen, Queue.HOUSEKEEPING) == (0, 0, 1, 0)
    assert client.hlen(f"{NAMESPACE}:housekeeping.DQ.msgs") == 1
    client.close()
    broker.close()
