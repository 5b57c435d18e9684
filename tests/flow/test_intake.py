"""Intake: one order or many, decided in their order, durable when answered, the same answer for the same key."""

import threading
from typing import Any

import pytest

from oms_app.flow.errors import (
    DuplicateClientOrderId,
    IdempotencyMismatch,
    NoSession,
    NotAttempted,
    OutcomeUnknown,
    Unavailable,
    UnknownAccount,
    UnknownSymbol,
)
from oms_app.flow.intake import CursorStep, IdempotencyKey
from oms_app.store.unit_of_work import CommitUnknown, Conflict, StoreUnavailable
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.decision import Outcome, Verdict, passed
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.order import OrderType, Side
from oms_kernel.watchdog import Watchdog
from tests.flow.trading import ACCOUNT_ID, CONNECTION, LEDGER, TENANT, Trading

KEY = IdempotencyKey(key="k1", operation="orders.place", fingerprint=b"same")


class AtMost:
    """A rule that counts the account's open orders."""

    name = "at_most"

    def __init__(self, limit: int) -> None:
        self.limit = limit

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        exposure = view.exposure(intent.request.account_id, intent.instrument.instrument_id)
        if exposure.buy_orders < self.limit:
            return passed(self.name)
        return Verdict(rule=self.name, outcome=Outcome.DENY, code="too_many", message="too many open orders")


class Hangs:
    """A rule that never returns for quantity 13."""

    name = "hangs"

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        while intent.request.quantity == 13:
            pass
        return passed(self.name)


def test_an_accepted_order_is_one_event_and_one_order() -> None:
    trading = Trading()
    order = trading.place(quantity=7)
    assert trading.kinds() == ["order_accepted"]
    assert order.state is OrderState.NEW
    assert trading.store.order(TENANT, order.order_id) == order


def test_a_process_that_starts_anew_sees_what_another_wrote() -> None:
    trading = Trading()
    order = trading.place(quantity=7)
    trading.restart()
    assert trading.order(order.order_id) == order


def test_two_processes_take_turns_on_one_ledger() -> None:
    trading, orders = Trading(), []
    other = trading.new_desk()
    for desk in (trading.desk, other, trading.desk, other):
        trading._wire(desk)
        orders.append(trading.place())
    assert [order.version for order in orders] == [3, 4, 5, 6]


def test_every_order_of_a_bulk_sees_those_before_it() -> None:
    trading = Trading(rules=[AtMost(2)])
    result = trading.submit(*[trading.draft() for _ in range(4)])
    assert [item.order.state for item in result.items if item.order] == ["NEW", "NEW", "DENIED", "DENIED"]
    assert trading.kinds() == ["order_accepted", "order_accepted", "order_denied", "order_denied"]


def test_a_bad_item_of_a_bulk_is_an_error_of_its_own() -> None:
    trading = Trading()
    result = trading.submit(
        trading.draft(), trading.draft(quantity="0.5"), trading.draft(symbol="NONE"), trading.draft()
    )
    assert [type(item.error) for item in result.items] == [type(None), InvalidRequest, UnknownSymbol, type(None)]
    assert trading.kinds() == ["order_accepted", "order_accepted"]


def test_an_atomic_bulk_stores_nothing_when_one_item_fails() -> None:
    trading = Trading(rules=[AtMost(1)])
    result = trading.submit(trading.draft(), trading.draft(), atomic=True)
    assert isinstance(result.items[0].error, NotAttempted)
    assert result.items[1].decision is not None
    assert not result.items[1].decision.accepted
    assert trading.kinds() == []
    assert trading.place().state is OrderState.NEW


def test_a_bulk_of_more_than_500_is_refused() -> None:
    trading = Trading()
    with pytest.raises(InvalidRequest, match="1 to 500"):
        trading.submit(*[trading.draft()] * 501)


def test_a_known_client_order_id_names_the_order_that_has_it() -> None:
    trading = Trading()
    order = trading.place(client_order_id="c1")
    (item,) = trading.submit(trading.draft(client_order_id="c1")).items
    assert isinstance(item.error, DuplicateClientOrderId)
    assert item.error.extra == {"order_id": order.order_id, "state": "NEW"}


def test_a_client_order_id_twice_in_one_bulk_is_one_order() -> None:
    trading = Trading()
    result = trading.submit(trading.draft(client_order_id="c1"), trading.draft(client_order_id="c1"))
    assert [item.error is None for item in result.items] == [True, False]


def test_the_same_key_is_answered_from_the_version_that_it_made() -> None:
    trading = Trading(rules=[AtMost(2)])
    first = trading.submit(trading.draft(), trading.draft(quantity="0.5"), trading.draft(), idempotency=KEY)
    for item in first.items:
        if item.order is not None and item.order.is_active:
            trading.amendment.cancel(trading.principal, item.order.order_id)
    again = trading.submit(trading.draft(), trading.draft(quantity="0.5"), trading.draft(), idempotency=KEY)
    assert again.replayed
    assert [item.order for item in again.items] == [item.order for item in first.items]
    assert [item.error and item.error.code for item in again.items] == [None, "invalid_request", None]


def test_a_denial_is_replayed_as_a_denial() -> None:
    trading = Trading(rules=[AtMost(0)])
    first = trading.submit(trading.draft(), idempotency=KEY)
    again = trading.submit(trading.draft(), idempotency=KEY)
    assert again.items == first.items
    assert again.items[0].decision is not None
    assert again.items[0].decision.denials[0].code == "too_many"


def test_the_same_key_for_another_request_is_refused() -> None:
    trading = Trading()
    trading.submit(trading.draft(), idempotency=KEY)
    other = IdempotencyKey(key="k1", operation="orders.place", fingerprint=b"other")
    with pytest.raises(IdempotencyMismatch):
        trading.submit(trading.draft(quantity=11), idempotency=other)
    assert trading.kinds() == ["order_accepted"]


def test_a_key_is_the_principals_own() -> None:
    trading = Trading()
    trading.submit(trading.draft(), idempotency=KEY)
    trading.principal = type(trading.principal)("user:other", TENANT, frozenset())
    assert not trading.submit(trading.draft(), idempotency=KEY).replayed


def test_without_a_ready_session_nothing_is_stored_unless_the_order_may_wait() -> None:
    trading = Trading()
    trading.store.connections[TENANT].pop(CONNECTION)
    trading.restart()
    (item,) = trading.submit(trading.draft()).items
    assert isinstance(item.error, NoSession)
    assert trading.kinds() == []
    assert trading.place(queue_until=trading.now.replace(year=2027)).state is OrderState.NEW


def test_an_account_that_the_principal_may_not_use_does_not_exist() -> None:
    trading = Trading()
    trading.principal = type(trading.principal)("key:1", TENANT, frozenset(), account_ids=frozenset())
    (item,) = trading.submit(trading.draft()).items
    assert isinstance(item.error, UnknownAccount)


def test_what_the_broker_cannot_do_is_refused_and_not_stored() -> None:
    trading = Trading()
    (item,) = trading.submit(
        trading.draft(order_type=OrderType.MARKET_IF_TOUCHED, stop_price=trading.draft(quantity=9).quantity)
    ).items
    assert item.error is not None
    assert (item.error.code, item.error.field) == ("unsupported", "order_type")
    assert trading.kinds() == []


def test_tags_stand_beside_the_log_and_the_event_holds_their_hash() -> None:
    trading = Trading()
    order = trading.place(tags={"desk": "rates"})
    ((text, salt),) = [value for key, value in trading.store.texts.items() if key[1] == order.order_id]
    assert text == '{"desk": "rates"}'
    assert order.request.tags_hash is not None
    assert "rates" not in order.request.tags_hash
    assert len(salt) == 16


def test_a_halted_account_denies_and_says_so() -> None:
    trading = Trading()
    trading.control.set_trading_state(trading.principal, ACCOUNT_ID, TradingState.HALTED, "drill")
    (item,) = trading.submit(trading.draft()).items
    assert item.decision is not None
    assert item.decision.denials[0].rule == "trading_state"


# The database fails ---------------------------------------------------------------------------------------


def test_a_database_that_is_away_stores_nothing_and_says_so() -> None:
    trading = Trading()

    def away() -> None:
        raise StoreUnavailable("gone")

    trading.store.before_commit = away
    with pytest.raises(Unavailable):
        trading.submit(trading.draft())
    trading.store.before_commit = lambda: None
    assert trading.kinds() == []
    assert trading.place().version == 3


def test_a_commit_that_was_stored_though_its_answer_was_lost_is_answered_as_stored() -> None:
    trading = Trading()
    losses = [CommitUnknown("lost")]
    trading.store.after_commit = lambda: _raise_once(losses)
    order = trading.place()
    assert trading.kinds() == ["order_accepted"]
    assert trading.place().version == order.version + 1


def test_a_commit_that_was_lost_altogether_is_answered_as_not_stored() -> None:
    trading = Trading()
    losses = [CommitUnknown("lost")]
    trading.store.before_commit = lambda: _raise_once(losses)
    with pytest.raises(Unavailable):
        trading.submit(trading.draft())
    assert trading.place().version == 3


def test_a_commit_that_stays_unknown_names_the_order_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("oms_app.flow.desk.SETTLE_PAUSE_S", 0)
    trading = Trading()

    def gone() -> None:
        raise StoreUnavailable("gone")

    def lost() -> None:
        trading.store.on_lock = gone
        raise CommitUnknown("lost")

    trading.store.after_commit = lost
    with pytest.raises(OutcomeUnknown) as raised:
        trading.submit(trading.draft())
    trading.store.after_commit = trading.store.on_lock = lambda: None
    (order_id,) = raised.value.extra["order_ids"]
    assert trading.order(order_id).state is OrderState.NEW


def test_an_unexpected_error_splits_the_batch_and_fails_only_the_request_that_caused_it() -> None:
    trading = Trading()
    lane = trading.intake._lanes.of(TENANT, LEDGER)
    answers: list[Any] = []
    gate = threading.Event()

    class Job:
        principal = trading.principal
        size = 1
        alone = False

        def __init__(self, fails: bool) -> None:
            self.fails = fails

        def decide(self, turn: Any) -> str:
            gate.wait(5)
            if self.fails:
                raise ZeroDivisionError
            return "done"

    def submit(fails: bool) -> None:
        try:
            answers.append(lane.submit(Job(fails)))
        except ZeroDivisionError:
            answers.append("failed")

    threads = [threading.Thread(target=submit, args=(index == 2,)) for index in range(5)]
    for thread in threads:
        thread.start()
    gate.set()
    for thread in threads:
        thread.join(10)
    assert sorted(answers) == ["done", "done", "done", "done", "failed"]


def test_many_threads_get_each_their_own_order() -> None:
    trading = Trading()
    orders: list[Any] = []

    def work(number: int) -> None:
        for index in range(20):
            orders.append(trading.place(client_order_id=f"{number}-{index}"))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len({order.order_id for order in orders}) == 160
    assert sorted(order.version for order in orders) == list(range(3, 163))


# Plugins fail ---------------------------------------------------------------------------------------------


@pytest.mark.untraced
def test_a_rule_that_hangs_denies_its_batch_and_is_quarantined_for_the_ledger() -> None:
    watchdog = Watchdog(limit_s=0.05)
    watchdog.start()
    try:
        trading = Trading(rules=[Hangs()], watchdog=watchdog)
        assert trading.place(quantity=12).state is OrderState.NEW
        (item,) = trading.submit(trading.draft(quantity=13)).items
        assert item.decision is not None
        assert item.decision.denials[0].code == "plugin_quarantined"
        assert trading.kinds()[1:] == ["plugin_quarantined", "alert_raised", "order_denied"]
        (item,) = trading.submit(trading.draft(quantity=12)).items
        assert item.decision is not None
        assert not item.decision.accepted
        trading.control.release_plugin(trading.principal, LEDGER, "plugin-hangs")
        assert trading.place(quantity=12).state is OrderState.NEW
    finally:
        watchdog.stop()


# Cursors --------------------------------------------------------------------------------------------------


def test_orders_and_the_cursor_that_led_to_them_are_one_transaction() -> None:
    trading = Trading()
    step = CursorStep(consumer="run:1", expected_seq=0, seq=2)
    trading.submit(trading.draft(), cursor=step)
    with pytest.raises(Conflict):
        trading.submit(trading.draft(), cursor=step)
    assert trading.kinds() == ["order_accepted"]
    trading.submit(trading.draft(Side.SELL), cursor=CursorStep(consumer="run:1", expected_seq=2, seq=3))
    assert trading.kinds() == ["order_accepted", "order_accepted"]


def _raise_once(losses: list[Exception]) -> None:
    if losses:
        raise losses.pop()
