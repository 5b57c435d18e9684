"""Tables of the audit trail beside the log: what may be erased, the keys that open it, and rows to search by."""

from typing import Any

from sqlalchemy import BigInteger, Column, Index, String, text

from oms_app.store.schema import one_of, platform_table, stamped, tenant_table
from oms_app.store.types import Id, Octets, UtcDateTime

PARTS = ("ACTOR", "SUBJECT")
"""Whose text it is: of the one who acted (address, agent, words), or of the person concerned (personal values)."""


def _found_by(column: str, *, sparse: bool = False) -> Index:
    """The index behind the filter on a column; a sparse column is NULL in most rows, and those are left out."""
    where = {f"{dialect}_where": text(f"{column} IS NOT NULL") for dialect in ("postgresql", "sqlite") if sparse}
    return Index(f"ix_audit_entries_{column}", "tenant_id", column, "recorded_at", "ledger_id", "seq", **where)  # type: ignore[arg-type]


PERSON_KEYS = platform_table(
    "person_keys",
    Column("person", String(100), nullable=False),
    Column("sealed_key", Octets, nullable=False),
    *stamped(),
    key=["person"],
)
"""The key of each person's texts, sealed; without its row nothing of the person can be read again."""
AUDIT_TEXTS = tenant_table(
    "audit_texts",
    Column("event_id", Id(), nullable=False),
    Column("part", String(10), nullable=False),
    Column("person", String(100), nullable=False),
    Column("sealed", Octets, nullable=False),
    Column("created_at", UtcDateTime(), nullable=False),
    one_of("part", PARTS),
    Index(None, "tenant_id", "person"),
    Index(None, "tenant_id", "created_at"),
    key=["event_id", "part"],
    audited=False,
)
"""Addresses, user agents, free text and personal values of the log's events, encrypted with the person's key."""
_FILTERS: tuple[Any, ...] = (
    _found_by("kind"),
    _found_by("actor", sparse=True),
    _found_by("action", sparse=True),
    _found_by("object_type", sparse=True),
    _found_by("object_id", sparse=True),
    _found_by("account_id", sparse=True),
    _found_by("order_id", sparse=True),
    _found_by("request_id", sparse=True),
)
AUDIT_ENTRIES = tenant_table(
    "audit_entries",
    Column("ledger_id", Id(), nullable=False),
    Column("seq", BigInteger, nullable=False),
    Column("recorded_at", UtcDateTime(), nullable=False),
    Column("kind", String(60), nullable=False),
    Column("action", String(100)),
    Column("actor", String(100)),
    Column("object_type", String(40)),
    Column("object_id", String(200)),
    Column("account_id", Id()),
    Column("order_id", Id()),
    Column("request_id", String(128)),
    Index("ix_audit_entries_recorded_at", "tenant_id", "recorded_at", "ledger_id", "seq"),
    *_FILTERS,
    key=["ledger_id", "seq"],
    audited=False,
)
"""One narrow row for each event, made from the log behind the order path, by which the search finds it. What kind,
account or order say already is not said again by action and object: an order's own event touches few indices.

A cache: what is shown is read from the log, and all rows can be made again from there.
"""
