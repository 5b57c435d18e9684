"""A receiver that hangs, dies or refuses delays no other webhook, no listener of the stream and no order."""

from __future__ import annotations

import asyncio
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from oms_app.bootstrap import Services
from oms_app.cli.demo import DemoFacts
from oms_app.flow.chores import ACTORS, DELIVER_WEBHOOK
from oms_app.workers.feeding import Feeding, delivering
from oms_app.workers.queue import Sender, declare, make_broker, start_worker
from oms_app.workers.server import SENDING_THREADS, THREADS
from tests.app_kit import demo_services, demo_settings
from tests.stream.test_stream import Kit as StreamKit
from tests.stream.test_stream import Listener, run
from tests.waiting import until
from tests.workers.test_webhooks import Kit, Receiver


class Hanging:
    """An endpoint that takes the connection and never answers."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._socket.getsockname()[1]}/hook"
        self.connected = threading.Event()
        self._taken: list[socket.socket] = []
        self._thread = threading.Thread(target=self._take, daemon=True)
        self._thread.start()

    def _take(self) -> None:
        while True:
            try:
                taken, _address = self._socket.accept()
            except OSError:
                return
            self._taken.append(taken)
            self.connected.set()

    def close(self) -> None:
        """Let everyone go."""
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join()
        for one in self._taken:
            one.close()


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, DemoFacts]]:
    made = demo_services(demo_settings(Path(tmp_path_factory.mktemp("slow")) / "home"))
    yield made
    made[0].close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_hanging_receivers_delay_neither_other_webhooks_nor_the_stream(
    demo: tuple[Services, DemoFacts], receiver: Receiver
) -> None:
    services, facts = demo
    kit = Kit(services)
    kit.feed()
    hanging = [Hanging() for _ in range(THREADS - 2)]
    slow = [kit.add_webhook(one.url, "whsec_" + "a" * 32) for one in hanging]
    kit.add_webhook(receiver.url, receiver.secret)
    broker = make_broker(None)
    actors = declare(broker, {name: delivering(kit.deliverer) for name in ACTORS})
    sender = Sender(actors, SENDING_THREADS)
    feeding = Feeding(services.store, kit.fan_out, sender.send)
    worker = start_worker(broker, THREADS)
    stopping = threading.Event()

    def feed() -> None:
        while not stopping.is_set():
            if not feeding.turn():
                stopping.wait(0.05)

    feeder = threading.Thread(target=feed)
    feeder.start()

    async def listen() -> None:
        stream = StreamKit(services, facts)
        async with stream.serving() as app:
            listener = Listener(app, stream.key)
            await listener.until(lambda: b"listening" in listener.body)
            await asyncio.to_thread(kit.alert, "while they hang")
            await listener.until(lambda: len(listener.events) == 1)

    try:
        kit.alert("first")
        until(lambda: all(one.connected.is_set() for one in hanging), "they all hang", 15)
        until(lambda: len(receiver.got) == 1, "the other webhook got it", 10)
        kit.alert("second")
        until(lambda: len(receiver.got) == 2, "the other webhook got the next one too", 10)
        run(listen)
        until(lambda: len(receiver.got) == 3, "and the third", 10)
        assert not any(one.attempts > 1 for hook in slow for one in kit.deliveries(hook)), "they still hang"
    finally:
        stopping.set()
        feeder.join()
        for one in hanging:
            one.close()
        worker.stop()
        sender.close()
        broker.close()
        kit.deliverer.close()
    assert DELIVER_WEBHOOK in actors
    receiver.verified()
