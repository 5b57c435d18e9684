"""Names that people give to accounts, strategies and instruments in, ids out, and back; ids are taken as they are."""

import uuid
from collections.abc import Iterable

from sqlalchemy import select

from oms_app.store.rows import scope_of
from oms_app.store.tables import INSTRUMENTS, STRATEGIES, TRADING_ACCOUNTS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId, InstrumentId, StrategyId
from oms_kernel.domain.scope import Scope

WORDS = ("account", "strategy", "instrument")
"""What a file calls the parts of a scope."""


class Names:
    """The names of one tenant, or of the firm, which has instruments only."""

    def __init__(self, unit: RowsUnit) -> None:
        self._unit = unit
        self._accounts: dict[str, str] = {}
        self._strategies: dict[str, tuple[str, str]] = {}
        if unit.tenant_id is not None:
            tenant_id = scope_of(unit)
            accounts = select(TRADING_ACCOUNTS.c.account_id, TRADING_ACCOUNTS.c.name).where(
                TRADING_ACCOUNTS.c.tenant_id == tenant_id, TRADING_ACCOUNTS.c.closed_at.is_(None)
            )
            self._accounts = {row.account_id: row.name for row in unit.connection.execute(accounts)}
            strategies = select(STRATEGIES.c.strategy_id, STRATEGIES.c.name, STRATEGIES.c.account_id).where(
                STRATEGIES.c.tenant_id == tenant_id, STRATEGIES.c.closed_at.is_(None)
            )
            found = unit.connection.execute(strategies)
            self._strategies = {row.strategy_id: (row.name, row.account_id) for row in found}

    def scope(self, words: dict[str, str]) -> Scope:
        """The scope that these words name. Raises InvalidRequest whose field is the word at fault."""
        account_id = self._account(words["account"]) if "account" in words else None
        strategy_id = self._strategy(words["strategy"], account_id) if "strategy" in words else None
        instrument_id = self._instrument(words["instrument"]) if "instrument" in words else None
        return Scope(account_id, strategy_id, instrument_id, is_firm=self._unit.tenant_id is None)

    def words(self, scope: Scope) -> dict[str, str]:
        """The words for a scope: a name where it is the only one, else the id."""
        told: dict[str, str] = {}
        if scope.account_id is not None:
            told["account"] = _only(scope.account_id, self._accounts.items())
        if scope.strategy_id is not None:
            there = ((key, name) for key, (name, account_id) in self._strategies.items() if _is_at(scope, account_id))
            told["strategy"] = _only(scope.strategy_id, there)
        if scope.instrument_id is not None:
            row = self._unit.connection.execute(
                select(INSTRUMENTS.c.symbol, INSTRUMENTS.c.venue).where(
                    INSTRUMENTS.c.instrument_id == scope.instrument_id
                )
            ).one_or_none()
            named = f"{row.venue}:{row.symbol}" if row is not None and row.venue else ""
            is_only = bool(named) and len(self._instruments(named)) == 1
            told["instrument"] = named if is_only else scope.instrument_id
        return told

    def _account(self, text: str) -> AccountId:
        found = [key for key, name in self._accounts.items() if text in (key, name)]
        return AccountId(_one("account", text, found, "GET /api/v1/accounts lists them"))

    def _strategy(self, text: str, account_id: AccountId | None) -> StrategyId:
        scope = Scope(account_id)
        found = [key for key, (name, at) in self._strategies.items() if text in (key, name) and _is_at(scope, at)]
        return StrategyId(_one("strategy", text, found, "GET /api/v1/strategies lists them"))

    def _instrument(self, text: str) -> InstrumentId:
        return InstrumentId(_one("instrument", text, self._instruments(text), "write VENUE:SYMBOL, or the id"))

    def _instruments(self, text: str) -> list[str]:
        venue, _, symbol = text.rpartition(":")
        columns = INSTRUMENTS.c
        query = select(columns.instrument_id).where(columns.symbol == symbol)
        if venue:
            query = query.where(columns.venue == venue)
        found = [row.instrument_id for row in self._unit.connection.execute(query)]
        if found or not _is_id(text):
            return found
        by_id = select(columns.instrument_id).where(columns.instrument_id == text)
        return [row.instrument_id for row in self._unit.connection.execute(by_id)]


def _is_id(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text
    except ValueError:
        return False


def _is_at(scope: Scope, account_id: str) -> bool:
    return scope.account_id in (None, account_id)


def _only(wanted: str, named: Iterable[tuple[str, str]]) -> str:
    """The name of the id, when it has one and nothing else bears it; else the id."""
    names = dict(named)
    name = names.get(wanted, "")
    return name if name and list(names.values()).count(name) == 1 else wanted


def _one(field: str, text: str, found: list[str], how: str) -> str:
    if len(found) == 1:
        return found[0]
    detail = f"there is no {field} {text!r}" if not found else f"{text!r} names {len(found)} of them"
    raise InvalidRequest(f"{detail}: {how}", field=field)
