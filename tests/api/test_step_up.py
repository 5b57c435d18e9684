"""What needs a fresh proof of the person, sessions that are listed and ended, and passwords that change; over HTTP."""

import itertools
import time
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from oms_app.flow import totp
from oms_app.flow.audit import cli_actor
from oms_app.flow.tenancy import NewTenant
from oms_app.store import people
from oms_kernel.domain.events import AdminActed
from oms_kernel.domain.ids import LedgerId
from tests.api.conftest import opened
from tests.api.desk import PASSWORD, Desk
from tests.api.test_second_factor import _secret

AUTH = "/api/v1/auth"
KEYS = "/api/v1/api-keys"
ADDRESSES = itertools.count(1)
NEW = "another password of the tests"


@pytest.fixture(scope="module")
def desk(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with opened(migrated_file, tmp_path_factory.mktemp("step_up")) as made:
        yield made


class Person:
    """Somebody of the desk's tenant over HTTP."""

    def __init__(self, desk: Desk, role: str = "ADMIN") -> None:
        self.desk = desk
        self.email = f"{uuid.uuid4()}@example.com"
        self.address = f"192.0.2.{next(ADDRESSES)}"  # sign-ins are limited for each
        self.user_id = desk.services.identity.create_user(self.email, PASSWORD, desk.tenant_id, role)
        self.headers: dict[str, str] = {}
        self.tokens = self.log_in()

    def log_in(self, password: str = PASSWORD, **more: str) -> dict[str, Any]:
        body = {"email": self.email, "password": password, **more}
        answer = self.send("POST", f"{AUTH}/login", body, headers={"User-Agent": "pytest"})
        assert answer.status_code == 200, answer.json
        tokens: Any = answer.json
        self.headers = {"Authorization": f"Bearer {tokens['access_token']}"}
        return dict(tokens)

    def send(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> Any:
        here = {"REMOTE_ADDR": self.address}
        return self.desk.client.open(
            path, method=method, json=body, headers=headers or self.headers, environ_overrides=here
        )


@pytest.fixture
def person(desk: Desk) -> Person:
    return Person(desk)


def test_a_key_that_may_place_orders_needs_a_person_who_steps_up(person: Person) -> None:
    wish = {"name": "bot", "scopes": ["place:orders"]}
    refused = person.send("POST", KEYS, wish)
    assert (refused.status_code, refused.json["code"]) == (403, "step_up_required")
    assert f"{AUTH}/step-up" in refused.json["fix"]
    wrong = person.send("POST", f"{AUTH}/step-up", {"password": "not the password"})
    assert (wrong.status_code, wrong.json["code"]) == (401, "invalid_credentials")
    assert person.send("POST", KEYS, wish).status_code == 403
    assert person.send("POST", f"{AUTH}/step-up", {"password": PASSWORD}).status_code == 200
    assert person.send("POST", KEYS, wish).status_code == 201
    assert person.send("POST", KEYS, {"name": "eye", "scopes": ["view:orders"]}).status_code == 201


def test_a_key_cannot_step_up_nor_do_what_needs_it(desk: Desk) -> None:
    answer = desk.send("POST", KEYS, {"name": "bot", "scopes": ["place:orders"]})
    assert (answer.status_code, answer.json["code"]) == (403, "step_up_required")
    assert desk.send("POST", f"{AUTH}/step-up", {"password": PASSWORD}).status_code == 409


def test_a_proof_lasts_five_minutes(desk: Desk, person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    assert person.send("POST", f"{AUTH}/step-up", {"password": PASSWORD}).status_code == 200
    sessions = desk.services.identity.sessions
    present = sessions._clock()
    monkeypatch.setattr(sessions, "_clock", lambda: present + timedelta(minutes=5, seconds=5))
    assert person.send("POST", KEYS, {"name": "bot", "scopes": ["place:orders"]}).status_code == 403


def test_a_halted_account_is_released_by_a_person_who_stepped_up(desk: Desk, person: Person) -> None:
    path = f"/api/v1/accounts/{desk.ids['account_id']}/trading-state"
    assert desk.send("POST", path, {"trading_state": "HALTED"}).status_code == 200
    refused = desk.send("POST", path, {"trading_state": "ACTIVE"})
    assert (refused.status_code, refused.json["code"]) == (403, "step_up_required")
    assert person.send("POST", path, {"trading_state": "CANCEL_ONLY"}).status_code == 403
    assert person.send("POST", f"{AUTH}/step-up", {"password": PASSWORD}).status_code == 200
    released = person.send("POST", path, {"trading_state": "ACTIVE"})
    assert (released.status_code, released.json["trading_state"]) == (200, "ACTIVE")


def test_a_second_factor_over_http(person: Person) -> None:
    assert person.send("POST", f"{AUTH}/totp/enrol").json["code"] == "step_up_required"
    person.send("POST", f"{AUTH}/step-up", {"password": PASSWORD})
    made = person.send("POST", f"{AUTH}/totp/enrol").json
    assert made["otpauth_uri"].startswith("otpauth://totp/")
    secret = _secret(made["otpauth_uri"])
    step = int(time.time()) // totp.STEP_S
    codes = person.send("POST", f"{AUTH}/totp/verify", {"code": totp.code_of(secret, step)}).json["recovery_codes"]
    assert len(codes) == 10
    login = {"email": person.email, "password": PASSWORD}
    needed = person.send("POST", f"{AUTH}/login", login)
    assert (needed.status_code, needed.json["code"]) == (401, "totp_required")
    again = person.send("POST", f"{AUTH}/login", {**login, "totp_code": totp.code_of(secret, step)})
    assert (again.status_code, again.json["code"]) == (401, "invalid_code")
    person.log_in(totp_code=codes[0])
    assert person.send("GET", f"{AUTH}/me").json["has_second_factor"] is True
    assert person.send("POST", f"{AUTH}/step-up", {"password": PASSWORD}).status_code == 401
    assert person.send("POST", f"{AUTH}/step-up", {"totp_code": codes[1]}).status_code == 200
    assert person.send("DELETE", f"{AUTH}/totp", {"password": PASSWORD, "code": codes[1]}).status_code == 401
    assert person.send("DELETE", f"{AUTH}/totp", {"password": PASSWORD, "code": codes[2]}).status_code == 204
    person.log_in()


def test_sessions_are_listed_and_ended(person: Person) -> None:
    first = person.tokens
    person.log_in()
    listed = person.send("GET", f"{AUTH}/sessions").json
    assert listed["total_count"] == 2
    assert [item["is_current"] for item in listed["items"] if item["session_id"] != first["session_id"]] == [True]
    assert {(item["address"], item["agent"]) for item in listed["items"]} == {(person.address, "pytest")}
    path = f"{AUTH}/sessions/{first['session_id']}"
    assert person.send("DELETE", path).status_code == 204
    assert person.send("DELETE", path).status_code == 404
    old = {"Authorization": f"Bearer {first['access_token']}"}
    assert person.send("GET", f"{AUTH}/me", headers=old).status_code == 401
    assert person.send("POST", f"{AUTH}/logout-all").json == {"ended": 1}
    assert person.send("GET", f"{AUTH}/me").status_code == 401


def test_nobody_ends_a_session_of_somebody_else_but_an_administrator(desk: Desk, person: Person) -> None:
    trader = Person(desk, "TRADER")
    session_id = person.tokens["session_id"]
    assert trader.send("DELETE", f"{AUTH}/sessions/{session_id}").status_code == 404
    assert trader.send("GET", "/api/v1/sessions").status_code == 403
    theirs = person.send("GET", f"/api/v1/sessions?user_id={trader.user_id}").json["items"]
    assert [item["session_id"] for item in theirs] == [trader.tokens["session_id"]]
    assert person.send("DELETE", f"/api/v1/sessions/{trader.tokens['session_id']}").status_code == 204
    assert trader.send("GET", f"{AUTH}/me").status_code == 401


def test_a_changed_password_ends_the_other_sessions(person: Person) -> None:
    other = {"Authorization": f"Bearer {person.tokens['access_token']}"}
    person.log_in()
    for body, status in (
        ({"password": "not the password", "new_password": NEW}, 401),
        ({"password": PASSWORD, "new_password": "Password1234"}, 422),
        ({"password": PASSWORD, "new_password": "short"}, 422),
        ({"password": PASSWORD, "new_password": "x1" * 65}, 422),
        ({"password": PASSWORD, "new_password": NEW}, 204),
    ):
        assert person.send("POST", f"{AUTH}/password", body).status_code == status
    assert person.send("GET", f"{AUTH}/me").status_code == 200
    assert person.send("GET", f"{AUTH}/me", headers=other).status_code == 401
    person.log_in(NEW)


def test_a_password_is_reset_by_a_token_that_came_by_mail(desk: Desk, person: Person) -> None:
    for email in (person.email, "nobody@example.com"):
        answer = person.send("POST", f"{AUTH}/password-reset", {"email": email})
        assert (answer.status_code, answer.json) == (202, {"status": "accepted"})
    desk.services.mailing.send_due()
    mails = [mail.read_text().replace("=\n", "") for mail in (desk.services.settings.home / "outbox").glob("*.eml")]
    (mail,) = [mail for mail in mails if "/reset-password#" in mail]
    assert person.email in mail
    token = mail.partition("#")[2].split()[0]
    confirm = f"{AUTH}/password-reset/confirm"
    assert person.send("POST", confirm, {"token": token, "password": "Password1234"}).status_code == 422
    assert person.send("POST", confirm, {"token": token + "x", "password": NEW}).status_code == 401
    assert person.send("POST", confirm, {"token": token, "password": NEW}).status_code == 204
    assert person.send("POST", confirm, {"token": token, "password": NEW}).status_code == 401
    assert person.send("GET", f"{AUTH}/me").status_code == 401
    person.log_in(NEW)


def test_signing_in_and_what_was_refused_is_on_record(desk: Desk, person: Person) -> None:
    refused = person.send("POST", f"{AUTH}/login", {"email": person.email, "password": "not the password"})
    assert refused.status_code == 401
    events = desk.services.reader.events(desk.tenant_id, LedgerId(desk.ids["ledger_id"]), 0, 500)
    actions = [recorded.event.action for recorded in events if isinstance(recorded.event, AdminActed)]
    assert "session.signed_in" in actions
    assert actions[-1] == "session.refused"
    assert person.email not in repr(events)


def test_a_person_of_two_tenants_chooses_one(desk: Desk, person: Person) -> None:
    identity = desk.services.identity
    (own,) = identity.signing_in.tenants(person.user_id)
    made = desk.services.tenancy.create(cli_actor(), NewTenant(name="Second", slug="second-of-the-tests"))
    with desk.services.store.tenant_unit(made.tenant_id) as unit:
        people.put_member(unit, person.user_id, "VIEWER", ())
    tenants = {item["slug"]: item for item in person.send("GET", f"{AUTH}/me").json["tenants"]}
    assert tenants["second-of-the-tests"]["role"] == "VIEWER"
    assert [item["tenant_id"] for item in tenants.values() if item["is_current"]] == [own.tenant_id]
    switched = person.send("POST", f"{AUTH}/switch-tenant", {"tenant": "second-of-the-tests"})
    assert (switched.status_code, switched.json["tenant_id"]) == (200, made.tenant_id)
    there = {"Authorization": f"Bearer {switched.json['access_token']}"}
    assert person.send("GET", f"{AUTH}/me", headers=there).json["scopes"] == ["view:orders", "view:positions"]
    assert person.log_in(tenant="second-of-the-tests")["tenant_id"] == made.tenant_id
    assert person.send("POST", f"{AUTH}/switch-tenant", {"tenant_id": str(uuid.uuid4())}).status_code == 404


def test_a_refresh_token_that_comes_twice_ends_its_session_and_alerts_the_tenant(
    migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(migrated_file, tmp_path) as desk:
        person = Person(desk)
        old = {"refresh_token": person.tokens["refresh_token"]}
        renewed = person.send("POST", f"{AUTH}/refresh", old).json["refresh_token"]
        assert person.send("POST", f"{AUTH}/refresh", old).json["refresh_token"] == renewed
        tokens = desk.services.identity.tokens
        later = tokens._clock() + timedelta(seconds=11)
        monkeypatch.setattr(tokens, "_clock", lambda: later)
        for used in (old["refresh_token"], renewed):
            assert person.send("POST", f"{AUTH}/refresh", {"refresh_token": used}).status_code == 401
        alerts = desk.send("GET", "/api/v1/alerts?source=sign-in").json["items"]
        assert [person.user_id in alert["text"] for alert in alerts] == [True]
