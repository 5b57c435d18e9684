"""Services in, the WSGI application of the API out: every route from the tables, every error a problem, documented."""

import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from flask import Flask, Response
from flask_jwt_extended import JWTManager
from werkzeug.exceptions import HTTPException

from oms_app.api.authentication import cookie_settings, find_keys
from oms_app.api.call import ApiServices, Endpoint
from oms_app.api.documentation import document_api
from oms_app.api.edge import Edge
from oms_app.api.problems import CODE_OF_STATUS, PROBLEM_TYPE, Problem, invalid, problem_of
from oms_app.api.quotas import local_rates, make_quotas
from oms_app.api.rate_limit import RateLimiter
from oms_app.api.requests import current_request_id, follow_requests
from oms_app.api.route_rules import RouteRule
from oms_app.api.routes import (
    accounts,
    alerts,
    api_keys,
    approvals,
    audit,
    breaches,
    brokers,
    bulk,
    calendars,
    consumers,
    dead_man,
    executions,
    health,
    instruments,
    invitations,
    kill_switches,
    limit_files,
    liquidations,
    market_data,
    members,
    order_reads,
    orders,
    plugins,
    positions,
    preview,
    profile,
    proofs,
    reconciliation,
    resolution,
    risk_limits,
    sign_in,
    strategies,
    surveillance,
    tenants,
    verdicts,
    webhooks,
)
from oms_app.api.serving import make_view
from oms_app.api.shared_quotas import SharedQuotas
from oms_app.flow.errors import FlowError
from oms_app.flow.host_list import HostList
from oms_app.flow.passwords import Overloaded
from oms_app.store.queries import InvalidCursor
from oms_app.store.unit_of_work import CommitUnknown, Conflict, StoreUnavailable
from oms_kernel.domain.errors import KernelError

LOG = logging.getLogger("oms.api")

ENDPOINTS: tuple[Endpoint, ...] = (
    *orders.ENDPOINTS,
    *order_reads.ENDPOINTS,
    *bulk.ENDPOINTS,
    *preview.ENDPOINTS,
    *verdicts.ENDPOINTS,
    *approvals.ENDPOINTS,
    *breaches.ENDPOINTS,
    *surveillance.ENDPOINTS,
    *kill_switches.ENDPOINTS,
    *liquidations.ENDPOINTS,
    *dead_man.ENDPOINTS,
    *resolution.ENDPOINTS,
    *executions.ENDPOINTS,
    *positions.ENDPOINTS,
    *accounts.ENDPOINTS,
    *alerts.ENDPOINTS,
    *reconciliation.ENDPOINTS,
    *instruments.ENDPOINTS,
    *calendars.ENDPOINTS,
    *market_data.ENDPOINTS,
    *brokers.ENDPOINTS,
    *strategies.ENDPOINTS,
    *webhooks.ENDPOINTS,
    *consumers.ENDPOINTS,
    *plugins.ENDPOINTS,
    *risk_limits.ENDPOINTS,
    *limit_files.ENDPOINTS,
    *sign_in.ENDPOINTS,
    *proofs.ENDPOINTS,
    *api_keys.ENDPOINTS,
    *audit.ENDPOINTS,
    *tenants.ENDPOINTS,
    *members.ENDPOINTS,
    *invitations.ENDPOINTS,
    *profile.ENDPOINTS,
    *health.ENDPOINTS,
)
"""Every operation of the API."""


class _Api(Flask):
    """Flask for functions that are no coroutines, and for many routes."""

    url_rule_class = RouteRule

    def ensure_sync(self, func: Callable[..., Any]) -> Callable[..., Any]:
        """The function itself; Flask would ask three times in each request whether it is a coroutine."""
        return func


def create_api(services: ApiServices, endpoints: Iterable[Endpoint] = ENDPOINTS) -> Flask:
    """The application. Raises ValueError when a route declares no permission."""
    settings = services.settings
    app = _Api("oms_app.api", static_folder=None)
    app.config.update(
        MAX_CONTENT_LENGTH=settings.body_limit_bytes,
        MAX_FORM_MEMORY_SIZE=settings.body_limit_bytes,
        **cookie_settings(settings.secret_key.reveal(), secure=settings.url.startswith("https:")),
    )
    find_keys(JWTManager(app), services.identity)
    app.url_map.strict_slashes = False
    app.extensions["oms_services"] = services
    quotas = make_quotas(
        settings,
        RateLimiter(local_rates(settings), time.monotonic),
        SharedQuotas(settings.redis_url, time.monotonic),
    )
    app.extensions["oms_quotas"] = quotas
    app.wsgi_app = Edge(  # type: ignore[method-assign]
        app.wsgi_app, settings, HostList(settings, partial(_is_of_tenant, services))
    )
    follow_requests(app)
    document_api(app, [(endpoint, make_view(endpoint, services, quotas)) for endpoint in endpoints])
    _answer_errors(app)
    require_permissions(app)
    return app


def _is_of_tenant(services: ApiServices, host: str) -> bool:
    return services.hosts.tenant_of(host) is not None


def require_permissions(app: Flask) -> None:
    """Refuse to serve a route that does not say who may call it."""
    for rule in app.url_map.iter_rules():
        if getattr(app.view_functions[rule.endpoint], "oms_scope", None) is None:
            raise ValueError(f"{rule.rule} declares no permission: name a Scope or an Access")


def _answer_errors(app: Flask) -> None:
    """Turn whatever a view raises into a problem; what nobody expected into a 500 that tells nothing but its id."""

    def answer(problem: Problem) -> Response:
        response = Response(
            problem.body(current_request_id()),
            problem.status,
            content_type=PROBLEM_TYPE,
            headers=problem.headers,
        )
        if problem.status == 401:
            response.headers.setdefault("WWW-Authenticate", 'Bearer realm="oms"')
        return response

    def known(error: KernelError | FlowError) -> Response:
        return answer(problem_of(error))

    def store_away(error: StoreUnavailable | Overloaded) -> Response:
        detail = str(error) or "too many sign-ins at once; try again in a few seconds"
        return answer(Problem(error.code, detail if isinstance(error, Overloaded) else "nothing was stored; try again"))

    def commit_unknown(error: CommitUnknown) -> Response:
        return answer(Problem("outcome_unknown", "the database did not say whether the request was stored"))

    def conflict(error: Conflict) -> Response:
        return answer(Problem("conflict", "somebody else stored the same thing first; read it and decide anew"))

    def bad_cursor(error: InvalidCursor) -> Response:
        return answer(invalid("cursor", f"cursor: {error}", "send the next_cursor of the page before"))

    def http(error: HTTPException) -> Response:
        if error.code is not None and error.code < 400:
            return Response(headers=dict(error.get_headers()), status=error.code)
        code = CODE_OF_STATUS.get(error.code or 500, "internal_error" if (error.code or 500) >= 500 else "bad_request")
        problem = Problem(code, error.description or error.name)
        allowed = getattr(error, "valid_methods", None)
        if allowed:
            problem.headers["Allow"] = ", ".join(sorted(allowed))
        return answer(problem)

    def unexpected(error: Exception) -> Response:
        LOG.error("unexpected error", exc_info=error)
        return answer(Problem("internal_error", "the error was logged; name the request_id when you ask for help"))

    app.register_error_handler(Problem, answer)
    app.register_error_handler(KernelError, known)
    app.register_error_handler(FlowError, known)
    app.register_error_handler(StoreUnavailable, store_away)
    app.register_error_handler(Overloaded, store_away)
    app.register_error_handler(CommitUnknown, commit_unknown)
    app.register_error_handler(Conflict, conflict)
    app.register_error_handler(InvalidCursor, bad_cursor)
    app.register_error_handler(HTTPException, http)
    app.register_error_handler(Exception, unexpected)


__all__ = ["ENDPOINTS", "create_api", "require_permissions"]
