"""An order in, DENY out when whoever asks is not approved for its account."""

from typing import Annotated, Any, ClassVar

import msgspec

from oms_compliance_checks.verdicts import refused
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView
from oms_kernel.domain.decision import Verdict, passed

KINDS = ("user:", "key:", "strategy:", "system:")


class Approved(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One approval: who may trade, and in which accounts."""

    principal: Annotated[str, described("Who: user:<id>, key:<id>, strategy:<id>; user:* for all people")]
    account_ids: Annotated[tuple[str, ...], described("Accounts that may be traded in; empty for all")] = ()

    def __post_init__(self) -> None:
        if not self.principal.startswith(KINDS) or self.principal in KINDS:
            raise ValueError(f"principal begins with one of {', '.join(KINDS)} and goes on with an id or *")


class AccessControlParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Who was approved."""

    approved: Annotated[tuple[Approved, ...], described("Who may trade")]


class AccessControl:
    """Denies orders and modifications of everybody who was not approved for the account.

    It stands beside the roles, scopes, accounts and addresses of people and keys, and is kept by whoever is responsible
    for access to the market. Orders of a liquidation pass: who may start one is decided there.
    """

    name: ClassVar[str] = "access_control"
    title: ClassVar[str] = "Only people, keys and strategies that were approved"
    Params: ClassVar[type[msgspec.Struct]] = AccessControlParams
    rank: ClassVar[int] = 10
    source: ClassVar[str] = "SEC 17 CFR 240.15c3-5(c)(2)(iii)"

    def __init__(self, params: AccessControlParams) -> None:
        self.accounts: dict[str, frozenset[str] | None] = {}
        for one in params.approved:
            known = self.accounts.get(one.principal, frozenset())
            more = frozenset(one.account_ids) if one.account_ids else None
            self.accounts[one.principal] = None if known is None or more is None else known | more
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: Any) -> Verdict:
        """PASS for who is approved by name or by kind; an order of which nobody says whose it is, is denied."""
        request = intent.request
        if request.liquidation_id is not None:
            return self.passed
        principal = intent.principal
        kind = principal.partition(":")[0]
        for name in (principal, f"{kind}:*"):
            if name not in self.accounts:
                continue
            accounts = self.accounts[name]
            if accounts is None or request.account_id in accounts:
                return self.passed
        who = principal or "nobody who is named"
        text = f"{who} is not approved for trading in account {request.account_id}"
        return refused(self.name, self.name, text, "the order of somebody who is approved for the account")
