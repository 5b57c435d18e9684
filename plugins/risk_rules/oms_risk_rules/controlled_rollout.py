"""An order of an algorithm in, DENY out unless its version is approved and within the stage it is approved for."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Usage
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.errors import InvalidNumber
from oms_kernel.domain.events import Event, OrderAccepted, Recorded, ReplaceRequested
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ZERO, add, multiply, quantise, subtract, to_text
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.recent import Recent
from oms_risk_rules.order_value import value_before, value_of
from oms_risk_rules.rollout_usage import HORIZON, State, after, used_by, worth
from oms_risk_rules.verdicts import exceeded

TOMORROW = "the same order on the account's next risk day"
APPROVED = "an order of an approved version"


class Stage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What one version may do; what is left out is not limited."""

    instruments: Annotated[tuple[str, ...], described("Symbols it may trade; none named: any")] = ()
    venues: Annotated[tuple[str, ...], described("Venues it may trade at; none named: any")] = ()
    max_orders_per_day: Annotated[int, described("Most orders of a day", "orders", ge=0)] | None = None
    max_notional_per_day: Annotated[Decimal, described("Largest value of a day", "base currency", ge=0)] | None = None


class Rollout(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The approved versions and their stages."""

    versions: Annotated[dict[str, Stage], described("Approved versions, as orders name them in algo_version")]
    manual_too: Annotated[bool, described("Ask orders of no strategy for their version as well")] = False


class ControlledRollout:
    """Denies orders of algorithm versions that are not approved, or beyond what they are approved for so far.

    The version is the order's `algo_version`: none denies with `no_algo_version` (orders of no strategy pass unless
    `manual_too`), one that is not listed with `version_not_approved`. Beyond its stage: `instrument_not_in_stage`,
    `venue_not_in_stage`, `orders_per_day`, `notional_per_day`. A day is the account's risk day; what all accounts under
    the limit did with the version counts together, at the prices at which it was accepted and present rates, new terms
    with what they added, on the day of their order. A modification is no further order and only its increase counts; a
    liquidation passes. No price or rate where a value is limited: `no_price`, `no_fx_rate`.
    """

    name: ClassVar[str] = "controlled_rollout"
    title: ClassVar[str] = "New algorithm versions in approved stages"
    source: ClassVar[str] = "RTS 6 Art. 5 to 8 and 11"
    rank: ClassVar[int] = 20
    takes_scope: ClassVar[bool] = True
    Params: ClassVar[type[msgspec.Struct]] = Rollout
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderAccepted, ReplaceRequested})

    def __init__(self, params: Rollout, scope: Scope = EVERYTHING) -> None:
        self.scope = scope
        self.versions = params.versions
        self.manual_too = params.manual_too
        self.passed = passed(self.name)
        self.horizon = HORIZON

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS up to and at the stage's limits."""
        request = intent.request
        if request.liquidation_id is not None or (
            request.algo_version is None and request.strategy_id is None and not self.manual_too
        ):
            return self.passed
        if request.algo_version is None:
            return denied(self.name, "no_algo_version", "the order does not say which version decided on it")
        stage = self.versions.get(request.algo_version)
        if stage is None:
            text = f"version {request.algo_version[:80]} is not approved"
            return denied(self.name, "version_not_approved", text, would_pass=APPROVED)
        return self._place(intent, stage) or self._amount(intent, view, state, stage, request.algo_version)

    def initial_state(self) -> State:
        """No version did anything."""
        return Recent(HORIZON)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Any, ...]]:
        """What the versions did after the event."""
        return after(state, event, self.scope), ()

    def usage(self, view: RuleView, state: State) -> Iterator[Usage]:
        """Orders of each version, and their value where a rate is known, on the risk day of each account's zone."""
        base = view.base_currency(self.scope)
        days = sorted({view.risk_date(account_id) for account_id in view.accounts(self.scope)})
        for version, stage in self.versions.items():
            for day in days:
                used, _ = used_by(state, version, day, None)
                if stage.max_orders_per_day is not None:
                    limit = Decimal(stage.max_orders_per_day)
                    yield Usage(used=Decimal(used.orders), limit=limit, unit="orders", figure=f"{version} {day}")
                total = worth(used, view, base) if base is not None else None
                if stage.max_notional_per_day is not None and base is not None and total is not None:
                    limit = stage.max_notional_per_day
                    yield Usage(used=quantise(total), limit=limit, unit=base, figure=f"{version} {day}")

    def _place(self, intent: OrderIntent, stage: Stage) -> Verdict | None:
        """A denial for an instrument or venue that is not in the stage."""
        instrument = intent.instrument
        for code, value, allowed in (
            ("instrument_not_in_stage", instrument.symbol, stage.instruments),
            ("venue_not_in_stage", instrument.venue, stage.venues),
        ):
            if allowed and value not in allowed:
                names = ", ".join(allowed[:20])
                return denied(self.name, code, f"the version may not trade {value} yet", would_pass=f"one of {names}")
        return None

    def _amount(self, intent: OrderIntent, view: RuleView, state: State, stage: Stage, version: str) -> Verdict:
        """Orders and value of the day."""
        day = view.risk_date(intent.request.account_id)
        is_new = intent.kind is RequestKind.PLACE
        used, own = used_by(state, version, day, intent.order_id)
        orders = Decimal(used.orders - (own is not None) + 1)
        if stage.max_orders_per_day is not None and is_new and orders > stage.max_orders_per_day:
            text, limit = "the day's orders of the version of", Decimal(stage.max_orders_per_day)
            return exceeded(self.name, "orders_per_day", text, orders, limit, "orders", would_pass=TOMORROW)
        if stage.max_notional_per_day is None:
            limits = stage.max_orders_per_day
            return passed(self.name, observed=orders, limit=None if limits is None else Decimal(limits), unit="orders")
        value = value_of(self.name, intent, view)
        if isinstance(value, Verdict):
            return value
        total, limit = worth(used, view, value.currency), stage.max_notional_per_day
        if total is None:
            text = f"there is no rate to {value.currency} to value what the version did today"
            return denied(self.name, "no_fx_rate", text)
        before = multiply(own.amount, value.rate) if own is not None else value_before(intent, value.rate)
        try:
            added = max(ZERO, subtract(value.amount, before))
            # A held order that is approved counts already; its own value does not count twice.
            observed = quantise(add(total, added))
        except InvalidNumber:
            return denied(self.name, "notional_per_day", "the day's value has more digits than any limit")
        inputs = {"orders": orders if is_new else Decimal(used.orders), "before": quantise(total), "added": added}
        if observed <= limit or (not is_new and added == ZERO):
            return passed(self.name, observed=observed, limit=limit, unit=value.currency, inputs=inputs)
        left = max(ZERO, subtract(limit, total))
        text, hint = "the day's value of the version of", f"{to_text(quantise(left))} {value.currency} are left"
        return exceeded(
            self.name, "notional_per_day", text, observed, limit, value.currency, inputs=inputs, would_pass=hint
        )
