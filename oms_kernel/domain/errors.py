"""The kernel's error tree: each with a stable `code`, the `field` at fault if there is one, and the fix in its text."""


class KernelError(Exception):
    """Any error that the kernel raises on purpose."""

    code = "kernel_error"

    def __init__(self, detail: str, *, field: str | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.field = field


class InvalidRequest(KernelError):
    """A request that can never be valid as it stands; nothing was stored."""

    code = "invalid_request"


class InvalidNumber(InvalidRequest):
    """A number that is no plain decimal or lies outside 18 integer and 12 fraction digits."""

    code = "invalid_number"


class IllegalTransition(KernelError):
    """A transition that the lifecycle tables do not know: a defect in the caller, never a broker's word."""

    code = "illegal_transition"


class OrderConflict(KernelError):
    """The order's present state does not allow the request; read the order and decide anew."""

    code = "order_conflict"


class UnknownEvent(KernelError):
    """The log holds an event kind or version that this build cannot read; run the newer build."""

    code = "unknown_event"


class CorruptLog(KernelError):
    """Events of one ledger do not follow each other without a gap."""

    code = "corrupt_log"
