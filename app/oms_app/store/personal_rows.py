"""Everything the database holds about one person: read for the person, and taken away when the person is erased.

What stays after an erasure are the opaque id, which the logs name, and an address that can reach nobody.
"""

from typing import Any

from sqlalchemy import Select, String, Table, cast, delete, literal, or_, select, update

from oms_app.store import person_texts
from oms_app.store.queries.breaches import NOTE
from oms_app.store.queries.restraints import ASKED_TEXT, RELEASE_TEXT, SWITCH_TEXT
from oms_app.store.rows import scope_of
from oms_app.store.tables import (
    API_KEYS,
    AUDIT_ENTRIES,
    EVENT_LOG,
    FIRM_SWITCHES,
    INVITATIONS,
    KNOWN_DEVICES,
    MEMBERSHIPS,
    ONE_TIME_TOKENS,
    ORDER_TEXTS,
    OUTGOING_MAILS,
    RECOVERY_CODES,
    SECOND_FACTORS,
    USER_SESSIONS,
    USER_TENANTS,
    USERS,
)
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.events import (
    BreachAssigned,
    BreachClosed,
    BreakResolved,
    HoldReleased,
    KillSwitchActivated,
    KillSwitchReleased,
    OrderAccepted,
    OrderDenied,
    PersonResolved,
    ReleaseAsked,
)

NOWHERE = "invalid"
"""A top-level domain that never exists."""
NO_PASSWORD = "!"  # noqa: S105
"""No password hash: nothing that is entered can match it."""
TAGS = "tags"
"""The kind of text that an order's tags are."""
_PLACING = (OrderAccepted.kind, OrderDenied.kind)
_SETTLING = (PersonResolved.kind, HoldReleased.kind)
_SWITCHING = (
    (SWITCH_TEXT, KillSwitchActivated.kind),
    (ASKED_TEXT, ReleaseAsked.kind),
    (RELEASE_TEXT, KillSwitchReleased.kind),
)
"""Kinds of texts beside kill switches, and the events of whoever wrote them."""
_HANDLING = (BreachAssigned.kind, BreachClosed.kind)
_SECRET = frozenset({"password_hash", "refresh_hash", "previous_hash"})


def in_the_platform(unit: RowsUnit, user_id: str) -> dict[str, Any] | None:
    """What the platform's tables hold about a person, without hashes; None when there is no such person."""
    person = unit.connection.execute(select(USERS).where(USERS.c.user_id == user_id)).mappings().one_or_none()
    if person is None:
        return None
    mails = select(
        OUTGOING_MAILS.c.kind, OUTGOING_MAILS.c.address, OUTGOING_MAILS.c.created_at, OUTGOING_MAILS.c.sent_at
    )
    return {
        "person": _shown(person),
        "sessions": _all(unit, USER_SESSIONS, USER_SESSIONS.c.user_id == user_id),
        "known_devices": [
            {"created_at": row.created_at, "last_used_at": row.updated_at}
            for row in unit.connection.execute(select(KNOWN_DEVICES).where(KNOWN_DEVICES.c.user_id == user_id))
        ],
        "mail": [
            dict(row)
            for row in unit.connection.execute(mails.where(OUTGOING_MAILS.c.address == person["email"])).mappings()
        ],
    }


def in_the_tenant(unit: RowsUnit, user_id: str, email: str) -> dict[str, Any]:
    """What the unit's tenant holds about a person."""
    tenant_id = scope_of(unit)
    keys = select(
        API_KEYS.c.key_id,
        API_KEYS.c.name,
        API_KEYS.c.prefix,
        API_KEYS.c.created_at,
        API_KEYS.c.last_used_at,
        API_KEYS.c.last_used_address,
    ).where(API_KEYS.c.tenant_id == tenant_id, API_KEYS.c.user_id == user_id)
    texts = person_texts.texts_of(unit, tenant_id, person_of(user_id)) if unit.sealer is not None else []
    return {
        "tenant_id": tenant_id,
        "membership": _all(unit, MEMBERSHIPS, _own(MEMBERSHIPS, tenant_id, user_id)),
        "api_keys": [dict(row) for row in unit.connection.execute(keys).mappings()],
        "invitations": _all(unit, INVITATIONS, (INVITATIONS.c.tenant_id == tenant_id) & (INVITATIONS.c.email == email)),
        "audit_texts": [{"event_id": event_id, **values} for event_id, values in texts],
        "texts": [
            {"about": row.order_id, "kind": row.kind, "text": row.text, "created_at": row.created_at}
            for row in unit.connection.execute(_texts_of(unit, user_id))
        ],
    }


def person_of(user_id: str) -> str:
    """The name under which a person's texts are kept."""
    return f"user:{user_id}"


def was_member(unit: RowsUnit, user_id: str) -> bool:
    """Whether the person is, or ever was, a member of the unit's tenant."""
    query = select(MEMBERSHIPS.c.user_id).where(_own(MEMBERSHIPS, scope_of(unit), user_id))
    return unit.connection.scalar(query) is not None


def tenants_of(unit: RowsUnit, user_id: str) -> list[str]:
    """The tenants to which the person may sign in."""
    rows = unit.connection.execute(select(USER_TENANTS.c.tenant_id).where(USER_TENANTS.c.user_id == user_id))
    return sorted(row.tenant_id for row in rows)


def scrub_person(unit: RowsUnit, user_id: str, email: str) -> None:
    """Take away all that the platform's tables hold about a person; the row stays, inactive and without a name."""
    run = unit.connection.execute
    run(
        update(USERS)
        .where(USERS.c.user_id == user_id)
        .values(
            email=f"erased-{user_id}@{NOWHERE}",
            name="",
            first_name="",
            last_name="",
            phone_number="",
            date_of_birth=None,
            locale="",
            time_zone="",
            preferences={},
            email_verified_at=None,
            password_hash=NO_PASSWORD,
            is_active=False,
            is_superuser=False,
            updated_at=unit.now,
        )
    )
    for table in (USER_SESSIONS, KNOWN_DEVICES, RECOVERY_CODES, SECOND_FACTORS):
        run(delete(table).where(table.c.user_id == user_id))
    run(delete(OUTGOING_MAILS).where(OUTGOING_MAILS.c.address == email))
    wrote, firm = person_of(user_id), FIRM_SWITCHES.c
    run(update(FIRM_SWITCHES).where(firm.activated_by == wrote).values(reason="", updated_at=unit.now))
    released = or_(firm.released_by == wrote, firm.release_asked_by == wrote)
    run(update(FIRM_SWITCHES).where(released).values(release_reason="", updated_at=unit.now))
    run(delete(ONE_TIME_TOKENS).where(or_(ONE_TIME_TOKENS.c.subject == user_id, ONE_TIME_TOKENS.c.subject == email)))
    person_texts.erase_key(unit, person_of(user_id))


def scrub_in_tenant(unit: RowsUnit, user_id: str, email: str) -> int:
    """How many texts of the person are gone in the unit's tenant; addresses and invitations name nobody any more."""
    tenant_id, run = scope_of(unit), unit.connection.execute
    gone = person_texts.erase(unit, tenant_id, person_of(user_id))
    for row in run(_texts_of(unit, user_id)).all():
        run(
            update(ORDER_TEXTS)
            .where(
                ORDER_TEXTS.c.tenant_id == tenant_id,
                ORDER_TEXTS.c.order_id == row.order_id,
                ORDER_TEXTS.c.kind == row.kind,
            )
            .values(text="{}" if row.kind == TAGS else "", salt=b"")
        )
        gone += 1
    run(update(API_KEYS).where(_own(API_KEYS, tenant_id, user_id)).values(last_used_address="", updated_at=unit.now))
    run(
        update(INVITATIONS)
        .where(INVITATIONS.c.tenant_id == tenant_id, INVITATIONS.c.email == email)
        .values(email=f"erased-{user_id}@{NOWHERE}", first_name="", last_name="", updated_at=unit.now)
    )
    return gone


def _texts_of(unit: RowsUnit, user_id: str) -> Select[Any]:
    """The free texts that a person wrote: tags of orders, reasons of what was settled, notes on breaches."""
    tenant_id, entries, texts = scope_of(unit), AUDIT_ENTRIES.c, ORDER_TEXTS.c
    own = (entries.tenant_id == tenant_id) & (entries.actor == person_of(user_id))
    placed = select(entries.order_id).where(own, entries.kind.in_(_PLACING), entries.order_id.is_not(None))
    settled = select(entries.order_id).where(own, entries.kind.in_(_SETTLING))
    broken = select(entries.object_id).where(own, entries.kind == BreakResolved.kind, entries.object_id.is_not(None))
    handling = own & entries.kind.in_(_HANDLING)
    handled = select(entries.object_id).where(handling, entries.object_id.is_not(None))
    log = EVENT_LOG.c
    noted = select(literal(NOTE) + cast(log.event_id, String)).where(
        log.tenant_id == tenant_id, log.ledger_id == entries.ledger_id, log.seq == entries.seq, handling
    )
    if unit.connection.dialect.name == "postgresql":
        broken = select(cast(broken.subquery().c.object_id, ORDER_TEXTS.c.order_id.type))
        handled = select(cast(handled.subquery().c.object_id, ORDER_TEXTS.c.order_id.type))
    return select(ORDER_TEXTS).where(
        texts.tenant_id == tenant_id,
        or_(
            (texts.kind == TAGS) & texts.order_id.in_(placed),
            (texts.kind != TAGS) & or_(texts.order_id.in_(settled), texts.order_id.in_(broken)),
            texts.order_id.in_(handled) & texts.kind.in_(noted),
            *((texts.kind == kind) & texts.order_id.in_(_switches(unit, own, event)) for kind, event in _SWITCHING),
        ),
    )


def _switches(unit: RowsUnit, own: Any, kind: str) -> Select[Any]:
    """The kill switches that the person's events of a kind are about."""
    objects = AUDIT_ENTRIES.c.object_id
    query = select(objects).where(own, AUDIT_ENTRIES.c.kind == kind, objects.is_not(None))
    if unit.connection.dialect.name == "postgresql":
        return select(cast(query.subquery().c.object_id, ORDER_TEXTS.c.order_id.type))
    return query


def _own(table: Table, tenant_id: str, user_id: str) -> Any:
    return (table.c.tenant_id == tenant_id) & (table.c.user_id == user_id)


def _all(unit: RowsUnit, table: Table, which: Any) -> list[dict[str, Any]]:
    return [_shown(row) for row in unit.connection.execute(select(table).where(which)).mappings()]


def _shown(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in _SECRET}
