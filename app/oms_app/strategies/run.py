"""Carry one run on: quotes and order updates to the strategy, its actions to intake, each callback's effect once.

The actions of a callback on an event are committed together with the run's cursor; those of on_start together with a
cursor of their own. Quotes are not replayed, so a crash after the commit of a quote's orders does not repeat them.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from oms_app.flow.amendment import Amendment
from oms_app.flow.dead_man import DeadMan
from oms_app.flow.errors import FlowError, Unavailable
from oms_app.flow.intake import CursorStep, Intake
from oms_app.flow.pretrade import OrderDraft
from oms_app.flow.principal import Principal
from oms_app.flow.publishing import LogReader
from oms_app.flow.scopes import Scope
from oms_app.signals import NoSignals, Signals
from oms_app.store import cursors, strategies
from oms_app.store.sql_store import SqlStore
from oms_app.strategies import rows
from oms_app.strategies.life_signs import LifeSigns
from oms_app.strategies.memory import OwnOrders
from oms_app.strategies.messages import Begin, Now, OnOrder, OnQuote, OnStop, Ping
from oms_app.strategies.process import StrategyProcess
from oms_kernel.contracts.strategy import Action, StrategyCancel, StrategyLog, StrategyOrder
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.instrument import Instrument

LOOK_EVERY_S = 0.25
PAGE = 200
RETRY_S = 0.5
QUEUE_FOR = timedelta(seconds=10)
"""A strategy's order waits so long for a broker session, so that a restart of the session loses none."""
SCOPES = frozenset({str(Scope.PLACE_ORDERS), str(Scope.CANCEL_ORDERS), str(Scope.VIEW_ORDERS)})
log = structlog.get_logger(__name__)


class LostRun(Exception):
    """Another process carries the run on; this one must not."""


class Wiring(msgspec.Struct, frozen=True):
    """What every run uses."""

    store: SqlStore
    reader: LogReader
    intake: Intake
    amendment: Amendment
    dead_man: DeadMan
    instruments: Callable[[], dict[str, Instrument]]
    clock: Callable[[], datetime]
    poll_s: float
    signals: Signals = NoSignals()


class RunLoop:
    """One life of a run, from the start of its process to its end."""

    def __init__(self, wiring: Wiring, run: rows.Run, target: str, *, may_act: Callable[[], bool]) -> None:
        """target: the strategy's class as module:name. may_act: whether the lease holds."""
        self._wiring = wiring
        self._run = run
        self._target = target
        self._may_act = may_act
        self._consumer = f"run:{run.run_id}"
        self._own = OwnOrders(run.strategy_id, run.account_id)
        self._instruments = wiring.instruments()
        self._symbols = {one.instrument_id: symbol for symbol, one in self._instruments.items()}
        self._principal = Principal(
            principal_id=f"strategy:{run.strategy_id}",
            tenant_id=run.tenant_id,
            scopes=SCOPES,
            account_ids=frozenset({run.account_id}),
        )
        self._life_signs = LifeSigns(wiring.store, wiring.dead_man, self._principal, run)
        self._stored_seq = 0
        self._read_seq = 0
        self._quotes_after: datetime | None = None
        self._lines: list[str] = []

    def serve(self, stopping: threading.Event) -> bool:
        """Whether the run is over; False when only this process is to end. Raises StrategyFailed, LostRun."""
        started_at = self._prepare()
        process = StrategyProcess(self._begin())
        news = threading.Event()
        end_listening = self._wiring.signals.listen(news.set)
        try:
            if started_at == 0:
                self._carry_out(process.started, CursorStep(f"{self._consumer}:start", 0, 1))
            else:
                self._lines += [action.text for action in process.started if isinstance(action, StrategyLog)]
            with self._wiring.store.tenant_unit(self._run.tenant_id) as unit:
                strategies.set_run_status(unit, self._run.run_id, "RUNNING", expected=("STARTING", "RUNNING"))
            self._life_signs.give()
            looked_at = 0.0
            while not stopping.is_set():
                if time.monotonic() - looked_at >= LOOK_EVERY_S:
                    looked_at = time.monotonic()
                    if self._keep_books():
                        self._carry_out(process.call(OnStop(now=self._now())), None)
                        self._keep_books()
                        self._life_signs.end()
                        return True
                    if self._life_signs.is_due:
                        self._call(process, Ping(now=self._now()))
                news.clear()
                moved = self._tell_events(process)
                moved |= self._tell_quotes(process)
                if not moved and not stopping.is_set():
                    news.wait(self._wiring.poll_s)
            self._keep_books()
            return False
        finally:
            end_listening()
            process.end()

    # Beginning ----------------------------------------------------------------------------------------------

    def _prepare(self) -> int:
        """Bring memory up to the cursor; 1 when on_start's actions were carried out in an earlier life."""
        with self._wiring.store.tenant_unit(self._run.tenant_id) as unit:
            self._stored_seq = rows.begin_cursor(unit, self._consumer, self._run.ledger_id, self._run.cursor_seq)
            started_at = rows.begin_cursor(unit, f"{self._consumer}:start", self._run.ledger_id, 0)
            self._own.fold(rows.own_history(unit, self._run, self._stored_seq))
            self._quotes_after = unit.now
        self._read_seq = self._stored_seq
        return started_at

    def _begin(self) -> Begin:
        return Begin(
            target=self._target,
            params=self._run.params,
            strategy_id=self._run.strategy_id,
            account_id=self._run.account_id,
            instruments=self._instruments,
            now=self._now(),
        )

    def _now(self) -> Now:
        return Now(at=self._wiring.clock(), positions=self._own.positions())

    # Telling ------------------------------------------------------------------------------------------------

    def _tell_events(self, process: StrategyProcess) -> bool:
        """Whether there were new events; each of the strategy's own is told and its actions are carried out."""
        run = self._run
        if self._wiring.reader.heads([run.ledger_id]).get(run.ledger_id, 0) <= self._read_seq:
            return False
        events = self._wiring.reader.events(run.tenant_id, run.ledger_id, self._read_seq, PAGE)
        for recorded in events:
            update = self._own.update(recorded)
            self._read_seq = recorded.seq
            if update is not None:
                actions = self._call(process, OnOrder(update=update, now=self._now()))
                step = CursorStep(self._consumer, self._stored_seq, recorded.seq)
                self._carry_out(actions, step)
                self._stored_seq = recorded.seq
        return bool(events)

    def _tell_quotes(self, process: StrategyProcess) -> bool:
        """Whether there were new quotes of the strategy's symbols."""
        quotes = self._wiring.store.quotes(self._quotes_after)
        told = False
        for quote in quotes:
            self._quotes_after = quote.received_at
            symbol = self._symbols.get(quote.instrument_id)
            if symbol is not None and symbol in process.symbols:
                told = True
                self._carry_out(self._call(process, OnQuote(quote=quote, symbol=symbol, now=self._now())), None)
        return told

    def _call(self, process: StrategyProcess, message: OnQuote | OnOrder | Ping) -> list[Action]:
        """What the strategy answers; that it did is a sign of life."""
        actions = process.call(message)
        if self._life_signs.is_due and self._may_act():
            self._life_signs.give()
        return actions

    # Acting -------------------------------------------------------------------------------------------------

    def _carry_out(self, actions: Sequence[Action], step: CursorStep | None) -> None:
        """Cancel, then place everything in one transaction with the cursor. Waits for the database. Raises LostRun."""
        self._lines += [action.text for action in actions if isinstance(action, StrategyLog)]
        for action in actions:
            if isinstance(action, StrategyCancel):
                self._cancel(action)
        drafts = [self._draft(action) for action in actions if isinstance(action, StrategyOrder)]
        while True:
            if not self._may_act():
                raise LostRun(self._run.run_id)
            try:
                self._place(drafts, step)
                return
            except Unavailable as error:
                log.warning("the database is away", run_id=self._run.run_id, error=error.detail)
                time.sleep(RETRY_S)

    def _place(self, drafts: Sequence[OrderDraft], step: CursorStep | None) -> None:
        if drafts:
            result = self._wiring.intake.place(self._principal, drafts, cursor=step)
            for item in result.items:
                if item.error is not None:
                    self._lines.append(f"order not placed: {item.error.code}: {item.error.detail}")
        elif step is not None:
            with self._wiring.store.tenant_unit(self._run.tenant_id) as unit:
                if not cursors.advance(unit, step.consumer, self._run.ledger_id, step.expected_seq, step.seq):
                    raise LostRun(self._run.run_id)

    def _cancel(self, action: StrategyCancel) -> None:
        if not self._own.owns(action.order_id):
            self._lines.append(f"order {action.order_id} is not this strategy's: not cancelled")
            return
        try:
            self._wiring.amendment.cancel(self._principal, action.order_id)
        except (FlowError, KernelError) as error:
            self._lines.append(f"order {action.order_id} not cancelled: {error.code}")

    def _draft(self, wish: StrategyOrder) -> OrderDraft:
        return OrderDraft(
            side=wish.side,
            quantity=wish.quantity,
            order_type=wish.order_type,
            account_id=self._run.account_id,
            symbol=wish.symbol,
            limit_price=wish.limit_price,
            stop_price=wish.stop_price,
            trail_amount=wish.trail_amount,
            trail_percent=wish.trail_percent,
            time_in_force=wish.time_in_force,
            queue_until=self._wiring.clock() + QUEUE_FOR,
            client_order_id=wish.client_order_id,
            strategy_id=self._run.strategy_id,
            strategy_run_id=self._run.run_id,
        )

    def _keep_books(self) -> bool:
        """Whether the run is to stop; writes the log lines and moves the cursor past others' events on the way."""
        lines, self._lines = self._lines, []
        with self._wiring.store.tenant_unit(self._run.tenant_id) as unit:
            if lines:
                stamp = unit.now.isoformat(timespec="milliseconds")
                strategies.append_run_log(unit, self._run.run_id, "".join(f"{stamp} {line}\n" for line in lines))
            if self._read_seq - self._stored_seq >= PAGE:
                if not cursors.advance(unit, self._consumer, self._run.ledger_id, self._stored_seq, self._read_seq):
                    raise LostRun(self._run.run_id)
                self._stored_seq = self._read_seq
            rows.note_cursor(unit, self._run, self._stored_seq)
            return rows.is_stopping(unit, self._run)
