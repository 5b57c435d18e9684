"""Executions: one booked trade report, self-contained, and its corrections."""

from datetime import datetime
from decimal import Decimal

import msgspec

from oms_kernel.domain.ids import AccountId, BrokerAccountId, ExecId, InstrumentId, OrderId
from oms_kernel.domain.money import ZERO, notional, subtract
from oms_kernel.domain.order import Side


class Fill(msgspec.Struct, frozen=True, omit_defaults=True):
    """One execution as booked. `fee` is in `currency`, positive when paid; `fill_seq` is its place in the log."""

    exec_id: ExecId
    order_id: OrderId | None
    account_id: AccountId
    broker_account_id: BrokerAccountId
    instrument_id: InstrumentId
    book: str
    side: Side
    quantity: Decimal
    price: Decimal
    currency: str
    multiplier: Decimal
    executed_at: datetime
    trading_date: str
    risk_date: str
    fee: Decimal = ZERO
    fee_known: bool = True
    """False until the broker has told the fee; `fee` is 0 until then."""
    liquidity: str = ""
    """MAKER, TAKER or empty when the broker does not say."""
    busted: bool = False

    @property
    def value(self) -> Decimal:
        """quantity x price x multiplier, unsigned, in `currency`."""
        return notional(self.quantity, self.price, self.multiplier)

    @property
    def signed_quantity(self) -> Decimal:
        """Positive for BUY, negative for SELL."""
        return self.quantity if self.side is Side.BUY else self.quantity.copy_negate()

    @property
    def cash_change(self) -> Decimal:
        """What the fill does to cash in `currency`: value received or paid, less the fee."""
        value = self.value
        return subtract(value if self.side is Side.SELL else value.copy_negate(), self.fee)
