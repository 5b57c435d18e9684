"""Somebody's action in, one event of the tenant's log out, in the transaction of what the action changed.

The log holds opaque ids only. Where the actor came from and what they wrote, and the personal values of the person
concerned, stand beside it, encrypted with that person's key; the event holds their salted hash.
"""

import getpass
from typing import Any

import msgspec

from oms_app.store import admin_log, person_texts
from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.events import AdminActed
from oms_kernel.domain.ids import AccountId, EventId, OrderId, TenantId

ALLOWED, REFUSED = "ALLOWED", "REFUSED"
CLI = "system:cli"
LONGEST_AGENT = 300
LONGEST_NOTE = 4_000
PERSONAL = "(personal)"
"""Stands in an event for a personal value, which is kept encrypted beside it."""
_ABOUT_PEOPLE = frozenset({"invitation", "member", "profile", "session", "user"})
"""Objects whose values are personal unless they are named here."""
_IMPERSONAL = frozenset(
    {
        "account_ids",
        "expires_at",
        "is_active",
        "is_superuser",
        "method",
        "outcome",
        "role",
        "scopes",
        "session_id",
        "status",
        "tenant_id",
        "user_id",
    }
)


class Actor(msgspec.Struct, frozen=True):
    """Who acts: a principal id; on whose behalf; from which address, with which program, in which request."""

    principal_id: str
    on_behalf_of: str = ""
    address: str = ""
    agent: str = ""
    request_id: str = ""


class AdminAction(msgspec.Struct, frozen=True):
    """What was done. action: a dotted word, such as `member.role_changed`. Secret values come as hashes.

    before, after: the values that changed, JSON values only. note: what the actor wrote, free text.
    subject: the person concerned, as principal id, when it is neither the actor nor the object itself.
    """

    action: str
    object_type: str
    object_id: str
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    decision: str = ALLOWED
    note: str = ""
    account_id: AccountId | None = None
    order_id: OrderId | None = None
    subject: str = ""


def cli_actor(on_behalf_of: str = "") -> Actor:
    """Whoever types a command on this machine: the operating system's name for them is kept as their agent."""
    try:
        name = getpass.getuser()
    except (OSError, KeyError):
        name = "unknown"
    return Actor(principal_id=CLI, on_behalf_of=on_behalf_of, agent=f"oms command line, OS user {name}")


def record(unit: RowsUnit, actor: Actor, action: AdminAction, tenant_id: TenantId | None = None) -> EventId:
    """The id of the event that now tells of the action, in the tenant's first ledger; call it beside the change.

    Record before the auth epoch is bumped: all hold the locks in the same order then, and nobody waits in a circle.
    A unit of the platform records in the platform's ledger, or in that of `tenant_id`. A tenant without a ledger has
    its actions recorded in the platform's, by its id.
    """
    concerned = tenant_id if tenant_id is not None else unit.tenant_id
    home, ledger_id = admin_log.home_of(unit, concerned)
    event_id = _new_event_id()
    before, after, personal = _parted(action)
    with admin_log.scoped(unit, home):
        hashes = {}
        from_where = {"address": actor.address, "agent": actor.agent[:LONGEST_AGENT], "note": action.note}
        told = {name: value[:LONGEST_NOTE] for name, value in from_where.items() if value}
        if told and unit.sealer is not None:
            hashes["actor_hash"] = person_texts.keep(
                unit, home, event_id, person_texts.ACTOR, actor.principal_id or "anonymous", told
            )
        if personal and unit.sealer is not None:
            hashes["subject_hash"] = person_texts.keep(
                unit, home, event_id, person_texts.SUBJECT, _subject(action), personal
            )
        event = AdminActed(
            action=action.action,
            object_type=action.object_type,
            object_id=action.object_id,
            principal=actor.principal_id,
            on_behalf_of=actor.on_behalf_of,
            tenant_id=concerned if home == PLATFORM_TENANT and concerned is not None else "",
            request_id=actor.request_id,
            decision=action.decision,
            before=before,
            after=after,
            account_id=action.account_id,
            order_id=action.order_id,
            **hashes,
        )
        admin_log.append(unit, home, ledger_id, event_id, event)
    return event_id


def _parted(action: AdminAction) -> tuple[dict[str, Any] | None, dict[str, Any] | None, dict[str, Any]]:
    """(before and after without personal values, the personal values)."""
    personal: dict[str, Any] = {}
    shown: list[dict[str, Any] | None] = []
    for side, values in (("before", action.before), ("after", action.after)):
        values = msgspec.to_builtins(values, enc_hook=str)
        if values and action.object_type in _ABOUT_PEOPLE:
            hidden = {name: value for name, value in values.items() if name not in _IMPERSONAL}
            if hidden:
                personal[side] = hidden
            values = {name: PERSONAL if name in hidden else value for name, value in values.items()}
        shown.append(values)
    return shown[0], shown[1], personal


def _subject(action: AdminAction) -> str:
    if action.subject:
        return action.subject
    kind = "user" if action.object_type in ("member", "profile", "user") else action.object_type
    return f"{kind}:{action.object_id}"


def _new_event_id() -> EventId:
    from uuid_utils.compat import uuid7

    return EventId(str(uuid7()))
