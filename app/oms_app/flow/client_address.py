"""The peer of a connection and what proxies say in, the client's address out; only trusted proxies are believed."""

from collections.abc import Sequence
from ipaddress import IPv6Address, ip_address

from oms_app.flow.key_terms import Address, Network

LONGEST_CHAIN = 20
"""More addresses than that in X-Forwarded-For are not looked at."""


class TrustedProxies:
    """Which peers may say for whom they ask. Without any, the peer of the connection is the client."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self._networks = tuple(networks)

    def is_trusted(self, peer: str) -> bool:
        """Whether the peer is one of our proxies."""
        return bool(self._networks) and self._holds(_parsed(peer))

    def client(self, peer: str, forwarded_for: str) -> str:
        """The address for which the request is made.

        forwarded_for: the header X-Forwarded-For. Each proxy appends whom it heard, so it is read from its end: the
        first address that is no proxy of ours is the client; what stands before it, the client may have made up.
        """
        if not forwarded_for or not self.is_trusted(peer):
            return peer
        client = peer
        for text in reversed(forwarded_for.split(",")[-LONGEST_CHAIN:]):
            address = _parsed(text.strip())
            if address is None:
                return client
            client = str(address)
            if not self._holds(address):
                return client
        return client

    def _holds(self, address: Address | None) -> bool:
        return address is not None and any(address in network for network in self._networks)


def _parsed(text: str) -> Address | None:
    """The address, also of `1.2.3.4:5678`, `[::1]:5678` and of IPv4 written as IPv6; None when it is none."""
    text = text[1:].partition("]")[0] if text.startswith("[") else text
    if text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address
