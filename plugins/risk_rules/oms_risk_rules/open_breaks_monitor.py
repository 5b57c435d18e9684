"""Open differences to the brokers in, a trigger out for each account where they are too old, too bad or too many."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import RuleView, Trigger, Usage
from oms_kernel.domain.breaks import Break, Severity
from oms_kernel.domain.controls import Action
from oms_kernel.domain.scope import Scope
from oms_risk_rules.measuring import of_account
from oms_risk_rules.used import used

LOUDNESS = {severity: number for number, severity in enumerate(Severity)}


class BreakLimits(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which open breaks an account may have, and how many."""

    max_age_s: Annotated[int, described("How long a break may stay open before it counts", "s", ge=0, le=604_800)] = 60
    min_severity: Annotated[Severity, described("The least severity that counts once it is that old")] = (
        Severity.WARNING
    )
    at_once: Annotated[Severity, described("The severity from which a break counts at once")] | None = Severity.CRITICAL
    max_breaks: Annotated[int, described("Most breaks that count and are borne with", "breaks", ge=0)] = 0
    count_acknowledged: Annotated[bool, described("Whether a break counts that a person has acknowledged")] = True


class OpenBreaksMonitor:
    """Finds accounts with more than `max_breaks` open differences to their broker that count.

    A break counts when it has at least `min_severity` and has been open for longer than `max_age_s`, or has at least
    the severity `at_once`, however new it is. Reconciliation itself raises an alert for every break, so that the
    action here is REDUCE_ONLY unless the limit says otherwise. One trigger for each account and risk day. A break that
    belongs to no trading account (UNKNOWN_ACCOUNT) stops none.
    """

    name: ClassVar[str] = "open_breaks_monitor"
    title: ClassVar[str] = "Differences to the broker that stay open"
    Params: ClassVar[type[msgspec.Struct]] = BreakLimits
    default_action: ClassVar[Action] = Action.REDUCE_ONLY
    source: ClassVar[str] = "RTS 6 Art. 17(3); FIA 2024 drop-copy reconciliation"

    def __init__(self, params: BreakLimits, scope: Scope) -> None:
        self.params = params
        self.max_age = timedelta(seconds=params.max_age_s)
        self.scope = scope

    def watch(self, view: RuleView, state: Any) -> tuple[Trigger, ...]:
        """A trigger for each account with too many; observed is how many count."""
        found = []
        for account_id in view.accounts(self.scope):
            counted = [one for one in view.open_breaks(account_id) if self._counts(view, one)]
            if len(counted) > self.params.max_breaks:
                worst = max(counted, key=lambda one: LOUDNESS[one.severity])
                key = f"{account_id}:{view.risk_date(account_id)}"
                found.append(self._trigger(len(counted), worst, key, of_account(self.scope, account_id)))
        return tuple(found)

    def usage(self, view: RuleView, state: Any) -> Iterator[Usage]:
        """How many breaks of each account count."""
        for account_id in view.accounts(self.scope):
            counted = sum(self._counts(view, one) for one in view.open_breaks(account_id))
            limit, part = Decimal(self.params.max_breaks), of_account(self.scope, account_id)
            yield from used(Decimal(counted), limit, "breaks", part)

    def _counts(self, view: RuleView, one: Break) -> bool:
        params = self.params
        if self.scope.instrument_id not in (None, one.difference.instrument_id):
            return False
        if one.acknowledged_at is not None and not params.count_acknowledged:
            return False
        loudness = LOUDNESS[one.severity]
        if params.at_once is not None and loudness >= LOUDNESS[params.at_once]:
            return True
        return loudness >= LOUDNESS[params.min_severity] and view.now - one.found_at > self.max_age

    def _trigger(self, counted: int, worst: Break, key: str, scope: Scope) -> Trigger:
        difference = worst.difference
        what = f"{difference.break_type} of {difference.symbol or difference.currency or difference.subject}"
        return Trigger(
            message=f"{counted} open differences to the broker, more than {self.params.max_breaks}; the worst: {what}, "
            f"{worst.severity}, ours {difference.ours}, theirs {difference.theirs}"[:LONGEST],
            observed=Decimal(counted),
            limit=Decimal(self.params.max_breaks),
            unit="breaks",
            code="open_breaks",
            key=key,
            scope=scope,
        )


LONGEST = 400
