"""What every page of tables shares: the caller, the links to the other pages, and short messages beside a fragment."""

import json

import msgspec
from flask import Response, g, make_response

from oms_app.flow.identity import Caller
from oms_app.flow.scopes import Scope
from oms_app.store import queries
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.breaks import Severity


class PageLink(msgspec.Struct, frozen=True):
    """A link of the header. `alarm` is how many things behind it are critical and nobody takes care of."""

    path: str
    label: str
    is_here: bool
    alarm: int = 0


PAGES = (
    ("/", "Desk", Scope.VIEW_ORDERS),
    ("/alerts", "Alerts", Scope.VIEW_ORDERS),
    ("/reconciliation", "Reconciliation", Scope.VIEW_POSITIONS),
    ("/queues", "Queues", Scope.MANAGE_WEBHOOKS),
)


def page_links(store: SqlStore, here: str) -> list[PageLink]:
    """The pages that the caller may open, with the number of critical alerts that are open."""
    principal = caller().principal
    with store.read_unit(principal.tenant_id) as unit:
        critical = queries.count_open_alerts(unit, Severity.CRITICAL, principal.account_ids)
    return [
        PageLink(path, label, path == here, critical if path == "/alerts" else 0)
        for path, label, scope in PAGES
        if scope in principal.scopes
    ]


def told(page: str, notice: str = "", *, is_bad: bool = False, status: int = 200, **events: object) -> Response:
    """The fragment with a short message in the corner, and events for the page."""
    response = make_response(page, status)
    if notice:
        events["oms:notice"] = {"text": notice, "tone": "bad" if is_bad else "good"}
    if events:
        response.headers["HX-Trigger"] = json.dumps(events)
    return response


def caller() -> Caller:
    """Who is signed in and asks."""
    found: Caller = g.caller
    return found
