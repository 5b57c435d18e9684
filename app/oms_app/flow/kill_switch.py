"""Kill switches: a person's word in, one transaction of each ledger out that stops what is new and calls the rest back.

Guarantee: the switch, the ends of what was not sent and the cancels of what works are stored together or not at all;
from that commit on no process lets out anything that the switch forbids, until a person releases it.
"""

from collections.abc import Callable, Sequence

import msgspec
import structlog

from oms_app.flow.audit import Actor, AdminAction
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import FlowError, NotPermitted
from oms_app.flow.principal import Principal
from oms_app.flow.routing import Directory
from oms_app.flow.switching import LONGEST_CODE, Asked, Part, Released, check, release_switch, throw_switch
from oms_kernel.consequences import orders_of, positions_of
from oms_kernel.domain import events as ev
from oms_kernel.domain.controls import KillSwitch
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import EventId, LedgerId, TenantId
from oms_kernel.domain.scope import Scope

__all__ = ["LONGEST_CODE", "Activated", "Asked", "Drill", "KillSwitches", "Tell", "UnknownSwitch", "tell_nobody"]

log = structlog.get_logger(__name__)

Tell = Callable[[TenantId, Actor, AdminAction], None]
"""Writes an action into the tenant's audit trail."""


def tell_nobody(tenant_id: TenantId, actor: Actor, action: AdminAction) -> None:
    """For a store that keeps a log and nothing beside it."""


class UnknownSwitch(FlowError):
    """The tenant has no such kill switch, or the caller may not see it."""

    code = "not_found"


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
        raise UnknownSwitch(f"there is no kill switch {switch_id}", field="switch_id")

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


def _told(done: Activated) -> dict[str, object]:
    counts = {
        "cancelling": sum(len(part.cancelling) for part in done.parts),
        "ended": sum(len(part.ended) for part in done.parts),
        "unrecallable": sum(len(part.unrecallable) for part in done.parts),
    }
    return {**counts, "ledgers": len(done.parts), "elapsed_ms": done.elapsed_ms}
