"""The lines of a broker's ledger in, the most that could be held at any of them out: positions and all that works."""

from decimal import Decimal

import msgspec

from oms_kernel.contracts import broker as br
from oms_kernel.domain.ids import BrokerOrderId
from oms_kernel.domain.order import Side
from oms_sim_broker import records as rec

_ENDS = (br.Canceled, br.Rejected, br.Expired)


class Working(msgspec.Struct):
    """An order at the broker. asked: totals that were asked for and are not answered."""

    side: Side
    quantity: Decimal
    filled: Decimal = Decimal(0)
    asked: list[Decimal] = msgspec.field(default_factory=list)

    @property
    def leaves(self) -> Decimal:
        """What may still be executed, by the largest total that is in force or asked for."""
        return max(Decimal(0), max([self.quantity, *self.asked]) - self.filled)


class Replay:
    """One account and one instrument. peak and trough: the furthest long and short that it could have gone."""

    def __init__(self) -> None:
        self.position = Decimal(0)
        self.peak = Decimal(0)
        self.trough = Decimal(0)
        self.peak_at = 0
        self._line = 0
        self._working: dict[BrokerOrderId, Working] = {}
        self._open = {Side.BUY: Decimal(0), Side.SELL: Decimal(0)}

    def fold(self, record: rec.Record) -> None:
        """Take in one line."""
        self._line += 1
        if isinstance(record, rec.OrderReceived):
            order = record.order
            self._put(order.broker_order_id, Working(order.side, order.quantity))
        elif isinstance(record, rec.ReplaceReceived):
            known = self._working.get(record.broker_order_id)
            if known is not None:
                self._change(known, asked=[*known.asked, record.terms.quantity or known.quantity])
        elif isinstance(record, rec.Reported):
            self._hear(record.report)
        self._look()

    def _hear(self, report: br.AnyReport) -> None:
        known = self._working.get(report.broker_order_id) if report.broker_order_id is not None else None
        if isinstance(report, br.Filled):
            self.position += report.quantity * report.side.sign
            if known is not None:
                self._change(known, filled=known.filled + report.quantity)
        elif known is not None and isinstance(report, br.Replaced):
            self._change(known, quantity=report.quantity, asked=known.asked[1:])
        elif known is not None and isinstance(report, br.ReplaceRefused):
            self._change(known, asked=known.asked[1:])
        elif known is not None and isinstance(report, _ENDS):
            self._open[known.side] -= known.leaves
            del self._working[report.broker_order_id]  # type: ignore[arg-type]

    def _put(self, broker_order_id: BrokerOrderId, order: Working) -> None:
        self._working[broker_order_id] = order
        self._open[order.side] += order.leaves

    def _change(self, order: Working, **values: Decimal | list[Decimal]) -> None:
        before = order.leaves
        for name, value in values.items():
            setattr(order, name, value)
        self._open[order.side] += order.leaves - before

    def _look(self) -> None:
        long, short = self.position + self._open[Side.BUY], self.position - self._open[Side.SELL]
        if long > self.peak:
            self.peak, self.peak_at = long, self._line
        self.trough = min(self.trough, short)
