"""Which addresses a webhook may go to."""

import pytest

from oms_webhook_sinks.addresses import is_allowed

PUBLIC = [
    "8.8.8.8",
    "1.1.1.1",
    "93.184.215.14",
    "172.15.255.255",
    "172.32.0.0",
    "100.63.255.255",
    "100.128.0.0",
    "2606:4700:4700::1111",
    "2001:4860:4860::8888",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
    "2002:808:808::1",
    "2001:0:808:808::f7f7:f7f7",
]
PRIVATE = [
    "127.0.0.1",
    "127.255.255.254",
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "100.127.255.255",
    "::1",
    "fc00::1",
    "fd12:3456:789a::1",
    "::ffff:127.0.0.1",
    "::ffff:7f00:1",
    "::ffff:0:127.0.0.1",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::10.0.0.1",
    "2002:7f00:1::1",
    "2002:c0a8:101::1",
    "2001:0:808:808::80ff:fffe",
    "2001:0:7f00:1::f7f7:f7f7",
]
NEVER = [
    "0.0.0.0",
    "0.1.2.3",
    "169.254.169.254",
    "192.0.0.1",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "198.18.0.1",
    "198.51.100.7",
    "203.0.113.9",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "fe80::1",
    "fec0::1",
    "ff02::1",
    "64:ff9b:1::1",
    "100::1",
    "2001:db8::1",
    "2001:10::1",
    "3fff::1",
    "5f00::1",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "2606:4700::5efe:169.254.169.254",
    "2606:4700::200:5efe:169.254.169.254",
    "fe80::1%1",
    "localhost",
    "127.1",
    "",
]


@pytest.mark.parametrize("address", PUBLIC)
def test_public_addresses_are_allowed(address: str) -> None:
    assert is_allowed(address)
    assert is_allowed(address, private=True)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_addresses_are_allowed_only_where_the_tenant_may(address: str) -> None:
    assert not is_allowed(address)
    assert is_allowed(address, private=True)


@pytest.mark.parametrize("address", NEVER)
def test_other_addresses_are_never_allowed(address: str) -> None:
    assert not is_allowed(address)
    assert not is_allowed(address, private=True)


def test_an_address_that_embeds_a_private_one_beside_a_public_one_is_refused() -> None:
    assert not is_allowed("2606:4700::5efe:10.0.0.1")
    assert is_allowed("2606:4700::5efe:8.8.8.8")
