"""Trading accounts: base currency, days and the trading state that gates everything which adds exposure."""

from datetime import time
from enum import StrEnum

import msgspec

from oms_kernel.domain.ids import AccountId


class TradingState(StrEnum):
    """What an account lets in; cancels always pass.

    REDUCE_ONLY lets in what reduces a position, CANCEL_ONLY nothing, HALTED nothing, ends unsent orders,
    stops strategies and is latched until a person releases it.
    """

    ACTIVE = "ACTIVE"
    REDUCE_ONLY = "REDUCE_ONLY"
    CANCEL_ONLY = "CANCEL_ONLY"
    HALTED = "HALTED"


class TradingAccount(msgspec.Struct, frozen=True, omit_defaults=True):
    """A trading account as the book knows it."""

    account_id: AccountId
    base_currency: str
    time_zone: str = "UTC"
    day_roll: time = time(0)
    trading_state: TradingState = TradingState.ACTIVE
    state_reason: str = ""


STRICTNESS: dict[TradingState, int] = {state: number for number, state in enumerate(TradingState)}
"""Trading states, each letting in less than those before it."""


def strictest(one: TradingState, other: TradingState) -> TradingState:
    """The state of the two that lets in less."""
    return one if STRICTNESS[one] >= STRICTNESS[other] else other
