"""Sign-in wired together: sessions, second factors, passwords, keys and who asks, for one process; thread-safe.

Each part has a module of its own; what many need stands here as a method.
"""

import uuid
from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta

import msgspec

from oms_app.flow.api_keys import key_hash
from oms_app.flow.audit import Actor, AdminAction, cli_actor, record
from oms_app.flow.known_callers import Caller, KnownCallers
from oms_app.flow.machine_keys import KeyWish, MachineKeys, NewApiKey
from oms_app.flow.password_changes import PasswordChanges, Post
from oms_app.flow.passwords import Overloaded, Passwords
from oms_app.flow.principal import Principal
from oms_app.flow.recognition import Recognition
from oms_app.flow.scopes import ROLES
from oms_app.flow.second_factors import SecondFactors
from oms_app.flow.session_list import SessionList, StepUpRequired
from oms_app.flow.session_tokens import SessionTokens, TokenPair
from oms_app.flow.signing_in import SecondFactorNeeded, SecondFactorWrong, SignInFailed, SigningIn
from oms_app.flow.signing_keys import SigningKeys
from oms_app.flow.throttling import Paces, Throttling, TooManyTries
from oms_app.flow.tokens import InvalidToken, SigningKey, TokenKind, TokenSigner
from oms_app.store import auth_epochs, people_rows
from oms_app.store.identity_rows import Membership, UserRow
from oms_app.store.key_rows import KeyRow
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import Conflict, KeySealer
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId, TenantId

SYSTEM = Actor(principal_id="system:oms")
"""Who acts when the system does something by itself."""


class IdentitySettings(msgspec.Struct, frozen=True):
    """How long things hold. Access tokens live at most 15 minutes. issuer: the name that authenticator apps show."""

    access_lifetime_s: int = 900
    refresh_lifetime_s: int = 14 * 24 * 3600
    remembered: int = 10_000
    paces: Paces = Paces()
    issuer: str = "OMS"


class Identity:
    """The doors for people and programs. on_reuse(tenant, user): a refresh token came twice. post: posts mails."""

    def __init__(
        self,
        store: SqlStore,
        secret: str,
        sealer: KeySealer,
        *,
        clock: Callable[[], datetime],
        passwords: Passwords | None = None,
        settings: IdentitySettings | None = None,
        is_simulated: Callable[[str], bool] = lambda broker: False,
        on_reuse: Callable[[TenantId, str], None] = lambda tenant_id, user_id: None,
        post: Post | None = None,
    ) -> None:
        settings = settings or IdentitySettings()
        access = timedelta(seconds=settings.access_lifetime_s)
        refresh = timedelta(seconds=settings.refresh_lifetime_s)
        self._store = store
        self._clock = clock
        self._signer = TokenSigner(secret)
        self._passwords = passwords or Passwords()
        lifetimes = {TokenKind.ACCESS: access, TokenKind.REFRESH: refresh}
        self.signing_keys = SigningKeys(secret, sealer, lifetimes)
        known = KnownCallers(clock, remembered=settings.remembered)
        self.recognition = Recognition(store, self._signer, self.signing_keys, known, clock)
        self.tokens = SessionTokens(
            store,
            self._signer,
            self.signing_keys,
            self.recognition,
            clock,
            access_lifetime=access,
            refresh_lifetime=refresh,
            on_reuse=on_reuse,
        )
        self.throttling = Throttling(store, clock, settings.paces)
        self.second_factors = SecondFactors(
            store, sealer, self._passwords, self.throttling, clock, issuer=settings.issuer
        )
        self.signing_in = SigningIn(store, self._passwords, self.tokens, self.second_factors, self.throttling, clock)
        self.sessions = SessionList(store, self._passwords, self.second_factors, self.throttling, clock)
        self.passwords = PasswordChanges(store, self._passwords, self.throttling, clock, post)
        self.machine_keys = MachineKeys(store, clock, is_simulated)

    # People -----------------------------------------------------------------------------------------------

    def create_user(self, email: str, password: str, tenant_id: TenantId, role: str, actor: Actor = SYSTEM) -> str:
        """The id of a new user who is a member of the tenant. Raises InvalidRequest on a bad e-mail or password."""
        email = _clean_email(email)
        user_id = str(uuid.uuid4())
        user = UserRow(user_id=user_id, email=email, password_hash=self._passwords.hash(password), is_active=True)
        if role not in ROLES:
            raise InvalidRequest(f"a role is one of {', '.join(ROLES)}", field="role")
        try:
            with self._store.tenant_unit(tenant_id) as unit:
                people_rows.add_user(unit, user, Membership(tenant_id=tenant_id, role=role, scopes=()))
                told = {"role": role, "tenant_id": tenant_id}
                record(unit, actor, AdminAction("user.created", "user", user_id, after=told))
        except Conflict:
            raise InvalidRequest("the e-mail address is taken", field="email") from None
        return user_id

    def reset_password(self, email: str, password: str) -> str | None:
        """See PasswordChanges.set."""
        return self.passwords.set(_clean_email(email), password, cli_actor())

    def sign_in(
        self,
        email: str,
        password: str,
        *,
        tenant_id: TenantId | None = None,
        tenant_slug: str | None = None,
        totp_code: str | None = None,
        device_token: str | None = None,
        actor: Actor = SYSTEM,
    ) -> TokenPair:
        """See SigningIn.sign_in."""
        return self.signing_in.sign_in(
            email,
            password,
            actor=actor,
            tenant_id=tenant_id,
            tenant_slug=tenant_slug,
            totp_code=totp_code,
            device_token=device_token,
        )

    def refresh(self, refresh_token: str, actor: Actor = SYSTEM) -> TokenPair:
        """See SessionTokens.refresh."""
        return self.tokens.refresh(refresh_token, actor)

    def sign_out(self, session_id: str, actor: Actor = SYSTEM) -> None:
        """Close a session: its tokens are refused everywhere from now on."""
        self.sessions.end(session_id, actor, action="session.signed_out")

    # Every request ----------------------------------------------------------------------------------------

    def caller_of_token(self, token: str, *, may_be_old: bool = False) -> Caller:
        """Who holds an access token. may_be_old: the epoch is confirmed later. Raises InvalidToken."""
        return self.recognition.of_token(token, may_be_old=may_be_old)

    def caller_of_key(self, key: str, *, may_be_old: bool = False) -> Caller:
        """Who holds an API key. may_be_old: the epoch is confirmed later. Raises InvalidToken."""
        return self.recognition.known_or_read(
            f"key:{key_hash(key)}", lambda: self.machine_keys.recognise(key), may_be_old=may_be_old
        )

    def lasts_s(self, caller: Caller) -> float | None:
        """Seconds until the caller's token or key ends; None: it does not end by itself."""
        return None if caller.expires_at is None else (caller.expires_at - self._clock()).total_seconds()

    def epochs(self, tenant_ids: Collection[TenantId]) -> dict[TenantId, int]:
        """The present auth epochs of these tenants, in one statement."""
        with self._store.read_unit(None) as unit:
            return auth_epochs.read_many(unit, tenant_ids)

    def signing_key(self, key_id: str, kind: TokenKind) -> SigningKey | None:
        """The key of this name as this process remembers it; good for a first look at a token, not for believing it."""
        return self.recognition.signing_key(key_id, kind, self._clock())

    def rotate_signing_key(self, actor: Actor, *, at_once: bool = False) -> str:
        """The id of the key that signs tokens from now on, in every process.

        at_once: whatever was signed before is refused everywhere from now on, and all people sign in again.
        """
        with self._store.platform_unit() as unit:
            key_id = self.signing_keys.rotate(unit, self._clock(), at_once=at_once)
            action = AdminAction("signing_key.rotated", "signing_key", key_id, after={"at_once": at_once})
            record(unit, actor, action)
            if at_once:
                auth_epochs.bump(unit, *people_rows.all_tenants(unit))
        return key_id

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
        """See MachineKeys.create."""
        accounts = tuple(account_ids) if account_ids is not None else None
        wish = KeyWish(name=name, scopes=tuple(scopes), account_ids=accounts, expires_at=expires_at)
        return self.machine_keys.create(principal, wish)

    def keys(self, tenant_id: TenantId) -> Sequence[KeyRow]:
        """All keys of a tenant, newest first, without their secrets."""
        return self.machine_keys.keys(tenant_id)


def _clean_email(email: str) -> str:
    cleaned = email.strip().lower()
    name, at, domain = cleaned.partition("@")
    if not (name and at and domain) or len(cleaned) > 254 or any(character.isspace() for character in cleaned):
        raise InvalidRequest("an e-mail address such as name@example.com is needed", field="email")
    return cleaned


__all__ = [
    "Caller",
    "Identity",
    "IdentitySettings",
    "InvalidToken",
    "NewApiKey",
    "Overloaded",
    "SecondFactorNeeded",
    "SecondFactorWrong",
    "SignInFailed",
    "StepUpRequired",
    "TokenPair",
    "TooManyTries",
]
