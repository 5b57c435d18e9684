"""An error of kernel or flow in, out what the caller can do about it: its own word, its field's, or its class's."""

from oms_app.flow.errors import FlowError
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.order import REQUIRED_PRICES, OrderType, PriceField


def _types_with(price: PriceField) -> str:
    return ", ".join(kind.value for kind in OrderType if price in REQUIRED_PRICES[kind])


_TRAIL = "TRAILING_STOP takes exactly one of trail_amount and trail_percent, above 0, below 100 %; other types neither"
FIX_OF_FIELD = {
    "account_id": "GET /api/v1/accounts lists the accounts that you may use",
    "order_id": "GET /api/v1/orders lists the orders that you may see",
    "symbol": "GET /api/v1/instruments lists what can be traded",
    "instrument_id": "GET /api/v1/instruments lists what can be traded",
    "quantity": "send a multiple of the lot_size, at most the max_order_quantity, as GET /api/v1/instruments shows; a"
    " modification changes something",
    "limit_price": f"send a multiple of the tick_size; these types take one: {_types_with(PriceField.LIMIT_PRICE)}",
    "stop_price": f"send a multiple of the tick_size; these types need one: {_types_with(PriceField.STOP_PRICE)}",
    "trail_amount": _TRAIL,
    "trail_percent": _TRAIL,
    "expire_at": "send a time in the future, with a time zone; GTD needs one, other times in force take none",
    "queue_until": "send a time in the future, with a time zone",
    "time_in_force": "send one of those that the order type takes",
}
"""What to do about a field that is not valid, where the error itself does not say."""
CORRECT_IT = "correct it as the detail says; nothing was stored"
FIX_OF_CODE = {
    "unbookable": "repair what the detail names (a route, an instrument), then book the report again, or dismiss it",
}
"""What to do about an error of the kernel whose own words are about the book."""
OF_FIELDS = frozenset({"invalid_request", "invalid_number", "unknown_order"})
"""Codes of errors that can mean many things: only the field tells what to do."""


def has_fix(error: KernelError | FlowError) -> bool:
    """Whether the error says what to do although no field is at fault."""
    return getattr(error, "fix", None) is not None or error.code in FIX_OF_CODE


def fix_of(error: KernelError | FlowError) -> str:
    """What the caller can do about the error."""
    told: str | None = getattr(error, "fix", None)
    if told is not None:
        return told
    if error.code in OF_FIELDS:
        return FIX_OF_FIELD.get(error.field or "", CORRECT_IT)
    if error.code in FIX_OF_CODE:
        return FIX_OF_CODE[error.code]
    return (type(error).__doc__ or "").partition("\n")[0]
