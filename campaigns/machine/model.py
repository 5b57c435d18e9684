"""What was said in, what must follow out: executions, positions, cash and the next status, from the reports alone.

It shares no code with the book: quantities and values are exact fractions, the status is read from the released table.
"""

from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from oms_kernel.contracts import broker as br
from oms_kernel.domain.book import Book
from oms_kernel.domain.ids import ExecId, InstrumentId, OrderId
from oms_kernel.domain.lifecycle import STATUS_TABLE, TERMINAL, Evidence, OrderStatus, RequestStatus, Word
from oms_kernel.domain.order import NET_BOOK, Order
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID

OPEN = (RequestStatus.REQUESTED, RequestStatus.SENT, RequestStatus.IN_DOUBT)
ROUNDING = Fraction(1, 10**6)
"""How far a realised result may lie from the exact fraction: each close rounds at the twelfth digit."""
END_WORDS = {br.Canceled: Word.CANCELED, br.Rejected: Word.REJECTED, br.Expired: Word.EXPIRED}


@dataclass
class Execution:
    """One execution as last told."""

    order_id: OrderId | None
    instrument_id: InstrumentId
    sign: int
    quantity: Decimal
    price: Decimal
    fee: Decimal
    fee_known: bool
    busted: bool = False
    figures: list[tuple[Decimal, Decimal]] = field(default_factory=list)


class Model:
    """Follows every report that was heard."""

    def __init__(self, opening_cash: Decimal) -> None:
        self.executions: dict[ExecId, Execution] = {}
        self._roots: dict[ExecId, ExecId] = {}
        self._opening_cash = Fraction(opening_cash)

    def hear(self, report: br.AnyReport, order: Order | None) -> bool:
        """Take a report in; False when it contradicts what was told before, and must be kept for a person."""
        if isinstance(report, br.Filled):
            return self._filled(report, order)
        if isinstance(report, br.FeeReported):
            told = self._find(report.exec_id)
            if told is None:
                return False
            told.fee, told.fee_known = report.fee, True
        if isinstance(report, br.Corrected | br.Busted):
            return self._restated(report)
        return True

    def filled(self, order_id: OrderId) -> Decimal:
        """What was executed of an order."""
        return sum((one.quantity for one in self._live() if one.order_id == order_id), Decimal(0))

    def status(self, before: Order, report: br.AnyReport) -> OrderStatus:
        """The order's status after a report that was taken in."""
        filled, total = self.filled(before.order_id), before.quantity
        if before.replace is not None and before.replace.status in OPEN:
            total = max(total, before.replace.quantity)
        if type(report) in END_WORDS:
            return STATUS_TABLE[before.status, END_WORDS[type(report)]]
        if isinstance(report, br.Acknowledged):
            alive = before.status in TERMINAL and before.evidence is not Evidence.BROKER
            return STATUS_TABLE[before.status, Word.FOUND_ALIVE if alive else Word.ACKNOWLEDGED]
        if filled == before.filled_quantity:
            return before.status
        if isinstance(report, br.Filled):
            return STATUS_TABLE[before.status, Word.FILLED_WHOLE if filled >= total else Word.FILLED_PART]
        if before.status is OrderStatus.FILLED and filled < before.quantity:
            return before.ended_before or OrderStatus.WORKING
        return OrderStatus.FILLED if filled >= total else before.status

    def differences(self, book: Book) -> list[str]:
        """Where the book's executions, positions and cash are not what was told."""
        found = []
        booked = {key[1] for key, _ in book.executions.items()}
        if booked != set(self.executions):
            found.append(f"executions {sorted(booked ^ set(self.executions))} are booked or told, not both")
        cash = self._opening_cash
        holdings: dict[InstrumentId, tuple[Fraction, Fraction, Fraction, Fraction]] = {}
        for exec_id, one in self.executions.items():
            fill = book.executions.get((BROKER_ACCOUNT_ID, exec_id))
            told = (one.quantity, one.price, one.fee, one.busted)
            if fill is not None and (fill.quantity, fill.price, fill.fee, fill.busted) != told:
                found.append(f"execution {exec_id} is booked with other figures than told")
            if not one.busted:
                cash -= one.sign * Fraction(one.quantity) * Fraction(one.price) + Fraction(one.fee)
                holdings[one.instrument_id] = _traded(holdings.get(one.instrument_id, NOTHING), one)
        if Fraction(book.cash.get((ACCOUNT_ID, "USD")) or 0) != cash:
            found.append("cash is not the opening and what the executions did")
        for instrument_id, (quantity, _, realised, value) in holdings.items():
            position = book.positions.get((ACCOUNT_ID, NET_BOOK, instrument_id))
            if position is None or Fraction(position.quantity) != quantity:
                found.append(f"the position of {instrument_id} is not the sum of its executions")
            elif Fraction(position.cost) - Fraction(position.realised_pnl) != value:
                found.append(f"cost and result of {instrument_id} lose value")
            elif abs(Fraction(position.realised_pnl) - realised) > ROUNDING:
                found.append(
                    f"the realised result of {instrument_id} is {position.realised_pnl}, not {float(realised)}"
                )
        return found

    def _live(self) -> list[Execution]:
        return [one for one in self.executions.values() if not one.busted]

    def _find(self, exec_id: ExecId) -> Execution | None:
        return self.executions.get(self._roots.get(exec_id, exec_id))

    def _filled(self, report: br.Filled, order: Order | None) -> bool:
        told = self._find(report.exec_id)
        if told is None:
            self.executions[report.exec_id] = Execution(
                order.order_id if order is not None else None, report.instrument_id, report.side.sign,
                report.quantity, report.price, report.fee or Decimal(0), report.fee is not None,
                figures=[(report.quantity, report.price)],
            )  # fmt: skip
            return True
        if (report.quantity, report.price) not in told.figures:
            return False
        if not told.fee_known and report.fee is not None:
            told.fee, told.fee_known = report.fee, True
        return True

    def _restated(self, report: br.Corrected | br.Busted) -> bool:
        restatement = report.bust_id if isinstance(report, br.Busted) else report.correction_id
        if restatement in self._roots:
            return True
        told = self._find(report.exec_id)
        if told is None:
            return False
        if isinstance(report, br.Busted):
            if not told.busted:
                told.busted, self._roots[restatement] = True, self._roots.get(report.exec_id, report.exec_id)
            return True
        if told.busted:
            return False
        self._roots[restatement] = self._roots.get(report.exec_id, report.exec_id)
        told.fee_known = told.fee_known or (report.fee is not None and report.fee != told.fee)
        told.quantity, told.price = report.quantity, report.price
        told.fee = report.fee if report.fee is not None else told.fee
        told.figures.append((report.quantity, report.price))
        return True


NOTHING = (Fraction(0), Fraction(0), Fraction(0), Fraction(0))


def _traded(
    before: tuple[Fraction, Fraction, Fraction, Fraction], one: Execution
) -> tuple[Fraction, Fraction, Fraction, Fraction]:
    """(quantity, cost, realised result, sum of signed values) after one more execution, at average cost."""
    quantity, cost, realised, value = before
    change, price = one.sign * Fraction(one.quantity), Fraction(one.price)
    value += change * price
    if quantity * change >= 0:
        return quantity + change, cost + change * price, realised, value
    closing = min(abs(quantity), abs(change)) * (1 if change > 0 else -1)
    closed = cost * -closing / quantity
    return quantity + change, cost - closed + (change - closing) * price, realised - closing * price - closed, value
