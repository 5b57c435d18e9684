"""Signals: a hint shortens the wait where Redis is; its absence, death or emptying costs nobody more than a poll."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from oms_app.bootstrap import Services
from oms_app.signals import CHANNEL, SPARED_POLL_S, NoSignals, RedisSignals, make_signals
from oms_app.stream.app import StreamApp
from oms_app.stream.tail import Tails
from tests.app_kit import demo_services, demo_settings
from tests.services.redis_server import RedisServer
from tests.services.server_process import free_port
from tests.stream.test_stream import URL, Kit, Listener, run
from tests.waiting import until

NOBODY_THERE = f"redis://127.0.0.1:{free_port()}/0"


class Bell:
    """Counts how often it rang."""

    def __init__(self) -> None:
        self.rings = 0
        self.rang = threading.Event()

    def __call__(self) -> None:
        self.rings += 1
        self.rang.set()


@contextmanager
def signals(url: str) -> Iterator[RedisSignals]:
    made = RedisSignals(url)
    try:
        yield made
    finally:
        made.close()


def hears(made: RedisSignals) -> bool:
    """Whether its subscription stands: only then are polls spared."""
    return made.poll_s(0.1) == SPARED_POLL_S


@pytest.fixture
def server(tmp_path: Path, redis_url: str) -> Iterator[RedisServer]:
    """A Redis of this test alone, that may be killed. (redis_url: only where a Redis can be had.)"""
    made = RedisServer(tmp_path)
    made.start()
    yield made
    made.stop()


def test_a_note_in_one_process_rings_the_bell_of_another_within_milliseconds(redis_url: str) -> None:
    bell = Bell()
    with signals(redis_url) as sender, signals(redis_url) as hearer:
        hearer.listen(bell)
        until(lambda: hears(hearer), "it hears", 5)
        sender.note("first")
        assert bell.rang.wait(5)
        waits = []
        for _ in range(20):
            time.sleep(0.01)
            bell.rang.clear()
            began = time.monotonic()
            sender.note("a ledger")
            assert bell.rang.wait(5)
            waits.append(time.monotonic() - began)
    assert sorted(waits)[10] < 0.05


def test_a_burst_of_notes_travels_in_few_messages_and_names_every_ledger(redis_url: str) -> None:
    client = redis.Redis.from_url(redis_url)
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe(CHANNEL)
    with signals(redis_url) as sender:
        for number in range(500):
            sender.note(f"ledger-{number % 5}")
        told: list[bytes] = []

        def every_ledger() -> bool:
            message = pubsub.get_message(timeout=0.1)
            told.extend([message["data"]] if message else [])
            return {name for text in told for name in text.decode().split(",")} == {f"ledger-{n}" for n in range(5)}

        until(every_ledger, "every ledger is named", 10)
    pubsub.close()
    client.close()
    assert len(told) < 100


def test_without_redis_there_are_no_signals_and_polls_stay_as_they_were() -> None:
    silent = make_signals(None)
    assert isinstance(silent, NoSignals)
    silent.note("a ledger")
    silent.listen(lambda: None)()
    assert silent.poll_s(0.1) == 0.1
    silent.close()


def test_where_redis_never_answers_nothing_is_raised_and_polls_stay_as_they_were() -> None:
    with signals(NOBODY_THERE) as made:
        made.listen(lambda: None)
        for _ in range(5):
            made.note("a ledger")
        assert made.poll_s(0.1) == 0.1


def test_a_redis_that_dies_and_comes_back_is_heard_again_and_the_polls_go_back_meanwhile(server: RedisServer) -> None:
    bell = Bell()
    with signals(server.url) as made:
        made.listen(bell)
        until(lambda: hears(made), "it hears", 5)
        server.kill()
        until(lambda: not hears(made), "polling is as without signals", 5)
        made.note("lost")
        server.start()
        until(lambda: hears(made), "it hears again", 15)

        def rings_again() -> bool:
            bell.rang.clear()
            made.note("a ledger")
            return bell.rang.wait(0.5)

        until(rings_again, "notes arrive again", 15)


def test_flushall_changes_nothing(redis_url: str) -> None:
    bell = Bell()
    with signals(redis_url) as made:
        made.listen(bell)
        until(lambda: hears(made), "it hears", 5)
        client = redis.Redis.from_url(redis_url)
        client.flushdb()
        client.close()
        bell.rang.clear()
        made.note("a ledger")
        assert bell.rang.wait(5)
        assert hears(made)


def test_a_bell_that_was_taken_down_and_one_of_a_closed_loop_disturb_nobody(redis_url: str) -> None:
    gone, bell = Bell(), Bell()
    closed = asyncio.new_event_loop()
    closed.close()
    with signals(redis_url) as made:
        take_down = made.listen(gone)
        made.listen(lambda: closed.call_soon_threadsafe(print))
        made.listen(bell)
        until(lambda: hears(made), "it hears", 5)
        take_down()
        rings = gone.rings
        bell.rang.clear()
        made.note("a ledger")
        assert bell.rang.wait(5)
    assert gone.rings == rings


# The stream on signals --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, Any]]:
    made = demo_services(demo_settings(Path(tmp_path_factory.mktemp("signals")) / "home"))
    yield made
    made[0].close()


@asynccontextmanager
async def streaming(kit: Kit, made: RedisSignals, poll_s: float) -> Any:
    tails = Tails(kit.services.reader, poll_s, made)
    app = StreamApp(tails, kit.services.identity, kit.services.directory, url=URL)
    following = asyncio.create_task(tails.follow())
    try:
        yield app
    finally:
        app.close()
        following.cancel()


def test_a_listener_hears_at_once_by_a_signal_although_polls_are_far_apart(
    services: tuple[Services, Any], redis_url: str
) -> None:
    kit = Kit(*services)

    async def test(made: RedisSignals) -> None:
        async with streaming(kit, made, poll_s=30) as app:
            listener = Listener(app, kit.key)
            await listener.until(lambda: b"listening" in listener.body and hears(made))
            for number in range(3):
                await asyncio.sleep(0.2)
                began = time.monotonic()
                await asyncio.to_thread(kit.alert, f"n{number}")
                await listener.until(lambda n=number: len(listener.events) == n + 1)
                assert time.monotonic() - began < 20

    with signals(redis_url) as made:
        kit.services.store.on_append = made.note
        run(lambda: test(made))


def test_a_listener_hears_by_polling_while_redis_is_dead(services: tuple[Services, Any], server: RedisServer) -> None:
    kit = Kit(*services)

    async def test(made: RedisSignals) -> None:
        async with streaming(kit, made, poll_s=0.1) as app:
            listener = Listener(app, kit.key)
            await listener.until(lambda: b"listening" in listener.body and hears(made))
            await asyncio.to_thread(server.kill)
            for number in range(5):
                began = time.monotonic()
                await asyncio.to_thread(kit.alert, f"n{number}")
                await listener.until(lambda n=number: len(listener.events) == n + 1)
                assert time.monotonic() - began < 10

    with signals(server.url) as made:
        kit.services.store.on_append = made.note
        run(lambda: test(made))
