"""A ledger is watched: what a monitor finds is stored once with all it sets off; whatever a monitor does is told."""

from datetime import timedelta
from decimal import Decimal
from typing import Any, ClassVar

import pytest

from oms_app.flow.equity_marks import EquityWatch
from oms_app.flow.watching import LedgerWatch
from oms_app.store.unit_of_work import LimitRow
from oms_kernel.contracts.plugin import NoParams
from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.order import Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.registry import Registered, Registries, Registry
from oms_kernel.terms import Terms
from oms_kernel.testkit.builders import ACCOUNT_ID, NOON, a_quote
from oms_kernel.testkit.scene import Scene
from oms_kernel.watchdog import Watchdog
from tests.flow.trading import LEDGER, TENANT, Trading


class BidBelow:
    """Is alarmed while the bid is below 90."""

    name: ClassVar[str] = "bid_below"
    title = "The bid is low"
    Params = NoParams
    needs_equity = True

    def __init__(self) -> None:
        self.asked = 0

    def watch(self, view: Any, state: Any) -> tuple[Trigger, ...]:
        self.asked += 1
        found = []
        for _, instrument_id in view.holdings(EVERYTHING):
            quote = view.market.fresh(instrument_id)
            if quote is not None and quote.bid < 90:
                found.append(
                    Trigger(message=f"the bid is {quote.bid}", observed=quote.bid, limit=Decimal(90), unit="USD")
                )
        return tuple(found)


class Fails(BidBelow):
    """Fails while it is told to."""

    name = "fails"
    is_failing = True

    def watch(self, view: Any, state: Any) -> tuple[Trigger, ...]:
        if self.is_failing:
            raise ZeroDivisionError("no such luck")
        return ()


class Hangs(BidBelow):
    """Never comes back."""

    name = "hangs"

    def watch(self, view: Any, state: Any) -> tuple[Trigger, ...]:
        self.asked += 1
        while True:
            pass


def registries_of(*monitors: Any) -> Registries:
    return Registries(monitors=Registry(Registered(one.name, "acme", "acme", type(one)) for one in monitors))


class Watched:
    """A ledger that trades and is watched."""

    def __init__(self, *monitors: Any, action: Action = Action.ALERT, **options: Any) -> None:
        terms = Terms(action=action, **options.pop("terms", {}))
        self.trading = Trading(monitors=monitors, terms=terms, **options)
        self.watch = LedgerWatch(self.trading.desk, registries_of(*monitors), TENANT, LEDGER)

    def quote(self, bid: str, ask: str) -> None:
        trading = self.trading
        trading.store.put_quote(a_quote(trading.instrument, bid, ask, at=trading.now + timedelta(days=1)))
        trading.desk.quotes._read_at = float("-inf")

    def count(self, kind: str) -> int:
        return self.trading.kinds().count(kind)

    def events(self, kind: type[ev.Event]) -> list[Any]:
        stored = self.trading.store.events(TENANT, LEDGER, 0, 10_000)
        return [recorded.event for recorded in stored if isinstance(recorded.event, kind)]


def test_a_quiet_ledger_is_looked_at_without_its_lock_and_nothing_is_stored() -> None:
    monitor = BidBelow()
    watched = Watched(monitor)
    watched.trading.place()
    before = watched.trading.kinds()
    with watched.trading.store.ledger_unit(TENANT, LEDGER):  # whoever needed the lock would wait for it in vain
        told = watched.watch.look()
    assert (told.monitors, told.found, told.failed, told.is_invested) == (1, 0, (), True)
    assert monitor.asked == 1
    assert watched.trading.kinds() == before


def test_a_ledger_without_position_and_order_is_not_invested() -> None:
    assert not Watched(BidBelow()).watch.look().is_invested


def test_what_a_monitor_finds_is_stored_with_its_alert_switch_and_cancels_and_told_once() -> None:
    watched = Watched(BidBelow(), action=Action.CANCEL_WORKING)
    order = watched.trading.place()
    watched.quote("80", "81")
    assert watched.watch.look().breaches == 1
    (breach,) = watched.events(ev.LimitBreached)
    assert (breach.rule, breach.limit_id, breach.observed, breach.limit) == ("bid_below", "watch-0", 80, 90)
    (alert,) = watched.events(ev.AlertRaised)
    assert (alert.source, alert.text) == ("limit:bid_below", "the bid is 80")
    (switch,) = watched.events(ev.KillSwitchActivated)
    assert switch.trading_state is TradingState.CANCEL_ONLY
    assert not watched.trading.order(order.order_id).is_active
    before = watched.trading.kinds()
    assert watched.watch.look().breaches == 0
    assert watched.trading.kinds() == before


def test_a_breach_that_was_closed_is_told_anew_while_it_lasts() -> None:
    watched = Watched(BidBelow())
    watched.trading.place()
    watched.quote("80", "81")
    watched.watch.look()
    (breach_id,) = watched.trading.in_turn(
        lambda turn: list(dict(turn.batch.book.open_breaches.entries("watch-0")).values())
    )
    watched.trading.record(ev.BreachClosed(breach_id=breach_id, principal="user:risk", finding="settled"))
    assert watched.watch.look().breaches == 1


def test_what_is_over_when_the_lock_is_there_is_not_stored() -> None:
    watched = Watched(BidBelow())
    watched.trading.place()
    watched.quote("80", "81")
    watched.trading.store.on_lock = lambda: watched.quote("99", "100")
    told = watched.watch.look()
    assert (told.found, told.breaches) == (1, 0)
    assert watched.count("limit_breached") == 0


def test_a_shadow_limit_tells_and_does_nothing_else() -> None:
    watched = Watched(BidBelow(), action=Action.HALT, terms={"severity": RuleSeverity.SHADOW})
    order = watched.trading.place()
    watched.quote("80", "81")
    assert watched.watch.look().breaches == 1
    assert watched.count("kill_switch_activated") == 0
    assert watched.trading.order(order.order_id).is_active


def test_a_limit_that_is_not_in_force_is_not_asked() -> None:
    monitor = BidBelow()
    watched = Watched(monitor, terms={"effective_from": NOON + timedelta(hours=1)})
    assert watched.watch.look().monitors == 0
    watched.trading.wait(hours=1)
    assert watched.watch.look().monitors == 1
    assert monitor.asked == 1


def test_a_monitor_that_fails_is_told_of_once_asked_again_and_told_of_anew_after_it_worked() -> None:
    monitor = Fails()
    watched = Watched(monitor)
    for _ in range(3):
        assert watched.watch.look().failed == ("watch-0",)
    (alert,) = watched.events(ev.AlertRaised)
    assert (alert.source, alert.severity) == ("guard", ev.Severity.CRITICAL)
    assert "plugin-fails" in alert.text
    assert "no such luck" not in alert.text
    monitor.is_failing = False
    assert watched.watch.look().failed == ()
    monitor.is_failing = True
    watched.watch.look()
    assert len(watched.events(ev.AlertRaised)) == 2


def test_a_monitor_that_fails_does_not_silence_another_one() -> None:
    watched = Watched(Fails(), BidBelow())
    watched.trading.place()
    watched.quote("80", "81")
    told = watched.watch.look()
    assert (told.failed, told.breaches) == (("watch-0",), 1)


def test_a_monitor_that_hangs_is_quarantined_and_the_others_are_asked() -> None:
    watchdog = Watchdog(limit_s=0.05)
    watchdog.start()
    try:
        hanging, other = Hangs(), BidBelow()
        watched = Watched(hanging, other, watchdog=watchdog)
        assert watched.watch.look().failed == ("hangs",)
        assert [event.plugin for event in watched.events(ev.PluginQuarantined)] == ["plugin-hangs"]
        assert watched.watch.look().failed == ("watch-0",)
        assert (hanging.asked, other.asked > 0) == (1, True)
    finally:
        watchdog.stop()


# Equity ---------------------------------------------------------------------------------------------------


def marks(scene: Scene, watch: EquityWatch, scope: Scope = EVERYTHING) -> list[ev.EquityMarked]:
    """The marks that are due, recorded."""
    due = list(watch.due(scene.view(), [scope]))
    scene.record(*due)
    for mark in due:
        watch.marked(mark)
    return due


def a_scene() -> Scene:
    scene = Scene()
    scene.pay(10_000)
    return scene


def test_equity_is_marked_once_as_the_risk_day_is_seen_first() -> None:
    scene, watch = a_scene(), EquityWatch()
    (mark,) = marks(scene, watch)
    assert (mark.account_id, mark.day_start, mark.high_water, mark.risk_date) == (
        ACCOUNT_ID,
        10_000,
        10_000,
        "2026-03-02",
    )
    assert marks(scene, watch) == []
    scene.wait(days=1).quote()
    (mark,) = marks(scene, watch)
    assert mark.risk_date == "2026-03-03"


def test_an_account_that_cannot_be_valued_is_not_marked() -> None:
    scene, watch = a_scene(), EquityWatch()
    scene.hold(10)
    scene.lose_quotes()
    assert marks(scene, watch) == []
    scene.quote()
    assert len(marks(scene, watch)) == 1


def test_an_account_out_of_scope_is_not_marked() -> None:
    scene, watch = a_scene(), EquityWatch()
    assert marks(scene, watch, Scope(account_id=scene.another_account())) != []
    assert ACCOUNT_ID not in dict(scene.state.book.equity_marks.items())


def test_new_highs_are_marked_once_a_minute_with_the_highest_seen() -> None:
    scene, watch = a_scene(), EquityWatch()
    scene.hold(10, 100)
    marks(scene, watch)
    before = scene.view().high_water(ACCOUNT_ID)
    assert before is not None
    scene.wait(seconds=10).quote("150", "150")
    assert marks(scene, watch) == []
    scene.wait(seconds=51).quote("120", "120")
    (mark,) = marks(scene, watch)
    assert mark.high_water - before == 500
    assert mark.day_start == before
    assert marks(scene, watch) == []


@pytest.mark.parametrize("amount", [5_000, -5_000])
def test_money_moved_in_or_out_is_no_new_high_and_moves_the_high_water_mark(amount: int) -> None:
    scene, watch = a_scene(), EquityWatch()
    marks(scene, watch)
    scene.wait(minutes=2).quote()
    scene.pay(amount)
    assert marks(scene, watch) == []
    assert scene.view().high_water(ACCOUNT_ID) == 10_000 + amount
    assert scene.view().day_pnl(ACCOUNT_ID) == 0
    scene.wait(days=1).quote()
    (mark,) = marks(scene, watch)
    assert (mark.day_start, mark.high_water) == (10_000 + amount, 10_000 + amount)


def test_a_ledger_with_a_limit_that_needs_equity_is_marked_by_its_watch() -> None:
    watched = Watched(BidBelow())
    watched.trading.store.put_limit(TENANT, LimitRow(limit_id="watch-0", rule="bid_below", params={}, version=1))
    assert watched.watch.look().marks == 1
    assert watched.watch.look().marks == 0
    assert [mark.day_start for mark in watched.events(ev.EquityMarked)] == [1_000_000]
    watched.trading.place(Side.BUY, 10)
    assert watched.watch.look().marks == 0
