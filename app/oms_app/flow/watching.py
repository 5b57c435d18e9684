"""One ledger's monitors asked with present marks; what they find is stored with all that it sets off, once.

Guarantee: the ledger's lock is taken only when something is to be stored, and what is stored was found under the lock:
a breach, its alert, its kill switch, cancels and liquidation in one transaction. A monitor that fails is told of once,
and asked again; one that hangs is quarantined with its plugin.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime

import msgspec

from oms_app.flow.consequences import overstep
from oms_app.flow.desk import Desk, LedgerCache, Turn
from oms_app.flow.equity_marks import EquityWatch, scopes_with_equity
from oms_kernel.batch import WatchingRule
from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain.events import AlertRaised, EquityMarked, Severity
from oms_kernel.domain.ids import LedgerId, TenantId
from oms_kernel.domain.scope import EVERYTHING
from oms_kernel.guard import MonitorFailed, RuleHung
from oms_kernel.registry import Registries

FAILED = "Look at the log of the worker; fix the plugin or end the limit. What the monitor watches is not watched now."


class Round(msgspec.Struct, frozen=True):
    """One look at a ledger.

    at: the ledger's time. seq: up to where it was seen. monitors: how many limits were asked. found: how many of their
    triggers were no breach yet. failed: the limits whose monitor failed. breaches: how many were stored.
    is_invested: whether there is a position or an open order, so that a mark may change something.
    newest_at: when the newest event or quote that was seen came.
    """

    at: datetime
    seq: int
    monitors: int = 0
    found: int = 0
    failed: tuple[str, ...] = ()
    breaches: int = 0
    marks: int = 0
    is_invested: bool = False
    newest_at: datetime | None = None


class _Finding(msgspec.Struct, frozen=True):
    monitor: WatchingRule
    trigger: Trigger


class _Seen(msgspec.Struct, frozen=True):
    """What a ledger's monitors say at one moment."""

    at: datetime
    seq: int
    asked: int
    found: tuple[_Finding, ...]
    failed: dict[str, MonitorFailed]
    marks: tuple[EquityMarked, ...]
    is_invested: bool
    newest_at: datetime | None


class LedgerWatch:
    """Watches one ledger. One thread at a time."""

    def __init__(self, desk: Desk, registries: Registries, tenant_id: TenantId, ledger_id: LedgerId) -> None:
        self.tenant_id = tenant_id
        self.ledger_id = ledger_id
        self._desk = desk
        self._registries = registries
        self._equity = EquityWatch()
        self._failing: dict[str, str] = {}
        """Limits whose monitor failed when it was asked last -> what was said of it."""

    def look(self) -> Round:
        """Ask every monitor once, and store what it comes to. Raises FlowError when the database is away."""
        cache = self._desk.ledger(self.tenant_id, self.ledger_id)
        try:
            seen = cache.look(lambda turn: self._ask(cache, turn))
        except RuleHung as hung:
            return self._shut_out(cache, hung)
        breaches, marks = 0, 0
        if seen.found or seen.marks or any(limit_id not in self._failing for limit_id in seen.failed):
            breaches, marked = cache.transact(lambda turn: self._act(cache, turn))
            marks = len(marked)
            for mark in marked:
                self._equity.marked(mark)
        self._failing = {limit_id: str(error) for limit_id, error in seen.failed.items()}
        return Round(
            at=seen.at,
            seq=seen.seq,
            monitors=seen.asked,
            found=len(seen.found),
            failed=tuple(sorted(seen.failed)),
            breaches=breaches,
            marks=marks,
            is_invested=seen.is_invested,
            newest_at=seen.newest_at,
        )

    def _ask(self, cache: LedgerCache, turn: Turn) -> _Seen:
        """What is overstepped in the turn's ledger and is no open breach, and which marks are due."""
        view, batch = turn.view, turn.batch
        found: list[_Finding] = []
        failed: dict[str, MonitorFailed] = {}
        monitors = [monitor for monitor in cache.state.monitors if monitor.terms.holds(batch.now)]
        for monitor in monitors:
            try:
                triggers = monitor.watch(view, batch.memories.get(monitor.key))
            except MonitorFailed as error:
                failed[monitor.terms.limit_id] = error
                continue
            found += [_Finding(monitor, one) for one in _new(turn, monitor, triggers)]
        marks = tuple(self._equity.due(view, scopes_with_equity(self._registries, turn.config.limits)))
        moments = [moment for moment in (self._desk.quotes.newest_at, batch.book.recorded_at) if moment is not None]
        return _Seen(
            at=batch.now,
            seq=batch.book.seq,
            asked=len(monitors),
            found=tuple(found),
            failed=failed,
            marks=marks,
            is_invested=any(True for _ in view.holdings(EVERYTHING)),
            newest_at=max(moments, default=None),
        )

    def _act(self, cache: LedgerCache, turn: Turn) -> tuple[int, tuple[EquityMarked, ...]]:
        """(how many breaches, which marks) were stored: under the lock all is asked anew, and only that counts."""
        seen = self._ask(cache, turn)
        turn.batch.record(*seen.marks)
        breaches = 0
        for one in seen.found:
            monitor = one.monitor
            breach_id = overstep(turn, monitor.name, monitor.plugin, monitor.terms, one.trigger)
            breaches += breach_id is not None
        for limit_id, error in seen.failed.items():
            if limit_id not in self._failing:
                turn.batch.record(_alert(error))
        return breaches, seen.marks

    def _shut_out(self, cache: LedgerCache, hung: RuleHung) -> Round:
        """Store that a hung plugin is quarantined in this ledger: the desk records that with the next transaction."""
        at, seq = cache.transact(lambda turn: (turn.batch.now, turn.batch.book.seq))
        return Round(at=at, seq=seq, failed=(hung.rule,))


def _new(turn: Turn, monitor: WatchingRule, triggers: Sequence[Trigger]) -> Iterable[Trigger]:
    """The triggers that are no open breach."""
    book, limit_id = turn.batch.book, monitor.terms.limit_id
    return (trigger for trigger in triggers if book.open_breach(limit_id, trigger.key) is None)


def _alert(error: MonitorFailed) -> AlertRaised:
    return AlertRaised(severity=Severity.CRITICAL, source="guard", text=str(error), what_to_do=FAILED)
