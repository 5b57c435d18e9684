"""A finished message in, a message on its way out: by SMTP, or as a file in the home where no mail server is named.

Neither writes an address, a text or a token into a log.
"""

import os
import smtplib
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import datetime
from email.message import EmailMessage
from email.utils import format_datetime
from pathlib import Path
from typing import Protocol

import msgspec

from oms_app.config import SmtpTls

LONGEST_LINE = 900
"""Characters; mail servers take at most 998."""
OUTBOX = "outbox"
"""The folder of the home that the embedded mailer writes into."""


class MailFailed(Exception):
    """The message did not go out. retry: whether it may later; the text names no address."""

    code = "mail_failed"

    def __init__(self, text: str, *, retry: bool) -> None:
        super().__init__(text)
        self.text = text
        self.retry = retry


class Message(msgspec.Struct, frozen=True):
    """What is sent, plain text. `message_id` stays the same over attempts."""

    message_id: str
    address: str
    title: str
    text: str


class Mailer(Protocol):
    """Sends messages one by one; thread-safe."""

    def send(self, message: Message) -> None:
        """Send it, or raise MailFailed."""


class SmtpSettings(msgspec.Struct, frozen=True, kw_only=True):
    """A mail server. Without a user nobody signs in."""

    host: str
    port: int = 587
    user: str = ""
    password: str = ""
    tls: SmtpTls = SmtpTls.STARTTLS
    timeout_s: float = 15.0

    def __repr__(self) -> str:
        return f"SmtpSettings({self.host}:{self.port}, {self.tls})"


class SmtpMailer:
    """Gives each message to a mail server, on a connection of its own whose certificate is checked."""

    def __init__(self, settings: SmtpSettings, sender: str, clock: Callable[[], datetime]) -> None:
        self._settings = settings
        self._sender = sender
        self._clock = clock

    def send(self, message: Message) -> None:
        """Send it. Raises MailFailed; what the server says is told by its code only."""
        try:
            server = self._connected()
            try:
                server.send_message(_mime(message, self._sender, self._clock()))
                _part(server)
            finally:
                server.close()
        except smtplib.SMTPRecipientsRefused as error:
            codes = [code for code, _text in error.recipients.values()]
            raise MailFailed(f"the mail server refused the address ({codes[0]})", retry=codes[0] < 500) from None
        except smtplib.SMTPResponseException as error:
            retry = error.smtp_code < 500 or isinstance(error, smtplib.SMTPAuthenticationError)
            raise MailFailed(f"{type(error).__name__} ({error.smtp_code})", retry=retry) from None
        except (smtplib.SMTPException, OSError) as error:
            raise MailFailed(f"the mail server does not serve ({type(error).__name__})", retry=True) from None

    def _connected(self) -> smtplib.SMTP:
        wanted = self._settings
        if wanted.tls is SmtpTls.TLS:
            context = ssl.create_default_context()
            server: smtplib.SMTP = smtplib.SMTP_SSL(wanted.host, wanted.port, timeout=wanted.timeout_s, context=context)
        else:
            server = smtplib.SMTP(wanted.host, wanted.port, timeout=wanted.timeout_s)
        try:
            if wanted.tls is SmtpTls.STARTTLS:
                server.starttls(context=ssl.create_default_context())
            if wanted.user:
                server.login(wanted.user, wanted.password)
        except BaseException:
            server.close()
            raise
        return server


class FolderMailer:
    """Writes each message as an .eml file that only this user may read; for a home without a mail server.

    A file is there whole or not at all.
    """

    def __init__(self, folder: Path, sender: str, clock: Callable[[], datetime]) -> None:
        self._folder = folder
        self._sender = sender
        self._clock = clock

    def send(self, message: Message) -> None:
        """Write it. Raises MailFailed when the folder cannot be written."""
        at = self._clock()
        try:
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            path = self._folder / f"{at:%Y%m%dT%H%M%S%f}-{message.message_id}.eml"
            unfinished = path.with_suffix(".part")
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_mime(message, self._sender, at).as_bytes())
            unfinished.replace(path)
        except OSError as error:
            raise MailFailed(f"the outbox cannot be written ({type(error).__name__})", retry=True) from None


def _part(server: smtplib.SMTP) -> None:
    """Say good-bye; the message is accepted, so whatever is said now changes nothing."""
    with suppress(smtplib.SMTPException, OSError):
        server.quit()


def _mime(message: Message, sender: str, at: datetime) -> EmailMessage:
    mime = EmailMessage()
    mime["From"] = sender
    mime["To"] = message.address
    mime["Subject"] = " ".join(message.title.split())
    mime["Date"] = format_datetime(at)
    mime["Message-ID"] = f"<{message.message_id}@{sender.rpartition('@')[2].strip('> ') or 'localhost'}>"
    mime["Auto-Submitted"] = "auto-generated"
    # Links stay in one piece, so that they can be taken from a file of the outbox as they stand.
    is_plain = message.text.isascii() and max(map(len, message.text.splitlines()), default=0) < LONGEST_LINE
    mime.set_content(message.text, cte="7bit" if is_plain else None)
    return mime
