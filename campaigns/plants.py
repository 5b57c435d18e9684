"""Defects by name, each a change of one loaded module: what a campaign must catch. Never in the product."""

import asyncio
import random
from collections.abc import Callable
from importlib import import_module
from typing import Any
from zlib import crc32

FORGETS = 0.1
DOUBLES = 0.3
SKIPS = 0.1
LOSES_ONE_OF = 4
DIRTY = 0.3


def resend(comparing: Any) -> None:
    """A session that takes over sends again what was sent and not answered, without looking whether it arrived."""
    from oms_app.flow import submission
    from oms_kernel.contracts.broker import Intent, WireIdentity
    from oms_kernel.domain.lifecycle import RequestKind, RequestStatus

    open_ = comparing.Comparing.open

    def doubtful(self: Any, turn: Any) -> list[Any]:
        unsettled = turn.batch.book.unsettled.entries(self._connection.connection_id)
        orders = [turn.batch.book.orders[order_id] for order_id, _ in unsettled]
        return [
            Intent(
                submission.command_of(
                    order, RequestKind.PLACE, turn.catalogue.instruments[order.request.instrument_id]
                ),
                WireIdentity(wire_id=order.wire_ids[0]),
                self._lease_token,
            )
            for order in orders
            if order.place in (RequestStatus.SENT, RequestStatus.IN_DOUBT) and order.wire_ids
        ]

    async def resend_and_open(self: Any, connector: Any) -> Any:
        for intents in await self._ledgers.each(lambda turn: doubtful(self, turn)):
            for intent in intents:
                await connector.submit(intent)
        return await open_(self, connector)

    comparing.Comparing.open = resend_and_open


def wire_first(pump: Any) -> None:
    """A session sends new orders first and commits their intents after."""
    from oms_app.sessions import sending
    from oms_kernel.domain.lifecycle import RequestKind

    work, turn_, sent = pump.Pump.work, pump.Pump._turn, sending.Sender._sent

    async def noting_the_loop(self: Any) -> None:
        self.loop = asyncio.get_running_loop()
        await work(self)

    def send_first(self: Any, turn: Any, **named: Any) -> Any:
        done = turn_(self, turn, **named)
        for intent in done.intents:
            if intent.command.kind is RequestKind.PLACE:
                asyncio.run_coroutine_threadsafe(self._present.connector.submit(intent), self.loop).result(5)
        return done

    async def not_again(self: Any, connector: Any, intent: Any) -> Any:
        return None if intent.command.kind is RequestKind.PLACE else await sent(self, connector, intent)

    pump.Pump.work = noting_the_loop
    pump.Pump._turn = send_first
    sending.Sender._sent = not_again  # type: ignore[method-assign]


def forget(intake: Any) -> None:
    """Now and then an order is answered with 201 and its transaction dropped."""
    decide = intake.PlaceJob.decide

    def decide_or_forget(self: Any, turn: Any) -> Any:
        result = decide(self, turn)
        accepted = [item for item in result.items if item.order is not None]
        if self.alone and accepted:
            raise intake._AtomicRefusal(result)
        return result

    make = intake.PlaceJob.__init__

    def make_some_forgetful(self: Any, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        self.alone = self.alone or random.random() < FORGETS

    intake.PlaceJob.__init__ = make_some_forgetful
    intake.PlaceJob.decide = decide_or_forget


def double_fill(booking: Any) -> None:
    """Now and then an execution is booked a second time, under another execution id."""
    import msgspec

    from oms_app.flow import breaks, reconciliation
    from oms_kernel.contracts.broker import Filled

    book = booking.book

    def book_twice(turn: Any, connection_id: Any, reports: Any) -> None:
        book(turn, connection_id, reports)
        for report in reports:
            if isinstance(report, Filled) and random.random() < DOUBLES:
                book(turn, connection_id, [msgspec.structs.replace(report, exec_id=f"{report.exec_id}-again")])

    for module in (booking, reconciliation, breaks):
        vars(module)["book"] = book_twice


def skip_event(fan_out: Any) -> None:
    """Now and then an event is passed over: the cursor moves, and no webhook gets it."""
    deliveries = fan_out.FanOut._deliveries

    def some(self: Any, ledger_id: Any, webhooks: Any, events: Any) -> Any:
        return deliveries(self, ledger_id, webhooks, [one for one in events if random.random() >= SKIPS])

    fan_out.FanOut._deliveries = some


def skip_answer(unit: Any) -> None:
    """Nothing remembers what an idempotency key stands for."""
    unit.SqlLedgerUnit.put_answer = lambda self, answer: None


def late_answer(desk: Any) -> None:
    """What an idempotency key stands for is stored in a transaction of its own, after the orders."""
    from oms_app.store.unit_of_work import Conflict

    transact = desk.LedgerCache._transact

    def twice(self: Any, work: Any) -> Any:
        late: list[Any] = []

        def keeping_back(turn: Any) -> Any:
            turn.unit.put_answer = late.append
            return work(turn)

        result = transact(self, keeping_back)
        for answer in late:
            try:
                transact(self, lambda turn, answer=answer: turn.unit.put_answer(answer))
            except Conflict:
                pass
        return result

    desk.LedgerCache._transact = twice


def unclaimed(rows: Any) -> None:
    """A worker takes a webhook whoever has it."""
    from sqlalchemy import select

    from oms_app.store.tables import DUE_WORK

    def claim(unit: Any, webhook_id: str, holder: str, lasts: Any) -> Any:
        row = unit.connection.execute(
            select(DUE_WORK.c.tenant_id, DUE_WORK.c.due_at).where(
                DUE_WORK.c.work_id == webhook_id, DUE_WORK.c.done_at.is_(None)
            )
        ).one_or_none()
        return row and rows.DueWebhook(row.tenant_id, webhook_id, row.due_at, 0)

    def change(unit: Any, delivery: Any, **values: Any) -> bool:
        change_delivery(unit, delivery, **values)
        return True

    change_delivery, rows.claim, rows.change_delivery = rows.change_delivery, claim, change


def lost_fill(booking: Any) -> None:
    """Some executions are never booked, however often the broker tells of them, and it is told that they were."""
    from oms_app.flow import breaks, reconciliation
    from oms_kernel.contracts.broker import Filled

    book = booking.book

    def is_lost(report: Any) -> bool:
        return isinstance(report, Filled) and crc32(report.exec_id.encode()) % LOSES_ONE_OF == 0

    def book_most(turn: Any, connection_id: Any, reports: Any) -> None:
        book(turn, connection_id, [report for report in reports if not is_lost(report)])

    for module in (booking, reconciliation, breaks):
        vars(module)["book"] = book_most


def dirty_position(holdings: Any) -> None:
    """A position is now and then shown with a part of an execution that is not booked yet."""
    document = holdings.position_document

    def too_early(view: Any) -> Any:
        shown = document(view)
        if random.random() < DIRTY:
            for name in ("quantity", "bought_quantity"):
                shown[name] = str(float(shown[name]) + 0.5)
        return shown

    holdings.position_document = too_early


def blind_open(view: Any) -> None:
    """Rules see what is held, and nothing of what works."""

    def held_only(self: Any, account_id: Any, instrument_id: Any, book: str = "NET") -> Any:
        held = self.held(account_id, instrument_id)
        return view.WorstCase(long=held, short=held)

    view.LedgerView.worst_case = held_only


def blind_change(engine: Any) -> None:
    """No rule is asked about a change of an order."""
    from oms_kernel.domain.lifecycle import RequestKind

    judge = engine.judge

    def judge_new_orders(intent: Any, *more: Any) -> Any:
        return () if intent.kind is RequestKind.REPLACE else judge(intent, *more)

    engine.judge = judge_new_orders


def ignore_switches(view: Any) -> None:
    """Kill switches are stored and shown, and nobody asks for them: the account's own state alone is looked at."""

    def own_state(self: Any, account_id: Any, strategy_id: Any, instrument_id: Any) -> Any:
        return self.account(account_id).trading_state

    view.LedgerView.trading_state = own_state


PLANTS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "resend": ("oms_app.sessions.comparing", resend),
    "wire_first": ("oms_app.sessions.pump", wire_first),
    "forget": ("oms_app.flow.intake", forget),
    "double_fill": ("oms_app.flow.booking", double_fill),
    "skip_answer": ("oms_app.store.sql_ledger_unit", skip_answer),
    "late_answer": ("oms_app.flow.desk", late_answer),
    "unclaimed": ("oms_app.workers.rows", unclaimed),
    "lost_fill": ("oms_app.flow.booking", lost_fill),
    "dirty_position": ("oms_app.api.reading.holdings", dirty_position),
    "blind_open": ("oms_kernel.view", blind_open),
    "blind_change": ("oms_kernel.engine", blind_change),
    "ignore_switches": ("oms_kernel.view", ignore_switches),
    "skip_event": ("oms_app.workers.fan_out", skip_event),
}


def plant(name: str) -> None:
    """Change the module of the defect in this process."""
    module, change = PLANTS[name]
    change(import_module(module))
