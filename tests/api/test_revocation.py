"""What is taken from somebody counts with the next request, in every process, and closes what is open."""

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from oms_app.api import create_api
from oms_app.bootstrap import Services, build_services
from oms_app.flow.scopes import Scope
from oms_app.store import auth_epochs, tables
from oms_app.store.rows import put
from oms_kernel.domain.ids import LedgerId
from tests.api.conftest import opened
from tests.api.desk import PASSWORD, Desk

ORDERS, ME = "/api/v1/orders", "/api/v1/auth/me"


class Second:
    """Another process on the same database."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.client = create_api(services).test_client()


@pytest.fixture(scope="module")
def desk(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened(migrated_file, tmp_path_factory.mktemp("revocation")) as made:
        yield made


@pytest.fixture(scope="module")
def second(desk: Desk) -> Iterator[Second]:
    services = build_services(desk.services.settings)
    yield Second(services)
    services.close()


class Person:
    """A trader of the desk's tenant, with a token, a key and a fresh session in both processes."""

    def __init__(self, desk: Desk, second: Second) -> None:
        self.desk, self.second = desk, second
        self.email = f"{uuid.uuid4()}@example.com"
        identity = desk.services.identity
        self.user_id = identity.create_user(self.email, PASSWORD, desk.tenant_id, "TRADER")
        self.pair = identity.sign_in(self.email, PASSWORD)
        principal = identity.caller_of_token(self.pair.access_token).principal
        self.key = identity.create_key(principal, "bot", [Scope.VIEW_ORDERS, Scope.PLACE_ORDERS])
        for credentials in (self.by_token, self.by_key):
            assert self.statuses(credentials) == [(200, 201)] * 2

    @property
    def by_token(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.pair.access_token}"}

    @property
    def by_key(self) -> dict[str, str]:
        return {"X-API-Key": self.key.api_key}

    def statuses(self, credentials: dict[str, str]) -> list[tuple[int, int]]:
        """What reading and placing an order answer, in both processes."""
        return [
            (
                client.get(ORDERS, headers=credentials).status_code,
                client.post(ORDERS, json=self.desk.order(), headers=credentials).status_code,
            )
            for client in (self.desk.client, self.second.client)
        ]


@pytest.fixture
def person(desk: Desk, second: Second) -> Person:
    return Person(desk, second)


def change(person: Person, table: Any, where: dict[str, Any], **values: Any) -> None:
    """Change a row as its owner does, and move the epoch in the same transaction."""
    with person.desk.services.store.tenant_unit(person.desk.tenant_id) as unit:
        wanted = [table.c[name] == value for name, value in where.items()]
        unit.connection.execute(update(table).where(*wanted).values(**values))
        auth_epochs.bump(unit, person.desk.tenant_id)


def end_session(person: Person) -> None:
    person.second.services.identity.sign_out(person.pair.session_id)


def revoke_key(person: Person) -> None:
    person.second.services.identity.machine_keys.revoke(person.desk.principal, person.key.row.key_id)


def close_membership(person: Person) -> None:
    own = {"tenant_id": person.desk.tenant_id, "user_id": person.user_id}
    change(person, tables.MEMBERSHIPS, own, is_active=False)


def close_user(person: Person) -> None:
    change(person, tables.USERS, {"user_id": person.user_id}, is_active=False)


GONE, STAYS = [(401, 401)] * 2, [(200, 201)] * 2


@pytest.mark.parametrize(
    ("take_away", "of_token", "of_key"),
    [
        (end_session, GONE, STAYS),
        (revoke_key, STAYS, GONE),
        (close_membership, GONE, GONE),
        (close_user, GONE, GONE),
    ],
)
def test_what_was_taken_away_is_gone_with_the_next_request(
    person: Person, take_away: Callable[[Person], None], of_token: Any, of_key: Any
) -> None:
    before = person.desk.event_count()
    take_away(person)
    assert person.statuses(person.by_token) == of_token
    assert person.statuses(person.by_key) == of_key
    placed = sum(status == 201 for _, status in (*of_token, *of_key))
    ledger_id = LedgerId(person.desk.ids["ledger_id"])
    events = person.desk.services.reader.events(person.desk.tenant_id, ledger_id, before, 500)
    orders = [recorded for recorded in events if recorded.event.kind == "order_accepted"]
    assert len(orders) == placed


def test_a_lesser_role_counts_with_the_next_request(person: Person) -> None:
    own = {"tenant_id": person.desk.tenant_id, "user_id": person.user_id}
    change(person, tables.MEMBERSHIPS, own, role="VIEWER")
    assert person.statuses(person.by_token) == [(200, 403)] * 2
    change(person, tables.MEMBERSHIPS, own, role="TRADER")
    assert person.statuses(person.by_token) == STAYS


def test_a_closed_tenant_lets_nobody_in(migrated_file: Path, tmp_path: Path) -> None:
    with opened(migrated_file, tmp_path) as desk:
        headers = desk.person(stepped_up=False)
        assert desk.client.get(ORDERS, headers=headers).status_code == 200
        with desk.services.store.tenant_unit(desk.tenant_id) as unit:
            put(unit, tables.TENANTS, {"tenant_id": desk.tenant_id}, is_active=False, name="Closed", settings={})
            auth_epochs.bump(unit, desk.tenant_id)
        for credentials in (headers, {"X-API-Key": desk.api_key}):
            assert desk.client.get(ORDERS, headers=credentials).status_code == 401
            assert desk.client.post(ORDERS, json=desk.order(), headers=credentials).status_code == 401


def test_a_request_that_never_reaches_the_ledger_is_confirmed_before_it_is_answered(person: Person) -> None:
    end_session(person)
    for client in (person.desk.client, person.second.client):
        for body in ({"nonsense": 1}, person.desk.order(account_id=str(uuid.uuid4())), person.desk.order(side="UP")):
            assert client.post(ORDERS, json=body, headers=person.by_token).status_code == 401
        unknown = f"/api/v1/orders/{uuid.uuid4()}/cancel"
        assert client.post(unknown, headers=person.by_token).status_code == 401
        bulk = {"orders": [{"nonsense": 1}]}
        assert client.post("/api/v1/orders/bulk", json=bulk, headers=person.by_token).status_code == 401


def test_reading_an_order_book_of_known_callers_asks_for_the_epoch_only(person: Person) -> None:
    asked: list[str] = []
    store = person.desk.services.store
    real = store.auth_epoch

    def counted(tenant_id: Any) -> int:
        asked.append(tenant_id)
        return real(tenant_id)

    store.auth_epoch = counted  # type: ignore[method-assign]
    try:
        assert person.desk.client.get(ME, headers=person.by_key).status_code == 200
        assert asked == [person.desk.tenant_id]
        assert person.desk.client.post(ORDERS, json=person.desk.order(), headers=person.by_key).status_code == 201
        assert asked == [person.desk.tenant_id]
    finally:
        store.auth_epoch = real  # type: ignore[method-assign]
