"""A webhook sink in, a verdict out: every duty of the sink contract has a case, against a real receiver on loopback.

class TestSignedPost(SinkConformanceSuite):
    contributed = SignedPost

    def params_for(self, url: str) -> dict[str, Any]:
        return {"url": url, "secret": SECRET, "timeout_s": 1}

    def verify(self, received: Received) -> None:
        Webhook(SECRET).verify(received.body, received.headers)
"""

import socket
import time
from datetime import timedelta
from typing import Any

import msgspec

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.contracts.webhook import Delivered, DeliveryFailed, SinkMessage
from oms_kernel.registry import Kind
from oms_kernel.testkit.builders import NOON
from oms_kernel.testkit.contributions import ContributionSuite
from oms_kernel.testkit.receiver import Answer, Received, Receiver

MESSAGE = SinkMessage(
    message_id="msg_01",
    event_kind="order_filled",
    occurred_at=NOON,
    body='{"kind":"order_filled","text":"Grüße"}'.encode(),
    attempt=1,
)
LONGEST = timedelta(seconds=15)
FAILURES = (300, 302, 400, 401, 404, 429, 500, 502, 503, 504)


class OnThisMachine(msgspec.Struct):
    """A SinkHost; tests allow loopback."""

    allow_private_addresses: bool = True


class SinkConformanceSuite(ContributionSuite):
    """The duties of a WebhookSink that speaks HTTP.

    Give `params_for(url)` with a short timeout where there is one, and `verify(received)` for what is signed.
    """

    kind = Kind.WEBHOOK_SINK

    def params_for(self, url: str) -> dict[str, Any]:
        """Parameters, as JSON values, that send to this URL."""
        raise NotImplementedError("say how the sink is told its URL")

    def verify(self, received: Received) -> None:
        """Nothing, when the receiver can trust what it got; raises otherwise."""

    def sink(self, url: str, *, private: bool = True) -> Any:
        """A fresh instance that sends to this URL."""
        return self.contributed(parse_params(self.contributed, self.params_for(url)), OnThisMachine(private))

    def test_it_refuses_a_parameter_that_it_does_not_know(self) -> None:
        suite = type(self)
        suite.params = self.params_for("https://example.com/hook")
        super().test_it_refuses_a_parameter_that_it_does_not_know()

    def test_it_delivers_the_body_byte_by_byte_and_the_receiver_can_trust_it(self) -> None:
        with Receiver() as receiver:
            delivered = self.sink(receiver.url).deliver(MESSAGE)
            assert isinstance(delivered, Delivered)
            assert delivered.status_code == 200
            assert delivered.duration_ms >= 0
            (received,) = receiver.received
            assert received.body == MESSAGE.body
            self.verify(received)

    def test_every_2xx_is_delivered(self) -> None:
        for status in (201, 202, 204):
            with Receiver(lambda received, status=status: Answer(status=status)) as receiver:  # type: ignore[misc]
                assert self.sink(receiver.url).deliver(MESSAGE).status_code == status

    def test_a_second_attempt_bears_the_same_message_id(self) -> None:
        with Receiver() as receiver:
            sink = self.sink(receiver.url)
            for attempt in (1, 2):
                sink.deliver(msgspec.structs.replace(MESSAGE, attempt=attempt))
            one, two = ({name: r.headers.get(name) for name in r.headers if "id" in name} for r in receiver.received)
            assert one == two
            assert any(MESSAGE.message_id == value for value in one.values())

    def test_every_other_answer_fails_and_may_be_tried_again(self) -> None:
        for status in FAILURES:
            with Receiver(lambda received, status=status: Answer(status=status)) as receiver:  # type: ignore[misc]
                failed = self.failure(receiver.url)
                assert (failed.status_code, failed.retry, failed.disable) == (status, True, False), status

    def test_410_disables_the_endpoint(self) -> None:
        with Receiver(lambda received: Answer(status=410)) as receiver:
            failed = self.failure(receiver.url)
            assert (failed.retry, failed.disable) == (False, True)

    def test_it_tells_how_long_the_receiver_asked_to_wait(self) -> None:
        for status in (429, 503):
            busy = Answer(status=status, headers={"retry-after": "120"})
            with Receiver(lambda received, busy=busy: busy) as receiver:  # type: ignore[misc]
                assert self.failure(receiver.url).retry_after_s == 120

    def test_it_follows_no_redirect(self) -> None:
        with Receiver() as elsewhere:
            moved = Answer(status=302, headers={"location": elsewhere.url})
            with Receiver(lambda received: moved) as receiver:
                self.failure(receiver.url)
            assert elsewhere.connections == 0

    def test_private_addresses_are_refused_unless_they_are_allowed(self) -> None:
        with Receiver() as receiver:
            self.failure(receiver.url, private=False)
            assert receiver.connections == 0

    def test_a_closed_port_fails_without_telling_which(self) -> None:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
            failed = self.failure(f"http://127.0.0.1:{port}/hook")
        assert failed.retry
        assert str(port) not in failed.text
        assert "127.0.0.1" not in failed.text
        assert "refused" not in failed.text.lower()

    def test_a_receiver_that_drips_is_left_in_time(self) -> None:
        with Receiver(lambda received: Answer(drip_s=0.5)) as receiver:
            started = time.monotonic()
            failed = self.failure(receiver.url)
            assert failed.retry
            assert time.monotonic() - started < LONGEST.total_seconds() + 1

    def test_an_endless_answer_is_cut(self) -> None:
        with Receiver(lambda received: Answer(endless=True)) as receiver:
            started = time.monotonic()
            self.sink(receiver.url).deliver(MESSAGE)
            assert time.monotonic() - started < 5

    def test_it_may_be_closed_twice(self) -> None:
        with Receiver() as receiver:
            sink = self.sink(receiver.url)
            sink.deliver(MESSAGE)
            sink.close()
            sink.close()

    def failure(self, url: str, *, private: bool = True) -> DeliveryFailed:
        """The DeliveryFailed of one attempt; anything else is an error of the sink."""
        try:
            delivered = self.sink(url, private=private).deliver(MESSAGE)
        except DeliveryFailed as failed:
            return failed
        raise AssertionError(f"it says {delivered!r}")
