"""A tenant in, at least some rows of it in every table that knows tenants out: made from the tables' declarations.

Whatever table is added later is filled as well, without a line here. Texts carry the tenant's mark, so that one of them
in another tenant's answer is seen.
"""

import re
import uuid
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Integer,
    LargeBinary,
    String,
    Table,
    UniqueConstraint,
    func,
    insert,
    select,
)

from oms_app.store.tables import METADATA
from oms_app.store.types import Day, ExactDecimal, Id, UtcDateTime
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId

_ONE_OF = re.compile(r"^(\w+) IN \((.+)\)$")
_LIKED = ("OPEN", "STOPPED", "REQUESTED", "PENDING", "ACTIVE", "WARNING")
"""Words of states in which most can still be done with a row."""
UUID_LENGTH = 36
_LISTS = frozenset({"scopes", "event_kinds", "account_ids", "networks", "codes"})
_TEXTS = {"currency": "USD", "base_currency": "USD", "time_zone": "UTC", "extra": "{}", "order_versions": "[]"}


def with_tenant() -> Iterator[Table]:
    """Every table whose rows name a tenant, those first that others refer to."""
    yield from (table for table in METADATA.sorted_tables if "tenant_id" in table.c)


class Filler:
    """Makes rows of one tenant. ids: column -> an id of the tenant that rows should refer to. mark: stands in texts."""

    def __init__(self, tenant_id: TenantId, ids: Mapping[str, str], mark: str) -> None:
        self._tenant_id = tenant_id
        self._ids = dict(ids)
        self._mark = mark
        self._number = 0

    def fill(self, unit: RowsUnit, least: int) -> list[str]:
        """The names of the tables that got rows: those without any of the tenant get `least`, if they can."""
        filled = []
        for table in with_tenant():
            mine = select(func.count()).select_from(table).where(table.c.tenant_id == self._tenant_id)
            if unit.connection.scalar(mine):
                continue  # what the system wrote itself is better
            for _ in range(least):
                row = self._row(unit, table)
                if self._stands(unit, table, row):
                    break  # what it refers to has one such row only
                unit.connection.execute(insert(table).values(row))
                filled.append(table.name)
        return filled

    def _stands(self, unit: RowsUnit, table: Table, row: Mapping[str, Any]) -> bool:
        same = [column == row[column.name] for column in table.primary_key.columns]
        same.append(table.c.tenant_id == self._tenant_id)
        return unit.connection.scalar(select(func.count()).select_from(table).where(*same)) != 0

    def _row(self, unit: RowsUnit, table: Table) -> dict[str, Any]:
        self._number += 1
        row: dict[str, Any] = {"tenant_id": self._tenant_id}
        for constraint in table.constraints:
            if isinstance(constraint, ForeignKeyConstraint):
                row |= self._referred(unit, table, constraint)
        words = _words_of(table)
        keys = {column.name for column in table.primary_key.columns}
        own = _own_ids(table, row)
        for column in table.columns:
            if column.name in row:
                continue
            if column.name in self._ids and column.name not in own:
                row[column.name] = self._ids[column.name]
            elif column.nullable or (column.server_default is not None and column.name not in keys):
                continue
            elif column.name in words:
                row[column.name] = words[column.name]
            else:
                row[column.name] = self._value(unit.now, column)
        return row

    def _referred(self, unit: RowsUnit, table: Table, constraint: ForeignKeyConstraint) -> dict[str, Any]:
        """The columns of a reference, filled from a row that the tenant has, or left out when they may be NULL."""
        target = constraint.referred_table
        theirs = [element.column for element in constraint.elements]
        query = select(*theirs).limit(1)
        if "tenant_id" in target.c:
            query = query.where(target.c.tenant_id == self._tenant_id)
        for column in theirs:
            if column.name in self._ids:
                query = query.where(column == self._ids[column.name])
        found = unit.connection.execute(query).first()
        named = [column for column in constraint.column_keys if column != "tenant_id"]
        if found is None:
            optional = all(table.c[name].nullable for name in named)
            return dict.fromkeys(named) if optional else {}
        given = dict(zip(constraint.column_keys, found, strict=True))
        return {name: given[name] for name in named}

    def _value(self, now: datetime, column: Column[Any]) -> Any:
        kind = column.type
        if isinstance(kind, Id):
            return str(uuid.uuid4())
        if isinstance(kind, UtcDateTime):
            return now
        if isinstance(kind, Day):
            return now.date()
        if isinstance(kind, ExactDecimal):
            return Decimal(1)
        if isinstance(kind, Boolean):
            return False
        if isinstance(kind, Integer):
            return self._number
        if isinstance(kind, LargeBinary):
            return f"{self._mark} {column.table.name} {self._number}".encode()
        if isinstance(kind, String):
            return self._text(column, kind.length or 200)
        return [] if column.name in _LISTS else {}

    def _text(self, column: Column[Any], longest: int) -> str:
        if column.name.endswith("_id") and longest == UUID_LENGTH:
            return str(uuid.uuid4())  # an id or nothing: the type of ids knows no empty one
        if column.name in _TEXTS:
            return _TEXTS[column.name]
        if column.name.endswith("_date"):
            return date(2026, 1, 1).isoformat()
        if "email" in column.name:
            return f"{self._mark}-{self._number}@example.com".lower()
        return f"{self._number} {self._mark} {column.table.name}"[:longest]


def _own_ids(table: Table, referring: Mapping[str, Any]) -> set[str]:
    """The columns that make a row the row it is; in all others stand the tenant's known ids."""
    own = [column for column in table.primary_key.columns if column.name not in {"tenant_id", *referring}]
    unique = [
        column
        for constraint in table.constraints
        if isinstance(constraint, UniqueConstraint)
        for column in constraint.columns
    ]
    named = [column.name for column in own if isinstance(column.type, Id)]
    alone = {named[-1]} if len(own) == 1 and named else set()
    return alone | {column.name for column in unique if isinstance(column.type, Id)} - {"tenant_id", "ledger_id"}


def _words_of(table: Table) -> dict[str, str]:
    """Column -> a word that its CHECK lets in."""
    words = {}
    for constraint in table.constraints:
        found = _ONE_OF.match(str(constraint.sqltext)) if isinstance(constraint, CheckConstraint) else None
        if found is not None:
            known = [word.strip().strip("'") for word in found.group(2).split(",")]
            words[found.group(1)] = next((word for word in _LIKED if word in known), known[0])
    return words
