"""A token or key in, its Caller out, as of the tenant's present auth epoch: what was revoked is refused at once.

Each request reads the epoch, one cheap statement, and whoever is known at that epoch is not looked up again. A request
that the ledger's transaction decides may be answered from memory first: that transaction reads the epoch itself.
"""

from collections.abc import Callable
from datetime import datetime

from oms_app.flow.known_callers import Caller, KnownCallers
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import scopes_of
from oms_app.flow.signing_keys import KeyRing, SigningKeys
from oms_app.flow.tokens import Claims, InvalidToken, SigningKey, TokenKind, TokenSigner, key_id_of, token_hash
from oms_app.store import people_rows, session_rows
from oms_app.store.identity_rows import Membership, SessionRow
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.ids import TenantId


class Recognition:
    """Recognises callers for one process; thread-safe."""

    def __init__(
        self,
        store: SqlStore,
        signer: TokenSigner,
        keys: SigningKeys,
        known: KnownCallers,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._signer = signer
        self._keys = keys
        self._known = known
        self._clock = clock

    def of_token(self, token: str, *, may_be_old: bool = False) -> Caller:
        """Who holds an access token. may_be_old: the epoch is confirmed later. Raises InvalidToken."""
        digest = f"token:{token_hash(token)}"  # what is known as a token is no key, and the other way round
        return self.known_or_read(digest, lambda: self._read(token), may_be_old=may_be_old)

    def known_or_read(self, digest: str, read: Callable[[], Caller], *, may_be_old: bool = False) -> Caller:
        """The caller as known at the tenant's present epoch, else as `read` tells it now."""
        caller = self._known.get(digest)
        if caller is not None:
            if may_be_old or self._store.auth_epoch(caller.principal.tenant_id) == caller.epoch:
                return caller
            self._known.forget(digest)
        caller = read()
        self._known.keep(digest, caller)
        return caller

    def claims_of(self, token: str, kind: TokenKind, now: datetime) -> Claims:
        """What a token says that one of our keys signed. Raises InvalidToken."""
        return self._signer.read(token, kind, now, lambda key_id: self.signing_key(key_id, kind, now))

    def signing_key(self, key_id: str, kind: TokenKind, now: datetime) -> SigningKey | None:
        """The key as this process remembers it: enough to tell forgeries apart."""
        return self._keys.remembered(key_id, kind, now, self._ring)

    def _ring(self) -> KeyRing:
        with self._store.read_unit(None) as unit:
            return self._keys.read(unit, self._clock())

    def _read(self, token: str) -> Caller:
        now = self._clock()
        claims = self.claims_of(token, TokenKind.ACCESS, now)
        tenant_id = TenantId(claims.tenant_id)
        epoch = self._store.auth_epoch(tenant_id)  # before the rows: what changes after this is read again
        with self._store.read_unit(tenant_id) as unit:
            ring = self._keys.read(unit, now)
            if ring.find(key_id_of(token, TokenKind.ACCESS), TokenKind.ACCESS, now) is None:
                raise InvalidToken("the token was signed with a key that is no longer believed", fix="sign in again")
            session = require_live(session_rows.get_session(unit, claims.session_id), now)
            membership = people_rows.membership(unit, session.user_id)
        if membership is None or session.tenant_id != tenant_id or session.user_id != claims.user_id:
            raise InvalidToken("the session has ended", fix="sign in again")
        return Caller(
            principal=Principal(
                principal_id=f"user:{session.user_id}",
                tenant_id=tenant_id,
                scopes=granted(membership, session) & frozenset(claims.scopes),
                account_ids=None,
            ),
            session_id=session.session_id,
            expires_at=claims.expires_at,
            epoch=epoch,
        )


def granted(membership: Membership, session: SessionRow | None) -> frozenset[str]:
    """What a member may do in a session: nothing while the tenant requires a second factor and none was used."""
    if membership.requires_second_factor and (session is None or session.second_factor_at is None):
        return frozenset()
    return scopes_of(membership.role, membership.scopes)


def require_live(session: SessionRow | None, now: datetime) -> SessionRow:
    """The session, when it has not ended. Raises InvalidToken."""
    if session is None or session.revoked_at is not None or session.expires_at <= now:
        raise InvalidToken("the session has ended", fix="sign in again")
    return session
