"""What every page of tables shares: the caller, the links to the other pages, and short messages beside a fragment."""

import json
from collections.abc import Callable
from typing import TypeAlias

import msgspec
from flask import Response, g, make_response
from flask.typing import ResponseReturnValue

from oms_app.flow.identity import Caller
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Scope
from oms_app.store import queries
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.breaks import Severity

PUBLIC = "public"
SIGNED_IN = "authenticated"
"""Whoever is signed in, whatever they may do."""
View: TypeAlias = Callable[..., ResponseReturnValue]
Routes: TypeAlias = tuple[tuple[str, View, str, str], ...]
"""Rule, view, scope and method of each."""


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


ADMIN_PAGES = (
    ("/members", "Members", Scope.ADMIN_TENANTS),
    ("/invitations", "Invitations", Scope.ADMIN_TENANTS),
    ("/keys", "API keys", Scope.ADMIN_TENANTS),
    ("/sessions", "Sessions", Scope.ADMIN_TENANTS),
    ("/audit", "Audit", Scope.VIEW_AUDIT),
    ("/tenant", "Tenant", Scope.ADMIN_TENANTS),
)
"""What stands behind the link Admin."""
TENANTS = "/tenants"
ACCOUNT = "/account"


def page_links(store: SqlStore, here: str) -> list[PageLink]:
    """The pages that the caller may open, with the number of critical alerts that are open."""
    principal, critical = caller().principal, 0
    if Scope.VIEW_ORDERS in principal.scopes:
        with store.read_unit(principal.tenant_id) as unit:
            critical = queries.count_open_alerts(unit, Severity.CRITICAL, principal.account_ids)
    links = [
        PageLink(path, label, path == here, critical if path == "/alerts" else 0)
        for path, label, scope in PAGES
        if scope in principal.scopes
    ]
    admin = _admin_pages(principal)
    if admin:
        is_here = here == TENANTS or any(here == path for path, _ in admin)
        links.append(PageLink(admin[0][0], "Admin", is_here))
    return [*links, PageLink(ACCOUNT, "Account", here == ACCOUNT)]


def admin_links(here: str, *, is_superuser: bool) -> list[PageLink]:
    """The pages behind the link Admin that the caller may open."""
    found = _admin_pages(caller().principal)
    if is_superuser and found:
        found.append((TENANTS, "All tenants"))
    return [PageLink(path, label, path == here) for path, label in found]


def _admin_pages(principal: Principal) -> list[tuple[str, str]]:
    return [(path, label) for path, label, scope in ADMIN_PAGES if scope in principal.scopes]


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
