"""Credentials in, principals out: passwords and API keys become sessions and scopes; revocation counts within 1 s.

A verified token or key is remembered by its hash until it expires; its row is read again once `recheck_s` has passed,
so that signing out, revoking a key or closing a user is seen by every process within that time.
"""

import hmac
import uuid
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

import msgspec

from oms_app.flow.api_keys import is_well_formed, key_hash, new_api_key, shown_prefix
from oms_app.flow.errors import FlowError
from oms_app.flow.known_callers import Caller, KnownCallers
from oms_app.flow.passwords import Overloaded, Passwords
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import ROLES, Scope, scopes_of
from oms_app.flow.tokens import Claims, InvalidToken, TokenKind, TokenSigner, token_hash
from oms_app.store.identity_rows import ApiKeyRow, IdentityRows, Membership, SessionRow, UserRow
from oms_app.store.unit_of_work import Conflict
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId, TenantId

GRACE = timedelta(seconds=10)
"""How long the token before the present one still gets the present one: its answer may have been lost."""


class SignInFailed(FlowError):
    """E-mail or password is wrong; nothing says which."""

    code = "invalid_credentials"


class IdentitySettings(msgspec.Struct, frozen=True):
    """How long things hold. Access tokens live at most 15 minutes."""

    access_lifetime_s: int = 900
    refresh_lifetime_s: int = 14 * 24 * 3600
    recheck_s: float = 0.5
    remembered: int = 10_000


class TokenPair(msgspec.Struct, frozen=True):
    """What signing in gives."""

    access_token: str
    refresh_token: str
    expires_at: datetime
    session_id: str
    user_id: str
    tenant_id: TenantId
    scopes: tuple[str, ...]


class NewApiKey(msgspec.Struct, frozen=True):
    """A key just made; `api_key` is shown this once."""

    api_key: str
    row: ApiKeyRow


class Identity:
    """Sign-in, sessions and API keys of one process; thread-safe."""

    def __init__(
        self,
        rows: IdentityRows,
        secret: str,
        *,
        clock: Callable[[], datetime],
        passwords: Passwords | None = None,
        settings: IdentitySettings | None = None,
    ) -> None:
        self._rows = rows
        self._signer = TokenSigner(secret)
        self._clock = clock
        self._passwords = passwords or Passwords()
        self._settings = settings or IdentitySettings()
        self._known = KnownCallers(clock, recheck_s=self._settings.recheck_s, remembered=self._settings.remembered)

    # People -----------------------------------------------------------------------------------------------

    def create_user(self, email: str, password: str, tenant_id: TenantId, role: str) -> str:
        """The id of a new user who is a member of the tenant. Raises InvalidRequest on a bad e-mail or password."""
        email = _clean_email(email)
        user_id = str(uuid.uuid4())
        user = UserRow(user_id=user_id, email=email, password_hash=self._passwords.hash(password), is_active=True)
        if role not in ROLES:
            raise InvalidRequest(f"a role is one of {', '.join(ROLES)}", field="role")
        try:
            self._rows.add_user(user, Membership(tenant_id=tenant_id, role=role, scopes=()))
        except Conflict:
            raise InvalidRequest("the e-mail address is taken", field="email") from None
        return user_id

    def reset_password(self, email: str, password: str) -> str | None:
        """The id of the user, who has this password now and no session any more; None when nobody has the e-mail."""
        user = self._rows.user_by_email(_clean_email(email))
        if user is None:
            return None
        self._rows.set_password(user.user_id, self._passwords.hash(password))
        self._rows.revoke_sessions_of(user.user_id, self._clock())
        self._known.forget(lambda caller: caller.principal.principal_id == f"user:{user.user_id}")
        return user.user_id

    def sign_in(self, email: str, password: str, *, tenant_id: TenantId | None = None) -> TokenPair:
        """A new session's tokens. Raises SignInFailed, Overloaded (too many sign-ins at once)."""
        user = self._rows.user_by_email(email.strip().lower())
        stored = user.password_hash if user is not None and user.is_active else None
        if not self._passwords.verify(stored, password) or user is None:
            raise SignInFailed("e-mail or password is wrong", fix="check both; passwords are case-sensitive")
        membership = self._membership(user.user_id, tenant_id)
        now = self._clock()
        session_id = str(uuid.uuid4())
        expires_at = now + timedelta(seconds=self._settings.refresh_lifetime_s)
        refresh = self._refresh_token(session_id, user.user_id, membership.tenant_id, "", now, expires_at)
        self._rows.add_session(
            SessionRow(
                session_id=session_id,
                user_id=user.user_id,
                tenant_id=membership.tenant_id,
                refresh_hash=token_hash(refresh),
                previous_hash=None,
                rotated_at=now,
                expires_at=expires_at,
                revoked_at=None,
            )
        )
        # A new password ends the sessions that it finds; one that begins just then with the old password ends here.
        if not self._is_still(user, password):
            self.sign_out(session_id)
            raise SignInFailed("e-mail or password is wrong", fix="check both; passwords are case-sensitive")
        if self._passwords.is_outdated(user.password_hash):
            self._rows.set_password(user.user_id, self._passwords.hash(password), replacing=user.password_hash)
        return self._pair(session_id, user.user_id, membership, refresh, now, expires_at)

    def refresh(self, refresh_token: str) -> TokenPair:
        """The session's next tokens; each refresh token works once.

        One that was used before revokes the whole session, because somebody else may hold it; within ten seconds
        it gives the same successor again, because its answer may have been lost. Raises InvalidToken.
        """
        now = self._clock()
        claims = self._signer.read(refresh_token, TokenKind.REFRESH, now)
        presented = token_hash(refresh_token)
        row = self._live_session(claims.session_id, now)
        if row.refresh_hash == presented:
            following = self._successor(row, presented, now)
            if self._rows.rotate_session(row.session_id, presented, token_hash(following), now):
                return self._renewed(row, following, now)
            row = self._live_session(claims.session_id, now)  # another refresh with the same token was quicker
        if row.previous_hash == presented and now - row.rotated_at <= GRACE:
            return self._renewed(row, self._successor(row, presented, row.rotated_at), now)
        self.sign_out(row.session_id)
        raise InvalidToken("the refresh token was used before; the session is closed", fix="sign in again")

    def sign_out(self, session_id: str) -> None:
        """Close a session: its tokens are refused from now on, by other processes within a second."""
        self._rows.revoke_session(session_id, self._clock())
        self._known.forget(lambda caller: caller.session_id == session_id)

    # Every request ----------------------------------------------------------------------------------------

    def caller_of_token(self, token: str) -> Caller:
        """Who holds an access token. Raises InvalidToken."""
        return self._known.known_or_read(token_hash(token), lambda now: self._read_token(token, now))

    def caller_of_key(self, key: str) -> Caller:
        """Who holds an API key. Raises InvalidToken."""
        digest = key_hash(key)
        return self._known.known_or_read(digest, lambda now: self._read_key(key, digest, now))

    def _read_token(self, token: str, now: datetime) -> Caller:
        claims = self._signer.read(token, TokenKind.ACCESS, now)
        row = self._live_session(claims.session_id, now)
        membership = self._membership(row.user_id, TenantId(row.tenant_id))
        granted = scopes_of(membership.role, membership.scopes) & frozenset(claims.scopes)
        return Caller(
            principal=Principal(
                principal_id=f"user:{row.user_id}",
                tenant_id=TenantId(row.tenant_id),
                scopes=granted,
                account_ids=None,
            ),
            session_id=row.session_id,
            expires_at=claims.expires_at,
        )

    def _read_key(self, key: str, digest: str, now: datetime) -> Caller:
        if not is_well_formed(key):
            raise InvalidToken("this is no API key of this system", fix="copy the whole key, with its checksum")
        row = self._rows.key_by_prefix(shown_prefix(key))
        if row is None or not hmac.compare_digest(row.key_hash, digest) or not _is_live(row, now):
            raise InvalidToken("the API key is unknown, revoked or expired", fix="make a new key")
        caller = Caller(
            principal=Principal(
                principal_id=f"key:{row.key_id}",
                tenant_id=TenantId(row.tenant_id),
                scopes=frozenset(row.scopes),
                account_ids=frozenset(row.account_ids) if row.account_ids is not None else None,
            ),
            session_id=None,
            expires_at=row.expires_at,
        )
        if row.last_used_at is None or row.last_used_at.date() != now.date():
            self._rows.key_used(TenantId(row.tenant_id), row.key_id, now)
        return caller

    # API keys ---------------------------------------------------------------------------------------------

    def create_key(
        self,
        principal: Principal,
        name: str,
        scopes: Collection[str],
        *,
        account_ids: Sequence[AccountId] | None = None,
        expires_at: datetime | None = None,
    ) -> NewApiKey:
        """A new key of the principal's tenant, never with more than the principal itself may do.

        Raises InvalidRequest on scopes that are unknown or not the principal's, and on an expiry in the past.
        """
        if unknown := sorted(set(scopes) - {str(scope) for scope in Scope}):
            raise InvalidRequest(f"no such scope: {', '.join(unknown)}", field="scopes")
        if beyond := sorted(set(scopes) - principal.scopes):
            raise InvalidRequest(f"a key cannot do more than its maker: {', '.join(beyond)}", field="scopes")
        if expires_at is not None and expires_at <= self._clock():
            raise InvalidRequest("expires_at lies in the past", field="expires_at")
        if principal.account_ids is not None and not set(account_ids or ()) <= principal.account_ids:
            raise InvalidRequest("a key cannot reach accounts that its maker cannot", field="account_ids")
        if principal.account_ids is not None and account_ids is None:
            account_ids = sorted(principal.account_ids)
        key = new_api_key()
        row = ApiKeyRow(
            key_id=str(uuid.uuid4()),
            tenant_id=principal.tenant_id,
            user_id=self._owner(principal),
            key_hash=key_hash(key),
            name=name,
            prefix=shown_prefix(key),
            scopes=tuple(sorted(scopes)),
            account_ids=tuple(account_ids) if account_ids is not None else None,
            expires_at=expires_at,
            revoked_at=None,
            created_at=self._clock(),
        )
        self._rows.add_key(row)
        return NewApiKey(api_key=key, row=row)

    def keys(self, tenant_id: TenantId) -> Sequence[ApiKeyRow]:
        """All keys of a tenant, newest first, without their secrets."""
        return self._rows.keys(tenant_id)

    def revoke_key(self, tenant_id: TenantId, key_id: str) -> bool:
        """Whether the tenant had such a key; from now on it is refused, by other processes within a second."""
        known = self._rows.revoke_key(tenant_id, key_id, self._clock())
        self._known.forget(lambda caller: caller.principal.principal_id == f"key:{key_id}")
        return known

    def _owner(self, principal: Principal) -> str:
        """The member whose key it will be: the person, or the owner of the key that asks."""
        kind, _, own_id = principal.principal_id.partition(":")
        if kind == "user":
            return own_id
        row = self._rows.key(principal.tenant_id, own_id) if kind == "key" else None
        if row is None:
            raise InvalidRequest("only people and their keys make keys", field="name")
        return row.user_id

    # Inside -----------------------------------------------------------------------------------------------

    def _is_still(self, user: UserRow, password: str) -> bool:
        """Whether the password of a user who was just verified is the right one still."""
        present = self._rows.user_by_email(user.email)
        if present is None:
            return False
        return present.password_hash == user.password_hash or self._passwords.verify(present.password_hash, password)

    def _membership(self, user_id: str, tenant_id: TenantId | None) -> Membership:
        memberships = self._rows.memberships(user_id, tenant_id)
        if not memberships:
            raise SignInFailed("e-mail or password is wrong", fix="check both; passwords are case-sensitive")
        return memberships[0]

    def _live_session(self, session_id: str, now: datetime) -> SessionRow:
        row = self._rows.session(session_id)
        if row is None or row.revoked_at is not None or row.expires_at <= now:
            raise InvalidToken("the session has ended", fix="sign in again")
        return row

    def _pair(
        self,
        session_id: str,
        user_id: str,
        membership: Membership,
        refresh: str,
        now: datetime,
        session_ends: datetime,
    ) -> TokenPair:
        scopes = tuple(sorted(scopes_of(membership.role, membership.scopes)))
        expires_at = min(now + timedelta(seconds=min(900, self._settings.access_lifetime_s)), session_ends)
        access = Claims(
            kind=TokenKind.ACCESS,
            user_id=user_id,
            tenant_id=membership.tenant_id,
            session_id=session_id,
            scopes=scopes,
            token_id=str(uuid.uuid4()),
            issued_at=now,
            expires_at=expires_at,
        )
        return TokenPair(
            access_token=self._signer.sign(access),
            refresh_token=refresh,
            expires_at=expires_at,
            session_id=session_id,
            user_id=user_id,
            tenant_id=TenantId(membership.tenant_id),
            scopes=scopes,
        )

    def _renewed(self, row: SessionRow, refresh: str, now: datetime) -> TokenPair:
        membership = self._membership(row.user_id, TenantId(row.tenant_id))
        return self._pair(row.session_id, row.user_id, membership, refresh, now, row.expires_at)

    def _successor(self, row: SessionRow, after: str, issued_at: datetime) -> str:
        return self._refresh_token(row.session_id, row.user_id, row.tenant_id, after, issued_at, row.expires_at)

    def _refresh_token(
        self, session_id: str, user_id: str, tenant_id: str, after: str, issued_at: datetime, ends: datetime
    ) -> str:
        """The refresh token that follows another (its hash): always the same, so that it can be given out again."""
        claims = Claims(
            kind=TokenKind.REFRESH,
            user_id=user_id,
            tenant_id=tenant_id,
            session_id=session_id,
            scopes=(),
            token_id=self._signer.derive("refresh", f"{session_id}/{after}"),
            issued_at=issued_at,
            expires_at=ends,
        )
        return self._signer.sign(claims)


def _is_live(row: ApiKeyRow, now: datetime) -> bool:
    return row.revoked_at is None and (row.expires_at is None or row.expires_at > now)


def _clean_email(email: str) -> str:
    cleaned = email.strip().lower()
    name, at, domain = cleaned.partition("@")
    if not (name and at and domain) or len(cleaned) > 254 or any(character.isspace() for character in cleaned):
        raise InvalidRequest("an e-mail address such as name@example.com is needed", field="email")
    return cleaned


__all__ = [
    "ApiKeyRow",
    "Caller",
    "Identity",
    "IdentitySettings",
    "InvalidToken",
    "NewApiKey",
    "Overloaded",
    "SignInFailed",
    "TokenPair",
]
