"""The audit's own schedules: the leader signs where logs stand, or says what stands in the way; old texts go."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import func, select

from oms_app.bootstrap import Services, build_checkpoints
from oms_app.cli.demo import LEDGER_ID, TENANT_ID
from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.audit_checkpoints import LogDiffers
from oms_app.flow.chores import INDEX_AUDIT, PURGE_AUDIT_TEXTS, SCHEDULES, WRITE_CHECKPOINTS
from oms_app.flow.retention import Retention
from oms_app.store import audit_index, schedules
from oms_app.store.audit_verifier import read_checkpoints
from oms_app.store.tables import AUDIT_TEXTS
from oms_app.store.verify import verify
from oms_app.workers.housekeeping import Housekeeping
from oms_app.workers.leader import Leader
from tests.app_kit import demo_services, demo_settings


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    made, _facts = demo_services(demo_settings(Path(tmp_path_factory.mktemp("audit")) / "home"))
    yield made
    made.close()


def act(services: Services) -> None:
    with services.store.tenant_unit(TENANT_ID) as unit:
        record(unit, Actor("user:a", address="203.0.113.7"), AdminAction("limit.changed", "limit", "1"))


def test_the_leader_signs_each_log_and_notes_what_came_of_it(services: Services) -> None:
    act(services)
    outcomes: list[Exception | None] = [None, LogDiffers("row 5 was changed"), None]
    checkpoints = build_checkpoints(services.settings, services.store)

    def checkpoint() -> int:
        outcome = outcomes.pop(0)
        if outcome is not None:
            raise outcome
        return checkpoints.turn()

    leader = Leader(
        services.store,
        holder="one",
        lease_s=30,
        send=lambda name, **options: None,
        sweep=lambda: 0,
        checkpoint=checkpoint,
        table={WRITE_CHECKPOINTS: SCHEDULES[WRITE_CHECKPOINTS]},
    )
    told = []
    for _ in range(3):
        leader.turn()
        with services.store.read_unit(None) as unit:
            row = schedules.list_schedules(unit)[WRITE_CHECKPOINTS]
        told.append((row.handled > 0, row.error))
    leader.stop()
    assert told == [(True, ""), (False, "LogDiffers: row 5 was changed"), (False, "")]
    head = services.store.heads([LEDGER_ID])[LEDGER_ID]
    points = read_checkpoints(services.settings.audit_folder / f"{LEDGER_ID}.jsonl")
    assert points[-1]["seq"] == head
    assert services.settings.audit_key.stat().st_mode & 0o777 == 0o600


def test_texts_beside_events_are_deleted_by_age_only_where_an_age_is_set(services: Services) -> None:
    act(services)

    def kept() -> int:
        with services.store.read_unit(TENANT_ID) as unit:
            own = AUDIT_TEXTS.c.tenant_id == TENANT_ID
            return unit.connection.scalar(select(func.count()).select_from(AUDIT_TEXTS).where(own)) or 0

    before = kept()
    assert before > 0
    assert Housekeeping(services.store).chores[PURGE_AUDIT_TEXTS]() == 0
    long = Housekeeping(services.store, Retention(audit_texts=timedelta(days=1)))
    assert (long.chores[PURGE_AUDIT_TEXTS](), kept()) == (0, before)
    short = Housekeeping(services.store, Retention(audit_texts=timedelta(seconds=-1)))
    assert short.chores[PURGE_AUDIT_TEXTS]() >= before
    assert kept() == 0
    assert verify(services.store, TENANT_ID, LEDGER_ID).is_clean


def test_the_search_rows_of_every_log_are_made_by_the_clock(services: Services) -> None:
    act(services)
    assert Housekeeping(services.store).chores[INDEX_AUDIT]() > 0
    with services.store.read_unit(TENANT_ID) as unit:
        assert audit_index.indexed_to(unit, LEDGER_ID) == services.store.heads([LEDGER_ID])[LEDGER_ID]
    assert Housekeeping(services.store).chores[INDEX_AUDIT]() == 0
