"""Where a limit or a halt holds: ids in, the level and whether an order lies under it out."""

from enum import StrEnum

import msgspec

from oms_kernel.domain.ids import AccountId, InstrumentId, StrategyId


class ScopeLevel(StrEnum):
    """How wide a scope is, the widest first. FIRM is the whole installation: every tenant."""

    FIRM = "FIRM"
    TENANT = "TENANT"
    ACCOUNT = "ACCOUNT"
    STRATEGY = "STRATEGY"
    INSTRUMENT = "INSTRUMENT"


class Scope(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every order that has all the ids that are given; none given: the whole tenant, or the firm.

    Of several limits that cover an order each is asked, so that the tightest wins whatever its level.
    """

    account_id: AccountId | None = None
    strategy_id: StrategyId | None = None
    instrument_id: InstrumentId | None = None
    is_firm: bool = False

    @property
    def level(self) -> ScopeLevel:
        """The narrowest thing that the scope names."""
        if self.instrument_id is not None:
            return ScopeLevel.INSTRUMENT
        if self.strategy_id is not None:
            return ScopeLevel.STRATEGY
        if self.account_id is not None:
            return ScopeLevel.ACCOUNT
        return ScopeLevel.FIRM if self.is_firm else ScopeLevel.TENANT

    def covers(self, account_id: AccountId | None, strategy_id: StrategyId | None, instrument_id: InstrumentId) -> bool:
        """Whether an order of these ids lies under the scope."""
        return (
            (self.account_id is None or self.account_id == account_id)
            and (self.strategy_id is None or self.strategy_id == strategy_id)
            and (self.instrument_id is None or self.instrument_id == instrument_id)
        )

    def __str__(self) -> str:
        """The scope for people: `tenant`, or the ids that it names."""
        named = {"account": self.account_id, "strategy": self.strategy_id, "instrument": self.instrument_id}
        told = ", ".join(f"{name} {value}" for name, value in named.items() if value is not None)
        return told or self.level.value.lower()


EVERYTHING = Scope()
"""The whole tenant."""
