"""A new password in, by the old one or by a token that came by mail; the person's other sessions end with it."""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Protocol

import msgspec

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.errors import FlowError
from oms_app.flow.known_callers import Caller
from oms_app.flow.mail_kinds import MailKind
from oms_app.flow.passwords import Passwords, check_new_password
from oms_app.flow.throttling import Throttling
from oms_app.store import known_devices, one_time_tokens, people_rows, session_rows
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.errors import InvalidRequest


class Post(Protocol):
    """Posts a mail with the unit's change."""

    def __call__(
        self, unit: RowsUnit, kind: MailKind, address: str, subject: str, *, params: Mapping[str, Any] | None = None
    ) -> object:
        """subject: whom it is about."""


class WrongPassword(FlowError):
    """The present password is wrong."""

    code = "invalid_credentials"


class SpentToken(FlowError):
    """The token is unknown, expired or was used: ask for a new one."""

    code = "invalid_token"


class PasswordChanges:
    """Changes and resets passwords. Thread-safe. post: how mails are posted; None sends none."""

    def __init__(
        self,
        store: SqlStore,
        passwords: Passwords,
        throttling: Throttling,
        clock: Callable[[], datetime],
        post: Post | None,
    ) -> None:
        self._store = store
        self._passwords = passwords
        self._throttling = throttling
        self._clock = clock
        self._post = post

    def change(self, caller: Caller, actor: Actor, present: str, new: str) -> None:
        """Replace the password; the person's other sessions end. Raises WrongPassword, InvalidRequest, TooManyTries."""
        user_id = caller.user_id
        if user_id is None:
            raise WrongPassword("an API key has no password", fix="sign in")
        check_new_password(new, field="new_password")
        taken = self._throttling.admit_proof(user_id)
        with self._store.read_unit(None) as unit:
            user = people_rows.user_by_id(unit, user_id)
        if user is None or not self._passwords.verify(user.password_hash, present):
            raise WrongPassword("the present password is wrong", field="password", fix="send your present password")
        if present == new:
            raise InvalidRequest("the new password is the present one", field="new_password")
        hashed = self._passwords.hash(new, field="new_password")
        with self._store.tenant_unit(caller.principal.tenant_id) as unit:
            people_rows.set_password(unit, user_id, hashed)
            session_rows.revoke(unit, self._clock(), user_id=user_id, but=caller.session_id)
            self._throttling.succeeded(unit, taken)
            self._tell(unit, user.email, user_id)
            record(unit, actor, AdminAction("user.password_changed", "user", user_id))

    def set(self, email: str, password: str, actor: Actor) -> str | None:
        """The id of the person, who has this password now and no session any more; None when nobody has the e-mail.

        For people who administer this machine.
        """
        with self._store.read_unit(None) as unit:
            user = people_rows.user_by_email(unit, email.strip().lower())
        if user is None:
            return None
        self._replace(user.user_id, self._passwords.hash(password), actor, "user.password_set")
        return user.user_id

    def ask_reset(self, email: str, actor: Actor) -> None:
        """Mail a token to the address, if an active person has it; nothing tells whether. Raises TooManyTries."""
        email = email.strip().lower()
        self._throttling.admit_reset(email, actor.address)
        with self._store.platform_unit() as unit:
            user = people_rows.user_by_email(unit, email)
            if user is not None and user.is_active and self._post is not None:
                self._post(unit, MailKind.RESET_PASSWORD, user.email, user.user_id)
                who = msgspec.structs.replace(actor, principal_id="")
                own = people_rows.tenants_of(unit, user.user_id)
                action = AdminAction("user.password_reset_asked", "user", user.user_id)
                record(unit, who, action, own[0] if own else None)

    def reset(self, token: str, password: str, actor: Actor) -> None:
        """Set the password of the person to whom the token was mailed. Raises SpentToken, InvalidRequest.

        The token is good for one use; a password that is refused does not use it up.
        """
        check_new_password(password)
        with self._store.read_unit(None) as unit:
            ticket = one_time_tokens.look(unit, MailKind.RESET_PASSWORD, token)
        if ticket is None:
            raise _spent()
        hashed = self._passwords.hash(password)
        with self._store.platform_unit() as unit:
            ticket = one_time_tokens.use(unit, MailKind.RESET_PASSWORD, token)
            user = people_rows.user_by_id(unit, ticket.subject) if ticket is not None else None
            if user is not None and user.is_active:
                who = msgspec.structs.replace(actor, principal_id=f"user:{user.user_id}")
                self._replace_in(unit, user.user_id, hashed, who, "user.password_reset")
                self._tell(unit, user.email, user.user_id)
        if user is None or not user.is_active:
            raise _spent()

    def _replace(self, user_id: str, hashed: str, actor: Actor, action: str) -> None:
        with self._store.platform_unit() as unit:
            self._replace_in(unit, user_id, hashed, actor, action)

    def _replace_in(self, unit: RowsUnit, user_id: str, hashed: str, actor: Actor, action: str) -> None:
        people_rows.set_password(unit, user_id, hashed)
        known_devices.forget_all(unit, user_id)
        session_rows.revoke(unit, self._clock(), user_id=user_id)
        own = people_rows.tenants_of(unit, user_id)
        record(unit, actor, AdminAction(action, "user", user_id), own[0] if own else None)

    def _tell(self, unit: RowsUnit, email: str, user_id: str) -> None:
        if self._post is not None:
            at = f"{self._clock():%Y-%m-%d %H:%M} UTC"
            self._post(unit, MailKind.PASSWORD_CHANGED, email, user_id, params={"at": at})


def _spent() -> SpentToken:
    return SpentToken(
        "the token is unknown, expired or was used",
        field="token",
        fix="ask for a new one: POST /api/v1/auth/password-reset",
    )
