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
from oms_app.store.queries import OrderFilter, Paging
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.breaks import Severity
from oms_kernel.domain.lifecycle import OrderState

PUBLIC = "public"
SIGNED_IN = "authenticated"
"""Whoever is signed in, whatever they may do."""
View: TypeAlias = Callable[..., ResponseReturnValue]
Routes: TypeAlias = tuple[tuple[str, View, str, str], ...]
"""Rule, view, scope and method of each."""


class PageLink(msgspec.Struct, frozen=True):
    """A link of the header. `alarm` is how many things behind it wait for somebody; `waiting` says what they are."""

    path: str
    label: str
    is_here: bool
    alarm: int = 0
    waiting: str = ""


PAGES = (
    ("/", "Desk", Scope.VIEW_ORDERS),
    ("/alerts", "Alerts", Scope.VIEW_ORDERS),
    ("/risk", "Risk", Scope.VIEW_ORDERS),
    ("/compliance", "Compliance", Scope.VIEW_AUDIT),
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
RISK_PAGES = (
    ("/risk", "Overview", Scope.VIEW_ORDERS),
    ("/risk/kill-switches", "Kill switch", Scope.VIEW_ORDERS),
    ("/risk/approvals", "Approvals", Scope.MANAGE_RISK),
    ("/risk/limits", "Limits", Scope.VIEW_ORDERS),
    ("/risk/limit-changes", "Changes", Scope.MANAGE_RISK),
    ("/risk/verdicts", "Verdicts", Scope.VIEW_ORDERS),
    ("/risk/liquidations", "Liquidations", Scope.VIEW_ORDERS),
    ("/risk/report", "Report", Scope.VIEW_ORDERS),
)
"""What stands behind the link Risk."""
RISK, APPROVALS, ALERTS = "/risk", "/risk/approvals", "/alerts"
TENANTS = "/tenants"
ACCOUNT = "/account"


def page_links(store: SqlStore, here: str) -> list[PageLink]:
    """The pages that the caller may open, with the number of critical alerts that are open."""
    principal, critical = caller().principal, 0
    if Scope.VIEW_ORDERS in principal.scopes:
        with store.read_unit(principal.tenant_id) as unit:
            critical = queries.count_open_alerts(unit, Severity.CRITICAL, principal.account_ids)
    alarms = {
        ALERTS: (critical, "critical alert{} that nobody takes care of"),
        RISK: (_held(store, principal), "order{} that wait{} for an approval"),
    }
    links = [
        _link(path, label, path == here or (path == RISK and here.startswith(f"{RISK}/")), *alarms.get(path, (0, "")))
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


def risk_links(store: SqlStore, here: str) -> list[PageLink]:
    """The pages behind the link Risk that the caller may open."""
    principal = caller().principal
    return [
        _link(path, label, path == here, _held(store, principal) if path == APPROVALS else 0, "order{} that wait{}")
        for path, label, scope in RISK_PAGES
        if scope in principal.scopes
    ]


def _held(store: SqlStore, principal: Principal) -> int:
    """How many orders wait for an approval, to those who may give it."""
    if Scope.MANAGE_RISK not in principal.scopes:
        return 0
    held = OrderFilter(states=frozenset({OrderState.HELD}), allowed_accounts=principal.account_ids)
    with store.read_unit(principal.tenant_id) as unit:
        return queries.list_orders(unit, held, Paging(limit=1, with_total=True)).total_count or 0


def _link(path: str, label: str, is_here: bool, alarm: int = 0, what: str = "") -> PageLink:
    plural, verb = ("", "s") if alarm == 1 else ("s", "")
    return PageLink(path, label, is_here, alarm, f"{alarm} {what.format(plural, verb)}" if alarm else "")


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
