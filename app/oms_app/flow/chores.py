"""The tables of background work: each actor with its queue, priority and limits, and each schedule with its hour.

The worker declares its actors from these tables; the command line and the dashboard show them. Actors keep no results:
what comes of their work stands in rows.
"""

from enum import StrEnum

import msgspec


class Queue(StrEnum):
    """Where messages wait, by concern: `oms worker --queues` takes some of them."""

    WEBHOOKS = "webhooks"
    MAIL = "mail"
    HOUSEKEEPING = "housekeeping"


class ActorSpec(msgspec.Struct, frozen=True):
    """One kind of message. priority: of two that wait in one worker the lower number runs first.

    max_age_ms: an older message becomes a dead letter unread; None: its age does not matter. max_retries: how often a
    failed message runs again, after min_backoff_ms and then ever later, before it becomes a dead letter.
    """

    name: str
    does: str
    queue: Queue
    priority: int
    time_limit_ms: int
    max_age_ms: int | None = None
    max_retries: int = 0
    min_backoff_ms: int = 15_000
    max_backoff_ms: int = 300_000


class Schedule(msgspec.Struct, frozen=True):
    """When the leader of the schedules does something: `cron` in UTC, or each `every_s` seconds by itself."""

    name: str
    does: str
    cron: str = ""
    every_s: float = 0.0

    @property
    def shown(self) -> str:
        """The hour for people."""
        return f"{self.cron} UTC" if self.cron else f"every {self.every_s:g} s"


DELIVER_WEBHOOK = "deliver_webhook"
SEND_MAIL = "send_mail"
SWEEP_ORDERS = "sweep_orders"
WRITE_CHECKPOINTS = "write_checkpoints"
PURGE_ANSWERS = "purge_answers"
PURGE_DELIVERIES = "purge_deliveries"
PURGE_SIGN_INS = "purge_sign_ins"
PURGE_MAIL = "purge_mail"
PURGE_AUDIT_TEXTS = "purge_audit_texts"
INDEX_AUDIT = "index_audit"

_HOUR_MS = 3_600_000
_ACTORS = (
    # A hint: the delivery is a row with its own schedule of attempts, so a failed hint is not tried again by itself.
    ActorSpec(DELIVER_WEBHOOK, "deliver what a webhook is due", Queue.WEBHOOKS, 0, 120_000),
    # A hint as well: when a mail is tried again stands in its row.
    ActorSpec(SEND_MAIL, "send a mail that is due", Queue.MAIL, 10, 60_000),
    ActorSpec(
        PURGE_ANSWERS,
        "delete idempotency answers older than a day",
        Queue.HOUSEKEEPING,
        50,
        600_000,
        max_age_ms=_HOUR_MS,
        max_retries=3,
    ),
    ActorSpec(
        PURGE_DELIVERIES,
        "delete webhook deliveries made, or given up, longer ago than they are kept",
        Queue.HOUSEKEEPING,
        60,
        600_000,
        max_age_ms=_HOUR_MS,
        max_retries=3,
    ),
    ActorSpec(
        PURGE_SIGN_INS,
        "delete sign-ins that ended longer ago than they are kept",
        Queue.HOUSEKEEPING,
        70,
        600_000,
        max_age_ms=_HOUR_MS,
        max_retries=3,
    ),
    ActorSpec(
        PURGE_MAIL,
        "delete mail and one-time tokens that were done with longer ago than they are kept",
        Queue.HOUSEKEEPING,
        80,
        600_000,
        max_age_ms=_HOUR_MS,
        max_retries=3,
    ),
    ActorSpec(
        PURGE_AUDIT_TEXTS,
        "delete addresses and words of administrative events once they are older than they are kept",
        Queue.HOUSEKEEPING,
        90,
        600_000,
        max_age_ms=_HOUR_MS,
        max_retries=3,
    ),
    ActorSpec(
        INDEX_AUDIT,
        "make the rows by which the audit trail is searched; a search makes the newest itself",
        Queue.HOUSEKEEPING,
        100,
        600_000,
        max_age_ms=_HOUR_MS,
    ),
)
ACTORS = {actor.name: actor for actor in _ACTORS}
"""Every actor by its name."""
SCHEDULES = {
    schedule.name: schedule
    for schedule in (
        Schedule(SWEEP_ORDERS, "end orders that were not sent in time", every_s=1.0),
        Schedule(WRITE_CHECKPOINTS, "sign where each log stands, each minute or 1,000 records", every_s=5.0),
        Schedule(PURGE_ANSWERS, ACTORS[PURGE_ANSWERS].does, cron="7 * * * *"),
        Schedule(PURGE_DELIVERIES, ACTORS[PURGE_DELIVERIES].does, cron="37 * * * *"),
        Schedule(PURGE_SIGN_INS, ACTORS[PURGE_SIGN_INS].does, cron="23 3 * * *"),
        Schedule(INDEX_AUDIT, ACTORS[INDEX_AUDIT].does, cron="47 * * * *"),
        Schedule(PURGE_AUDIT_TEXTS, ACTORS[PURGE_AUDIT_TEXTS].does, cron="11 4 * * *"),
        Schedule(PURGE_MAIL, ACTORS[PURGE_MAIL].does, cron="53 3 * * *"),
    )
}
"""Every schedule by its name; those with a cron line send a message to the actor of that name."""
SCHEDULE_LEASE = "schedule:leader"
"""The lease whose holder minds the schedules."""
SCHEDULED_LATE_S = 30
"""A scheduled message that is found later than this is passed over: its next hour comes."""
