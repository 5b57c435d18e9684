"""Name the ids of the order domain and make the id that a broker sees from ours, the same each time."""

import base64
import hashlib
import uuid
from typing import NewType

TenantId = NewType("TenantId", str)
LedgerId = NewType("LedgerId", str)
AccountId = NewType("AccountId", str)
"""A trading account: what an order request names as `account_id`."""
BrokerAccountId = NewType("BrokerAccountId", str)
ConnectionId = NewType("ConnectionId", str)
OrderId = NewType("OrderId", str)
ClientOrderId = NewType("ClientOrderId", str)
"""The caller's own id of an order, unique for ever within tenant and account."""
WireId = NewType("WireId", str)
"""The id that we allocate and the broker sees (FIX 11 ClOrdID, IB orderRef)."""
BrokerOrderId = NewType("BrokerOrderId", str)
"""The id that the broker allocates (FIX 37 OrderID, IB permId)."""
ExecId = NewType("ExecId", str)
InstrumentId = NewType("InstrumentId", str)
StrategyId = NewType("StrategyId", str)
StrategyRunId = NewType("StrategyRunId", str)
GroupId = NewType("GroupId", str)
EventId = NewType("EventId", str)
BreakId = NewType("BreakId", str)
"""The event id of the finding of a break."""

SHORTEST_WIRE_ID = 12


def wire_id(order_id: OrderId, attempt: int, max_length: int) -> WireId:
    """The broker-side id of one attempt at an order: base32, at most `max_length` characters.

    The same order and attempt always give the same id. Up to 27 characters a digest stands in for
    the full 28-character form, and beyond 255 attempts always (a cancel is sent again until it is settled);
    under 12 characters collisions would be likely, so that is refused.
    Raises ValueError on a max_length under 12 or an attempt outside 0..4294967295.
    """
    if max_length < SHORTEST_WIRE_ID:
        raise ValueError(f"a wire id needs at least {SHORTEST_WIRE_ID} characters, the connector allows {max_length}")
    if not 0 <= attempt < 2**32:
        raise ValueError(f"attempt must lie in 0..{2**32 - 1}, got {attempt}")
    raw = uuid.UUID(order_id).bytes + (bytes([attempt]) if attempt < 256 else attempt.to_bytes(4, "big"))
    if max_length < 28 or attempt > 255:
        raw = hashlib.blake2b(raw, digest_size=17).digest()
    return WireId(base64.b32encode(raw).decode("ascii").rstrip("=")[:max_length])
