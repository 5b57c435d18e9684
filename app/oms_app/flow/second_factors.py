"""A person's second factor: enrol, verify, use, remove. Each code counts once, in the transaction that it lets through.

Secrets are sealed; recovery codes have 80 bits and are kept as SHA-256. Both are shown once.
"""

import base64
import hashlib
import io
import secrets
from collections.abc import Callable
from datetime import datetime

import msgspec

from oms_app.flow import totp
from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import FlowError
from oms_app.flow.known_callers import Caller
from oms_app.flow.passwords import Passwords
from oms_app.flow.throttling import Throttling
from oms_app.store import auth_epochs, people_rows, session_rows
from oms_app.store import second_factors as rows
from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.second_factors import SecondFactorRow
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import KeySealer, RowsUnit

TABLE, COLUMN = "second_factors", "secret"
RECOVERY_CODES = 10
_CODE_BYTES = 10
_GROUP = 4


class SecondFactorWrong(FlowError):
    """The code is wrong, was used before or is too old: wait for the next one."""

    code = "invalid_code"


class NotEnrolled(FlowError):
    """There is no second factor to do this with: enrol one first."""

    code = "conflict"


class Enrolment(msgspec.Struct, frozen=True):
    """What an authenticator app needs, shown this once. qr_svg: the URI as an image."""

    secret: str
    uri: str
    qr_svg: str


class SecondFactors:
    """Second factors of people. Thread-safe."""

    def __init__(
        self,
        store: SqlStore,
        sealer: KeySealer,
        passwords: Passwords,
        throttling: Throttling,
        clock: Callable[[], datetime],
        *,
        issuer: str = "OMS",
    ) -> None:
        self._store = store
        self._sealer = sealer
        self._passwords = passwords
        self._throttling = throttling
        self._clock = clock
        self._issuer = issuer

    def is_enrolled(self, user_id: str) -> bool:
        """Whether the person signs in with a second factor."""
        with self._store.read_unit(None) as unit:
            return is_confirmed(rows.get_factor(unit, user_id))

    def codes_left(self, user_id: str) -> int:
        """How many recovery codes still work."""
        with self._store.read_unit(None) as unit:
            return rows.recovery_codes_left(unit, user_id)

    def enrol(self, user_id: str, actor: Actor) -> Enrolment:
        """A new secret, which counts once `verify` has seen a code. Raises NotEnrolled when one counts already."""
        secret = totp.new_secret()
        with self._store.platform_unit() as unit:
            user = people_rows.user_by_id(unit, user_id, lock=True)
            if user is None or is_confirmed(rows.get_factor(unit, user_id)):
                raise NotEnrolled("there is a second factor already", fix="remove it first: DELETE /api/v1/auth/totp")
            sealed = self._sealer.seal(PLATFORM_TENANT, TABLE, user_id, {COLUMN: secret.hex()})
            rows.put_unconfirmed(unit, user_id, sealed)
            record(unit, actor, AdminAction("second_factor.enrolment_begun", "user", user_id))
        uri = totp.provisioning_uri(secret, user.email, self._issuer)
        return Enrolment(secret=totp.shown_secret(secret), uri=uri, qr_svg=_drawn(uri))

    def verify(self, caller: Caller, user_id: str, code: str, actor: Actor) -> tuple[str, ...]:
        """The recovery codes, now that the first code was right and the factor counts; other sessions end.

        Raises SecondFactorWrong, NotEnrolled, TooManyTries.
        """
        taken = self._throttling.admit_proof(user_id)
        now = self._clock()
        with self._store.tenant_unit(caller.principal.tenant_id) as unit:
            factor = rows.get_factor(unit, user_id)
            if factor is None or is_confirmed(factor):
                raise NotEnrolled("no enrolment is under way", fix="begin one: POST /api/v1/auth/totp/enrol")
            self._use_step(unit, factor, code, now)
            rows.confirm(unit, user_id, now)
            codes = self._new_codes(unit, user_id)
            if caller.session_id is not None:
                session_rows.note_step_up(unit, caller.session_id, now, second_factor=True)
            session_rows.revoke(unit, now, user_id=user_id, but=caller.session_id)
            self._throttling.succeeded(unit, taken)
            record(unit, actor, AdminAction("second_factor.enrolled", "user", user_id))
            auth_epochs.bump_user(unit, user_id)
        return codes

    def renew_codes(self, user_id: str, actor: Actor) -> tuple[str, ...]:
        """Fresh recovery codes; those from before work no more. Raises NotEnrolled."""
        with self._store.platform_unit() as unit:
            people_rows.user_by_id(unit, user_id, lock=True)
            if not is_confirmed(rows.get_factor(unit, user_id)):
                raise NotEnrolled("there is no second factor", fix="enrol one: POST /api/v1/auth/totp/enrol")
            codes = self._new_codes(unit, user_id)
            record(unit, actor, AdminAction("second_factor.codes_renewed", "user", user_id))
        return codes

    def remove(self, user_id: str, password: str, code: str, actor: Actor) -> None:
        """Sign in by password alone from now on. Raises SecondFactorWrong, NotEnrolled, TooManyTries."""
        taken = self._throttling.admit_proof(user_id)
        with self._store.read_unit(None) as unit:
            user = people_rows.user_by_id(unit, user_id)
        right = self._passwords.verify(user.password_hash if user is not None else None, password)
        if not right:
            raise SecondFactorWrong("the password or the code is wrong", fix="check both")
        now = self._clock()
        with self._store.platform_unit() as unit:
            factor = rows.get_factor(unit, user_id)
            if factor is None or not is_confirmed(factor):
                raise NotEnrolled("there is no second factor", fix="enrol one: POST /api/v1/auth/totp/enrol")
            self.use(unit, factor, code, now)
            rows.remove(unit, user_id)
            session_rows.forget_second_factor(unit, user_id)
            self._throttling.succeeded(unit, taken)
            record(unit, actor, AdminAction("second_factor.removed", "user", user_id))
            auth_epochs.bump_user(unit, user_id)

    def use(self, unit: RowsUnit, factor: SecondFactorRow, code: str, now: datetime) -> str:
        """How the person proved it, "totp" or "recovery_code"; the code is used up with this transaction.

        Raises SecondFactorWrong.
        """
        code = code.strip().replace(" ", "")
        if len(code) == totp.DIGITS and code.isdecimal():
            self._use_step(unit, factor, code, now)
            return "totp"
        if rows.use_recovery_code(unit, factor.user_id, _code_hash(factor.user_id, code), now):
            return "recovery_code"
        raise _wrong()

    def _use_step(self, unit: RowsUnit, factor: SecondFactorRow, code: str, now: datetime) -> None:
        opened = self._sealer.open(PLATFORM_TENANT, TABLE, factor.user_id, factor.secret)
        step = totp.matching_step(bytes.fromhex(opened[COLUMN]), code.strip().replace(" ", ""), now, factor.last_step)
        if step is None or not rows.use_step(unit, factor.user_id, step):
            raise _wrong()

    def _new_codes(self, unit: RowsUnit, user_id: str) -> tuple[str, ...]:
        codes = tuple(_new_code() for _ in range(RECOVERY_CODES))
        rows.replace_recovery_codes(unit, user_id, [_code_hash(user_id, code) for code in codes])
        return codes


def is_confirmed(factor: SecondFactorRow | None) -> bool:
    """Whether the factor counts."""
    return factor is not None and factor.confirmed_at is not None


def _wrong() -> SecondFactorWrong:
    return SecondFactorWrong("the code is wrong or was used before", fix="wait for the next code, then try again")


def _new_code() -> str:
    """80 random bits as four groups of four letters and digits."""
    text = base64.b32encode(secrets.token_bytes(_CODE_BYTES)).decode().lower()
    return "-".join(text[at : at + _GROUP] for at in range(0, len(text), _GROUP))


def _code_hash(user_id: str, code: str) -> bytes:
    plain = code.lower().replace("-", "")
    return hashlib.sha256(f"{user_id}/{plain}".encode("utf-8", "replace")).digest()


def _drawn(uri: str) -> str:
    import segno

    image = io.BytesIO()
    segno.make(uri, micro=False).save(image, kind="svg", scale=5, border=4, xmldecl=False, light="#fff")
    return image.getvalue().decode()
