"""Consumers of the log: no event skipped or lost whatever commits when or dies where, and reading again on request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from oms_app.bootstrap import Services
from oms_app.cli.demo import ACCOUNT_ID, LEDGER_ID, TENANT_ID
from oms_app.flow.consumers import WEBHOOKS, Consumers
from oms_app.flow.publishing import LogReader
from oms_app.flow.strategies import StateConflict, UnknownThing
from oms_app.store import cursors, tenants
from oms_app.store.unit_of_work import CommitUnknown
from oms_app.workers import rows
from oms_app.workers.fan_out import FanOut
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.events import AlertRaised, Severity
from oms_kernel.domain.ids import LedgerId
from tests.app_kit import demo_services, demo_settings
from tests.waiting import until
from tests.workers.test_webhooks import Kit, Receiver

HOMES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]


@pytest.fixture(scope="module", params=HOMES)
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    more = {}
    if request.param == "postgresql":
        more = {
            "OMS_DATABASE_URL": request.getfixturevalue("new_postgres_database")(),
            "OMS_SECRET_KEY": "k" * 48,
            "OMS_ALLOW_PRIVATE_WEBHOOKS": "true",
        }
    made, _facts = demo_services(demo_settings(Path(tmp_path_factory.mktemp("consumers")) / "home", **more))
    yield made
    made.close()


@pytest.fixture
def kit(services: Services, monkeypatch: pytest.MonkeyPatch) -> Iterator[Kit]:
    monkeypatch.setattr("oms_app.workers.fan_out.LOOK_BACK_S", 0.0)
    made = Kit(services)
    made.feed()
    yield made
    made.deliverer.close()
    with made.store.tenant_unit(TENANT_ID) as unit:
        for webhook in rows.webhooks(unit):
            from oms_app.store import webhooks

            webhooks.close_webhook(unit, webhook.webhook_id)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    made = Receiver()
    yield made
    made.close()


def alert(services: Services, ledger_id: str, text: str) -> None:
    event = AlertRaised(severity=Severity.INFO, source="test", text=text, what_to_do="Nothing.")
    services.control.alert(TENANT_ID, LedgerId(ledger_id), event)


def second_ledger(services: Services) -> LedgerId:
    ledger_id = LedgerId(services.new_id())
    with services.store.tenant_unit(TENANT_ID) as unit:
        tenants.create_ledger(unit, ledger_id)
    return ledger_id


def texts(kit: Kit, webhook_id: str) -> list[str]:
    return [json.loads(row.body)["data"]["data"]["text"] for row in kit.deliveries(webhook_id)]


def seen(services: Services, ledger_id: str = LEDGER_ID) -> Any:
    consumers = Consumers(services.store, services.reader).list(TENANT_ID)
    return next(one for one in consumers if (one.name, one.ledger_id) == (WEBHOOKS, ledger_id))


@pytest.mark.parametrize("services", HOMES[1:], indirect=True)
def test_no_event_is_skipped_because_its_ledger_commits_after_a_later_one(kit: Kit) -> None:
    """Two ledgers' transactions are open at once; the one that began first commits last."""
    services = kit.services
    ledgers = [second_ledger(services), second_ledger(services)]
    webhook = kit.add_webhook("https://nobody.example", "whsec_" + "a" * 32)
    begun, go_on = threading.Event(), threading.Event()
    slow = LedgerId(ledgers[0])

    def commit_late() -> None:
        def work(turn: Any) -> None:
            event = AlertRaised(severity=Severity.INFO, source="test", text="began first", what_to_do="Nothing.")
            turn.batch.record(event)
            begun.set()
            assert go_on.wait(5)

        services.desk.transact(TENANT_ID, slow, work)

    thread = threading.Thread(target=commit_late)
    thread.start()
    assert begun.wait(10)
    for number in range(3):
        alert(services, ledgers[1], f"later {number}")
        kit.feed()
    assert texts(kit, webhook) == ["later 0", "later 1", "later 2"]
    go_on.set()
    thread.join()
    kit.feed()
    assert sorted(texts(kit, webhook)) == ["began first", "later 0", "later 1", "later 2"]


@pytest.mark.parametrize("services", HOMES[1:], indirect=True)
def test_within_one_ledger_a_reader_sees_no_hole_while_writers_race(kit: Kit) -> None:
    """Many writers, one reader that advances as fast as it can: every seq is read exactly once and in order."""
    services = kit.services
    ledger_id = second_ledger(services)
    reader = LogReader(services.store)
    read: list[int] = []
    done = threading.Event()

    def follow() -> None:
        while True:
            last_look = done.is_set()
            events = reader.events(TENANT_ID, ledger_id, read[-1] if read else 0, 7)
            read.extend(one.seq for one in events)
            if last_look and not events:
                return

    follower = threading.Thread(target=follow)
    writers = [
        threading.Thread(target=lambda n=n: [alert(services, ledger_id, f"{n}") for _ in range(20)]) for n in range(4)
    ]
    follower.start()
    for one in writers:
        one.start()
    for one in writers:
        one.join()
    done.set()
    follower.join()
    assert read == list(range(1, 81))


@pytest.mark.parametrize("where", ["after the effect", "in the commit"])
def test_what_a_dying_worker_did_not_commit_is_done_by_the_next_one_once(
    kit: Kit, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The delivery rows and the cursor are one transaction: a death between the two leaves neither."""
    webhook = kit.add_webhook("https://nobody.example", "whsec_" + "a" * 32)
    kit.alert("first")
    before = seen(kit.services).seq
    with monkeypatch.context() as patched:
        if where == "after the effect":
            stored = rows.add_deliveries

            def die(unit: Any, deliveries: Any) -> None:
                stored(unit, deliveries)
                raise KeyboardInterrupt("the process dies here")

            patched.setattr("oms_app.workers.rows.add_deliveries", die)
            expected: type[BaseException] = KeyboardInterrupt
        else:
            expected = CommitUnknown
            advance = cursors.advance

            def lose(unit: Any, *arguments: Any) -> bool:
                moved = advance(unit, *arguments)
                raise CommitUnknown("the connection was lost")
                return moved

            patched.setattr("oms_app.store.cursors.advance", lose)
        with pytest.raises(expected):
            kit.feed()
    assert seen(kit.services).seq == before
    assert kit.deliveries(webhook) == []
    heir = FanOut(kit.store, kit.services.reader, kit.services.new_id)
    while heir.turn():
        pass
    assert texts(kit, webhook) == ["first"]


def test_an_effect_whose_commit_was_stored_without_an_answer_is_not_repeated(kit: Kit) -> None:
    webhook = kit.add_webhook("https://nobody.example", "whsec_" + "a" * 32)
    kit.alert("first")
    kit.feed()
    for _ in range(3):
        heir = FanOut(kit.store, kit.services.reader, kit.services.new_id)
        while heir.turn():
            pass
    assert texts(kit, webhook) == ["first"]


def test_consumers_show_how_far_they_are_behind(kit: Kit) -> None:
    kit.alert("first")
    kit.alert("second")
    behind = seen(kit.services)
    assert (behind.lag, behind.head - behind.seq) == (2, 2) and behind.lag_s >= 0
    kit.feed()
    assert (seen(kit.services).lag, seen(kit.services).lag_s) == (0, 0.0)


def test_a_replay_delivers_the_same_messages_again_under_their_old_ids(kit: Kit, receiver: Receiver) -> None:
    webhook = kit.add_webhook(receiver.url, receiver.secret)
    for number in range(3):
        kit.alert(f"n{number}")
    kit.feed()
    assert kit.deliverer.deliver_due(webhook) == 3
    delivered = kit.deliveries(webhook)
    head = seen(kit.services).head
    consumers = Consumers(kit.store, kit.services.reader)
    assert consumers.replay(WEBHOOKS, LEDGER_ID, head - 1) == 2
    kit.feed()
    kit.due_now(webhook)
    assert kit.deliverer.deliver_due(webhook) == 2
    again = kit.deliveries(webhook)
    assert [row.delivery_id for row in again] == [row.delivery_id for row in delivered]
    ids = [headers["webhook-id"] for headers, _body in receiver.got]
    assert ids[3:] == ids[1:3] and len(set(ids)) == 3
    assert [row.status for row in again] == ["DELIVERED"] * 3
    receiver.verified()


def test_a_running_worker_notices_that_a_cursor_was_set_back(kit: Kit, receiver: Receiver) -> None:
    webhook = kit.add_webhook(receiver.url, receiver.secret)
    kit.alert("first")
    kit.feed()
    kit.deliverer.deliver_due(webhook)
    Consumers(kit.store, kit.services.reader).replay(WEBHOOKS, LEDGER_ID, seen(kit.services).head)

    def fed_again() -> bool:
        kit.fan_out.turn()
        return bool(kit.deliveries(webhook)[0].status == "PENDING")

    until(fed_again, "the event is fed again though the log has not moved", 5)


def test_a_replay_of_a_pending_delivery_keeps_its_attempts(kit: Kit, receiver: Receiver) -> None:
    webhook = kit.add_webhook(receiver.url, receiver.secret)
    kit.alert("first")
    kit.feed()
    receiver.answers = [(500, {})]
    kit.deliverer.deliver_due(webhook)
    Consumers(kit.store, kit.services.reader).replay(WEBHOOKS, LEDGER_ID, seen(kit.services).head)
    kit.feed()
    (row,) = kit.deliveries(webhook)
    assert (row.status, row.attempts) == ("PENDING", 1)


def test_a_replay_that_makes_no_sense_is_refused(kit: Kit) -> None:
    consumers = Consumers(kit.store, kit.services.reader)
    kit.alert("first")
    kit.feed()
    head = seen(kit.services).head
    refused: list[tuple[str, str, int, type[Exception]]] = [
        (f"run:{kit.services.new_id()}", LEDGER_ID, 1, StateConflict),
        (WEBHOOKS, kit.services.new_id(), 1, UnknownThing),
        (WEBHOOKS, LEDGER_ID, head + 2, InvalidRequest),
        (WEBHOOKS, LEDGER_ID, 0, InvalidRequest),
    ]
    for name, ledger_id, seq, error in refused:
        with pytest.raises(error):
            consumers.replay(name, LedgerId(ledger_id), seq)
    assert seen(kit.services).seq == head


def test_an_alert_reaches_a_webhook_with_severity_text_and_what_to_do(kit: Kit, receiver: Receiver) -> None:
    webhook = kit.add_webhook(receiver.url, receiver.secret, kinds=("alert_raised",))
    kit.services.control.alert(
        TENANT_ID,
        LEDGER_ID,
        AlertRaised(
            account_id=ACCOUNT_ID,
            severity=Severity.CRITICAL,
            source="reconciliation",
            text="a fill is missing",
            what_to_do="Look at the break.",
        ),
    )
    kit.feed()
    kit.deliverer.deliver_due(webhook)
    (message,) = receiver.verified()
    assert message["type"] == "alert_raised"
    told = message["data"]["data"]
    assert (told["severity"], told["source"], told["text"], told["what_to_do"]) == (
        "CRITICAL",
        "reconciliation",
        "a fill is missing",
        "Look at the break.",
    )
