"""Tenants, members and invitations on PostgreSQL: the fence between tenants holds, and races have one winner."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from oms_app.flow.audit import cli_actor
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Role, Scope
from oms_app.store.people import active_count
from oms_app.store.platform import PLATFORM_TENANT
from oms_kernel.domain.ids import TenantId
from tests.api.desk import Desk
from tests.api.people_desk import People

pytestmark = pytest.mark.integration
PASSWORD = "a password of the invited"


@pytest.fixture(scope="module")
def people(postgres_desk: Desk) -> People:
    return People(postgres_desk)


def at_once(*calls: Callable[[], Any]) -> list[Any]:
    """What each call returned or raised."""
    results: list[Any] = [None] * len(calls)
    gate = threading.Barrier(len(calls))

    def run(number: int) -> None:
        gate.wait()
        try:
            results[number] = calls[number]()
        except Exception as error:
            results[number] = error

    threads = [threading.Thread(target=run, args=(number,)) for number in range(len(calls))]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    return results


def test_a_tenant_is_made_staffed_used_and_closed(people: People) -> None:
    superuser = people.token(people.person(is_superuser=True))
    assert people.send(superuser, "GET", "/tenants/current").json["tenant_id"] == PLATFORM_TENANT
    first = people.address("first")
    made = people.send(superuser, "POST", "/tenants", {"name": "Made on PostgreSQL", "admin_email": first}).json
    token = people.mailbox.last(first).token
    joined = people.public("/invitations/accept", {"token": token, "password": PASSWORD})
    assert (joined.status_code, joined.json["tenant_id"]) == (201, made["tenant_id"])
    boss = people.token(first, PASSWORD)
    second = people.address("second")
    table = f"email,role\n{second},TRADER\n" + "".join(f"many-{n}@many.example,VIEWER\n" for n in range(150))
    done = people.send(boss, "POST", "/members/import", {"csv": table})
    assert done.status_code == 200, done.json
    joined = people.public("/invitations/accept", {"token": people.mailbox.last(second).token, "password": PASSWORD})
    path = f"/members/{joined.json['user_id']}"
    trader = people.token(second, PASSWORD)
    assert people.send(boss, "PATCH", path, {"role": "MANAGER", "scopes": ["view:audit"]}).status_code == 200
    assert people.send(trader, "PATCH", "/users/me", {"date_of_birth": "1990-01-31"}).status_code == 200
    assert people.send(boss, "DELETE", path).status_code == 204
    assert people.send(trader, "GET", "/orders").status_code == 401
    assert people.send(superuser, "POST", f"/tenants/{made['tenant_id']}/deactivate").json["is_active"] is False
    assert people.send(boss, "GET", "/members").status_code == 401


def demote(people: People, tenant_id: TenantId, by: str, whom: str) -> Any:
    """One administrator makes the other a viewer."""
    boss = Principal(principal_id=f"user:{by}", tenant_id=tenant_id, scopes=frozenset(str(scope) for scope in Scope))
    return people.desk.services.members.change(boss, cli_actor(), whom, role=Role.VIEWER)


def test_two_administrators_who_demote_each_other_leave_one(people: People) -> None:
    for _ in range(5):
        tenant_id = people.tenant().tenant_id
        first, second = (people.id_of(people.person("ADMIN", tenant_id=tenant_id)) for _ in range(2))
        results = at_once(
            partial(demote, people, tenant_id, first, second), partial(demote, people, tenant_id, second, first)
        )
        with people.desk.services.store.read_unit(tenant_id) as unit:
            assert active_count(unit, Role.ADMIN) == 1, results
        assert sum(isinstance(one, Exception) for one in results) == 1


def test_a_slug_that_many_want_at_once_has_one_holder(people: People) -> None:
    def make() -> Any:
        return people.tenant(slug="wanted-by-all")

    results = at_once(*[make] * 4)
    refused = [one for one in results if isinstance(one, Exception)]
    assert len(refused) == 3
    assert {(type(one).__name__, getattr(one, "field", "")) for one in refused} == {("InvalidRequest", "slug")}


def test_an_address_that_two_administrators_invite_at_once_gets_one_invitation(people: People) -> None:
    from oms_app.flow.invitations import Draft

    address = people.address("both")
    principal = people.desk.principal

    def invite() -> Any:
        return people.desk.services.invitations.create(principal, cli_actor(), Draft(email=address, role="VIEWER"))

    results = at_once(*[invite] * 3)
    assert sum(isinstance(one, Exception) for one in results) == 2
    assert {one.code for one in results if isinstance(one, Exception)} == {"conflict"}
    assert len([letter for letter in people.mailbox.fetch() if letter.address == address]) == 1


def test_an_invitation_that_many_accept_at_once_is_accepted_once(people: People) -> None:
    address = people.address("racer")
    assert people.desk.send("POST", "/api/v1/invitations", {"email": address, "role": "VIEWER"}).status_code == 201
    token = people.mailbox.last(address).token
    invitations = people.desk.services.invitations
    results = at_once(*[lambda: invitations.accept(token, cli_actor(), password=PASSWORD)] * 4)
    assert sum(not isinstance(one, Exception) for one in results) == 1
    assert {one.code for one in results if isinstance(one, Exception)} == {"invalid_request"}
