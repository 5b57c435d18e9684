"""What people do about alerts and breaks: a person's word in, the event that records it out.

Acknowledging says that somebody takes care; resolving a break ends it, with the person's own words beside the log. A
break that the next reconciliation still sees is opened anew.
"""

import os
from decimal import Decimal

from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import NotPermitted, UnknownAlert, UnknownBreak
from oms_app.flow.pretrade import salted_hash
from oms_app.flow.principal import Principal
from oms_kernel.domain import events as ev
from oms_kernel.domain.breaks import Break, BreakType
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.folds import OPEN
from oms_kernel.domain.ids import AccountId, BreakId, EventId, ExecId, LedgerId, OrderId
from oms_kernel.domain.lifecycle import Word
from oms_kernel.domain.money import ZERO, bounded, parse_decimal, subtract
from oms_kernel.domain.order import EXTERNAL_BOOK, Side

SALT_BYTES = 16
BREAK_TEXT = "break_resolution"


class Attention:
    """The one door for what people say about alerts and breaks."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def acknowledge_alerts(self, principal: Principal, ledger_id: LedgerId, alert_ids: tuple[EventId, ...]) -> int:
        """How many alerts were acknowledged; ids that are not open in this ledger count as nothing.

        Raises UnknownAlert for one of an account that the principal may not use.
        """

        def work(turn: Turn) -> int:
            opened = dict(turn.batch.book.open_alerts.entries(OPEN))
            raised = [alert_id for alert_id in alert_ids if alert_id in opened]
            for alert_id in raised:
                account_id = AccountId(opened[alert_id]) if opened[alert_id] else None
                _require_account(principal, account_id, UnknownAlert("there is no such alert", field="alert_id"))
                turn.batch.record(
                    ev.AlertAcknowledged(account_id=account_id, alert_id=alert_id, principal=principal.principal_id)
                )
            return len(raised)

        return self._desk.transact(principal.tenant_id, ledger_id, work)

    def acknowledge_break(self, principal: Principal, ledger_id: LedgerId, break_id: BreakId) -> Break:
        """The break, acknowledged. Raises UnknownBreak; OrderConflict for one that is resolved."""

        def work(turn: Turn) -> Break:
            known = _open_break(turn, principal, break_id)
            if known.acknowledged_at is None:
                turn.batch.record(
                    ev.BreakAcknowledged(
                        account_id=known.difference.account_id, break_id=break_id, principal=principal.principal_id
                    )
                )
            return turn.batch.book.breaks[break_id]

        return self._desk.transact(principal.tenant_id, ledger_id, work)

    def explain_break(self, principal: Principal, ledger_id: LedgerId, break_id: BreakId, text: str) -> Break:
        """The break, resolved with a person's explanation. Raises UnknownBreak, OrderConflict, InvalidRequest."""
        return self._resolve(principal, ledger_id, break_id, "explained", text, None)

    def accept_broker(
        self, principal: Principal, ledger_id: LedgerId, break_id: BreakId, text: str, price: Decimal | None = None
    ) -> Break:
        """The break, resolved by taking over the broker's figure: cash by a cash movement, a position by an execution.

        price: at which the missing quantity is booked, into sub-book EXTERNAL. Only breaks of CASH and of a position's
        QUANTITY can be accepted. Raises UnknownBreak, OrderConflict, InvalidRequest.
        """
        return self._resolve(principal, ledger_id, break_id, "accepted_broker", text, price)

    def _resolve(
        self,
        principal: Principal,
        ledger_id: LedgerId,
        break_id: BreakId,
        resolution: str,
        text: str,
        price: Decimal | None,
    ) -> Break:
        if not text.strip():
            raise InvalidRequest("say what you found out, for whoever reads this later", field="text")
        salt = os.urandom(SALT_BYTES)

        def work(turn: Turn) -> Break:
            known = _open_break(turn, principal, break_id)
            if resolution == "accepted_broker":
                turn.batch.record(_adjustment(turn, known, price))
            turn.unit.put_text(OrderId(break_id), BREAK_TEXT, text, salt)
            turn.batch.record(
                ev.BreakResolved(
                    account_id=known.difference.account_id,
                    break_id=break_id,
                    resolution=resolution,
                    principal=principal.principal_id,
                    text_hash=salted_hash(text, salt),
                )
            )
            return turn.batch.book.breaks[break_id]

        return self._desk.transact(principal.tenant_id, ledger_id, work)


def _open_break(turn: Turn, principal: Principal, break_id: BreakId) -> Break:
    unknown = UnknownBreak("there is no such break", field="break_id")
    known = turn.batch.book.breaks.get(break_id)
    if known is None:
        raise unknown
    _require_account(principal, known.difference.account_id, unknown)
    if not known.is_open:
        raise OrderConflict(f"the break was resolved before ({known.resolution})")
    return known


def _require_account(principal: Principal, account_id: AccountId | None, unknown: Exception) -> None:
    """What concerns the ledger as a whole is for principals that may use every account."""
    if account_id is None and principal.account_ids is not None:
        raise NotPermitted("this concerns accounts that you may not use")
    if account_id is not None and not principal.may_use(account_id):
        raise unknown


def _adjustment(turn: Turn, known: Break, price: Decimal | None) -> ev.Event:
    """The event that makes our figure the broker's."""
    difference = known.difference
    can_be_accepted = difference.break_type is BreakType.CASH or (
        difference.break_type is BreakType.QUANTITY and difference.order_id is None
    )
    if not can_be_accepted or difference.account_id is None:
        raise OrderConflict(f"a break of {difference.break_type} cannot be accepted; explain it, or put it right")
    missing = subtract(parse_decimal(difference.theirs), parse_decimal(difference.ours))
    if difference.break_type is BreakType.CASH:
        assert difference.currency is not None
        return ev.CashChanged(
            account_id=difference.account_id,
            currency=difference.currency,
            amount=missing,
            reason_code="reconciliation",
        )
    instrument = turn.catalogue.instruments.get(difference.instrument_id) if difference.instrument_id else None
    if instrument is None:
        raise OrderConflict("the platform does not know the instrument; add it first")
    if price is None:
        raise InvalidRequest("give the price at which the difference is to be booked", field="price")
    fill = Fill(
        exec_id=ExecId(f"ADJUST-{known.break_id}"),
        order_id=None,
        account_id=difference.account_id,
        broker_account_id=difference.broker_account_id,
        instrument_id=instrument.instrument_id,
        book=EXTERNAL_BOOK,
        side=Side.BUY if missing > 0 else Side.SELL,
        quantity=missing.copy_abs(),
        price=bounded(price),
        currency=instrument.currency,
        multiplier=instrument.multiplier,
        executed_at=turn.batch.now,
        trading_date=turn.view.trading_date(instrument),
        risk_date=turn.view.risk_date(difference.account_id),
        fee=ZERO,
    )
    return ev.OrderFilled(account_id=difference.account_id, fill=fill, word=Word.FILLED_PART)
