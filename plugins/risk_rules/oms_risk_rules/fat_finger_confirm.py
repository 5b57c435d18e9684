"""A large order in, DENY out unless its quantity was typed a second time."""

from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import to_text
from oms_risk_rules.order_value import value_before, value_of


class ConfirmationLevel(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From which value on a person has to confirm."""

    max_unconfirmed_notional: Annotated[
        Decimal, described("Largest value of an order that needs no second typing", "base currency", gt=0)
    ]
    strategies_too: Annotated[bool, described("Ask for the confirmation of orders of strategies as well")] = False


class FatFingerConfirm:
    """Denies an order worth more than `max_unconfirmed_notional` with `confirmation_needed`, unless it is confirmed.

    Confirmed is an order whose `confirmed_quantity` equals its quantity: typed by a person, not filled in by a form.
    New terms cannot be confirmed: a modification that raises the value beyond the level is denied, place a new order
    instead. Orders of strategies, where nobody types, pass unless `strategies_too`; a liquidation passes. Without a
    price or rate to value it with: `no_price`, `no_fx_rate`.
    """

    name: ClassVar[str] = "fat_finger_confirm"
    title: ClassVar[str] = "Large orders confirmed by typing their quantity again"
    source: ClassVar[str] = "SEC 15c3-5(c)(1)(ii); FCA final notice to Citigroup Global Markets, 2024"
    rank: ClassVar[int] = 50
    Params: ClassVar[type[msgspec.Struct]] = ConfirmationLevel

    def __init__(self, params: ConfirmationLevel) -> None:
        self.limit = params.max_unconfirmed_notional
        self.strategies_too = params.strategies_too
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS up to and at the level, and for what was confirmed."""
        request = intent.request
        if request.liquidation_id is not None or (request.strategy_id is not None and not self.strategies_too):
            return self.passed
        value = value_of(self.name, intent, view)
        if isinstance(value, Verdict):
            return value
        is_new = intent.kind is RequestKind.PLACE
        if (
            value.amount <= self.limit
            or (is_new and request.confirmed_quantity == request.quantity)
            or value.amount <= value_before(intent, value.rate)
        ):
            inputs = value.inputs(intent)
            return passed(self.name, observed=value.amount, limit=self.limit, unit=value.currency, inputs=inputs)
        quantity, unit = to_text(request.quantity), value.currency
        text = f"the order is worth {to_text(value.amount)} {unit}, more than {to_text(self.limit)} {unit}"
        return denied(
            self.name,
            "confirmation_needed",
            f"{text}: type its quantity again" if is_new else f"{text}: new terms cannot be confirmed",
            observed=value.amount,
            limit=self.limit,
            unit=unit,
            inputs=value.inputs(intent),
            would_pass=f"confirmed_quantity {quantity}" if is_new else "a new order with confirmed_quantity",
        )
