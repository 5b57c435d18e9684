"""Webhooks: every wanted event arrives signed and in order; failures are tried again, given up, or end the endpoint."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import standardwebhooks
from sqlalchemy import select, update

from oms_app.bootstrap import Services
from oms_app.cli.demo import ACCOUNT_ID, LEDGER_ID, TENANT_ID
from oms_app.store import webhooks
from oms_app.store.tables import DUE_WORK, WEBHOOK_DELIVERIES
from oms_app.workers import delivery, rows
from oms_app.workers.delivery import RETRY_AFTER_S, Deliverer, wait_before
from oms_app.workers.fan_out import FanOut
from oms_kernel.domain.events import AlertRaised, Severity
from tests.app_kit import demo_services, demo_settings


class Receiver:
    """A webhook endpoint on loopback: keeps what it gets, answers as it is told."""

    def __init__(self) -> None:
        self.secret = "whsec_" + base64.b64encode(secrets.token_bytes(32)).decode()
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append((dict(self.headers.items()), body))
                status, headers = receiver.answers.pop(0) if receiver.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *arguments: Any) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}/hook"

    def verified(self) -> list[dict[str, Any]]:
        """Everything that came, each signature checked."""
        check = standardwebhooks.Webhook(self.secret)
        for headers, body in self.got:
            check.verify(body, {name.lower(): value for name, value in headers.items()})
        return [json.loads(body) for _headers, body in self.got]

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class Kit:
    """The worker's parts on a database of their own."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.store = services.store
        self.fan_out = FanOut(services.store, services.reader, services.new_id)
        self.deliverer = self.new_deliverer()

    def new_deliverer(self, **changes: Any) -> Deliverer:
        settings = {
            "holder": "test",
            "allow_private": True,
            "open_credentials": lambda tenant, row, sealed: self.services.sealer.open(tenant, "webhooks", row, sealed),
        }
        services = self.services
        return Deliverer(
            services.store, services.plugins, services.registries, services.control, **{**settings, **changes}
        )

    def add_webhook(self, url: str, secret: str, *, kinds: tuple[str, ...] = ("alert_raised",)) -> str:
        webhook_id = self.services.new_id()
        sealed = self.services.sealer.seal(TENANT_ID, "webhooks", webhook_id, {"secret": secret})
        with self.store.tenant_unit(TENANT_ID) as unit:
            webhooks.create_webhook(
                unit, webhook_id, url=url, sink="signed_post", params={}, event_kinds=kinds, credentials=sealed
            )
        return webhook_id

    def alert(self, text: str) -> None:
        event = AlertRaised(
            account_id=ACCOUNT_ID, severity=Severity.INFO, source="test", text=text, what_to_do="Nothing."
        )
        self.services.control.alert(TENANT_ID, LEDGER_ID, event)

    def feed(self) -> None:
        """Fan out everything that is in the log."""
        while self.fan_out.turn():
            pass

    def deliveries(self, webhook_id: str) -> list[Any]:
        table = WEBHOOK_DELIVERIES
        with self.store.read_unit(TENANT_ID) as unit:
            query = select(table).where(table.c.tenant_id == TENANT_ID, table.c.webhook_id == webhook_id)
            return list(unit.connection.execute(query.order_by(table.c.seq)))

    def due_now(self, webhook_id: str) -> None:
        """Let time pass: what waits for a retry is due."""
        past = timedelta(seconds=1)
        table = WEBHOOK_DELIVERIES
        with self.store.tenant_unit(TENANT_ID) as unit:
            pending = (table.c.tenant_id == TENANT_ID, table.c.webhook_id == webhook_id, table.c.status == "PENDING")
            unit.connection.execute(update(table).where(*pending).values(due_at=unit.now - past))
            unit.connection.execute(
                update(DUE_WORK).where(DUE_WORK.c.work_id == webhook_id).values(due_at=unit.now - past)
            )

    def open_work(self, webhook_id: str) -> bool:
        with self.store.read_unit(None) as unit:
            query = select(DUE_WORK.c.done_at).where(DUE_WORK.c.work_id == webhook_id)
            return unit.connection.execute(query).scalar_one() is None


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    made, _facts = demo_services(demo_settings(Path(tmp_path_factory.mktemp("workers")) / "home"))
    yield made
    made.close()


@pytest.fixture
def kit(services: Services) -> Iterator[Kit]:
    made = Kit(services)
    made.feed()
    yield made
    made.deliverer.close()
    with made.store.tenant_unit(TENANT_ID) as unit:
        for webhook in rows.webhooks(unit):
            webhooks.close_webhook(unit, webhook.webhook_id)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def test_every_wanted_event_arrives_once_signed_and_in_order(kit: Kit, receiver: Receiver) -> None:
    webhook = kit.add_webhook(receiver.url, receiver.secret)
    other = kit.add_webhook(receiver.url, receiver.secret, kinds=("order_filled",))
    for number in range(5):
        kit.alert(f"n{number}")
    kit.feed()
    assert kit.deliverer.deliver_due(webhook) == 5
    told = receiver.verified()
    assert [message["data"]["data"]["text"] for message in told] == [f"n{number}" for number in range(5)]
    assert [message["type"] for message in told] == ["alert_raised"] * 5
    ids = [headers["webhook-id"] for headers, _body in receiver.got]
    assert len(set(ids)) == 5
    assert [row.status for row in kit.deliveries(webhook)] == ["DELIVERED"] * 5
    assert kit.deliveries(other) == []
    assert not kit.open_work(webhook)
    assert kit.deliverer.deliver_due(webhook) == 0


def test_a_new_event_makes_a_finished_webhook_due_again(kit: Kit, receiver: Receiver) -> None:
    webhook = kit.add_webhook(receiver.url, receiver.secret)
    for number in range(2):
        kit.alert(f"n{number}")
        kit.feed()
        assert kit.deliverer.deliver_due(webhook) == 1
    assert len(receiver.got) == 2


def test_a_failed_message_is_tried_again_later_with_the_same_id_and_holds_the_next_one_back(
    kit: Kit, receiver: Receiver
) -> None:
    webhook = kit.add_webhook(receiver.url, receiver.secret)
    kit.alert("first")
    kit.alert("second")
    kit.feed()
    receiver.answers = [(500, {})]
    assert kit.deliverer.deliver_due(webhook) == 1
    first, second = kit.deliveries(webhook)
    assert (first.status, first.attempts, first.last_status_code) == ("PENDING", 1, 500)
    assert first.due_at > first.updated_at + timedelta(seconds=4)
    assert (second.status, second.attempts) == ("PENDING", 0)
    assert kit.deliverer.deliver_due(webhook) == 0, "nothing is due yet"
    kit.due_now(webhook)
    assert kit.deliverer.deliver_due(webhook) == 2
    ids = [headers["webhook-id"] for headers, _body in receiver.got]
    assert ids[0] == ids[1] != ids[2]
    assert [row.status for row in kit.deliveries(webhook)] == ["DELIVERED", "DELIVERED"]
    receiver.verified()


def test_what_the_receiver_asks_to_wait_is_waited(kit: Kit, receiver: Receiver) -> None:
    webhook = kit.add_webhook(receiver.url, receiver.secret)
    kit.alert("first")
    kit.feed()
    receiver.answers = [(429, {"Retry-After": "600"})]
    kit.deliverer.deliver_due(webhook)
    (row,) = kit.deliveries(webhook)
    assert row.due_at - row.updated_at >= timedelta(seconds=599)


def test_a_message_that_never_arrives_becomes_a_dead_letter_and_the_next_one_goes_on(
    kit: Kit, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(delivery, "RETRY_AFTER_S", (1, 1))
    webhook = kit.add_webhook(receiver.url, receiver.secret, kinds=("cash_changed", "trading_state_changed"))
    with kit.store.tenant_unit(TENANT_ID) as unit:
        for seq in (1, 2):
            row = {"delivery_id": kit.services.new_id(), "webhook_id": webhook, "message_id": f"msg_{seq}"}
            about = {"ledger_id": LEDGER_ID, "seq": seq, "event_kind": "cash_changed", "occurred_at": unit.now}
            rows.add_deliveries(unit, [{**row, **about, "body": "{}"}])
    receiver.answers = [(503, {})] * 3
    for _attempt in range(3):
        kit.due_now(webhook)
        kit.deliverer.deliver_due(webhook)
    dead, delivered = kit.deliveries(webhook)
    assert (dead.status, dead.attempts) == ("DEAD", 3)
    assert delivered.status == "DELIVERED"
    alerts = [
        one.event for one in kit.services.reader.events(TENANT_ID, LEDGER_ID, 0) if one.event.kind == "alert_raised"
    ]
    assert any("lost message msg_1" in alert.text for alert in alerts)  # type: ignore[attr-defined]


def test_gone_disables_the_endpoint(kit: Kit, receiver: Receiver) -> None:
    webhook = kit.add_webhook(receiver.url, receiver.secret)
    kit.alert("first")
    kit.alert("second")
    kit.feed()
    receiver.answers = [(410, {})]
    kit.deliverer.deliver_due(webhook)
    assert [row.status for row in kit.deliveries(webhook)] == ["DEAD", "DEAD"]
    assert len(receiver.got) == 1
    with kit.store.read_unit(TENANT_ID) as unit:
        found = webhooks.get_webhook(unit, webhook)
    assert found is not None and not found.is_active
    kit.alert("third")
    kit.feed()
    assert len(kit.deliveries(webhook)) == 2


def test_private_addresses_are_refused_where_the_setting_does_not_allow_them(kit: Kit, receiver: Receiver) -> None:
    strict = kit.new_deliverer(allow_private=False)
    webhook = kit.add_webhook(receiver.url, receiver.secret)
    kit.alert("first")
    kit.feed()
    strict.deliver_due(webhook)
    strict.close()
    assert receiver.got == []
    (row,) = kit.deliveries(webhook)
    assert row.status in {"DEAD", "PENDING"} and row.last_error


def test_a_claimed_webhook_is_left_to_its_claimant(kit: Kit, receiver: Receiver) -> None:
    webhook = kit.add_webhook(receiver.url, receiver.secret)
    kit.alert("first")
    kit.feed()
    with kit.store.platform_unit() as unit:
        assert rows.claim(unit, webhook, "another", timedelta(seconds=60)) is not None
    assert kit.deliverer.deliver_due(webhook) == 0
    with kit.store.read_unit(None) as unit:
        assert rows.due_webhooks(unit, 10) == []


def test_two_fan_outs_of_one_log_make_each_delivery_once(kit: Kit, receiver: Receiver) -> None:
    webhook = kit.add_webhook(receiver.url, receiver.secret)
    second = FanOut(kit.store, kit.services.reader, kit.services.new_id)
    for number in range(4):
        kit.alert(f"n{number}")
        kit.fan_out.turn()
        second.turn()
    kit.feed()
    while second.turn():
        pass
    assert [row.event_kind for row in kit.deliveries(webhook)] == ["alert_raised"] * 4


def test_the_schedule_grows_with_jitter() -> None:
    for attempts, planned in enumerate(RETRY_AFTER_S, start=1):
        assert 0.9 * planned <= wait_before(attempts).total_seconds() <= 1.1 * planned
