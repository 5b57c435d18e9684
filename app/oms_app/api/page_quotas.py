"""Hold what pages change to the quotas of the API: orders typed by hand are limited too, and cancels stand apart."""

from math import ceil

from flask import Flask, request
from werkzeug.exceptions import TooManyRequests

from oms_app.api.quotas import Quotas
from oms_app.api.rate_limit import Bucket
from oms_app.flow.scopes import Scope

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


def limit_pages(app: Flask, blueprint: str, quotas: Quotas) -> None:
    """Let changing requests of the blueprint's pages draw from the supplies of their address."""

    @app.before_request
    def draw() -> None:
        if request.blueprint != blueprint or request.method in SAFE:
            return
        view = app.view_functions.get(request.endpoint or "")
        bucket = Bucket.CANCELS if getattr(view, "oms_scope", None) == Scope.CANCEL_ORDERS else Bucket.ORDERS
        grant = quotas.of_caller(bucket, f"page:{request.remote_addr}", None)
        if grant is not None and not grant.allowed:
            raise TooManyRequests("Too many requests. Wait a moment, then repeat.", retry_after=ceil(grant.wait_s))
