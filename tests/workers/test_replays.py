"""Dead letters and consumers from the outside: the API and the command line list them and let them be done again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from oms_app.bootstrap import Services, create_app
from oms_app.cli.demo import LEDGER_ID, TENANT_ID, DemoFacts
from oms_app.cli.main import cli
from oms_app.flow.chores import DELIVER_WEBHOOK, PURGE_ANSWERS
from oms_app.store import webhooks
from oms_app.workers import delivery
from oms_app.workers.queue import declare, make_broker, start_worker
from tests.app_kit import CHEAP, demo_services, demo_settings
from tests.waiting import until
from tests.workers.test_webhooks import Kit, Receiver


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Services, DemoFacts]]:
    made = demo_services(demo_settings(Path(tmp_path_factory.mktemp("replays")) / "home"))
    yield made
    made[0].close()


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


class Outside:
    """The application as people reach it, and the worker's parts behind it."""

    def __init__(self, services: Services, facts: DemoFacts) -> None:
        self.kit = Kit(services)
        self.kit.feed()
        self.services = services
        self.client = create_app(services).test_client()
        self.headers = {"X-API-Key": facts.api_key}
        self.env = {"OMS_HOME": str(services.settings.home), **CHEAP}

    def ask(self, method: str, path: str) -> Any:
        return self.client.open(f"/api/v1{path}", method=method, headers=self.headers)

    def oms(self, *words: str, **variables: str) -> Result:
        return CliRunner().invoke(cli, list(words), env={**self.env, **variables})

    def dead(self, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> tuple[str, str]:
        """(webhook, delivery) that was given up."""
        monkeypatch.setattr(delivery, "RETRY_AFTER_S", ())
        webhook_id = self.kit.add_webhook(receiver.url, receiver.secret, kinds=("cash_changed",))
        from oms_app.workers import rows

        with self.kit.store.tenant_unit(TENANT_ID) as unit:
            row = {"delivery_id": self.services.new_id(), "webhook_id": webhook_id, "message_id": "msg_1", "body": "{}"}
            about = {"ledger_id": LEDGER_ID, "seq": 1, "event_kind": "cash_changed", "occurred_at": unit.now}
            rows.add_deliveries(unit, [{**row, **about}])
        receiver.answers = [(500, {})]
        self.kit.deliverer.deliver_due(webhook_id)
        (found,) = self.kit.deliveries(webhook_id)
        assert found.status == "DEAD"
        return webhook_id, found.delivery_id


@pytest.fixture
def outside(demo: tuple[Services, DemoFacts]) -> Iterator[Outside]:
    made = Outside(*demo)
    yield made
    made.kit.deliverer.close()


def test_a_dead_delivery_is_replayed_through_the_api_and_arrives_under_its_old_id(
    outside: Outside, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook_id, delivery_id = outside.dead(receiver, monkeypatch)
    path = f"/webhooks/{webhook_id}/deliveries/{delivery_id}/replay"
    answer = outside.ask("POST", path)
    assert (answer.status_code, answer.json["status"], answer.json["attempts"]) == (202, "PENDING", 0)
    again = outside.ask("POST", path)
    assert again.status_code == 202 and again.json["due_at"] == answer.json["due_at"], "a pending one stays as it is"
    outside.kit.deliverer.deliver_due(webhook_id)
    assert [headers["webhook-id"] for headers, _body in receiver.got] == ["msg_1", "msg_1"]
    listed = outside.ask("GET", f"/webhooks/{webhook_id}/deliveries?status=DELIVERED").json["items"]
    assert [one["delivery_id"] for one in listed] == [delivery_id]


def test_a_replay_of_what_is_not_there_or_not_active_is_refused(
    outside: Outside, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook_id, delivery_id = outside.dead(receiver, monkeypatch)
    nobody = outside.services.new_id()
    for path in (f"/webhooks/{webhook_id}/deliveries/{nobody}", f"/webhooks/{nobody}/deliveries/{delivery_id}"):
        assert outside.ask("POST", f"{path}/replay").status_code == 404
    with outside.kit.store.tenant_unit(TENANT_ID) as unit:
        webhooks.update_webhook(unit, webhook_id, is_active=False)
    refused = outside.ask("POST", f"/webhooks/{webhook_id}/deliveries/{delivery_id}/replay")
    assert (refused.status_code, refused.json["code"]) == (409, "conflict")


def test_consumers_are_listed_through_the_api(outside: Outside) -> None:
    outside.kit.alert("one")
    (consumer,) = outside.ask("GET", "/consumers").json["items"]
    assert (consumer["name"], consumer["ledger_id"], consumer["lag"]) == ("webhooks", LEDGER_ID, 1)
    assert float(consumer["lag_s"]) >= 0
    outside.kit.feed()
    assert outside.ask("GET", "/consumers").json["items"][0]["lag"] == 0


def test_consumers_are_listed_and_set_back_on_the_command_line(outside: Outside) -> None:
    outside.kit.alert("one")
    outside.kit.feed()
    (consumer,) = json.loads(outside.oms("consumers", "list", "--json").output)
    assert consumer["name"] == "webhooks" and consumer["lag"] == 0
    told = outside.oms("consumers", "list")
    assert told.exit_code == 0 and "webhooks" in told.output
    back = outside.oms("consumers", "replay", "webhooks", "--ledger", LEDGER_ID, "--from", str(consumer["head"]))
    assert back.exit_code == 0 and "reads 1 events" in back.output
    (behind,) = json.loads(outside.oms("consumers", "list", "--json").output)
    assert behind["lag"] == 2  # the event, and the record of this replay
    refused = outside.oms("consumers", "replay", "run:x", "--ledger", LEDGER_ID, "--from", "1")
    assert refused.exit_code == 1 and "must not read events twice" in refused.output


def test_dead_deliveries_are_listed_and_replayed_on_the_command_line(
    outside: Outside, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    webhook_id, delivery_id = outside.dead(receiver, monkeypatch)
    listed = json.loads(outside.oms("queues", "dead", "list", "--json").output)
    found = next(one for one in listed if one["id"] == delivery_id)
    assert (found["queue"], found["webhook_id"]) == ("delivery", webhook_id) and found["error"]
    told = outside.oms("queues", "dead", "list")
    assert told.exit_code == 0 and delivery_id in told.output
    assert outside.oms("queues", "dead", "replay").exit_code == 2
    assert outside.oms("queues", "dead", "replay", "nonsense").exit_code == 1
    replayed = outside.oms("queues", "dead", "replay", delivery_id)
    assert replayed.exit_code == 0 and "1 replayed" in replayed.output
    assert outside.kit.deliveries(webhook_id)[0].status == "PENDING"


def test_the_queues_schedules_and_webhooks_are_listed_with_and_without_redis(outside: Outside, redis_url: str) -> None:
    embedded = json.loads(outside.oms("queues", "list", "--json").output)
    assert not embedded["is_shared"] and embedded["queues"] == []
    assert "sweep_orders" in {one["name"] for one in embedded["schedules"]}
    told = outside.oms("queues", "list")
    assert told.exit_code == 0 and "in the worker's own memory" in told.output
    shared = json.loads(outside.oms("queues", "list", "--json", OMS_REDIS_URL=redis_url).output)
    assert [one["queue"] for one in shared["queues"]] == ["webhooks", "mail", "housekeeping"]
    away = outside.oms("queues", "list", OMS_REDIS_URL="redis://127.0.0.1:1/0")
    assert away.exit_code == 4 and "Redis does not answer" in away.output


def test_dead_messages_are_listed_and_replayed_on_the_command_line(outside: Outside, redis_url: str) -> None:
    failing = [True]
    done: list[str] = []

    def work(*arguments: str) -> None:
        if failing[0]:
            raise ValueError("cannot")
        done.extend(arguments)

    broker: Any = make_broker(redis_url)
    actors = declare(broker, {DELIVER_WEBHOOK: work, PURGE_ANSWERS: work})
    worker = start_worker(broker, 1)
    try:
        actors[DELIVER_WEBHOOK].send("a webhook")
        until(lambda: broker.client.zcard("oms:webhooks.XQ") == 1, "it is dead", 10)

        def message() -> Any:
            listed = json.loads(outside.oms("queues", "dead", "list", "--json", OMS_REDIS_URL=redis_url).output)
            return next((one for one in listed if one["queue"] == "webhooks" and one["error"]), None)

        letter = until(message, "its reason is told", 10)
        assert (letter["what"], letter["error"]) == ("deliver_webhook(a webhook)", "ValueError: cannot")
        failing[0] = False
        replayed = outside.oms("queues", "dead", "replay", letter["id"], OMS_REDIS_URL=redis_url)
        assert replayed.exit_code == 0 and "1 replayed" in replayed.output
        until(lambda: done == ["a webhook"], "it ran again", 10)
    finally:
        worker.stop()
        broker.close()


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("worker", "--queues", "nonsense"), 2),
        (("worker", "--queues", " , "), 2),
        (("worker", "--only", "nonsense"), 2),
        (("worker", "--help"), 0),
    ],
)
def test_the_workers_options_name_what_there_is(outside: Outside, words: tuple[str, ...], code: int) -> None:
    result = outside.oms(*words)
    assert result.exit_code == code
    assert "webhooks, mail, housekeeping" in result.output or "schedules" in result.output
