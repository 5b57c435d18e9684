"""Stories of a ledger's transactions when something beside an order goes wrong: nothing is stuck or doubled."""

import signal
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from oms_app.flow import submission
from oms_app.flow.amendment import Amendment
from oms_app.flow.errors import IdempotencyMismatch
from oms_app.flow.intake import IdempotencyKey
from oms_app.flow.lane import Lanes
from oms_app.flow.routing import Directory
from oms_app.store.unit_of_work import Conflict, Route, StoredAnswer
from oms_kernel.contracts.broker import WireIdentity
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.decision import Verdict, passed
from oms_kernel.domain.errors import IllegalTransition, KernelError
from oms_kernel.domain.events import AlertRaised, Event, IntentRecorded, Recorded, Severity
from oms_kernel.domain.ids import AccountId, BrokerAccountId, LedgerId, WireId
from oms_kernel.domain.lifecycle import OrderState, RequestKind, RequestStatus
from oms_kernel.domain.order import TimeInForce
from oms_kernel.testkit.builders import ACCOUNT_ID, a_quote, a_uuid, an_instrument
from oms_kernel.watchdog import Watchdog
from tests.flow.trading import CAPABILITIES, CONNECTION, LEDGER, TENANT, Trading

pytestmark = pytest.mark.untraced

ALERT = AlertRaised(severity=Severity.WARNING, source="test", text="look", what_to_do="look")


class Remembers:
    """A rule with memory that counts what it is told, and hangs when it hears of an alert if it is to."""

    name = "remembers"
    observes: frozenset[type[Event]] | None = None

    def __init__(self, *, hangs: bool = False) -> None:
        self.hangs = hangs
        self.told: list[int] = []

    def initial_state(self) -> int:
        return 0

    def fold(self, state: int, recorded: Recorded) -> tuple[int, tuple[Any, ...]]:
        self.told.append(recorded.seq)
        while self.hangs and isinstance(recorded.event, AlertRaised):
            time.sleep(0.001)
        return state + 1, ()

    def assess(self, intent: Any, view: Any, state: int) -> Verdict:
        return passed(self.name)


@pytest.fixture
def watchdog() -> Iterator[Watchdog]:
    watchdog = Watchdog(limit_s=0.05)
    watchdog.start()
    yield watchdog
    watchdog.stop()


def test_a_memory_that_hangs_outside_of_intake_is_quarantined_and_the_work_is_done(watchdog: Watchdog) -> None:
    trading = Trading(rules=[Remembers(hangs=True)], watchdog=watchdog)
    trading.record(ALERT)
    assert trading.kinds() == ["plugin_quarantined", "alert_raised", "alert_raised"]
    (item,) = trading.submit(trading.draft()).items
    assert item.decision is not None
    assert item.decision.denials[0].code == "plugin_quarantined"


def test_a_hang_whose_work_failed_after_all_is_recorded_with_the_next_transaction(watchdog: Watchdog) -> None:
    trading = Trading(rules=[Remembers(hangs=True)], watchdog=watchdog)

    def fail(turn: Any) -> None:
        turn.batch.record(ALERT)
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        trading.in_turn(fail)
    assert trading.kinds() == []
    trading.in_turn(lambda turn: None)
    assert trading.kinds() == ["plugin_quarantined", "alert_raised"]
    trading.control.release_plugin(trading.principal, LEDGER, "plugin-remembers")
    trading.rules[0].hangs = False
    assert trading.place().is_active


def test_a_change_of_the_accounts_state_does_not_read_the_whole_log_again() -> None:
    rule = Remembers()
    trading = Trading(rules=[rule])
    trading.place()
    trading.control.set_trading_state(trading.principal, ACCOUNT_ID, TradingState.REDUCE_ONLY, "drill")
    trading.control.set_trading_state(trading.principal, ACCOUNT_ID, TradingState.ACTIVE, "drill")
    rule.told.clear()
    trading.place()
    assert rule.told == [trading.store.heads([LEDGER])[LEDGER]]


def test_a_process_log_that_is_closed_does_not_make_a_stored_batch_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed:
        def warning(self, *_: Any, **__: Any) -> None:
            raise BrokenPipeError

    monkeypatch.setattr("oms_app.flow.desk.log", Closed())
    trading = Trading()
    trading.record(ALERT)
    assert trading.kinds() == ["alert_raised"]


def test_a_waiter_that_is_interrupted_leaves_the_lane_to_those_behind_it() -> None:
    trading = Trading()

    class Job:
        principal = trading.principal
        size = 1
        alone = True

        def decide(self, turn: Any) -> str:
            entered.set()
            assert gate.wait(10)
            return "done"

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    entered, gate = threading.Event(), threading.Event()
    lane = trading.intake._lanes.of(TENANT, LEDGER)
    leader = threading.Thread(target=lane.submit, args=(Job(),))
    leader.start()
    assert entered.wait(10)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        with pytest.raises(KeyboardInterrupt):
            lane.submit(Job())
    finally:
        signal.signal(signal.SIGALRM, before)
    gate.set()
    leader.join(10)
    answers: list[str] = []
    behind = threading.Thread(target=lambda: answers.append(lane.submit(Job())), daemon=True)
    behind.start()
    behind.join(10)
    assert answers == ["done"]


def test_a_request_that_met_a_conflict_alone_is_answered_by_what_was_stored_first() -> None:
    trading = Trading()
    key = IdempotencyKey(key="k1", operation="orders.place", fingerprint=b"mine")

    def faster() -> None:
        trading.store.before_commit = lambda: None
        answer = StoredAnswer(
            key="k1", principal=trading.principal.principal_id, operation="orders.place", fingerprint=b"another's",
            status_code=200, order_versions=(), extra={}, created_at=trading.now,
        )  # fmt: skip
        trading.store.answers[TENANT, (answer.principal, answer.operation, answer.key)] = answer
        raise Conflict("idempotency_keys")

    trading.store.before_commit = faster
    with pytest.raises(IdempotencyMismatch):
        trading.submit(trading.draft(), idempotency=key)
    assert trading.kinds() == []


def test_a_quote_written_late_by_a_session_whose_clock_is_behind_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms_app.flow.boards.REFRESH_S", 0)
    trading = Trading()
    ahead, behind = an_instrument("AHEAD"), an_instrument("BEHIND")
    trading.store.quotes_by_instrument.clear()
    trading.store.put_quote(a_quote(ahead, at=trading.now))

    def known(turn: Any) -> bool:
        return turn.view.market.fresh(behind.instrument_id) is not None

    assert not trading.in_turn(known)
    trading.store.put_quote(a_quote(behind, at=trading.now - timedelta(seconds=1)))
    assert trading.in_turn(known)


def test_a_session_that_was_itself_replaced_disowns_nothing() -> None:
    trading = Trading()
    order = trading.place()
    trading.connect(token=3)
    trading.in_turn(
        lambda turn: submission.next_intents(
            turn, CONNECTION, 3, CAPABILITIES, lambda command: WireIdentity(WireId("w"))
        )
    )
    with pytest.raises(submission.LeaseLost):
        trading.in_turn(lambda turn: submission.disown(turn, CONNECTION, 2))
    assert trading.order(order.order_id).place is RequestStatus.SENT


def test_an_order_that_expires_while_it_waits_for_a_session_is_ended_in_time() -> None:
    trading = Trading()
    order = trading.place(
        limit_price="90.00",
        time_in_force=TimeInForce.GTD,
        expire_at=trading.now + timedelta(hours=1),
        queue_until=trading.now + timedelta(hours=2),
    )
    assert trading.control.sweep(TENANT, LEDGER) == ()
    trading.wait(hours=1)
    assert trading.control.sweep(TENANT, LEDGER) == (order.order_id,)
    ended = trading.order(order.order_id)
    assert (ended.state, ended.reason_code) == (OrderState.EXPIRED, "expired_before_send")


def test_a_batch_of_which_an_event_could_not_be_folded_is_not_stored_though_somebody_caught_the_error() -> None:
    trading = Trading()
    order = trading.place()
    sent = IntentRecorded(
        account_id=ACCOUNT_ID, order_id=order.order_id, request_kind=RequestKind.PLACE, attempt=0, lease_token=1,
        wire_id=WireId("w1"), wire_fields={},
    )  # fmt: skip
    trading.record(sent)

    def careless(turn: Any) -> None:
        with suppress(KernelError):
            turn.batch.record(msgspec.structs.replace(sent, wire_id=WireId("w2")))
        turn.batch.record(ALERT)

    with pytest.raises(IllegalTransition):
        trading.in_turn(careless)
    assert trading.kinds() == ["order_accepted", "intent_recorded"]
    assert trading.in_turn(lambda turn: turn.batch.book.wires.get(WireId("w2"))) is None


def test_an_order_of_a_ledger_that_came_later_can_be_cancelled_by_every_process() -> None:
    trading = Trading()
    elsewhere = trading.new_desk()
    amendment = Amendment(elsewhere, Lanes(elsewhere.ledger), Directory(elsewhere))
    assert amendment.cancel(trading.principal, trading.place(limit_price="90.00").order_id).order.is_active is False
    later, account_id = LedgerId(a_uuid("later")), AccountId(a_uuid("later account"))
    trading.store.add_ledger(TENANT, later)
    trading.control.open_account(TENANT, later, account_id, base_currency="USD")
    trading.store.put_route(
        TENANT,
        Route(
            account_id=account_id,
            broker_account_id=BrokerAccountId(a_uuid("later broker account")),
            connection_id=CONNECTION,
            broker="sim_broker",
        ),
    )
    order = trading.place(account_id=account_id, limit_price="90.00")
    assert amendment.cancel(trading.principal, order.order_id).order.state is OrderState.CANCELED
