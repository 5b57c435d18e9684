"""What a correction or bust changed: the book before and after it in, one event with the changed figures out."""

from collections.abc import Iterable
from datetime import date
from decimal import Decimal

import msgspec

from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book, DayCounters
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.money import ZERO, subtract

Restating = ev.ExecutionCorrected | ev.ExecutionBusted


class Figures(msgspec.Struct, frozen=True):
    """What an execution has a part in: its holding, the account's cash, and each day's counters."""

    quantity: Decimal
    cost: Decimal
    realised_pnl: Decimal
    cash: Decimal
    days: dict[date, DayCounters]


def figures(book: Book, fill: Fill) -> Figures:
    """The figures of the execution's holding and account as the book has them now."""
    position = book.position(fill.account_id, fill.instrument_id)
    return Figures(
        quantity=position.quantity if position else ZERO,
        cost=position.cost if position else ZERO,
        realised_pnl=position.realised_pnl if position else ZERO,
        cash=book.cash.get((fill.account_id, fill.currency)) or ZERO,
        days={day: book.day(fill.account_id, fill.currency, day) for day in _days(book, fill)},
    )


def restated(event: Restating, fill: Fill, before: Figures, after: Figures) -> ev.FiguresRestated:
    """The event that tells the difference; `fill` is the execution as it was before."""
    return ev.FiguresRestated(
        account_id=fill.account_id,
        order_id=fill.order_id,
        broker_account_id=event.broker_account_id,
        exec_id=event.exec_id,
        instrument_id=fill.instrument_id,
        currency=fill.currency,
        quantity_before=before.quantity,
        quantity=after.quantity,
        cost_before=before.cost,
        cost=after.cost,
        realised_pnl_before=before.realised_pnl,
        realised_pnl=after.realised_pnl,
        cash_change=subtract(after.cash, before.cash),
        days=tuple(_changed(before.days, after.days)),
    )


def _days(book: Book, fill: Fill) -> list[date]:
    """The execution's risk day and every later day on which the holding traded."""
    keys = (key for key, _ in book.fills.entries((fill.account_id, fill.instrument_id)))
    days = {date.fromisoformat(book.executions[key].risk_date) for key in keys}
    return sorted(day for day in days if day >= date.fromisoformat(fill.risk_date))


def _changed(before: dict[date, DayCounters], after: dict[date, DayCounters]) -> Iterable[ev.DayRestated]:
    for day, now in after.items():
        was = before.get(day) or DayCounters(risk_date=day)
        change = ev.DayRestated(
            risk_date=day,
            traded_value=subtract(now.traded_value, was.traded_value),
            realised_pnl=subtract(now.realised_pnl, was.realised_pnl),
            fees=subtract(now.fees, was.fees),
        )
        if change.traded_value or change.realised_pnl or change.fees:
            yield change
