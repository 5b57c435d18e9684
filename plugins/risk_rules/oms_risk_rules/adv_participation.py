"""An order in, DENY out when the account would have too large a share of a day's usual volume of an instrument."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Usage
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.events import Event, OrderFilled, Recorded
from oms_kernel.domain.ids import AccountId, InstrumentId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ONE, ZERO, add, multiply, ratio, subtract
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.recent import Recent
from oms_risk_rules.verdicts import HUNDRED, at_most, exceeded, percent, whole_lots

HORIZON = timedelta(days=2)
"""Longer than the longest session that bears one trading date."""

State = Recent[tuple[AccountId, InstrumentId], tuple[str, Decimal]]
"""What an account traded of an instrument on the latest trading date, with that date."""


class Share(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The largest share of a day's volume."""

    max_percent: Annotated[
        Decimal, described("Largest share of the average daily volume", "% of 20-day volume", gt=0, le=1000)
    ] = Decimal(5)


class AdvParticipation:
    """Denies an order with which the account's share of the average daily volume would be above `max_percent`.

    What counts is what the account traded of the instrument today (the venue's trading date, both sides together), its
    open orders, doubtful ones in full, and this order. No average daily volume among the instrument's facts: `no_adv`.
    A modification that adds nothing passes, as does a liquidation. Busted executions go on counting until the next day.
    State: the traded quantity of each account and instrument of one day.
    """

    name: ClassVar[str] = "adv_participation"
    title: ClassVar[str] = "Largest share of a day's usual volume"
    source: ClassVar[str] = "FIA 2024 1.1; RTS 6 Art. 15(1)(c)"
    rank: ClassVar[int] = 80
    takes_scope: ClassVar[bool] = True
    Params: ClassVar[type[msgspec.Struct]] = Share
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderFilled})

    def __init__(self, params: Share, scope: Scope = EVERYTHING) -> None:
        self.scope = scope
        self.limit = params.max_percent
        self.passed = passed(self.name)
        self.horizon = HORIZON

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS up to and at the limit."""
        request, instrument = intent.request, intent.instrument
        if request.liquidation_id is not None:
            return self.passed
        facts = view.facts(instrument.instrument_id)
        volume = facts.average_daily_volume if facts is not None else None
        if volume is None or volume <= ZERO:
            return denied(self.name, "no_adv", f"the average daily volume of {instrument.symbol} is not known")
        traded = _traded(request.account_id, instrument, view, state)
        exposure = view.exposure(request.account_id, request.instrument_id)
        opened = add(exposure.buy_quantity, exposure.sell_quantity)
        others = add(traded, opened)
        share = percent(add(others, intent.open_quantity), volume)
        inputs = {"traded": traded, "open": opened, "order": intent.open_quantity, "average_daily_volume": volume}
        if share <= self.limit or (intent.kind is RequestKind.REPLACE and intent.added_quantity <= ZERO):
            return passed(self.name, observed=share, limit=self.limit, unit="%", inputs=inputs)
        most = subtract(multiply(volume, ratio(self.limit, HUNDRED)), others)
        filled = intent.replaces.filled_quantity if intent.replaces is not None else ZERO
        return exceeded(
            self.name,
            self.name,
            "a share of the average daily volume of",
            share,
            self.limit,
            "%",
            inputs=inputs,
            would_pass=at_most(whole_lots(add(most, filled), ONE, instrument.lot_size)),
        )

    def initial_state(self) -> State:
        """Nothing was traded."""
        return Recent(HORIZON)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Any, ...]]:
        """What was traded after the event."""
        filled = event.event
        if not isinstance(filled, OrderFilled):
            return state, ()
        fill = filled.fill
        key = (fill.account_id, fill.instrument_id)
        found = state.get(key)
        date, quantity = found[1] if found is not None else (fill.trading_date, ZERO)
        if fill.trading_date < date:
            return state, ()
        total = add(quantity, fill.quantity) if fill.trading_date == date else fill.quantity
        return state.put(key, event.recorded_at, (fill.trading_date, total)), ()

    def usage(self, view: RuleView, state: State) -> Iterator[Usage]:
        """The share of each account in each instrument that it holds or has orders in, where the volume is known."""
        for account_id, instrument_id in view.holdings(self.scope):
            instrument, facts = view.instrument(instrument_id), view.facts(instrument_id)
            volume = facts.average_daily_volume if facts is not None else None
            if instrument is None or volume is None or volume <= ZERO:
                continue
            exposure = view.exposure(account_id, instrument_id)
            opened = add(exposure.buy_quantity, exposure.sell_quantity)
            share = percent(add(_traded(account_id, instrument, view, state), opened), volume)
            yield Usage(
                used=share, limit=self.limit, unit="%", account_id=account_id, instrument_id=instrument.instrument_id
            )


def _traded(account_id: AccountId, instrument: Instrument, view: RuleView, state: State) -> Decimal:
    """What the account traded of the instrument on the present trading date of its venue."""
    found = state.get((account_id, instrument.instrument_id))
    if found is None:
        return ZERO
    date, quantity = found[1]
    return quantity if date == view.calendar(instrument).trading_date(view.now).isoformat() else ZERO
