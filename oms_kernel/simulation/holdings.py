"""Executions in, positions and cash of each broker account out: what a broker shows in its own snapshot."""

from collections.abc import Iterable
from decimal import Decimal

from oms_kernel.contracts.broker import CashSnapshot, Filled, PositionSnapshot
from oms_kernel.domain.ids import BrokerAccountId, InstrumentId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.money import ZERO, add, notional, subtract
from oms_kernel.domain.order import Side


class Holdings:
    """Positions and cash as a running sum of executions. Cash is kept by currency and may go below zero."""

    def __init__(self) -> None:
        self.positions: dict[tuple[BrokerAccountId, InstrumentId], Decimal] = {}
        self.cash: dict[tuple[BrokerAccountId, str], Decimal] = {}

    def deposit(self, account: BrokerAccountId, currency: str, amount: Decimal) -> None:
        """Add cash; the first deposit of a currency opens its balance."""
        self.cash[account, currency] = add(self.cash.get((account, currency), ZERO), amount)

    def apply(self, fill: Filled, instrument: Instrument) -> None:
        """Count one execution: the position moves by its quantity, cash by its value and fee."""
        position = (fill.broker_account_id, fill.instrument_id)
        money = (fill.broker_account_id, instrument.currency)
        value = notional(fill.quantity, fill.price, instrument.multiplier)
        held, cash = self.positions.get(position, ZERO), self.cash.get(money, ZERO)
        if fill.side is Side.BUY:
            self.positions[position] = add(held, fill.quantity)
            cash = subtract(cash, value)
        else:
            self.positions[position] = subtract(held, fill.quantity)
            cash = add(cash, value)
        self.cash[money] = subtract(cash, fill.fee) if fill.fee else cash

    def position_snapshots(self, accounts: Iterable[BrokerAccountId]) -> tuple[PositionSnapshot, ...]:
        """Every holding that is not flat."""
        wanted = set(accounts)
        return tuple(
            PositionSnapshot(broker_account_id=account, instrument_id=instrument, quantity=quantity)
            for (account, instrument), quantity in self.positions.items()
            if account in wanted and quantity
        )

    def cash_snapshots(self, accounts: Iterable[BrokerAccountId]) -> tuple[CashSnapshot, ...]:
        """Every cash balance that was ever opened."""
        wanted = set(accounts)
        return tuple(
            CashSnapshot(broker_account_id=account, currency=currency, amount=amount)
            for (account, currency), amount in self.cash.items()
            if account in wanted
        )
