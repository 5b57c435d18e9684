"""A Host header in, whether it names this system out: loopback, the public address, what is allowed, tenants' domains.

A page of somebody else's name that was made to resolve to this machine is refused before anything looks at it.
"""

from collections.abc import Callable
from ipaddress import ip_address
from urllib.parse import urlsplit

from oms_app.config import Settings
from oms_app.store.unit_of_work import StoreUnavailable

LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
WILDCARDS = frozenset({"", "0.0.0.0", "::"})  # noqa: S104  # compared with, not bound to


class HostList:
    """The names of this system. is_of_tenant: whether the name is a tenant's domain, may raise StoreUnavailable."""

    def __init__(self, settings: Settings, is_of_tenant: Callable[[str], bool]) -> None:
        own = {urlsplit(url).hostname or "" for url in (settings.public_url, settings.public_stream_url)}
        self._names = LOOPBACK | {name for name in {*own, settings.host} if name not in WILDCARDS}
        self._names |= {name.strip("[]") for name in settings.allowed_hosts if not name.startswith((".", "*"))}
        self._suffixes = tuple(name for name in settings.allowed_hosts if name.startswith("."))
        self._any = "*" in settings.allowed_hosts
        # Who binds every address and names none may be reached by each of them; only names can be made to point here.
        self._any_address = settings.host in WILDCARDS and not settings.allowed_hosts and not settings.public_url
        self._is_of_tenant = is_of_tenant

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names this system."""
        name = host_name(host)
        if name is None:
            return False
        if self._any or name in self._names or any(name.endswith(suffix) for suffix in self._suffixes):
            return True
        if self._any_address and _is_address(name):
            return True
        try:
            return self._is_of_tenant(name)
        except StoreUnavailable:
            return False


def host_name(host: str) -> str | None:
    """The name in a Host header, in lower case, without port; None when it is no host."""
    try:
        name = urlsplit(f"//{host}").hostname
    except ValueError:
        return None
    if not name or any(character in host for character in "/@?#\\ \t"):
        return None
    return name.rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
