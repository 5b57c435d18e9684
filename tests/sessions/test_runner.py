"""Stories of one session: sent once, booked once, doubted when unclear, settled by evidence, never sent again."""

import asyncio
from decimal import Decimal
from typing import Any

import msgspec

from oms_kernel.contracts.broker import Intent
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.lifecycle import Evidence, OrderState
from oms_kernel.domain.order import Side
from oms_kernel.engine import NewTerms
from oms_kernel.testkit.builders import ACCOUNT_ID
from oms_kernel.testkit.faults import Fault, FaultKind, FaultPoint, When
from tests.flow.trading import LEDGER, TENANT
from tests.sessions.session import FAST, Scene, connector_class, story


def at(point: FaultPoint, **when: Any) -> When:
    return When(command=point, **when)


def test_a_market_order_is_sent_acknowledged_and_filled() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        order = scene.trading.place(quantity=10)
        filled = await scene.becomes(order, OrderState.FILLED)
        assert filled.average_price == Decimal("100.01")
        assert scene.trading.kinds() == ["order_accepted", "intent_recorded", "order_acknowledged", "order_filled"]
        assert len(scene.at_broker()) == 1
        assert filled.evidence is Evidence.BROKER

    story(tell)


def test_orders_that_waited_for_the_session_are_sent_when_it_is_ready() -> None:
    async def tell(scene: Scene) -> None:
        order = scene.trading.place(queue_until=scene.trading.now.replace(year=2030), limit_price="50")
        await scene.start()
        await scene.becomes(order, OrderState.WORKING)

    story(tell)


def test_a_resting_order_is_changed_and_cancelled() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        order = scene.trading.place(limit_price="90.00")
        await scene.becomes(order, OrderState.WORKING)
        terms = NewTerms(quantity=Decimal(4), limit_price=Decimal("91.00"))
        asked = scene.trading.amendment.replace(scene.trading.principal, order.order_id, terms)
        assert asked.order.state is OrderState.PENDING_REPLACE
        changed = await scene.becomes(order, OrderState.WORKING)
        assert (changed.quantity, changed.limit_price) == (Decimal(4), Decimal("91.00"))
        asked = scene.trading.amendment.cancel(scene.trading.principal, order.order_id)
        assert asked.order.state is OrderState.PENDING_CANCEL
        ended = await scene.becomes(order, OrderState.CANCELED)
        assert ended.reason_code == "canceled_on_request"

    story(tell)


def test_partial_fills_add_up_and_a_cancel_ends_the_rest() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote(size=3)
        order = scene.trading.place(quantity=10, limit_price="100.01")
        part = await scene.becomes(order, OrderState.PARTIALLY_FILLED)
        assert part.filled_quantity == 3
        scene.quote(size=4)
        await scene.until(lambda: scene.trading.order(order.order_id).filled_quantity == 7)
        scene.trading.amendment.cancel(scene.trading.principal, order.order_id)
        ended = await scene.becomes(order, OrderState.CANCELED)
        assert ended.filled_quantity == 7
        position = scene.trading.in_turn(
            lambda turn: turn.batch.book.position(ACCOUNT_ID, scene.trading.instrument.instrument_id)
        )
        assert position.quantity == 7

    story(tell)


def test_an_order_past_its_time_to_be_sent_is_never_sent() -> None:
    async def tell(scene: Scene) -> None:
        order = scene.trading.place(queue_until=scene.trading.now.replace(year=2030))
        store = scene.trading.store
        store.clock = lambda: scene.trading.now.replace(year=2031)
        assert scene.trading.control.sweep(TENANT, LEDGER) == (order.order_id,)
        ended = scene.trading.order(order.order_id)
        assert (ended.state, ended.evidence) == (OrderState.EXPIRED, Evidence.NEVER_SENT)
        assert scene.at_broker() == []

    story(tell)


def test_the_gate_lets_nothing_out_of_an_account_that_takes_cancels_only() -> None:
    async def tell(scene: Scene) -> None:
        order = scene.trading.place(queue_until=scene.trading.now.replace(year=2030))
        scene.trading.control.set_trading_state(scene.trading.principal, ACCOUNT_ID, TradingState.CANCEL_ONLY, "drill")
        await scene.start()
        ended = await scene.becomes(order, OrderState.CANCELED)
        assert ended.evidence is Evidence.NEVER_SENT
        assert scene.at_broker() == []

    story(tell)


def test_a_lost_acknowledgement_is_a_doubt_that_the_brokers_query_settles() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        scene.faults(Fault(at(FaultPoint.SUBMIT), FaultKind.LOST_ACK))
        order = scene.trading.place(limit_price="90.00")
        await scene.becomes(order, OrderState.WORKING)
        assert "request_in_doubt" in scene.trading.kinds()
        assert len(scene.at_broker()) == 1

    story(tell)


def test_a_doubtful_order_that_two_complete_queries_do_not_show_is_rejected_with_that_evidence() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        scene.faults(Fault(at(FaultPoint.SUBMIT), FaultKind.SILENCE))
        order = scene.trading.place(limit_price="90.00")
        await scene.becomes(order, OrderState.IN_DOUBT)
        (item,) = scene.trading.submit(scene.trading.draft()).items
        assert item.error is not None or (item.decision and item.decision.denials[0].rule == "in_doubt")
        ended = await scene.becomes(order, OrderState.REJECTED)
        assert (ended.evidence, ended.reason_code) == (Evidence.QUERY, "NOT_AT_BROKER")
        assert scene.trading.kinds().count("doubt_queried") == 2
        assert scene.at_broker() == []

    story(tell)


def test_a_connection_that_breaks_in_the_middle_of_a_submit_sends_nothing_twice() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        scene.faults(Fault(at(FaultPoint.SUBMIT), FaultKind.DISCONNECT_MID_SUBMIT))
        order = scene.trading.place(limit_price="90.00")
        await scene.becomes(order, OrderState.WORKING)
        assert len(scene.at_broker()) == 1

    story(tell)


def test_a_fill_that_was_not_told_is_booked_from_the_snapshot_after_a_reconnect() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        scene.faults(Fault(at(FaultPoint.FILL), FaultKind.LOST_FILL))
        order = scene.trading.place(quantity=10)
        await scene.until(lambda: scene.trading.order(order.order_id).state is OrderState.WORKING)
        await scene.stop()
        await scene.start()
        await scene.becomes(order, OrderState.FILLED)

    story(tell)


def test_a_duplicate_execution_is_booked_once() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        scene.faults(Fault(at(FaultPoint.FILL), FaultKind.DUPLICATE_EXECUTION))
        order = scene.trading.place(quantity=10)
        await scene.becomes(order, OrderState.FILLED)
        later = scene.trading.place(quantity=5)
        await scene.becomes(later, OrderState.FILLED)
        assert scene.trading.kinds().count("order_filled") == 2

    story(tell)


def test_a_fill_after_the_cancel_is_booked_and_alerted() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        scene.faults(Fault(at(FaultPoint.CANCEL), FaultKind.FILL_AFTER_CANCEL, quantity_percent=50))
        order = scene.trading.place(quantity=10, limit_price="90.00")
        await scene.becomes(order, OrderState.WORKING)
        scene.trading.amendment.cancel(scene.trading.principal, order.order_id)
        await scene.until(lambda: scene.trading.order(order.order_id).filled_quantity == 5)
        assert scene.trading.order(order.order_id).state is OrderState.CANCELED
        assert "alert_raised" in scene.trading.kinds()

    story(tell)


def test_an_over_fill_is_booked_alerted_and_the_account_only_reduces() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        scene.faults(Fault(at(FaultPoint.FILL), FaultKind.OVER_FILL, quantity_percent=10))
        order = scene.trading.place(quantity=10)
        await scene.until(lambda: scene.trading.order(order.order_id).filled_quantity == 11)
        (item,) = scene.trading.submit(scene.trading.draft()).items
        assert item.decision is not None
        assert item.decision.denials[0].code == "reduce_only"
        (item,) = scene.trading.submit(scene.trading.draft(Side.SELL, 11)).items
        assert item.decision is not None
        assert item.decision.accepted

    story(tell)


def test_a_take_over_doubts_what_the_old_session_may_have_sent_and_never_sends_it() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        scene.faults(Fault(at(FaultPoint.SUBMIT), FaultKind.SILENCE))
        order = scene.trading.place(limit_price="90.00")
        await scene.until(lambda: scene.trading.order(order.order_id).state is OrderState.ROUTED)
        await scene.kill()
        await scene.start()
        assert scene.trading.order(order.order_id).state in (OrderState.IN_DOUBT, OrderState.REJECTED)
        ended = await scene.becomes(order, OrderState.REJECTED)
        assert ended.evidence is Evidence.QUERY
        assert scene.at_broker() == []

    story(tell, timing=msgspec.structs.replace(FAST, ack_timeout_factor=5.0))


def test_a_session_whose_lease_was_taken_sends_nothing_more() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.store.acquire("somebody else")
        scene.store.set_status(TENANT, None, "READY", "", None)
        scene.trading.restart()
        order = scene.trading.place(limit_price="90.00")
        task = scene._task
        assert task is not None
        await asyncio.wait([task], timeout=5)
        assert type(task.exception()).__name__ == "LeaseLost"
        assert scene.trading.order(order.order_id).state is OrderState.NEW
        assert scene.at_broker() == []

    story(tell)


def test_a_failed_query_keeps_the_session_from_becoming_ready() -> None:
    async def tell(scene: Scene) -> None:
        scene.faults(Fault(at(FaultPoint.SNAPSHOT, times=3), FaultKind.FAILED_QUERY))
        await scene.start(ready=False)
        await scene.until(lambda: any("incomplete" in detail for _, detail in scene.store.statuses))
        await scene.until(lambda: scene.store.statuses[-1][0] == "READY")

    story(tell)


def test_a_refused_cancel_returns_the_order_to_what_it_was() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        scene.faults(Fault(at(FaultPoint.CANCEL), FaultKind.REJECT, text="too late"))
        order = scene.trading.place(limit_price="90.00")
        await scene.becomes(order, OrderState.WORKING)
        scene.trading.amendment.cancel(scene.trading.principal, order.order_id)
        await scene.until(lambda: "cancel_refused" in scene.trading.kinds())
        assert scene.trading.order(order.order_id).state is OrderState.WORKING

    story(tell)


def test_a_doubtful_change_that_the_broker_shows_with_the_old_terms_twice_is_refused_and_not_sent_again() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        order = scene.trading.place(limit_price="90.00")
        await scene.becomes(order, OrderState.WORKING)
        scene.faults(Fault(at(FaultPoint.REPLACE), FaultKind.SILENCE))
        terms = NewTerms(limit_price=Decimal("91.00"))
        scene.trading.amendment.replace(scene.trading.principal, order.order_id, terms)
        await scene.becomes(order, OrderState.IN_DOUBT)
        settled = await scene.becomes(order, OrderState.WORKING)
        assert settled.limit_price == Decimal("90.00")
        assert scene.trading.kinds().count("doubt_queried") == 2
        assert scene.trading.kinds().count("intent_recorded") == 2

    story(tell)


def test_a_change_whose_answer_was_lost_is_found_in_force() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        order = scene.trading.place(limit_price="90.00")
        await scene.becomes(order, OrderState.WORKING)
        scene.faults(Fault(at(FaultPoint.REPLACE), FaultKind.LOST_ACK))
        terms = NewTerms(limit_price=Decimal("91.00"))
        scene.trading.amendment.replace(scene.trading.principal, order.order_id, terms)
        await scene.until(lambda: scene.trading.order(order.order_id).limit_price == Decimal("91.00"))
        assert scene.trading.order(order.order_id).state is OrderState.WORKING

    story(tell)


def test_a_connector_that_takes_several_at_once_gets_them_in_their_order_and_one_for_each_order() -> None:
    async def tell(scene: Scene) -> None:
        cls = connector_class(scene.broker)
        begun: list[Decimal] = []
        under_way: list[str] = []
        most = 0

        class Window(cls):  # type: ignore[misc,valid-type]
            capabilities = msgspec.structs.replace(cls.capabilities, window=4)

            async def submit(self, intent: Intent) -> None:
                assert intent.command.limit_price is not None
                begun.append(intent.command.limit_price)
                await self.under_way(intent, super().submit(intent))

            async def cancel(self, intent: Intent) -> None:
                await self.under_way(intent, super().cancel(intent))

            async def under_way(self, intent: Intent, sending: Any) -> None:
                nonlocal most
                assert intent.command.order_id not in under_way, "two requests of one order at once"
                under_way.append(intent.command.order_id)
                most = max(most, len(under_way))
                await asyncio.sleep(0.02)
                under_way.remove(intent.command.order_id)
                await sending

        await scene.start(connector=Window)
        placed = [scene.trading.place(limit_price=f"{50 + number}.00") for number in range(12)]
        await scene.until(lambda: len(begun) == 12)
        scene.trading.amendment.cancel_many(scene.trading.principal, [order.order_id for order in placed])
        for order in placed:
            await scene.becomes(order, OrderState.CANCELED)
        assert begun == sorted(begun)
        assert 1 < most <= 4

    story(tell)
