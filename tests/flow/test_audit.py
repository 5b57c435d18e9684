"""Recording what somebody did: one event of the tenant's log, in the transaction of what it tells of."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, insert, select

from oms_app.flow.audit import PERSONAL, Actor, AdminAction, cli_actor, record
from oms_app.flow.sealing import Sealer
from oms_app.store import migrate, person_texts, tenants
from oms_app.store.platform import PLATFORM, PLATFORM_TENANT
from oms_app.store.scoping import UnscopedStatement
from oms_app.store.sql_store import SqlStore
from oms_app.store.tables import AUDIT_TEXTS, PERSON_KEYS, TENANTS
from oms_app.store.verify import verify
from oms_kernel.domain.events import AdminActed, Recorded
from oms_kernel.domain.ids import EventId, LedgerId, TenantId

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]
USER = str(uuid.uuid4())
WHO = Actor(f"user:{USER}", address="203.0.113.7", agent="curl/8", request_id="req-1")


@pytest.fixture(scope="module", params=DATABASES)
def store(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SqlStore]:
    url = f"sqlite:///{tmp_path_factory.mktemp('audit')}/oms.db"
    if request.param == "postgresql":
        url = request.getfixturevalue("new_postgres_database")()
    migrate.upgrade(url)
    opened = SqlStore(url, pool_size=4, sealer=Sealer("a secret of the tests " * 2))
    yield opened
    opened.close()


@pytest.fixture
def home(store: SqlStore) -> tuple[TenantId, LedgerId]:
    """A tenant with two ledgers; the first one by id."""
    tenant_id = TenantId(str(uuid.uuid4()))
    ledgers = sorted(str(uuid.uuid4()) for _ in range(2))
    with store.tenant_unit(tenant_id) as unit:
        tenants.create_tenant(unit, "Home")
        for ledger_id in reversed(ledgers):
            tenants.create_ledger(unit, LedgerId(ledger_id))
    return tenant_id, LedgerId(ledgers[0])


def acted(recorded: Recorded) -> AdminActed:
    assert isinstance(recorded.event, AdminActed)
    return recorded.event


def texts(store: SqlStore, tenant_id: TenantId, event_id: EventId) -> dict[str, person_texts.Opened]:
    with store.tenant_unit(tenant_id) as unit:
        found = person_texts.opened(unit, tenant_id, [event_id])
    return {part: opened for (_, part), opened in found.items()}


def test_an_action_becomes_one_event_of_the_first_ledger_in_the_transaction_of_the_change(
    store: SqlStore, home: tuple[TenantId, LedgerId]
) -> None:
    tenant_id, ledger_id = home
    told: list[LedgerId] = []
    store.on_append = told.append
    with store.tenant_unit(tenant_id) as unit:
        tenants.set_tenant_settings(unit, {"colour": "blue"})
        action = AdminAction(
            "tenant.settings_changed", "tenant", tenant_id, before={}, after={"colour": "blue"}, note="they asked"
        )
        event_id = record(unit, WHO, action)
    (recorded,) = store.events(*home, 0)
    event = acted(recorded)
    assert (recorded.seq, recorded.event_id) == (1, event_id)
    assert (event.action, event.object_type, event.object_id) == ("tenant.settings_changed", "tenant", tenant_id)
    assert (event.principal, event.request_id, event.decision) == (WHO.principal_id, "req-1", "ALLOWED")
    assert (event.before, event.after) == ({}, {"colour": "blue"})
    assert told == [ledger_id]
    assert verify(store, *home).is_clean


def test_an_action_whose_change_fails_leaves_no_event(store: SqlStore, home: tuple[TenantId, LedgerId]) -> None:
    with pytest.raises(RuntimeError, match="no"), store.tenant_unit(home[0]) as unit:
        record(unit, WHO, AdminAction("limit.changed", "limit", "1", note="never"))
        raise RuntimeError("no")
    assert not store.events(*home, 0)
    with store.tenant_unit(home[0]) as unit:
        assert unit.connection.scalar(select(AUDIT_TEXTS.c.event_id).where(AUDIT_TEXTS.c.tenant_id == home[0])) is None


def test_addresses_agents_and_notes_stand_encrypted_beside_the_log(
    store: SqlStore, home: tuple[TenantId, LedgerId]
) -> None:
    with store.tenant_unit(home[0]) as unit:
        event_id = record(unit, WHO, AdminAction("limit.changed", "limit", "1", note="raised for the roll"))
    (recorded,) = store.events(*home, 0)
    payload = repr(recorded.event)
    assert "203.0.113.7" not in payload
    assert "curl" not in payload
    assert "roll" not in payload
    assert acted(recorded).actor_hash
    with store.tenant_unit(home[0]) as unit:
        query = select(AUDIT_TEXTS).where(AUDIT_TEXTS.c.tenant_id == home[0], AUDIT_TEXTS.c.event_id == event_id)
        row = unit.connection.execute(query).one()
    assert b"203.0.113.7" not in row.sealed
    opened = texts(store, home[0], event_id)["ACTOR"]
    assert opened == (
        WHO.principal_id,
        {"address": "203.0.113.7", "agent": "curl/8", "note": "raised for the roll"},
    )


def test_personal_values_of_a_member_belong_to_that_member(store: SqlStore, home: tuple[TenantId, LedgerId]) -> None:
    member = str(uuid.uuid4())
    action = AdminAction(
        "member.changed",
        "member",
        member,
        before={"role": "VIEWER", "email": "old@example.com"},
        after={"role": "TRADER", "email": "new@example.com"},
    )
    with store.tenant_unit(home[0]) as unit:
        event_id = record(unit, Actor("user:" + USER), action)
    (recorded,) = store.events(*home, 0)
    event = acted(recorded)
    assert event.before == {"role": "VIEWER", "email": PERSONAL}
    assert event.after == {"role": "TRADER", "email": PERSONAL}
    assert event.actor_hash is None
    assert texts(store, home[0], event_id) == {
        "SUBJECT": (
            f"user:{member}",
            {"before": {"email": "old@example.com"}, "after": {"email": "new@example.com"}},
        )
    }


def test_the_hash_in_the_event_is_salted_so_that_an_address_cannot_be_guessed(
    store: SqlStore, home: tuple[TenantId, LedgerId]
) -> None:
    for _ in range(2):
        with store.tenant_unit(home[0]) as unit:
            record(unit, WHO, AdminAction("session.signed_in", "session", "1"))
    first, second = (acted(one).actor_hash for one in store.events(*home, 0))
    assert first != second


def test_a_text_that_was_moved_to_another_event_does_not_open(store: SqlStore, home: tuple[TenantId, LedgerId]) -> None:
    ids = []
    for note in ("first", "second"):
        with store.tenant_unit(home[0]) as unit:
            ids.append(record(unit, WHO, AdminAction("limit.changed", "limit", "1", note=note)))
    with store.tenant_unit(home[0]) as unit:
        own = AUDIT_TEXTS.c.tenant_id == home[0]
        sealed = unit.connection.scalar(select(AUDIT_TEXTS.c.sealed).where(own, AUDIT_TEXTS.c.event_id == ids[0]))
        which = own & (AUDIT_TEXTS.c.event_id == ids[1])
        (row,) = unit.connection.execute(select(AUDIT_TEXTS).where(which)).mappings()
        unit.connection.execute(delete(AUDIT_TEXTS).where(which))
        unit.connection.execute(insert(AUDIT_TEXTS).values({**row, "sealed": sealed}))
    assert texts(store, home[0], ids[1])["ACTOR"].values is None


def test_without_its_key_a_persons_text_cannot_be_read_and_the_log_stays_whole(
    store: SqlStore, home: tuple[TenantId, LedgerId]
) -> None:
    with store.tenant_unit(home[0]) as unit:
        event_id = record(unit, Actor("user:gone", address="203.0.113.9"), AdminAction("a.b", "limit", "1"))
    with store.platform_unit() as unit:
        assert person_texts.erase_key(unit, "user:gone")
        assert unit.connection.scalar(select(PERSON_KEYS.c.person).where(PERSON_KEYS.c.person == "user:gone")) is None
    assert texts(store, home[0], event_id)["ACTOR"].values is None
    with store.tenant_unit(home[0]) as unit:
        assert person_texts.erase(unit, home[0], "user:gone") == 1
    assert verify(store, *home).is_clean


def test_texts_whose_master_key_is_not_here_are_shown_as_gone_and_open_again_with_it(
    store: SqlStore, home: tuple[TenantId, LedgerId]
) -> None:
    with store.tenant_unit(home[0]) as unit:
        event_id = record(unit, Actor("user:away", address="203.0.113.9"), AdminAction("a.b", "thing", "1"))
    with store.tenant_unit(home[0]) as unit:
        right, unit.sealer = unit.sealer, Sealer("another secret, of another house")
        found = person_texts.opened(unit, home[0], [event_id])
        assert found[event_id, "ACTOR"] == person_texts.Opened("user:away", None)
        assert person_texts.texts_of(unit, home[0], "user:away") == []
        unit.sealer = right
        assert person_texts.texts_of(unit, home[0], "user:away")[0][1]["address"] == "203.0.113.9"


def test_a_unit_of_the_platform_records_in_the_platforms_ledger(store: SqlStore) -> None:
    before = store.heads([PLATFORM[1]])[PLATFORM[1]]
    with store.platform_unit() as unit:
        record(unit, cli_actor(), AdminAction("user.created", "user", USER, after={"email": "a@example.com"}))
        query = select(TENANTS.c.name).where(TENANTS.c.tenant_id == PLATFORM_TENANT)
        if store.dialect == "postgresql":
            assert unit.connection.scalar(query) is None
        else:
            with pytest.raises(UnscopedStatement):
                unit.connection.scalar(query)
    (recorded,) = store.events(*PLATFORM, before)
    event = acted(recorded)
    assert (event.principal, event.tenant_id) == ("system:cli", "")
    assert verify(store, *PLATFORM).is_clean


def test_a_unit_of_the_platform_may_name_the_tenant_whose_ledger_is_meant(
    store: SqlStore, home: tuple[TenantId, LedgerId]
) -> None:
    with store.platform_unit() as unit:
        record(unit, WHO, AdminAction("session.signed_in", "session", "1"), home[0])
    (recorded,) = store.events(*home, 0)
    assert acted(recorded).action == "session.signed_in"


def test_a_tenant_without_a_ledger_has_its_actions_in_the_platforms(store: SqlStore) -> None:
    tenant_id = TenantId(str(uuid.uuid4()))
    before = store.heads([PLATFORM[1]])[PLATFORM[1]]
    with store.tenant_unit(tenant_id) as unit:
        tenants.create_tenant(unit, "Young")
        record(unit, WHO, AdminAction("tenant.created", "tenant", tenant_id))
        own = unit.connection.scalar(select(TENANTS.c.name).where(TENANTS.c.tenant_id == tenant_id))
    assert own == "Young"
    (recorded,) = store.events(*PLATFORM, before)
    assert acted(recorded).tenant_id == tenant_id


def test_a_unit_of_a_tenant_cannot_record_for_another(store: SqlStore, home: tuple[TenantId, LedgerId]) -> None:
    with pytest.raises(ValueError, match="another tenant"), store.tenant_unit(TenantId(str(uuid.uuid4()))) as unit:
        record(unit, WHO, AdminAction("a.b", "limit", "1"), home[0])
    assert not store.events(*home, 0)


def test_a_store_without_a_sealer_keeps_the_act_but_no_texts(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/oms.db"
    migrate.upgrade(url)
    bare = SqlStore(url)
    try:
        with bare.platform_unit() as unit:
            record(unit, WHO, AdminAction("a.b", "limit", "1", note="words"))
            with pytest.raises(ValueError, match="no sealer"):
                person_texts.texts_of(unit, PLATFORM_TENANT, WHO.principal_id)
        (recorded,) = bare.events(*PLATFORM, 0)
        found: Any = acted(recorded)
        assert (found.principal, found.actor_hash) == (WHO.principal_id, None)
    finally:
        bare.close()


def test_the_command_line_names_the_user_of_the_operating_system(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOGNAME", "deploy")
    actor = cli_actor()
    assert (actor.principal_id, actor.agent) == ("system:cli", "oms command line, OS user deploy")
