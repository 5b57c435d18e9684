"""Settings in, how long each kind of row is kept out: one table of everything that is ever deleted by the clock.

What is not in the table is kept for ever: the logs of the ledgers, which are the audit trail, and the ids that may
never be used again. A person's data goes by erasure, not by the clock.
"""

from collections.abc import Callable
from datetime import timedelta

import msgspec

from oms_app.config import Settings
from oms_app.store.unit_of_work import ANSWER_LIFE


class Kept(msgspec.Struct, frozen=True):
    """How long one kind of row is kept. setting: where that is said; None: fixed, because it is a promise of the API.

    age None: kept for ever.
    """

    name: str
    what: str
    setting: str | None
    age: Callable[[Settings], timedelta | None]


class Retention(msgspec.Struct, frozen=True):
    """How long each kind of row is kept in this installation."""

    answers: timedelta = ANSWER_LIFE
    deliveries: timedelta = timedelta(days=7)
    dead_deliveries: timedelta = timedelta(days=30)
    sign_ins: timedelta = timedelta(days=7)
    mail: timedelta = timedelta(days=7)
    audit_texts: timedelta | None = None


def _days(field: str) -> Callable[[Settings], timedelta | None]:
    def age(settings: Settings) -> timedelta | None:
        days: int = getattr(settings, field)
        return timedelta(days=days) if days else None

    return age


RETENTION = (
    Kept("answers", "answers of idempotency keys, after they were given", None, lambda _: ANSWER_LIFE),
    Kept("deliveries", "webhook deliveries, after they were made", "keep_delivered_days", _days("keep_delivered_days")),
    Kept(
        "dead_deliveries",
        "webhook deliveries that were given up, after that",
        "keep_dead_deliveries_days",
        _days("keep_dead_deliveries_days"),
    ),
    Kept("sign_ins", "sign-ins, after they ended", "keep_sign_ins_days", _days("keep_sign_ins_days")),
    Kept("mail", "mail and one-time tokens, after they were done with", "keep_mail_days", _days("keep_mail_days")),
    Kept(
        "audit_texts",
        "addresses, programs and words beside administrative events; 0 keeps them",
        "keep_audit_texts_days",
        _days("keep_audit_texts_days"),
    ),
)
"""Everything that is deleted by the clock, and where its age is set."""


def retention_of(settings: Settings) -> Retention:
    """The ages as the settings have them."""
    return Retention(**{kept.name: kept.age(settings) for kept in RETENTION})  # type: ignore[arg-type]
