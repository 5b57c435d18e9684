"""What a key was given with, in; whether a request may use it from where it comes, out."""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from oms_app.flow.errors import FlowError
from oms_kernel.domain.errors import InvalidRequest

MOST_NETWORKS = 50
MOST_REQUESTS_PER_S = 100_000
Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


class AddressNotAllowed(FlowError):
    """The key is held to networks to which the address of the request does not belong."""

    code = "address_not_allowed"


class KeyTerms(msgspec.Struct, frozen=True):
    """What a request by API key must keep to, besides its scopes and accounts.

    networks: CIDR texts; none: any address. quota: (requests a second, burst) of the key's own, or None: the default.
    is_outgoing: the secret was rotated and ends soon. owner_id: the person for whom the key acts.
    """

    key_id: str
    networks: tuple[str, ...] = ()
    quota: tuple[int, int] | None = None
    is_test: bool = False
    is_outgoing: bool = False
    owner_id: str = ""

    def check_address(self, address: str) -> None:
        """Nothing, when the key may be used from there. Raises AddressNotAllowed."""
        if self.networks and not _is_inside(address, self.networks):
            raise AddressNotAllowed(
                "this key may not be used from the address of this request",
                fix="send the request from a network of the key, or let an administrator add yours to it",
            )


def checked_networks(texts: Iterable[str]) -> tuple[str, ...]:
    """The networks in one form, each once. Raises InvalidRequest on what is no IPv4 or IPv6 address or network."""
    networks: dict[str, None] = {}
    for index, text in enumerate(texts):
        try:
            networks[str(ip_network(text.strip()))] = None
        except ValueError as error:
            raise InvalidRequest(
                f"{text[:60]!r} is no network: {str(error)[:120]}", field=f"networks[{index}]"
            ) from None
    if len(networks) > MOST_NETWORKS:
        raise InvalidRequest(f"a key has at most {MOST_NETWORKS} networks", field="networks")
    return tuple(networks)


def checked_quota(per_s: int | None, burst: int | None) -> tuple[int, int] | None:
    """(requests a second, burst), the burst being twice the rate where none is given. Raises InvalidRequest."""
    if per_s is None:
        if burst is not None:
            raise InvalidRequest("a burst needs requests_per_s beside it", field="requests_per_s")
        return None
    burst = burst if burst is not None else per_s * 2
    for field, value in (("requests_per_s", per_s), ("burst", burst)):
        if not 1 <= value <= 2 * MOST_REQUESTS_PER_S:
            raise InvalidRequest(f"must lie between 1 and {MOST_REQUESTS_PER_S}", field=field)
    return per_s, burst


@lru_cache(maxsize=4096)
def _is_inside(address: str, networks: tuple[str, ...]) -> bool:
    try:
        asked = ip_address(address)
    except ValueError:
        return False
    if isinstance(asked, IPv6Address) and asked.ipv4_mapped is not None:
        asked = asked.ipv4_mapped
    return any(asked in ip_network(network) for network in networks)
