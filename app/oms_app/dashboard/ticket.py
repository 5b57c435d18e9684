"""The ticket's form in, an OrderDraft out, or what to put right at which field; one key makes one order of many clicks.

Fields that the chosen order type does not show are ignored, whatever they hold.
"""

import hashlib
from collections.abc import Mapping
from datetime import datetime, tzinfo
from decimal import Decimal
from enum import StrEnum
from typing import TypeVar

import msgspec

from oms_app.dashboard import showing
from oms_app.flow.errors import FlowError, OutcomeUnknown, Unavailable
from oms_app.flow.intake import IdempotencyKey, ItemResult, OrderDraft
from oms_kernel.domain.decision import Verdict
from oms_kernel.domain.errors import InvalidNumber, KernelError
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.lifecycle import OrderStatus
from oms_kernel.domain.money import parse_decimal, to_text
from oms_kernel.domain.order import OrderType, Side, TimeInForce

Word = TypeVar("Word", bound=StrEnum)
OPERATION = "dashboard.place"
LIMIT_PRICE, STOP_PRICE, TRAIL_AMOUNT, EXPIRE_AT = "limit_price", "stop_price", "trail_amount", "expire_at"
CONFIRMED = "confirmed_quantity"
NEEDS_CONFIRMATION = "confirmation_needed"
"""The code of a denial that the same order, with its quantity typed a second time, would not meet."""

PRICES: dict[OrderType, tuple[str, ...]] = {
    OrderType.MARKET: (),
    OrderType.LIMIT: (LIMIT_PRICE,),
    OrderType.STOP: (STOP_PRICE,),
    OrderType.STOP_LIMIT: (STOP_PRICE, LIMIT_PRICE),
    OrderType.TRAILING_STOP: (TRAIL_AMOUNT,),
}
"""The order types of the ticket, each with the fields that it shows."""
TIMES = (TimeInForce.DAY, TimeInForce.GTC, TimeInForce.IOC, TimeInForce.FOK, TimeInForce.GTD)
LABELS = {
    "account_id": "Account",
    "symbol": "Symbol",
    "side": "Side",
    "quantity": "Quantity",
    "order_type": "Type",
    LIMIT_PRICE: "Limit price",
    STOP_PRICE: "Stop price",
    TRAIL_AMOUNT: "Trail",
    "time_in_force": "Time in force",
    EXPIRE_AT: "Expires at",
    CONFIRMED: "Quantity again",
}
EXAMPLES = {"quantity": "such as 100"}
UNSURE = (Unavailable, OutcomeUnknown)
"""After these the same key must be tried again: only it is sure to make one order."""


class Fault(msgspec.Struct, frozen=True):
    """What is wrong with a field, and what to do."""

    detail: str
    fix: str = ""


class Ticket(msgspec.Struct, frozen=True):
    """The ticket as it is shown: its key, what stands in each field, and what came of the last try."""

    key: str
    values: Mapping[str, str]
    faults: Mapping[str, Fault] = {}
    problem: Fault | None = None
    """What is wrong with the order as a whole."""
    denials: tuple[Verdict, ...] = ()
    placed: str = ""
    """What was accepted, in words."""

    @property
    def asks_again(self) -> bool:
        """Whether the quantity has to be typed a second time."""
        asked = any(one.code == NEEDS_CONFIRMATION for one in self.denials)
        return asked or CONFIRMED in self.faults or bool(self.values.get(CONFIRMED) and not self.placed)


def fresh(key: str, values: Mapping[str, str]) -> Ticket:
    """An untouched ticket."""
    defaults = {"side": "BUY", "quantity": "1", "order_type": "MARKET", "time_in_force": "DAY"}
    return Ticket(key=key, values={**defaults, **values})


def read_form(form: Mapping[str, str]) -> dict[str, str]:
    """The ticket's fields as texts."""
    return {name: form.get(name, "").strip() for name in LABELS}


def parse(values: Mapping[str, str], zone: tzinfo) -> tuple[OrderDraft | None, dict[str, Fault]]:
    """(the draft, no faults) or (None, the fault of each field). Times are of the account's zone."""
    faults: dict[str, Fault] = {}
    side = _word(Side, values["side"], "side", faults)
    order_type = _word(OrderType, values["order_type"], "order_type", faults)
    time_in_force = _word(TimeInForce, values["time_in_force"], "time_in_force", faults)
    if not values["symbol"]:
        faults["symbol"] = Fault("Choose what to trade", "such as one of the symbols in the list")
    quantity = _number(values, "quantity", faults)
    prices = {name: _number(values, name, faults) for name in PRICES.get(order_type, ())} if order_type else {}
    expire_at = _instant(values[EXPIRE_AT], zone, faults) if time_in_force is TimeInForce.GTD else None
    confirmed = _number(values, CONFIRMED, faults) if values.get(CONFIRMED) else None
    if faults or side is None or order_type is None or time_in_force is None or quantity is None:
        return None, faults
    draft = OrderDraft(
        side=side,
        quantity=quantity,
        order_type=order_type,
        account_id=AccountId(values["account_id"]),
        symbol=values["symbol"].upper(),
        time_in_force=time_in_force,
        limit_price=prices.get(LIMIT_PRICE),
        stop_price=prices.get(STOP_PRICE),
        trail_amount=prices.get(TRAIL_AMOUNT),
        expire_at=expire_at,
        confirmed_quantity=confirmed,
    )
    return draft, {}


def idempotency(key: str, draft: OrderDraft) -> IdempotencyKey:
    """The key under which clicking twice gives one order."""
    fingerprint = hashlib.sha256(msgspec.json.encode(draft, order="deterministic")).digest()
    return IdempotencyKey(key=key[:100], operation=OPERATION, fingerprint=fingerprint)


def answered(values: Mapping[str, str], key: str, next_key: str, result: ItemResult) -> Ticket:
    """The ticket after its order was decided; a stored order, accepted or denied, has used up its key."""
    if result.error is not None:
        return refused(values, key, next_key, result.error)
    decision, order = result.decision, result.order
    if decision is not None and not decision.accepted:
        return Ticket(key=next_key, values=values, denials=decision.denials)
    if order is None:
        return Ticket(key=key, values=values, problem=Fault("Nothing was stored", "try again"))
    kind = showing.ORDER_TYPES[order.request.order_type].lower()
    became = "held until another person approves it" if order.status is OrderStatus.HELD else "accepted"
    words = f"{order.request.side.title()} {to_text(order.quantity)} {order.symbol}, {kind}: {became}"
    spent = (LIMIT_PRICE, STOP_PRICE, TRAIL_AMOUNT, CONFIRMED)
    kept = {name: text for name, text in values.items() if name not in spent}
    return Ticket(key=next_key, values=kept, placed=words)


def refused(values: Mapping[str, str], key: str, next_key: str, error: FlowError | KernelError) -> Ticket:
    """The ticket after an error: told at its field, or above the button when the ticket does not show the field."""
    fault = Fault(_sentence(error.detail), getattr(error, "fix", None) or _fix_of(error))
    key = key if isinstance(error, UNSURE) else next_key
    if error.field in LABELS:
        return Ticket(key=key, values=values, faults={error.field: fault})
    return Ticket(key=key, values=values, problem=fault)


def _word(words: type[Word], text: str, field: str, faults: dict[str, Fault]) -> Word | None:
    try:
        return words(text)
    except ValueError:
        faults[field] = Fault("Choose one of the list")
        return None


def _number(values: Mapping[str, str], field: str, faults: dict[str, Fault]) -> Decimal | None:
    text = values[field]
    if not text:
        faults[field] = Fault(f"{LABELS[field]} is needed", EXAMPLES.get(field, "such as 12.50"))
        return None
    try:
        number = parse_decimal(text)
    except InvalidNumber as error:
        faults[field] = Fault(_sentence(error.detail))  # which says what is needed
        return None
    if number <= 0 and field in ("quantity", TRAIL_AMOUNT):
        faults[field] = Fault(f"{LABELS[field]} must be greater than 0", "sell with the Sell side, not with a minus")
        return None
    return number


def _instant(text: str, zone: tzinfo, faults: dict[str, Fault]) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=zone)
    except ValueError:
        faults[EXPIRE_AT] = Fault("Good till date needs a day and a time")
        return None


def _fix_of(error: Exception) -> str:
    """What the error's own documentation advises: what follows its first colon."""
    return (type(error).__doc__ or "").partition("\n")[0].partition(": ")[2]


def _sentence(detail: str) -> str:
    """The detail for people: a known field by its label, and a capital in front."""
    for name, label in LABELS.items():
        detail = detail.replace(name, label.lower()) if "_" in name else detail
    return detail[:1].upper() + detail[1:]
