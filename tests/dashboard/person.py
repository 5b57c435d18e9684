"""A person at the dashboard: keeps cookies, reads the forms' tokens from the pages, and sends what a browser would."""

from html.parser import HTMLParser
from typing import Any

from flask import Flask
from werkzeug.test import TestResponse

from oms_app.bootstrap import Services
from oms_app.dashboard import create_dashboard
from oms_kernel.domain.ids import TenantId

PASSWORD = "a password of the tests"


class Person:
    """Somebody with a browser. `page` answers the body of the last answer."""

    def __init__(
        self, services: Services, ids: dict[str, str], email: str, role: str = "", app: Flask | None = None
    ) -> None:
        """Without a role the person is somebody who exists already. app: one that was made before, which saves time."""
        self.services = services
        self.ids = ids
        self.email = email
        self.app = app or new_app(services)
        self.client = self.app.test_client()
        self.token = ""
        self.tenant_id = TenantId(ids["tenant_id"])
        if role:
            services.identity.create_user(email, PASSWORD, self.tenant_id, role)

    def sign_in(self, password: str = PASSWORD) -> TestResponse:
        """The answer to the sign-in form, filled in."""
        form = hidden_fields(self.client.get("/login").text)
        answer = self.client.post("/login", data={**form, "email": self.email, "password": password})
        if answer.status_code == 303:
            self.token = hidden_fields(self.client.get("/").text)["csrf_token"]
        return answer

    def get(self, path: str) -> TestResponse:
        """A fragment or page."""
        return self.client.get(path, headers={"HX-Request": "true"})

    def post(self, path: str, **fields: str) -> TestResponse:
        """The answer to a form sent from one of our pages."""
        return self.client.post(path, data=fields, headers={"HX-Request": "true", "X-CSRF-TOKEN": self.token})

    def key(self) -> str:
        """The key of a fresh ticket."""
        return hidden_fields(self.client.get("/").text)["key"]

    def order(self, **fields: str) -> dict[str, str]:
        """A ticket filled in for a limit order that rests, with these fields instead or besides."""
        return {
            "key": self.services.new_id(),
            "account_id": self.ids["account_id"],
            "symbol": "ACME",
            "side": "BUY",
            "quantity": "10",
            "order_type": "LIMIT",
            "limit_price": "99.50",
            "time_in_force": "DAY",
            **fields,
        }

    def place(self, **fields: str) -> TestResponse:
        """The answer to a ticket."""
        return self.post("/desk/orders", **self.order(**fields))

    def rows(self, path: str = "/desk/orders") -> list[dict[str, Any]]:
        """The rows of the blotter: order id, state and text."""
        return table_rows(self.get(path).text)


def new_app(services: Services) -> Flask:
    """An application that is the dashboard alone."""
    app = Flask("dashboard_of_the_tests", static_folder=None)
    app.register_blueprint(create_dashboard(services))
    return app


class _Fields(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}
        self.invalid: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "input" and values.get("type") == "hidden":
            self.hidden[values["name"]] = values.get("value", "")
        if values.get("aria-invalid") == "true":
            self.invalid.append(values["name"])


class _Rows(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, Any]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "tr" and "id" in values:
            self.rows.append(
                {"id": (values["id"] or "").partition("-")[2], "state": values.get("data-state"), "text": ""}
            )

    def handle_data(self, data: str) -> None:
        if self.rows and data.strip():
            self.rows[-1]["text"] += f"{data.strip()} "


def hidden_fields(page: str) -> dict[str, str]:
    """The hidden fields of a page's forms."""
    parser = _Fields()
    parser.feed(page)
    return parser.hidden


def invalid_fields(page: str) -> list[str]:
    """The names of the fields that a page marks as wrong."""
    parser = _Fields()
    parser.feed(page)
    return parser.invalid


def table_rows(page: str) -> list[dict[str, Any]]:
    """The rows of a page's tables that have an id."""
    parser = _Rows()
    parser.feed(page.partition("</table>")[0])
    return parser.rows
