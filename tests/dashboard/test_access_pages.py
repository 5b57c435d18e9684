"""People, invitations, keys, sessions, tenants and one's own account on their pages: who may, what changes."""

import base64
import html
import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from werkzeug.test import TestResponse

from oms_app.bootstrap import Services, build_services
from oms_app.config import Registration
from oms_app.flow import totp
from oms_app.flow.audit import cli_actor
from oms_app.flow.scopes import Scope
from oms_app.flow.tenancy import NewTenant
from tests.api.desk import seed
from tests.dashboard.conftest import fresh_home
from tests.dashboard.letters import link_to, token_of
from tests.dashboard.person import PASSWORD, Person, hidden_fields, new_app
from tests.waiting import until

ADMIN_PAGES = ("/members", "/invitations", "/keys", "/sessions", "/audit", "/tenant")
ANOTHER = "another long password of the tests"


class Place:
    """Services and their dashboard."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.app = new_app(services)


@pytest.fixture(scope="module")
def place(migrated_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Where strangers may register."""
    made = build_services(fresh_home(migrated_file, tmp_path_factory.mktemp("access"), registration=Registration.OPEN))
    yield Place(made)
    made.close()


@pytest.fixture(scope="module")
def ids(place: Place) -> dict[str, str]:
    return seed(place.services)


@pytest.fixture(scope="module")
def boss(place: Place, ids: dict[str, str]) -> Person:
    """An administrator who is signed in."""
    return signed_in(place, ids, "boss@example.com", "ADMIN")


def another_tenant(place: Place) -> dict[str, str]:
    """The ids of a new tenant."""
    made = place.services.tenancy.create(cli_actor(), NewTenant(name="Elsewhere"))
    return {"tenant_id": made.tenant_id}


def signed_in(place: Place, ids: dict[str, str], email: str, role: str) -> Person:
    """A new person who is signed in."""
    someone = Person(place.services, ids, email, role, place.app)
    assert someone.sign_in().status_code == 303
    return someone


def proved(person: Person, password: str = PASSWORD) -> Person:
    """The person, after a fresh proof of who it is."""
    answer = person.post("/step-up", password=password)
    assert answer.status_code == 204, answer.text
    return person


def row_of(page: str, kind: str, text: str) -> str:
    """The id in the table row `kind-<id>` that holds the text."""
    for found in re.finditer(rf'<tr id="{kind}-([0-9a-f-]+)"(.*?)</tr>', page, re.DOTALL):
        if text in found.group(2):
            return found.group(1)
    raise AssertionError(f"no row {kind} with {text}")


def told(answer: TestResponse) -> str:
    """The notice that came with a fragment."""
    return answer.headers.get("HX-Trigger", "")


def stranger(person: Person, path: str, **fields: str) -> TestResponse:
    """The answer to a form sent by a browser without a session."""
    client = person.app.test_client()
    form = hidden_fields(client.get("/login").text)
    return client.post(path, data={"csrf_token": form["csrf_token"], **fields})


def code_of(secret: str, later: int = 0) -> str:
    """The code of a shown secret, now or some steps later."""
    raw = base64.b32decode(secret + "=" * (-len(secret) % 8))
    return totp.code_of(raw, totp.step_at(datetime.now(UTC)) + later)


# Who may ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "seen"),
    [
        ("VIEWER", {"/", "/alerts", "/risk", "/reconciliation", "/account"}),
        ("COMPLIANCE", {"/", "/alerts", "/risk", "/compliance", "/reconciliation", "/account", "/audit"}),
        ("ADMIN", {"/", "/alerts", "/risk", "/compliance", "/reconciliation", "/queues", "/account", *ADMIN_PAGES}),
    ],
)
def test_everybody_is_shown_the_pages_that_they_may_open_and_no_other(
    place: Place, ids: dict[str, str], role: str, seen: set[str]
) -> None:
    someone = signed_in(place, ids, f"nav-{role.lower()}@example.com", role)
    page = someone.client.get("/account").text
    links = set(re.findall(r'<a href="(/[a-z]*)"', page.partition("</nav>")[0])) | {"/account"}
    if role != "VIEWER":
        admin = someone.client.get("/audit").text
        links |= set(re.findall(r'<a href="(/[a-z]*)"', admin.partition("</header>")[2].partition("</nav>")[0])) | {
            "/audit"
        }
    assert links == seen
    for path in ADMIN_PAGES:
        assert someone.client.get(path).status_code == (200 if path in seen else 403), path


def test_only_superusers_see_all_tenants(boss: Person, place: Place, ids: dict[str, str]) -> None:
    assert boss.client.get("/tenants").status_code == 403
    assert boss.post("/tenants", name="Mine").status_code == 403
    assert "/tenants" not in re.findall(r'<a href="([^"]*)"', boss.client.get("/tenant").text)


def test_every_form_of_the_access_pages_asks_for_the_sessions_token(boss: Person) -> None:
    some_id = "01a1f9b3-0000-7000-8000-000000000000"
    rules = [
        rule
        for rule in boss.app.url_map.iter_rules()
        if "POST" in (rule.methods or ()) and not rule.rule.startswith(("/desk", "/login", "/queues", "/logout"))
    ]
    assert len(rules) > 35
    for rule in rules:
        path = re.sub(r"<[^>]+>", some_id, rule.rule)
        answer = boss.client.post(path, data={"csrf_token": "0" * 40})
        assert answer.status_code == 403, path


def test_another_tenants_members_keys_and_invitations_are_not_found(boss: Person, place: Place) -> None:
    other_ids = another_tenant(place)
    other = signed_in(place, other_ids, "elsewhere@example.com", "ADMIN")
    member = row_of(other.client.get("/members").text, "member", "elsewhere@example.com")
    assert boss.client.get(f"/members/{member}").status_code == 404
    assert boss.post(f"/members/{member}/remove").status_code in (404, 422)
    assert other.client.get("/members").status_code == 200
    proved(other).post("/keys", name="theirs", kind="live", scopes=Scope.VIEW_ORDERS, **NO_TERMS)
    key = row_of(other.client.get("/keys").text, "key", "theirs")
    assert boss.client.get(f"/keys/{key}").status_code == 404
    assert boss.post(f"/keys/{key}/revoke").status_code == 404
    assert boss.client.get(f"/tenants/{other_ids['tenant_id']}").status_code == 404
    assert "Active" in other.client.get(f"/keys/{key}").text


NO_TERMS = {"expires_at": "", "networks": "", "requests_per_s": "", "burst": ""}


# Invitations and members --------------------------------------------------------------------------------------


def test_an_invitation_is_made_sent_accepted_once_and_seen_as_accepted(boss: Person, place: Place) -> None:
    answer = boss.post("/invitations", email="anna@example.com", role="TRADER", first_name="Anna", last_name="")
    assert answer.status_code == 200 and "anna@example.com is invited" in told(answer)
    token = token_of(link_to(place.services, "anna@example.com"))
    offer = stranger(boss, "/invitation", token=token)
    assert "Choose a password" in offer.text and "TRADER" in offer.text
    weak = stranger(boss, "/invitation/accept", token=token, password="short")
    assert weak.status_code == 422 and "12 to 128" in weak.text and "short" not in weak.text.partition("<form")[2]
    joined = stranger(boss, "/invitation/accept", token=token, password=ANOTHER)
    assert "You are a member now" in joined.text
    again = stranger(boss, "/invitation/accept", token=token, password=ANOTHER)
    assert again.status_code == 422 and "ask for a new one" in again.text
    page = boss.client.get("/invitations").text
    assert 'data-status="ACCEPTED"' in page
    assert "anna@example.com" in boss.client.get("/members").text


def test_what_is_wrong_with_an_invitation_is_told_at_its_field(boss: Person) -> None:
    answer = boss.post("/invitations", email="nonsense", role="TRADER", first_name="", last_name="")
    assert answer.status_code == 422
    assert re.search(r'name="email" value="nonsense" aria-invalid=true', answer.text)
    answer = boss.post("/invitations", email="boss@example.com", role="TRADER", first_name="", last_name="")
    assert answer.status_code == 422 and "member already" in answer.text


def test_a_revoked_invitation_is_worth_nothing(boss: Person, place: Place) -> None:
    boss.post("/invitations", email="ben@example.com", role="VIEWER", first_name="", last_name="")
    token = token_of(link_to(place.services, "ben@example.com"))
    invitation = row_of(boss.client.get("/invitations").text, "invitation", "ben@example.com")
    assert "gets another mail" in told(boss.post(f"/invitations/{invitation}/resend"))
    assert "revoked" in told(boss.post(f"/invitations/{invitation}/revoke"))
    assert stranger(boss, "/invitation", token=token).status_code == 422


def test_a_member_changes_role_is_kept_out_let_in_and_removed(boss: Person, place: Place, ids: dict[str, str]) -> None:
    carl = signed_in(place, ids, "carl@example.com", "VIEWER")
    member = row_of(boss.client.get("/members").text, "member", "carl@example.com")
    assert carl.client.get("/audit").status_code == 403
    answer = boss.post(f"/members/{member}/role", role="TRADER", scopes=Scope.VIEW_AUDIT)
    assert answer.status_code == 200, answer.text
    carl.client.post("/login/renew")
    assert carl.client.get("/audit").status_code == 200
    assert "kept out" in told(boss.post(f"/members/{member}/deactivate"))
    assert carl.client.get("/").status_code == 303
    assert "may come in" in told(boss.post(f"/members/{member}/activate"))
    gone = boss.post(f"/members/{member}/remove")
    assert gone.headers["HX-Redirect"] == "/members"
    assert boss.client.get(f"/members/{member}").status_code == 404


def test_the_last_administrator_stays_one(place: Place) -> None:
    only = signed_in(place, another_tenant(place), "only@example.com", "ADMIN")
    member = row_of(only.client.get("/members").text, "member", "only@example.com")
    answer = only.post(f"/members/{member}/role", role="VIEWER")
    assert answer.status_code == 422 and "last active ADMIN" in answer.text
    answer = only.post(f"/members/{member}/remove")
    assert answer.status_code == 422 and "last active ADMIN" in answer.text


def test_an_import_is_checked_then_done_all_or_nothing_and_members_are_exported(
    boss: Person, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = "email,role\ndora@example.com,TRADER\nemil@example.com,VIEWER\n"
    checked = boss.post("/members/import", csv=table, what="check")
    assert "2 would be invited" in told(checked)
    assert "dora@example.com" not in boss.client.get("/invitations").text
    bad = boss.post("/members/import", csv=table + "x,KING\n", what="import")
    assert bad.status_code == 422 and "Row 3, email" in bad.text
    assert "dora@example.com" not in boss.client.get("/invitations").text
    assert "2 invited" in told(boss.post("/members/import", csv=table, what="import"))
    assert "dora@example.com" in boss.client.get("/invitations").text
    assert boss.post("/members/import", csv="", what="import").status_code == 422
    file = {"file": (io.BytesIO(table.encode()), "people.csv"), "what": "check"}
    assert "Invited already" in boss.post("/members/import", **file).text  # type: ignore[arg-type]
    monkeypatch.setattr("oms_app.dashboard.members.LONGEST_CSV", 20)
    file = {"file": (io.BytesIO(table.encode()), "people.csv"), "what": "check"}
    assert "split it" in boss.post("/members/import", **file).text  # type: ignore[arg-type]
    exported = boss.client.get("/members/export")
    assert exported.headers["Content-Type"].startswith("text/csv")
    assert "boss@example.com" in exported.text


# Keys ---------------------------------------------------------------------------------------------------------


def test_a_key_that_may_place_orders_needs_a_fresh_proof_and_is_shown_once(place: Place, ids: dict[str, str]) -> None:
    maker = signed_in(place, ids, "maker@example.com", "ADMIN")
    asked = {"name": "robot", "kind": "live", "scopes": Scope.PLACE_ORDERS, **NO_TERMS}
    refused = maker.post("/keys", **asked)
    assert (refused.status_code, refused.headers["X-Step-Up"]) == (403, "password")
    assert maker.post("/step-up", password="not it at all").status_code == 422
    made = proved(maker).post("/keys", **asked)
    secret = re.search(r"oms_live_[A-Za-z0-9_-]{20,}", made.text)
    assert made.status_code == 200 and secret is not None
    assert place.services.identity.caller_of_key(secret.group()).principal.scopes == {Scope.PLACE_ORDERS}
    assert secret.group() not in maker.client.get("/keys").text
    assert made.headers["Cache-Control"] == "no-store"


def test_a_key_is_changed_rotated_with_overlap_and_revoked(boss: Person, place: Place) -> None:
    made = boss.post("/keys", name="reader", kind="live", scopes=Scope.VIEW_ORDERS, **NO_TERMS)
    first = html.unescape(re.search(r'id="new-key"[^>]*>([^<]+)<', made.text).group(1))  # type: ignore[union-attr]
    key = row_of(boss.client.get("/keys").text, "key", "reader")
    wrong = boss.post(f"/keys/{key}/change", **{**NO_TERMS, "name": "reader", "networks": "nowhere"})
    assert wrong.status_code == 422 and "is no network" in wrong.text
    terms = {"name": "reader 2", "expires_at": "2035-01-01T10:00", "networks": "127.0.0.0/8, 10.0.0.0/8"}
    assert boss.post(f"/keys/{key}/change", **terms, requests_per_s="5", burst="").status_code == 200
    page = boss.client.get(f"/keys/{key}").text
    assert "10.0.0.0/8" in page and 'value="10"' in page and "2035-01-01T10:00" in page
    rotated = boss.post(f"/keys/{key}/rotate", overlap_s="3600")
    second = html.unescape(re.search(r'id="new-key"[^>]*>([^<]+)<', rotated.text).group(1))  # type: ignore[union-attr]
    assert second != first and "Rotating" in rotated.text
    for secret in (first, second):
        assert place.services.identity.caller_of_key(secret).principal.principal_id == f"key:{key}"
    assert "Revoked" in boss.post(f"/keys/{key}/revoke").text
    assert "Change the key" not in boss.client.get(f"/keys/{key}").text


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("name", {"name": ""}),
        ("scopes", {"scopes": ""}),
        ("expires_at", {"expires_at": "2001-01-01T00:00"}),
        ("expires_at", {"expires_at": "soon"}),
        ("requests_per_s", {"requests_per_s": "many"}),
        ("requests_per_s", {"burst": "5"}),
    ],
)
def test_what_is_wrong_with_a_key_is_told_at_its_field(boss: Person, field: str, fields: dict[str, str]) -> None:
    asked = {"name": "wrong", "kind": "live", "scopes": str(Scope.VIEW_ORDERS), **NO_TERMS, **fields}
    if not asked["scopes"]:
        asked.pop("scopes")
    answer = boss.post("/keys", **asked)
    assert answer.status_code == 422
    part = re.search(rf'name="{field}".*?class="fault"', answer.text, re.DOTALL)
    assert part is not None, "the fault stands at its field"
    assert "wrong" not in boss.client.get("/keys").text


# One's own account --------------------------------------------------------------------------------------------


def test_a_profile_is_changed_and_its_faults_are_told(boss: Person) -> None:
    said = {"first_name": "Bo", "last_name": "Ss", "phone_number": "+4930123456", "locale": "en", "time_zone": ""}
    assert "profile is changed" in told(boss.post("/account/profile", **said, date_of_birth="1980-02-03"))
    assert 'value="1980-02-03"' in boss.client.get("/account").text
    answer = boss.post("/account/profile", **{**said, "time_zone": "Moon/Base"}, date_of_birth="")
    assert answer.status_code == 422 and 'value="Moon/Base" aria-invalid=true' in answer.text


def test_a_password_is_changed_and_the_other_sessions_end(place: Place, ids: dict[str, str]) -> None:
    fay = signed_in(place, ids, "fay@example.com", "TRADER")
    elsewhere = fay.app.test_client()
    form = hidden_fields(elsewhere.get("/login").text)
    elsewhere.post("/login", data={**form, "email": fay.email, "password": PASSWORD})
    assert elsewhere.get("/").status_code == 200
    wrong = fay.post("/account/password", password="wrong", new_password=ANOTHER)
    assert wrong.status_code == 422 and "present password is wrong" in wrong.text
    weak = fay.post("/account/password", password=PASSWORD, new_password="short")
    assert weak.status_code == 422 and PASSWORD not in weak.text
    assert fay.post("/account/password", password=PASSWORD, new_password=ANOTHER).status_code == 200
    assert elsewhere.get("/").status_code == 303
    assert fay.client.get("/").status_code == 200


def test_a_second_factor_is_set_up_used_to_sign_in_and_removed(place: Place, ids: dict[str, str]) -> None:
    gus = signed_in(place, ids, "gus@example.com", "TRADER")
    assert gus.post("/account/second-factor").headers["X-Step-Up"] == "password"
    shown = proved(gus).post("/account/second-factor").text
    secret = re.search(r'id="totp-secret"[^>]*>([A-Z2-7]+)<', shown).group(1)  # type: ignore[union-attr]
    assert "data:image/svg+xml;base64," in shown
    assert gus.post("/account/second-factor/verify", code="000000").status_code == 422
    answer = gus.post("/account/second-factor/verify", code=code_of(secret, -1))
    codes = re.findall(r"<li><code>([a-z2-7-]+)</code>", answer.text)
    assert len(codes) == 10 and "oms:renew" in told(answer)
    page = gus.client.get("/account").text
    assert "10 recovery codes left" in page and not any(code in page for code in (secret, *codes))
    again = gus.app.test_client()
    form = {**hidden_fields(again.get("/login").text), "email": gus.email, "password": PASSWORD}
    asked = again.post("/login", data=form)
    assert asked.status_code == 401 and 'name="totp_code"' in asked.text and PASSWORD not in asked.text
    assert again.post("/login", data={**form, "totp_code": "000000"}).status_code == 401
    assert again.post("/login", data={**form, "totp_code": code_of(secret)}).status_code == 303
    other = gus.app.test_client()
    form = {**hidden_fields(other.get("/login").text), "email": gus.email, "password": PASSWORD}
    assert other.post("/login", data={**form, "totp_code": codes[0]}).status_code == 303
    gone = gus.post("/account/second-factor/remove", password=PASSWORD, code=codes[1])
    assert gone.status_code == 200 and "Set up" in gone.text


def test_sessions_are_listed_with_their_program_and_ended(place: Place, ids: dict[str, str], boss: Person) -> None:
    hal = signed_in(place, ids, "hal@example.com", "TRADER")
    phone = hal.app.test_client()
    agent = "Mozilla/5.0 (iPhone; CPU) Version/17.0 Mobile Safari/604.1"
    form = hidden_fields(phone.get("/login").text)
    data = {**form, "email": hal.email, "password": PASSWORD}
    assert phone.post("/login", data=data, headers={"User-Agent": agent}).status_code == 303
    page = hal.client.get("/account").text
    session = row_of(page, "session", "Safari on iPhone")
    assert "this session" in page
    assert "is ended" in told(hal.post(f"/account/sessions/{session}/end"))
    assert phone.get("/").status_code == 303 and hal.client.get("/").status_code == 200
    others = row_of(boss.client.get("/sessions").text, "session", "hal@example.com")
    assert hal.post(f"/sessions/{others}/end").status_code == 403
    assert "is ended" in told(boss.post(f"/sessions/{others}/end"))
    assert hal.client.get("/").status_code == 303


def test_nobody_ends_somebody_elses_session_as_their_own(place: Place, ids: dict[str, str], boss: Person) -> None:
    ida = signed_in(place, ids, "ida@example.com", "TRADER")
    others = row_of(boss.client.get("/account").text, "session", "this session")
    assert "had ended already" in told(ida.post(f"/account/sessions/{others}/end"))
    assert boss.client.get("/").status_code == 200
    assert "0 sessions ended" in told(ida.post("/account/sessions/end-others"))


def test_a_person_takes_along_what_is_kept_and_is_erased(place: Place, ids: dict[str, str], boss: Person) -> None:
    jon = signed_in(place, ids, "jon@example.com", "TRADER")
    kept = jon.client.get("/account/data")
    assert "attachment" in kept.headers["Content-Disposition"]
    assert (kept.json or {})["person"]["email"] == "jon@example.com" and "argon2" not in kept.text
    member = row_of(boss.client.get("/members").text, "member", "jon@example.com")
    assert jon.post(f"/members/{member}/erase").status_code == 403
    assert boss.post(f"/members/{member}/erase").headers["HX-Redirect"] == "/members"
    assert jon.client.get("/").status_code == 303
    for path in ("/members", "/audit", "/sessions"):
        assert "jon@example.com" not in boss.client.get(path).text, path


# Tenants ------------------------------------------------------------------------------------------------------


def test_a_tenant_is_changed_with_its_settings_and_a_required_factor_leads_to_the_account(place: Place) -> None:
    ids = another_tenant(place)
    own = signed_in(place, ids, "own@example.com", "ADMIN")
    path = f"/tenants/{ids['tenant_id']}"
    named = {"name": "New name", "time_zone": "Europe/Berlin", "base_currency": "EUR"}
    assert own.post(f"{path}/names", **named, slug="taken-by-force").status_code == 200
    page = own.client.get("/tenant").text
    assert "Europe/Berlin" in page and "taken-by-force" not in page
    wrong = own.post(f"{path}/names", **{**named, "time_zone": "Moon/Base"})
    assert wrong.status_code == 422 and "aria-invalid" in wrong.text
    assert own.post(f"{path}/settings", settings="require_totp").status_code == 200
    answer = own.client.get("/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/account")
    account = own.client.get("/account").text
    assert "asks for a second factor" in account and 'href="/members"' not in account


def test_at_a_tenants_own_host_nobody_of_another_tenant_is_signed_in(place: Place, ids: dict[str, str]) -> None:
    here = another_tenant(place)
    lou, mia = signed_in(place, ids, "lou@example.com", "ADMIN"), signed_in(place, here, "mia@example.com", "ADMIN")
    changes = {"domain": "desk.example.org"}
    place.services.tenancy.update(cli_actor(), mia.tenant_id, changes)
    until(lambda: place.services.hosts.tenant_of("desk.example.org") == mia.tenant_id, "the domain is known")
    at_host = {"base_url": "http://desk.example.org"}
    for someone in (lou, mia):
        form = hidden_fields(someone.client.get("/login", **at_host).text)
        signed = someone.client.post("/login", data={**form, "email": someone.email, "password": PASSWORD}, **at_host)
        assert signed.status_code == (401 if someone is lou else 303), someone.email
    stolen = lou.client.get_cookie("oms_access")
    assert stolen is not None
    lou.client.set_cookie("oms_access", stolen.value, domain="desk.example.org")
    assert lou.client.get("/members", **at_host).headers["Location"] == "/login"
    assert mia.client.get("/members", **at_host).status_code == 200


def test_a_superuser_makes_closes_and_opens_tenants_and_invites_the_first_administrator(
    place: Place, boss: Person
) -> None:
    place.services.people.create(cli_actor(), "root@example.com", PASSWORD, is_superuser=True)
    root = Person(place.services, boss.ids, "root@example.com", app=place.app)
    assert root.sign_in().status_code == 303
    asked = {"name": "Third desk", "slug": "", "domain": "", "time_zone": "UTC", "base_currency": "USD"}
    made = root.post("/tenants", **asked, admin_email="first@example.com")
    assert made.status_code == 200 and "Third desk is made" in told(made)
    assert link_to(place.services, "first@example.com").startswith("/invitation#")
    tenant = row_of(made.text, "tenant", "Third desk")
    assert root.client.get(f"/tenants/{tenant}").status_code == 200
    assert root.post(f"/tenants/{tenant}/names", **{**asked, "slug": "third"}).status_code == 200
    assert "is closed" in told(root.post(f"/tenants/{tenant}/deactivate"))
    assert "is open" in told(root.post(f"/tenants/{tenant}/activate"))
    nameless = root.post("/tenants", **{**asked, "name": ""}, admin_email="")
    assert nameless.status_code == 422 and "aria-invalid" in nameless.text
    assert boss.post(f"/tenants/{tenant}/deactivate").status_code == 403


def test_a_person_of_two_tenants_switches_between_them(place: Place, boss: Person, ids: dict[str, str]) -> None:
    second = another_tenant(place)
    other_boss = signed_in(place, second, "boss2@example.com", "ADMIN")
    kim = signed_in(place, ids, "kim@example.com", "TRADER")
    other_boss.post("/invitations", email="kim@example.com", role="VIEWER", first_name="", last_name="")
    token = token_of(link_to(place.services, "kim@example.com"))
    assert "You have an account already" in stranger(boss, "/invitation", token=token).text
    assert "You are a member now" in stranger(boss, "/invitation/accept", token=token).text
    before = kim.client.get_cookie("oms_access")
    form = hidden_fields(kim.client.get("/account").text)
    switched = kim.client.post("/account/switch", data={"csrf_token": kim.token, "tenant_id": form["tenant_id"]})
    assert switched.status_code == 303
    page = kim.client.get("/account").text
    assert "VIEWER" in page and kim.client.get("/").status_code == 200
    kim.client.set_cookie("oms_access", before.value if before is not None else "")
    assert kim.client.get("/").status_code == 303, "the session in the other tenant has ended"


# Audit --------------------------------------------------------------------------------------------------------


def test_what_was_done_is_found_in_the_audit_by_filters_and_exported(boss: Person) -> None:
    boss.post("/keys", name="audited", kind="live", scopes=Scope.VIEW_ORDERS, **NO_TERMS)
    key = row_of(boss.client.get("/keys").text, "key", "audited")
    page = boss.client.get("/audit", query_string={"object_id": key}).text
    assert re.findall(r'data-action="([a-z_.]+)"', page) == ["api_key.created"]
    assert "boss@example.com" in page and "127.0.0.1" in page
    assert "data-action" not in boss.client.get("/audit", query_string={"object_id": key, "before": "2020-01-01"}).text
    wrong = boss.client.get("/audit", query_string={"since": "soon"})
    assert wrong.status_code == 422 and "aria-invalid" in wrong.text
    csv = boss.client.get("/audit/export", query_string={"format": "csv", "action": "api_key.created"})
    assert csv.headers["Content-Type"].startswith("text/csv") and key in csv.text
    whole = boss.client.get("/audit/export")
    assert '"complete":true' in whole.text and key in whole.text
    assert boss.client.get("/audit/export", query_string={"ledger_id": "nonsense"}).status_code == 422


def test_the_audit_goes_on_behind_its_first_page(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    own = signed_in(place, another_tenant(place), "pages@example.com", "ADMIN")
    said = {"last_name": "", "phone_number": "", "locale": "", "time_zone": "", "date_of_birth": ""}
    for number in range(4):
        own.post("/account/profile", first_name=f"Name {number}", **said)
    monkeypatch.setattr("oms_app.dashboard.audit.ROWS", 3)
    page = own.client.get("/audit", query_string={"action": "profile.changed"}).text
    assert page.count("data-action=") == 3
    older = html.unescape(re.search(r'id="older" href="([^"]+)"', page).group(1))  # type: ignore[union-attr]
    assert own.client.get(older).text.count("data-action=") == 1
    assert own.client.get("/audit", query_string={"cursor": "nonsense"}).status_code == 422


# People without a session -------------------------------------------------------------------------------------


def test_a_forgotten_password_is_set_anew_and_asking_tells_nobody_who_exists(
    place: Place, boss: Person, ids: dict[str, str]
) -> None:
    lea = signed_in(place, ids, "lea@example.com", "TRADER")
    known = stranger(boss, "/forgot-password", email="lea@example.com")
    unknown = stranger(boss, "/forgot-password", email="nobody@example.com")
    assert known.status_code == unknown.status_code == 200 and known.text == unknown.text
    token = token_of(link_to(place.services, "lea@example.com"))
    assert stranger(boss, "/reset-password", token=token, password="short").status_code == 422
    done = stranger(boss, "/reset-password", token=token, password=ANOTHER)
    assert "Your password is set" in done.text
    assert lea.client.get("/").status_code == 303
    assert lea.sign_in(ANOTHER).status_code == 303
    assert stranger(boss, "/reset-password", token=token, password=ANOTHER + "!").status_code == 422


def test_an_address_is_verified_by_its_mail(place: Place, boss: Person) -> None:
    assert "on its way" in told(boss.post("/account/verify-email"))
    token = token_of(link_to(place.services, "boss@example.com"))
    assert "is verified" in stranger(boss, "/verify-email", token=token).text
    assert stranger(boss, "/verify-email", token=token).status_code == 422
    assert "E-mail verified" in boss.client.get("/account").text


def test_strangers_register_where_it_is_open(place: Place, boss: Person) -> None:
    asked = {"email": "new@example.com", "tenant_name": "New firm", "first_name": "", "last_name": ""}
    assert "on its way" in stranger(boss, "/register", **asked).text
    token = token_of(link_to(place.services, "new@example.com"))
    assert "are made" in stranger(boss, "/registration", token=token, password=ANOTHER).text
    newcomer = Person(place.services, boss.ids, "new@example.com", app=place.app)
    assert newcomer.sign_in(ANOTHER).status_code == 303
    assert "New firm" in newcomer.client.get("/account").text


def test_registration_is_closed_by_default(services: Services) -> None:
    someone = Person(services, seed(services), "x@example.com", "VIEWER")
    assert "Registration is closed" in someone.client.get("/register").text
    assert "/register" not in someone.client.get("/login").text
    answer = stranger(someone, "/register", email="n@example.com", tenant_name="N", first_name="", last_name="")
    assert answer.status_code == 422 and "closed" in answer.text


@pytest.mark.parametrize("path", ["/invitation", "/reset-password", "/verify-email", "/registration"])
def test_pages_of_mails_bear_no_token_and_refuse_worthless_ones(boss: Person, path: str) -> None:
    page = boss.app.test_client().get(path)
    assert page.status_code == 200 and page.headers["Cache-Control"] == "no-store"
    answer = stranger(boss, path, token="nonsense", password=ANOTHER)
    assert answer.status_code == 422 and ANOTHER not in answer.text
