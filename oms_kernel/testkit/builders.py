"""Plausible values for tests, each field open to change; the same call always gives the same value."""

import uuid
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from oms_kernel.contracts.broker import BrokerAccount, Command
from oms_kernel.domain.account import TradingAccount
from oms_kernel.domain.ids import AccountId, BrokerAccountId, InstrumentId, OrderId
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import OrderRequest, OrderType, Side, TimeInForce

NOON = datetime(2026, 3, 2, 12, 0, tzinfo=UTC)
"""A Monday, 12:00 UTC: the time of every builder that is not told another."""
_NAMES = uuid.UUID("6f0a7c1e-5c2b-4b5e-9b0e-0a5d4c3b2a10")

Number = Decimal | str | int


def a_uuid(name: str) -> str:
    """The UUID text of a name, the same each time."""
    return str(uuid.uuid5(_NAMES, name))


ACCOUNT_ID = AccountId(a_uuid("trading account"))
BROKER_ACCOUNT_ID = BrokerAccountId(a_uuid("broker account"))


def an_instrument(symbol: str = "ACME", **fields: Any) -> Instrument:
    """An equity in USD with a tick of 0.01 and a lot of 1, open day and night."""
    values: dict[str, Any] = {
        "instrument_id": InstrumentId(a_uuid(f"instrument {symbol}")),
        "symbol": symbol,
        "venue": "XSIM",
        "asset_class": AssetClass.EQUITY,
        "currency": "USD",
        "tick_size": Decimal("0.01"),
    }
    return Instrument(**{**values, **fields})


def a_quote(
    instrument: Instrument,
    bid: Number | None = "99.99",
    ask: Number | None = "100.01",
    *,
    size: Number = 1_000,
    bid_size: Number | None = None,
    ask_size: Number | None = None,
    at: datetime = NOON,
    last: Number | None = None,
) -> Quote:
    """A quote of 99.99 to 100.01 with 1,000 on each side; a price of None is an absent side."""
    return Quote(
        instrument_id=instrument.instrument_id,
        bid=_decimal(bid),
        bid_size=None if bid is None else _decimal(size if bid_size is None else bid_size),
        ask=_decimal(ask),
        ask_size=None if ask is None else _decimal(size if ask_size is None else ask_size),
        data_at=at,
        received_at=at,
        last=_decimal(last),
    )


def an_order_request(
    instrument: Instrument, side: Side = Side.BUY, quantity: Number = 100, **fields: Any
) -> OrderRequest:
    """A DAY order: LIMIT when `limit_price` is given, else MARKET; prices may be text."""
    return OrderRequest(
        **{
            "account_id": ACCOUNT_ID,
            "instrument_id": instrument.instrument_id,
            "side": side,
            "quantity": _decimal(quantity),
            "order_type": OrderType.LIMIT if fields.get("limit_price") is not None else OrderType.MARKET,
            **_numbers(fields),
        }
    )


def a_trading_account(account_id: AccountId = ACCOUNT_ID, **fields: Any) -> TradingAccount:
    """An active account in USD."""
    return TradingAccount(**{"account_id": account_id, "base_currency": "USD", **fields})


def a_broker_account(broker_account_id: BrokerAccountId = BROKER_ACCOUNT_ID, **fields: Any) -> BrokerAccount:
    """A paper account in USD."""
    values = {
        "broker_account_id": broker_account_id,
        "account_number": "PAPER-1",
        "account_type": "PAPER",
        "base_currency": "USD",
    }
    return BrokerAccount(**{**values, **fields})


def a_place_command(
    instrument: Instrument, side: Side = Side.BUY, quantity: Number = 100, *, name: str = "order", **fields: Any
) -> Command:
    """A complete PLACE command of a DAY order: LIMIT when `limit_price` is given, else MARKET. `name` makes its id."""
    values: dict[str, Any] = {
        "kind": RequestKind.PLACE,
        "order_id": OrderId(a_uuid(name)),
        "attempt": 0,
        "broker_account_id": BROKER_ACCOUNT_ID,
        "instrument": instrument,
        "side": side,
        "quantity": _decimal(quantity),
        "order_type": OrderType.LIMIT if fields.get("limit_price") is not None else OrderType.MARKET,
        "time_in_force": TimeInForce.DAY,
    }
    return Command(**{**values, **_numbers(fields)})


_NUMBER_FIELDS = frozenset(
    {"quantity", "limit_price", "stop_price", "trail_amount", "trail_percent", "filled_quantity"}
)


def _numbers(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: _decimal(value) if name in _NUMBER_FIELDS else value for name, value in fields.items()}


def _decimal(value: Number | None) -> Decimal | None:
    return None if value is None else Decimal(value)
