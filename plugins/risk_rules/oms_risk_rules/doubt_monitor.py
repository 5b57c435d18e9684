"""The orders in doubt of a scope in, a trigger out for each account with too many of them, or too old ones."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import RuleView, Trigger, Usage
from oms_kernel.domain.controls import Action
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.lifecycle import RequestStatus
from oms_kernel.domain.order import Order
from oms_kernel.domain.scope import Scope
from oms_risk_rules.measuring import of_account
from oms_risk_rules.used import used


class DoubtLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much doubt an account may bear."""

    max_orders: Annotated[int, described("Most orders that may be in doubt at once", "orders", ge=0)] = 5
    max_age_s: Annotated[
        int, described("How long after it was sent a request may be in doubt", "s", ge=1, le=86_400)
    ] = 60


class DoubtMonitor:
    """Finds accounts with more than `max_orders` orders in doubt, or with one that was sent over `max_age_s` ago.

    In doubt is a place or a change of which nobody knows whether the broker has it. A trigger is for the account alone,
    whatever the scope; too many and too old are occasions of their own, each told once a risk day.
    """

    name: ClassVar[str] = "doubt_monitor"
    title: ClassVar[str] = "Too many orders in doubt, or for too long"
    Params: ClassVar[type[msgspec.Struct]] = DoubtLimits
    default_action: ClassVar[Action] = Action.REDUCE_ONLY
    source: ClassVar[str] = "RTS 6 Art. 17(1)"

    def __init__(self, params: DoubtLimits, scope: Scope) -> None:
        self.most = params.max_orders
        self.max_age = timedelta(seconds=params.max_age_s)
        self.scope = scope

    def watch(self, view: RuleView, state: Any) -> tuple[Trigger, ...]:
        """Triggers with the number of orders, or with the age of the oldest doubtful request in whole seconds."""
        doubtful = self._doubtful(view).items()
        return tuple(trigger for account_id, found in doubtful for trigger in self._of(view, account_id, found))

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """How many orders of each account are in doubt."""
        doubtful = self._doubtful(view)
        for account_id in view.accounts(self.scope):
            orders = Decimal(len(doubtful.get(account_id, ())))
            yield from used(orders, Decimal(self.most), "orders", of_account(self.scope, account_id))

    def _doubtful(self, view: RuleView) -> dict[AccountId, list[Order]]:
        doubtful: dict[AccountId, list[Order]] = {}
        for order in view.doubts(self.scope):
            doubtful.setdefault(order.request.account_id, []).append(order)
        return doubtful

    def _of(self, view: RuleView, account_id: AccountId, orders: list[Order]) -> list[Trigger]:
        scope, day = of_account(self.scope, account_id), view.risk_date(account_id)
        found = []
        if len(orders) > self.most:
            found.append(
                Trigger(
                    message=f"{len(orders)} orders are in doubt, more than {self.most}",
                    observed=Decimal(len(orders)),
                    limit=Decimal(self.most),
                    unit="orders",
                    code="orders_in_doubt",
                    key=f"{account_id}:{day}:orders",
                    scope=scope,
                )
            )
        oldest = min(orders, key=_sent_at)
        age = view.now - _sent_at(oldest)
        if age > self.max_age:
            seconds = age // timedelta(seconds=1)
            found.append(
                Trigger(
                    message=f"an order in {oldest.symbol} is in doubt, sent {seconds} s ago",
                    observed=Decimal(seconds),
                    limit=Decimal(self.max_age // timedelta(seconds=1)),
                    unit="s",
                    code="orders_in_doubt",
                    key=f"{account_id}:{day}:age",
                    scope=scope,
                    order_id=oldest.order_id,
                )
            )
        return found


def _sent_at(order: Order) -> datetime:
    """When the doubtful request went out, as far as is known."""
    change = order.replace
    if change is not None and change.status is RequestStatus.IN_DOUBT and change.sent_at is not None:
        return change.sent_at
    return order.sent_at or order.updated_at
