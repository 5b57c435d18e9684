"""E-mail, password and code in, a session out, in one of the person's tenants. A failure tells nobody who exists.

The session, the code that is used up and the audit of it are one transaction, in which the password that was verified
is still the right one.
"""

import secrets
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from oms_app.flow.audit import REFUSED, Actor, AdminAction, record
from oms_app.flow.errors import FlowError
from oms_app.flow.known_callers import Caller
from oms_app.flow.passwords import Passwords
from oms_app.flow.second_factors import SecondFactors, SecondFactorWrong, is_confirmed
from oms_app.flow.session_tokens import SessionTokens, TokenPair
from oms_app.flow.throttling import Taken, Throttling, device_hash, digest
from oms_app.store import known_devices, people_rows, second_factors, session_rows, throttles
from oms_app.store.identity_rows import Membership, UserRow
from oms_app.store.people_rows import NamedTenant
from oms_app.store.sql_store import SqlStore
from oms_app.store.throttles import Pace
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId

AUDITED = Pace(burst=10, every=timedelta(minutes=6))
AUDITED_IN_ALL = Pace(burst=300, every=timedelta(seconds=1))
TRIES = 3
"""How often a sign-in begins anew when the person's password changed while it was verified."""


class SignInFailed(FlowError):
    """E-mail or password is wrong; nothing says which."""

    code = "invalid_credentials"


class SecondFactorNeeded(FlowError):
    """The password is right and the account has a second factor: send its code as totp_code."""

    code = "totp_required"


class UnknownTenant(FlowError):
    """The person is no member of such a tenant: GET /api/v1/auth/me lists theirs."""

    code = "not_found"


class _Changed(Exception):
    """The password changed meanwhile."""


class SigningIn:
    """The door for people. Thread-safe."""

    def __init__(
        self,
        store: SqlStore,
        passwords: Passwords,
        tokens: SessionTokens,
        factors: SecondFactors,
        throttling: Throttling,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._tokens = tokens
        self._factors = factors
        self._throttling = throttling
        self._clock = clock

    def sign_in(
        self,
        email: str,
        password: str,
        *,
        actor: Actor,
        tenant_id: TenantId | None = None,
        tenant_slug: str | None = None,
        totp_code: str | None = None,
        device_token: str | None = None,
    ) -> TokenPair:
        """A new session's tokens, in the tenant that is named or else the person's first.

        Raises SignInFailed, SecondFactorNeeded, SecondFactorWrong, TooManyTries, Overloaded.
        """
        email = email.strip().lower()
        taken = self._throttling.admit(email, actor.address, device_token)
        for _ in range(TRIES):
            user = self._verified(email, password, actor)
            try:
                pair = self._admitted(user, taken, actor, tenant_id, tenant_slug, totp_code, device_token)
            except _Changed:
                continue
            if self._passwords.is_outdated(user.password_hash):
                fresh = self._passwords.rehash(password)
                with self._store.platform_unit() as unit:
                    people_rows.set_password(unit, user.user_id, fresh, replacing=user.password_hash)
            return pair
        raise _failed()

    def switch(self, caller: Caller, actor: Actor, tenant_id: TenantId | None, tenant_slug: str | None) -> TokenPair:
        """A session of the person in another of its tenants, ending no later. Raises UnknownTenant."""
        user_id, now = caller.user_id, self._clock()
        if user_id is None or caller.session_id is None:
            raise UnknownTenant("only people switch between tenants", fix="sign in")
        with self._store.read_unit(None) as unit:
            wanted = self._named(unit, user_id, tenant_id, tenant_slug)
            present = session_rows.get_session(unit, caller.session_id)
        if present is None or not wanted or (tenant_id is None and tenant_slug is None):
            raise UnknownTenant("you are no member of such a tenant", fix="GET /api/v1/auth/me lists your tenants")
        with self._store.tenant_unit(wanted[0]) as unit:
            membership = people_rows.membership(unit, user_id)
            if membership is None:
                raise UnknownTenant("you are no member of such a tenant", fix="GET /api/v1/auth/me lists your tenants")
            pair = self._tokens.begin(
                unit,
                user_id,
                membership,
                actor,
                second_factor_at=present.second_factor_at,
                ends=max(now, present.expires_at),
            )
            after = {"user_id": user_id, "method": "switch"}
            record(unit, actor, AdminAction("session.signed_in", "session", pair.session_id, after=after))
        return pair

    def tenants(self, user_id: str) -> Sequence[NamedTenant]:
        """The tenants in which the person is an active member, with the role in each."""
        with self._store.read_unit(None) as unit:
            candidates = people_rows.tenants_of(unit, user_id)
        found = []
        for tenant_id in candidates:
            with self._store.read_unit(tenant_id) as unit:
                membership = people_rows.membership(unit, user_id)
                if membership is not None:
                    found.append(people_rows.named_tenant(unit, membership))
        return found

    def _verified(self, email: str, password: str, actor: Actor) -> UserRow:
        with self._store.read_unit(None) as unit:
            user = people_rows.user_by_email(unit, email)
        stored = user.password_hash if user is not None and user.is_active else None
        if not self._passwords.verify(stored, password) or user is None:
            self._note_failure(email, user, actor, "password")
            raise _failed()
        return user

    def _admitted(
        self,
        user: UserRow,
        taken: Taken,
        actor: Actor,
        tenant_id: TenantId | None,
        tenant_slug: str | None,
        totp_code: str | None,
        device_token: str | None,
    ) -> TokenPair:
        code_taken = self._admit_code(user, totp_code)
        actor = msgspec.structs.replace(actor, principal_id=f"user:{user.user_id}")
        with self._store.read_unit(None) as unit:
            candidates = self._named(unit, user.user_id, tenant_id, tenant_slug)
        for candidate in candidates:
            try:
                with self._store.tenant_unit(candidate) as unit:
                    membership = people_rows.membership(unit, user.user_id)
                    if membership is None:
                        continue
                    pair = self._begun(unit, user, membership, actor, totp_code, device_token)
                    self._throttling.succeeded(unit, taken)
                    if code_taken is not None:
                        self._throttling.succeeded(unit, code_taken)
                    return pair
            except SecondFactorWrong:
                self._note_failure(user.email, user, actor, "second factor")
                raise
        self._note_failure(user.email, user, actor, "tenant")
        raise _failed()

    def _admit_code(self, user: UserRow, totp_code: str | None) -> Taken | None:
        """What the code's try took; None without a second factor. Raises SecondFactorNeeded, TooManyTries."""
        with self._store.read_unit(None) as unit:
            enrolled = is_confirmed(second_factors.get_factor(unit, user.user_id))
        if not enrolled:
            return None
        if totp_code is None:
            raise SecondFactorNeeded(
                "the code of your second factor is needed", field="totp_code", fix="send totp_code as well"
            )
        return self._throttling.admit_proof(user.user_id, signed_in=False)

    def _begun(
        self,
        unit: RowsUnit,
        user: UserRow,
        membership: Membership,
        actor: Actor,
        totp_code: str | None,
        device_token: str | None,
    ) -> TokenPair:
        now = self._clock()
        present = people_rows.user_by_id(unit, user.user_id, lock=True)
        if present is None or present.password_hash != user.password_hash:
            raise _Changed
        factor = second_factors.get_factor(unit, user.user_id)
        method, used_at = "password", None
        if factor is not None and is_confirmed(factor):
            if totp_code is None:
                raise _Changed  # it was enrolled a moment ago
            method, used_at = self._factors.use(unit, factor, totp_code, now), now
        pair = self._tokens.begin(unit, user.user_id, membership, actor, second_factor_at=used_at)
        after = {"user_id": user.user_id, "method": method}
        record(unit, actor, AdminAction("session.signed_in", "session", pair.session_id, after=after))
        if device_token and known_devices.is_known(unit, user.user_id, device_hash(device_token), _LONG_AGO):
            known_devices.remember(unit, user.user_id, device_hash(device_token))
            return pair
        device_token = secrets.token_urlsafe(24)
        known_devices.remember(unit, user.user_id, device_hash(device_token))
        return msgspec.structs.replace(pair, device_token=device_token)

    def _named(
        self, unit: RowsUnit, user_id: str, tenant_id: TenantId | None, tenant_slug: str | None
    ) -> Sequence[TenantId]:
        """The person's tenants that a request can mean, in a fixed order."""
        own = people_rows.tenants_of(unit, user_id)
        if tenant_slug is not None:
            tenant_id = people_rows.tenant_by_slug(unit, tenant_slug) or TenantId("")
        return own if tenant_id is None else [one for one in own if one == tenant_id]

    def _note_failure(self, email: str, user: UserRow | None, actor: Actor, what: str) -> None:
        """Put a failed try on record: a bounded number of each address, known or not, and of all together."""
        with self._store.platform_unit() as unit:
            for bucket, pace in ((f"audit:{digest(email)}", AUDITED), ("audit", AUDITED_IN_ALL)):
                if throttles.take(unit, bucket, pace, self._clock()):
                    return
            own = people_rows.tenants_of(unit, user.user_id) if user is not None else []
            object_id = user.user_id if user is not None else ""
            action = AdminAction("session.refused", "user", object_id, after={"method": what}, decision=REFUSED)
            record(unit, msgspec.structs.replace(actor, principal_id=""), action, own[0] if own else None)


_LONG_AGO = datetime.fromisoformat("2000-01-01T00:00:00+00:00")


def _failed() -> SignInFailed:
    return SignInFailed("e-mail or password is wrong", fix="check both; passwords are case-sensitive")


__all__ = ["SecondFactorNeeded", "SecondFactorWrong", "SignInFailed", "SigningIn"]
