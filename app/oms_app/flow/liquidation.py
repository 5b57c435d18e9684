"""Liquidations: a scope in, orders that only reduce out, slice by slice, until nothing is held or a person stops it.

Guarantee: each order takes the same path and the same rules as any other; only trading states let it pass, as long as
it reduces. Steps may be made by several processes at once: each is decided under the ledger's lock by what is open.
"""

import threading
from collections.abc import Callable

import msgspec

from oms_app.flow.audit import Actor, AdminAction
from oms_app.flow.closing import Closing, next_step
from oms_app.flow.closing_orders import closing_draft, fitted, largest
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import FlowError, NotPermitted
from oms_app.flow.kill_switch import Tell, tell_nobody
from oms_app.flow.pretrade import Judged
from oms_app.flow.principal import Principal
from oms_app.flow.routing import Directory
from oms_kernel import engine
from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book
from oms_kernel.domain.controls import Liquidation
from oms_kernel.domain.decision import Verdict
from oms_kernel.domain.errors import InvalidRequest, KernelError, OrderConflict
from oms_kernel.domain.ids import AccountId, EventId, InstrumentId, LedgerId, OrderId, StrategyId, TenantId
from oms_kernel.domain.lifecycle import OrderStatus
from oms_kernel.domain.money import subtract
from oms_kernel.domain.scope import Scope

PRINCIPAL = "system:liquidation"
MOST_SLICES = 20
"""How many orders one step places for one holding; the next step goes on."""
FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 30.0
"""How long a holding rests after the broker refused its orders; doubled each time."""

Holding = tuple[EventId, AccountId, InstrumentId, StrategyId | None]


class UnknownLiquidation(FlowError):
    """The tenant has no such liquidation, or the caller may not see it."""

    code = "not_found"


class Started(msgspec.Struct, frozen=True):
    """A liquidation of one ledger. is_new: False when an equal one was running already."""

    ledger_id: LedgerId
    liquidation: Liquidation
    is_new: bool


class Advanced(msgspec.Struct, frozen=True):
    """What the steps of one ledger's liquidations did."""

    cancelled: int = 0
    placed: int = 0
    ended: int = 0


class _Tries(msgspec.Struct):
    """What this process last placed for a holding, and how it was received."""

    order_ids: list[OrderId] = []
    failures: int = 0
    not_before: float = 0.0


class Liquidations:
    """The one door for liquidations. Thread-safe."""

    def __init__(
        self,
        desk: Desk,
        directory: Directory,
        monotonic: Callable[[], float],
        tell: Tell = tell_nobody,
    ) -> None:
        self._desk = desk
        self._directory = directory
        self._tell = tell
        self._monotonic = monotonic
        self._told: set[tuple[Holding, str]] = set()
        """What people were told of already: once for each holding and reason."""
        self._tries: dict[Holding, _Tries] = {}
        self._lock = threading.Lock()

    def start(
        self, principal: Principal, scope: Scope, reason_code: str, *, reason: str = "", actor: Actor | None = None
    ) -> tuple[Started, ...]:
        """The liquidation in every ledger of the scope, with its first step made; an equal one that runs is kept.

        reason: the person's own words, for the audit trail. Raises UnknownAccount, NotPermitted, InvalidRequest.
        """
        if not reason_code.strip():
            raise InvalidRequest("say why the positions are to be closed", field="reason_code")
        started = []
        for ledger_id in self._ledgers(principal, scope):
            one = self._desk.transact(
                principal.tenant_id, ledger_id, lambda turn: _start(turn, principal, scope, reason_code)
            )
            started.append(one)
            if one.is_new:
                self._say(principal, actor, "liquidation.started", one.liquidation, reason)
            self.advance(principal.tenant_id, ledger_id)
        return tuple(started)

    def stop(
        self, principal: Principal, liquidation_id: EventId, *, reason: str = "", actor: Actor | None = None
    ) -> Liquidation:
        """The liquidation, stopped: it places nothing more; what it placed goes on, unless somebody cancels it.

        Raises UnknownLiquidation; OrderConflict when it has ended.
        """

        def work(turn: Turn) -> Liquidation | None:
            found = turn.batch.book.liquidations.get(liquidation_id)
            if found is None or not _may_see(principal, found.scope):
                return None
            if not found.is_running:
                raise OrderConflict(f"the liquidation has ended: {found.outcome}")
            turn.batch.record(
                ev.LiquidationEnded(
                    account_id=found.scope.account_id,
                    liquidation_id=liquidation_id,
                    outcome="stopped",
                    principal=principal.principal_id,
                )
            )
            return turn.batch.book.liquidations[liquidation_id]

        for tenant_id, ledger_id in self._desk.store.ledgers():
            if tenant_id == principal.tenant_id:
                found = self._desk.transact(tenant_id, ledger_id, work)
                if found is not None:
                    self._say(principal, actor, "liquidation.stopped", found, reason)
                    return found
        raise UnknownLiquidation(f"there is no liquidation {liquidation_id}", field="liquidation_id")

    def advance(self, tenant_id: TenantId, ledger_id: LedgerId) -> Advanced:
        """Make the next step of every liquidation that runs in the ledger."""

        def work(turn: Turn) -> Advanced:
            cancelled = placed = ended = 0
            for liquidation in list(turn.batch.book.liquidating()):
                step = next_step(turn.batch.book, liquidation)
                if step.is_flat:
                    turn.batch.record(_ended_flat(liquidation))
                    ended += 1
                    continue
                cancelled += _cancel(turn, step.cancels)
                for closing in step.closings:
                    placed += self._close(turn, tenant_id, liquidation, closing)
            return Advanced(cancelled, placed, ended)

        with self._lock:  # what was told and tried is this process's own memory
            told = set(self._told)
            try:
                return self._desk.transact(tenant_id, ledger_id, work)
            except BaseException:
                self._told = told  # nobody was told: nothing is stored
                raise

    # Placing ------------------------------------------------------------------------------------------------

    def _close(self, turn: Turn, tenant_id: TenantId, liquidation: Liquidation, closing: Closing) -> int:
        """How many orders were placed. What hinders is told once, and tried again at the next step."""
        holding = (liquidation.liquidation_id, closing.account_id, closing.instrument_id, closing.strategy_id)
        tries = self._tries.setdefault(holding, _Tries())
        if self._rests(turn, tries, liquidation, holding):
            return 0
        principal = Principal(PRINCIPAL, tenant_id, frozenset())
        instrument = turn.catalogue.instruments[closing.instrument_id]
        left, size, placed = closing.quantity, largest(instrument, closing.quantity), list[OrderId]()
        try:
            draft = closing_draft(turn, liquidation, closing)
            while left > 0 and len(placed) < MOST_SLICES:
                judged, size = fitted(turn, principal, draft, min(size, left), instrument.lot_size)
                if not judged.decision.accepted:
                    self._tell_denial(turn, liquidation, holding, judged)
                    break
                turn.batch.record(judged.event)
                placed.append(judged.event.order_id)
                left = subtract(left, size)
        except (FlowError, KernelError) as error:
            if turn.batch.failure is not None:
                raise
            self._tell_once(turn, liquidation, holding, error.code, getattr(error, "detail", str(error)))
        if placed:
            tries.order_ids = placed
        return len(placed)

    def _rests(self, turn: Turn, tries: _Tries, liquidation: Liquidation, holding: Holding) -> bool:
        """Whether the broker refused what was placed last, and it is too early to try again."""
        ended = [order for one in tries.order_ids if (order := turn.batch.book.orders.get(one)) is not None]
        if ended and all(order.status is OrderStatus.REJECTED for order in ended):
            tries.order_ids = []
            tries.not_before = self._monotonic() + min(FIRST_PAUSE_S * 2**tries.failures, LONGEST_PAUSE_S)
            tries.failures += 1
            self._tell_once(turn, liquidation, holding, "rejected", f"the broker refused: {ended[-1].reason}")
        elif any(order.filled_quantity > 0 for order in ended):
            tries.failures = 0
        return self._monotonic() < tries.not_before

    def _tell_denial(self, turn: Turn, liquidation: Liquidation, holding: Holding, judged: Judged) -> None:
        """Record a denied order once, so that its verdicts can be read, and alert."""
        verdict = judged.decision.denials[0]
        code = f"{verdict.rule}:{verdict.code}"
        if (holding, code) in self._told or _was_denied(turn.batch.book, holding, verdict):
            self._told.add((holding, code))
            return
        turn.batch.record(judged.event)
        text = f"{verdict.rule} denies it: {verdict.message or verdict.code}"
        self._tell_once(turn, liquidation, holding, code, text, judged.event.order_id)

    def _tell_once(
        self,
        turn: Turn,
        liquidation: Liquidation,
        holding: Holding,
        code: str,
        text: str,
        order_id: OrderId | None = None,
    ) -> None:
        if (holding, code) in self._told:
            return
        self._told.add((holding, code))
        symbol = turn.catalogue.instruments[holding[2]].symbol
        turn.batch.record(
            ev.AlertRaised(
                account_id=holding[1],
                severity=ev.Severity.CRITICAL,
                source="liquidation",
                text=f"liquidation {liquidation.liquidation_id} cannot close {symbol}: {text}",
                what_to_do="It is tried again by itself. Remove what hinders it, or stop it and close by hand.",
                order_id=order_id,
            )
        )

    def _ledgers(self, principal: Principal, scope: Scope) -> tuple[LedgerId, ...]:
        if scope.account_id is not None:
            return (self._directory.account(principal, scope.account_id, None)[1],)
        if principal.account_ids is not None:
            raise NotPermitted(
                "you may use some accounts only, and this is about all of them", fix="name one of your accounts"
            )
        return tuple(sorted(one for tenant_id, one in self._desk.store.ledgers() if tenant_id == principal.tenant_id))

    def _say(self, principal: Principal, actor: Actor | None, what: str, liquidation: Liquidation, reason: str) -> None:
        told = {"scope": str(liquidation.scope), "reason_code": liquidation.reason_code}
        action = AdminAction(
            what,
            "liquidation",
            liquidation.liquidation_id,
            after=told,
            note=reason,
            account_id=liquidation.scope.account_id,
        )
        self._tell(principal.tenant_id, actor or Actor(principal.principal_id), action)


# Decisions within one ledger's transaction ------------------------------------------------------------------


def _start(turn: Turn, principal: Principal, scope: Scope, reason_code: str) -> Started:
    book, ledger_id = turn.batch.book, turn.unit.ledger_id
    running = next((one for one in book.liquidating() if one.scope == scope), None)
    if running is not None:
        return Started(ledger_id, running, is_new=False)
    if scope.instrument_id is not None and scope.instrument_id not in turn.catalogue.instruments:
        raise InvalidRequest("instrument_id names no instrument", field="instrument_id")
    turn.batch.record(
        ev.LiquidationStarted(
            account_id=scope.account_id,
            scope=scope,
            reason_code=reason_code,
            principal=principal.principal_id,
            request_id=principal.request_id,
        )
    )
    return Started(ledger_id, book.liquidations[turn.batch.events[-1].event_id], is_new=True)


def _ended_flat(liquidation: Liquidation) -> ev.LiquidationEnded:
    return ev.LiquidationEnded(
        account_id=liquidation.scope.account_id,
        liquidation_id=liquidation.liquidation_id,
        outcome="flat",
        principal=PRINCIPAL,
    )


def _cancel(turn: Turn, order_ids: tuple[OrderId, ...]) -> int:
    cancelled = 0
    for order_id in order_ids:
        try:
            events = engine.cancel(turn.batch.book.orders[order_id], principal=PRINCIPAL)
        except OrderConflict:
            continue  # it ended within this batch
        turn.batch.record(*events)
        cancelled += 1
    return cancelled


def _was_denied(book: Book, holding: Holding, verdict: Verdict) -> bool:
    """Whether an order of the liquidation was denied for this before, here or by another process."""
    liquidation_id, account_id, instrument_id, strategy_id = holding
    for order in list(book.orders.values()):
        request = order.request
        if order.status is OrderStatus.DENIED and request.liquidation_id == liquidation_id:
            same = (request.account_id, request.instrument_id, request.strategy_id)
            if same == (account_id, instrument_id, strategy_id) and order.reason_code == verdict.rule:
                return True
    return False


def _may_see(principal: Principal, scope: Scope) -> bool:
    return principal.account_ids is None or (scope.account_id is not None and principal.may_use(scope.account_id))
