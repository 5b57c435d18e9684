"""Signing in, staying so, and signing out: only from our own pages, never from a script or another site."""

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from oms_app.bootstrap import Services
from oms_app.dashboard import create_dashboard
from oms_app.flow.scopes import Scope
from tests.api.desk import seed
from tests.dashboard.person import PASSWORD, Person, hidden_fields


def cookies_of(answer: TestResponse) -> dict[str, str]:
    """The cookies that an answer sets, each with its attributes."""
    return {text.partition("=")[0]: text for text in answer.headers.getlist("Set-Cookie")}


def test_the_desk_sends_strangers_to_the_sign_in_page(person: Person) -> None:
    answer = person.app.test_client().get("/")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/login")


def test_a_fragment_tells_strangers_to_sign_in(person: Person) -> None:
    answer = person.app.test_client().get("/desk/orders", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert "Sign in again" in answer.text


def test_signing_in_opens_the_desk_with_the_persons_name(person: Person) -> None:
    page = person.client.get("/")
    assert page.status_code == 200
    assert "admin@example.com" in page.text


def test_session_cookies_are_out_of_reach_of_scripts_and_other_sites(services: Services) -> None:
    someone = Person(services, seed(services), "trader@example.com", "TRADER")
    cookies = cookies_of(someone.sign_in())
    assert set(cookies) == {"oms_access", "oms_renewal", "oms_device"}
    assert all("HttpOnly" in text and "SameSite=Strict" in text for text in cookies.values())
    assert all("Path=/login" in cookies[name] for name in ("oms_renewal", "oms_device"))


def test_a_wrong_password_says_nothing_about_which_is_wrong(services: Services) -> None:
    someone = Person(services, seed(services), "trader@example.com", "TRADER")
    answer = someone.sign_in("something else")
    assert answer.status_code == 401
    assert "E-mail or password is wrong" in answer.text
    assert 'value="trader@example.com"' in answer.text
    assert "oms_access" not in cookies_of(answer)


def test_a_sign_in_form_of_another_browser_is_refused(person: Person) -> None:
    form = hidden_fields(person.app.test_client().get("/login").text)
    stranger = person.app.test_client()
    stranger.get("/login")
    answer = stranger.post("/login", data={**form, "email": person.email, "password": "a password of the tests"})
    assert answer.status_code == 403
    assert "oms_access" not in cookies_of(answer)


def test_a_session_whose_access_cookie_ended_is_renewed_without_a_password(person: Person) -> None:
    person.client.delete_cookie("oms_access")
    assert person.client.get("/").headers["Location"] == "/login"
    answer = person.client.get("/login")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/")
    assert person.client.get("/").status_code == 200


def test_an_open_page_renews_its_session_and_its_forms_go_on_working(person: Person) -> None:
    answer = person.client.post("/login/renew")
    assert answer.status_code == 204
    assert set(cookies_of(answer)) == {"oms_access", "oms_renewal"}
    assert person.place().status_code == 200


def test_without_a_session_there_is_nothing_to_renew(person: Person) -> None:
    assert person.app.test_client().post("/login/renew").status_code == 401


def test_signing_out_ends_the_session_for_good(person: Person) -> None:
    kept = person.client.get_cookie("oms_access")
    answer = person.client.post("/logout", data={"csrf_token": person.token})
    assert answer.headers["Location"] == "/login"
    assert kept is not None
    person.client.set_cookie("oms_access", kept.value)
    assert person.client.get("/").status_code == 303


def test_another_site_cannot_sign_people_out(person: Person) -> None:
    assert person.client.post("/logout").status_code == 403
    assert person.client.get("/").status_code == 200


@pytest.mark.parametrize("path", ["/desk/orders", "/desk/orders/cancel-all"])
@pytest.mark.parametrize("token", ["", "0" * 40, "ü"])
def test_a_form_without_the_sessions_token_changes_nothing(person: Person, path: str, token: str) -> None:
    answer = person.client.post(path, data={**person.order(), "csrf_token": token})
    assert answer.status_code == 403
    assert person.rows() == []


def test_the_token_of_one_session_does_not_open_another(person: Person, services: Services) -> None:
    other = Person(services, person.ids, "second@example.com", "TRADER")
    other.sign_in()
    other.token = person.token
    assert other.place().status_code == 403


def test_a_viewer_sees_and_cannot_trade(person: Person, services: Services) -> None:
    viewer = Person(services, person.ids, "viewer@example.com", "VIEWER")
    viewer.sign_in()
    order_id = (person.place(), person.rows()[0]["id"])[1]
    assert [row["id"] for row in viewer.rows()] == [order_id]
    assert viewer.place().status_code == 403
    assert viewer.post(f"/desk/orders/{order_id}/cancel").status_code == 403
    assert viewer.post("/desk/orders/cancel-all").status_code == 403
    assert "Cancel" not in viewer.get("/desk/orders").text


def test_every_route_names_who_may_call_it(person: Person) -> None:
    scopes = {*(str(scope) for scope in Scope), "public", "authenticated"}
    views = person.app.view_functions
    own = [name for name in views if name.startswith("dashboard.") and name != "dashboard.static"]
    assert len(own) >= 31
    assert all(getattr(views[name], "oms_scope", None) in scopes for name in own)


def test_too_many_tries_from_one_address_have_to_wait(person: Person) -> None:
    app = Flask("limited", static_folder=None)
    app.register_blueprint(create_dashboard(person.services, lambda address: address != "127.0.0.1"))
    client = app.test_client()
    form = hidden_fields(client.get("/login").text)
    answer = client.post("/login", data={**form, "email": person.email, "password": PASSWORD})
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "20")
    assert "Too many tries" in answer.text
    assert "oms_access" not in cookies_of(answer)


def test_a_defect_is_logged_and_told_without_its_details(person: Person) -> None:
    person.services.store.close()
    person.app.config["PROPAGATE_EXCEPTIONS"] = False
    (person.services.settings.home / "oms.db").unlink()
    answer = person.get("/desk/orders")
    assert answer.status_code >= 500
    assert "Traceback" not in answer.text
    assert "sqlite" not in answer.text.lower()
