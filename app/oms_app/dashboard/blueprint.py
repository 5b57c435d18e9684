"""Services in, the blueprint out: each view asks for a session and one scope, each answer has a strict CSP."""

from collections.abc import Callable
from datetime import timedelta
from functools import partial, wraps
from pathlib import Path
from typing import Any

import structlog
from flask import Blueprint, Response, g, redirect, render_template, request, send_from_directory
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import HTTPException

from oms_app.dashboard import showing, sign_in
from oms_app.dashboard.account import AccountPage
from oms_app.dashboard.alerts import AlertPage
from oms_app.dashboard.answering import ACCOUNT, PUBLIC, SIGNED_IN, View, admin_links, page_links, risk_links
from oms_app.dashboard.audit import AuditPages
from oms_app.dashboard.desk import Desk
from oms_app.dashboard.forms import sentence
from oms_app.dashboard.invitations import InvitationPage
from oms_app.dashboard.joining import JoiningPages
from oms_app.dashboard.keys import KeyPages
from oms_app.dashboard.members import MemberPages
from oms_app.dashboard.policy import content_policy, stream_origin
from oms_app.dashboard.queues import QueuePage
from oms_app.dashboard.reconciliation import ReconciliationPage
from oms_app.dashboard.risk_pages import Pages, risk_pages
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sessions import Sessions
from oms_app.dashboard.sheets import Sheets
from oms_app.dashboard.tenants import TenantPages
from oms_app.flow.errors import FlowError, NotPermitted
from oms_app.flow.identity import Identity, StepUpRequired
from oms_app.flow.scopes import Scope
from oms_app.store.unit_of_work import CommitUnknown, Conflict, StoreUnavailable
from oms_kernel.domain.errors import KernelError

log = structlog.get_logger(__name__)
STATIC = Path(__file__).parent / "static"
STEP_UP = "X-Step-Up"
"""A refused request's header: with which field the person proves anew who asks."""
MISSING = frozenset({"not_found", "unknown_order", "unknown_breach"})


def create_dashboard(services: DashboardServices, may_try: Callable[[str], bool] = lambda address: True) -> Blueprint:
    """The pages, the fragments that they are made of, and the files under `/static`.

    may_try: whether somebody at this address may try to sign in now.
    """
    settings = services.settings
    sessions = Sessions(
        services.identity,
        settings.secret_key.reveal(),
        secure=settings.url.startswith("https:"),
        lifetime_s=int(settings.refresh_token_s),
    )
    blueprint = Blueprint("dashboard", __name__, template_folder="templates")
    rows = DeskRows(services.store)
    desk = Desk(services, rows, sessions, max_age=timedelta(seconds=settings.quote_max_age_s))
    queues = QueuePage(services, rows, sessions)
    alerts = AlertPage(services, rows, sessions)
    differences = ReconciliationPage(services, rows, sessions)
    door = sign_in.Door(services, sessions, may_try)
    sheets = Sheets(services, rows, sessions)

    def route(rule: str, view: View, scope: str, method: str = "GET") -> None:
        guarded = _public(view) if scope == PUBLIC else _guarded(view, scope, sessions, services)
        guarded.oms_scope = scope  # type: ignore[attr-defined]  # every route says who may call it
        blueprint.add_url_rule(rule, view.__name__, guarded, methods=[method])

    route("/static/<path:filename>", static, PUBLIC)
    route("/login", door.show_login, PUBLIC)
    route("/login", door.log_in, PUBLIC, "POST")
    route("/login/renew", door.renew, PUBLIC, "POST")
    route("/logout", door.log_out, PUBLIC, "POST")
    route("/", desk.show_desk, Scope.VIEW_ORDERS)
    route("/desk/status", desk.show_status, Scope.VIEW_ORDERS)
    route("/desk/quotes", desk.show_quotes, Scope.VIEW_ORDERS)
    route("/desk/orders", desk.show_orders, Scope.VIEW_ORDERS)
    route("/desk/positions", desk.show_positions, Scope.VIEW_POSITIONS)
    route("/desk/orders", desk.place_order, Scope.PLACE_ORDERS, "POST")
    route("/desk/preview", desk.preview_order, Scope.PLACE_ORDERS, "POST")
    route("/desk/orders/<order_id>/cancel", desk.cancel_order, Scope.CANCEL_ORDERS, "POST")
    route("/desk/orders/cancel-all", desk.cancel_all, Scope.CANCEL_ORDERS, "POST")
    route("/pages", alerts.show_pages, SIGNED_IN)
    route("/alerts", alerts.show_alerts, Scope.VIEW_ORDERS)
    route("/alerts/board", alerts.show_alert_board, Scope.VIEW_ORDERS)
    route("/alerts/acknowledge", alerts.acknowledge_alerts, Scope.CANCEL_ORDERS, "POST")
    route("/alerts/<uuid:alert_id>/acknowledge", alerts.acknowledge_alert, Scope.CANCEL_ORDERS, "POST")
    _route_reconciliation(route, differences)
    route("/queues", queues.show_queues, Scope.MANAGE_WEBHOOKS)
    route("/queues/board", queues.show_queue_board, Scope.MANAGE_WEBHOOKS)
    route("/queues/letters/<letter_id>/replay", queues.replay_letter, Scope.MANAGE_WEBHOOKS, "POST")
    route("/queues/webhooks/<webhook_id>/replay", queues.replay_deliveries, Scope.MANAGE_WEBHOOKS, "POST")
    route(
        "/queues/webhooks/<webhook_id>/deliveries/<delivery_id>/replay",
        queues.replay_delivery,
        Scope.MANAGE_WEBHOOKS,
        "POST",
    )
    pages: tuple[Pages, ...] = (
        MemberPages(services, sheets),
        InvitationPage(services, rows, sheets),
        KeyPages(services, rows, sheets),
        AuditPages(services, rows, sheets),
        TenantPages(services, sheets),
        AccountPage(services, sheets, sessions),
        JoiningPages(services, sessions, may_try),
        *risk_pages(services, rows, sessions, sheets),
    )
    for page in pages:
        for rule, view, scope, method in page.routes():
            route(rule, view, scope, method)

    @blueprint.after_request
    def protect(response: Response) -> Response:
        response.headers["Content-Security-Policy"] = content_policy(stream_origin(settings))
        if not request.path.startswith("/static/"):
            response.headers["Cache-Control"] = "no-store"
        return response

    def admin_pages(here: str) -> object:
        return admin_links(here, is_superuser=services.tenancy.is_superuser(g.caller.principal))

    blueprint.context_processor(
        lambda: {
            "show": showing,
            "Scope": Scope,
            "page_links": partial(page_links, services.store),
            "risk_links": partial(risk_links, services.store),
            "admin_links": admin_pages,
        }
    )
    _answer_errors(blueprint, services.identity)
    return blueprint


def _route_reconciliation(route: Callable[..., None], page: ReconciliationPage) -> None:
    broken, report = "/reconciliation/breaks/<uuid:break_id>", "/reconciliation/reports/<uuid:report_id>"
    reconcile = "/reconciliation/accounts/<uuid:broker_account_id>/reconcile"
    route("/reconciliation", page.show_reconciliation, Scope.VIEW_POSITIONS)
    route("/reconciliation/board", page.show_reconciliation_board, Scope.VIEW_POSITIONS)
    route(reconcile, page.reconcile_now, Scope.MANAGE_BROKERS, "POST")
    route(f"{broken}/acknowledge", page.acknowledge_break, Scope.MANAGE_BROKERS, "POST")
    route(f"{broken}/resolve", page.show_break_form, Scope.MANAGE_BROKERS)
    route(f"{broken}/resolve", page.resolve_break, Scope.MANAGE_BROKERS, "POST")
    route(f"{report}/book", page.book_report, Scope.MANAGE_BROKERS, "POST")
    route(f"{report}/dismiss", page.show_report_form, Scope.MANAGE_BROKERS)
    route(f"{report}/dismiss", page.dismiss_report, Scope.MANAGE_BROKERS, "POST")


def static(filename: str) -> Response:
    """A file that pages name; the same for everybody."""
    return send_from_directory(STATIC, filename)


def _public(view: View) -> View:
    @wraps(view)
    def public(**arguments: Any) -> ResponseReturnValue:
        return view(**arguments)

    return public


def _guarded(view: View, scope: str, sessions: Sessions, services: DashboardServices) -> View:
    """The view for people who are signed in, may do it, and ask from our own page at an address of their tenant."""

    @wraps(view)
    def guarded(**arguments: Any) -> ResponseReturnValue:
        caller = sessions.caller(request)
        if caller is not None and services.hosts.tenant_of(request.host) not in (None, caller.principal.tenant_id):
            caller = None  # the address belongs to another tenant
        is_page = request.method == "GET" and "HX-Request" not in request.headers
        if caller is None:
            if is_page:
                return redirect("/login", 303)
            return render_template("dashboard/problem.html", title="Signed out", detail="Sign in again."), 401
        if scope != SIGNED_IN and scope not in caller.principal.scopes:
            if is_page and not caller.principal.scopes:
                return redirect(ACCOUNT, 303)  # where a second factor is set up, without which nothing is permitted
            return render_template(
                "dashboard/problem.html", title="Not permitted", detail=f"Your role lacks the scope {scope}."
            ), 403
        if request.method != "GET" and not sessions.is_own_form(request, caller):
            return render_template(
                "dashboard/problem.html", title="Page out of date", detail="Load the page again, then repeat."
            ), 403
        g.caller = caller
        return view(**{name: str(value) for name, value in arguments.items()})

    return guarded


def _answer_errors(blueprint: Blueprint, identity: Identity) -> None:
    def refused(error: FlowError | KernelError) -> ResponseReturnValue:
        if error.code in MISSING:
            return render_template("dashboard/problem.html", title="Not found", detail=sentence(error.detail)), 404
        return render_template("dashboard/problem.html", title="Refused", detail=error.detail), 422

    def not_permitted(error: NotPermitted) -> ResponseReturnValue:
        return render_template("dashboard/problem.html", title="Not permitted", detail=sentence(error.detail)), 403

    def unproved(error: StepUpRequired) -> ResponseReturnValue:
        enrolled = identity.second_factors.is_enrolled(g.caller.user_id or "")
        return sentence(error.detail), 403, {STEP_UP: "totp_code" if enrolled else "password"}

    def away(error: Exception) -> ResponseReturnValue:
        detail = "The database does not answer. Nothing was changed; try again."
        return render_template("dashboard/problem.html", title="Not available", detail=detail), 503

    def conflict(error: Conflict) -> ResponseReturnValue:
        detail = "Somebody else stored the same thing first. Look at it, then decide anew."
        return render_template("dashboard/problem.html", title="Too late", detail=detail), 409

    def unsure(error: Exception) -> ResponseReturnValue:
        detail = "The database did not say whether this was stored. Look at the orders before you try again."
        return render_template("dashboard/problem.html", title="Outcome unknown", detail=detail), 504

    def http(error: HTTPException) -> ResponseReturnValue:
        return render_template("dashboard/problem.html", title=error.name, detail=error.description), error.code or 500

    def unexpected(error: Exception) -> ResponseReturnValue:
        log.error("unexpected error", exc_info=error)
        detail = "The error was logged. Look at the orders before you try again."
        return render_template("dashboard/problem.html", title="Something went wrong", detail=detail), 500

    blueprint.register_error_handler(FlowError, refused)
    blueprint.register_error_handler(NotPermitted, not_permitted)
    blueprint.register_error_handler(StepUpRequired, unproved)
    blueprint.register_error_handler(KernelError, refused)
    blueprint.register_error_handler(StoreUnavailable, away)
    blueprint.register_error_handler(CommitUnknown, unsure)
    blueprint.register_error_handler(Conflict, conflict)
    blueprint.register_error_handler(HTTPException, http)
    blueprint.register_error_handler(Exception, unexpected)
