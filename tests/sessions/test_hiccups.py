"""Stories of a session whose database makes trouble: nothing waits for ever, nothing committed goes unsent."""

import asyncio
import threading
import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_app.flow import booking, submission
from oms_app.sessions.host import ConnectorHost, Storage
from oms_app.sessions.lease import HeldLease, awake_and_asleep
from oms_app.sessions.ledgers import SessionLedgers
from oms_app.sessions.process import Sessions
from oms_app.store.unit_of_work import LedgerUnit, StoreUnavailable
from oms_kernel.contracts.broker import EvidenceQuery, Intent, WireIdentity
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.events import OrderAcknowledged, ReplaceRefused
from oms_kernel.domain.ids import ExecId, LedgerId, WireId
from oms_kernel.domain.lifecycle import Evidence, OrderState, RequestStatus
from oms_kernel.domain.order import ReplaceRequest
from oms_kernel.engine import NewTerms
from oms_kernel.testkit.builders import ACCOUNT_ID, a_quote, a_uuid
from oms_kernel.testkit.faults import Fault, FaultKind, FaultPoint, When
from tests.flow.trading import CAPABILITIES, CONNECTION, LEDGER, TENANT, Trading
from tests.sessions.session import CONNECTED, FAST, Scene, connector_class, story

QUIET_LEDGER = LedgerId(a_uuid("quiet ledger"))


def test_a_quiet_ledger_does_not_keep_the_doubts_of_another_from_being_settled() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        scene.faults(Fault(When(command=FaultPoint.SUBMIT), FaultKind.SILENCE))
        order = scene.trading.place(limit_price="90.00")
        await scene.becomes(order, OrderState.IN_DOUBT, OrderState.REJECTED)
        await scene.becomes(order, OrderState.REJECTED)

    story(tell, ledgers=(LEDGER, QUIET_LEDGER))


def test_what_one_ledger_committed_is_sent_though_the_next_ledgers_transaction_fails() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        store = scene.trading.store
        whole = store.ledger_unit
        failing = True

        def partly_away(tenant_id: Any, ledger_id: Any) -> AbstractContextManager[LedgerUnit]:
            nonlocal failing
            if ledger_id == QUIET_LEDGER and failing and "intent_recorded" in scene.trading.kinds():
                failing = False
                raise StoreUnavailable("gone for a moment")
            return whole(tenant_id, ledger_id)

        store.ledger_unit = partly_away  # type: ignore[method-assign,assignment]
        order = scene.trading.place()
        await scene.becomes(order, OrderState.FILLED)
        assert not failing
        assert "request_in_doubt" not in scene.trading.kinds()

    story(tell, ledgers=(LEDGER, QUIET_LEDGER))


def test_an_intent_that_is_committed_while_the_session_ends_is_known_to_be_unsent() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        store = scene.trading.store
        committed = threading.Event()

        def slowly() -> None:
            if "intent_recorded" in scene.trading.kinds():
                committed.set()
                time.sleep(0.5)

        store.after_commit = slowly
        order = scene.trading.place(limit_price="90.00", queue_until=scene.trading.now.replace(year=2030))
        await scene.until(committed.is_set)
        await scene.stop()
        store.after_commit = lambda: None
        ended = scene.trading.order(order.order_id)
        assert (ended.state, ended.evidence) == (OrderState.EXPIRED, Evidence.NEVER_SENT)
        assert scene.at_broker() == []

    story(tell)


def test_an_order_that_came_before_another_transaction_of_the_session_is_still_news() -> None:
    trading = Trading()

    async def tell() -> None:
        ledgers = SessionLedgers(CONNECTED, trading.new_desk(), HeldLease(1, 3600, awake_and_asleep()))
        await ledgers.act(lambda turn: None, lambda done: None)
        assert not await ledgers.moved()
        trading.place()
        await ledgers.each(lambda turn: None)
        assert await ledgers.moved()
        ledgers.close()

    asyncio.run(tell())


def test_a_database_that_is_away_for_quotes_does_not_end_the_session() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        written, put_quotes = [], scene.store.put_quotes

        def away_at_first(quotes: Any) -> None:
            written.append(1)
            if len(written) == 1:
                raise StoreUnavailable("gone for a moment")
            put_quotes(quotes)

        scene.store.put_quotes = away_at_first  # type: ignore[method-assign]
        scene.quote()
        await scene.until(lambda: len(written) == 1)
        quote = a_quote(scene.trading.instrument, "99.98", "100.02", at=datetime.now(UTC))
        scene.broker.set_quote(quote)
        await scene.until(lambda: len(written) > 1)
        order = scene.trading.place()
        await scene.becomes(order, OrderState.FILLED)
        assert [status for status, _ in scene.store.statuses] == ["CONNECTING", "RECONCILING", "READY"]

    story(tell)


def test_a_report_that_the_database_refuses_is_kept_raw_and_the_stream_goes_on() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        first = await scene.becomes(scene.trading.place(), OrderState.FILLED)
        store = scene.trading.store
        (known,) = [key for key in store.execution_ids if key[0] == TENANT]
        # The id of the next execution was booked by a ledger that had the broker account before.
        prefix, number = known[2][:-1], int(known[2][-1])
        store.execution_ids[known[0], known[1], ExecId(f"{prefix}{number + 1}")] = None
        second = scene.trading.place()
        await scene.until(lambda: bool(store.unbooked))
        await scene.until(lambda: scene.trading.kinds().count("order_acknowledged") == 2)
        assert scene.trading.order(first.order_id).state is OrderState.FILLED
        assert scene.trading.order(second.order_id).filled_quantity == 0
        account = scene.trading.in_turn(lambda turn: turn.batch.book.accounts[ACCOUNT_ID])
        assert account.trading_state is TradingState.CANCEL_ONLY
        assert [status for status, _ in scene.store.statuses] == ["CONNECTING", "RECONCILING", "READY"]

    story(tell)


def test_what_an_older_change_came_to_says_nothing_about_the_present_one() -> None:
    trading = Trading()
    order = trading.place(limit_price="90.00")
    old = _change(trading, order.order_id, "91.00")
    trading.record(
        ReplaceRefused(account_id=ACCOUNT_ID, order_id=order.order_id, evidence=Evidence.BROKER, reason="late")
    )
    new = _change(trading, order.order_id, "92.00")
    trading.in_turn(lambda turn: booking.book_refusal(turn, old, "too late"))
    trading.in_turn(lambda turn: booking.book_doubt(turn, old, "too late"))
    assert _change_of(trading, order.order_id).status is RequestStatus.SENT
    trading.in_turn(lambda turn: booking.book_refusal(turn, new, "no"))
    assert _change_of(trading, order.order_id).status is RequestStatus.REFUSED


def _change(trading: Trading, order_id: Any, limit_price: str) -> Intent:
    """A change of the order's price that was sent."""

    def send(turn: Any) -> Intent:
        (intent,) = submission.next_intents(
            turn, CONNECTION, 1, CAPABILITIES, lambda command: WireIdentity(WireId(f"w{command.attempt}"))
        )
        return intent

    if trading.order(order_id).place is RequestStatus.REQUESTED:
        trading.in_turn(send)
        trading.record(OrderAcknowledged(account_id=ACCOUNT_ID, order_id=order_id, broker_at=trading.now))
    trading.amendment.replace(trading.principal, order_id, NewTerms(limit_price=Decimal(limit_price)))
    intent: Intent = trading.in_turn(send)
    return intent


def _change_of(trading: Trading, order_id: Any) -> ReplaceRequest:
    replace = trading.order(order_id).replace
    assert replace is not None
    return replace


def test_only_the_thread_that_prepares_intents_writes_into_their_transaction() -> None:
    scene = Scene()
    storage = Storage(scene.store, CONNECTED)

    def prepare(turn: Any) -> None:
        storage.unit = turn.unit
        storage.put("next_id", "8")
        beside = threading.Thread(target=storage.put, args=("heartbeat", "1"))
        beside.start()
        beside.join(5)
        assert scene.store.storage_get(TENANT, CONNECTION, "next_id") is None
        assert scene.store.storage_get(TENANT, CONNECTION, "heartbeat") == "1"
        storage.unit = None

    scene.trading.in_turn(prepare)
    assert storage.get("next_id") == "8"


def test_a_session_whose_clock_is_ahead_closes_the_connection_before_an_answer_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(ConnectorHost, "clock", lambda host: datetime.now(UTC) + timedelta(hours=1))

    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        scene.faults(Fault(When(command=FaultPoint.SUBMIT), FaultKind.SILENCE))
        order = scene.trading.place(limit_price="90.00")
        await scene.becomes(order, OrderState.REJECTED)
        assert [status for status, _ in scene.store.statuses].count("CONNECTING") > 1

    story(tell)


def test_a_connection_is_served_once_an_account_is_routed_to_it_and_anew_when_that_changes() -> None:
    async def tell() -> None:
        scene = Scene(ledgers=(LEDGER, QUIET_LEDGER))
        wanted = msgspec.structs.replace(CONNECTED, ledgers=())
        scene.store.wanted = lambda: [wanted]  # type: ignore[method-assign]
        sessions = Sessions(
            scene.trading.new_desk(),
            scene.store,
            lambda broker: connector_class(scene.broker),
            lease_s=60,
            timing=FAST,
            beat=lambda: None,
            home=scene.home,
        )
        await sessions._look()
        assert not sessions._running
        for ledgers in ((LEDGER,), (LEDGER, QUIET_LEDGER)):
            wanted = msgspec.structs.replace(CONNECTED, ledgers=ledgers)
            scene.store.statuses.clear()
            while not [1 for runner in sessions._runners.values() if runner.connection == wanted]:
                await sessions._look()
                await asyncio.sleep(0.01)
            await scene.until(lambda: bool(scene.store.statuses) and scene.store.statuses[-1][0] == "READY")
        for runner in sessions._runners.values():
            runner.stop()
        await asyncio.gather(*sessions._running.values())

    asyncio.run(asyncio.wait_for(tell(), 20))


def test_the_same_doubts_are_asked_about_ever_more_seldom() -> None:
    async def tell(scene: Scene) -> None:
        asked: list[float] = []
        cls = connector_class(scene.broker)

        class Shows(cls):  # type: ignore[misc,valid-type]
            """A broker whose query proves nothing."""

            capabilities = msgspec.structs.replace(cls.capabilities, evidence=EvidenceQuery.NONE)

            async def snapshot(self, since: Any) -> Any:
                asked.append(asyncio.get_running_loop().time())
                return await super().snapshot(since)

        await scene.start(connector=Shows)
        scene.quote()
        scene.faults(Fault(When(command=FaultPoint.SUBMIT), FaultKind.SILENCE))
        order = scene.trading.place(limit_price="90.00")
        await scene.becomes(order, OrderState.IN_DOUBT)
        await scene.until(lambda: len(asked) >= 6)
        settling = asked[2:]  # the first two began a connection each
        assert settling[3] - settling[2] > 1.5 * (settling[1] - settling[0])
        assert scene.trading.order(order.order_id).state is OrderState.IN_DOUBT

    story(tell)
