"""Dead-man switches: heartbeats of a key or strategy in; when they stop, its working orders are cancelled.

Guarantee: a switch that is armed strikes even if every process that heard it died: when it is due stands in the
database. It may strike twice after a crash; cancels that are under way are not asked for again.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec
import structlog

from oms_app.flow.audit import Actor, AdminAction
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import FlowError
from oms_app.flow.kill_switch import Tell
from oms_app.flow.principal import Principal
from oms_app.flow.routing import Directory
from oms_app.flow.switching import Asked, throw_switch
from oms_app.store import dead_man_switches as rows
from oms_app.store.dead_man_switches import DeadManSwitch
from oms_app.store.sql_store import SqlStore
from oms_kernel import engine
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.controls import Cause
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import AccountId, LedgerId, StrategyId
from oms_kernel.domain.lifecycle import is_open_request
from oms_kernel.domain.order import Order, TimeInForce
from oms_kernel.domain.scope import Scope

PRINCIPAL = "system:dead_man"
SHORTEST_S, LONGEST_S = 1, 3_600
log = structlog.get_logger(__name__)


class DeadManAction(StrEnum):
    """What a switch does that heard nothing in time."""

    CANCEL = "CANCEL"
    """Cancels the working orders of the principal, or of the strategy."""
    HALT = "HALT"
    """Cancels them, and halts the account or strategy until a person releases it."""


class Heartbeat(msgspec.Struct, frozen=True, kw_only=True):
    """What a program says when it is alive, and what is to be done when it says no more.

    timeout_s: within how many seconds the next one comes. account_id: only this account's orders. strategy_id: the
    strategy's orders, whoever placed them; without one the caller's own. spare_gtc: leave good-till-cancelled orders.
    """

    timeout_s: int
    action: DeadManAction = DeadManAction.CANCEL
    account_id: AccountId | None = None
    strategy_id: StrategyId | None = None
    spare_gtc: bool = False


class DeadMan:
    """The one door for dead-man switches. Thread-safe."""

    def __init__(self, store: SqlStore, desk: Desk, directory: Directory, tell: Tell) -> None:
        self._store = store
        self._desk = desk
        self._directory = directory
        self._tell = tell

    def hear(self, principal: Principal, heartbeat: Heartbeat, actor: Actor | None = None) -> DeadManSwitch:
        """The switch, armed or renewed. Raises InvalidRequest, UnknownAccount."""
        if not SHORTEST_S <= heartbeat.timeout_s <= LONGEST_S:
            raise InvalidRequest(f"a time-out has {SHORTEST_S} to {LONGEST_S} seconds", field="timeout_s")
        halts = heartbeat.action is DeadManAction.HALT
        if halts and heartbeat.account_id is None and heartbeat.strategy_id is None:
            raise InvalidRequest("say which account or strategy is to be halted", field="account_id")
        if heartbeat.account_id is None and heartbeat.strategy_id is not None and principal.account_ids is not None:
            told = "you may use some accounts only: say in which one the strategy's orders are cancelled"
            raise InvalidRequest(told, field="account_id")
        if heartbeat.account_id is not None:
            self._directory.account(principal, heartbeat.account_id, None)
        own = (principal.tenant_id, principal.principal_id, heartbeat.strategy_id or "")
        with self._store.platform_unit() as unit:
            before = rows.get(unit, *own)
            switch = rows.arm(
                unit,
                *own,
                action=heartbeat.action.value,
                timeout_s=heartbeat.timeout_s,
                spare_gtc=heartbeat.spare_gtc,
                account_id=heartbeat.account_id,
            )
        if before is None or before.due_at is None:
            self._say(principal, actor, "dead_man.armed", switch)
        return switch

    def disarm(self, principal: Principal, strategy_id: StrategyId | None, actor: Actor | None = None) -> bool:
        """Whether the principal's switch was armed; it is not any more."""
        own = (principal.tenant_id, principal.principal_id, strategy_id or "")
        with self._store.platform_unit() as unit:
            was_armed = rows.disarm(unit, *own)
            switch = rows.get(unit, *own)
        if was_armed and switch is not None:
            self._say(principal, actor, "dead_man.disarmed", switch)
        return was_armed

    def list(self, principal: Principal) -> Sequence[DeadManSwitch]:
        """The tenant's switches of accounts that the principal may use."""
        with self._store.read_unit(None) as unit:
            found = rows.list_of(unit, principal.tenant_id)
        return [one for one in found if _may_see(principal, one)]

    def strike_due(self) -> int:
        """How many switches struck that did not hear in time: what a worker does each half second."""
        with self._store.read_unit(None) as unit:
            due = rows.due(unit)
        struck = 0
        for switch in due:
            try:
                self._strike(switch)
            except FlowError as error:
                log.error("a dead-man switch could not strike yet", principal=switch.principal, error=error.detail)
                continue
            with self._store.platform_unit() as unit:
                rows.note_strike(unit, switch)
            struck += 1
        return struck

    def _strike(self, switch: DeadManSwitch) -> None:
        principal = Principal(PRINCIPAL, switch.tenant_id, frozenset())
        ledgers: Sequence[LedgerId]
        if switch.account_id is not None:
            ledgers = (self._directory.account(principal, AccountId(switch.account_id), None)[1],)
        else:
            ledgers = sorted(one for tenant_id, one in self._store.ledgers() if tenant_id == switch.tenant_id)
        for ledger_id in ledgers:
            self._desk.transact(switch.tenant_id, ledger_id, lambda turn: strike(turn, principal, switch))

    def _say(self, principal: Principal, actor: Actor | None, what: str, switch: DeadManSwitch) -> None:
        told = {"action": switch.action, "timeout_s": switch.timeout_s, "strategy_id": switch.strategy_id}
        action = AdminAction(
            what,
            "dead_man_switch",
            switch.principal,
            after=told,
            account_id=AccountId(switch.account_id) if switch.account_id is not None else None,
        )
        self._tell(principal.tenant_id, actor or Actor(principal.principal_id), action)


def strike(turn: Turn, principal: Principal, switch: DeadManSwitch) -> int:
    """How many orders of the ledger are being cancelled; with HALT a kill switch holds besides."""
    cancelled = 0
    for order in list(_covered(turn.batch.book.open_order_list(), switch)):
        try:
            events = engine.cancel(order, principal=principal.principal_id)
        except OrderConflict:
            continue
        turn.batch.record(*events)
        cancelled += 1
    if switch.action == DeadManAction.HALT:
        scope = Scope(
            account_id=AccountId(switch.account_id) if switch.account_id is not None else None,
            strategy_id=StrategyId(switch.strategy_id) if switch.strategy_id else None,
        )
        halt = Asked(scope=scope, trading_state=TradingState.HALTED, reason_code="heartbeat_lost", cause=Cause.DEAD_MAN)
        throw_switch(turn, principal, halt)
    if cancelled or switch.action == DeadManAction.HALT:
        turn.batch.record(_alert(switch, cancelled))
    return cancelled


def _covered(orders: Iterator[Order], switch: DeadManSwitch) -> Iterator[Order]:
    for order in orders:
        request = order.request
        mine = request.strategy_id == switch.strategy_id if switch.strategy_id else order.principal == switch.principal
        if not mine or order.is_external or is_open_request(order.cancel) or request.liquidation_id is not None:
            continue
        if switch.account_id is not None and request.account_id != switch.account_id:
            continue
        if not (switch.spare_gtc and request.time_in_force is TimeInForce.GTC):
            yield order


def _alert(switch: DeadManSwitch, cancelled: int) -> ev.AlertRaised:
    who = f"strategy {switch.strategy_id}" if switch.strategy_id else switch.principal
    halted = "; it is HALTED" if switch.action == DeadManAction.HALT else ""
    return ev.AlertRaised(
        account_id=AccountId(switch.account_id) if switch.account_id is not None else None,
        severity=ev.Severity.CRITICAL,
        source="dead_man",
        text=f"no heartbeat of {who} for {switch.timeout_s} s: {cancelled} orders are being cancelled{halted}",
        what_to_do="Look why the program is silent. Its next heartbeat arms the switch again; a halt is released by a"
        " person.",
    )


def _may_see(principal: Principal, switch: DeadManSwitch) -> bool:
    if principal.account_ids is None or switch.principal == principal.principal_id:
        return True
    return switch.account_id is not None and principal.may_use(AccountId(switch.account_id))
