"""The table of mails: what each is for, how long its token lives, the page that takes the token, and its words."""

from collections.abc import Mapping
from datetime import timedelta
from enum import StrEnum
from typing import Any

import msgspec


class MailKind(StrEnum):
    """What a mail is about; the word is also the kind of its one-time token."""

    INVITATION = "invitation"
    VERIFY_EMAIL = "verify_email"
    RESET_PASSWORD = "reset_password"  # noqa: S105 - the name of a kind
    REGISTRATION = "registration"
    ALREADY_REGISTERED = "already_registered"
    PASSWORD_CHANGED = "password_changed"  # noqa: S105 - the name of a kind


class MailSpec(msgspec.Struct, frozen=True):
    """One kind. lasting: how long its token works from the sending on; None: it has none.

    page: where on the dashboard the token is taken; it follows behind a `#`, which browsers keep to themselves.
    title and text hold names of params in braces, and {link}.
    """

    title: str
    text: str
    page: str = ""
    lasting: timedelta | None = None


MAILS: dict[MailKind, MailSpec] = {
    MailKind.INVITATION: MailSpec(
        title="Invitation to {tenant}",
        text="{inviter} invites you to {tenant} as {role}.\n\n"
        "To accept, open this link within 7 days. It works once.\n\n{link}\n\n"
        "If you did not expect this, do nothing.\n",
        page="/invitation",
        lasting=timedelta(days=7),
    ),
    MailKind.VERIFY_EMAIL: MailSpec(
        title="Confirm your e-mail address",
        text="To confirm that this address is yours, open this link within 24 hours. It works once.\n\n{link}\n\n"
        "If you did not ask for it, do nothing.\n",
        page="/verify-email",
        lasting=timedelta(hours=24),
    ),
    MailKind.RESET_PASSWORD: MailSpec(
        title="Set a new password",
        text="To set a new password, open this link within 30 minutes. It works once.\n\n{link}\n\n"
        "If you did not ask for it, do nothing: your password stays as it is.\n",
        page="/reset-password",
        lasting=timedelta(minutes=30),
    ),
    MailKind.REGISTRATION: MailSpec(
        title="Finish your registration",
        text="To finish your registration, open this link within 24 hours and choose a password.\n\n{link}\n\n"
        "If you did not ask for it, do nothing: nothing was made.\n",
        page="/registration",
        lasting=timedelta(hours=24),
    ),
    MailKind.ALREADY_REGISTERED: MailSpec(
        title="You have an account already",
        text="Somebody, perhaps you, asked to register this address. It has an account: sign in at\n\n{link}\n\n"
        "If you forgot the password, ask there for a new one. If it was not you, do nothing.\n",
        page="/login",
    ),
    MailKind.PASSWORD_CHANGED: MailSpec(
        title="Your password was changed",
        text="The password of your account was changed at {at}, and all its sessions were ended.\n\n"
        "If it was not you, set a new one at once: {link}\n",
        page="/login",
    ),
}


def worded(kind: MailKind, params: Mapping[str, Any], link: str) -> tuple[str, str]:
    """(title, text) of a mail."""
    spec = MAILS[kind]
    words = {**{name: str(value) for name, value in params.items()}, "link": link}
    return spec.title.format_map(words), spec.text.format_map(words)
