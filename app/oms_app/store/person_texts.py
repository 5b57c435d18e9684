"""What persons wrote and where they were, encrypted with a key for each person: kept, opened, erased with the key.

Guarantee: once a person's key is gone, nothing of the person can be read from here, not from a backup of the texts
either; the log keeps a salted hash, from which nothing can be guessed.
"""

import base64
import os
from collections.abc import Iterable
from hashlib import sha256
from typing import Any, NamedTuple

import msgspec
import structlog
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import delete, insert, select
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.rows import stamps
from oms_app.store.tables import AUDIT_TEXTS, PERSON_KEYS
from oms_app.store.unit_of_work import CannotOpen, RowsUnit
from oms_kernel.domain.ids import EventId, TenantId

ACTOR, SUBJECT = "ACTOR", "SUBJECT"
SALT = 16
_TABLE = "person_keys"
_NONCE = 12
log = structlog.get_logger(__name__)


class Opened(NamedTuple):
    """A text of an event: whose it is, and its values; None once the person was erased."""

    person: str
    values: dict[str, Any] | None


def keep(unit: RowsUnit, tenant_id: TenantId, event_id: EventId, part: str, person: str, values: dict[str, Any]) -> str:
    """The salted hash of the values, which stand encrypted beside the event from now on.

    Raises ValueError in a unit of a store that has no sealer.
    """
    text = msgspec.json.encode({"salt": base64.b64encode(os.urandom(SALT)).decode(), **values}, order="deterministic")
    key = _key(unit, person) or _new_key(unit, person)
    nonce = os.urandom(_NONCE)
    unit.connection.execute(
        insert(AUDIT_TEXTS).values(
            tenant_id=tenant_id,
            event_id=event_id,
            part=part,
            person=person,
            sealed=nonce + AESGCM(key).encrypt(nonce, text, _bound_to(tenant_id, event_id, part)),
            created_at=unit.now,
        )
    )
    return sha256(text).hexdigest()


def opened(unit: RowsUnit, tenant_id: TenantId, event_ids: Iterable[EventId]) -> dict[tuple[EventId, str], Opened]:
    """(event, part) -> its text; what was erased or cannot be opened has no values."""
    query = select(AUDIT_TEXTS).where(
        AUDIT_TEXTS.c.tenant_id == tenant_id, AUDIT_TEXTS.c.event_id.in_(sorted(set(event_ids)))
    )
    rows = unit.connection.execute(query).all()
    persons = sorted({row.person for row in rows}) if unit.sealer is not None else []
    keys = {person: _readable_key(unit, person) for person in persons}
    found = {}
    for row in rows:
        text = _decrypted(keys.get(row.person), tenant_id, row.event_id, row.part, row.sealed)
        values = msgspec.json.decode(text) if text is not None else None
        if values is not None:
            values.pop("salt", None)
        found[EventId(row.event_id), row.part] = Opened(row.person, values)
    return found


def texts_of(unit: RowsUnit, tenant_id: TenantId, person: str) -> list[tuple[EventId, dict[str, Any]]]:
    """(event, values) of everything that is kept of a person in this tenant, oldest first."""
    query = (
        select(AUDIT_TEXTS)
        .where(AUDIT_TEXTS.c.tenant_id == tenant_id, AUDIT_TEXTS.c.person == person)
        .order_by(AUDIT_TEXTS.c.event_id, AUDIT_TEXTS.c.part)
    )
    key = _readable_key(unit, person)
    found = []
    for row in unit.connection.execute(query):
        text = _decrypted(key, tenant_id, row.event_id, row.part, row.sealed)
        if text is not None:
            values = msgspec.json.decode(text)
            values.pop("salt", None)
            found.append((EventId(row.event_id), values))
    return found


def erase(unit: RowsUnit, tenant_id: TenantId, person: str) -> int:
    """How many texts of the person were deleted in this tenant."""
    which = (AUDIT_TEXTS.c.tenant_id == tenant_id) & (AUDIT_TEXTS.c.person == person)
    return unit.connection.execute(delete(AUDIT_TEXTS).where(which)).rowcount


def erase_key(unit: RowsUnit, person: str) -> bool:
    """Whether the person had a key; it is gone now, and with it whatever it opened."""
    return bool(unit.connection.execute(delete(PERSON_KEYS).where(PERSON_KEYS.c.person == person)).rowcount)


def _readable_key(unit: RowsUnit, person: str) -> bytes | None:
    """The person's key; None when it is erased or was sealed with a master key that is not here."""
    try:
        return _key(unit, person)
    except CannotOpen as error:
        log.warning("a person's texts cannot be opened: the master key is missing", person=person, error=str(error))
        return None


def _key(unit: RowsUnit, person: str) -> bytes | None:
    if unit.sealer is None:
        raise ValueError("this store has no sealer: it neither keeps nor opens texts of persons")
    sealed = unit.connection.scalar(select(PERSON_KEYS.c.sealed_key).where(PERSON_KEYS.c.person == person))
    if sealed is None:
        return None
    return base64.b64decode(unit.sealer.open(PLATFORM_TENANT, _TABLE, person, sealed)["key"])


def _new_key(unit: RowsUnit, person: str) -> bytes:
    """A key of the person's own; of two that make one at once the first wins."""
    assert unit.sealer is not None
    made = base64.b64encode(AESGCM.generate_key(256)).decode()
    row = {"person": person, "sealed_key": unit.sealer.seal(PLATFORM_TENANT, _TABLE, person, {"key": made})}
    new = postgres_insert if unit.connection.dialect.name == "postgresql" else sqlite_insert
    unit.connection.execute(new(PERSON_KEYS).values(**row, **stamps(unit)).on_conflict_do_nothing())
    key = _key(unit, person)
    assert key is not None
    return key


def _decrypted(key: bytes | None, tenant_id: str, event_id: str, part: str, sealed: bytes) -> bytes | None:
    if key is None:
        return None
    try:
        return AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], _bound_to(tenant_id, event_id, part))
    except InvalidTag:
        return None


def _bound_to(tenant_id: str, event_id: str, part: str) -> bytes:
    return f"{tenant_id}|audit_texts|{event_id}|{part}".encode()
