"""Sessions listed, ended, and stepped up: a person's own, and for administrators those of their tenant's members."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import FlowError
from oms_app.flow.known_callers import Caller
from oms_app.flow.passwords import Passwords
from oms_app.flow.second_factors import SecondFactors, is_confirmed
from oms_app.flow.throttling import Throttling
from oms_app.store import people_rows, second_factors, session_rows
from oms_app.store.identity_rows import SessionRow
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.ids import TenantId

STEP_UP_LASTS = timedelta(minutes=5)


class StepUpRequired(FlowError):
    """This needs a session whose person proved it anew within five minutes."""

    code = "step_up_required"


class ProofFailed(FlowError):
    """The password or code is wrong."""

    code = "invalid_credentials"


class SessionList:
    """What people do with sessions that exist. Thread-safe."""

    def __init__(
        self,
        store: SqlStore,
        passwords: Passwords,
        factors: SecondFactors,
        throttling: Throttling,
        clock: Callable[[], datetime],
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._factors = factors
        self._throttling = throttling
        self._clock = clock

    def of_person(self, user_id: str) -> Sequence[SessionRow]:
        """The person's sessions in all tenants, used last first."""
        with self._store.read_unit(None) as unit:
            return session_rows.live_sessions(unit, self._clock(), user_id=user_id)

    def of_tenant(self, tenant_id: TenantId, user_id: str | None = None) -> Sequence[SessionRow]:
        """The sessions of a tenant's members there, of one of them when named."""
        with self._store.read_unit(None) as unit:
            return session_rows.live_sessions(unit, self._clock(), user_id=user_id, tenant_id=tenant_id)

    def end(
        self,
        session_id: str,
        actor: Actor,
        *,
        user_id: str | None = None,
        tenant_id: TenantId | None = None,
        action: str = "session.ended",
    ) -> bool:
        """Whether such a session of this person, or in this tenant, ended now; refused everywhere from then on."""
        with self._store.platform_unit() as unit:
            ended = session_rows.revoke(
                unit, self._clock(), session_id=session_id, user_id=user_id, tenant_id=tenant_id
            )
            for session in ended:
                act = AdminAction(action, "session", session.session_id, after={"user_id": session.user_id})
                record(unit, actor, act, TenantId(session.tenant_id))
        return bool(ended)

    def end_all(self, actor: Actor, *, user_id: str, tenant_id: TenantId | None = None, but: str | None = None) -> int:
        """How many sessions of the person ended now: all, in all tenants or one, except `but`."""
        with self._store.platform_unit() as unit:
            ended = session_rows.revoke(unit, self._clock(), user_id=user_id, tenant_id=tenant_id, but=but)
            for concerned in sorted({session.tenant_id for session in ended}):
                gone = [session.session_id for session in ended if session.tenant_id == concerned]
                act = AdminAction(
                    "session.ended_all", "session", user_id, after={"user_id": user_id, "session_id": gone}
                )
                record(unit, actor, act, TenantId(concerned))
        return len(ended)

    def step_up(self, caller: Caller, actor: Actor, *, password: str | None, totp_code: str | None) -> datetime:
        """Until when the session may do what needs a fresh proof: the code when one is enrolled, else the password.

        Raises StepUpRequired (a key has no session), ProofFailed, SecondFactorWrong, TooManyTries, Overloaded.
        """
        user_id, session_id = caller.user_id, caller.session_id
        if user_id is None or session_id is None:
            raise StepUpRequired("an API key cannot prove who uses it", fix="sign in as a person, then step up")
        taken = self._throttling.admit_proof(user_id)
        with self._store.read_unit(None) as unit:
            user = people_rows.user_by_id(unit, user_id)
            enrolled = is_confirmed(second_factors.get_factor(unit, user_id))
        if enrolled and not totp_code:
            raise ProofFailed("the code of your second factor is needed", field="totp_code", fix="send totp_code")
        if not enrolled and not password:
            raise ProofFailed("your password is needed", field="password", fix="send password")
        if not enrolled and not self._passwords.verify(
            user.password_hash if user is not None else None, password or ""
        ):
            raise ProofFailed("the password is wrong", field="password", fix="send your password")
        now = self._clock()
        with self._store.tenant_unit(caller.principal.tenant_id) as unit:
            factor = second_factors.get_factor(unit, user_id)
            if enrolled and factor is not None:
                self._factors.use(unit, factor, totp_code or "", now)
            session_rows.note_step_up(unit, session_id, now, second_factor=enrolled)
            self._throttling.succeeded(unit, taken)
            record(unit, actor, AdminAction("session.stepped_up", "session", session_id, after={"user_id": user_id}))
        return now + STEP_UP_LASTS

    def require_step_up(self, caller: Caller) -> None:
        """Nothing, when the session's person proved it anew within five minutes. Raises StepUpRequired."""
        if caller.session_id is None:
            raise StepUpRequired(
                "an API key may not do this: a person must prove it anew",
                fix="sign in (POST /api/v1/auth/login), step up (POST /api/v1/auth/step-up), repeat with that token",
            )
        with self._store.read_unit(None) as unit:
            session = session_rows.get_session(unit, caller.session_id)
        if session is None or session.stepped_up_at is None or self._clock() - session.stepped_up_at >= STEP_UP_LASTS:
            raise StepUpRequired(
                "this needs a proof of who you are that is less than five minutes old",
                fix="POST /api/v1/auth/step-up with totp_code, or password without a second factor; then repeat this",
            )


class ShownSession(msgspec.Struct, frozen=True):
    """A session as people see it."""

    session_id: str
    user_id: str
    tenant_id: str
    address: str
    agent: str
    created_at: datetime
    last_used_at: datetime | None
    expires_at: datetime
    has_second_factor: bool
    is_current: bool


def shown(session: SessionRow, caller: Caller) -> ShownSession:
    """The session without anything secret."""
    return ShownSession(
        session_id=session.session_id,
        user_id=session.user_id,
        tenant_id=session.tenant_id,
        address=session.address,
        agent=session.agent,
        created_at=session.created_at or session.rotated_at,
        last_used_at=session.last_used_at,
        expires_at=session.expires_at,
        has_second_factor=session.second_factor_at is not None,
        is_current=session.session_id == caller.session_id,
    )
