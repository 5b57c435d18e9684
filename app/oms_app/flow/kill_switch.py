"""Kill switches: a person's word in, one transaction of each ledger out that stops what is new and calls the rest back.

Guarantee: the switch, the ends of what was not sent and the cancels of what works are stored together or not at all;
from that commit on no process lets out anything that the switch forbids, until a person releases it.
"""

from collections.abc import Callable, Iterator, Sequence

import msgspec
import structlog

from oms_app.flow.audit import Actor, AdminAction
from oms_app.flow.beside import keep_text
from oms_app.flow.consequences import throw
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import FlowError, NotPermitted
from oms_app.flow.principal import Principal
from oms_app.flow.routing import Directory
from oms_app.flow.tenant_settings import settings_of
from oms_app.store.queries.restraints import ASKED_TEXT, RELEASE_TEXT, SWITCH_TEXT
from oms_kernel.consequences import orders_of, positions_of
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.book import Book
from oms_kernel.domain.controls import Cause, KillSwitch
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import EventId, LedgerId, OrderId, TenantId
from oms_kernel.domain.lifecycle import RequestStatus
from oms_kernel.domain.order import Order
from oms_kernel.domain.scope import Scope

LONGEST_CODE = 100
log = structlog.get_logger(__name__)

Tell = Callable[[TenantId, Actor, AdminAction], None]
"""Writes an action into the tenant's audit trail."""


def tell_nobody(tenant_id: TenantId, actor: Actor, action: AdminAction) -> None:
    """For a store that keeps a log and nothing beside it."""


class UnknownSwitch(FlowError):
    """The tenant has no such kill switch, or the caller may not see it."""

    code = "not_found"


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


class Activated(msgspec.Struct, frozen=True):
    """What became of an activation: a part for each ledger, and how long it took."""

    parts: tuple[Part, ...]
    elapsed_ms: int

    @property
    def is_new(self) -> bool:
        """Whether anything was done."""
        return any(part.is_new for part in self.parts)


class Drill(msgspec.Struct, frozen=True):
    """What a switch would have done: nothing of it was done."""

    orders: int
    positions: int
    ledgers: int
    elapsed_ms: int


class Released(msgspec.Struct, frozen=True):
    """A switch after somebody asked for its release. It still holds while a second person is waited for."""

    ledger_id: LedgerId
    switch: KillSwitch

    @property
    def waits(self) -> bool:
        """Whether a second person has to confirm."""
        return self.switch.is_active


class KillSwitches:
    """The one door for kill switches of a tenant. Thread-safe.

    monotonic: tells how long it took, in seconds. tell: writes to the audit trail. begin_closing: called after a switch
    that flattens, with its tenant and ledger.
    """

    def __init__(
        self,
        desk: Desk,
        directory: Directory,
        monotonic: Callable[[], float],
        tell: Tell = tell_nobody,
        begin_closing: Callable[[TenantId, LedgerId], object] = lambda tenant_id, ledger_id: None,
    ) -> None:
        self._desk = desk
        self._directory = directory
        self._monotonic = monotonic
        self._tell = tell
        self._begin_closing = begin_closing

    def activate(self, principal: Principal, asked: Asked, actor: Actor | None = None) -> Activated:
        """The switch in every ledger of its scope. An equal one that holds already is left as it is, and named.

        Raises InvalidRequest, UnknownAccount, NotPermitted, Unavailable.
        """
        check(asked)
        began = self._monotonic()
        parts = []
        for ledger_id in self.ledgers(principal, asked.scope):
            part = self._desk.transact(
                principal.tenant_id, ledger_id, lambda turn: throw_switch(turn, principal, asked)
            )
            parts.append(part)
            if part.liquidation_id is not None:
                self._close(principal.tenant_id, ledger_id)
        done = Activated(tuple(parts), self._ms_since(began))
        if done.is_new:
            self._record(principal, actor, "kill_switch.activated", parts[0].switch, asked.reason, told=_told(done))
        return done

    def drill(self, principal: Principal, asked: Asked, actor: Actor | None = None) -> Drill:
        """What the switch would do: all of it is decided under each ledger's lock, and dropped.

        Raises as `activate`.
        """
        check(asked)
        began = self._monotonic()
        orders = positions = ledgers = 0
        for ledger_id in self.ledgers(principal, asked.scope):
            found = self._rehearse(principal, ledger_id, asked)
            orders, positions, ledgers = orders + found[0], positions + found[1], ledgers + 1
        drill = Drill(orders, positions, ledgers, self._ms_since(began))
        event = ev.KillSwitchDrilled(
            account_id=asked.scope.account_id,
            scope=asked.scope,
            trading_state=asked.trading_state,
            orders=orders,
            positions=positions,
            elapsed_ms=drill.elapsed_ms,
            principal=principal.principal_id,
        )
        home = next(iter(self.ledgers(principal, asked.scope)), None)
        if home is not None:
            self._desk.transact(principal.tenant_id, home, lambda turn: turn.batch.record(event))
        told = {"scope": str(asked.scope), "trading_state": asked.trading_state.value, "orders": orders}
        told["elapsed_ms"] = drill.elapsed_ms
        action = AdminAction("kill_switch.drilled", "kill_switch", str(asked.scope), after=told, note=asked.reason)
        self._say(principal.tenant_id, actor or Actor(principal.principal_id), action)
        return drill

    def release(self, principal: Principal, switch_id: EventId, reason: str, actor: Actor | None = None) -> Released:
        """The switch, released; or waiting for a second person, where the tenant wants one.

        Raises UnknownSwitch; OrderConflict when it is released already, or when whoever asked for the release is to
        confirm it; NotPermitted for a part of a switch of the whole firm; InvalidRequest without a reason.
        """
        if not reason.strip():
            raise InvalidRequest("say why the switch is released", field="reason")
        for ledger_id in self.all_ledgers(principal.tenant_id):
            released = self._desk.transact(
                principal.tenant_id, ledger_id, lambda turn: release_switch(turn, principal, switch_id, reason)
            )
            if released is not None:
                what = "kill_switch.release_asked" if released.waits else "kill_switch.released"
                self._record(principal, actor, what, released.switch, reason)
                return released
        raise UnknownSwitch(f"there is no kill switch {switch_id}", field="kill_switch_id")

    def ledgers(self, principal: Principal, scope: Scope) -> Sequence[LedgerId]:
        """The ledgers that a scope covers. Raises UnknownAccount, NotPermitted."""
        if scope.account_id is not None:
            return (self._directory.account(principal, scope.account_id, None)[1],)
        if principal.account_ids is not None:
            raise NotPermitted(
                "you may use some accounts only, and this is about all of them", fix="name one of your accounts"
            )
        return self.all_ledgers(principal.tenant_id)

    def all_ledgers(self, tenant_id: TenantId) -> Sequence[LedgerId]:
        """Every ledger of the tenant."""
        return sorted(ledger_id for owner, ledger_id in self._desk.store.ledgers() if owner == tenant_id)

    def _rehearse(self, principal: Principal, ledger_id: LedgerId, asked: Asked) -> tuple[int, int]:
        def work(turn: Turn) -> None:
            orders = sum(1 for _ in orders_of(turn.batch.book, asked.scope))
            positions = sum(1 for _ in positions_of(turn.batch.book, asked.scope))
            throw_switch(turn, principal, asked)
            raise _Rehearsed(orders, positions)

        try:
            self._desk.transact(principal.tenant_id, ledger_id, work)
        except _Rehearsed as rehearsed:
            return rehearsed.orders, rehearsed.positions
        raise RuntimeError("a rehearsal was stored")

    def _close(self, tenant_id: TenantId, ledger_id: LedgerId) -> None:
        """Begin to close positions now; what hinders that does not undo the switch, the workers go on."""
        try:
            self._begin_closing(tenant_id, ledger_id)
        except FlowError as error:
            log.warning("closing begins later", ledger_id=ledger_id, error=error.detail)

    def _record(
        self,
        principal: Principal,
        actor: Actor | None,
        what: str,
        switch: KillSwitch,
        reason: str,
        told: dict[str, object] | None = None,
    ) -> None:
        after = {"scope": str(switch.scope), "trading_state": switch.trading_state.value, **(told or {})}
        action = AdminAction(
            what, "kill_switch", switch.switch_id, after=after, note=reason, account_id=switch.scope.account_id
        )
        self._say(principal.tenant_id, actor or Actor(principal.principal_id), action)

    def _say(self, tenant_id: TenantId, actor: Actor, action: AdminAction) -> None:
        self._tell(tenant_id, actor, action)

    def _ms_since(self, began: float) -> int:
        return round((self._monotonic() - began) * 1000)


class _Rehearsed(Exception):
    """Ends a transaction that was made to be dropped."""

    def __init__(self, orders: int, positions: int) -> None:
        super().__init__("a rehearsal ended")
        self.orders = orders
        self.positions = positions


# Decisions within one ledger's transaction ------------------------------------------------------------------


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


def _told(done: Activated) -> dict[str, object]:
    counts = {
        "cancelling": sum(len(part.cancelling) for part in done.parts),
        "ended": sum(len(part.ended) for part in done.parts),
        "unrecallable": sum(len(part.unrecallable) for part in done.parts),
    }
    return {**counts, "ledgers": len(done.parts), "elapsed_ms": done.elapsed_ms}
