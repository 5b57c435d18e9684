"""What a scope holds or has open in, a trigger out for each instrument whose venue is open and whose quote is old."""

from datetime import timedelta
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import RuleView, Trigger
from oms_kernel.domain.controls import Action
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId, InstrumentId
from oms_kernel.domain.scope import Scope
from oms_risk_rules.measuring import of_account

MANY = "many"
"""The key of a trigger that stands for a feed, not for an instrument."""


class QuoteAge(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How old a quote may become."""

    max_age_s: Annotated[int, described("Largest age of a quote while the venue is open", "s", ge=1, le=86_400)] = 30
    most_alone: Annotated[
        int,
        described(
            "How many instruments of an account are told one by one; more are told together", "instruments", ge=0
        ),
    ] = 10


class StaleDataMonitor:
    """Finds instruments that are held, or have open orders, and have had no quote for `max_age_s`.

    A venue that has not been open for `max_age_s` without a break is left out, so that the first quotes of a session
    have time to arrive. Each account is looked at by itself. Up to `most_alone` instruments have a trigger each, for
    the instrument in the account; of more there is one, for the account: then it is the feed that is silent.
    An instrument that the platform does not know, or whose calendar it does not know, counts as open day and night.
    """

    name: ClassVar[str] = "stale_data_monitor"
    title: ClassVar[str] = "No fresh quotes of what is held or working"
    Params: ClassVar[type[msgspec.Struct]] = QuoteAge
    default_action: ClassVar[Action] = Action.ALERT
    source: ClassVar[str] = "FIA 2024 market data reasonability; RTS 6 Art. 16"

    def __init__(self, params: QuoteAge, scope: Scope) -> None:
        self.max_age = timedelta(seconds=params.max_age_s)
        self.limit = Decimal(params.max_age_s)
        self.most_alone = params.most_alone
        self.scope = scope

    def watch(self, view: RuleView, state: Any) -> tuple[Trigger, ...]:
        """Triggers with the age of the quote in whole seconds; none where there never was a quote."""
        stale: dict[AccountId, list[InstrumentId]] = {}
        judged: dict[InstrumentId, bool] = {}
        for account_id, instrument_id in view.holdings(self.scope):
            if instrument_id not in judged:
                judged[instrument_id] = self._is_stale(view, instrument_id)
            if judged[instrument_id]:
                stale.setdefault(account_id, []).append(instrument_id)
        return tuple(trigger for account_id, found in stale.items() for trigger in self._told(view, account_id, found))

    def _is_stale(self, view: RuleView, instrument_id: InstrumentId) -> bool:
        quote = view.market.last_known(instrument_id)
        if quote is not None and view.now - quote.received_at <= self.max_age:
            return False
        instrument = view.instrument(instrument_id)
        if instrument is None:
            return True
        try:
            calendar = view.calendar(instrument)
        except InvalidRequest:
            return True
        return calendar.is_open(view.now) and calendar.is_open(view.now - self.max_age)

    def _told(self, view: RuleView, account_id: AccountId, stale: list[InstrumentId]) -> list[Trigger]:
        scope = of_account(self.scope, account_id)
        if len(stale) > self.most_alone:
            return [self._trigger(view, stale, f"{account_id}:{MANY}", scope)]
        return [self._trigger(view, [one], f"{account_id}:{one}", _narrowed(scope, one)) for one in stale]

    def _trigger(self, view: RuleView, stale: list[InstrumentId], key: str, scope: Scope) -> Trigger:
        ages = [age for age in (_age(view, instrument_id) for instrument_id in stale) if age is not None]
        first = view.instrument(stale[0])
        what = first.symbol if first is not None else stale[0]
        if len(stale) > 1:
            what += f" and {len(stale) - 1} more that are held or working"
        since = f"for {max(ages)} s" if ages else "ever"
        return Trigger(
            message=f"there was no quote of {what} {since}; the limit is {self.limit} s",
            observed=max(ages) if ages else None,
            limit=self.limit,
            unit="s",
            code="stale_data",
            key=key,
            scope=scope,
        )


def _narrowed(scope: Scope, instrument_id: InstrumentId) -> Scope:
    return Scope(account_id=scope.account_id, strategy_id=scope.strategy_id, instrument_id=instrument_id)


def _age(view: RuleView, instrument_id: InstrumentId) -> Decimal | None:
    quote = view.market.last_known(instrument_id)
    return None if quote is None else Decimal((view.now - quote.received_at) // timedelta(seconds=1))
