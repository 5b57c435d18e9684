"""Checkpoints: signed lines outside of the database, by which a cut or newly computed log is found."""

import json
import sqlite3
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.audit_check import check
from oms_app.flow.audit_checkpoints import AT_MOST, EVERY, Checkpoints, LogDiffers, signer_of
from oms_app.store import chain, migrate, tenants
from oms_app.store.audit_verifier import Unreadable, check_checkpoints, read_checkpoints
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import EVENT_LOG, LEDGERS
from oms_kernel.domain.ids import LedgerId, TenantId


class Trail:
    """One tenant's log on SQLite, its checkpoints, and a clock that stands."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "oms.db"
        migrate.upgrade(f"sqlite:///{self.file}")
        self.store = SqlStore(f"sqlite:///{self.file}", clock=lambda: self.now)
        self.now = datetime(2026, 11, 20, 12, tzinfo=UTC)
        self.tenant_id, self.ledger_id = TenantId(str(uuid.uuid4())), LedgerId(str(uuid.uuid4()))
        with self.store.tenant_unit(self.tenant_id) as unit:
            tenants.create_tenant(unit, "Audited")
            tenants.create_ledger(unit, self.ledger_id)
        self.folder, self.key = folder / "audit", folder / "audit_key"
        self.checkpoints = self.writer()

    def writer(self) -> Checkpoints:
        return Checkpoints(self.store, self.folder, partial(signer_of, self.key), lambda: self.now)

    def act(self, count: int = 1) -> None:
        with self.store.tenant_unit(self.tenant_id) as unit:
            for number in range(count):
                record(unit, Actor("system:test"), AdminAction("limit.changed", "limit", str(number)))

    def findings(self, public_key: str = "") -> tuple[int | None, tuple[str, ...]]:
        path = self.checkpoints.path(self.ledger_id)
        report = check(self.store, self.tenant_id, self.ledger_id, path, public_key)
        return report.first_bad_seq, report.findings

    def tamper(self, *statements: str) -> None:
        with sqlite3.connect(self.file) as connection:
            for statement in statements:
                assert connection.execute(statement).rowcount > 0, statement

    def rechain(self) -> None:
        """Compute every hash anew, as somebody would who knows how it is done and owns the database."""
        present = chain.genesis(self.tenant_id, self.ledger_id)
        with self.store.tenant_unit(self.tenant_id) as unit:
            own = EVENT_LOG.c.tenant_id == self.tenant_id
            rows = unit.connection.execute(EVENT_LOG.select().where(own).order_by(EVENT_LOG.c.seq)).all()
            for row in rows:
                present = chain.hash_of_row(present, row)
                which = own & (EVENT_LOG.c.ledger_id == self.ledger_id) & (EVENT_LOG.c.seq == row.seq)
                unit.connection.execute(EVENT_LOG.update().where(which).values(hash=present))
            head = {"seq": len(rows), "head_hash": present}
            unit.connection.execute(LEDGERS.update().where(LEDGERS.c.ledger_id == self.ledger_id).values(head))


@pytest.fixture
def trail(tmp_path: Path) -> Iterator[Trail]:
    made = Trail(tmp_path)
    yield made
    made.store.close()


def test_a_log_with_news_gets_a_signed_checkpoint_and_one_without_none(trail: Trail) -> None:
    assert trail.checkpoints.turn() == 0
    trail.act(3)
    assert trail.checkpoints.turn() == 1
    (point,) = read_checkpoints(trail.checkpoints.path(trail.ledger_id))
    assert (point["seq"], point["tenant_id"], point["ledger_id"]) == (3, trail.tenant_id, trail.ledger_id)
    assert check_checkpoints([point]) == ([], 1)
    assert trail.checkpoints.turn() == 0
    assert trail.findings() == (None, ())


def test_the_next_one_is_written_after_a_minute_or_a_thousand_records(trail: Trail) -> None:
    trail.act()
    trail.checkpoints.turn()
    trail.act()
    trail.now += EVERY - timedelta(seconds=1)
    assert trail.checkpoints.turn() == 0
    trail.now += timedelta(seconds=1)
    assert trail.checkpoints.turn() == 1
    trail.act(AT_MOST + 5)
    assert trail.checkpoints.turn() == 2
    points = read_checkpoints(trail.checkpoints.path(trail.ledger_id))
    assert [point["seq"] for point in points] == [1, 2, AT_MOST + 2, AT_MOST + 7]
    assert check_checkpoints(points) == ([], 4)


def test_another_writer_goes_on_in_the_same_file_with_the_same_key(trail: Trail) -> None:
    trail.act()
    trail.checkpoints.turn()
    trail.act()
    assert trail.writer().turn(at_once=True) == 1
    points = read_checkpoints(trail.checkpoints.path(trail.ledger_id))
    assert check_checkpoints(points, points[0]["public_key"]) == ([], 2)


def test_the_key_is_private_and_a_line_that_was_cut_short_is_written_anew(trail: Trail) -> None:
    trail.act()
    trail.checkpoints.turn()
    assert trail.key.stat().st_mode & 0o777 == 0o600
    path = trail.checkpoints.path(trail.ledger_id)
    path.write_bytes(path.read_bytes() + b'{"format": "oms-audit-chec')
    trail.act()
    with pytest.raises(Unreadable):
        read_checkpoints(path)
    trail.now += EVERY
    assert trail.checkpoints.turn() == 1
    assert check_checkpoints(read_checkpoints(path))[0] == []


def test_a_cut_off_end_is_found(trail: Trail) -> None:
    trail.act(5)
    trail.checkpoints.turn()
    trail.tamper("DELETE FROM event_log WHERE seq > 3 AND kind = 'admin_acted'")
    trail.rechain()
    assert trail.findings()[0] == 4


def test_a_log_that_was_computed_anew_is_found_and_gets_no_checkpoint(trail: Trail) -> None:
    trail.act(5)
    trail.checkpoints.turn()
    trail.tamper("UPDATE event_log SET payload = replace(payload, 'system:test', 'system:evil') WHERE seq = 4")
    assert trail.findings()[0] == 4
    trail.rechain()
    assert trail.findings()[0] == 4
    trail.act()
    trail.now += EVERY
    with pytest.raises(LogDiffers, match="row 5 is not the one that was vouched for"):
        trail.checkpoints.turn()


def test_a_changed_row_that_no_checkpoint_covers_yet_stops_the_next_one(trail: Trail) -> None:
    trail.act(2)
    trail.tamper("UPDATE event_log SET recorded_at = '2020-01-01T00:00:00.000000+00:00' WHERE seq = 1")
    with pytest.raises(LogDiffers, match="row 1 is missing or was changed"):
        trail.checkpoints.turn()
    assert trail.findings()[0] == 1


def test_a_ledger_whose_head_was_moved_is_found(trail: Trail) -> None:
    trail.act(2)
    trail.tamper(f"UPDATE ledgers SET head_hash = x'00' WHERE ledger_id = '{trail.ledger_id}'")
    assert trail.findings() == (2, ("seq 2: the ledger's hash is not that of its last row",))


def test_a_checkpoint_that_was_signed_by_somebody_else_is_found(trail: Trail) -> None:
    trail.act(2)
    trail.checkpoints.turn()
    known = json.loads(trail.checkpoints.path(trail.ledger_id).read_text())["public_key"]
    assert trail.findings(known) == (None, ())
    assert trail.findings("00" * 32)[0] == 1
