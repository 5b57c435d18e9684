"""Changes and cancels: conflicts said, repeats harmless, the same answer for the same key, one or many."""

from decimal import Decimal

import pytest

from oms_app.flow.errors import IdempotencyMismatch, StaleVersion, UnknownOrder
from oms_app.flow.intake import IdempotencyKey
from oms_kernel.domain.errors import OrderConflict
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.order import Side
from oms_kernel.engine import NewTerms
from oms_kernel.testkit.builders import a_uuid
from tests.flow.trading import Trading

KEY = IdempotencyKey(key="k1", operation="cancel", fingerprint=b"same")


def test_an_unsent_order_is_changed_at_once() -> None:
    trading = Trading()
    order = trading.place(limit_price="90.00")
    result = trading.amendment.replace(trading.principal, order.order_id, NewTerms(quantity=Decimal(4)))
    assert (result.order.quantity, result.order.state) == (Decimal(4), OrderState.NEW)


def test_a_version_that_is_not_the_present_one_is_stale() -> None:
    trading = Trading()
    order = trading.place(limit_price="90.00")
    with pytest.raises(StaleVersion):
        trading.amendment.cancel(trading.principal, order.order_id, if_match=order.version - 1)
    assert trading.amendment.cancel(trading.principal, order.order_id, if_match=order.version).order.is_active is False


def test_an_order_that_ended_can_be_neither_changed_nor_cancelled() -> None:
    trading = Trading()
    order = trading.place()
    trading.amendment.cancel(trading.principal, order.order_id)
    with pytest.raises(OrderConflict):
        trading.amendment.cancel(trading.principal, order.order_id)
    with pytest.raises(OrderConflict):
        trading.amendment.replace(trading.principal, order.order_id, NewTerms(quantity=Decimal(4)))


def test_an_order_of_an_account_that_the_principal_may_not_use_does_not_exist() -> None:
    trading = Trading()
    order = trading.place()
    stranger = type(trading.principal)("key:1", trading.principal.tenant_id, frozenset(), account_ids=frozenset())
    with pytest.raises(UnknownOrder):
        trading.amendment.cancel(stranger, order.order_id)


def test_the_same_key_cancels_once_and_answers_again() -> None:
    trading = Trading()
    order = trading.place()
    first = trading.amendment.cancel(trading.principal, order.order_id, idempotency=KEY)
    again = trading.amendment.cancel(trading.principal, order.order_id, idempotency=KEY)
    assert (first.replayed, again.replayed) == (False, True)
    assert again.order == first.order


def test_a_bulk_cancel_is_answered_again_as_the_first_time() -> None:
    trading = Trading()
    unknown = OrderId(a_uuid("nobody's order"))
    ids = [trading.place().order_id, unknown, trading.place().order_id]
    first = trading.amendment.cancel_many(trading.principal, ids, idempotency=KEY)
    events = trading.kinds()
    again = trading.amendment.cancel_many(trading.principal, ids, idempotency=KEY)
    assert (first.replayed, again.replayed) == (False, True)
    assert [outcome.order for outcome in again.outcomes] == [outcome.order for outcome in first.outcomes]
    assert [outcome.error and outcome.error.code for outcome in again.outcomes] == [None, "unknown_order", None]
    assert trading.kinds() == events


def test_the_key_of_a_bulk_cancel_is_not_good_for_another() -> None:
    trading = Trading()
    ids = [trading.place().order_id, trading.place().order_id]
    trading.amendment.cancel_many(trading.principal, ids[:1], idempotency=KEY)
    other = IdempotencyKey(key="k1", operation="cancel", fingerprint=b"other")
    with pytest.raises(IdempotencyMismatch):
        trading.amendment.cancel_many(trading.principal, ids, idempotency=other)
    assert trading.order(ids[1]).is_active


def test_cancel_all_takes_what_matches_and_may_be_used() -> None:
    trading = Trading()
    orders = [trading.place(limit_price="90.00"), trading.place(Side.SELL, limit_price="110.00")]
    outcomes = trading.amendment.cancel_all(trading.principal, instrument_id=trading.instrument.instrument_id)
    assert {outcome.order_id for outcome in outcomes} == {order.order_id for order in orders}
    assert trading.amendment.cancel_all(trading.principal) == ()
