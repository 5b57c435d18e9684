"""Tell workers which mail is due, as long as the process serves that queue; what the database keeps away stays due."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from oms_app.flow.chores import SEND_MAIL
from oms_app.flow.mailing import Mailing
from oms_app.store.unit_of_work import CommitUnknown, Conflict, StoreUnavailable
from oms_app.workers.feeding import Hints

LOOK_EVERY_S = 1.0
log = structlog.get_logger(__name__)


class Posting:
    """One turn after the other: due mail to the queue, looked for at most once a second."""

    def __init__(
        self, mailing: Mailing, send: Callable[..., None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._mailing = mailing
        self._hints = Hints(lambda mail_id: send(SEND_MAIL, mail_id), clock)
        self._clock = clock
        self._look_at = 0.0

    def turn(self) -> None:
        """Hint at what is due. Raises StoreUnavailable."""
        now = self._clock()
        if now < self._look_at:
            return
        self._look_at = now + LOOK_EVERY_S
        self._hints.hint(self._mailing.due())


def sending(mailing: Mailing) -> Callable[[str], None]:
    """The actor: send one mail."""

    def send(mail_id: str) -> None:
        try:
            mailing.send(mail_id)
        except (StoreUnavailable, CommitUnknown, Conflict) as error:
            log.warning("a mail waits for the database", mail_id=mail_id, error=str(error))

    return send
