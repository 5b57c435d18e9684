"""A session in, its tokens out, and the next ones for a refresh token: each works once, one head, whoever races.

A refresh token that was used before ends the whole session and is told to people, because somebody else may hold it.
Within ten seconds it gives the same successor again, because the answer may have been lost.
"""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import msgspec

from oms_app.flow.audit import REFUSED, Actor, AdminAction, record
from oms_app.flow.recognition import Recognition, granted, require_live
from oms_app.flow.scopes import scopes_of
from oms_app.flow.signing_keys import KeyRing, SigningKeys
from oms_app.flow.tokens import LONGEST_ACCESS, Claims, InvalidToken, SigningKey, TokenKind, TokenSigner, token_hash
from oms_app.store import people_rows, session_rows
from oms_app.store.identity_rows import Membership, SessionRow
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId

GRACE = timedelta(seconds=10)
"""How long the token before the present one still gets the present one: its answer may have been lost."""


class TokenPair(msgspec.Struct, frozen=True):
    """What signing in gives. device_token: new for a device that was not known; it is shown this once.

    needs_second_factor: the tenant lets nobody do anything without one, and this session used none.
    """

    access_token: str
    refresh_token: str
    expires_at: datetime
    session_id: str
    user_id: str
    tenant_id: TenantId
    scopes: tuple[str, ...]
    device_token: str = ""
    needs_second_factor: bool = False


class SessionTokens:
    """Begins sessions and renews their tokens. Thread-safe. on_reuse(tenant, user): a refresh token came twice."""

    def __init__(
        self,
        store: SqlStore,
        signer: TokenSigner,
        keys: SigningKeys,
        recognition: Recognition,
        clock: Callable[[], datetime],
        *,
        access_lifetime: timedelta,
        refresh_lifetime: timedelta,
        on_reuse: Callable[[TenantId, str], None],
    ) -> None:
        self._store = store
        self._signer = signer
        self._keys = keys
        self._recognition = recognition
        self._clock = clock
        self._access_lifetime = min(LONGEST_ACCESS, access_lifetime)
        self._refresh_lifetime = refresh_lifetime
        self._on_reuse = on_reuse

    def begin(
        self,
        unit: RowsUnit,
        user_id: str,
        membership: Membership,
        actor: Actor,
        *,
        second_factor_at: datetime | None = None,
        ends: datetime | None = None,
    ) -> TokenPair:
        """The tokens of a new session in the unit's tenant; part of the transaction that recognised the person."""
        now = self._clock()
        ring = self._keys.read(unit, now)
        session_id = str(uuid.uuid4())
        expires_at = ends or now + self._refresh_lifetime
        refresh = self._refresh_token(ring.newest, session_id, user_id, membership.tenant_id, "", now, expires_at)
        session = SessionRow(
            session_id=session_id,
            user_id=user_id,
            tenant_id=membership.tenant_id,
            refresh_hash=token_hash(refresh),
            previous_hash=None,
            rotated_at=now,
            expires_at=expires_at,
            revoked_at=None,
            address=actor.address,
            agent=actor.agent,
            last_used_at=now,
            second_factor_at=second_factor_at,
        )
        session_rows.add_session(unit, session)
        return self._pair(ring.newest, session, membership, refresh, now)

    def refresh(self, refresh_token: str, actor: Actor) -> TokenPair:
        """The session's next tokens. Raises InvalidToken."""
        now = self._clock()
        claims = self._recognition.claims_of(refresh_token, TokenKind.REFRESH, now)
        presented = token_hash(refresh_token)
        tenant_id = TenantId(claims.tenant_id)
        with self._store.tenant_unit(tenant_id) as unit:
            ring = self._keys.read(unit, now)
            session = require_live(session_rows.get_session(unit, claims.session_id, lock=True), now)
            membership = people_rows.membership(unit, session.user_id)
            if membership is None or session.tenant_id != tenant_id:
                raise InvalidToken("the session has ended", fix="sign in again")
            following = self._following(unit, ring, session, presented, now, actor)
            if following is None:
                self._end_family(unit, session, actor, now)
        if following is None:
            self._on_reuse(tenant_id, session.user_id)
            raise InvalidToken("the refresh token was used before; the session is closed", fix="sign in again")
        return self._pair(ring.newest, session, membership, following, now)

    def _following(
        self, unit: RowsUnit, ring: KeyRing, session: SessionRow, presented: str, now: datetime, actor: Actor
    ) -> str | None:
        """The refresh token that follows the one presented; None when that one was used before."""
        if session.refresh_hash == presented:
            new = self._successor(ring.newest, session, presented, now)
            moved = session_rows.rotate(
                unit,
                session.session_id,
                presented,
                token_hash(new),
                now,
                address=actor.address or session.address,
                agent=actor.agent or session.agent,
            )
            return new if moved else None
        if session.previous_hash == presented and now - session.rotated_at <= GRACE:
            for key in ring.keys.values():  # it may have been signed before the last rotation of keys
                again = self._successor(key, session, presented, session.rotated_at)
                if token_hash(again) == session.refresh_hash:
                    return again
        return None

    def _end_family(self, unit: RowsUnit, session: SessionRow, actor: Actor, now: datetime) -> None:
        session_rows.revoke(unit, now, session_id=session.session_id)
        who = msgspec.structs.replace(actor, principal_id=f"user:{session.user_id}")
        action = AdminAction("session.refresh_reused", "session", session.session_id, decision=REFUSED)
        record(unit, who, action)

    def _pair(
        self, key: SigningKey, session: SessionRow, membership: Membership, refresh: str, now: datetime
    ) -> TokenPair:
        expires_at = min(now + self._access_lifetime, session.expires_at)
        access = Claims(
            kind=TokenKind.ACCESS,
            user_id=session.user_id,
            tenant_id=membership.tenant_id,
            session_id=session.session_id,
            scopes=tuple(sorted(scopes_of(membership.role, membership.scopes))),
            token_id=str(uuid.uuid4()),
            issued_at=now,
            expires_at=expires_at,
        )
        return TokenPair(
            access_token=self._signer.sign(access, key),
            refresh_token=refresh,
            expires_at=expires_at,
            session_id=session.session_id,
            user_id=session.user_id,
            tenant_id=TenantId(membership.tenant_id),
            scopes=tuple(sorted(granted(membership, session))),
            needs_second_factor=membership.requires_second_factor and session.second_factor_at is None,
        )

    def _successor(self, key: SigningKey, session: SessionRow, after: str, issued_at: datetime) -> str:
        return self._refresh_token(
            key, session.session_id, session.user_id, session.tenant_id, after, issued_at, session.expires_at
        )

    def _refresh_token(
        self,
        key: SigningKey,
        session_id: str,
        user_id: str,
        tenant_id: str,
        after: str,
        issued_at: datetime,
        ends: datetime,
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
        return self._signer.sign(claims, key)
