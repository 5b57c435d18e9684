"""What one ledger's transaction decides over kill switches: thrown with all they do, or released; recorded, not stored.

Guarantee: an equal switch that holds is never thrown twice, and whoever asked for a release never confirms it.
"""

from collections.abc import Iterator

import msgspec

from oms_app.flow.beside import keep_text
from oms_app.flow.consequences import throw
from oms_app.flow.desk import Turn
from oms_app.flow.errors import NotPermitted
from oms_app.flow.principal import Principal
from oms_app.flow.tenant_settings import settings_of
from oms_app.store.queries.restraints import ASKED_TEXT, RELEASE_TEXT, SWITCH_TEXT
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.book import Book
from oms_kernel.domain.controls import Cause, KillSwitch
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import EventId, LedgerId, OrderId
from oms_kernel.domain.lifecycle import RequestStatus
from oms_kernel.domain.order import Order
from oms_kernel.domain.scope import Scope

LONGEST_CODE = 100


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """A kill switch as somebody asks for it. reason: their own words, kept beside the log."""

    scope: Scope
    trading_state: TradingState
    reason_code: str
    reason: str = ""
    cancel_working: bool = False
    flatten: bool = False
    cause: Cause = Cause.PERSON
    firm_switch_id: str = ""


class Unrecallable(msgspec.Struct, frozen=True):
    """An order that may still trade whatever we do now, and why."""

    order_id: OrderId
    why: str


class Part(msgspec.Struct, frozen=True):
    """What a switch did in one ledger.

    is_new: False when an equal switch held already; then nothing was done. cancelling: orders whose cancel is
    requested. ended: orders that were never sent and never will be. unrecallable: orders that may still trade.
    """

    ledger_id: LedgerId
    switch: KillSwitch
    is_new: bool
    cancelling: tuple[OrderId, ...] = ()
    ended: tuple[OrderId, ...] = ()
    unrecallable: tuple[Unrecallable, ...] = ()
    liquidation_id: EventId | None = None


class Released(msgspec.Struct, frozen=True):
    """A switch after somebody asked for its release. It still holds while a second person is waited for."""

    ledger_id: LedgerId
    switch: KillSwitch

    @property
    def waits(self) -> bool:
        """Whether a second person has to confirm."""
        return self.switch.is_active


def check(asked: Asked) -> None:
    """Nothing, when such a switch can be thrown. Raises InvalidRequest."""
    if asked.trading_state is TradingState.ACTIVE:
        raise InvalidRequest(
            "a kill switch sets REDUCE_ONLY, CANCEL_ONLY or HALTED; release it to trade again", field="trading_state"
        )
    if not asked.reason_code.strip() or len(asked.reason_code) > LONGEST_CODE:
        raise InvalidRequest(f"a reason of 1 to {LONGEST_CODE} characters is needed", field="reason_code")


def throw_switch(turn: Turn, principal: Principal, asked: Asked) -> Part:
    """Record the switch with all it does, unless an equal one holds. Raises InvalidRequest for no instrument of ours.

    Two switches are equal when scope, state, cancels, closing, cause and the firm's switch are.
    """
    book, ledger_id = turn.batch.book, turn.unit.ledger_id
    known = next((switch for switch in book.switches() if _is_equal(switch, asked)), None)
    if known is not None:
        return Part(ledger_id, known, is_new=False, unrecallable=tuple(unrecallable(book, asked.scope)))
    instrument_id = asked.scope.instrument_id
    if instrument_id is not None and instrument_id not in turn.catalogue.instruments:
        raise InvalidRequest("instrument_id names no instrument", field="instrument_id")
    text_hash, keep = keep_text(asked.reason)
    activation = ev.KillSwitchActivated(
        account_id=asked.scope.account_id,
        scope=asked.scope,
        trading_state=asked.trading_state,
        cause=asked.cause,
        reason_code=asked.reason_code,
        reason_hash=text_hash,
        cancel_working=asked.cancel_working,
        flatten=asked.flatten,
        firm_switch_id=asked.firm_switch_id,
        principal=principal.principal_id,
        request_id=principal.request_id,
    )
    before = len(turn.batch.events)
    thrown = throw(turn, activation)
    keep(turn, thrown.switch_id, SWITCH_TEXT)
    started = (one.event_id for one in turn.batch.events[before:] if isinstance(one.event, ev.LiquidationStarted))
    return Part(
        ledger_id=ledger_id,
        switch=book.kill_switches[thrown.switch_id],
        is_new=True,
        cancelling=tuple(order_id for order_id in thrown.cancelling if book.orders[order_id].is_active),
        ended=(*thrown.ended, *(one for one in thrown.cancelling if not book.orders[one].is_active)),
        unrecallable=tuple(unrecallable(book, asked.scope)),
        liquidation_id=next(started, None),
    )


def release_switch(
    turn: Turn, principal: Principal, switch_id: EventId, reason: str, *, as_firm: bool = False
) -> Released | None:
    """The switch after this person's word; None when the ledger has no such switch. Raises as `KillSwitches.release`.

    as_firm: the release of a switch of the whole firm was decided for all ledgers.
    """
    switch = turn.batch.book.kill_switches.get(switch_id)
    if switch is None or not _may_see(principal, switch):
        return None
    if switch.firm_switch_id and not as_firm:
        raise NotPermitted(
            "the switch is part of one for the whole firm", fix="a superuser releases it for every ledger at once"
        )
    if not switch.is_active:
        raise OrderConflict("the switch was released before")
    second = settings_of(turn.config.settings).second_person_release and not as_firm
    if second and switch.release_asked_by == principal.principal_id:
        raise OrderConflict("whoever asked for the release cannot confirm it; ask a second person")
    text_hash, keep = keep_text(reason)
    event: ev.ReleaseAsked | ev.KillSwitchReleased
    if second and not switch.release_asked_by:
        event = ev.ReleaseAsked(
            account_id=switch.scope.account_id,
            switch_id=switch_id,
            principal=principal.principal_id,
            reason_hash=text_hash,
        )
    else:
        event = ev.KillSwitchReleased(
            account_id=switch.scope.account_id,
            switch_id=switch_id,
            principal=principal.principal_id,
            asked_by=switch.release_asked_by,
            reason_hash=text_hash,
            request_id=principal.request_id,
        )
    turn.batch.record(event)
    keep(turn, switch_id, ASKED_TEXT if isinstance(event, ev.ReleaseAsked) else RELEASE_TEXT)
    return Released(turn.unit.ledger_id, turn.batch.book.kill_switches[switch_id])


def unrecallable(book: Book, scope: Scope) -> Iterator[Unrecallable]:
    """The orders of a scope that may still trade before, or without, any cancel of ours."""
    for order in book.open_order_list():
        request = order.request
        if scope.covers(request.account_id, request.strategy_id, request.instrument_id):
            why = _why_unrecallable(order)
            if why:
                yield Unrecallable(order.order_id, why)


def _why_unrecallable(order: Order) -> str:
    if order.is_external:
        return "it was placed at the broker, not here: cancel it there"
    if order.place is RequestStatus.SENT:
        return "it is on its way and the broker has not answered: it may trade before its cancel arrives"
    if order.in_doubt:
        return "it is in doubt: whether the broker has it is not known yet"
    if order.replace is not None and order.replace.status is RequestStatus.SENT:
        return "a change of it is on its way and the broker has not answered"
    return ""


def _is_equal(switch: KillSwitch, asked: Asked) -> bool:
    same = ("scope", "trading_state", "cancel_working", "flatten", "cause", "firm_switch_id")
    return all(getattr(switch, name) == getattr(asked, name) for name in same)


def _may_see(principal: Principal, switch: KillSwitch) -> bool:
    account_id = switch.scope.account_id
    return principal.account_ids is None or (account_id is not None and principal.may_use(account_id))
