"""An order in, DENY out when the way to its broker is down, or too many orders there are in doubt."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Usage
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_risk_rules.verdicts import exceeded


class LinkLimit(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In which state of the link orders are let in."""

    max_in_doubt: Annotated[
        int, described("Most orders in doubt at the account's broker with which new ones are let in", "orders", ge=0)
    ] = 0
    queued_may_wait: Annotated[
        bool, described("Let an order with queue_until in while the session is not ready: it waits for it")
    ] = True


class BrokerLinkGuard:
    """Denies orders and modifications while the account's broker session is not ready, or its state is in doubt.

    Codes: `no_link` for an account that is routed nowhere, `link_down` while the session is not ready (down, logging in
    or reconciling), else the rule's name when more than `max_in_doubt` orders are in doubt. What only reduces a
    position passes the doubts, since waiting may cost more than a fill too many; nothing passes a link that is down but
    orders that wait for it anyway, those with `queue_until`, and a liquidation's.
    """

    name: ClassVar[str] = "broker_link_guard"
    title: ClassVar[str] = "No order over a broken or doubtful link"
    source: ClassVar[str] = "RTS 6 Art. 17"
    rank: ClassVar[int] = 20
    takes_scope: ClassVar[bool] = True
    Params: ClassVar[type[msgspec.Struct]] = LinkLimit

    def __init__(self, params: LinkLimit, scope: Scope = EVERYTHING) -> None:
        self.scope = scope
        self.limit = Decimal(params.max_in_doubt)
        self.queued_may_wait = params.queued_may_wait
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS while the link is ready, up to and at the limit of doubts."""
        request = intent.request
        if request.liquidation_id is not None:
            return self.passed
        link = view.link(request.account_id)
        if link is None:
            return denied(self.name, "no_link", "the account is routed to no broker")
        if not link.is_ready and not (self.queued_may_wait and request.queue_until is not None):
            why = f": {link.detail}" if link.detail else ""
            hint = "the same order with queue_until" if self.queued_may_wait else ""
            return denied(self.name, "link_down", f"the broker's session is not ready{why}", would_pass=hint)
        observed = Decimal(link.in_doubt)
        if observed <= self.limit or view.reduces(request, intent.open_quantity):
            return passed(self.name, observed=observed, limit=self.limit, unit="orders")
        hint = "an order that reduces a position"
        text = "the number of orders in doubt at the broker of"
        return exceeded(self.name, self.name, text, observed, self.limit, "orders", would_pass=hint)

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """The orders in doubt at each account's broker."""
        for account_id in view.accounts(self.scope):
            link = view.link(account_id)
            if link is not None:
                yield Usage(used=Decimal(link.in_doubt), limit=self.limit, unit="orders", account_id=account_id)
