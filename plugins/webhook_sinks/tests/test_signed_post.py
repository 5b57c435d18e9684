"""Signatures that the reference library verifies, names that are resolved once, and answers that are understood."""

import ssl
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
import standardwebhooks

from oms_kernel.contracts.plugin import dump_params, parse_params
from oms_kernel.contracts.webhook import DeliveryFailed
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.testkit.receiver import Answer, Receiver
from oms_kernel.testkit.sink_suite import MESSAGE, OnThisMachine
from oms_webhook_sinks.signed_post import UNREACHABLE, SignedPost, retry_after

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OLD_SECRET = "whsec_c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IQ=="
CERTIFICATES = Path(__file__).parent / "certificates"
NOW = datetime(2026, 3, 2, 12, tzinfo=UTC)


def sink(url: str, *, private: bool = True, **more: Any) -> SignedPost:
    wiring = {name: more.pop(name) for name in ("resolve", "tls", "now") if name in more}
    params = parse_params(SignedPost, {"url": url, "secret": SECRET, "timeout_s": 2, **more})
    return SignedPost(params, OnThisMachine(private), **wiring)


def test_the_signature_is_the_one_of_the_reference_library() -> None:
    with Receiver() as receiver:
        sink(receiver.url, now=lambda: NOW.replace(microsecond=999)).deliver(MESSAGE)
    headers = receiver.received[0].headers
    assert headers["webhook-id"] == "msg_01"
    assert headers["webhook-timestamp"] == str(int(NOW.timestamp()))
    assert headers["webhook-signature"] == standardwebhooks.Webhook(SECRET).sign("msg_01", NOW, MESSAGE.body.decode())
    assert headers["content-type"] == "application/json"


@pytest.mark.parametrize("tampered", [b"{}", MESSAGE.body + b" "], ids=["other", "longer"])
def test_a_tampered_body_does_not_verify(tampered: bytes) -> None:
    with Receiver() as receiver:
        sink(receiver.url).deliver(MESSAGE)
    headers = receiver.received[0].headers
    standardwebhooks.Webhook(SECRET).verify(MESSAGE.body, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(tampered, headers)
    with pytest.raises(standardwebhooks.WebhookVerificationError):
        standardwebhooks.Webhook(SECRET).verify(MESSAGE.body, {**headers, "webhook-id": "msg_02"})


def test_while_a_secret_is_changed_both_sign() -> None:
    with Receiver() as receiver:
        sink(receiver.url, previous_secret=OLD_SECRET).deliver(MESSAGE)
    for secret in (SECRET, OLD_SECRET):
        standardwebhooks.Webhook(secret).verify(MESSAGE.body, receiver.received[0].headers)


def test_a_name_is_resolved_once_and_connected_by_its_address() -> None:
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return ["127.0.0.1"]

    with Receiver() as receiver:
        sink(f"http://hooks.example.test:{receiver.port}/in?a=1", resolve=resolve).deliver(MESSAGE)
        assert asked == [("hooks.example.test", receiver.port)]
        (received,) = receiver.received
        assert received.headers["host"] == f"hooks.example.test:{receiver.port}"
        assert (received.method, received.path) == ("POST", "/in?a=1")


def test_the_next_address_is_tried_when_the_first_does_not_answer() -> None:
    with Receiver() as receiver:
        both = sink(f"http://hooks.example.test:{receiver.port}/", resolve=lambda host, port: ["::1", "127.0.0.1"])
        assert both.deliver(MESSAGE).status_code == 200


def tls_receiver() -> Receiver:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(CERTIFICATES / "certificate.pem", CERTIFICATES / "key.pem")
    return Receiver(tls=context)


def trusting() -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(CERTIFICATES / "certificate.pem"))


def test_https_asks_for_the_name_and_checks_the_certificate_against_it() -> None:
    with tls_receiver() as receiver:
        url = f"https://hooks.example.test:{receiver.port}/"
        known = sink(url, resolve=lambda host, port: ["127.0.0.1"], tls=trusting())
        assert known.deliver(MESSAGE).status_code == 200


@pytest.mark.parametrize("case", ["other_name", "unknown_authority"])
def test_a_certificate_that_does_not_fit_is_unreachable_like_everything_else(case: str) -> None:
    with tls_receiver() as receiver:
        name = "hooks.example.test" if case == "unknown_authority" else "other.example.test"
        context = ssl.create_default_context() if case == "unknown_authority" else trusting()
        doubtful = sink(f"https://{name}:{receiver.port}/", resolve=lambda host, port: ["127.0.0.1"], tls=context)
        with pytest.raises(DeliveryFailed) as failed:
            doubtful.deliver(MESSAGE)
        assert failed.value.text == UNREACHABLE
        assert receiver.received == []


def test_a_resolver_that_hangs_is_left_in_time() -> None:
    def hang(host: str, port: int) -> list[str]:
        time.sleep(3)
        return ["127.0.0.1"]

    started = time.monotonic()
    with pytest.raises(DeliveryFailed) as failed:
        sink("http://hooks.example.test/", resolve=hang, timeout_s=1).deliver(MESSAGE)
    assert failed.value.text == UNREACHABLE
    assert time.monotonic() - started < 2


def test_a_head_that_drips_ends_at_the_total_time_and_not_at_each_byte() -> None:
    with Receiver(lambda received: Answer(drip_s=0.2)) as receiver:
        started = time.monotonic()
        with pytest.raises(DeliveryFailed):
            sink(receiver.url, timeout_s=1).deliver(MESSAGE)
        assert 0.9 < time.monotonic() - started < 2


def test_proxies_of_the_environment_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    with Receiver() as proxy, Receiver() as receiver:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        sink(receiver.url).deliver(MESSAGE)
        assert (proxy.connections, receiver.connections) == (0, 1)


def test_what_is_no_http_is_unreachable() -> None:
    with Receiver(lambda received: Answer(status=200, headers={"x": "\x00"})) as receiver:
        with pytest.raises(DeliveryFailed) as failed:
            sink(receiver.url).deliver(MESSAGE)
        assert failed.value.text == UNREACHABLE


def test_a_body_that_is_no_text_is_a_dead_letter() -> None:
    with Receiver() as receiver:
        with pytest.raises(DeliveryFailed) as failed:
            sink(receiver.url).deliver(msgspec.structs.replace(MESSAGE, body=b"\xff"))
        assert not failed.value.retry
        assert receiver.connections == 0


def test_a_message_id_cannot_bring_headers_of_its_own() -> None:
    with Receiver() as receiver:
        with pytest.raises(DeliveryFailed):
            sink(receiver.url).deliver(msgspec.structs.replace(MESSAGE, message_id="a\r\nx-evil: 1"))
        assert receiver.received == []


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        (b"120", 120),
        (b" 7 ", 7),
        (b"0", 0),
        (b"999999999999", 86_400),
        (b"-5", None),
        (b"1.5", None),
        (b"soon", None),
        (b"\xb2", None),
        (b"Mon, 02 Mar 2026 12:01:30 GMT", 90),
        (b"Mon, 02 Mar 2026 11:00:00 GMT", 0),
    ],
    ids=repr,
)
def test_retry_after_is_understood_as_number_or_date(header: bytes | None, seconds: int | None) -> None:
    assert retry_after(header, NOW) == seconds


@pytest.mark.parametrize(
    "secret",
    ["", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_", "whsec_c2hvcnQ=", "whsec_!!!", "whsec_" + "A" * 200],
    ids=["empty", "bare", "nothing", "short", "no_base64", "long"],
)
def test_a_secret_that_is_none_is_refused_without_showing_it(secret: str) -> None:
    with pytest.raises(InvalidRequest) as refused:
        sink("https://example.com/", secret=secret)
    assert not secret or secret == "whsec_" or secret not in refused.value.detail


def test_the_secret_shows_in_no_dump() -> None:
    params = parse_params(SignedPost, {"url": "https://example.com/", "secret": SECRET})
    assert SECRET not in f"{params} {dump_params(params)}"
