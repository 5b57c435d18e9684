"""An order in, DENY out when it does not say which strategy, algorithm, desk or client it comes from."""

from enum import StrEnum
from typing import Annotated, Any, ClassVar

import msgspec

from oms_compliance_checks.verdicts import refused
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import OrderRequest


class Tag(StrEnum):
    """What an order may have to say."""

    STRATEGY_ID = "strategy_id"
    ALGO_VERSION = "algo_version"
    DESK = "desk"
    CLIENT_REF = "client_ref"


class TaggedOrders(StrEnum):
    """Whose orders have to say it."""

    STRATEGIES = "STRATEGIES"
    ALL = "ALL"


class AlgoTagParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What has to be said."""

    required: Annotated[tuple[Tag, ...], described("Fields that an order has to have")] = (
        Tag.STRATEGY_ID,
        Tag.ALGO_VERSION,
    )
    applies_to: Annotated[TaggedOrders, described("Orders of strategies only, or all")] = TaggedOrders.STRATEGIES

    def __post_init__(self) -> None:
        if not self.required:
            raise ValueError("required names at least one field")


class AlgoTag:
    """Denies orders that lack one of the `required` fields, and modifications that add to such an order.

    An order is a strategy's when its principal is `strategy:<id>` or when it names a strategy. The fields stand in the
    order's event, so that each order of a kill and each order of a report has its algorithm, desk and client.
    """

    name: ClassVar[str] = "algo_tag"
    title: ClassVar[str] = "Every order says which algorithm, desk and client it comes from"
    Params: ClassVar[type[msgspec.Struct]] = AlgoTagParams
    rank: ClassVar[int] = 10
    source: ClassVar[str] = "RTS 6 (Regulation (EU) 2017/589) Article 12(3)"

    def __init__(self, params: AlgoTagParams) -> None:
        self.required = tuple(tag.value for tag in dict.fromkeys(params.required))
        self.for_all = params.applies_to is TaggedOrders.ALL
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS when every required field is there and not empty."""
        request = intent.request
        if request.liquidation_id is not None or not (self.for_all or _is_strategys(intent.principal, request)):
            return self.passed
        missing = [name for name in self.required if not getattr(request, name)]
        if not missing or (intent.replaces is not None and intent.added_quantity == ZERO):
            return self.passed
        names = ", ".join(missing)
        return refused(self.name, "missing_tag", f"the order does not say its {names}", would_pass=f"it with {names}")


def _is_strategys(principal: str, request: OrderRequest) -> bool:
    return principal.startswith("strategy:") or request.strategy_id is not None or request.strategy_run_id is not None
