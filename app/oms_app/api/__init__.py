"""The HTTP edge: requests in, answers or RFC 9457 problems out; it parses, calls flow and answers."""

from oms_app.api.app import create_api

__all__ = ["create_api"]
