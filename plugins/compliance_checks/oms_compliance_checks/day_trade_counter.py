"""An order that opens in, DENY out when a small account has used up its day trades of the last business days."""

from datetime import date, timedelta
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec

from oms_compliance_checks.verdicts import ONLY_REDUCING, only_reduces, refused
from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import OrderIntent, RuleView, Trigger
from oms_kernel.domain.calendar import Calendar
from oms_kernel.domain.decision import Verdict, denied, passed
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.events import Event, OrderFilled, Recorded
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.money import ZERO, add, subtract
from oms_kernel.recent import Recent

FOREVER = timedelta(days=36_500)
KEPT_DAYS = 30
UNIT = "day trades"


class DayTradeRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The rules from one date on."""

    effective_from: Annotated[date, described("First trading date on which they hold")]
    max_day_trades: Annotated[int, described("Most day trades of a small account; -1 for any number", UNIT, ge=-1)] = 3
    business_days: Annotated[int, described("Within so many business days, today included", "days", ge=1, le=20)] = 5
    equity_threshold: Annotated[
        Decimal, described("Equity in the account's base currency from which on they do not hold", "amount", ge=0)
    ] = Decimal(25_000)


class DayTradeParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Which rules held when: regulators change them, and an account is judged by those of the day."""

    rules: Annotated[tuple[DayTradeRules, ...], described("The rules, each from its date on")]

    def __post_init__(self) -> None:
        if not self.rules:
            raise ValueError("rules has at least one entry")


class Holding(msgspec.Struct, frozen=True):
    """One instrument of an account: what is held, how much of it was opened on `day`, and whether it closes now."""

    day: str
    held: Decimal = ZERO
    opened: Decimal = ZERO
    is_closing: bool = False


Counts = tuple[tuple[str, int], ...]
"""Trading date, day trades; oldest first."""
State = Recent[tuple[str, ...], "Holding | Counts"]
"""(account, instrument) -> Holding, and (account,) -> Counts."""


class DayTradeCounter:
    """Denies orders that may open a position when the account has used up its day trades and its equity is small.

    A day trade opens and closes a position in an instrument on one trading date; one that is closed in parts counts
    once until more is opened. Counted are the business days of the instrument's calendar. What only reduces a position
    passes: nobody is kept in a position. Unknown equity denies: `no_equity`.
    """

    name: ClassVar[str] = "day_trade_counter"
    title: ClassVar[str] = "Most day trades of a small account"
    Params: ClassVar[type[msgspec.Struct]] = DayTradeParams
    rank: ClassVar[int] = 80
    source: ClassVar[str] = "FINRA Rule 4210 on pattern day traders; check the numbers that are in force"
    observes: ClassVar[frozenset[type[Event]]] = frozenset({OrderFilled})

    def __init__(self, params: DayTradeParams) -> None:
        self.rules = tuple(sorted(params.rules, key=lambda rules: rules.effective_from, reverse=True))
        self.passed = passed(self.name)

    def assess(self, intent: OrderIntent, view: RuleView, state: State) -> Verdict:
        """PASS while the day trades so far are below the most that are allowed."""
        account_id = intent.request.account_id
        counts = _counts(state, account_id)
        if not counts:
            return self.passed
        try:
            calendar = view.calendar(intent.instrument)
        except InvalidRequest:
            return refused(self.name, "no_calendar", f"the calendar of {intent.instrument.symbol} is unknown")
        today = calendar.trading_date(view.now)
        rules = next((rules for rules in self.rules if rules.effective_from <= today), None)
        if rules is None or rules.max_day_trades < 0:
            return self.passed
        first = first_business_day(calendar, today, rules.business_days).isoformat()
        done = Decimal(sum(count for day, count in counts if day >= first))
        limit = Decimal(rules.max_day_trades)
        if done < limit or only_reduces(intent, view):
            return passed(self.name, observed=done, limit=limit, unit=UNIT)
        equity = view.equity(account_id)
        if equity is None:
            return refused(self.name, "no_equity", "the account's equity is not known", ONLY_REDUCING)
        inputs = {"equity": equity, "equity_threshold": rules.equity_threshold}
        if equity >= rules.equity_threshold:
            return passed(self.name, observed=done, limit=limit, unit=UNIT, inputs=inputs)
        text = f"{done} day trades in {rules.business_days} business days, and too little equity for another"
        return denied(
            self.name,
            self.name,
            text,
            observed=done,
            limit=limit,
            unit=UNIT,
            inputs=inputs,
            would_pass=ONLY_REDUCING,
        )

    def initial_state(self) -> State:
        """No day trade yet."""
        return Recent(FOREVER)

    def fold(self, state: State, event: Recorded) -> tuple[State, tuple[Trigger, ...]]:
        """The day trades after the event."""
        told = event.event
        if not isinstance(told, OrderFilled):
            return state, ()
        fill = told.fill
        key = (fill.account_id, fill.instrument_id)
        found = state.get(key)
        before = found[1] if found is not None and isinstance(found[1], Holding) else Holding(fill.trading_date)
        after, is_day_trade = traded(before, fill)
        state = state.put(key, event.recorded_at, after)
        if not is_day_trade:
            return state, ()
        counts = _counted(_counts(state, fill.account_id), fill.trading_date)
        return state.put((fill.account_id,), event.recorded_at, counts), ()


def traded(before: Holding, fill: Fill) -> tuple[Holding, bool]:
    """The holding after a fill, and whether the fill made a day trade."""
    opened = before.opened if before.day == fill.trading_date else ZERO
    was_closing = before.is_closing and before.day == fill.trading_date
    change = fill.signed_quantity
    held = add(before.held, change)
    if not before.held or (before.held > 0) == (change > 0):
        return Holding(fill.trading_date, held, add(opened, fill.quantity), False), False
    closed = min(before.held.copy_abs(), fill.quantity)
    beyond = subtract(fill.quantity, closed)
    left = max(ZERO, subtract(opened, closed))
    return Holding(fill.trading_date, held, beyond or left, not beyond), bool(opened) and not was_closing


def first_business_day(calendar: Calendar, today: date, days: int) -> date:
    """The first of the last `days` business days, today included when it is one."""
    day, left = today, days - calendar.is_session(today)
    while left > 0 and (today - day).days < 60:
        day -= timedelta(days=1)
        left -= calendar.is_session(day)
    return day


def _counts(state: State, account_id: str) -> Counts:
    found = state.get((account_id,))
    return found[1] if found is not None and isinstance(found[1], tuple) else ()


def _counted(counts: Counts, day: str) -> Counts:
    """The counts with one more day trade on `day`; a fill may tell of a day before the last one."""
    by_day = dict(counts)
    by_day[day] = by_day.get(day, 0) + 1
    return tuple(sorted(by_day.items()))[-KEPT_DAYS:]
