"""Values in, words for people out: numbers with their sign and separators, times in the account's zone, state chips."""

from datetime import datetime, tzinfo
from decimal import ROUND_HALF_EVEN, Decimal
from enum import StrEnum

from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.money import to_text
from oms_kernel.domain.order import Order, OrderType

NOTHING = "–"
MINUS = "−"


class Tone(StrEnum):
    """How a state chip looks; its word always says the same."""

    OPEN = "open"
    WAITING = "waiting"
    DONE = "done"
    OVER = "over"
    BAD = "bad"


CHIPS: dict[OrderState, tuple[str, Tone]] = {
    OrderState.NEW: ("New", Tone.WAITING),
    OrderState.HELD: ("Held", Tone.WAITING),
    OrderState.ROUTED: ("Routed", Tone.WAITING),
    OrderState.WORKING: ("Working", Tone.OPEN),
    OrderState.PARTIALLY_FILLED: ("Part filled", Tone.OPEN),
    OrderState.FILLED: ("Filled", Tone.DONE),
    OrderState.PENDING_REPLACE: ("Replacing", Tone.WAITING),
    OrderState.PENDING_CANCEL: ("Canceling", Tone.WAITING),
    OrderState.CANCELED: ("Canceled", Tone.OVER),
    OrderState.EXPIRED: ("Expired", Tone.OVER),
    OrderState.REJECTED: ("Rejected", Tone.BAD),
    OrderState.DENIED: ("Denied", Tone.BAD),
    OrderState.IN_DOUBT: ("In doubt", Tone.BAD),
}

ORDER_TYPES: dict[OrderType, str] = {
    OrderType.MARKET: "Market",
    OrderType.LIMIT: "Limit",
    OrderType.STOP: "Stop",
    OrderType.STOP_LIMIT: "Stop limit",
    OrderType.TRAILING_STOP: "Trailing stop",
    OrderType.MARKET_ON_CLOSE: "Market on close",
    OrderType.LIMIT_ON_CLOSE: "Limit on close",
    OrderType.LIMIT_IF_TOUCHED: "Limit if touched",
    OrderType.MARKET_IF_TOUCHED: "Market if touched",
}


def quantity(value: Decimal | None) -> str:
    """A quantity with separators and only the digits it has."""
    return NOTHING if value is None else _grouped(value, to_text(value))


def price(value: Decimal | None, tick_size: Decimal, extra: int = 0) -> str:
    """A price with at least the tick's decimals; `extra` more where an average needs them."""
    if value is None:
        return NOTHING
    least = max(0, -_exponent(tick_size))
    most = least + extra
    rounded = value.quantize(Decimal(1).scaleb(-most), ROUND_HALF_EVEN)
    text = format(rounded, "f")
    while extra and text[-1] == "0" and len(text.partition(".")[2]) > least:
        text = text[:-1]
    return _grouped(value, text)


def amount(value: Decimal | None) -> str:
    """Money in cents, without a sign for what is above zero."""
    return NOTHING if value is None else _grouped(value, format(value.quantize(Decimal("0.01")), "f"))


def signed(value: Decimal | None) -> str:
    """Money in cents with its sign, so that colour is never the only difference."""
    shown = amount(value)
    return f"+{shown}" if value is not None and value.quantize(Decimal("0.01")) > 0 else shown


def trend(value: Decimal | None) -> str:
    """up, down or flat: the class that gives a figure its colour and arrow."""
    cents = value.quantize(Decimal("0.01")) if value is not None else Decimal(0)
    return "up" if cents > 0 else "down" if cents < 0 else "flat"


def clock_time(at: datetime, zone: tzinfo, now: datetime) -> str:
    """The time of day in the zone, with the date in front when it is not today."""
    local = at.astimezone(zone)
    today = now.astimezone(zone).date()
    return local.strftime("%H:%M:%S") if local.date() == today else local.strftime("%d %b %H:%M")


def age(since: datetime, until: datetime) -> str:
    """How long it is from one moment to the other, in the largest unit that fits."""
    seconds = max(0, int((until - since).total_seconds()))
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds // 86400} d"


BROWSERS = (
    ("Firefox/", "Firefox"), ("Edg/", "Edge"), ("OPR/", "Opera"), ("Chrome/", "Chrome"), ("Safari/", "Safari"),
)  # fmt: skip
SYSTEMS = (
    ("iPhone", "iPhone"), ("iPad", "iPad"), ("Android", "Android"), ("Windows", "Windows"), ("Mac OS", "macOS"),
    ("Linux", "Linux"),
)  # fmt: skip
"""What a User-Agent says -> what to call it; the first that is there counts."""
LONGEST_PROGRAM = 60


def program(agent: str) -> str:
    """The browser and its system, of other programs what they say of themselves."""
    browser = next((name for sign, name in BROWSERS if sign in agent), "")
    if not browser:
        return agent[:LONGEST_PROGRAM] or "unknown"
    system = next((name for sign, name in SYSTEMS if sign in agent), "")
    return f"{browser} on {system}" if system else browser


SEVERITIES = {"CRITICAL": ("Critical", "bad"), "WARNING": ("Warning", "waiting"), "INFO": ("Info", "over")}
"""Severity -> its word and the look of its chip."""


def terms(order: Order, tick_size: Decimal) -> str:
    """Limit and trigger of an order in one cell, each named when it is not plainly the limit."""
    parts = []
    if order.stop_price is not None:
        parts.append(f"stop {price(order.stop_price, tick_size)}")
    if order.limit_price is not None:
        limit = price(order.limit_price, tick_size)
        parts.append(f"limit {limit}" if parts else limit)
    if order.trail_amount is not None:
        parts.append(f"trail {price(order.trail_amount, tick_size)}")
    if order.trail_percent is not None:
        parts.append(f"trail {to_text(order.trail_percent)} %")
    return " · ".join(parts) or NOTHING


def _exponent(value: Decimal) -> int:
    exponent = Decimal(to_text(value)).as_tuple().exponent
    return exponent if isinstance(exponent, int) else 0


def _grouped(value: Decimal, text: str) -> str:
    whole, point, fraction = text.lstrip("-").partition(".")
    digits = f"{int(whole):,}{point}{fraction}"
    is_below = text.startswith("-") and any(digit not in "0.," for digit in digits)
    return f"{MINUS if is_below else ''}{digits}"
