"""The chores of the schedules: each does what its name says, tenant by tenant, and returns how many rows."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from oms_app.flow.audit_trail import AuditTrail
from oms_app.flow.chores import (
    INDEX_AUDIT,
    PURGE_ANSWERS,
    PURGE_AUDIT_TEXTS,
    PURGE_DELIVERIES,
    PURGE_MAIL,
    PURGE_SIGN_INS,
)
from oms_app.flow.retention import Retention
from oms_app.flow.throttling import DEVICE_KNOWN_FOR
from oms_app.store import purging, schedules
from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import CommitUnknown, RowsUnit, StoreUnavailable
from oms_kernel.domain.ids import TenantId

log = structlog.get_logger(__name__)


class Housekeeping:
    """Everything that is deleted or made by the clock. `chores` are the actors by name.

    kept: how long each kind of row is.
    """

    def __init__(self, store: SqlStore, kept: Retention = Retention()) -> None:  # noqa: B008
        self._store = store
        self._kept = kept
        self.chores: dict[str, Callable[[], int]] = {
            PURGE_ANSWERS: self._noted(PURGE_ANSWERS, self.purge_answers),
            PURGE_DELIVERIES: self._noted(PURGE_DELIVERIES, self.purge_deliveries),
            PURGE_SIGN_INS: self._noted(PURGE_SIGN_INS, self.purge_sign_ins),
            PURGE_MAIL: self._noted(PURGE_MAIL, self.purge_mail),
            PURGE_AUDIT_TEXTS: self._noted(PURGE_AUDIT_TEXTS, self.purge_audit_texts),
            INDEX_AUDIT: self._noted(INDEX_AUDIT, self.index_audit),
        }

    def purge_answers(self) -> int:
        """How many idempotency answers older than a day were deleted; client_order_ids stay for ever."""
        return self._in_every_tenant(lambda unit: purging.answers(unit, unit.now - self._kept.answers))

    def purge_deliveries(self) -> int:
        """How many webhook deliveries were deleted: made, or dead, for as long as they are kept."""
        made, dead = self._kept.deliveries, self._kept.dead_deliveries
        return self._in_every_tenant(lambda unit: purging.deliveries(unit, unit.now - made, unit.now - dead))

    def purge_sign_ins(self) -> int:
        """How many sign-ins were deleted that ended so long ago, with devices and throttles that are worth nothing."""
        self._of_the_platform(lambda unit: purging.throttles(unit, unit.now))
        self._of_the_platform(lambda unit: purging.devices(unit, unit.now - DEVICE_KNOWN_FOR))
        return self._of_the_platform(lambda unit: purging.sign_ins(unit, unit.now - self._kept.sign_ins))

    def purge_mail(self) -> int:
        """How many mails and one-time tokens were deleted that were done with so long ago."""
        mails = self._of_the_platform(lambda unit: purging.mail(unit, unit.now - self._kept.mail))
        return mails + self._of_the_platform(lambda unit: purging.one_time_tokens(unit, unit.now - self._kept.mail))

    def purge_audit_texts(self) -> int:
        """How many addresses and words beside administrative events were deleted; none where they are kept for ever."""
        age = self._kept.audit_texts
        if age is None:
            return 0
        return self._in_every_tenant(lambda unit: purging.audit_texts(unit, unit.now - age), also=(PLATFORM_TENANT,))

    def index_audit(self) -> int:
        """How many events the audit search sees that it did not see before."""
        return AuditTrail(self._store).catch_up_all()

    def _of_the_platform(self, purge: Callable[[RowsUnit], int]) -> int:
        deleted = 0
        while True:
            with self._store.platform_unit() as unit:
                gone = purge(unit)
            deleted += gone
            if gone < purging.AT_ONCE:
                return deleted

    def _in_every_tenant(self, purge: Callable[[RowsUnit], int], also: tuple[TenantId, ...] = ()) -> int:
        deleted = 0
        for tenant_id in sorted({*also, *(tenant_id for tenant_id, _ledger_id in self._store.ledgers())}):
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
