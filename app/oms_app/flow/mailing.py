"""Post mail with the change that it tells of, in one transaction; send what is due, with a token made at that moment.

A row says what is to be sent, never the text: the token is made when the mail is sent and kept as a hash, so that no
secret rests in the database. A mail may arrive twice, each time with a token that works; using one voids the others.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import msgspec
import structlog

from oms_app.flow.mail import Mailer, MailFailed, Message
from oms_app.flow.mail_kinds import MAILS, MailKind, worded
from oms_app.store import one_time_tokens, outgoing_mails
from oms_app.store.outgoing_mails import OutgoingMail
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId

RETRY_AFTER = (
    timedelta(minutes=1),
    timedelta(minutes=5),
    timedelta(minutes=30),
    timedelta(hours=2),
    timedelta(hours=8),
)
"""How long to wait after the first, second, ... failed attempt; after the last one the mail is dead."""
CLAIM = timedelta(minutes=2)
AT_MOST_PER_HOUR = 10
"""Mails of one kind to one address: nobody can have us flood a stranger's mailbox."""
DUE_AT_ONCE = 100
log = structlog.get_logger(__name__)


class Wanted(msgspec.Struct, frozen=True):
    """One mail to post. subject: whom or what its token is about."""

    address: str
    subject: str
    params: dict[str, Any]


class Mailing:
    """Posts and sends. Thread-safe. url: where people reach the dashboard."""

    def __init__(self, store: SqlStore, mailer: Mailer, new_id: Callable[[], str], *, url: str) -> None:
        self._store = store
        self._mailer = mailer
        self._new_id = new_id
        self._url = url.rstrip("/")

    def post(
        self,
        unit: RowsUnit,
        kind: MailKind,
        address: str,
        subject: str,
        *,
        tenant_id: str | None = None,
        params: Mapping[str, Any] | None = None,
    ) -> bool:
        """Whether the mail will go out once the unit is stored; False when the address had too many of its kind.

        subject: whom or what its token is about, for instance a user's id; `one_time_tokens.use` gives it back,
        with tenant_id and params.
        """
        one = Wanted(address=address, subject=subject, params=dict(params or {}))
        return not self.post_many(unit, kind, [one], tenant_id=tenant_id)

    def post_many(
        self, unit: RowsUnit, kind: MailKind, wanted: Sequence[Wanted], *, tenant_id: str | None = None
    ) -> frozenset[str]:
        """The addresses that had too many mails of the kind and get none; all others get theirs."""
        since = unit.now - timedelta(hours=1)
        posted = outgoing_mails.posted_since(unit, [one.address for one in wanted], kind, since)
        full = frozenset(address for address, count in posted.items() if count >= AT_MOST_PER_HOUR)
        if full:
            log.warning("too many mails of one kind to one address; it gets no more for now", kind=kind)
        outgoing_mails.post(
            unit,
            [
                OutgoingMail(
                    mail_id=self._new_id(),
                    kind=kind,
                    address=one.address,
                    subject=one.subject,
                    tenant_id=TenantId(tenant_id) if tenant_id is not None else None,
                    params=one.params,
                )
                for one in wanted
                if one.address not in full
            ],
        )
        return full

    def due(self) -> dict[str, int]:
        """Ids of the mails that are due now, with the attempts so far."""
        with self._store.read_unit(None) as unit:
            return dict(outgoing_mails.due(unit, DUE_AT_ONCE))

    def send(self, mail_id: str) -> bool:
        """Whether the mail went out now; False when it was not due, somebody else has it, or it failed."""
        with self._store.platform_unit() as unit:
            mail = outgoing_mails.claim(unit, mail_id, CLAIM)
            if mail is None:
                return False
            kind = MailKind(mail.kind)
            spec = MAILS[kind]
            link = self._url + spec.page
            if spec.lasting is not None:
                token = one_time_tokens.issue(
                    unit, kind, mail.subject, spec.lasting, tenant_id=mail.tenant_id, params=mail.params
                )
                link += f"#{token}"
        title, text = worded(kind, mail.params, link)
        try:
            self._mailer.send(Message(message_id=mail_id, address=mail.address, title=title, text=text))
        except MailFailed as failure:
            self._failed(mail, failure)
            return False
        with self._store.platform_unit() as unit:
            outgoing_mails.sent(unit, mail_id)
        log.info("mail sent", mail_id=mail_id, kind=mail.kind)
        return True

    def send_due(self) -> int:
        """How many mails went out now."""
        return sum(self.send(mail_id) for mail_id in self.due())

    def _failed(self, mail: OutgoingMail, failure: MailFailed) -> None:
        is_dead = not failure.retry or mail.attempts > len(RETRY_AFTER)
        with self._store.platform_unit() as unit:
            again: datetime | None = None if is_dead else unit.now + RETRY_AFTER[mail.attempts - 1]
            outgoing_mails.failed(unit, mail.mail_id, failure.text, again)
        log.warning("a mail was not sent", mail_id=mail.mail_id, error=failure.text, dead=is_dead)
