"""The stream's edge: ids, headers, hosts, proxies and origins, around any ASGI application."""

import asyncio
from pathlib import Path
from typing import Any

from oms_app.config import Settings
from oms_app.flow.host_list import HostList
from oms_app.stream.edge import StreamEdge
from oms_app.stream.requests import CLIENT, headers_of

SETTINGS = Settings(
    home=Path("/nowhere"),
    public_stream_url="https://stream.example",
    trusted_proxies=("10.0.0.0/8",),
    cors_origins=("https://pages.example",),
)


async def tell_client(scope: Any, receive: Any, send: Any) -> None:
    """An application that answers with the address for which the request is made."""
    body = headers_of(scope)[CLIENT].encode()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
    await send({"type": "http.response.body", "body": body, "more_body": False})


def ask(path: str = "/api/v1/stream", peer: str = "192.0.2.1", **headers: str) -> tuple[int, dict[str, str], str]:
    """(status, headers, body) of an answer behind the edge."""
    sent: list[Any] = []
    named = {"host": "stream.example", **{name.replace("_", "-"): value for name, value in headers.items()}}

    async def receive() -> Any:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "GET",
        "path": path,
        "query_string": b"",
        "scheme": "http",
        "client": (peer, 4711),
        "headers": [(name.encode(), value.encode()) for name, value in named.items()],
    }
    edge = StreamEdge(tell_client, SETTINGS, HostList(SETTINGS, lambda host: host == "tenant.example"))
    asyncio.run(edge(scope, receive, send))
    told = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], told, sent[1]["body"].decode()


def test_each_answer_has_a_request_id_and_the_headers_that_browsers_heed() -> None:
    _, headers, _ = ask(x_request_id="my-1")
    assert headers["x-request-id"] == "my-1"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["cache-control"] == "no-store"
    assert "default-src 'none'" in headers["content-security-policy"]
    made = ask(x_request_id="bad id")[1]["x-request-id"]
    assert len(made) == 32 and made.isalnum()


def test_hosts_that_are_not_ours_are_refused_but_for_health() -> None:
    status, headers, body = ask(host="evil.example", x_request_id="r-1")
    assert (status, headers["x-request-id"]) == (400, "r-1")
    assert "unknown_host" in body
    assert ask(host="tenant.example")[0] == ask(host="127.0.0.1:8001")[0] == 200
    assert ask("/healthz", host="evil.example")[0] == 200


def test_only_trusted_proxies_say_for_whom_and_how_they_ask() -> None:
    said = {"x_forwarded_for": "203.0.113.9", "x_forwarded_proto": "https"}
    _, by_proxy, client = ask(peer="10.0.0.1", **said)
    assert client == "203.0.113.9"
    assert "max-age" in by_proxy["strict-transport-security"]
    _, by_stranger, client = ask(**said)
    assert client == "192.0.2.1"
    assert "strict-transport-security" not in by_stranger
    assert ask(**{CLIENT: "203.0.113.9"})[2] == "192.0.2.1"


def test_pages_of_listed_origins_may_listen_and_of_no_other() -> None:
    listed = ask(origin="https://pages.example")[1]
    assert listed["access-control-allow-origin"] == "https://pages.example"
    assert listed["access-control-allow-credentials"] == "true"
    assert "access-control-allow-origin" not in ask(origin="https://other.example")[1]
