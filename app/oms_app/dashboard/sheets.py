"""A page's name and state in, the page or its middle out, and who acts: what pages of forms share."""

from typing import Any

import msgspec
from flask import Response, make_response, render_template, request
from structlog.contextvars import get_contextvars

from oms_app.dashboard.answering import caller, told
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sessions import Sessions, actor_of, renew_in
from oms_app.flow.audit import Actor


class Sheets:
    """Renders `name.html` as a page and `_name.html` as what a form of the page gets back."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sessions: Sessions) -> None:
        self._services = services
        self._rows = rows
        self._sessions = sessions

    def page(self, name: str, **state: object) -> Response:
        """The whole page."""
        who = caller()
        shown = {
            "who": self._rows.who(who.principal),
            "live": {"renew_s": renew_in(who, self._services.clock())},
            **self._shared(),
            **state,
        }
        return make_response(render_template(f"dashboard/{name}.html", **shown))

    def board(
        self,
        name: str,
        notice: str = "",
        *,
        is_bad: bool = False,
        status: int = 200,
        events: dict[str, object] | None = None,
        **state: object,
    ) -> Response:
        """The middle of the page, with a short message in the corner."""
        page = render_template(f"dashboard/_{name}.html", **self._shared(), **state)
        return told(page, notice, is_bad=is_bad, status=status, **(events or {}))

    def answer(self, name: str, notice: str = "", *, status: int = 200, **state: Any) -> Response:
        """What a form gets back: the middle of the page, or the whole page for a browser without scripts."""
        if "HX-Request" in request.headers:
            return self.board(name, notice, status=status, **state)
        response = self.page(name, notice=notice, **state)
        response.status_code = status
        return response

    def _shared(self) -> dict[str, object]:
        who = caller()
        return {
            "csrf": self._sessions.form_token(who),
            "scopes": who.principal.scopes,
            "me": who.user_id,
            "now": self._services.clock(),
        }


def acting() -> Actor:
    """Who acts, from where and in which request, for the audit trail."""
    return in_request(actor_of(request, caller()))


def stranger() -> Actor:
    """Somebody who is not signed in."""
    return in_request(actor_of(request))


def in_request(actor: Actor) -> Actor:
    """The actor with the id of the request being served."""
    return msgspec.structs.replace(actor, request_id=str(get_contextvars().get("request_id", "")))
