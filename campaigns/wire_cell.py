"""Schedules in, trading behind a bad wire out: rest is waited for after each, and noted where it did not come."""

import time
import traceback
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import select

from campaigns.checks import UNSETTLED, Kind, Violation
from campaigns.history import Answer, History, Told
from campaigns.tenants import Trading
from campaigns.timing import scaled
from campaigns.wire_faults import Action, Schedule, Step, draw
from campaigns.wire_proxy import WireProxy
from oms_app.bootstrap import Services
from oms_app.flow.errors import FlowError
from oms_app.flow.pretrade import OrderDraft
from oms_app.store import tables as t
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.ids import ClientOrderId, OrderId
from oms_kernel.domain.order import OrderType, Side
from oms_kernel.engine import NewTerms

READY_S = 30.0
SETTLE_S = 30.0
POLL_S = 0.15
WAIT_S = 2.0
"""How long an order that may wait waits for a session."""
ACTIVE = UNSETTLED | {"HELD", "WORKING", "PARTIALLY_FILLED"}
SYMBOLS = {Action.MARKET: ("SPY", "450"), Action.RESTING: ("MSFT", "385"), Action.CROSSING: ("AAPL", "205")}
"""What each kind of order buys, and its limit: below the market, or far enough above it to fill."""


class NoRest(Exception):
    """What has to come by itself did not come in time."""


class Cell:
    """Plays schedules one after the other; use it from one thread. `found` holds what did not hold."""

    def __init__(self, services: Services, tenant: Trading, proxy: WireProxy) -> None:
        self.tenant = tenant
        self.proxy = proxy
        self.history = History()
        self.found: list[Violation] = []
        self.played = 0
        self.doubts = 0
        """Orders that were in doubt when the wire was well again."""
        self.slowest_s = 0.0
        self._services = services
        self._well: list[tuple[datetime, datetime]] = []
        self._count = 0

    def play(self, numbers: Iterable[int], seed: int) -> None:
        """Play the schedules of these numbers; after one that did not come to rest no other can be judged."""
        try:
            for number in numbers:
                self._play(draw(seed, number))
                self.played += 1
        except NoRest as error:
            self.found.append(Violation(Kind.STUCK, f"{self.tenant.name}, {error}"))
        except Exception:
            self.found.append(Violation(Kind.STUCK, f"{self.tenant.name}: {traceback.format_exc()}"))

    def well_after(self, moment: datetime) -> datetime:
        """The moment, or the end of the schedule's bad wire that it lies in."""
        return next((end for begin, end in self._well if begin <= moment <= end), moment)

    def _play(self, schedule: Schedule) -> None:
        self._await(self._is_ready, READY_S, f"schedule {schedule.number}: no ready session before it")
        began, began_at = time.monotonic(), datetime.now(UTC)
        mine: list[OrderId] = []
        moments: list[tuple[float, Callable[[], None]]] = [
            *((fault.at_s, lambda fault=fault: self.proxy.apply(fault)) for fault in schedule.faults),
            *((step.at_s, lambda step=step: self._take(step, mine)) for step in schedule.steps),
            (schedule.heal_at_s, self.proxy.heal),
        ]
        for at_s, do in sorted(moments, key=lambda moment: moment[0]):
            time.sleep(max(0.0, began + scaled(at_s) - time.monotonic()))
            do()
        self.proxy.heal()
        self._well.append((began_at, datetime.now(UTC) + timedelta(seconds=scaled(READY_S))))
        healed = time.monotonic()
        self.doubts += self._states().count("IN_DOUBT")
        self._await(self._is_ready, READY_S, f"schedule {schedule.number}: no ready session after it")
        self._well[-1] = (began_at, datetime.now(UTC))
        self._await(lambda: self._is_at_rest(UNSETTLED), SETTLE_S, f"schedule {schedule.number}: not settled")
        self._services.amendment.cancel_all(self.tenant.administrator)
        self._await(lambda: self._is_at_rest(ACTIVE), SETTLE_S, f"schedule {schedule.number}: not cancelled")
        self.slowest_s = max(self.slowest_s, time.monotonic() - healed)

    def _take(self, step: Step, mine: list[OrderId]) -> None:
        if step.action in SYMBOLS:
            self._place(step, mine)
        elif mine:
            order_id = mine[int(step.pick * len(mine))]
            try:
                if step.action is Action.CANCEL:
                    self._services.amendment.cancel(self.tenant.administrator, order_id)
                else:
                    terms = NewTerms(quantity=Decimal(step.quantity))
                    self._services.amendment.replace(self.tenant.administrator, order_id, terms)
            except (FlowError, KernelError):
                pass  # the order has ended, or a replace is under way already

    def _place(self, step: Step, mine: list[OrderId]) -> None:
        symbol, limit = SYMBOLS[step.action]
        self._count += 1
        draft = OrderDraft(
            account_id=self.tenant.account_id,
            symbol=symbol,
            side=Side.BUY,
            quantity=Decimal(step.quantity),
            order_type=OrderType.MARKET if step.action is Action.MARKET else OrderType.LIMIT,
            limit_price=None if step.action is Action.MARKET else Decimal(limit),
            queue_until=datetime.now(UTC) + timedelta(seconds=scaled(WAIT_S)) if step.may_wait else None,
            client_order_id=ClientOrderId(f"{self.tenant.name}-{self._count}"),
        )
        name = f"{draft.client_order_id}"
        self.history.ask(name, {})
        try:
            (item,) = self._services.intake.place(self.tenant.administrator, [draft]).items
        except FlowError:
            self.history.hear(name, Answer(Told.UNKNOWN))
            return
        if item.order is None:
            self.history.hear(name, Answer(Told.NOTHING))
        elif item.decision is not None and not item.decision.accepted:
            self.history.hear(name, Answer(Told.DENIED, item.order.order_id))
        else:
            self.history.hear(name, Answer(Told.STORED, item.order.order_id))
            mine.append(item.order.order_id)

    def _await(self, condition: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait for it. Raises NoRest when it does not come in time."""
        deadline = time.monotonic() + scaled(seconds)
        while not condition():
            if time.monotonic() > deadline:
                raise NoRest(f"{what}: {self._words()}")
            time.sleep(POLL_S)

    def _is_ready(self) -> bool:
        return self._connection()[0] == "READY"

    def _is_at_rest(self, states: frozenset[str]) -> bool:
        return not states.intersection(self._states())

    def _connection(self) -> tuple[str, str]:
        with self._services.store.read_unit(self.tenant.tenant_id) as unit:
            table = t.BROKER_CONNECTIONS
            query = select(table.c.status, table.c.detail).where(table.c.tenant_id == self.tenant.tenant_id)
            status, detail = unit.connection.execute(query).one()
            return status, detail

    def _states(self) -> list[str]:
        """The states of the orders that have not ended."""
        return [state for state, _, _ in self._open()]

    def _open(self) -> list[tuple[str, str, Any]]:
        with self._services.store.read_unit(self.tenant.tenant_id) as unit:
            table = t.ORDERS
            query = select(table.c.state, table.c.order_id, table.c.document).where(
                table.c.tenant_id == self.tenant.tenant_id, table.c.state.in_(sorted(ACTIVE))
            )
            return [(row.state, row.order_id, row.document) for row in unit.connection.execute(query)]

    def _words(self) -> str:
        orders = "; ".join(f"{order_id} {state}" for state, order_id, _ in self._open())
        return f"connection {' '.join(self._connection())}, orders {orders or 'at rest'}"
