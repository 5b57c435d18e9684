"""The chores of the schedules: each deletes what its name says, tenant by tenant, and returns how many rows."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import structlog

from oms_app.flow.chores import PURGE_ANSWERS, PURGE_DELIVERIES, PURGE_MAIL, PURGE_SIGN_INS
from oms_app.store import purging, schedules
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import ANSWER_LIFE, CommitUnknown, RowsUnit, StoreUnavailable

DELIVERED_KEPT = timedelta(days=7)
DEAD_KEPT = timedelta(days=30)
ENDED_SIGN_INS_KEPT = timedelta(days=7)
SENT_MAIL_KEPT = timedelta(days=7)
log = structlog.get_logger(__name__)


class Housekeeping:
    """Everything that is deleted by the clock. `chores` are the actors by name."""

    def __init__(self, store: SqlStore) -> None:
        self._store = store
        self.chores: dict[str, Callable[[], int]] = {
            PURGE_ANSWERS: self._noted(PURGE_ANSWERS, self.purge_answers),
            PURGE_DELIVERIES: self._noted(PURGE_DELIVERIES, self.purge_deliveries),
            PURGE_SIGN_INS: self._noted(PURGE_SIGN_INS, self.purge_sign_ins),
            PURGE_MAIL: self._noted(PURGE_MAIL, self.purge_mail),
        }

    def purge_answers(self) -> int:
        """How many idempotency answers older than a day were deleted; client_order_ids stay for ever."""
        return self._in_every_tenant(lambda unit: purging.answers(unit, unit.now - ANSWER_LIFE))

    def purge_deliveries(self) -> int:
        """How many webhook deliveries were deleted: made a week ago, or dead for a month."""
        return self._in_every_tenant(
            lambda unit: purging.deliveries(unit, unit.now - DELIVERED_KEPT, unit.now - DEAD_KEPT)
        )

    def purge_sign_ins(self) -> int:
        """How many sign-ins were deleted that ended a week ago."""
        return self._of_the_platform(lambda unit: purging.sign_ins(unit, unit.now - ENDED_SIGN_INS_KEPT))

    def purge_mail(self) -> int:
        """How many mails and one-time tokens were deleted that were done with a week ago."""
        mails = self._of_the_platform(lambda unit: purging.mail(unit, unit.now - SENT_MAIL_KEPT))
        return mails + self._of_the_platform(lambda unit: purging.one_time_tokens(unit, unit.now - SENT_MAIL_KEPT))

    def _of_the_platform(self, purge: Callable[[RowsUnit], int]) -> int:
        deleted = 0
        while True:
            with self._store.platform_unit() as unit:
                gone = purge(unit)
            deleted += gone
            if gone < purging.AT_ONCE:
                return deleted

    def _in_every_tenant(self, purge: Callable[[RowsUnit], int]) -> int:
        deleted = 0
        for tenant_id in sorted({tenant_id for tenant_id, _ledger_id in self._store.ledgers()}):
            gone = purging.AT_ONCE
            while gone == purging.AT_ONCE:
                with self._store.tenant_unit(tenant_id) as unit:
                    gone = purge(unit)
                deleted += gone
        return deleted

    def _noted(self, name: str, chore: Callable[[], int]) -> Callable[[], int]:
        """The chore, with what came of it noted beside its schedule."""

        def run() -> int:
            try:
                handled = chore()
            except Exception as error:
                self._note(name, error=f"{type(error).__name__}: {error}")
                raise
            self._note(name, handled=handled)
            log.info("chore done", chore=name, handled=handled)
            return handled

        return run

    def _note(self, name: str, *, handled: int = 0, error: str = "") -> None:
        try:
            with self._store.platform_unit() as unit:
                schedules.finish(unit, name, handled=handled, error=error)
        except (StoreUnavailable, CommitUnknown) as away:
            log.warning("what came of a chore is not noted", chore=name, error=str(away))
