"""Invitations: sent, sent again, revoked, accepted once; the token proves the address and is kept nowhere in clear."""

import threading
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select, text, update

from oms_app.store.tables import INVITATIONS, ONE_TIME_TOKENS, OUTGOING_MAILS
from tests.api.conftest import opened
from tests.api.people_desk import People

NEW_PASSWORD = "a password of the invited"


@pytest.fixture(scope="module")
def people(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with opened(migrated_file, tmp_path_factory.mktemp("invitations")) as desk:
        yield People(desk)


@pytest.fixture(scope="module")
def admin(people: People) -> str:
    """The token of an administrator."""
    return people.token(people.person("ADMIN"))


def invited(people: People, admin: str, address: str, role: str = "TRADER", **fields: Any) -> Any:
    answer = people.send(admin, "POST", "/invitations", {"email": address, "role": role, **fields})
    assert answer.status_code == 201, answer.json
    return answer.json


def accept(people: People, token: str, **fields: Any) -> Any:
    return people.public("/invitations/accept", {"token": token, **fields})


def test_whoever_is_invited_gets_a_mail_chooses_a_password_and_belongs(people: People, admin: str) -> None:
    address = people.address("anna")
    made = invited(people, admin, address.upper(), scopes=["manage:risk"], first_name="Anna")
    assert (made["email"], made["status"]) == (address, "OPEN")
    letter = people.mailbox.last(address)
    assert "Test" in letter.title
    assert letter.path.stat().st_mode & 0o777 == 0o600
    offer = people.public("/invitations/look", {"token": letter.token}).json
    assert (offer["email"], offer["role"], offer["needs_password"]) == (address, "TRADER", True)
    joined = accept(people, letter.token, password=NEW_PASSWORD, last_name="Arbor")
    assert (joined.status_code, joined.json["is_new"]) == (201, True)
    member = people.send(admin, "GET", f"/members/{joined.json['user_id']}").json
    assert (member["first_name"], member["last_name"], member["email_verified"]) == ("Anna", "Arbor", True)
    assert "manage:risk" in member["granted_scopes"]
    assert people.sign_in(address, NEW_PASSWORD).status_code == 200
    shown = people.send(admin, "GET", f"/invitations/{made['invitation_id']}").json
    assert (shown["status"], shown["accepted_by"]) == ("ACCEPTED", joined.json["user_id"])


def test_whoever_has_an_account_joins_with_the_token_alone_and_keeps_the_password(people: People, admin: str) -> None:
    other = people.tenant()
    address = people.person("VIEWER", tenant_id=other.tenant_id)
    invited(people, admin, address)
    token = people.mailbox.last(address).token
    refusal = accept(people, token, password="not the password at all")
    assert (refusal.status_code, refusal.json["errors"][0]["field"]) == (422, "password")
    assert accept(people, token).json["is_new"] is False
    listed = people.send(people.token(address), "GET", "/users/me").json["tenants"]
    assert {one["tenant_id"] for one in listed} == {other.tenant_id, people.desk.tenant_id}


def test_a_token_works_once_whoever_races(people: People, admin: str) -> None:
    address = people.address("racer")
    invited(people, admin, address)
    token = people.mailbox.last(address).token
    statuses: list[int] = []
    client = people.desk.app.test_client

    def race() -> None:
        body = {"token": token, "password": NEW_PASSWORD}
        origin = {"REMOTE_ADDR": "10.9.9.9"}
        answer = client().post("/api/v1/invitations/accept", json=body, environ_overrides=origin)
        statuses.append(answer.status_code)

    racers = [threading.Thread(target=race) for _ in range(6)]
    for one in racers:
        one.start()
    for one in racers:
        one.join()
    assert statuses.count(201) == 1
    assert set(statuses) <= {201, 422}


@pytest.mark.parametrize("token", ["", "x", "A" * 43, "../../etc/passwd", "'; DROP TABLE users; --"])
def test_a_made_up_token_opens_nothing(people: People, token: str) -> None:
    answer = accept(people, token, password=NEW_PASSWORD)
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "token")


def test_a_revoked_an_expired_and_a_missing_invitation_say_the_same(people: People, admin: str) -> None:
    addresses = [people.address("gone"), people.address("late")]
    made = [invited(people, admin, address) for address in addresses]
    tokens = [people.mailbox.last(address).token for address in addresses]
    assert people.send(admin, "DELETE", f"/invitations/{made[0]['invitation_id']}").status_code == 204
    with people.desk.services.store.tenant_unit(people.desk.tenant_id) as unit:
        unit.connection.execute(
            update(INVITATIONS)
            .where(
                INVITATIONS.c.tenant_id == people.desk.tenant_id,
                INVITATIONS.c.invitation_id == made[1]["invitation_id"],
            )
            .values(expires_at=unit.now - timedelta(seconds=1))
        )
    answers = [accept(people, token, password=NEW_PASSWORD) for token in (*tokens, "B" * 43)]
    assert {(one.status_code, one.json["detail"]) for one in answers} == {(422, answers[2].json["detail"])}
    shown = people.send(admin, "GET", f"/invitations/{made[1]['invitation_id']}").json
    assert shown["status"] == "EXPIRED"
    again = people.send(admin, "POST", "/invitations", {"email": addresses[1], "role": "VIEWER"})
    assert again.status_code == 201


def test_an_invitation_that_is_sent_again_has_another_mail_that_works(people: People, admin: str) -> None:
    address = people.address("again")
    made = invited(people, admin, address)
    first = people.mailbox.last(address).token
    assert people.send(admin, "POST", f"/invitations/{made['invitation_id']}/resend").status_code == 200
    second = people.mailbox.last(address).token
    assert first != second
    assert accept(people, second, password=NEW_PASSWORD).status_code == 201
    assert accept(people, first, password=NEW_PASSWORD).status_code == 422


def test_a_member_and_whoever_is_invited_are_not_invited_again(people: People, admin: str) -> None:
    address = people.address("twice")
    invited(people, admin, address)
    for known in (address, people.person("VIEWER")):
        answer = people.send(admin, "POST", "/invitations", {"email": known, "role": "VIEWER"})
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (409, "email")


def test_whoever_loses_a_right_does_not_pass_it_on_by_an_open_invitation(people: People, admin: str) -> None:
    inviter, address = people.person("ADMIN"), people.address("late")
    invited(people, people.token(inviter), address, role="ADMIN")
    token = people.mailbox.last(address).token
    people.send(admin, "PATCH", f"/members/{people.id_of(inviter)}", {"role": "VIEWER"})
    assert accept(people, token, password=NEW_PASSWORD).status_code == 422


def test_a_weak_password_uses_nothing_up(people: People, admin: str) -> None:
    address = people.address("weak")
    invited(people, admin, address)
    token = people.mailbox.last(address).token
    for fields in ({}, {"password": "short"}):
        answer = accept(people, token, **fields)
        assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, "password")
    assert accept(people, token, password=NEW_PASSWORD).status_code == 201


def test_invitations_of_another_tenant_are_as_if_they_did_not_exist(people: People, admin: str) -> None:
    other = people.tenant()
    theirs = people.token(people.person("ADMIN", tenant_id=other.tenant_id))
    hidden = invited(people, theirs, people.address("hidden"))["invitation_id"]
    for method, rest in (("GET", ""), ("DELETE", ""), ("POST", "/resend")):
        found = [people.send(admin, method, f"/invitations/{one}{rest}") for one in (hidden, uuid.uuid4())]
        assert [one.status_code for one in found] == [404, 404]
        assert found[0].json["detail"] == found[1].json["detail"]
    listed = people.send(admin, "GET", "/invitations?limit=500&with_closed=true").json["items"]
    assert hidden not in {one["invitation_id"] for one in listed}


def test_no_token_rests_in_the_database_or_in_a_log(
    people: People, admin: str, capfd: pytest.CaptureFixture[str]
) -> None:
    address = people.address("secret")
    invited(people, admin, address)
    token = people.mailbox.last(address).token
    assert accept(people, token, password=NEW_PASSWORD).status_code == 201
    with people.desk.services.store.read_unit(people.desk.tenant_id) as unit:
        rows = [
            *unit.connection.execute(select(ONE_TIME_TOKENS)),
            *unit.connection.execute(select(OUTGOING_MAILS)),
            *unit.connection.execute(select(INVITATIONS).where(INVITATIONS.c.tenant_id == people.desk.tenant_id)),
            *unit.connection.execute(
                text("SELECT payload FROM event_log WHERE tenant_id = :tenant"), {"tenant": people.desk.tenant_id}
            ),
        ]
    assert len(rows) > 3
    assert token not in repr(rows)
    out, err = capfd.readouterr()
    assert token not in out + err
