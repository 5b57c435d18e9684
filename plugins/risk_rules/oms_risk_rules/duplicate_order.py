"""A new order in, DENY out when an equal one of the same account was accepted moments ago."""

from collections.abc import Hashable
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Outcome, Verdict, passed
from oms_kernel.domain.events import Event, OrderAccepted, Recorded
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ratio
from oms_kernel.domain.order import OrderRequest
from oms_kernel.recent import Recent

State = Recent[Hashable, OrderId]

MICROSECOND = timedelta(microseconds=1)
MILLION = Decimal(1_000_000)


class DuplicateWindow(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How long an equal order counts as a duplicate."""

    window_s: Annotated[int, described("How long after an order an equal one is denied", "s", ge=1, le=3600)] = 5


class DuplicateOrder:
    """Denies a second order with equal account, side, instrument, quantity, prices and type within `window_s`.

    `allow_duplicate` on the order lets it pass; so do a liquidation's slices, which are equal by nature. Only accepted
    orders count, also when they ended meanwhile; a held order that a person approves is not its own duplicate.
    Modifications are not judged. State: the fingerprints of the window.
    """

    name: ClassVar[str] = "duplicate_order"
    title: ClassVar[str] = "No equal order within moments"
    source: ClassVar[str] = "SEC 15c3-5(c)(1)(ii)"
    rank: ClassVar[int] = 20
    Params: ClassVar[type[msgspec.Struct]] = DuplicateWindow
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderAccepted})

    def __init__(self, params: DuplicateWindow) -> None:
        self.window = timedelta(seconds=params.window_s)
        self.horizon = self.window
        self.limit = Decimal(params.window_s)
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS from `window_s` on; observed is the time since the equal order in seconds."""
        request = intent.request
        if intent.kind is not RequestKind.PLACE or request.allow_duplicate or request.liquidation_id is not None:
            return self.passed
        found = state.get(fingerprint(request))
        if found is None or found[1] == intent.order_id:
            return self.passed
        age = max(view.now - found[0], timedelta(0))
        is_duplicate = age < self.window
        text = f"an equal order was accepted less than {self.window.seconds} s ago; set allow_duplicate if meant"
        return Verdict(
            rule=self.name,
            outcome=Outcome.DENY if is_duplicate else Outcome.PASS,
            code=self.name if is_duplicate else "",
            message=text if is_duplicate else "",
            observed=ratio(Decimal(age // MICROSECOND), MILLION),
            limit=self.limit,
            unit="s",
            would_pass="the same order with allow_duplicate, or later" if is_duplicate else "",
            is_floor=True,
        )

    def initial_state(self) -> State:
        """No order yet."""
        return Recent(self.window)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Any, ...]]:
        """The fingerprints after the event."""
        accepted = event.event
        if type(accepted) is not OrderAccepted:
            return state, ()
        return state.put(fingerprint(accepted.request), event.recorded_at, accepted.order_id), ()


def fingerprint(request: OrderRequest) -> Hashable:
    """What makes two orders equal."""
    return (
        request.account_id,
        request.instrument_id,
        request.side,
        request.quantity,
        request.order_type,
        request.limit_price,
        request.stop_price,
        request.trail_amount,
        request.trail_percent,
    )
