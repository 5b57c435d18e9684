"""Schedules: one worker leads, each hour is minded once whoever leads, and chores delete what they say and no more."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pendulum
import pytest
from sqlalchemy import func, insert, select, update

from oms_app.bootstrap import Services
from oms_app.cli.demo import ACCOUNT_ID, LEDGER_ID, TENANT_ID
from oms_app.flow.chores import PURGE_ANSWERS, PURGE_DELIVERIES, PURGE_SIGN_INS, SCHEDULE_LEASE, SCHEDULES, SWEEP_ORDERS
from oms_app.store import leases, schedules, webhooks
from oms_app.store.tables import (
    CLIENT_ORDER_IDS,
    IDEMPOTENCY_KEYS,
    LEASES,
    USER_SESSIONS,
    USERS,
    WEBHOOK_DELIVERIES,
)
from oms_app.store.tables import SCHEDULES as SCHEDULE_ROWS
from oms_app.workers.housekeeping import Housekeeping
from oms_app.workers.leader import Leader, is_due, next_time
from tests.app_kit import demo_services, demo_settings
from tests.waiting import until

HOMES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]


@pytest.fixture(scope="module", params=HOMES)
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    more = {}
    if request.param == "postgresql":
        more = {"OMS_DATABASE_URL": request.getfixturevalue("new_postgres_database")(), "OMS_SECRET_KEY": "k" * 48}
    made, _facts = demo_services(demo_settings(Path(tmp_path_factory.mktemp("schedules")) / "home", **more))
    yield made
    made.close()


@pytest.fixture
def fresh(services: Services) -> Iterator[Services]:
    """The services with nobody leading."""
    yield services
    with services.store.platform_unit() as unit:
        unit.connection.execute(update(LEASES).where(LEASES.c.resource == SCHEDULE_LEASE).values(expires_at=None))


class Candidate:
    """A worker that stands for leader, and what it sent and swept."""

    def __init__(self, services: Services, name: str, lease_s: float = 30.0, table: Any = SCHEDULES) -> None:
        self.sent: list[str] = []
        self.sweeps = 0
        self.leader = Leader(
            services.store,
            holder=name,
            lease_s=lease_s,
            send=lambda schedule, **options: self.sent.append(schedule),
            sweep=self._sweep,
            table=table,
        )

    def _sweep(self) -> int:
        self.sweeps += 1
        return 0


def long_ago(services: Services, name: str, ago: timedelta) -> None:
    """Let the schedule have been due last so long ago."""
    with services.store.platform_unit() as unit:
        unit.connection.execute(
            update(SCHEDULE_ROWS).where(SCHEDULE_ROWS.c.name == name).values(fired_at=unit.now - ago)
        )


def test_one_of_two_leads_and_the_other_one_takes_over_when_it_stops(fresh: Services) -> None:
    first, second = Candidate(fresh, "first"), Candidate(fresh, "second")
    first.leader.turn()
    second.leader.turn()
    assert (first.leader.leads, second.leader.leads) == (True, False)
    assert (first.sweeps, second.sweeps) == (1, 0)
    first.leader.stop()
    successor = Candidate(fresh, "successor")
    successor.leader.turn()
    assert successor.leader.leads
    with fresh.store.read_unit(None) as unit:
        lease = leases.get(unit, SCHEDULE_LEASE)
    assert lease is not None and lease.holder == "successor"


def test_a_leader_that_died_is_followed_once_its_lease_ends_and_cannot_go_on(fresh: Services) -> None:
    dead = Candidate(fresh, "dead", lease_s=0.4)
    dead.leader.turn()
    assert dead.leader.leads
    heir = Candidate(fresh, "heir", lease_s=0.4)

    def takes_over() -> bool:
        heir.leader.turn()
        return heir.leader.leads

    until(takes_over, "another worker leads", 5)
    sweeps = dead.sweeps
    dead.leader.turn()
    assert not dead.leader.leads and dead.sweeps == sweeps


def test_a_due_schedule_is_fired_once_whoever_leads_and_missed_hours_are_made_up_for_by_one_run(
    fresh: Services,
) -> None:
    first = Candidate(fresh, "first")
    first.leader.turn()
    assert set(first.sent) <= {PURGE_ANSWERS, PURGE_DELIVERIES, PURGE_SIGN_INS}, "what was never due is due at once"
    first.sent.clear()
    long_ago(fresh, PURGE_ANSWERS, timedelta(hours=5))
    assert first.leader.turn() == [PURGE_ANSWERS]
    assert first.leader.turn() == []
    first.leader.stop()
    second = Candidate(fresh, "second")
    second.leader.turn()
    assert (first.sent, second.sent) == ([PURGE_ANSWERS], [])
    with fresh.store.read_unit(None) as unit:
        row = schedules.list_schedules(unit)[PURGE_ANSWERS]
    assert (row.fired_by, row.finished_at) == ("first", None)


def test_two_that_both_believe_to_lead_fire_a_schedule_once(fresh: Services) -> None:
    Candidate(fresh, "first").leader.turn()
    with fresh.store.read_unit(None) as unit:
        known = schedules.list_schedules(unit)[PURGE_ANSWERS].fired_at
    won = []
    for name in ("one", "other"):
        with fresh.store.platform_unit() as unit:
            won.append(schedules.fire(unit, PURGE_ANSWERS, known, name))
    assert won == [True, False]


def test_the_leader_sweeps_in_its_own_thread_each_second_and_stops_at_once(fresh: Services) -> None:
    candidate = Candidate(fresh, "threaded")
    candidate.leader.start()
    until(lambda: candidate.sweeps >= 2, "it sweeps", 10)
    candidate.leader.stop()
    assert not candidate.leader.leads
    assert [thread for thread in threading.enumerate() if thread.name == "schedules"] == []


@pytest.mark.parametrize("name", [one.name for one in SCHEDULES.values() if one.cron])
def test_the_next_time_of_every_schedule_is_the_first_minute_that_its_line_names(name: str) -> None:
    schedule = SCHEDULES[name]
    minute, hour, *_days = schedule.cron.split()
    assert _days == ["*", "*", "*"]
    at = datetime(2026, 12, 30, 22, 5, 59, 999_999, tzinfo=UTC)
    for _ in range(60):
        following = next_time(schedule, at)
        assert following > at and following.minute == int(minute) and following.second == 0
        assert hour == "*" or following.hour == int(hour)
        assert following - at <= timedelta(days=1)
        at = pendulum.instance(following) + timedelta(minutes=7)
    assert SCHEDULES[SWEEP_ORDERS].every_s == 1.0 and "every 1 s" == SCHEDULES[SWEEP_ORDERS].shown


def test_a_schedule_that_was_never_due_is_due_at_once_and_then_at_its_hour() -> None:
    schedule = SCHEDULES[PURGE_ANSWERS]
    at = datetime(2026, 11, 20, 12, 7, 30, tzinfo=UTC)
    row = schedules.ScheduleRow(PURGE_ANSWERS, at, "", None, "", 0)
    assert is_due(schedule, None, at)
    assert not is_due(schedule, row, at + timedelta(minutes=59))
    assert is_due(schedule, row, at + timedelta(minutes=60))


# What the chores delete -------------------------------------------------------------------------------------


def count(services: Services, table: Any, *where: Any) -> int:
    with services.store.read_unit(TENANT_ID) as unit:
        of_tenant = (table.c.tenant_id == TENANT_ID,) if table is not USER_SESSIONS else ()
        query = select(func.count()).select_from(table).where(*of_tenant, *where)
        found: int = unit.connection.scalar(query) or 0
        return found


def test_answers_older_than_a_day_are_deleted_and_client_order_ids_stay(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("oms_app.store.purging.AT_ONCE", 2)
    with services.store.tenant_unit(TENANT_ID) as unit:
        for number, hours in enumerate((23, 25, 26, 48, 72, 100)):
            values = {"principal": "key:purge", "operation": "place", "key": f"k{number}", "fingerprint": b"f"}
            times = {"created_at": unit.now - timedelta(hours=hours)}
            rest = {"status_code": 201, "order_versions": "[]", "extra": "{}"}
            unit.connection.execute(insert(IDEMPOTENCY_KEYS).values(tenant_id=TENANT_ID, **values, **times, **rest))
        unit.connection.execute(
            insert(CLIENT_ORDER_IDS).values(
                tenant_id=TENANT_ID,
                ledger_id=LEDGER_ID,
                account_id=ACCOUNT_ID,
                client_order_id="mine",
                order_id=services.new_id(),
            )
        )
    keeping = Housekeeping(services.store)
    assert keeping.chores[PURGE_ANSWERS]() == 5
    assert count(services, IDEMPOTENCY_KEYS, IDEMPOTENCY_KEYS.c.principal == "key:purge") == 1
    assert keeping.chores[PURGE_ANSWERS]() == 0
    assert count(services, CLIENT_ORDER_IDS) == 1


def test_deliveries_are_deleted_after_a_week_and_dead_ones_after_a_month_and_pending_ones_never(
    services: Services,
) -> None:
    webhook_id = services.new_id()
    with services.store.tenant_unit(TENANT_ID) as unit:
        webhooks.create_webhook(
            unit, webhook_id, url="https://x.example", sink="signed_post", params={}, event_kinds=()
        )
        for seq, (status, days) in enumerate(
            [("DELIVERED", 6), ("DELIVERED", 8), ("DEAD", 29), ("DEAD", 31), ("PENDING", 400)], start=1
        ):
            at = unit.now - timedelta(days=days)
            unit.connection.execute(
                insert(WEBHOOK_DELIVERIES).values(
                    tenant_id=TENANT_ID,
                    delivery_id=services.new_id(),
                    webhook_id=webhook_id,
                    message_id=f"m{seq}",
                    ledger_id=LEDGER_ID,
                    seq=seq,
                    event_kind="alert_raised",
                    body="{}",
                    status=status,
                    due_at=at,
                    occurred_at=at,
                    delivered_at=at if status == "DELIVERED" else None,
                    created_at=at,
                    updated_at=at,
                )
            )
    assert Housekeeping(services.store).chores[PURGE_DELIVERIES]() == 2
    table = WEBHOOK_DELIVERIES
    with services.store.read_unit(TENANT_ID) as unit:
        left = unit.connection.scalars(
            select(table.c.message_id).where(table.c.tenant_id == TENANT_ID, table.c.webhook_id == webhook_id)
        ).all()
    assert sorted(left) == ["m1", "m3", "m5"]


def test_sign_ins_are_deleted_a_week_after_their_end(services: Services) -> None:
    with services.store.platform_unit() as unit:
        user_id = unit.connection.scalar(select(USERS.c.user_id))
        ends: list[tuple[int, int | None]] = [(1, None), (-6, None), (-8, None), (20, -8), (20, -6)]
        for number, (expires, revoked) in enumerate(ends):
            unit.connection.execute(
                insert(USER_SESSIONS).values(
                    session_id=services.new_id(),
                    user_id=user_id,
                    tenant_id=TENANT_ID,
                    refresh_hash=bytes([number]),
                    expires_at=unit.now + timedelta(days=expires),
                    revoked_at=unit.now + timedelta(days=revoked) if revoked is not None else None,
                    created_at=unit.now,
                    updated_at=unit.now,
                )
            )
    before = count(services, USER_SESSIONS)
    assert Housekeeping(services.store).chores[PURGE_SIGN_INS]() == 2
    assert count(services, USER_SESSIONS) == before - 2


def test_what_came_of_a_chore_stands_beside_its_schedule(fresh: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    Candidate(fresh, "first").leader.turn()
    keeping = Housekeeping(fresh.store)
    keeping.chores[PURGE_SIGN_INS]()

    def noted() -> schedules.ScheduleRow:
        with fresh.store.read_unit(None) as unit:
            return schedules.list_schedules(unit)[PURGE_SIGN_INS]

    assert noted().finished_at is not None and noted().error == ""

    def fail(unit: Any, before: Any) -> int:
        raise ValueError("the disk is full")

    monkeypatch.setattr("oms_app.store.purging.sign_ins", fail)
    failing: Callable[[], int] = Housekeeping(fresh.store).chores[PURGE_SIGN_INS]
    with pytest.raises(ValueError):
        failing()
    assert noted().error == "ValueError: the disk is full"
