"""The queue page: what waits, what died, who minds the schedules; the dead are done again when a person asks."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import msgspec
import pytest
from sqlalchemy import insert, select

from oms_app.bootstrap import Services
from oms_app.flow.chores import DELIVER_WEBHOOK, PURGE_ANSWERS, SCHEDULE_LEASE, Queue
from oms_app.store import leases, schedules, webhooks
from oms_app.store.tables import WEBHOOK_DELIVERIES
from oms_app.workers.queue import declare, make_broker, start_worker
from tests.api.desk import seed
from tests.dashboard.person import Person
from tests.waiting import until


def dead_delivery(person: Person, seq: int = 1, webhook_id: str = "") -> tuple[str, str]:
    """(webhook, delivery) of the person's tenant, the delivery dead."""
    services = person.services
    delivery_id = services.new_id()
    with services.store.tenant_unit(person.tenant_id) as unit:
        if not webhook_id:
            webhook_id = services.new_id()
            rest = {"sink": "signed_post", "params": {}, "event_kinds": ()}
            webhooks.create_webhook(unit, webhook_id, url="https://hooks.example/x", name="Mine", **rest)
        unit.connection.execute(
            insert(WEBHOOK_DELIVERIES).values(
                tenant_id=person.tenant_id,
                delivery_id=delivery_id,
                webhook_id=webhook_id,
                message_id=f"msg_{seq}",
                ledger_id=person.ids["ledger_id"],
                seq=seq,
                event_kind="order_filled",
                body="{}",
                status="DEAD",
                attempts=10,
                due_at=unit.now,
                occurred_at=unit.now,
                last_status_code=500,
                last_error="the receiver answered 500",
                created_at=unit.now,
                updated_at=unit.now,
            )
        )
    return webhook_id, delivery_id


def statuses(person: Person, webhook_id: str) -> list[tuple[str, int]]:
    table = WEBHOOK_DELIVERIES
    with person.services.store.read_unit(person.tenant_id) as unit:
        query = select(table.c.status, table.c.attempts).where(
            table.c.tenant_id == person.tenant_id, table.c.webhook_id == webhook_id
        )
        return [(row.status, row.attempts) for row in unit.connection.execute(query.order_by(table.c.seq))]


def test_the_page_says_that_a_home_without_redis_keeps_its_queues_in_memory(person: Person) -> None:
    page = person.get("/queues")
    assert page.status_code == 200
    assert "keeps its queues in memory" in page.text
    assert "nobody minds them" in page.text and "Nothing was given up" in page.text
    assert "delete idempotency answers older than a day" in page.text


def test_schedules_show_their_leader_their_last_time_and_what_came_of_it(person: Person) -> None:
    with person.services.store.platform_unit() as unit:
        assert leases.acquire(unit, SCHEDULE_LEASE, "worker@here:1", timedelta(seconds=30)) is not None
        assert schedules.fire(unit, PURGE_ANSWERS, None, "worker@here:1")
        schedules.finish(unit, PURGE_ANSWERS, error="ValueError: the disk is full")
    text = person.get("/queues/board").text
    assert "minded by worker@here:1" in text
    assert "ValueError: the disk is full" in text and "Failed" in text


def test_a_dead_delivery_is_shown_with_its_reason_and_replayed_by_its_button(person: Person) -> None:
    webhook_id, delivery_id = dead_delivery(person)
    text = person.get("/queues").text
    assert "the receiver answered 500" in text and f"delivery-{delivery_id}" in text
    answer = person.post(f"/queues/webhooks/{webhook_id}/deliveries/{delivery_id}/replay")
    assert answer.status_code == 200 and "1 delivery will be done again" in answer.headers["HX-Trigger"]
    assert f"delivery-{delivery_id}" not in answer.text
    assert statuses(person, webhook_id) == [("PENDING", 0)]


def test_all_dead_deliveries_of_a_webhook_are_replayed_at_once(person: Person) -> None:
    webhook_id, _ = dead_delivery(person)
    for seq in (2, 3):
        dead_delivery(person, seq, webhook_id)
    answer = person.post(f"/queues/webhooks/{webhook_id}/replay")
    assert "3 deliveries will be done again" in answer.headers["HX-Trigger"]
    assert statuses(person, webhook_id) == [("PENDING", 0)] * 3
    again = person.post(f"/queues/webhooks/{webhook_id}/replay")
    assert "nothing to replay" in again.headers["HX-Trigger"]


def test_a_disabled_webhooks_dead_deliveries_stay_dead(person: Person) -> None:
    webhook_id, delivery_id = dead_delivery(person)
    with person.services.store.tenant_unit(person.tenant_id) as unit:
        webhooks.update_webhook(unit, webhook_id, is_active=False)
    answer = person.post(f"/queues/webhooks/{webhook_id}/deliveries/{delivery_id}/replay")
    assert answer.status_code == 422 and "set is_active first" in answer.text
    assert statuses(person, webhook_id) == [("DEAD", 10)]


def test_a_form_of_another_site_and_a_role_without_the_scope_are_refused(person: Person, services: Services) -> None:
    webhook_id, delivery_id = dead_delivery(person)
    path = f"/queues/webhooks/{webhook_id}/deliveries/{delivery_id}/replay"
    forged = person.client.post(path, headers={"HX-Request": "true"})
    assert forged.status_code == 403 and statuses(person, webhook_id) == [("DEAD", 10)]
    trader = Person(services, person.ids, "trader@example.com", "TRADER")
    trader.sign_in()
    assert trader.get("/queues").status_code == 403
    assert trader.post(path).status_code == 403
    assert statuses(person, webhook_id) == [("DEAD", 10)]


# With Redis -------------------------------------------------------------------------------------------------


@pytest.fixture
def shared(services: Services, redis_url: str) -> Iterator[Person]:
    """An administrator of a home whose queues are in Redis."""
    on_redis = msgspec.structs.replace(
        services, settings=msgspec.structs.replace(services.settings, redis_url=redis_url)
    )
    someone = Person(on_redis, seed(services), "admin@example.com", "ADMIN")
    someone.sign_in()
    yield someone


def fail(*_: Any) -> None:
    raise ValueError("this cannot be done")


def letters(redis_url: str, *sends: tuple[str, tuple[str, ...]]) -> None:
    """Let these messages die."""
    broker: Any = make_broker(redis_url)
    actors = declare(broker, {DELIVER_WEBHOOK: fail})
    worker = start_worker(broker, 1)
    for name, arguments in sends:
        actors[name].send(*arguments)
    try:
        key = f"oms:{Queue.WEBHOOKS}.XQ"
        until(lambda: broker.client.zcard(key) == len(sends), "they are dead", 15)
    finally:
        worker.stop()
        broker.close()


def test_queues_are_counted_and_a_dead_message_is_put_back(shared: Person, redis_url: str) -> None:
    webhook_id, _ = dead_delivery(shared)
    letters(redis_url, (DELIVER_WEBHOOK, (webhook_id,)))
    text = shared.get("/queues").text
    assert "ValueError: this cannot be done" in text and "deliver what a webhook is due" in text
    letter = text.split('id="letter-')[1].split('"')[0]
    answer = shared.post(f"/queues/letters/{letter}/replay")
    assert "1 message will be done again" in answer.headers["HX-Trigger"]
    assert "letter-" not in answer.text
    again = shared.post(f"/queues/letters/{letter}/replay")
    assert "nothing to replay" in again.headers["HX-Trigger"]


def test_dead_messages_about_another_tenants_webhook_are_neither_shown_nor_replayed(
    shared: Person, redis_url: str
) -> None:
    letters(redis_url, (DELIVER_WEBHOOK, (shared.services.new_id(),)))
    assert "letter-" not in shared.get("/queues").text


def test_the_page_works_while_redis_is_away(services: Services) -> None:
    settings = msgspec.structs.replace(services.settings, redis_url="redis://127.0.0.1:1/0")
    someone = Person(msgspec.structs.replace(services, settings=settings), seed(services), "a@example.com", "ADMIN")
    someone.sign_in()
    page = someone.get("/queues")
    assert page.status_code == 200 and "Redis does not answer" in page.text
