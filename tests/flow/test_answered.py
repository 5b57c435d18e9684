"""Repeating a request under its key: the first words again whatever happened since, and only to who may still hear."""

import threading
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_app.flow.errors import DuplicateClientOrderId, UnknownAccount, UnknownOrder
from oms_app.flow.intake import IdempotencyKey, PlaceResult
from oms_kernel import engine
from oms_kernel.domain.decision import Verdict
from oms_kernel.domain.events import IntentRecorded, OrderAcknowledged, OrderCanceled
from oms_kernel.domain.ids import WireId
from oms_kernel.domain.lifecycle import Evidence, OrderState, RequestKind
from oms_kernel.domain.order import Order
from oms_kernel.engine import NewTerms
from tests.flow.test_intake import AtMost
from tests.flow.trading import LEDGER, TENANT, Trading

KEY = IdempotencyKey(key="k1", operation="any", fingerprint=b"same")
OTHER_KEY = msgspec.structs.replace(KEY, key="k2")


class Counting(AtMost):
    """Counts how often it is asked: an order that is decided anew is assessed anew."""

    asked = 0

    def assess(self, intent: Any, view: Any, state: Any) -> Verdict:
        self.asked += 1
        return super().assess(intent, view, state)


def test_a_replace_is_answered_again_with_the_order_as_it_left_it() -> None:
    trading = Trading()
    order = trading.place(limit_price="90.00")
    terms = NewTerms(quantity=Decimal(4))
    first = trading.amendment.replace(trading.principal, order.order_id, terms, idempotency=KEY)
    trading.amendment.cancel(trading.principal, order.order_id)
    again = trading.amendment.replace(trading.principal, order.order_id, terms, idempotency=KEY)
    assert (again.replayed, again.order) == (True, first.order)
    assert trading.order(order.order_id).state is OrderState.CANCELED


def test_a_denied_replace_stays_denied_under_its_key() -> None:
    rule = AtMost(2)
    trading = Trading(rules=[rule])
    order = trading.place(limit_price="90.00")
    rule.limit = 0
    terms = NewTerms(quantity=Decimal(400))
    first = trading.amendment.replace(trading.principal, order.order_id, terms, idempotency=KEY)
    assert first.decision is not None
    assert not first.decision.accepted
    rule.limit = 9
    again = trading.amendment.replace(trading.principal, order.order_id, terms, idempotency=KEY)
    assert (again.replayed, again.decision) == (True, first.decision)
    assert trading.kinds() == ["order_accepted", "replace_denied"]


def test_a_cancel_that_was_under_way_is_answered_again_as_one_that_was() -> None:
    trading = Trading()
    order = trading.place(limit_price="90.00")
    trading.record(_sent(order), _acknowledged(order))
    first = trading.amendment.cancel(trading.principal, order.order_id, idempotency=KEY)
    second = trading.amendment.cancel(trading.principal, order.order_id, idempotency=OTHER_KEY)
    assert (first.repeated, second.repeated) == (False, True)
    for key, told in ((KEY, first), (OTHER_KEY, second)):
        again = trading.amendment.cancel(trading.principal, order.order_id, idempotency=key)
        assert (again.replayed, again.repeated, again.order) == (True, told.repeated, told.order)


def test_a_bulk_cancel_is_answered_again_with_the_orders_as_it_left_them() -> None:
    trading = Trading()
    orders = [trading.place(limit_price="90.00") for _ in range(2)]
    for order in orders:
        trading.record(_sent(order), _acknowledged(order))
    ids = [order.order_id for order in orders]
    first = trading.amendment.cancel_many(trading.principal, ids, idempotency=KEY)
    trading.record(_ended(orders[0]))
    again = trading.amendment.cancel_many(trading.principal, ids, idempotency=KEY)
    assert again.replayed
    assert [outcome.order for outcome in again.outcomes] == [outcome.order for outcome in first.outcomes]


def test_equal_requests_in_one_batch_are_one_order_and_one_batch() -> None:
    counting = Counting(9)
    trading = Trading(rules=[counting])
    lane_is_busy, go_on = threading.Event(), threading.Event()
    lanes = trading.intake._lanes.of(TENANT, LEDGER)
    results: list[PlaceResult] = []

    class Blocking:
        principal = trading.principal
        size = 1
        alone = False

        def decide(self, turn: object) -> None:
            lane_is_busy.set()
            assert go_on.wait(10)

    blocking = threading.Thread(target=lanes.submit, args=(Blocking(),))
    blocking.start()
    assert lane_is_busy.wait(10)
    asking = [
        threading.Thread(target=lambda: results.append(trading.submit(trading.draft(), idempotency=KEY)))
        for _ in range(5)
    ]
    for thread in asking:
        thread.start()
    while len(lanes._waiting) < 5:
        lane_is_busy.wait(0.01)
    go_on.set()
    for thread in [blocking, *asking]:
        thread.join(10)
    assert counting.asked == 1
    assert trading.kinds() == ["order_accepted"]
    assert sorted(result.replayed for result in results) == [False, True, True, True, True]
    assert len({msgspec.json.encode(result.items[0].order) for result in results}) == 1


def test_an_account_that_was_taken_away_is_not_told_of_again() -> None:
    trading = Trading()
    order = trading.place(limit_price="90.00")
    trading.submit(trading.draft(limit_price="90.00"), idempotency=KEY)
    trading.amendment.cancel(trading.principal, order.order_id, idempotency=OTHER_KEY)
    trading.principal = msgspec.structs.replace(trading.principal, account_ids=frozenset())
    (item,) = trading.submit(trading.draft(limit_price="90.00"), idempotency=KEY).items
    assert isinstance(item.error, UnknownAccount)
    assert item.order is None
    with pytest.raises(UnknownOrder):
        trading.amendment.cancel(trading.principal, order.order_id, idempotency=OTHER_KEY)


def test_of_a_repeated_bulk_only_the_accounts_that_are_still_the_callers_are_told() -> None:
    trading = Trading()
    orders = [trading.place(limit_price="90.00") for _ in range(2)]
    ids = [order.order_id for order in orders]
    trading.amendment.cancel_many(trading.principal, ids, idempotency=KEY)
    trading.principal = msgspec.structs.replace(trading.principal, account_ids=frozenset())
    again = trading.amendment.cancel_many(trading.principal, ids, idempotency=KEY)
    assert [type(outcome.error) for outcome in again.outcomes] == [UnknownOrder, UnknownOrder]
    assert [outcome.order for outcome in again.outcomes] == [None, None]


def test_the_answer_is_kept_for_a_day_and_the_client_order_id_for_ever() -> None:
    trading = Trading()
    draft = trading.draft(client_order_id="c1")
    trading.submit(draft, idempotency=KEY)
    trading.wait(hours=23, minutes=59)
    assert trading.submit(draft, idempotency=KEY).replayed
    trading.now += timedelta(minutes=2)
    again = trading.submit(draft, idempotency=KEY)
    assert not again.replayed
    assert isinstance(again.items[0].error, DuplicateClientOrderId)


def _sent(order: Order) -> IntentRecorded:
    return engine.intent(order, RequestKind.PLACE, WireId(f"w-{order.order_id}"), {}, 1)


def _acknowledged(order: Order) -> OrderAcknowledged:
    return OrderAcknowledged(account_id=order.request.account_id, order_id=order.order_id, broker_at=order.accepted_at)


def _ended(order: Order) -> OrderCanceled:
    return OrderCanceled(account_id=order.request.account_id, order_id=order.order_id, evidence=Evidence.BROKER)
