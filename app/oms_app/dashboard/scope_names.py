"""Ids of scopes in, what people call them out: `Paper · ACME` instead of two ids; and a form's choice of a scope."""

from collections.abc import Iterable
from typing import Any

import msgspec
from sqlalchemy import select

from oms_app.dashboard.forms import Form
from oms_app.flow.principal import Principal
from oms_app.store import queries
from oms_app.store import tables as t
from oms_app.store.queries import InstrumentFilter, Paging
from oms_app.store.rows import scope_of
from oms_app.store.sql_store import SqlStore
from oms_app.store.strategies import list_strategies
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId, InstrumentId, StrategyId
from oms_kernel.domain.scope import Scope

HALT = "HALT"
"""What may be typed in place of a name, to arm what cannot be taken back."""
TENANT, FIRM = "tenant", "firm"
MOST_CHOICES = 500
FIELDS = ("reach", "symbol")
"""Of a form that chooses a scope: what it reaches, and optionally one instrument of that."""


class Names(msgspec.Struct, frozen=True):
    """What to call the things that a scope can name."""

    tenant: str
    accounts: dict[str, str]
    strategies: dict[str, str]
    symbols: dict[str, str]
    owners: dict[str, str] = {}
    """Strategy -> its account."""

    def words(self, of: Any) -> str:
        """The scope of anything that has the ids of one, in words."""
        account_id, strategy_id, instrument_id = (
            _of(of, f"{name}_id") for name in ("account", "strategy", "instrument")
        )
        is_firm = bool(_of(of, "is_firm")) or _of(of, "level") == "FIRM" or bool(_of(of, "firm_switch_id"))
        parts = [
            self.accounts.get(account_id, "an account") if account_id else "",
            self.strategies.get(strategy_id, "a strategy") if strategy_id else "",
            self.symbols.get(instrument_id, "an instrument") if instrument_id else "",
        ]
        if not account_id and not strategy_id:
            parts.insert(0, "The whole firm" if is_firm else "" if instrument_id else self.tenant)
        return " · ".join(part for part in parts if part)


class ScopeNames:
    """Reads what scopes are called. Thread-safe, because it keeps nothing."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store

    def of(self, principal: Principal, scopes: Iterable[Any] = ()) -> Names:
        """Names of the accounts and strategies that the principal may see, and of the instruments of these scopes."""
        wanted = sorted({str(_of(one, "instrument_id")) for one in scopes if _of(one, "instrument_id")})
        with self._store.read_unit(principal.tenant_id) as unit:
            run = unit.connection.execute
            tenant = run(select(t.TENANTS.c.name).where(t.TENANTS.c.tenant_id == scope_of(unit))).scalar()
            accounts = queries.list_accounts(unit, principal.account_ids)
            paging = Paging(limit=MOST_CHOICES, with_total=False)
            strategies = list_strategies(unit, paging, allowed_accounts=principal.account_ids).items
            columns = t.INSTRUMENTS.c
            query = select(columns.instrument_id, columns.symbol).where(columns.instrument_id.in_(wanted))
            symbols = {row.instrument_id: row.symbol for row in run(query)} if wanted else {}
        return Names(
            tenant=tenant or "",
            accounts={one.account_id: one.name for one in accounts},
            strategies={one.strategy_id: one.name for one in strategies},
            owners={one.strategy_id: one.account_id for one in strategies},
            symbols=symbols,
        )

    def chosen(self, form: Form, names: Names) -> tuple[Scope, str]:
        """(the scope that the form's FIELDS choose, what it is called). Raises InvalidRequest."""
        kind, _, name = form.values["reach"].partition(":")
        known = {"account": names.accounts, "strategy": names.strategies, TENANT: {"": names.tenant}, FIRM: {"": FIRM}}
        if name not in known.get(kind, {}):
            raise InvalidRequest("choose one of the list", field="reach")
        account_id = name if kind == "account" else names.owners.get(name) if kind == "strategy" else None
        instrument_id = self._instrument(form.values["symbol"])
        scope = Scope(
            account_id=AccountId(account_id) if account_id else None,
            strategy_id=StrategyId(name) if kind == "strategy" else None,
            instrument_id=instrument_id,
            is_firm=kind == FIRM,
        )
        return scope, form.values["symbol"].upper() if instrument_id is not None else known[kind][name]

    def _instrument(self, symbol: str) -> InstrumentId | None:
        if not symbol:
            return None
        with self._store.read_unit(None) as unit:
            paging = Paging(limit=2, with_total=False)
            found = queries.list_instruments(unit, InstrumentFilter(symbol=symbol.upper()), paging).items
        if len(found) != 1:
            why = "several venues have this symbol: use the API" if found else "no instrument has this symbol"
            raise InvalidRequest(why, field="symbol")
        return found[0].instrument_id


def choices(names: Names, principal: Principal, *, is_superuser: bool) -> list[tuple[str, str]]:
    """What a form offers: the tenant to those who reach all of it, the firm to superusers."""
    wide = [(FIRM, "The whole firm: every tenant")] if is_superuser else []
    whole = [(TENANT, f"All of {names.tenant}")] if principal.account_ids is None else []
    kinds = (("account", "Account", names.accounts), ("strategy", "Strategy", names.strategies))
    named = [
        (f"{kind}:{key}", f"{word} {name}")
        for kind, word, known in kinds
        for key, name in sorted(known.items(), key=_by_name)
    ]
    return [*whole, *named, *wide]


def reach_of(scope: Scope) -> str:
    """The choice that stands for a scope."""
    if scope.strategy_id is not None:
        return f"strategy:{scope.strategy_id}"
    if scope.account_id is not None:
        return f"account:{scope.account_id}"
    return FIRM if scope.is_firm else TENANT


def check_typed(typed: str, name: str) -> None:
    """Nothing, when the person typed the name of what is meant, or HALT. Raises InvalidRequest."""
    if typed.strip().casefold() not in (HALT.casefold(), name.casefold()):
        raise InvalidRequest(f"type {name} or {HALT} to confirm", field="confirmation")


def _by_name(pair: tuple[str, str]) -> str:
    return pair[1].casefold()


def _of(one: Any, name: str) -> Any:
    return one.get(name) if isinstance(one, dict) else getattr(one, name, None)
