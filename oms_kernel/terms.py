"""What a limit says beside its rule's parameters: for which orders, from when until when, how severely."""

from datetime import datetime

import msgspec

from oms_kernel.domain.controls import Action, Category
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.order import OrderRequest
from oms_kernel.domain.scope import EVERYTHING, Scope


class Terms(msgspec.Struct, frozen=True, omit_defaults=True):
    """The terms of one row of limits.

    effective_from, effective_until: the moments between which it holds, the second one excluded; None: always.
    action: what a trigger sets off. category: what its breaches are about.
    """

    limit_id: str = ""
    version: int = 0
    scope: Scope = EVERYTHING
    severity: RuleSeverity = RuleSeverity.HARD
    action: Action = Action.ALERT
    category: Category = Category.RISK
    effective_from: datetime | None = None
    effective_until: datetime | None = None

    @property
    def holds_always(self) -> bool:
        """Whether the limit has neither a beginning nor an end."""
        return self.effective_from is None and self.effective_until is None

    def holds(self, now: datetime) -> bool:
        """Whether the limit is in force at this moment."""
        begun = self.effective_from is None or self.effective_from <= now
        return begun and (self.effective_until is None or now < self.effective_until)

    def covers(self, request: OrderRequest, now: datetime) -> bool:
        """Whether the limit is in force for such an order at this moment."""
        return self.scope.covers(request.account_id, request.strategy_id, request.instrument_id) and self.holds(now)
