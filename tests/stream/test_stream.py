"""The event stream: resumable without a gap, filtered, coalesced, closed to those who may not read it."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from oms_app.bootstrap import Services, clock
from oms_app.cli.demo import ACCOUNT_ID, LEDGER_ID, TENANT_ID, DemoFacts
from oms_app.flow.api_keys import new_api_key
from oms_app.flow.audit import Actor
from oms_app.flow.scopes import Scope
from oms_app.flow.session_list import SessionList
from oms_app.store.rows import put
from oms_app.store.tables import TRADING_ACCOUNTS
from oms_app.stream import app as stream_app
from oms_app.stream import tail
from oms_app.stream.app import StreamApp
from oms_app.stream.requests import Refused, caller_of
from oms_app.stream.tail import PAGE, Tails
from oms_kernel.domain.events import AlertRaised, Severity
from oms_kernel.domain.ids import TenantId
from tests.app_kit import demo_services, demo_settings

URL = "http://127.0.0.1:8000"
DEADLINE_S = 10.0


class Listener:
    """One client of the ASGI application: what it was sent, and a way to hang up."""

    def __init__(
        self,
        app: StreamApp,
        headers: dict[str, str],
        query: str = "",
        path: str = "/api/v1/stream",
        method: str = "GET",
    ) -> None:
        self.status: int | None = None
        self.headers: dict[str, str] = {}
        self.body = b""
        self.sends: list[float] = []
        self.is_blocked = False
        self._gone = asyncio.Event()
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "query_string": query.encode(),
            "headers": [(name.lower().encode(), value.encode()) for name, value in headers.items()],
        }
        self.task = asyncio.create_task(app(scope, self._receive, self._send))

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if self.is_blocked:
            await asyncio.Event().wait()
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {name.decode(): value.decode() for name, value in message["headers"]}
        else:
            self.body += message["body"]
            if b"event:" in message["body"]:
                self.sends.append(time.monotonic())

    def hang_up(self) -> None:
        self._gone.set()

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events so far; the id of each is checked against its seq."""
        found = []
        for block in self.body.decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if not line.startswith(":"))
            if "id" in fields:
                event = json.loads(fields["data"])
                assert event["seq"] == int(fields["id"])
                assert event["kind"] == fields["event"]
                found.append(event)
        return found

    async def until(self, condition: Callable[[], bool]) -> None:
        """Returns once the condition holds."""
        deadline = time.monotonic() + DEADLINE_S
        while not condition():
            assert time.monotonic() < deadline, f"status {self.status}, body {self.body[-500:]!r}"
            await asyncio.sleep(0.01)


class Kit:
    """The application under test and its demo."""

    def __init__(self, services: Services, facts: DemoFacts) -> None:
        self.services = services
        self.facts = facts
        self.key = {"X-API-Key": facts.api_key}

    def alert(self, text: str, account_id: Any = ACCOUNT_ID) -> None:
        """Append one event to the ledger."""
        alert = AlertRaised(
            account_id=account_id, severity=Severity.INFO, source="test", text=text, what_to_do="Nothing."
        )
        self.services.control.alert(TENANT_ID, LEDGER_ID, alert)

    @property
    def head(self) -> int:
        return self.services.reader.heads([LEDGER_ID])[LEDGER_ID]

    @asynccontextmanager
    async def serving(self, keep_alive_s: float = 15.0) -> AsyncIterator[StreamApp]:
        tails = Tails(self.services.reader, poll_s=0.02)
        app = StreamApp(tails, self.services.identity, self.services.directory, url=URL, keep_alive_s=keep_alive_s)
        following = asyncio.create_task(tails.follow())
        try:
            yield app
        finally:
            app.close()
            following.cancel()


def test_at_another_tenants_domain_a_key_is_unknown(kit: Kit) -> None:
    other = TenantId("00000000-0000-0000-0000-00000000000f")
    domains = {"other.example.com": other, "own.example.com": TENANT_ID}
    asked = {"x-api-key": kit.facts.api_key}
    identity = kit.services.identity
    assert caller_of({**asked, "host": "own.example.com"}, identity, domains.get).principal.tenant_id == TENANT_ID
    with pytest.raises(Refused) as refused:
        caller_of({**asked, "host": "other.example.com"}, identity, domains.get)
    with pytest.raises(Refused) as unknown:
        caller_of({"x-api-key": new_api_key(), "host": "other.example.com"}, identity, domains.get)
    assert (refused.value.status, refused.value.body()) == (unknown.value.status, unknown.value.body())


@pytest.fixture(scope="module")
def kit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Kit]:
    services, facts = demo_services(demo_settings(Path(tmp_path_factory.mktemp("stream")) / "home"))
    yield Kit(services, facts)
    services.close()


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Runs an asynchronous test."""
    asyncio.run(test())  # type: ignore[arg-type]


def test_a_listener_gets_what_happens_from_now_on_as_it_happens(kit: Kit) -> None:
    async def test() -> None:
        async with kit.serving() as app:
            listener = Listener(app, kit.key)
            await listener.until(lambda: b"listening after" in listener.body)
            assert listener.headers["content-type"] == "text/event-stream"
            kit.alert("first")
            await listener.until(lambda: len(listener.events) == 1)
            assert listener.events[0]["data"]["text"] == "first"
            assert listener.events[0]["seq"] == kit.head
            listener.hang_up()
            await asyncio.wait_for(listener.task, DEADLINE_S)
            assert app.listeners == 0

    run(test)


def test_last_event_id_resumes_without_a_gap_from_far_behind(kit: Kit) -> None:
    before = kit.head
    for number in range(PAGE + 20):
        kit.alert(f"n{number}")

    async def test() -> None:
        async with kit.serving() as app:
            listener = Listener(app, {**kit.key, "Last-Event-ID": str(before)})
            await listener.until(lambda: bool(listener.events) and listener.events[-1]["seq"] == kit.head)
            kit.alert("last")
            await listener.until(lambda: listener.events[-1]["data"].get("text") == "last")
            assert [event["seq"] for event in listener.events] == list(range(before + 1, kit.head + 1))
            again = Listener(app, kit.key, query=f"last_event_id={kit.head - 1}")
            await again.until(lambda: len(again.events) == 1)

    run(test)


def test_last_event_id_before_what_memory_holds_is_read_from_the_log_and_joins_what_comes(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tail, "REMEMBERED", 8)
    before = kit.head

    async def test() -> None:
        async with kit.serving() as app:
            first = Listener(app, kit.key)
            await first.until(lambda: b"listening after" in first.body)
            for number in range(30):
                await asyncio.to_thread(kit.alert, f"n{number}")
            await first.until(lambda: len(first.events) == 30)
            behind = Listener(app, {**kit.key, "Last-Event-ID": str(before + 5)})
            ahead = Listener(app, {**kit.key, "Last-Event-ID": str(kit.head + 1000)})
            for number in range(10):
                await asyncio.to_thread(kit.alert, f"later {number}")
            await behind.until(lambda: len(behind.events) == 35)
            assert [event["seq"] for event in behind.events] == list(range(before + 6, before + 41))
            assert [event["seq"] for event in first.events[:30]] == list(range(before + 1, before + 31))
            await ahead.until(lambda: bool(ahead.events) and ahead.events[-1]["seq"] == kit.head)

    run(test)


def test_a_connection_cut_at_any_event_loses_and_repeats_none_when_it_resumes(kit: Kit) -> None:
    """A client that hangs up after each piece and comes back with the last id it saw, while events go on."""
    before = kit.head
    got: list[int] = []

    async def test() -> None:
        async with kit.serving() as app:

            async def write() -> None:
                for number in range(60):
                    await asyncio.to_thread(kit.alert, f"n{number}")

            writing = asyncio.create_task(write())
            last = before
            while last < before + 60:
                listener = Listener(app, {**kit.key, "Last-Event-ID": str(last)})
                await listener.until(lambda one=listener: bool(one.events))
                listener.hang_up()
                await asyncio.wait_for(listener.task, DEADLINE_S)
                got.extend(event["seq"] for event in listener.events)
                last = got[-1]
            await writing

    run(test)
    assert got == list(range(before + 1, before + 61))


def test_only_the_wanted_accounts_and_kinds_are_told(kit: Kit) -> None:
    async def test() -> None:
        async with kit.serving() as app:
            mine = Listener(app, kit.key, query=f"account_id={ACCOUNT_ID}&kinds=alert_raised")
            none = Listener(app, kit.key, query="kinds=order_filled,order_accepted")
            await mine.until(lambda: mine.status == 200 and none.status == 200)
            await mine.until(lambda: b"listening" in mine.body and b"listening" in none.body)
            kit.alert("of the ledger as a whole", None)
            kit.alert("of the account")
            await mine.until(lambda: len(mine.events) >= 1)
            assert [event["data"]["text"] for event in mine.events] == ["of the account"]
            assert none.events == []

    run(test)


def test_a_listener_is_not_woken_by_what_it_does_not_want_and_misses_nothing_that_it_wants(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[tuple[int, frozenset[str] | None]] = []
    events = kit.services.reader.events

    def noted(tenant_id: Any, ledger_id: Any, after_seq: int, limit: int = 500, **asked: Any) -> Any:
        reads.append((after_seq, asked.get("account_ids")))
        return events(tenant_id, ledger_id, after_seq, limit, **asked)

    monkeypatch.setattr(kit.services.reader, "events", noted)
    other = "00000000-0000-4000-8000-00000000000a"

    async def test() -> None:
        async with kit.serving() as app:
            quiet = Listener(app, kit.key, query=f"account_id={other}")
            await quiet.until(lambda: b"listening after" in quiet.body)
            before = kit.head
            for number in range(5):
                await asyncio.to_thread(kit.alert, f"not for it {number}")
            await quiet.until(lambda: bool(reads) and max(after for after, _ in reads) >= before)
            assert {wanted for _, wanted in reads} == {frozenset({other})}
            await asyncio.to_thread(kit.alert, "for it", other)
            await quiet.until(lambda: len(quiet.events) == 1)
            resumed = Listener(app, {**kit.key, "Last-Event-ID": str(before)})
            everything = Listener(app, kit.key)
            await everything.until(lambda: b"listening after" in everything.body)
            for number in range(5):
                await asyncio.to_thread(kit.alert, f"later {number}", other if number % 2 else ACCOUNT_ID)
            await everything.until(lambda: len(everything.events) == 5)
            await resumed.until(lambda: len(resumed.events) == 11)
            await quiet.until(lambda: len(quiet.events) == 3)
            assert [event["seq"] for event in resumed.events] == list(range(before + 1, before + 12))
            assert [event["seq"] for event in quiet.events] == [before + 6, before + 8, before + 10]

    monkeypatch.setattr(tail, "CALM_S", 0.01)
    run(test)


def test_a_burst_is_told_at_once_and_then_in_bundles(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_app, "COALESCE_S", 0.1)

    async def test() -> None:
        async with kit.serving() as app:
            listener = Listener(app, kit.key)
            await listener.until(lambda: b"listening after" in listener.body)
            before = kit.head
            began = time.monotonic()
            for number in range(60):
                await asyncio.to_thread(kit.alert, f"burst {number}")
            lasted = time.monotonic() - began
            await listener.until(lambda: len(listener.events) == 60)
            assert listener.events[0]["seq"] == before + 1
            assert len(listener.sends) <= (lasted + 0.3) / stream_app.COALESCE_S + 2

    run(test)


def test_another_method_is_told_what_is_allowed(kit: Kit) -> None:
    async def test() -> None:
        async with kit.serving() as app:
            listener = Listener(app, kit.key, method="POST")
            await asyncio.wait_for(listener.task, DEADLINE_S)
            assert (listener.status, listener.headers["allow"]) == (405, "GET, OPTIONS")
            problem = json.loads(listener.body)
            assert (problem["type"], problem["status"]) == ("urn:oms:problem:method_not_allowed", 405)

    run(test)


def test_an_api_key_is_taken_as_a_bearer_token_too(kit: Kit) -> None:
    async def test() -> None:
        async with kit.serving() as app:
            listener = Listener(app, {"Authorization": f"Bearer {kit.key['X-API-Key']}"})
            await listener.until(lambda: listener.status == 200)
            listener.hang_up()
            await asyncio.wait_for(listener.task, DEADLINE_S)

    run(test)


@pytest.mark.parametrize(
    ("headers", "query", "path", "status", "code"),
    [
        ({}, "", "/api/v1/stream", 401, "unauthenticated"),
        ({"X-API-Key": "nonsense"}, "", "/api/v1/stream", 401, "invalid_token"),
        ({"Authorization": "Bearer nonsense"}, "", "/api/v1/stream", 401, "invalid_token"),
        ({"Cookie": "oms_access=nonsense"}, "", "/api/v1/stream", 401, "invalid_token"),
        ("key", "colour=red", "/api/v1/stream", 422, "invalid_request"),
        ("key", "last_event_id=-1", "/api/v1/stream", 422, "invalid_request"),
        ("key", "ledger_id=someone-elses", "/api/v1/stream", 404, "unknown_ledger"),
        ("key", "", "/nowhere", 404, "not_found"),
    ],
)
def test_bad_requests_get_a_problem(kit: Kit, headers: Any, query: str, path: str, status: int, code: str) -> None:
    async def test() -> None:
        async with kit.serving() as app:
            listener = Listener(app, kit.key if headers == "key" else headers, query, path)
            await asyncio.wait_for(listener.task, DEADLINE_S)
            assert listener.status == status
            assert listener.headers["content-type"] == "application/problem+json"
            assert json.loads(listener.body)["code"] == code

    run(test)


def test_a_key_without_the_scope_is_refused_and_one_of_another_account_hears_nothing_of_this(kit: Kit) -> None:
    owner = kit.services.identity.caller_of_key(kit.facts.api_key).principal
    create = kit.services.identity.create_key
    blind = create(owner, "blind", [Scope.PLACE_ORDERS]).api_key
    foreign_account = "00000000-0000-7000-8000-000000000001"
    with kit.services.store.tenant_unit(TENANT_ID) as unit:
        put(
            unit,
            TRADING_ACCOUNTS,
            {"tenant_id": TENANT_ID, "account_id": foreign_account},
            ledger_id=LEDGER_ID,
            name="Another",
            base_currency="USD",
            time_zone="UTC",
            day_roll="00:00:00",
            trading_state="ACTIVE",
            settings={},
        )
    foreign = create(owner, "foreign", [Scope.VIEW_ORDERS], account_ids=[foreign_account]).api_key  # type: ignore[list-item]

    async def test() -> None:
        async with kit.serving() as app:
            refused = Listener(app, {"X-API-Key": blind})
            await asyncio.wait_for(refused.task, DEADLINE_S)
            assert refused.status == 403
            quiet, loud = Listener(app, {"X-API-Key": foreign}), Listener(app, kit.key)
            await quiet.until(lambda: b"listening" in quiet.body and b"listening" in loud.body)
            kit.alert("of the demo's account")
            kit.alert("of the ledger", None)
            await loud.until(lambda: len(loud.events) == 2)
            assert quiet.events == []

    run(test)


def test_a_revoked_key_closes_its_stream_within_seconds(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_app, "LOOK_S", 0.1)
    owner = kit.services.identity.caller_of_key(kit.facts.api_key).principal
    made = kit.services.identity.create_key(owner, "short", [Scope.VIEW_ORDERS])

    async def test() -> None:
        async with kit.serving() as app:
            listener = Listener(app, {"X-API-Key": made.api_key})
            await listener.until(lambda: b"listening" in listener.body)
            kit.services.identity.machine_keys.revoke(owner, made.row.key_id)
            await asyncio.wait_for(listener.task, DEADLINE_S)
            assert b"event: closed" in listener.body

    run(test)


def test_a_session_that_another_process_ends_closes_its_stream_and_no_other(kit: Kit) -> None:
    identity = kit.services.identity
    email, password = "listener@example.com", "a password of the tests"
    user_id = identity.create_user(email, password, TENANT_ID, "VIEWER")
    first, second = (identity.sign_in(email, password) for _ in range(2))
    elsewhere = SessionList(kit.services.store, None, None, None, clock)  # type: ignore[arg-type]

    async def test() -> None:
        async with kit.serving() as app:
            ended, stays = (Listener(app, {"Authorization": f"Bearer {pair.access_token}"}) for pair in (first, second))
            await ended.until(lambda: b"listening" in ended.body and b"listening" in stays.body)
            assert elsewhere.end(first.session_id, Actor(principal_id=f"user:{user_id}"), user_id=user_id)
            await asyncio.wait_for(ended.task, DEADLINE_S)
            assert b"event: closed" in ended.body
            kit.alert("told to those who stay")
            await stays.until(lambda: len(stays.events) == 1)
            assert app.listeners == 1

    run(test)


def test_a_reader_that_does_not_read_is_cut(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream_app, "SEND_LIMIT_S", 0.1)

    async def test() -> None:
        async with kit.serving() as app:
            listener = Listener(app, kit.key)
            await listener.until(lambda: b"listening" in listener.body)
            listener.is_blocked = True
            kit.alert("never read")
            await asyncio.wait_for(listener.task, DEADLINE_S)
            assert app.listeners == 0

    run(test)


def test_an_idle_stream_shows_that_it_lives_and_closing_the_server_ends_it(kit: Kit) -> None:
    async def test() -> None:
        async with kit.serving(keep_alive_s=0.05) as app:
            listener = Listener(app, kit.key)
            await listener.until(lambda: b": still here" in listener.body)
            app.close()
            await asyncio.wait_for(listener.task, DEADLINE_S)

    run(test)


def test_the_dashboards_origin_is_allowed_with_credentials_and_no_other(kit: Kit) -> None:
    async def test() -> None:
        async with kit.serving() as app:
            for origin, allowed in ((URL, True), ("http://localhost:8000", True), ("http://evil.example", False)):
                listener = Listener(app, {**kit.key, "Origin": origin})
                await listener.until(lambda one=listener: one.status == 200)
                assert (listener.headers.get("access-control-allow-origin") == origin) is allowed
                assert ("access-control-allow-credentials" in listener.headers) is allowed
                listener.hang_up()

    run(test)
