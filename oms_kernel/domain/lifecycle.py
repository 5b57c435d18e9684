"""The order's life as tables: a broker's word or a signal in, the next status out; every pair is defined or refused.

`status` says what the broker proved, `requests` say what is under way; `state` is derived from both for people.
"""

from enum import StrEnum
from functools import cache

from oms_kernel.domain.errors import IllegalTransition


class OrderStatus(StrEnum):
    """What is proved about an order."""

    NEW = "NEW"
    HELD = "HELD"
    DENIED = "DENIED"
    WORKING = "WORKING"
    FILLED = "FILLED"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"


TERMINAL = frozenset(
    {OrderStatus.DENIED, OrderStatus.FILLED, OrderStatus.CANCELED, OrderStatus.REJECTED, OrderStatus.EXPIRED}
)


class OrderState(StrEnum):
    """What users see (FIX 39 OrdStatus in the architecture's table)."""

    NEW = "NEW"
    DENIED = "DENIED"
    HELD = "HELD"
    ROUTED = "ROUTED"
    WORKING = "WORKING"
    PARTIALLY_FILLED = "PARTIALLY_FILLED"
    FILLED = "FILLED"
    PENDING_REPLACE = "PENDING_REPLACE"
    PENDING_CANCEL = "PENDING_CANCEL"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    IN_DOUBT = "IN_DOUBT"


class Evidence(StrEnum):
    """What proves that an order ended."""

    OWN_CHECK = "OWN_CHECK"
    NEVER_SENT = "NEVER_SENT"
    BROKER = "BROKER"
    QUERY = "QUERY"
    PERSON = "PERSON"


class Word(StrEnum):
    """What a report says about the order as a whole."""

    ACKNOWLEDGED = "ACKNOWLEDGED"
    FILLED_PART = "FILLED_PART"
    FILLED_WHOLE = "FILLED_WHOLE"
    CANCELED = "CANCELED"
    REJECTED = "REJECTED"
    EXPIRED = "EXPIRED"
    FOUND_ALIVE = "FOUND_ALIVE"
    """Acknowledged although it had been ended without the broker's own word (query, person, never sent)."""
    UNFILLED = "UNFILLED"
    """A bust or correction took the filled quantity below the total."""


S, W = OrderStatus, Word

STATUS_TABLE: dict[tuple[OrderStatus, Word], OrderStatus] = {
    (S.NEW, W.ACKNOWLEDGED): S.WORKING,
    (S.NEW, W.FILLED_PART): S.WORKING,  # a fill before its acknowledgement proves the order
    (S.NEW, W.FILLED_WHOLE): S.FILLED,
    (S.NEW, W.CANCELED): S.CANCELED,  # IOC and FOK may end without an acknowledgement
    (S.NEW, W.REJECTED): S.REJECTED,
    (S.NEW, W.EXPIRED): S.EXPIRED,
    (S.NEW, W.FOUND_ALIVE): S.WORKING,
    (S.NEW, W.UNFILLED): S.NEW,
    (S.HELD, W.ACKNOWLEDGED): S.WORKING,  # the broker knows what we believe parked: believe the broker
    (S.HELD, W.FILLED_PART): S.WORKING,
    (S.HELD, W.FILLED_WHOLE): S.FILLED,
    (S.HELD, W.CANCELED): S.CANCELED,
    (S.HELD, W.REJECTED): S.REJECTED,
    (S.HELD, W.EXPIRED): S.EXPIRED,
    (S.HELD, W.FOUND_ALIVE): S.WORKING,
    (S.HELD, W.UNFILLED): S.HELD,
    (S.WORKING, W.ACKNOWLEDGED): S.WORKING,  # repeated
    (S.WORKING, W.FILLED_PART): S.WORKING,
    (S.WORKING, W.FILLED_WHOLE): S.FILLED,
    (S.WORKING, W.CANCELED): S.CANCELED,
    (S.WORKING, W.REJECTED): S.REJECTED,  # venues reject after acknowledging
    (S.WORKING, W.EXPIRED): S.EXPIRED,
    (S.WORKING, W.FOUND_ALIVE): S.WORKING,
    (S.WORKING, W.UNFILLED): S.WORKING,
    (S.DENIED, W.ACKNOWLEDGED): S.WORKING,  # never sent by us, alive all the same: count it, alert
    (S.DENIED, W.FILLED_PART): S.WORKING,
    (S.DENIED, W.FILLED_WHOLE): S.FILLED,
    (S.DENIED, W.CANCELED): S.DENIED,
    (S.DENIED, W.REJECTED): S.DENIED,
    (S.DENIED, W.EXPIRED): S.DENIED,
    (S.DENIED, W.FOUND_ALIVE): S.WORKING,
    (S.DENIED, W.UNFILLED): S.DENIED,
    (S.FILLED, W.ACKNOWLEDGED): S.FILLED,  # reordered
    (S.FILLED, W.FILLED_PART): S.FILLED,  # an over-fill: booked and alerted
    (S.FILLED, W.FILLED_WHOLE): S.FILLED,
    (S.FILLED, W.CANCELED): S.FILLED,  # nothing was left to cancel
    (S.FILLED, W.REJECTED): S.FILLED,
    (S.FILLED, W.EXPIRED): S.FILLED,
    (S.FILLED, W.FOUND_ALIVE): S.FILLED,
    (S.FILLED, W.UNFILLED): S.WORKING,  # a bust may leave the rest alive; counted until the broker says otherwise
    (S.CANCELED, W.ACKNOWLEDGED): S.CANCELED,  # reordered
    (S.CANCELED, W.FILLED_PART): S.CANCELED,  # late fill: booked, the rest stays cancelled
    (S.CANCELED, W.FILLED_WHOLE): S.FILLED,
    (S.CANCELED, W.CANCELED): S.CANCELED,
    (S.CANCELED, W.REJECTED): S.CANCELED,
    (S.CANCELED, W.EXPIRED): S.CANCELED,
    (S.CANCELED, W.FOUND_ALIVE): S.WORKING,
    (S.CANCELED, W.UNFILLED): S.CANCELED,
    (S.REJECTED, W.ACKNOWLEDGED): S.REJECTED,  # reordered
    (S.REJECTED, W.FILLED_PART): S.WORKING,  # a rejected order does not trade: the rejection is disproved
    (S.REJECTED, W.FILLED_WHOLE): S.FILLED,
    (S.REJECTED, W.CANCELED): S.REJECTED,
    (S.REJECTED, W.REJECTED): S.REJECTED,
    (S.REJECTED, W.EXPIRED): S.REJECTED,
    (S.REJECTED, W.FOUND_ALIVE): S.WORKING,
    (S.REJECTED, W.UNFILLED): S.REJECTED,
    (S.EXPIRED, W.ACKNOWLEDGED): S.EXPIRED,
    (S.EXPIRED, W.FILLED_PART): S.EXPIRED,  # late fill
    (S.EXPIRED, W.FILLED_WHOLE): S.FILLED,
    (S.EXPIRED, W.CANCELED): S.EXPIRED,
    (S.EXPIRED, W.REJECTED): S.EXPIRED,
    (S.EXPIRED, W.EXPIRED): S.EXPIRED,
    (S.EXPIRED, W.FOUND_ALIVE): S.WORKING,
    (S.EXPIRED, W.UNFILLED): S.EXPIRED,
}


class RequestKind(StrEnum):
    """The three things that we can ask of a broker."""

    PLACE = "PLACE"
    REPLACE = "REPLACE"
    CANCEL = "CANCEL"


class RequestStatus(StrEnum):
    """How far one request has come. A cancel is never IN_DOUBT: it stays SENT and is sent again."""

    REQUESTED = "REQUESTED"
    SENT = "SENT"
    IN_DOUBT = "IN_DOUBT"
    DONE = "DONE"
    REFUSED = "REFUSED"


class Signal(StrEnum):
    """What moves a request."""

    SEND = "SEND"
    DOUBT = "DOUBT"
    PROVE = "PROVE"
    REFUSE = "REFUSE"
    END = "END"
    """The order ended by the broker's word, or never was sent."""


K, R, G = RequestKind, RequestStatus, Signal

REQUEST_TABLE: dict[tuple[RequestKind, RequestStatus, Signal], RequestStatus] = {
    (K.PLACE, R.REQUESTED, G.SEND): R.SENT,
    (K.PLACE, R.REQUESTED, G.PROVE): R.DONE,  # known to the broker though never sent by this book: believe it
    (K.PLACE, R.REQUESTED, G.REFUSE): R.REFUSED,
    (K.PLACE, R.REQUESTED, G.END): R.REFUSED,  # never sent
    (K.PLACE, R.SENT, G.DOUBT): R.IN_DOUBT,
    (K.PLACE, R.SENT, G.PROVE): R.DONE,
    (K.PLACE, R.SENT, G.REFUSE): R.REFUSED,
    (K.PLACE, R.SENT, G.END): R.DONE,
    (K.PLACE, R.IN_DOUBT, G.DOUBT): R.IN_DOUBT,
    (K.PLACE, R.IN_DOUBT, G.PROVE): R.DONE,
    (K.PLACE, R.IN_DOUBT, G.REFUSE): R.REFUSED,
    (K.PLACE, R.IN_DOUBT, G.END): R.DONE,
    (K.PLACE, R.DONE, G.DOUBT): R.DONE,  # already proved: a late timeout says nothing
    (K.PLACE, R.DONE, G.PROVE): R.DONE,
    (K.PLACE, R.DONE, G.REFUSE): R.DONE,
    (K.PLACE, R.DONE, G.END): R.DONE,
    (K.PLACE, R.REFUSED, G.DOUBT): R.REFUSED,
    (K.PLACE, R.REFUSED, G.PROVE): R.DONE,  # a report disproves the refusal
    (K.PLACE, R.REFUSED, G.REFUSE): R.REFUSED,
    (K.PLACE, R.REFUSED, G.END): R.REFUSED,
    (K.REPLACE, R.REQUESTED, G.SEND): R.SENT,
    (K.REPLACE, R.REQUESTED, G.REFUSE): R.REFUSED,  # voided by a cancel before it was sent
    (K.REPLACE, R.REQUESTED, G.END): R.REFUSED,
    (K.REPLACE, R.SENT, G.DOUBT): R.IN_DOUBT,
    (K.REPLACE, R.SENT, G.PROVE): R.DONE,
    (K.REPLACE, R.SENT, G.REFUSE): R.REFUSED,
    (K.REPLACE, R.SENT, G.END): R.REFUSED,
    (K.REPLACE, R.IN_DOUBT, G.DOUBT): R.IN_DOUBT,
    (K.REPLACE, R.IN_DOUBT, G.PROVE): R.DONE,
    (K.REPLACE, R.IN_DOUBT, G.REFUSE): R.REFUSED,
    (K.REPLACE, R.IN_DOUBT, G.END): R.REFUSED,
    (K.REPLACE, R.DONE, G.DOUBT): R.DONE,
    (K.REPLACE, R.DONE, G.PROVE): R.DONE,
    (K.REPLACE, R.DONE, G.REFUSE): R.DONE,
    (K.REPLACE, R.DONE, G.END): R.DONE,
    (K.REPLACE, R.REFUSED, G.DOUBT): R.REFUSED,
    (K.REPLACE, R.REFUSED, G.PROVE): R.DONE,
    (K.REPLACE, R.REFUSED, G.REFUSE): R.REFUSED,
    (K.REPLACE, R.REFUSED, G.END): R.REFUSED,
    (K.CANCEL, R.REQUESTED, G.SEND): R.SENT,
    (K.CANCEL, R.REQUESTED, G.REFUSE): R.REFUSED,
    (K.CANCEL, R.REQUESTED, G.END): R.DONE,
    (K.CANCEL, R.SENT, G.SEND): R.SENT,  # sent again until proved
    (K.CANCEL, R.SENT, G.DOUBT): R.SENT,  # a cancel is never in doubt
    (K.CANCEL, R.SENT, G.REFUSE): R.REFUSED,
    (K.CANCEL, R.SENT, G.END): R.DONE,
    (K.CANCEL, R.DONE, G.REFUSE): R.DONE,
    (K.CANCEL, R.DONE, G.END): R.DONE,
    (K.CANCEL, R.REFUSED, G.REFUSE): R.REFUSED,
    (K.CANCEL, R.REFUSED, G.END): R.DONE,
}


_OPEN_REQUESTS = (RequestStatus.REQUESTED, RequestStatus.SENT, RequestStatus.IN_DOUBT)


def next_status(status: OrderStatus, word: Word) -> OrderStatus:
    """The status after a broker's word: total over all pairs."""
    return STATUS_TABLE[status, word]


def next_request(kind: RequestKind, status: RequestStatus, signal: Signal) -> RequestStatus:
    """The request's status after a signal. Raises IllegalTransition for a pair that cannot happen."""
    try:
        return REQUEST_TABLE[kind, status, signal]
    except KeyError:
        raise IllegalTransition(f"{kind} {status} cannot take {signal}") from None


def is_open_request(status: RequestStatus | None) -> bool:
    """Whether a request is under way and its outcome unknown."""
    return status in _OPEN_REQUESTS


_PLAIN_STATES = {
    OrderStatus.DENIED: OrderState.DENIED,
    OrderStatus.FILLED: OrderState.FILLED,
    OrderStatus.CANCELED: OrderState.CANCELED,
    OrderStatus.REJECTED: OrderState.REJECTED,
    OrderStatus.EXPIRED: OrderState.EXPIRED,
}


@cache
def derive_state(
    status: OrderStatus,
    place: RequestStatus,
    replace: RequestStatus | None,
    cancel: RequestStatus | None,
    *,
    partly_filled: bool,
) -> OrderState:
    """The state that users see, first match wins: terminal, in doubt, pending, held, not yet proved, working."""
    if status in _PLAIN_STATES:
        return _PLAIN_STATES[status]
    precedence = (
        (RequestStatus.IN_DOUBT in (place, replace), OrderState.IN_DOUBT),
        (is_open_request(cancel), OrderState.PENDING_CANCEL),
        (is_open_request(replace), OrderState.PENDING_REPLACE),
        (status is OrderStatus.HELD, OrderState.HELD),
        (status is OrderStatus.NEW and place is RequestStatus.REQUESTED, OrderState.NEW),
        (status is OrderStatus.NEW, OrderState.ROUTED),
        (partly_filled, OrderState.PARTIALLY_FILLED),
    )
    return next((state for holds, state in precedence if holds), OrderState.WORKING)


FIX_ORD_STATUS: dict[OrderState, str | None] = {
    OrderState.NEW: "PendingNew",
    OrderState.DENIED: "Rejected",
    OrderState.HELD: "Suspended",
    OrderState.ROUTED: "PendingNew",
    OrderState.WORKING: "New",
    OrderState.PARTIALLY_FILLED: "PartiallyFilled",
    OrderState.FILLED: "Filled",
    OrderState.PENDING_REPLACE: "PendingReplace",
    OrderState.PENDING_CANCEL: "PendingCancel",
    OrderState.CANCELED: "Canceled",
    OrderState.REJECTED: "Rejected",
    OrderState.EXPIRED: "Expired",
    OrderState.IN_DOUBT: None,
}

ACTIVE_STATES = frozenset(state for state in OrderState if state.value not in {status.value for status in TERMINAL})

STATUSES_OF: dict[OrderState, frozenset[OrderStatus]] = {
    **{state: frozenset({status}) for status, state in _PLAIN_STATES.items()},
    OrderState.NEW: frozenset({OrderStatus.NEW}),
    OrderState.ROUTED: frozenset({OrderStatus.NEW}),
    OrderState.HELD: frozenset({OrderStatus.HELD}),
    OrderState.WORKING: frozenset({OrderStatus.WORKING}),
    OrderState.PARTIALLY_FILLED: frozenset({OrderStatus.WORKING}),
    OrderState.PENDING_REPLACE: frozenset(OrderStatus) - TERMINAL,
    OrderState.PENDING_CANCEL: frozenset(OrderStatus) - TERMINAL,
    OrderState.IN_DOUBT: frozenset(OrderStatus) - TERMINAL,
}
"""In which statuses an order may be that people see in this state: lists are searched by status, which changes less."""

STATE_FILTERS: dict[str, frozenset[OrderState]] = {
    **{state.value: frozenset({state}) for state in OrderState},
    "PENDING": frozenset({OrderState.NEW, OrderState.HELD}),
    "SUBMITTED": frozenset({OrderState.ROUTED}),
    "OPEN": frozenset({OrderState.WORKING, OrderState.PARTIALLY_FILLED}),
    "CANCELLED": frozenset({OrderState.CANCELED}),
    "ACTIVE": ACTIVE_STATES,
}
"""What a `status` filter may say, in both vocabularies, and which states it selects."""
