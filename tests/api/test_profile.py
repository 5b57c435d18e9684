"""What people do about themselves: profile, preferences, verified address; strangers register only where they may."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oms_app.config import Registration
from tests.api.conftest import opened
from tests.api.people_desk import People

PASSWORD = "a password of the registered"


@pytest.fixture(scope="module")
def people(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    with opened(migrated_file, tmp_path_factory.mktemp("profile")) as desk:
        desk.services.registration._policy = Registration.OPEN
        yield People(desk)


@pytest.fixture(scope="module")
def token(people: People) -> str:
    """The token of a viewer."""
    return people.token(people.person("VIEWER"))


def test_a_person_changes_and_reads_the_own_profile(people: People, token: str) -> None:
    body = {
        "first_name": "Ada",
        "last_name": "Lovelace",
        "phone_number": "+44 20 7946 0000",
        "date_of_birth": "1990-12-10",
        "locale": "en-GB",
        "time_zone": "Europe/London",
        "preferences": {"theme": "dark", "columns": ["symbol", "side"]},
    }
    changed = people.send(token, "PATCH", "/users/me", body)
    assert changed.status_code == 200
    shown = people.send(token, "GET", "/users/me").json
    assert {name: shown[name] for name in body} == body
    assert (shown["email_verified"], shown["two_factor_enabled"], shown["is_superuser"]) == (True, False, False)
    assert shown["tenants"][0]["is_current"] is True
    cleared = people.send(token, "PATCH", "/users/me", {"date_of_birth": None, "phone_number": ""}).json
    assert (cleared["date_of_birth"], cleared["phone_number"], cleared["first_name"]) == (None, "", "Ada")


WRONG: list[tuple[str, Any]] = [
    ("first_name", "x" * 101), ("phone_number", "call me"), ("phone_number", "1"), ("date_of_birth", "1899-12-31"),
    ("date_of_birth", "2999-01-01"), ("date_of_birth", "yesterday"), ("locale", "english please"),
    ("time_zone", "Mars/Olympus"), ("preferences", {"x": "y" * 4096}), ("preferences", []),
    ("preferences", {"a": "\x00"}), ("email", "a@b.example"),
    ("is_superuser", True), ("email_verified", True),
]  # fmt: skip


@pytest.mark.parametrize(("field", "value"), WRONG, ids=[f"{field} {str(value)[:20]}" for field, value in WRONG])
def test_a_wrong_or_server_side_field_is_refused_by_its_name(
    people: People, token: str, field: str, value: Any
) -> None:
    answer = people.send(token, "PATCH", "/users/me", {field: value})
    assert (answer.status_code, answer.json["errors"][0]["field"]) == (422, field)


def test_a_key_has_no_profile(people: People) -> None:
    assert people.desk.send("GET", "/api/v1/users/me").status_code == 403


def test_an_address_is_verified_by_the_mail_that_went_there_once(people: People) -> None:
    services = people.desk.services
    address = people.address("unverified")
    services.identity.create_user(address, PASSWORD, people.desk.tenant_id, "VIEWER")
    token = people.token(address, PASSWORD)
    assert people.send(token, "GET", "/users/me").json["email_verified"] is False
    assert people.send(token, "POST", "/users/me/verify-email").status_code == 202
    proof = people.mailbox.last(address).token
    assert people.public("/auth/verify-email", {"token": proof}).status_code == 204
    assert people.public("/auth/verify-email", {"token": proof}).status_code == 422
    assert people.send(token, "GET", "/users/me").json["email_verified"] is True
    assert people.send(token, "POST", "/users/me/verify-email").status_code == 409


def test_a_token_of_one_kind_does_nothing_as_another(people: People) -> None:
    address = people.address("mixed")
    people.public("/auth/register", {"email": address, "tenant_name": "Mixed"})
    token = people.mailbox.last(address).token
    assert people.public("/auth/verify-email", {"token": token}).status_code == 422
    assert people.public("/invitations/accept", {"token": token, "password": PASSWORD}).status_code == 422
    assert people.public("/auth/register/confirm", {"token": token, "password": PASSWORD}).status_code == 201


def test_a_stranger_registers_and_administers_a_tenant_of_the_own(people: People) -> None:
    address = people.address("stranger")
    body = {"email": address, "tenant_name": "Stranger & Co", "first_name": "Sam"}
    assert people.public("/auth/register", body).status_code == 202
    assert people.sign_in(address, PASSWORD).status_code == 401
    token = people.mailbox.last(address).token
    short = people.public("/auth/register/confirm", {"token": token, "password": "short"})
    assert short.json["errors"][0]["field"] == "password"
    made = people.public("/auth/register/confirm", {"token": token, "password": PASSWORD})
    assert (made.status_code, made.json["role"]) == (201, "ADMIN")
    signed_in = people.token(address, PASSWORD)
    tenant = people.send(signed_in, "GET", "/tenants/current").json
    assert (tenant["tenant_id"], tenant["name"]) == (made.json["tenant_id"], "Stranger & Co")
    assert people.send(signed_in, "GET", "/users/me").json["first_name"] == "Sam"
    assert people.send(signed_in, "GET", f"/tenants/{people.desk.tenant_id}").status_code == 404


def test_registering_says_the_same_whoever_exists(people: People) -> None:
    known, unknown = people.person("VIEWER"), people.address("nobody")
    answers = [people.public("/auth/register", {"email": one, "tenant_name": "X"}) for one in (known, unknown)]
    assert [(one.status_code, one.data) for one in answers] == [(202, b"")] * 2
    letter = people.mailbox.last(known)
    assert "have an account" in letter.title
    assert "#" not in letter.text


def test_nobody_registers_where_registration_is_closed(migrated_file: Path, tmp_path: Path) -> None:
    with opened(migrated_file, tmp_path) as desk:
        people = People(desk)
        assert desk.services.settings.registration is Registration.CLOSED
        for path, body in (
            ("/auth/register", {"email": people.address(), "tenant_name": "X"}),
            ("/auth/register/confirm", {"token": "x" * 43, "password": PASSWORD}),
        ):
            assert people.public(path, body).status_code == 403
        assert people.mailbox.fetch() == []


def test_nobody_can_have_a_mailbox_flooded(people: People) -> None:
    address = people.address("flooded")
    for _ in range(15):
        assert people.public("/auth/register", {"email": address, "tenant_name": "X"}).status_code == 202
    assert len([letter for letter in people.mailbox.fetch() if letter.address == address]) == 10


def test_settings_hold_no_password_of_the_mail_server_in_the_open(people: People) -> None:
    from oms_kernel.contracts.plugin import Secret

    settings = msgspec.structs.replace(people.desk.services.settings, smtp_password=Secret("smtp-password-canary"))
    assert "smtp-password-canary" not in repr(settings)
    assert "smtp-password-canary" not in repr(settings.shown())
