"""Commands in, reports out: a broker with a memory of its own that never repeats a mistake of ours, and never forgets.

It takes the same wire id twice, as most brokers do, so that a doubled send shows. `live_leaves` is what may still be
executed: the true worst case that our exposure is held against.
"""

from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any

from oms_kernel.contracts import broker as br
from oms_kernel.domain.ids import BrokerOrderId, ExecId, InstrumentId, OrderId, WireId
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import Side
from oms_kernel.testkit.builders import BROKER_ACCOUNT_ID

ENDS: dict[str, type[Any]] = {"CANCELED": br.Canceled, "REJECTED": br.Rejected, "EXPIRED": br.Expired}


@dataclass
class VenueOrder:
    """An order as the broker has it. order_id: ours, or None for an order that somebody else placed there."""

    order_id: OrderId | None
    wire_id: WireId | None
    broker_order_id: BrokerOrderId
    instrument_id: InstrumentId
    side: Side
    total: Decimal
    limit_price: Decimal | None
    filled: Decimal = ZERO
    status: str = "WORKING"
    names: set[WireId] = field(default_factory=set)

    @property
    def leaves(self) -> Decimal:
        """What may still be executed."""
        return max(ZERO, self.total - self.filled) if self.status == "WORKING" else ZERO


class Venue:
    """The broker's own books."""

    def __init__(self) -> None:
        self.orders: list[VenueOrder] = []
        self.executions: dict[ExecId, br.Filled] = {}
        self.busted: set[ExecId] = set()
        self.corrected: dict[ExecId, Decimal] = {}
        self.taken: dict[WireId, int] = {}
        """How often each wire id of a place came in."""
        self._numbers = 0

    def take(self, intent: br.Intent, now: datetime) -> list[br.AnyReport]:
        """Do what was asked; the reports of it."""
        command, wire_id = intent.command, intent.identity.wire_id
        if command.kind is RequestKind.PLACE:
            self.taken[wire_id] = self.taken.get(wire_id, 0) + 1
            order = self.add(
                command.order_id, wire_id, command.instrument.instrument_id, command.side, command.quantity,
                command.limit_price,
            )  # fmt: skip
            return [self.say(br.Acknowledged, order, now)]
        order = self.find(command)
        named = {"broker_account_id": BROKER_ACCOUNT_ID, "broker_at": now, "wire_id": wire_id}
        if command.kind is RequestKind.CANCEL:
            if order is None or order.status != "WORKING":
                return [br.CancelRefused(reason="nothing to cancel", **named)]
            order.status = "CANCELED"
            return [self.say(br.Canceled, order, now, reason="on request")]
        if order is None or order.status != "WORKING" or command.quantity <= order.filled:
            return [br.ReplaceRefused(reason="too late to change", **named)]
        order.total, order.limit_price = command.quantity, command.limit_price
        order.names.add(wire_id)
        terms = {"quantity": order.total, "limit_price": order.limit_price}
        return [br.Replaced(broker_order_id=order.broker_order_id, **terms, **named)]

    def add(
        self, order_id: OrderId | None, wire_id: WireId | None, instrument_id: InstrumentId, side: Side,
        total: Decimal, limit_price: Decimal | None,
    ) -> VenueOrder:  # fmt: skip
        """A new order in the book of the broker."""
        name = BrokerOrderId(self.name("B"))
        names = {wire_id} if wire_id is not None else set()
        order = VenueOrder(order_id, wire_id, name, instrument_id, side, total, limit_price, names=names)
        self.orders.append(order)
        return order

    def execute(self, order: VenueOrder, quantity: Decimal, price: Decimal, fee: Decimal | None, now: datetime) -> Any:
        """An execution; the order is done when its total is reached."""
        order.filled += quantity
        if order.filled >= order.total:
            order.status = "FILLED"
        report = self.say(
            br.Filled, order, now, exec_id=ExecId(self.name("E")), instrument_id=order.instrument_id,
            side=order.side, quantity=quantity, price=price, fee=fee,
        )  # fmt: skip
        self.executions[report.exec_id] = report
        return report

    def correct(self, exec_id: ExecId, quantity: Decimal) -> None:
        """An execution had another quantity in truth: more takes from what is left, less revives nothing."""
        order = next(one for one in self.orders if one.broker_order_id == self.executions[exec_id].broker_order_id)
        before = self.corrected.get(exec_id, self.executions[exec_id].quantity)
        self.corrected[exec_id] = quantity
        order.filled += max(ZERO, quantity - before)
        if order.status == "WORKING" and order.filled >= order.total:
            order.status = "FILLED"

    def end(self, order: VenueOrder, status: str, now: datetime) -> Any:
        """The order ends by the broker's own will."""
        order.status = status
        return self.say(ENDS[status], order, now, reason="the broker's will")

    def find(self, command: br.Command) -> VenueOrder | None:
        """The order that a command names, by the broker's id first."""
        for order in self.orders:
            if command.broker_order_id is not None:
                if order.broker_order_id == command.broker_order_id:
                    return order
            elif command.wire_id in order.names:
                return order
        return None

    def of(self, order_id: OrderId) -> list[VenueOrder]:
        """What the broker has of one order of ours: one, unless it was sent twice."""
        return [order for order in self.orders if order.order_id == order_id]

    def positions(self) -> dict[InstrumentId, Decimal]:
        """What its executions come to."""
        held: dict[InstrumentId, Decimal] = {}
        for exec_id, one in self.executions.items():
            if exec_id not in self.busted:
                quantity = self.corrected.get(exec_id, one.quantity)
                held[one.instrument_id] = held.get(one.instrument_id, ZERO) + quantity * one.side.sign
        return held

    def snapshot(self, now: datetime, failed: frozenset[br.SnapshotPart]) -> dict[br.SnapshotPart, br.PartResult]:
        """All that it has, in complete parts, except those that fail."""
        items: dict[br.SnapshotPart, Any] = {
            br.SnapshotPart.ORDERS: [self._shown(order) for order in self.orders],
            br.SnapshotPart.EXECUTIONS: [one for key, one in self.executions.items() if key not in self.busted],
            br.SnapshotPart.POSITIONS: [
                br.PositionSnapshot(broker_account_id=BROKER_ACCOUNT_ID, instrument_id=key, quantity=quantity)
                for key, quantity in self.positions().items()
            ],
        }
        return {
            part: br.PartResult(complete=False, as_of=now, error="no answer")
            if part in failed
            else br.PartResult(complete=True, as_of=now, items=tuple(items[part]))
            for part in items
        }

    def say(self, cls: type[Any], order: VenueOrder, now: datetime, **fields: Any) -> Any:
        """A report about an order, under the name of its place."""
        named = {"broker_account_id": BROKER_ACCOUNT_ID, "broker_at": now, "broker_order_id": order.broker_order_id}
        return cls(wire_id=order.wire_id, **named, **fields)

    def name(self, kind: str) -> str:
        """A name that was never used."""
        self._numbers += 1
        return f"{kind}{self._numbers}"

    def _shown(self, order: VenueOrder) -> br.OrderSnapshot:
        return br.OrderSnapshot(
            broker_account_id=BROKER_ACCOUNT_ID, broker_order_id=order.broker_order_id, wire_id=order.wire_id,
            instrument_id=order.instrument_id, side=order.side, status=order.status, quantity=order.total,
            filled_quantity=order.filled, limit_price=order.limit_price,
        )  # fmt: skip
