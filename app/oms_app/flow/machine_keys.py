"""Keys of programs: made with no more than their maker may do, shown once, recognised, rotated with overlap, revoked.

Each change moves the tenant's auth epoch, so that every process sees it with the next request. A key of kind test
reaches only accounts that are routed to a simulated broker, whatever else it was given; where an account is routed is
looked at whenever the key is recognised.
"""

import hmac
import uuid
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

import msgspec

from oms_app.flow.api_keys import is_well_formed, key_hash, new_api_key, shown_prefix
from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import FlowError, NotPermitted
from oms_app.flow.key_terms import KeyTerms, checked_networks, checked_quota
from oms_app.flow.known_callers import Caller
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import Scope, scopes_of
from oms_app.flow.tokens import InvalidToken
from oms_app.store import auth_epochs, people_rows
from oms_app.store import key_rows as rows
from oms_app.store.key_rows import KeyRow
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import CommitUnknown, Conflict, RowsUnit, StoreUnavailable
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId, TenantId

LONGEST_OVERLAP = timedelta(days=7)
BEYOND_ACCOUNTS = frozenset(
    {Scope.ADMIN_TENANTS, Scope.MANAGE_BROKERS, Scope.MANAGE_RISK, Scope.MANAGE_WEBHOOKS, Scope.VIEW_AUDIT}
)
"""What these permit concerns the whole tenant."""
USE_NOTED_EVERY = timedelta(minutes=1)
"""So often each process writes down when and from where a key was used."""


class KeyConflict(FlowError):
    """The key's present state does not allow this."""

    code = "conflict"


class UnknownKey(FlowError):
    """The tenant has no such key."""

    code = "not_found"


class KeyWish(msgspec.Struct, frozen=True, kw_only=True):
    """What a key is asked to be. account_ids None: all accounts of the tenant."""

    name: str
    scopes: tuple[str, ...]
    account_ids: tuple[AccountId, ...] | None = None
    expires_at: datetime | None = None
    is_test: bool = False
    networks: tuple[str, ...] = ()
    requests_per_s: int | None = None
    burst: int | None = None


class NewApiKey(msgspec.Struct, frozen=True):
    """A key just made or rotated; `api_key` is shown this once."""

    api_key: str
    row: KeyRow


class MachineKeys:
    """The one door for API keys; thread-safe. is_simulated: whether the broker of this name reaches no market."""

    def __init__(
        self, store: SqlStore, clock: Callable[[], datetime], is_simulated: Callable[[str], bool] = lambda broker: False
    ) -> None:
        self._store = store
        self._clock = clock
        self._is_simulated = is_simulated
        self._noted: dict[str, datetime] = {}

    # Every request ----------------------------------------------------------------------------------------

    def recognise(self, key: str) -> Caller:
        """Who holds the key, as its row says now, and its tenant's auth epoch before that. Raises InvalidToken."""
        if not is_well_formed(key):
            raise InvalidToken("this is no API key of this system", fix="copy the whole key, with its checksum")
        digest, now = key_hash(key), self._clock()
        with self._store.read_unit(None) as unit:
            named = rows.named_by(unit, shown_prefix(key))
        for tenant_id, key_id in named:
            epoch = self._store.auth_epoch(tenant_id)  # before the rows: what changes after this is read again
            with self._store.read_unit(tenant_id) as unit:
                row = rows.usable_key(unit, key_id)
                if row is not None and (caller := self._caller(unit, row, digest, now, epoch)) is not None:
                    return caller
        raise InvalidToken("the API key is unknown, revoked or expired", fix="make a new key")

    def note_use(self, tenant_id: TenantId, key_id: str, address: str) -> None:
        """Write down the use, once a minute; a store that is away is no reason to refuse a request."""
        now = self._clock()
        last = self._noted.get(key_id)
        if last is not None and now - last < USE_NOTED_EVERY:
            return
        self._noted[key_id] = now
        try:
            with self._store.tenant_unit(tenant_id) as unit:
                rows.note_use(unit, key_id, now, address)
        except (StoreUnavailable, Conflict, CommitUnknown):
            self._noted.pop(key_id, None)

    def _caller(self, unit: RowsUnit, row: KeyRow, digest: str, now: datetime, epoch: int) -> Caller | None:
        """Who asks when the digest is that of its present or outgoing secret, else None."""
        if row.revoked_at is not None or (row.expires_at is not None and row.expires_at <= now):
            return None
        ends, is_outgoing = row.expires_at, False
        if not hmac.compare_digest(row.key_hash, digest):
            if row.previous_hash is None or row.previous_until is None or row.previous_until <= now:
                return None
            if not hmac.compare_digest(row.previous_hash, digest):
                return None
            ends, is_outgoing = min(row.previous_until, row.expires_at or row.previous_until), True
        owner = people_rows.membership(unit, row.user_id)
        if owner is None:  # the owner was removed, or the tenant is closed
            return None
        account_ids = frozenset(row.account_ids) if row.account_ids is not None else None
        if row.is_test:
            simulated = self._simulated_accounts(unit)
            account_ids = simulated if account_ids is None else account_ids & simulated
        quota = (row.quota_per_s, row.quota_burst) if row.quota_per_s and row.quota_burst else None
        return Caller(
            principal=Principal(
                principal_id=f"key:{row.key_id}",
                tenant_id=row.tenant_id,
                scopes=frozenset(row.scopes) & scopes_of(owner.role, owner.scopes),
                account_ids=account_ids,
            ),
            terms=KeyTerms(
                key_id=row.key_id,
                networks=row.networks,
                quota=quota,
                is_test=row.is_test,
                is_outgoing=is_outgoing,
                owner_id=row.user_id,
            ),
            session_id=None,
            expires_at=ends,
            epoch=epoch,
        )

    def _simulated_accounts(self, unit: RowsUnit) -> frozenset[AccountId]:
        brokers = rows.brokers_of_accounts(unit)
        return frozenset(account_id for account_id, broker in brokers.items() if self._is_simulated(broker))

    # Keeping keys -----------------------------------------------------------------------------------------

    def create(self, principal: Principal, wish: KeyWish, actor: Actor | None = None) -> NewApiKey:
        """A new key of the principal's tenant, never with more than the principal itself may do.

        Raises InvalidRequest with the field at fault.
        """
        if unknown := sorted(set(wish.scopes) - {str(scope) for scope in Scope}):
            raise InvalidRequest(f"no such scope: {', '.join(unknown)}", field="scopes")
        if beyond := sorted(set(wish.scopes) - principal.scopes):
            raise InvalidRequest(f"a key cannot do more than its maker: {', '.join(beyond)}", field="scopes")
        self._check_expiry(wish.expires_at)
        account_ids = wish.account_ids
        if principal.account_ids is not None:
            if not set(account_ids or ()) <= principal.account_ids:
                raise InvalidRequest("a key cannot reach accounts that its maker cannot", field="account_ids")
            account_ids = tuple(sorted(principal.account_ids)) if account_ids is None else account_ids
        networks, quota = checked_networks(wish.networks), checked_quota(wish.requests_per_s, wish.burst)
        key = new_api_key(is_test=wish.is_test)
        if wish.is_test and (beyond := sorted(set(wish.scopes) & BEYOND_ACCOUNTS)):
            raise InvalidRequest(
                f"a test key is held to accounts, and these reach beyond: {', '.join(beyond)}", field="scopes"
            )
        with self._store.tenant_unit(principal.tenant_id) as unit:
            if wish.is_test and account_ids is not None:
                if real := sorted(set(account_ids) - self._simulated_accounts(unit)):
                    raise InvalidRequest(
                        f"a test key reaches only accounts that are routed to a simulated broker; {real[0]} is not",
                        field="account_ids",
                    )
            row = KeyRow(
                key_id=str(uuid.uuid4()),
                tenant_id=principal.tenant_id,
                user_id=self._owner(unit, principal),
                name=wish.name,
                prefix=shown_prefix(key),
                key_hash=key_hash(key),
                scopes=tuple(sorted(set(wish.scopes))),
                account_ids=account_ids,
                is_test=wish.is_test,
                networks=networks,
                quota_per_s=quota[0] if quota else None,
                quota_burst=quota[1] if quota else None,
                expires_at=wish.expires_at,
                created_at=unit.now,
            )
            rows.add_key(unit, row)
            self._changed(unit, principal, actor, "api_key.created", row.key_id, None, told(row))
        return NewApiKey(api_key=key, row=row)

    def check_accounts(self, tenant_id: TenantId, account_ids: Sequence[AccountId]) -> None:
        """Nothing, when these are accounts of the tenant. Raises InvalidRequest."""
        with self._store.read_unit(tenant_id) as unit:
            unknown = sorted(set(account_ids) - rows.accounts(unit))
        if unknown:
            raise InvalidRequest(f"you have no account {unknown[0]}", field="account_ids")

    def keys(self, tenant_id: TenantId) -> Sequence[KeyRow]:
        """All keys of a tenant, newest first, without their secrets."""
        with self._store.read_unit(tenant_id) as unit:
            return rows.list_keys(unit)

    def key(self, tenant_id: TenantId, key_id: str) -> KeyRow:
        """A key of the tenant. Raises UnknownKey."""
        with self._store.read_unit(tenant_id) as unit:
            return _found(unit, key_id)

    def change(
        self,
        principal: Principal,
        key_id: str,
        *,
        fields: Collection[str],
        wish: KeyWish,
        actor: Actor | None = None,
    ) -> KeyRow:
        """The key with those `fields` of the wish: name, networks, quota (requests_per_s and burst), expires_at.

        Raises UnknownKey, InvalidRequest, KeyConflict for a key that was revoked.
        """
        values: dict[str, object] = {}
        if "name" in fields:
            values["name"] = wish.name
        if "networks" in fields:
            values["networks"] = list(checked_networks(wish.networks))
        if "requests_per_s" in fields or "burst" in fields:
            quota = checked_quota(wish.requests_per_s, wish.burst)
            values |= {"quota_per_s": quota[0] if quota else None, "quota_burst": quota[1] if quota else None}
        if "expires_at" in fields:
            self._check_expiry(wish.expires_at)
            values["expires_at"] = wish.expires_at
        with self._store.tenant_unit(principal.tenant_id) as unit:
            before = _live(unit, key_id)
            rows.change_key(unit, key_id, **values)
            after = _found(unit, key_id)
            self._changed(unit, principal, actor, "api_key.changed", key_id, told(before), told(after))
        return after

    def rotate(
        self,
        principal: Principal,
        key_id: str,
        *,
        overlap: timedelta,
        presented: str | None = None,
        actor: Actor | None = None,
    ) -> NewApiKey:
        """The key with a new secret; the one before works until the overlap has passed, and no older one does.

        presented: the secret with which the key itself asks; only its present one may, so that whoever holds an
        outgoing secret cannot take the key over. Raises UnknownKey, KeyConflict, InvalidRequest.
        """
        if not timedelta(0) <= overlap <= LONGEST_OVERLAP:
            raise InvalidRequest(f"must lie between 0 and {LONGEST_OVERLAP.days} days", field="overlap_s")
        now = self._clock()
        with self._store.tenant_unit(principal.tenant_id) as unit:
            row = _live(unit, key_id)
            if presented is None and not _reaches(principal, row):
                raise NotPermitted("the key may do more than you, and its new secret would be yours")
            if presented is not None and not hmac.compare_digest(row.key_hash, key_hash(presented)):
                raise KeyConflict("this secret was rotated already", fix="rotate with the new secret")
            key = new_api_key(is_test=row.is_test)
            is_first = rows.replace_secret(
                unit, row, prefix=shown_prefix(key), key_hash=key_hash(key), previous_until=now + overlap, now=now
            )
            if not is_first:
                raise KeyConflict("the key was rotated or revoked at the same moment", fix="read it and decide anew")
            after = _found(unit, key_id)
            self._changed(unit, principal, actor, "api_key.rotated", key_id, told(row), told(after))
        return NewApiKey(api_key=key, row=after)

    def revoke(self, principal: Principal, key_id: str, actor: Actor | None = None) -> None:
        """Refuse the key, its outgoing secret too, from now on. Raises UnknownKey."""
        with self._store.tenant_unit(principal.tenant_id) as unit:
            before = _found(unit, key_id)
            if before.revoked_at is not None:
                return
            rows.revoke_key(unit, key_id, self._clock())
            self._changed(unit, principal, actor, "api_key.revoked", key_id, told(before), told(_found(unit, key_id)))

    def _check_expiry(self, expires_at: datetime | None) -> None:
        if expires_at is not None and expires_at <= self._clock():
            raise InvalidRequest("expires_at lies in the past", field="expires_at")

    def _owner(self, unit: RowsUnit, principal: Principal) -> str:
        """The member whose key it will be: the person, or the owner of the key that asks."""
        kind, _, own_id = principal.principal_id.partition(":")
        if kind == "user":
            return own_id
        row = rows.get_key(unit, own_id) if kind == "key" else None
        if row is None:
            raise InvalidRequest("only people and their keys make keys", field="name")
        return row.user_id

    def _changed(
        self,
        unit: RowsUnit,
        principal: Principal,
        actor: Actor | None,
        action: str,
        key_id: str,
        before: dict[str, object] | None,
        after: dict[str, object] | None,
    ) -> None:
        """Tell the audit trail, then let everybody of the tenant be recognised anew: in this order, for both lock."""
        record(
            unit,
            actor or Actor(principal_id=principal.principal_id),
            AdminAction(action=action, object_type="api_key", object_id=key_id, before=before, after=after),
        )
        auth_epochs.bump(unit, principal.tenant_id)


def told(row: KeyRow) -> dict[str, object]:
    """A key as the audit trail tells it: everything but hashes of secrets."""
    return {
        "name": row.name,
        "prefix": row.prefix,
        "owner": row.user_id,
        "scopes": list(row.scopes),
        "account_ids": list(row.account_ids) if row.account_ids is not None else None,
        "is_test": row.is_test,
        "networks": list(row.networks),
        "requests_per_s": row.quota_per_s,
        "burst": row.quota_burst,
        "expires_at": _text(row.expires_at),
        "revoked_at": _text(row.revoked_at),
        "previous_until": _text(row.previous_until),
    }


def _reaches(principal: Principal, row: KeyRow) -> bool:
    """Whether the principal may do whatever the key may."""
    if not set(row.scopes) <= principal.scopes:
        return False
    if principal.account_ids is None:
        return True
    return row.account_ids is not None and set(row.account_ids) <= principal.account_ids


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _found(unit: RowsUnit, key_id: str) -> KeyRow:
    row = rows.get_key(unit, key_id)
    if row is None:
        raise UnknownKey("there is no such API key")
    return row


def _live(unit: RowsUnit, key_id: str) -> KeyRow:
    row = _found(unit, key_id)
    if row.revoked_at is not None:
        raise KeyConflict("the key was revoked", fix="make a new key")
    return row
