"""What surrounds an order in a scene: facts, rates, links, cash, equity, switches and breaches, one method for each.

Whatever the ledger remembers is set up by real events; what comes from outside (facts, links, quotes) is given to the
view as the host does it.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any, Self

import msgspec

from oms_kernel.batch import LedgerState
from oms_kernel.contracts.rules import InstrumentFacts, Link
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingAccount, TradingState
from oms_kernel.domain.calendar import Calendar, risk_date
from oms_kernel.domain.controls import Action, Category, Cause
from oms_kernel.domain.ids import AccountId, EventId, InstrumentId
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.testkit.builders import (
    ACCOUNT_ID,
    NOON,
    Number,
    a_quote,
    a_trading_account,
    a_uuid,
    an_instrument,
)

FINEST_RATE = Decimal("0.000001")


class Circumstances:
    """A ledger at NOON with one account in USD and one instrument, quoted 99.99 to 100.01. Time moves by `wait`."""

    def __init__(self, instrument: Instrument | None = None, *, account: TradingAccount | None = None) -> None:
        self.now: datetime = NOON
        self.instrument = instrument or an_instrument()
        self.instruments: dict[InstrumentId, Instrument] = {}
        self.calendars: dict[str, Calendar] = {}
        self.quotes: dict[InstrumentId, Quote] = {}
        self.known_facts: dict[InstrumentId, InstrumentFacts] = {}
        self.links: dict[AccountId, Link] = {}
        self.clock_offset: timedelta | None = timedelta(0)
        self.state = LedgerState()
        self.events: list[ev.Recorded] = []
        self.add(self.instrument)
        self.open(account or a_trading_account())
        self.quote()

    def record(self, *events: ev.Event) -> None:
        """Append events to the ledger's log at the scene's time."""
        for event in events:
            seq = self.state.book.seq + 1
            recorded = ev.Recorded(seq=seq, event_id=EventId(a_uuid(f"event {seq}")), recorded_at=self.now, event=event)
            self.state.fold([recorded])
            self.events.append(recorded)

    def wait(self, **time: float) -> Self:
        """Let time pass: `scene.wait(seconds=3)`. Quotes grow older."""
        self.now += timedelta(**time)
        return self

    def add(self, instrument: Instrument) -> Instrument:
        """Make an instrument known."""
        self.instruments[instrument.instrument_id] = instrument
        return instrument

    def open(self, account: TradingAccount) -> AccountId:
        """Open a trading account."""
        self.record(
            ev.AccountOpened(
                account_id=account.account_id,
                base_currency=account.base_currency,
                time_zone=account.time_zone,
                day_roll=account.day_roll,
            )
        )
        return account.account_id

    def quote(
        self, bid: Number | None = "99.99", ask: Number | None = "100.01", instrument: Instrument | None = None
    ) -> None:
        """Quote an instrument now."""
        quoted = instrument or self.instrument
        self.quotes[quoted.instrument_id] = a_quote(quoted, bid, ask, at=self.now)

    def lose_quotes(self) -> None:
        """No instrument has a quote any more."""
        self.quotes.clear()

    def another_account(self, name: str = "second account", **fields: Any) -> AccountId:
        """Open one more trading account, in USD unless `base_currency` says otherwise; its id is made from the name."""
        return self.open(a_trading_account(AccountId(a_uuid(name)), **fields))

    def another_instrument(
        self, symbol: str, bid: Number | None = "99.99", ask: Number | None = "100.01", **fields: Any
    ) -> Instrument:
        """Make one more instrument known, and quote it."""
        added = self.add(an_instrument(symbol, **fields))
        self.quotes[added.instrument_id] = a_quote(added, bid, ask, at=self.now)
        return added

    def rate(self, currency: str, into: str, price: Number) -> Instrument:
        """Quote what one unit of a currency costs in another, by a FOREX instrument such as EURUSD."""
        pair = an_instrument(
            f"{currency}{into}", asset_class=AssetClass.FOREX, currency=into, tick_size=FINEST_RATE, venue="XSIM"
        )
        self.add(pair)
        self.quotes[pair.instrument_id] = a_quote(pair, price, price, at=self.now)
        return pair

    def facts(self, instrument: Instrument | None = None, **fields: Any) -> InstrumentFacts:
        """Say what is known of an instrument today; facts said before stay. Numbers may be text."""
        instrument_id = (instrument or self.instrument).instrument_id
        before = self.known_facts.get(instrument_id) or InstrumentFacts(instrument_id=instrument_id, as_of=self.now)
        values = {name: Decimal(value) if name in _NUMBERS else value for name, value in fields.items()}
        told = msgspec.structs.replace(before, **{"as_of": self.now, **values})
        self.known_facts[instrument_id] = told
        return told

    def link(
        self, *, is_ready: bool = True, in_doubt: int = 0, detail: str = "", account_id: AccountId = ACCOUNT_ID
    ) -> Link:
        """Say how the way to an account's broker is."""
        told = Link(is_ready=is_ready, in_doubt=in_doubt, detail=detail)
        self.links[account_id] = told
        return told

    def pay(self, amount: Number, currency: str = "USD", account_id: AccountId = ACCOUNT_ID) -> None:
        """Move cash into the account without a trade, or out of it when it is negative."""
        self.record(
            ev.CashChanged(account_id=account_id, currency=currency, amount=Decimal(amount), reason_code="deposit")
        )

    def mark_equity(
        self,
        day_start: Number,
        high_water: Number | None = None,
        *,
        equity: Number | None = None,
        account_id: AccountId = ACCOUNT_ID,
    ) -> None:
        """Mark what the account was worth when this risk day began, and the most that it ever was."""
        account = self.state.book.accounts[account_id]
        self.record(
            ev.EquityMarked(
                account_id=account_id,
                risk_date=risk_date(self.now, account.time_zone, account.day_roll).isoformat(),
                day_start=Decimal(day_start),
                high_water=Decimal(day_start if high_water is None else high_water),
                equity=Decimal(day_start if equity is None else equity),
            )
        )

    def halt(self, trading_state: TradingState = TradingState.HALTED, scope: Scope = EVERYTHING) -> EventId:
        """Throw a kill switch for a scope; its id, for `release`."""
        self.record(
            ev.KillSwitchActivated(
                account_id=scope.account_id,
                scope=scope,
                trading_state=trading_state,
                cause=Cause.PERSON,
                reason_code="scene",
                principal="user:risk",
            )
        )
        return self.events[-1].event_id

    def release(self, switch_id: EventId) -> None:
        """Release a kill switch."""
        self.record(ev.KillSwitchReleased(switch_id=switch_id, principal="user:risk"))

    def breach(
        self,
        limit_id: str = "limit-1",
        key: str = "",
        *,
        rule: str = "scene",
        scope: Scope = EVERYTHING,
        action: Action = Action.ALERT,
        category: Category = Category.RISK,
    ) -> EventId:
        """Record the breach of a limit; its id, for `close_breach`."""
        self.record(
            ev.LimitBreached(
                account_id=scope.account_id,
                limit_id=limit_id,
                rule=rule,
                key=key,
                scope=scope,
                action=action,
                category=category,
                message=f"{rule} was breached",
            )
        )
        return self.events[-1].event_id

    def close_breach(self, breach_id: EventId, finding: str = "settled") -> None:
        """Let a person close a breach."""
        self.record(ev.BreachClosed(breach_id=breach_id, principal="user:risk", finding=finding))


_NUMBERS = frozenset({"average_daily_volume", "limit_up", "limit_down"})
