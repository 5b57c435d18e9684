"""Kill switches of the whole firm: a superuser's word in, a latch of the platform and an event in every ledger out.

Guarantee: the latch is stored first; whoever dies after that is made up for by the workers, and a ledger that begins
to trade later, of a tenant made later, begins under it. A release is stored first in the same way.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import structlog

from oms_app.flow.audit import Actor, AdminAction
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import FlowError
from oms_app.flow.kill_switch import Activated, Drill, KillSwitches, Tell, UnknownSwitch
from oms_app.flow.principal import Principal
from oms_app.flow.switching import Asked, Part, check, release_switch, throw_switch
from oms_app.flow.tenant_settings import settings_of
from oms_app.store import firm_switches as rows
from oms_app.store.firm_switches import FirmSwitch
from oms_app.store.platform import PLATFORM_TENANT
from oms_app.store.sql_store import SqlStore
from oms_app.store.tenants import get_tenant
from oms_kernel.domain import events as ev
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import InstrumentId, LedgerId, TenantId
from oms_kernel.domain.scope import Scope

LEDGERS_AT_ONCE = 4
log = structlog.get_logger(__name__)


class FirmReleased(msgspec.Struct, frozen=True):
    """A switch of the firm after somebody asked for its release. waits: a second superuser has to confirm."""

    switch: FirmSwitch
    waits: bool
    ledgers: int


class FirmSwitches:
    """The one door for kill switches of the whole firm. Thread-safe. The caller has made sure of the superuser."""

    def __init__(
        self,
        store: SqlStore,
        desk: Desk,
        switches: KillSwitches,
        new_id: Callable[[], str],
        monotonic: Callable[[], float],
        tell: Tell,
    ) -> None:
        self._store = store
        self._desk = desk
        self._switches = switches
        self._new_id = new_id
        self._monotonic = monotonic
        self._tell = tell
        self._done: set[tuple[str, LedgerId]] = set()
        """(switch, ledger) of which this process knows that the ledger has it."""

    def activate(self, principal: Principal, asked: Asked, actor: Actor | None = None) -> Activated:
        """The switch in every ledger of every tenant. An equal one that holds is left as it is, and named.

        Raises InvalidRequest, Unavailable; when only some ledgers could be reached the workers go on with the others.
        """
        check(asked)
        began = self._monotonic()
        with self._store.platform_unit() as unit:
            latch = next((one for one in rows.unsettled(unit) if _is_equal(one, asked)), None)
            if latch is None:
                latch = FirmSwitch(
                    firm_switch_id=self._new_id(),
                    trading_state=asked.trading_state,
                    reason_code=asked.reason_code,
                    reason=asked.reason,
                    cancel_working=asked.cancel_working,
                    flatten=asked.flatten,
                    instrument_id=asked.scope.instrument_id,
                    activated_at=unit.now,
                    activated_by=principal.principal_id,
                )
                rows.throw(unit, latch)
                is_new = True
            else:
                is_new = False
        parts = self._spread(latch, anew=True)
        if is_new:
            told = {"trading_state": latch.trading_state.value, "ledgers": len(parts)}
            action = AdminAction(
                "kill_switch.activated", "firm_switch", latch.firm_switch_id, after=told, note=asked.reason
            )
            self._tell(PLATFORM_TENANT, actor or Actor(principal.principal_id), action)
        return Activated(tuple(parts), round((self._monotonic() - began) * 1000))

    def drill(self, principal: Principal, asked: Asked, actor: Actor | None = None) -> Drill:
        """What the switch would do in every ledger, decided under its lock and dropped. Raises as `activate`."""
        check(asked)
        began = self._monotonic()
        found = [
            self._switches.drill(self._within(tenant_id, principal), _part_of(asked), actor)
            for tenant_id in sorted({tenant_id for tenant_id, _ in self._ledgers()})
        ]
        return Drill(
            orders=sum(one.orders for one in found),
            positions=sum(one.positions for one in found),
            ledgers=sum(one.ledgers for one in found),
            elapsed_ms=round((self._monotonic() - began) * 1000),
        )

    def release(
        self, principal: Principal, firm_switch_id: str, reason: str, actor: Actor | None = None
    ) -> FirmReleased:
        """The switch, released in every ledger; it waits for a second superuser where any tenant wants two persons.

        Raises UnknownSwitch, OrderConflict, InvalidRequest.
        """
        if not reason.strip():
            raise InvalidRequest("say why the switch is released", field="reason")
        needs_two = self._needs_two()
        with self._store.platform_unit() as unit:
            latch = rows.get(unit, firm_switch_id, lock=True)
            if latch is None:
                raise UnknownSwitch(f"there is no kill switch {firm_switch_id}", field="switch_id")
            if latch.released_at is not None:
                raise OrderConflict("the switch was released before")
            if needs_two and latch.release_asked_by == principal.principal_id:
                raise OrderConflict("whoever asked for the release cannot confirm it; ask a second superuser")
            waits = needs_two and not latch.release_asked_by
            if waits:
                rows.change(unit, firm_switch_id, release_asked_by=principal.principal_id, release_reason=reason)
            else:
                rows.change(
                    unit,
                    firm_switch_id,
                    released_at=unit.now,
                    released_by=principal.principal_id,
                    release_reason=reason,
                )
        what = "kill_switch.release_asked" if waits else "kill_switch.released"
        action = AdminAction(what, "firm_switch", firm_switch_id, note=reason)
        self._tell(PLATFORM_TENANT, actor or Actor(principal.principal_id), action)
        present = self._read(firm_switch_id)
        if waits:
            self._ask_everywhere(principal, present)
            return FirmReleased(present, waits, 0)
        return FirmReleased(present, waits, self._release_everywhere(present))

    def spread(self) -> int:
        """How many ledgers were brought in step with the platform's latches: what a worker does each half second."""
        with self._store.read_unit(None) as unit:
            latches = rows.unsettled(unit)
        return sum(
            len([part for part in self._spread(latch) if part.is_new])
            if latch.released_at is None
            else self._release_everywhere(latch)
            for latch in latches
        )

    def active(self) -> Sequence[FirmSwitch]:
        """The latches that hold, oldest first."""
        with self._store.read_unit(None) as unit:
            return [latch for latch in rows.unsettled(unit) if latch.released_at is None]

    def begin_under(self, turn: Turn) -> None:
        """Let a ledger in which trading begins have every switch of the firm that holds."""
        for latch in self.active():
            throw_switch(turn, self._thrower(turn.unit.tenant_id, latch), _asked(latch))

    # Every ledger -------------------------------------------------------------------------------------------

    def _spread(self, latch: FirmSwitch, *, anew: bool = False) -> list[Part]:
        """The part of each ledger that this process did not know to have the switch; anew: of every ledger."""

        def one(of: tuple[TenantId, LedgerId]) -> Part | None:
            tenant_id, ledger_id = of
            principal, asked = self._thrower(tenant_id, latch), _asked(latch)
            try:
                part = self._desk.transact(tenant_id, ledger_id, lambda turn: throw_switch(turn, principal, asked))
            except FlowError as error:
                log.error("a ledger has not the firm's switch yet", ledger_id=ledger_id, error=error.detail)
                return None
            self._done.add((latch.firm_switch_id, ledger_id))
            return part

        missing = [of for of in self._ledgers() if anew or (latch.firm_switch_id, of[1]) not in self._done]
        return [part for part in self._each(one, missing) if part is not None]

    def _release_everywhere(self, latch: FirmSwitch) -> int:
        """How many ledgers were released; the latch is settled once none is left."""

        def one(of: tuple[TenantId, LedgerId]) -> int | None:
            tenant_id, ledger_id = of
            principal = Principal(latch.released_by, tenant_id, frozenset())
            try:
                return self._desk.transact(tenant_id, ledger_id, lambda turn: _release(turn, principal, latch))
            except FlowError as error:
                log.error("a ledger is not released yet", ledger_id=ledger_id, error=error.detail)
                return None

        found = list(self._each(one, list(self._ledgers())))
        if None not in found:
            with self._store.platform_unit() as unit:
                rows.change(unit, latch.firm_switch_id, settled_at=unit.now)
        return sum(count or 0 for count in found)

    def _ask_everywhere(self, principal: Principal, latch: FirmSwitch) -> None:
        """Show each ledger who asked for the release; the latch alone decides, so a ledger that is away is left out."""

        def one(of: tuple[TenantId, LedgerId]) -> None:
            try:
                self._desk.transact(*of, lambda turn: _ask(turn, principal, latch))
            except FlowError as error:
                log.warning("a ledger does not show who asked", ledger_id=of[1], error=error.detail)

        list(self._each(one, list(self._ledgers())))

    def _each(self, one: Callable[..., object], of: Sequence[tuple[TenantId, LedgerId]]) -> Iterator[Any]:
        if len(of) < 2:
            return map(one, of)
        with ThreadPoolExecutor(LEDGERS_AT_ONCE, thread_name_prefix="firm") as pool:
            return iter(list(pool.map(one, of)))

    def _ledgers(self) -> Iterator[tuple[TenantId, LedgerId]]:
        return (of for of in self._store.ledgers() if of[0] != PLATFORM_TENANT)

    def _needs_two(self) -> bool:
        """Whether a release takes two persons: as soon as one of the tenants that are held asks for that."""
        for tenant_id in sorted({tenant_id for tenant_id, _ in self._ledgers()}):
            with self._store.read_unit(tenant_id) as unit:
                tenant = get_tenant(unit)
            if tenant is not None and settings_of(tenant.settings).second_person_release:
                return True
        return False

    def _read(self, firm_switch_id: str) -> FirmSwitch:
        with self._store.read_unit(None) as unit:
            found = rows.get(unit, firm_switch_id)
        assert found is not None
        return found

    def _thrower(self, tenant_id: TenantId, latch: FirmSwitch) -> Principal:
        return Principal(latch.activated_by, tenant_id, frozenset())

    def _within(self, tenant_id: TenantId, principal: Principal) -> Principal:
        return msgspec.structs.replace(principal, tenant_id=tenant_id, account_ids=None, proof=None)


def _release(turn: Turn, principal: Principal, latch: FirmSwitch) -> int:
    own = [one.switch_id for one in turn.batch.book.switches() if one.firm_switch_id == latch.firm_switch_id]
    for switch_id in own:
        release_switch(turn, principal, switch_id, latch.release_reason, as_firm=True)
    return len(own)


def _ask(turn: Turn, principal: Principal, latch: FirmSwitch) -> None:
    for switch in list(turn.batch.book.switches()):
        if switch.firm_switch_id == latch.firm_switch_id and not switch.release_asked_by:
            turn.batch.record(ev.ReleaseAsked(switch_id=switch.switch_id, principal=principal.principal_id))


def _asked(latch: FirmSwitch) -> Asked:
    instrument_id = InstrumentId(latch.instrument_id) if latch.instrument_id is not None else None
    return Asked(
        scope=Scope(instrument_id=instrument_id, is_firm=True),
        trading_state=latch.trading_state,
        reason_code=latch.reason_code,
        reason=latch.reason,
        cancel_working=latch.cancel_working,
        flatten=latch.flatten,
        firm_switch_id=latch.firm_switch_id,
    )


def _part_of(asked: Asked) -> Asked:
    return msgspec.structs.replace(asked, reason="")


def _is_equal(latch: FirmSwitch, asked: Asked) -> bool:
    same = ("trading_state", "cancel_working", "flatten")
    equal = all(getattr(latch, name) == getattr(asked, name) for name in same)
    return latch.released_at is None and equal and latch.instrument_id == asked.scope.instrument_id
