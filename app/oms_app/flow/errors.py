"""What flow refuses or cannot do: each error has a stable `code`, the field at fault, and what the caller can do."""

from typing import Any


class FlowError(Exception):
    """Any error that flow raises on purpose. `extra` goes into the answer."""

    code = "flow_error"

    def __init__(
        self, detail: str, *, field: str | None = None, fix: str | None = None, extra: dict[str, Any] | None = None
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field
        self.fix = fix
        self.extra = extra or {}


class UnknownSymbol(FlowError):
    """No tradable instrument bears the symbol, or several do: list the instruments and name the exchange."""

    code = "unknown_symbol"


class UnknownAccount(FlowError):
    """The tenant has no such trading account, or the caller may not use it: list the accounts."""

    code = "unknown_account"


class UnknownOrder(FlowError):
    """The tenant has no such order."""

    code = "unknown_order"


class UnknownAlert(FlowError):
    """The tenant has no such alert, or the caller may not see it."""

    code = "unknown_alert"


class UnknownBreak(FlowError):
    """The tenant has no such break, or the caller may not see it."""

    code = "unknown_break"


class UnknownBreach(FlowError):
    """The tenant has no such breach of a limit, or the caller may not see it."""

    code = "unknown_breach"


class UnknownReport(FlowError):
    """The tenant has no such unbooked report, or the caller may not see it."""

    code = "unknown_report"


class NoSession(FlowError):
    """No broker session is ready for the account; nothing was stored: try again, or give queue_until."""

    code = "no_session"


class DuplicateClientOrderId(FlowError):
    """The account has an order with this client_order_id already; read that one."""

    code = "duplicate_client_order_id"


class IdempotencyMismatch(FlowError):
    """The Idempotency-Key was used for another request: use a new key."""

    code = "idempotency_key_reused"


class StaleVersion(FlowError):
    """It changed since the version that If-Match names: read it again."""

    code = "stale_version"


class OutcomeUnknown(FlowError):
    """The database did not say whether the request was stored: look for the order ids given before trying again."""

    code = "outcome_unknown"


class Unavailable(FlowError):
    """The database cannot be reached; nothing was stored: try again."""

    code = "unavailable"


class NotAttempted(FlowError):
    """Another item of the same atomic request failed; nothing of it was stored."""

    code = "not_attempted"


class NotPermitted(FlowError):
    """The caller may not do this; somebody who may must do it."""

    code = "not_permitted"
