"""An IP address in, whether a webhook may go there out: public unicast only, also where it embeds IPv4."""

from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

Address = IPv4Address | IPv6Address

NEVER_V4 = tuple(
    map(
        IPv4Network,
        (
            "0.0.0.0/8",  # this host
            "169.254.0.0/16",  # link-local: metadata services of clouds
            "192.0.0.0/24",  # protocol assignments
            "192.0.2.0/24",  # documentation
            "192.88.99.0/24",  # 6to4 relays
            "198.18.0.0/15",  # benchmarks
            "198.51.100.0/24",  # documentation
            "203.0.113.0/24",  # documentation
            "224.0.0.0/4",  # multicast
            "240.0.0.0/4",  # reserved, broadcast
        ),
    )
)
PRIVATE_V4 = tuple(map(IPv4Network, ("10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16")))
PRIVATE_V6 = (IPv6Network("::1/128"), IPv6Network("fc00::/7"))
GLOBAL_V6 = IPv6Network("2000::/3")
NEVER_V6 = tuple(
    map(
        IPv6Network,
        (
            "2001::/23",  # protocol assignments; Teredo is unwrapped before
            "2001:db8::/32",  # documentation
            "3fff::/20",  # documentation
        ),
    )
)
MAPPED = IPv6Network("::ffff:0:0/96")
TRANSLATED = IPv6Network("::ffff:0:0:0/96")
COMPATIBLE = IPv6Network("::/96")
NAT64 = IPv6Network("64:ff9b::/96")
SIX_TO_FOUR = IPv6Network("2002::/16")
TEREDO = IPv6Network("2001::/32")
ISATAP = (0x0000_5EFE, 0x0200_5EFE)
_LOW_32 = 0xFFFF_FFFF


def is_allowed(text: str, *, private: bool = False) -> bool:
    """Whether a webhook may connect to this address. private: let loopback and private networks pass as well.

    Link-local, multicast, reserved and documentation addresses never pass; text that is no address neither.
    """
    try:
        address = ip_address(text)
    except ValueError:
        return False
    return all(_is_allowed(one, private) for one in unwrapped(address))


def unwrapped(address: Address) -> tuple[Address, ...]:
    """The address, or the IPv4 addresses that it stands for when it embeds some."""
    if isinstance(address, IPv4Address):
        return (address,)
    number = int(address)
    low = IPv4Address(number & _LOW_32)
    if address in MAPPED or address in TRANSLATED or address in NAT64:
        return (low,)
    if address in COMPATIBLE and number > 1:
        return (low,)
    if address in SIX_TO_FOUR:
        return (IPv4Address(number >> 80 & _LOW_32),)
    if address in TEREDO:
        return (IPv4Address(number >> 64 & _LOW_32), IPv4Address(~number & _LOW_32))
    if number >> 32 & _LOW_32 in ISATAP:
        return (address, low)
    return (address,)


def _is_allowed(address: Address, private: bool) -> bool:
    if isinstance(address, IPv4Address):
        if any(address in network for network in NEVER_V4):
            return False
        return private or not any(address in network for network in PRIVATE_V4)
    if private and any(address in network for network in PRIVATE_V6):
        return True
    return address in GLOBAL_V6 and not any(address in network for network in NEVER_V6)
