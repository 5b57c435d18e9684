"""Whatever URL or name a tenant gives, nothing connects to this machine."""

from collections.abc import Iterator

import pytest

from oms_kernel.contracts.plugin import parse_params
from oms_kernel.contracts.webhook import DeliveryFailed
from oms_kernel.testkit.receiver import Receiver
from oms_kernel.testkit.sink_suite import MESSAGE, OnThisMachine
from oms_webhook_sinks import target
from oms_webhook_sinks.network import resolve_with_system
from oms_webhook_sinks.signed_post import NOT_ALLOWED, SignedPost

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

HOSTILE = [
    "https://127.0.0.1:{port}/",
    "https://127.0.0.2:{port}/",
    "https://127.1:{port}/",
    "https://127.0.1:{port}/",
    "https://2130706433:{port}/",
    "https://0x7f000001:{port}/",
    "https://0x7f.0.0.1:{port}/",
    "https://0x7f.1:{port}/",
    "https://017700000001:{port}/",
    "https://0177.0.0.1:{port}/",
    "https://0177.1:{port}/",
    "https://00000177.0.0.1:{port}/",
    "https://0:{port}/",
    "https://0.0.0.0:{port}/",
    "https://0x0:{port}/",
    "https://localhost:{port}/",
    "https://LOCALHOST:{port}/",
    "https://localhost.:{port}/",
    "https://[::1]:{port}/",
    "https://[::]:{port}/",
    "https://[0:0:0:0:0:0:0:1]:{port}/",
    "https://[::ffff:127.0.0.1]:{port}/",
    "https://[::ffff:7f00:1]:{port}/",
    "https://[0:0:0:0:0:ffff:127.0.0.1]:{port}/",
    "https://[::127.0.0.1]:{port}/",
    "https://[64:ff9b::7f00:1]:{port}/",
    "https://[2002:7f00:1::]:{port}/",
    "https://[2001:0:7f00:1::80ff:fffe]:{port}/",
    "https://[fe80::1%25lo]:{port}/",
    "https://[::1%25lo]:{port}/",
    "https://[fec0::1]:{port}/",
    "https://10.0.0.1:{port}/",
    "https://172.16.0.1:{port}/",
    "https://192.168.0.1:{port}/",
    "https://169.254.169.254:{port}/latest/meta-data/",
    "https://100.64.0.1:{port}/",
    "https://224.0.0.1:{port}/",
    "https://255.255.255.255:{port}/",
    "http://127.0.0.1:{port}/",
    "http://localhost:{port}/",
    "HTTP://127.0.0.1:{port}/",
    "https://127.0.0.1:22/",
    "https://127.0.0.1:6379/",
    "https://127.0.0.1:0/",
    "https://127.0.0.1:99999/",
    "https://127.0.0.1:-1/",
    "https://user@127.0.0.1:{port}/",
    "https://user:password@127.0.0.1:{port}/",
    "https://example.com@127.0.0.1:{port}/",
    "https://example.com:443@127.0.0.1:{port}/",
    "https://127.0.0.1:{port}#@example.com/",
    "https://127.0.0.1:{port}/#fragment",
    "https://127.0.0.1:{port}\\@example.com/",
    "https:\\\\127.0.0.1:{port}/",
    "https://example.com\\.127.0.0.1:{port}/",
    "https://127。0。0。1:{port}/",
    "https://１２７.0.0.1:{port}/",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ:{port}/",
    "https://127.0.0.1%00.example.com:{port}/",
    "https://127.0.0.1%2f@example.com:{port}/",
    "https://127.0.0.1 .example.com:{port}/",
    "https://127.0.0.1:{port}/\r\nHost: example.com",
    "https://127.0.0.1\t:{port}/",
    " https://127.0.0.1:{port}/",
    "//127.0.0.1:{port}/",
    "127.0.0.1:{port}",
    "https:127.0.0.1:{port}/",
    "https:///127.0.0.1:{port}/",
    "https://:{port}/",
    "https://",
    "",
    "file:///etc/passwd",
    "gopher://127.0.0.1:{port}/_x",
    "ftp://127.0.0.1:{port}/",
    "unix:///var/run/docker.sock",
    "dict://127.0.0.1:{port}/",
    "https://[127.0.0.1]:{port}/",
    "https://[::1:{port}/",
    "https://loopback.test:{port}/",
    "https://mixed.test:{port}/",
    "https://mapped.test:{port}/",
    "https://nowhere.test:{port}/",
    "https://a..b.test:{port}/",
    "https://127.0.0.1:{port}/" + "x" * 3000,
]

NAMES = {
    "loopback.test": ["127.0.0.1"],
    "mixed.test": ["8.8.8.8", "127.0.0.1"],
    "mapped.test": ["::ffff:127.0.0.1"],
    "nowhere.test": [],
}


def resolve(host: str, port: int) -> list[str]:
    """Names of this test by the table, addresses and localhost by the system: nothing is asked of a name server."""
    if host.endswith(".test"):
        return NAMES.get(host, [])
    return resolve_with_system(host, port)


@pytest.fixture(scope="module")
def canaries() -> Iterator[list[Receiver]]:
    listening = [Receiver(address="0.0.0.0"), Receiver(address="::1")]
    yield listening
    for receiver in listening:
        receiver.close()


def deliver(url: str) -> DeliveryFailed:
    params = parse_params(SignedPost, {"url": url, "secret": SECRET, "timeout_s": 2})
    with pytest.raises(DeliveryFailed) as failed:
        SignedPost(params, OnThisMachine(False), resolve=resolve).deliver(MESSAGE)
    return failed.value


def test_there_are_enough_hostile_urls() -> None:
    assert len(set(HOSTILE)) >= 80


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_url_fails_and_reaches_nothing(
    number: int, canaries: list[Receiver], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The port rule is widened to the canaries' ports, so that each URL is stopped by what it is about."""
    monkeypatch.setattr(target, "PORTS", {443, 8443, *(canary.port for canary in canaries)})
    for canary in canaries:
        before = canary.connections
        failed = deliver(HOSTILE[number].replace("{port}", str(canary.port)))
        assert canary.connections == before
        assert str(canary.port) not in failed.text
        assert "127.0.0.1" not in failed.text


def test_a_canary_counts_what_gets_through(canaries: list[Receiver]) -> None:
    """The checker is checked: with private addresses allowed the same sink does connect."""
    (canary, _) = canaries
    params = parse_params(SignedPost, {"url": f"http://127.0.0.1:{canary.port}/", "secret": SECRET})
    before = canary.connections
    assert SignedPost(params, OnThisMachine(True)).deliver(MESSAGE).status_code == 200
    assert canary.connections == before + 1


def test_a_name_of_which_one_address_is_private_is_refused_altogether() -> None:
    failed = deliver("https://mixed.test/")
    assert failed.text == NOT_ALLOWED


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "224.0.0.1", "fe80::1"])
def test_even_where_private_addresses_are_allowed_some_are_not(address: str) -> None:
    params = parse_params(SignedPost, {"url": "http://metadata.test/", "secret": SECRET, "timeout_s": 2})
    sink = SignedPost(params, OnThisMachine(True), resolve=lambda host, port: [address])
    with pytest.raises(DeliveryFailed) as failed:
        sink.deliver(MESSAGE)
    assert failed.value.text == NOT_ALLOWED
