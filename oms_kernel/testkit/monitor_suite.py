"""A monitor in, triggers out: every duty of the Monitor contract has a case.

In a pytest module of your own, one class for each monitor:

    class TestMaxLossWatch(MonitorConformanceSuite):
        contributed = MaxLossWatch
        params = {"max_loss": "1000"}

        def calm(self, scene: Scene) -> None:
            scene.hold(100, 100)

        def alarming(self, scene: Scene) -> None:
            scene.hold(100, 100)
            scene.quote(bid="79.99", ask="80.01")
"""

import copy
from typing import Any, ClassVar

from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import make_rule
from oms_kernel.registry import Kind
from oms_kernel.soundness import is_sound_trigger
from oms_kernel.testkit.contributions import ContributionSuite
from oms_kernel.testkit.purity import fields_of, median_s, seen_by
from oms_kernel.testkit.scene import Scene

CALLS = 200
SLOWEST_MEDIAN_S = 0.001
A_ROUND_S = 0.25
"""How long after a round the host asks again, at most."""


class MonitorConformanceSuite(ContributionSuite):
    """The duties of Monitor.

    calm, alarming: set up a scene in which nothing is overstepped, and one in which something is. A monitor with a
    memory may find it while it takes in the events; any other says so when it is asked.
    scope: that of its limit. has_figures: whether its triggers show observed, limit and unit.
    alarms_without_quotes: whether it is alarmed when the calm scene loses its quotes; others say nothing then.
    """

    kind = Kind.MONITOR
    scope: ClassVar[Scope] = EVERYTHING
    has_figures: ClassVar[bool] = True
    alarms_without_quotes: ClassVar[bool] = False

    def calm(self, scene: Scene) -> None:
        """A ledger in which all is well."""
        raise NotImplementedError("set up what is no reason for an alarm")

    def alarming(self, scene: Scene) -> None:
        """A ledger in which the limit is overstepped."""
        raise NotImplementedError("set up what is a reason for an alarm")

    def monitor(self) -> Any:
        """A fresh instance."""
        return make_rule(self.contributed, self.params, self.scope)

    def found(self, scene: Scene) -> tuple[Trigger, ...]:
        """All that a fresh instance finds in the scene: what its memory found, then what it says when asked."""
        monitor = self.monitor()
        remembered = scene.triggers(monitor) if hasattr(monitor, "fold") else ()
        return remembered + self._watched(scene, monitor)

    def test_it_says_nothing_while_all_is_well(self) -> None:
        scene = Scene()
        self.calm(scene)
        assert self.found(scene) == ()

    def test_it_says_nothing_of_an_empty_ledger(self) -> None:
        assert self.found(Scene()) == ()

    def test_it_says_what_is_overstepped(self) -> None:
        scene = Scene()
        self.alarming(scene)
        found = self.found(scene)
        assert found, "nothing was found"
        assert all(trigger.message for trigger in found), "a trigger has no message"
        for trigger in found if self.has_figures else ():
            assert trigger.observed is not None, trigger
            assert trigger.limit is not None, trigger
            assert trigger.unit, trigger

    def test_its_triggers_can_be_stored(self) -> None:
        """Figures are Decimals of bounded size, texts are text; the host takes any other for a failure."""
        scene = Scene()
        self.alarming(scene)
        assert all(is_sound_trigger(trigger) for trigger in self.found(scene))

    def test_a_quarter_of_a_second_later_it_says_it_of_the_same_occasion(self) -> None:
        """A breach is told once for each key: a key that changes with the figures or the time would tell it anew."""
        scene = Scene()
        self.alarming(scene)
        monitor = self.monitor()
        keys = {trigger.key for trigger in self._watched(scene, monitor)}
        scene.wait(seconds=A_ROUND_S)
        assert {trigger.key for trigger in self._watched(scene, monitor)} == keys

    def test_without_quotes_it_does_what_it_declares(self) -> None:
        scene = Scene()
        self.calm(scene)
        scene.lose_quotes()
        assert bool(self.found(scene)) is self.alarms_without_quotes

    def test_the_same_ledger_gives_the_same_triggers(self) -> None:
        for arrange in (self.calm, self.alarming):
            scene = Scene()
            arrange(scene)
            monitor, other = self.monitor(), self.monitor()
            first = self._watched(scene, monitor)
            assert all(self._watched(scene, monitor) == first for _ in range(20))
            assert self._watched(scene, other) == first

    def test_it_keeps_nothing_in_itself(self) -> None:
        for arrange in (self.calm, self.alarming):
            scene = Scene()
            arrange(scene)
            monitor = self.monitor()
            before = copy.deepcopy(fields_of(monitor))
            self._watched(scene, monitor)
            assert fields_of(monitor) == before, "watch changed the monitor"

    def test_it_changes_nothing_that_it_is_shown(self) -> None:
        for arrange in (self.calm, self.alarming):
            scene = Scene()
            arrange(scene)
            monitor = self.monitor()
            memory = scene.memory(monitor)
            before, kept = seen_by(scene), copy.deepcopy(memory)
            scene.watch(monitor, memory)
            assert seen_by(scene) == before, "watch changed what it was shown"
            assert memory == kept, "watch changed its memory"

    def test_it_changes_no_memory_in_place(self) -> None:
        """Memories are kept while later ones are made, as a batch that is dropped does."""
        monitor = self.monitor()
        if not hasattr(monitor, "fold"):
            return
        scene = Scene()
        self.alarming(scene)
        state = monitor.initial_state()
        for recorded in scene.events:
            kept = copy.deepcopy(state)
            following, triggers = monitor.fold(state, recorded)
            again, repeated = monitor.fold(state, recorded)
            assert isinstance(triggers, tuple)
            assert state == kept, f"fold changed the memory at {recorded.event.kind}"
            assert (following, triggers) == (again, repeated), f"fold is not pure at {recorded.event.kind}"
            state = following

    def test_what_it_does_not_observe_leaves_its_memory_as_it_is(self) -> None:
        """The host folds only the events that `observes` names, where a monitor has it."""
        monitor = self.monitor()
        observes = getattr(monitor, "observes", None)
        if observes is None or not hasattr(monitor, "fold"):
            return
        scene = Scene()
        self.alarming(scene)
        state = monitor.initial_state()
        for recorded in scene.events:
            following, _ = monitor.fold(state, recorded)
            if type(recorded.event) not in observes:
                assert following == state, f"{recorded.event.kind} changed the memory and is not observed"
            state = following

    def test_half_of_its_calls_take_less_than_a_millisecond(self) -> None:
        for arrange in (self.calm, self.alarming):
            scene = Scene()
            arrange(scene)
            monitor = self.monitor()
            view, memory = scene.view(), scene.memory(monitor)
            assert median_s(CALLS, monitor.watch, view, memory) < SLOWEST_MEDIAN_S

    def _watched(self, scene: Scene, monitor: Any) -> tuple[Trigger, ...]:
        found = scene.watch(monitor)
        assert isinstance(found, tuple), f"no tuple of triggers: {found!r}"
        return found
