"""Errors in, RFC 9457 problems out: a stable code, the field at fault and the fix; one table of statuses."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from oms_app.api.fixes import fix_of, has_fix
from oms_app.api.json_text import encode
from oms_app.flow.errors import FlowError
from oms_app.logs import mask_shapes
from oms_kernel.domain.errors import KernelError

PROBLEM_TYPE = "application/problem+json"

STATUS_OF_CODE: dict[str, tuple[int, str]] = {
    "bad_request": (400, "The request cannot be read"),
    "unknown_host": (400, "The request is for another host"),
    "malformed_json": (400, "The body is not valid JSON"),
    "unauthenticated": (401, "Sign in first"),
    "invalid_token": (401, "The token or key is not valid"),
    "invalid_credentials": (401, "E-mail or password is wrong"),
    "totp_required": (401, "The code of your second factor is needed"),
    "invalid_code": (401, "The code is not valid"),
    "csrf_failed": (401, "The CSRF token is missing or wrong"),
    "not_permitted": (403, "You may not do this"),
    "step_up_required": (403, "Prove who you are anew"),
    "address_not_allowed": (403, "The key may not be used from this address"),
    "cross_site": (403, "Another site asked for this"),
    "not_found": (404, "There is no such thing"),
    "unknown_account": (404, "There is no such account"),
    "unknown_order": (404, "There is no such order"),
    "unknown_alert": (404, "There is no such alert"),
    "unknown_break": (404, "There is no such break"),
    "unknown_breach": (404, "There is no such breach"),
    "unknown_report": (404, "There is no such report"),
    "method_not_allowed": (405, "This method is not allowed here"),
    "conflict": (409, "The present state does not allow this"),
    "order_conflict": (409, "The order's present state does not allow this"),
    "duplicate_client_order_id": (409, "The client_order_id is taken"),
    "stale_version": (412, "It has changed since"),
    "body_too_large": (413, "The body is too large"),
    "unsupported_media_type": (415, "The body must be JSON"),
    "invalid_request": (422, "The request is not valid"),
    "invalid_number": (422, "A number is not valid"),
    "unsupported": (422, "The broker does not support this"),
    "unknown_symbol": (422, "There is no such instrument"),
    "unbookable": (422, "The report cannot be booked yet"),
    "bulk_too_large": (422, "Too many items in one request"),
    "risk_denied": (422, "A risk rule denied the order"),
    "compliance_denied": (422, "A compliance check denied the order"),
    "idempotency_key_reused": (422, "The Idempotency-Key was used for another request"),
    "not_attempted": (422, "Another item failed; nothing was stored"),
    "too_many_requests": (429, "Too many requests"),
    "internal_error": (500, "Something went wrong on our side"),
    "unavailable": (503, "The store cannot be reached"),
    "store_unavailable": (503, "The store cannot be reached"),
    "audit_index_behind": (503, "The search is not ready yet"),
    "no_session": (503, "No broker session is ready"),
    "overloaded": (503, "Too busy"),
    "not_ready": (503, "Not ready"),
    "outcome_unknown": (504, "It is not known whether the request was stored"),
}
"""Code -> HTTP status and title. A code that is not here is a defect and answers 500."""

RETRY_AFTER_S = {"unavailable": 1, "store_unavailable": 1, "no_session": 2, "overloaded": 2, "not_ready": 2}
CODE_OF_STATUS = {
    400: "bad_request",
    401: "unauthenticated",
    403: "not_permitted",
    404: "not_found",
    405: "method_not_allowed",
    413: "body_too_large",
    415: "unsupported_media_type",
    422: "invalid_request",
    429: "too_many_requests",
    500: "internal_error",
    503: "unavailable",
}
"""For errors of the web framework, which know a status only."""


class FieldError(msgspec.Struct, frozen=True):
    """What is wrong with one field, and how to put it right. `field` is a path such as `orders[3].quantity`."""

    field: str
    detail: str
    fix: str


class Problem(Exception):
    """An error on its way to the caller. `extra` adds members beside those of RFC 9457."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        errors: Sequence[FieldError] = (),
        extra: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.code = code if code in STATUS_OF_CODE else "internal_error"
        self.status, self.title = STATUS_OF_CODE[self.code]
        self.detail = detail
        self.errors = tuple(errors)
        self.extra = dict(extra or {})
        self.headers = dict(headers or {})
        if self.code in RETRY_AFTER_S:
            self.headers.setdefault("Retry-After", str(RETRY_AFTER_S[self.code]))

    def document(self, request_id: str) -> dict[str, Any]:
        """The problem as JSON values."""
        return {
            "type": f"urn:oms:problem:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": mask_shapes(self.detail),
            "code": self.code,
            "errors": [
                {"field": mask_shapes(error.field), "detail": mask_shapes(error.detail), "fix": error.fix}
                for error in self.errors
            ],
            "request_id": request_id,
            **self.extra,
        }

    def body(self, request_id: str) -> bytes:
        """The problem as JSON."""
        return encode(self.document(request_id))


def invalid(field: str, detail: str, fix: str) -> Problem:
    """422 for one field."""
    return Problem("invalid_request", detail, errors=[FieldError(field, detail, fix)])


def not_found(what: str) -> Problem:
    """404 for a thing that this tenant does not have."""
    return Problem("not_found", f"there is no such {what}")


def problem_of(error: KernelError | FlowError, at: str = "") -> Problem:
    """The problem that tells of an error of kernel or flow; `at` leads the field's path in bulk requests."""
    errors = [FieldError(at + error.field, error.detail, fix_of(error))] if error.field else []
    fix = {"fix": fix_of(error)} if not errors and has_fix(error) else {}
    wait_s = getattr(error, "retry_after_s", None)
    headers = {"Retry-After": str(wait_s)} if wait_s is not None else None
    extra = {**fix, **getattr(error, "extra", {})}
    return Problem(error.code, error.detail, errors=errors, extra=extra, headers=headers)
