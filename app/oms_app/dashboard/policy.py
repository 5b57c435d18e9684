"""Settings and a request in, out: where the page may listen, and the policy that lets it load and do nothing else."""

import re
from urllib.parse import urlsplit

from flask import request

from oms_app.config import Settings

_HOST = re.compile(r"[A-Za-z0-9.:-]+\Z", re.ASCII)


def stream_origin(settings: Settings) -> str:
    """Where the page listens: the public stream address, else the page's own host at the stream's port.

    On one machine `localhost` and `127.0.0.1` are the same place but not the same cookies; the page's host has them.
    """
    if settings.public_stream_url:
        parts = urlsplit(settings.public_stream_url)
        return f"{parts.scheme}://{parts.netloc}"
    host = urlsplit(request.host_url).hostname or ""
    if not _HOST.match(host):
        host = settings.host
    shown = f"[{host}]" if ":" in host else host
    return f"{request.scheme}://{shown}:{settings.stream_port}"


def content_policy(origin: str) -> str:
    """What the dashboard's pages may load and do: their own files, and the stream."""
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            f"connect-src 'self' {origin}",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        )
    )
