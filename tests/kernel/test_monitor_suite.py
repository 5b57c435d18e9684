"""The suite of monitors lets a sound one pass and catches planted faults."""

import time
from decimal import Decimal
from typing import Annotated, Any, ClassVar

import msgspec
import pytest

from oms_kernel.contracts.plugin import described
from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain.events import OrderAccepted, OrderFilled
from oms_kernel.domain.scope import Scope
from oms_kernel.testkit.builders import ACCOUNT_ID
from oms_kernel.testkit.monitor_suite import MonitorConformanceSuite
from oms_kernel.testkit.scene import Scene
from oms_kernel.testkit.trial import failures


class Most(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A described limit."""

    most: Annotated[Decimal, described("The largest position", "units", gt=0)]


class SoundMonitor:
    """Is alarmed by a position above `most`; remembers how many fills there were."""

    name = "sound"
    title = "A sound monitor"
    Params: type[msgspec.Struct] = Most
    observes: ClassVar[Any] = frozenset({OrderFilled})

    def __init__(self, params: Any, scope: Scope) -> None:
        self.most = params.most
        self.scope = scope

    def watch(self, view: Any, state: Any) -> Any:
        found = []
        for account_id, instrument_id in view.holdings(self.scope):
            held = view.held(account_id, instrument_id)
            if held > self.most and view.market.fresh(instrument_id) is not None:
                found.append(self.tell(held, str(instrument_id), view))
        return tuple(found)

    def tell(self, held: Decimal, key: str, view: Any) -> Any:
        return Trigger(message=f"the position is {held}", observed=held, limit=self.most, unit="units", key=key)

    def initial_state(self) -> Any:
        return {"fills": 0}

    def fold(self, state: Any, event: Any) -> Any:
        return ({"fills": state["fills"] + 1} if isinstance(event.event, OrderFilled) else state), ()


class SuiteOfSound(MonitorConformanceSuite):
    contributed: ClassVar[Any] = SoundMonitor
    params = {"most": "100"}
    scope = Scope(account_id=ACCOUNT_ID)

    def calm(self, scene: Scene) -> None:
        scene.hold(100)

    def alarming(self, scene: Scene) -> None:
        scene.accept(scene.order(quantity=1))
        scene.hold(101)


class SaysNothing(SoundMonitor):
    def watch(self, view: Any, state: Any) -> Any:
        return ()


class CriesWolf(SoundMonitor):
    def watch(self, view: Any, state: Any) -> Any:
        return (Trigger(message="wolf", observed=Decimal(1), limit=self.most, unit="units"),)


class ReturnsNone(SoundMonitor):
    def watch(self, view: Any, state: Any) -> Any:
        return super().watch(view, state) or None


class TellsFloats(SoundMonitor):
    def tell(self, held: Decimal, key: str, view: Any) -> Any:
        return msgspec.structs.replace(super().tell(held, key, view), observed=float(held))


class HidesFigures(SoundMonitor):
    def tell(self, held: Decimal, key: str, view: Any) -> Any:
        return Trigger(message="much too much", key=key)


class KeysByTheTime(SoundMonitor):
    def tell(self, held: Decimal, key: str, view: Any) -> Any:
        return msgspec.structs.replace(super().tell(held, key, view), key=view.now.isoformat())


class ReadsTheClock(SoundMonitor):
    def tell(self, held: Decimal, key: str, view: Any) -> Any:
        return msgspec.structs.replace(super().tell(held, key, view), message=f"at {time.perf_counter_ns()}")


class TakesAbsenceForAlarm(SoundMonitor):
    def watch(self, view: Any, state: Any) -> Any:
        missing = [one for _, one in view.holdings(self.scope) if view.market.fresh(one) is None]
        return super().watch(view, state) + tuple(Trigger(message=f"no quote of {one}", key=one) for one in missing)


class Counts(SoundMonitor):
    rounds = 0

    def watch(self, view: Any, state: Any) -> Any:
        self.rounds += 1
        return super().watch(view, state)


class ChangesTheBook(SoundMonitor):
    def watch(self, view: Any, state: Any) -> Any:
        for account_id, instrument_id in view.holdings(self.scope):
            msgspec.structs.force_setattr(view.position(account_id, instrument_id), "quantity", Decimal(0))
        return super().watch(view, state)


class ChangesItsMemory(SoundMonitor):
    def fold(self, state: Any, event: Any) -> Any:
        state["fills"] += isinstance(event.event, OrderFilled)
        return state, ()


class OverlooksEvents(SoundMonitor):
    observes = frozenset({OrderAccepted})


class Dawdles(SoundMonitor):
    def watch(self, view: Any, state: Any) -> Any:
        time.sleep(0.0015)
        return super().watch(view, state)


def suite_of(monitor: type[Any]) -> type[Any]:
    return type("Suite", (SuiteOfSound,), {"contributed": monitor})


def test_a_sound_monitor_passes_every_case() -> None:
    assert failures(SuiteOfSound) == {}


@pytest.mark.parametrize(
    ("monitor", "case"),
    [
        (SaysNothing, "test_it_says_what_is_overstepped"),
        (CriesWolf, "test_it_says_nothing_while_all_is_well"),
        (CriesWolf, "test_it_says_nothing_of_an_empty_ledger"),
        (ReturnsNone, "test_it_says_nothing_while_all_is_well"),
        (TellsFloats, "test_its_triggers_can_be_stored"),
        (HidesFigures, "test_it_says_what_is_overstepped"),
        (KeysByTheTime, "test_a_quarter_of_a_second_later_it_says_it_of_the_same_occasion"),
        (ReadsTheClock, "test_the_same_ledger_gives_the_same_triggers"),
        (TakesAbsenceForAlarm, "test_without_quotes_it_does_what_it_declares"),
        (Counts, "test_it_keeps_nothing_in_itself"),
        (ChangesTheBook, "test_it_changes_nothing_that_it_is_shown"),
        (ChangesItsMemory, "test_it_changes_no_memory_in_place"),
        (OverlooksEvents, "test_what_it_does_not_observe_leaves_its_memory_as_it_is"),
        (Dawdles, "test_half_of_its_calls_take_less_than_a_millisecond"),
    ],
)
def test_a_planted_fault_in_a_monitor_is_caught(monitor: type[Any], case: str) -> None:
    assert case in failures(suite_of(monitor), [case])
