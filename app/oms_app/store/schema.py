"""How tables are declared: one MetaData, named constraints, and the class of each table (tenant, platform)."""

from collections.abc import Iterable
from enum import StrEnum
from typing import Any

from sqlalchemy import CheckConstraint, Column, ForeignKeyConstraint, MetaData, PrimaryKeyConstraint, Table

from oms_app.store.types import Id, UtcDateTime

METADATA = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(referred_table_name)s",
        "pk": "pk_%(table_name)s",
    }
)
APPEND_ONLY = frozenset({"audit_entries", "event_log", "client_order_ids", "execution_ids", "kill_switch_events"})
"""Tables of which the serving role may change no row once it is written."""
PERISHABLE = frozenset(
    {
        "audit_texts",
        "idempotency_keys",
        "known_devices",
        "one_time_tokens",
        "outgoing_mails",
        "person_keys",
        "recovery_codes",
        "second_factors",
        "signing_keys",
        "throttles",
        "user_sessions",
        "webhook_deliveries",
    }
)
"""The only tables of which the serving role may delete rows: those that nobody needs after some time."""


class TableClass(StrEnum):
    """Who may see a table's rows: one tenant (row-level security forced), or the platform."""

    TENANT = "tenant"
    PLATFORM = "platform"


_CLASSES: dict[str, TableClass] = {}


def tenant_table(name: str, *items: Any, key: Iterable[str], audited: bool = True, **storage: Any) -> Table:
    """A table whose rows belong to one tenant: `tenant_id` leads the columns and the primary key.

    storage: options of one dialect, as `postgresql_with`.
    """
    _CLASSES[name] = TableClass.TENANT
    stamps = stamped() if audited else ()
    return Table(
        name,
        METADATA,
        Column("tenant_id", Id(), nullable=False),
        *items,
        *stamps,
        PrimaryKeyConstraint("tenant_id", *key),
        **storage,
    )


def platform_table(name: str, *items: Any, key: Iterable[str]) -> Table:
    """A table that jobs across tenants may read."""
    _CLASSES[name] = TableClass.PLATFORM
    return Table(name, METADATA, *items, PrimaryKeyConstraint(*key))


def stamped() -> tuple[Column[Any], ...]:
    """When a row came and when it last changed; the store keeps both."""
    return (
        Column("created_at", UtcDateTime(), nullable=False),
        Column("updated_at", UtcDateTime(), nullable=False),
    )


def refers_to(table: str, *columns: str, to: Iterable[str] = ()) -> ForeignKeyConstraint:
    """A foreign key that stays within the tenant: (tenant_id, columns) -> the same of `table`."""
    targets = tuple(to) or columns
    name = f"fk_{table}_{'_'.join(columns)}".rstrip("_")
    return ForeignKeyConstraint(
        ["tenant_id", *columns], [f"{table}.tenant_id", *(f"{table}.{target}" for target in targets)], name=name
    )


def one_of(column: str, values: Iterable[str]) -> CheckConstraint:
    """CHECK that a text column holds one of the words."""
    words = ", ".join(f"'{value}'" for value in sorted(values))
    return CheckConstraint(f"{column} IN ({words})", name=f"{column}_known")


def above_zero(column: str) -> CheckConstraint:
    """CHECK that an ExactDecimal column is greater than 0 (or NULL)."""
    return CheckConstraint(f"CAST({column} AS NUMERIC) > 0", name=f"{column}_above_zero")


def not_below_zero(column: str) -> CheckConstraint:
    """CHECK that a number column is 0 or more (or NULL)."""
    return CheckConstraint(f"CAST({column} AS NUMERIC) >= 0", name=f"{column}_not_below_zero")


def tables_of(table_class: TableClass) -> tuple[Table, ...]:
    """All declared tables of one class, by name."""
    return tuple(table for name, table in sorted(METADATA.tables.items()) if _CLASSES[name] is table_class)
