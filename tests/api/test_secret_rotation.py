"""The master key is changed while everybody reads and writes, by a run that may be killed and begun again."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from sqlalchemy import select, update

from oms_app.cli.secrets import secrets as command
from oms_app.flow.audit import Actor
from oms_app.flow.sealing import CannotOpen, Sealer, wrapped_by
from oms_app.flow.secret_rotation import SecretRotation
from oms_app.store import tables
from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.rows import add
from oms_app.store.schema import METADATA
from oms_app.store.sealed_columns import SEALED_COLUMNS
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import create_tenant
from oms_app.store.types import Octets
from oms_app.store.webhooks import create_webhook
from oms_kernel.domain.ids import TenantId
from tests.flow.test_sealing import NEW, OLD, first_format

TENANTS = tuple(TenantId(f"0190f3a1-0000-7000-8000-00000000000{number}") for number in (1, 2))
EACH = 130
"""Webhooks of each tenant: more than one page of a rotation."""
WHO = Actor(principal_id="system:test")


def row_id(number: int) -> str:
    return f"0190f3a1-0000-7000-8000-{number:012d}"


def fill(store: SqlStore) -> None:
    """Two tenants with webhooks sealed by the old key, some in the first format, and a key of a person."""
    sealer = Sealer(OLD)
    for tenant_id in TENANTS:
        with store.tenant_unit(tenant_id) as unit:
            create_tenant(unit, "T")
            for number in range(EACH):
                secrets = {"secret": f"{tenant_id} {number}"}
                place = (tenant_id, "webhooks", row_id(number))
                sealed = first_format(OLD, *place) if number % 5 == 0 else sealer.seal(*place, secrets)
                create_webhook(
                    unit,
                    row_id(number),
                    url="https://h.example/",
                    sink="s",
                    params={},
                    event_kinds=[],
                    credentials=sealed,
                )
    with store.platform_unit() as unit:
        key = sealer.seal(PLATFORM_TENANT, "person_keys", "user:1", {"key": "k"})
        add(unit, tables.PERSON_KEYS, person="user:1", sealed_key=key)


@pytest.fixture
def full(store: SqlStore) -> SqlStore:
    fill(store)
    return store


def sealed_values(store: SqlStore, tenant_id: TenantId) -> dict[str, bytes]:
    with store.read_unit(tenant_id) as unit:
        wanted = select(tables.WEBHOOKS.c.webhook_id, tables.WEBHOOKS.c.credentials)
        rows = unit.connection.execute(wanted.where(tables.WEBHOOKS.c.tenant_id == tenant_id))
        return {row.webhook_id: bytes(row.credentials) for row in rows}


def opened(store: SqlStore, sealer: Sealer) -> int:
    """How many webhooks' secrets open, of all tenants. Raises CannotOpen."""
    count = 0
    for tenant_id in TENANTS:
        for webhook_id, sealed in sealed_values(store, tenant_id).items():
            sealer.open(tenant_id, "webhooks", webhook_id, sealed)
            count += 1
    return count


class Dies(Sealer):
    """A sealer whose process is killed after so many renewals."""

    def __init__(self, *secrets: str, after: int) -> None:
        super().__init__(*secrets)
        self._left = after

    def renew(self, *place: Any, **column: Any) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise KeyboardInterrupt
        return super().renew(*place, **column)


def test_every_column_of_sealed_secrets_is_rotated() -> None:
    sealed = {(one.table.name, one.column) for one in SEALED_COLUMNS}
    named = {
        (table.name, column.name)
        for table in METADATA.tables.values()
        for column in table.c
        if isinstance(column.type, Octets)
        and any(word in column.name for word in ("secret", "credential", "sealed_key"))
    }
    assert sealed == named


def test_rotating_wraps_everything_anew_and_then_the_old_key_is_needed_no_more(full: SqlStore) -> None:
    both, new = Sealer(NEW, OLD), Sealer(NEW)
    with pytest.raises(CannotOpen):
        opened(full, new)
    done = SecretRotation(full, both).rotate(WHO)
    assert (done.seen, done.renewed, done.unopened) == (2 * EACH + 1, 2 * EACH + 1, ())
    assert opened(full, new) == 2 * EACH
    assert {count.master_id for count in SecretRotation(full, new).status()} == {new.master_id}
    assert SecretRotation(full, both).rotate(WHO).renewed == 0


def test_a_run_that_is_killed_again_and_again_gets_done_and_everything_opens_meanwhile(full: SqlStore) -> None:
    both, kills = Sealer(NEW, OLD), 0
    while True:
        try:
            SecretRotation(full, Dies(NEW, OLD, after=37 + 23 * kills)).rotate(WHO)
        except KeyboardInterrupt:
            kills += 1
            assert opened(full, both) == 2 * EACH
            continue
        break
    assert kills >= 3
    assert opened(full, Sealer(NEW)) == 2 * EACH


def test_readers_and_writers_notice_nothing_of_a_rotation(full: SqlStore) -> None:
    both, problems, stop = Sealer(NEW, OLD), [], threading.Event()
    reads = [0, 0]

    def read(reader: int) -> None:
        while not stop.is_set():
            try:
                reads[reader] += opened(full, both)
            except CannotOpen as error:
                problems.append(str(error))

    def write() -> None:
        # As a process does that was started before the new key was given first.
        old = Sealer(OLD, NEW)
        for number in range(0, EACH, 3):
            sealed = old.seal(TENANTS[0], "webhooks", row_id(number), {"secret": "new"})
            with full.tenant_unit(TENANTS[0]) as unit:
                where = (tables.WEBHOOKS.c.tenant_id == TENANTS[0]) & (tables.WEBHOOKS.c.webhook_id == row_id(number))
                unit.connection.execute(update(tables.WEBHOOKS).where(where).values(credentials=sealed))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    writer = threading.Thread(target=write)
    for thread in (*threads, writer):
        thread.start()
    SecretRotation(full, both).rotate(WHO)
    writer.join(60)
    SecretRotation(full, both).rotate(WHO)
    stop.set()
    for thread in threads:
        thread.join(60)
    assert problems == []
    assert all(reads)
    assert opened(full, Sealer(NEW)) == 2 * EACH
    sealed = sealed_values(full, TENANTS[0])[row_id(0)]
    assert Sealer(NEW).open(TENANTS[0], "webhooks", row_id(0), sealed) == {"secret": "new"}


def test_rows_that_were_swapped_between_tenants_or_rows_do_not_open_and_are_named(full: SqlStore) -> None:
    first = sealed_values(full, TENANTS[0])
    for tenant_id, values in ((TENANTS[1], first), (TENANTS[0], {row_id(2): first[row_id(1)]})):
        with full.tenant_unit(tenant_id) as unit:
            for webhook_id, sealed in values.items():
                where = (tables.WEBHOOKS.c.tenant_id == tenant_id) & (tables.WEBHOOKS.c.webhook_id == webhook_id)
                unit.connection.execute(update(tables.WEBHOOKS).where(where).values(credentials=sealed))
    done = SecretRotation(full, Sealer(NEW, OLD)).rotate(WHO)
    assert len(done.unopened) == EACH + 1
    assert {one.table for one in done.unopened} == {"webhooks"}
    assert {one.tenant_id for one in done.unopened} == set(TENANTS)


def test_rotation_on_postgres(new_postgres_database: Any) -> None:
    from oms_app.store import migrate

    url = new_postgres_database()
    migrate.upgrade(url)
    made = SqlStore(url)
    try:
        fill(made)
        done = SecretRotation(made, Sealer(NEW, OLD)).rotate(WHO)
        assert (done.seen, done.renewed, done.unopened) == (2 * EACH + 1, 2 * EACH + 1, ())
        assert opened(made, Sealer(NEW)) == 2 * EACH
    finally:
        made.close()


@pytest.fixture
def at_home(full: SqlStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("OMS_HOME", str(tmp_path))
    monkeypatch.setenv("OMS_SECRET_KEY", OLD)
    monkeypatch.setenv("OMS_MASTER_KEYS", f"{NEW},{OLD}")
    yield


def test_the_command_says_when_the_old_key_may_be_removed(at_home: None) -> None:
    before = CliRunner().invoke(command, ["status"])
    assert "keep all keys" in before.output
    rotated = CliRunner().invoke(command, ["rotate"])
    assert rotated.exit_code == 0, rotated.output
    assert "may be removed from OMS_MASTER_KEYS" in rotated.output
    after = CliRunner().invoke(command, ["status"])
    assert "may be removed" in after.output
    for output in (before.output, rotated.output, after.output):
        assert OLD not in output
        assert NEW not in output


def test_the_command_names_secrets_that_do_not_open_and_fails(
    at_home: None, full: SqlStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OMS_SECRET_KEY", NEW)
    monkeypatch.setenv("OMS_MASTER_KEYS", NEW)
    rotated = CliRunner().invoke(command, ["rotate"])
    assert rotated.exit_code != 0
    assert "do not open" in rotated.output
    assert wrapped_by(sealed_values(full, TENANTS[0])[row_id(1)]) == Sealer(OLD).master_id
