"""What happened in, what is told of it out: faithfully, unless the fault script says otherwise for an order."""

from collections.abc import Callable
from decimal import Decimal

from oms_kernel.contracts.broker import (
    Acknowledged,
    AnyReport,
    Canceled,
    CancelRefused,
    Filled,
    Rejected,
    Replaced,
    ReplaceRefused,
)
from oms_kernel.domain.ids import BrokerOrderId
from oms_kernel.testkit.faults import Fault, FaultKind, FaultPoint
from oms_sim_broker.state import KnownOrder

_ANSWERS: dict[FaultPoint, tuple[type, ...]] = {
    FaultPoint.SUBMIT: (Acknowledged, Rejected),
    FaultPoint.CANCEL: (Canceled, CancelRefused),
    FaultPoint.REPLACE: (Replaced, ReplaceRefused),
}
"""Which reports answer a command: the ones that a lost acknowledgement loses."""

MakeUp = Callable[[KnownOrder, int, Decimal, Decimal | None], Filled]
"""(order, percent, of this quantity, price) -> an execution that the broker has written down."""


class Telling:
    """Remembers which orders have something wrong with what is told of them.

    fill_faults: which faults strike an execution of an order. make_up: the execution that an over-fill adds.
    """

    def __init__(self, fill_faults: Callable[[KnownOrder], tuple[Fault, ...]], make_up: MakeUp) -> None:
        self._fill_faults = fill_faults
        self._make_up = make_up
        self._muted: dict[BrokerOrderId, list[type]] = {}
        self._fill_first: dict[BrokerOrderId, list[AnyReport]] = {}
        self._reversed: dict[BrokerOrderId, list[AnyReport]] = {}

    def lose_answer(self, order: KnownOrder, point: FaultPoint) -> None:
        """Never tell the answer to the command that was just given."""
        self._muted.setdefault(order.order.broker_order_id, []).extend(_ANSWERS[point])

    def fill_before_ack(self, order: KnownOrder) -> None:
        """Keep the acknowledgement until the first fill was told."""
        self._fill_first[order.order.broker_order_id] = []

    def reverse(self, order: KnownOrder) -> None:
        """Keep all until the order has ended, then tell it in reverse."""
        self._reversed[order.order.broker_order_id] = []

    def tell(self, report: AnyReport, order: KnownOrder, *, made_up: bool = False) -> list[AnyReport]:
        """What is told, in order, now that this has happened."""
        order_id = order.order.broker_order_id
        told: list[AnyReport] = [report]
        if isinstance(report, Filled):
            told = [report] if made_up else self._faulty_fill(report, order)
        elif self._is_lost(report, order_id):
            told = []
        if order_id in self._fill_first:
            told = self._with_fill_first(order_id, told)
        if order_id in self._reversed:
            self._reversed[order_id] += told
            return [] if order.is_live else self._reversed.pop(order_id)[::-1]
        return told

    def _with_fill_first(self, order_id: BrokerOrderId, told: list[AnyReport]) -> list[AnyReport]:
        if all(isinstance(one, Acknowledged) for one in told):
            self._fill_first[order_id] += told
            return []
        held = self._fill_first.pop(order_id)
        return [told[0], *held, *told[1:]] if isinstance(told[0], Filled) else [*held, *told]

    def _faulty_fill(self, fill: Filled, order: KnownOrder) -> list[AnyReport]:
        told: list[AnyReport] = [fill]
        for fault in self._fill_faults(order):
            if fault.do is FaultKind.DUPLICATE_EXECUTION:
                told.append(fill)
            elif fault.do is FaultKind.LOST_FILL:
                told = []
            elif fault.do is FaultKind.OVER_FILL:
                told.append(self._make_up(order, fault.quantity_percent, order.quantity, fill.price))
        return told

    def _is_lost(self, report: AnyReport, order_id: BrokerOrderId) -> bool:
        if type(report) not in self._muted.get(order_id, ()):
            return False
        del self._muted[order_id]
        return True
