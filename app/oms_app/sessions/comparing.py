"""Broker and book compared: before the session is ready, every minute, and whenever a person asks; each run is kept.

Guarantee: a run closes no order, a failed query makes no break and no fix, and a second run in a row changes nothing.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any

import msgspec
import structlog

from oms_app.flow import submission
from oms_app.flow.breaks import Look, look
from oms_app.flow.desk import Turn
from oms_app.flow.reconciliation import Parts, is_complete
from oms_app.sessions.host import ConnectionLost
from oms_app.sessions.ledgers import SessionLedgers
from oms_app.sessions.ports import AWAY, Connection, SessionStore
from oms_app.sessions.timing import Timing
from oms_app.store.reconciliation_runs import Run
from oms_kernel.contracts.broker import BrokerConnector
from oms_kernel.domain.ids import LedgerId

log = structlog.get_logger(__name__)

MOST_LOOKS = 3
"""How many snapshots one run asks for at most."""


class NoAnswer(Exception):
    """The connector gave no snapshot: that proves nothing and changes nothing."""


class Seen(msgspec.Struct, frozen=True):
    """What one snapshot came to in one ledger, what was said of its parts, and when, by the database's clock."""

    look: Look
    parts: dict[str, str]
    at: datetime


class Comparing:
    """The comparisons of one connection under one lease. new_id: names a run."""

    def __init__(
        self,
        connection: Connection,
        capabilities: Any,
        ledgers: SessionLedgers,
        lease_token: int,
        timing: Timing,
        store: SessionStore,
        new_id: Callable[[], str],
    ) -> None:
        self._connection = connection
        self._capabilities = capabilities
        self._ledgers = ledgers
        self._lease_token = lease_token
        self._timing = timing
        self._store = store
        self._new_id = new_id
        self._quiet_run_id: str | None = None

    async def open(self, connector: BrokerConnector) -> None:
        """Book the broker's state. Raises ConnectionLost when a required part is not complete."""
        started = self._begun("START")
        try:
            run = await self._compare(connector, started, opening=True)
        except (ConnectionLost, NoAnswer) as error:
            await self._keep(_failed(started, str(error)))
            raise
        await self._keep(run)

    async def keep_comparing(self, connector: BrokerConnector) -> None:
        """Compare when it is time or somebody asks, until cancelled; a run that fails is noted, and tried next time."""
        due_at = time.monotonic() + self._timing.compare_every_s
        while True:
            await asyncio.sleep(self._timing.look_for_requests_s)
            try:
                asked = await self._ledgers.off(
                    lambda: self._store.requested_runs(self._connection.tenant_id, self._connection.connection_id)
                )
                if not asked and time.monotonic() < due_at:
                    continue
                due_at = time.monotonic() + self._timing.compare_every_s
                await self._compare_for(connector, asked)
            except (*AWAY, submission.LeaseLapsed) as error:
                log.warning("not_compared", connection_id=self._connection.connection_id, error=str(error))

    async def _compare_for(self, connector: BrokerConnector, asked: Sequence[Run]) -> None:
        """One comparison that answers everybody who asked, or nobody."""
        started = asked[0] if asked else self._begun("PERIODIC")
        try:
            run = await self._compare(connector, started, opening=False)
        except NoAnswer as error:  # the session goes on, and asks again
            log.warning("comparison_failed", connection_id=self._connection.connection_id, error=str(error))
            run = _failed(started, str(error))
        for one in asked or [started]:
            named = {"run_id": one.run_id, "requested_by": one.requested_by, "requested_at": one.requested_at}
            named["broker_account_id"] = one.broker_account_id
            await self._keep(msgspec.structs.replace(run, **named))

    async def _compare(self, connector: BrokerConnector, run: Run, *, opening: bool) -> Run:
        """The finished run. What only another snapshot can tell from what is under way is looked at again.

        Missed executions hide differences until they are booked: these are seen by the second look, told by the third.
        """
        looks = [await self._look(connector, None, opening=opening)]
        while len(looks) < MOST_LOOKS and not all(one.look.is_settled for one in looks[-1].values()):
            await asyncio.sleep(self._timing.confirm_s)
            before = {ledger_id: seen.look for ledger_id, seen in looks[-1].items()}
            looks.append(await self._look(connector, before, opening=opening))
        first = looks[0]
        seen = [one.look for each in looks for one in each.values()]
        last = next(iter(looks[-1].values()))
        failed = [f"{part}: {said}" for part, said in last.parts.items() if said != "complete"]
        return msgspec.structs.replace(
            run,
            status="FAILED" if failed else "COMPLETE",
            started_at=min(one.at for one in first.values()),
            finished_at=last.at,
            parts=last.parts,
            opened=sum(one.opened for one in seen),
            fixed=sum(one.fixed for one in seen),
            closed=sum(one.closed for one in seen),
            error="; ".join(failed),
        )

    async def _look(
        self, connector: BrokerConnector, before: dict[LedgerId, Look] | None, *, opening: bool
    ) -> dict[LedgerId, Seen]:
        """What one snapshot shows in each ledger, booked and recorded there."""
        heads = await self._ledgers.heads()
        try:
            parts = await asyncio.wait_for(connector.snapshot(None), self._timing.snapshot_s)
        except Exception as error:  # whatever a connector raises
            raise NoAnswer(f"{type(error).__name__}: {error}") from error
        if opening:
            self._require_complete(parts)

        told = {part.value: "complete" if result.complete else result.error for part, result in parts.items()}

        def work(turn: Turn) -> tuple[LedgerId, Seen]:
            submission.require_lease(turn, self._connection.connection_id, self._lease_token)
            ledger_id = turn.unit.ledger_id
            found = look(
                turn,
                self._connection.connection_id,
                parts,
                asked_at_seq=heads.get(ledger_id, 0),
                is_elsewhere=lambda account: not self._ledgers.is_home(ledger_id, account),
                before=before[ledger_id] if before is not None else None,
                opening=opening,
            )
            return ledger_id, Seen(found, told, turn.unit.now)

        return dict(await self._ledgers.each(work))

    def _require_complete(self, parts: Parts) -> None:
        if is_complete(parts, self._capabilities.required_parts):
            return
        failed = [f"{part} ({result.error})" for part, result in parts.items() if not result.complete]
        missing = [part for part in self._capabilities.required_parts if part not in parts]
        raise ConnectionLost(f"the broker's state is incomplete: {', '.join([*failed, *missing])}")

    def _begun(self, trigger: str) -> Run:
        return Run(
            run_id=self._new_id(),
            connection_id=self._connection.connection_id,
            trigger=trigger,
            status="COMPLETE",
            requested_by="system:session",
        )

    async def _keep(self, run: Run) -> None:
        """Store the run; a quiet periodic one takes the place of the quiet one before it."""
        if run.trigger == "PERIODIC" and run.is_quiet:
            run = msgspec.structs.replace(run, run_id=self._quiet_run_id or run.run_id)
            self._quiet_run_id = run.run_id
        elif run.trigger == "PERIODIC":
            self._quiet_run_id = None
        await self._ledgers.off(lambda: self._store.keep_run(self._connection.tenant_id, run))


def _failed(run: Run, error: str) -> Run:
    return msgspec.structs.replace(run, status="FAILED", error=error)
