"""A URL in, a checked target out: exactly one reading of host, port and path, or a refusal before anything is sent."""

import re
from urllib.parse import urlsplit

import msgspec

PORTS = frozenset({443, 8443})
DEFAULT_PORTS = {"https": 443, "http": 80}
LONGEST_URL = 2048
_PRINTABLE = re.compile(r"[!-~]+\Z")
_HOST = re.compile(r"[A-Za-z0-9._-]{1,253}\Z|[0-9A-Fa-f:.]+\Z")


class BadTarget(ValueError):
    """Why a URL is not one that webhooks may be sent to; the text is for the tenant who gave it."""


class Target(msgspec.Struct, frozen=True):
    """Where to connect and what to ask for. `host` without brackets; `path` with the query."""

    scheme: str
    host: str
    port: int
    path: str


def parse_target(url: str, *, private: bool = False) -> Target:
    """The target of a URL. private: let http and every port pass as well.

    Only printable ASCII, so that nothing is read differently elsewhere: a host in other letters is given in its
    xn-- form. Raises BadTarget.
    """
    if len(url) > LONGEST_URL or not _PRINTABLE.match(url) or "\\" in url:
        raise BadTarget(f"the URL must be printable ASCII without blanks, at most {LONGEST_URL} characters")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise BadTarget("the URL cannot be read") from None
    if parts.scheme not in DEFAULT_PORTS or (parts.scheme == "http" and not private):
        raise BadTarget("the URL must begin with https://")
    if "@" in parts.netloc:
        raise BadTarget("the URL may not contain a user or password")
    if parts.fragment or "#" in url:
        raise BadTarget("the URL may not contain a fragment")
    host = parts.hostname or ""
    if not _HOST.match(host):
        raise BadTarget("the URL needs a plain host name or address")
    port = port if port is not None else DEFAULT_PORTS[parts.scheme]
    if port == 0 or (port not in PORTS and not private):
        raise BadTarget("the URL's port must be 443 or 8443")
    path = parts.path or "/"
    return Target(parts.scheme, host, port, f"{path}?{parts.query}" if parts.query else path)
