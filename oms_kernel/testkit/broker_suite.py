"""A connector and a broker that can be scripted in, a verdict out: every duty of the connector contract has a case.

In a pytest module of your own:

    class TestMyConnector(BrokerConformanceSuite):
        @pytest.fixture
        def harness(self) -> BrokerHarness:
            return MyHarness()

Cases are picked from the connector's capabilities and the faults that the harness can commit; others are skipped.
"""

import asyncio
import re
from collections.abc import Awaitable, Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_kernel.contracts.broker import (
    Acknowledged,
    BrokerError,
    Canceled,
    CancelRefused,
    CashSnapshot,
    EvidenceQuery,
    Expired,
    Filled,
    Intent,
    PositionSnapshot,
    Refused,
    Replaced,
    ReplaceMode,
    ReplaceRefused,
    SnapshotPart,
)
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.testkit.broker_harness import BrokerHarness, BrokerSession, broker_session, connected
from oms_kernel.testkit.faults import FaultKind, FaultPoint, fault
from oms_kernel.testkit.recording_host import MemoryStorage, RecordingHost, StorageGone

BID, ASK = Decimal("99.99"), Decimal("100.01")
PLENTY = Decimal(10_000)
FAR_BELOW, FAR_ABOVE = "90.00", "110.00"

RESTING_TERMS: dict[OrderType, dict[str, str]] = {
    OrderType.MARKET: {},
    OrderType.LIMIT: {"limit_price": FAR_BELOW},
    OrderType.STOP: {"stop_price": FAR_ABOVE},
    OrderType.STOP_LIMIT: {"stop_price": FAR_ABOVE, "limit_price": "111.00"},
    OrderType.TRAILING_STOP: {"trail_amount": "10.00"},
    OrderType.MARKET_ON_CLOSE: {},
    OrderType.LIMIT_ON_CLOSE: {"limit_price": FAR_BELOW},
    OrderType.LIMIT_IF_TOUCHED: {"stop_price": FAR_BELOW, "limit_price": FAR_BELOW},
    OrderType.MARKET_IF_TOUCHED: {"stop_price": FAR_BELOW},
}
"""Prices with which a BUY of each type does not trade at 99.99 to 100.01, MARKET excepted."""

Story = Callable[[BrokerSession], Awaitable[None]]


class BrokerConformanceSuite:
    """Subclass this and give the fixture `harness`; each test starts a broker of its own."""

    @pytest.fixture
    def harness(self) -> BrokerHarness:
        """The author's harness; see BrokerHarness for what it must offer."""
        raise NotImplementedError("override the fixture `harness` with a BrokerHarness of your own")

    # ------------------------------------------------------------------ the plain life of an order

    def test_a_market_order_is_acknowledged_and_fills_at_the_touch(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            intent = await session.place(Side.BUY, 100)
            fills = await session.hear_filled(intent, 100)
            await session.hear(intent, Acknowledged)
            assert all(fill.price == ASK and fill.side is Side.BUY for fill in fills)
            assert {fill.instrument_id for fill in fills} == {harness.instrument.instrument_id}

        tell(harness, story)

    def test_a_sell_trades_at_the_bid(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            intent = await session.place(Side.SELL, 100)
            fills = await session.hear_filled(intent, 100)
            assert all(fill.price == BID and fill.side is Side.SELL for fill in fills)

        tell(harness, story)

    def test_every_report_names_account_order_and_an_aware_time(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            intent = await session.place(Side.BUY, 100)
            await session.hear_filled(intent, 100)
            for report in session.host.reports:
                assert report.broker_account_id == harness.account.broker_account_id
                assert report.broker_at.tzinfo is not None
                assert report.wire_id is not None or report.broker_order_id is not None

        tell(harness, story)

    def test_a_large_order_fills_in_parts_with_ids_of_their_own(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            await harness.set_quote(BID, ASK, Decimal(100))
            intent = await session.place(Side.BUY, 250, limit_price="100.01")
            await session.hear_filled(intent, 100)
            await harness.set_quote(BID, ASK, Decimal(100))
            await session.hear_filled(intent, 200)
            await harness.set_quote(BID, ASK, Decimal(100))
            fills = await session.hear_filled(intent, 250)
            assert len({fill.exec_id for fill in fills}) == len(fills) >= 3
            assert session.filled(intent) == 250

        tell(harness, story)

    def test_a_limit_order_rests_and_never_fills_worse_than_its_limit(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            intent = await session.place(Side.BUY, 100, limit_price="99.50")
            await session.hear(intent, Acknowledged)
            await session.quiet()
            assert session.filled(intent) == 0
            await harness.set_quote(Decimal("99.40"), Decimal("99.45"), PLENTY)
            fills = await session.hear_filled(intent, 100)
            assert all(fill.price <= Decimal("99.50") for fill in fills)

        tell(harness, story)

    def test_a_cancel_ends_a_resting_order(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            intent = await rest(session)
            await session.cancel(intent)
            await session.hear(intent, Canceled)
            await harness.set_quote(Decimal("89.00"), Decimal("89.01"), PLENTY)
            await session.quiet()
            assert session.filled(intent) == 0

        tell(harness, story)

    def test_a_cancel_that_is_sent_twice_does_no_harm(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            intent = await rest(session)
            await session.cancel(intent)
            await session.cancel(intent)
            await session.hear(intent, Canceled)
            await session.quiet()
            assert session.filled(intent) == 0
            assert not session.host.losses

        tell(harness, story)

    def test_a_cancel_is_prepared_without_storage_and_sent_all_the_same(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            intent = await rest(session)
            storage = session.host.storage
            assert isinstance(storage, MemoryStorage)
            storage.is_away = True
            try:
                asked = await asyncio.to_thread(session.follow_up, intent, RequestKind.CANCEL)
                await session.connector.cancel(asked)
            except StorageGone:
                raise AssertionError("the connector needs storage for a cancel") from None
            storage.is_away = False
            await session.hear(intent, Canceled)

        tell(harness, story)

    def test_a_cancel_may_overtake_the_acknowledgement_where_that_is_declared(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            if not session.connector.capabilities.cancel_before_ack:
                pytest.skip("the connector does not cancel before the acknowledgement")
            intent = await session.place(Side.BUY, 100, limit_price=FAR_BELOW)
            await session.cancel(intent)
            await session.hear(intent, Canceled)

        tell(harness, story)

    def test_the_cancel_of_a_filled_order_is_refused(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            intent = await session.place(Side.BUY, 100)
            await session.hear_filled(intent, 100)
            await session.cancel(intent)
            await session.host.wait_until(
                lambda: session.refusals or session.of_kind(intent, CancelRefused), "refusal of the cancel"
            )

        tell(harness, story)

    def test_a_native_replace_changes_price_and_total(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            need_native_replace(session)
            intent = await rest(session)
            await session.replace(intent, 150, limit_price="95.00")
            (replaced,) = await session.hear(intent, Replaced)
            assert (replaced.quantity, replaced.limit_price) == (Decimal(150), Decimal("95.00"))
            await harness.set_quote(Decimal("94.90"), Decimal("94.99"), PLENTY)
            await session.hear_filled(intent, 150)
            assert session.filled(intent) == 150

        tell(harness, story)

    def test_a_refused_replace_leaves_the_old_terms_working(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            need_native_replace(session)
            intent = await rest(session)
            asked = await session.replace(intent, 150, limit_price="95.003")
            await session.host.wait_until(
                lambda: asked.identity.wire_id in session.refusals or session.of_kind(intent, ReplaceRefused),
                "refusal of an off-tick replace",
            )
            await harness.set_quote(Decimal("89.00"), Decimal("89.01"), PLENTY)
            await session.hear_filled(intent, 100)
            await session.quiet()
            assert session.filled(intent) == 100

        tell(harness, story)

    def test_a_total_at_the_filled_quantity_ends_the_order(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            need_native_replace(session)
            await harness.set_quote(BID, ASK, Decimal(40))
            intent = await session.place(Side.BUY, 100, limit_price="100.01")
            await session.hear_filled(intent, 40)
            await session.replace(intent, 40)
            await session.host.wait_until(
                lambda: session.of_kind(intent, Canceled) or session.of_kind(intent, Replaced), "end of the order"
            )
            await harness.set_quote(BID, ASK, PLENTY)
            await session.quiet()
            assert session.filled(intent) == 40

        tell(harness, story)

    def test_what_the_venue_does_not_take_is_refused_with_a_reason(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            intent = await session.place(Side.BUY, 100, limit_price="99.995")
            assert await session.hear_refusal(intent)
            assert session.filled(intent) == 0

        tell(harness, story)

    # ------------------------------------------------------------------ what is declared holds

    def test_every_declared_order_type_is_taken_and_can_be_cancelled(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            for order_type in sorted(session.connector.capabilities.order_types):
                intent = await session.place(Side.BUY, 10, order_type=order_type, **RESTING_TERMS[order_type])
                await session.hear(intent, Acknowledged)
                if order_type is OrderType.MARKET:
                    await session.hear_filled(intent, 10)
                    continue
                await session.cancel(intent)
                await session.hear(intent, Canceled)

        tell(harness, story)

    def test_a_stop_waits_for_its_trigger(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            if OrderType.STOP not in session.connector.capabilities.order_types:
                pytest.skip("STOP is not declared")
            intent = await session.place(Side.BUY, 100, order_type=OrderType.STOP, stop_price="101.00")
            await session.hear(intent, Acknowledged)
            await session.quiet()
            assert session.filled(intent) == 0
            await harness.set_quote(Decimal("101.00"), Decimal("101.02"), PLENTY)
            await session.hear_filled(intent, 100)

        tell(harness, story)

    def test_an_undeclared_order_type_is_refused(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            for order_type in sorted(set(OrderType) - session.connector.capabilities.order_types):
                intent = await session.place(Side.BUY, 10, order_type=order_type, **RESTING_TERMS[order_type])
                assert await session.hear_refusal(intent)

        tell(harness, story)

    def test_every_declared_time_in_force_is_taken(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            for time_in_force in sorted(session.connector.capabilities.time_in_force):
                fields: dict[str, Any] = {"time_in_force": time_in_force, "limit_price": FAR_BELOW}
                if time_in_force is TimeInForce.GTD:
                    fields["expire_at"] = session.host.clock() + timedelta(days=7)
                intent = await session.place(Side.BUY, 10, **fields)
                if time_in_force in (TimeInForce.IOC, TimeInForce.FOK):
                    await hear_end(session, intent)
                else:
                    await session.hear(intent, Acknowledged)
                    await session.cancel(intent)
                    await hear_end(session, intent)
                assert session.filled(intent) == 0

        tell(harness, story)

    def test_an_ioc_takes_what_is_there_and_ends(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            need_time_in_force(session, TimeInForce.IOC)
            await harness.set_quote(BID, ASK, Decimal(40))
            intent = await session.place(Side.BUY, 100, limit_price="100.01", time_in_force=TimeInForce.IOC)
            await hear_end(session, intent)
            assert session.filled(intent) == 40

        tell(harness, story)

    def test_a_fok_takes_all_or_nothing(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            need_time_in_force(session, TimeInForce.FOK)
            await harness.set_quote(BID, ASK, Decimal(40))
            nothing = await session.place(Side.BUY, 100, limit_price="100.01", time_in_force=TimeInForce.FOK)
            await hear_end(session, nothing)
            everything = await session.place(Side.BUY, 40, limit_price="100.01", time_in_force=TimeInForce.FOK)
            await session.hear_filled(everything, 40)
            assert session.filled(nothing) == 0

        tell(harness, story)

    def test_quotes_are_streamed_where_that_is_declared(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            if not session.connector.capabilities.market_data:
                pytest.skip("the connector declares no market data")
            await harness.set_quote(Decimal("98.00"), Decimal("98.02"), PLENTY)
            await session.host.wait_until(
                lambda: any(quote.ask == Decimal("98.02") for quote in session.host.quotes), "quote of 98.02"
            )

        tell(harness, story)

    def test_name_title_and_capabilities_make_sense(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            kind = type(session.connector)
            declared = kind.capabilities
            assert re.fullmatch(r"[a-z][a-z0-9_]*", kind.name)
            assert kind.title and "\n" not in kind.title
            assert issubclass(kind.Params, msgspec.Struct)
            assert declared.order_types and declared.time_in_force and declared.asset_classes
            assert 12 <= declared.wire_id_length
            assert declared.ack_timeout > timedelta(0)

        tell(harness, story)

    # ------------------------------------------------------------------ identity and query

    def test_prepare_allocates_distinct_ids_and_sends_nothing(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            commands = [session.place_command(Side.BUY, 100) for _ in range(50)]
            identities = [session.connector.prepare(command) for command in commands]
            longest = session.connector.capabilities.wire_id_length
            assert len({identity.wire_id for identity in identities}) == len(commands)
            assert all(0 < len(identity.wire_id) <= longest for identity in identities)
            await session.quiet()
            assert not session.host.reports
            assert not (await session.part(SnapshotPart.ORDERS)).items

        tell(harness, story)

    def test_a_prepared_order_is_sent_under_exactly_that_id(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            intent = await rest(session)
            shown = await session.shown(intent)
            assert shown is not None
            assert shown.status == "WORKING"
            assert (shown.quantity, shown.filled_quantity) == (Decimal(100), ZERO)

        tell(harness, story)

    def test_the_snapshot_has_every_part_with_its_time(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            parts = await session.connector.snapshot(None)
            assert session.connector.capabilities.required_parts <= set(parts)
            for part, result in parts.items():
                assert result.complete, f"{part}: {result.error}"
                assert result.as_of.tzinfo is not None
                assert not result.error

        tell(harness, story)

    def test_the_snapshot_agrees_with_the_reports(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            cash_before = await cash_of(session)
            intent = await session.place(Side.BUY, 100)
            await session.hear_filled(intent, 100)
            told = {fill.exec_id: fill for fill in session.of_kind(intent, Filled)}
            shown = {fill.exec_id: fill for fill in await executions(session)}
            assert {key: (fill.quantity, fill.price) for key, fill in shown.items()} == {
                key: (fill.quantity, fill.price) for key, fill in told.items()
            }
            (position,) = (await session.part(SnapshotPart.POSITIONS)).items
            assert isinstance(position, PositionSnapshot) and position.quantity == Decimal(100)
            fees = sum((fill.fee or ZERO for fill in told.values()), ZERO)
            assert await cash_of(session) == cash_before - 100 * ASK - fees

        tell(harness, story)

    # ------------------------------------------------------------------ order of reports, closing, failing

    def test_reports_are_told_in_their_order_while_booking_takes_its_time(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            intents = [await session.place(Side.BUY, 10) for _ in range(10)]
            for intent in intents:
                await session.hear_filled(intent, 10)
            for intent in intents:
                kinds = [type(report) for report in session.of(intent)]
                assert Acknowledged in kinds[: kinds.index(Filled)], f"told in the wrong order: {kinds}"

        tell(harness, story, report_delay=0.01)

    def test_close_may_come_twice_and_before_connect(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            never = harness.connector(RecordingHost((harness.account,), (harness.instrument,)))
            await never.close()
            assert not (await never.health()).connected
            assert (await session.connector.health()).connected
            await session.connector.close()
            await session.connector.close()
            assert not (await session.connector.health()).connected
            assert not session.host.losses, "a close that was asked for is no loss"

        tell(harness, story)

    def test_without_a_connection_nothing_is_refused_for_certain(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            command = session.place_command(Side.BUY, 100)
            intent = Intent(command, session.connector.prepare(command), lease_token=1)
            await session.connector.close()
            with pytest.raises(Exception) as caught:
                await session.connector.submit(intent)
            assert not isinstance(caught.value, Refused)

        tell(harness, story)

    def test_connecting_to_nobody_raises(self, harness: BrokerHarness) -> None:
        async def story() -> None:
            await harness.start()
            await harness.stop()
            connector = harness.connector(RecordingHost((harness.account,), (harness.instrument,)))
            with pytest.raises((BrokerError, OSError)):
                await connector.connect()
            await connector.close()

        asyncio.run(story())

    # ------------------------------------------------------------------ faults

    def test_a_duplicate_execution_is_passed_on_twice(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            await harness.script(fault(FaultPoint.FILL, FaultKind.DUPLICATE_EXECUTION))
            intent = await session.place(Side.BUY, 100)
            fills = await session.hear(intent, Filled, count=2)
            assert len({fill.exec_id for fill in fills}) == 1

        tell(harness, story, needs=FaultKind.DUPLICATE_EXECUTION)

    def test_a_fill_after_the_cancel_is_passed_on(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            await harness.script(fault(FaultPoint.CANCEL, FaultKind.FILL_AFTER_CANCEL, quantity_percent=50))
            intent = await rest(session)
            await session.cancel(intent)
            await session.hear(intent, Canceled)
            await session.hear_filled(intent, 50)
            kinds = [type(report) for report in session.of(intent)]
            assert kinds.index(Canceled) < kinds.index(Filled)

        tell(harness, story, needs=FaultKind.FILL_AFTER_CANCEL)

    def test_a_fill_before_the_acknowledgement_is_passed_on_first(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            await harness.script(fault(FaultPoint.SUBMIT, FaultKind.FILL_BEFORE_ACK))
            intent = await session.place(Side.BUY, 100)
            await session.hear(intent, Acknowledged)
            await session.hear_filled(intent, 100)
            kinds = [type(report) for report in session.of(intent)]
            assert kinds.index(Filled) < kinds.index(Acknowledged)

        tell(harness, story, needs=FaultKind.FILL_BEFORE_ACK)

    def test_a_disconnect_in_the_middle_of_a_submit_loses_the_connection_not_the_order(
        self, harness: BrokerHarness
    ) -> None:
        async def story(session: BrokerSession) -> None:
            await harness.script(fault(FaultPoint.SUBMIT, FaultKind.DISCONNECT_MID_SUBMIT))
            command = session.place_command(Side.BUY, 100, limit_price=FAR_BELOW)
            intent = Intent(command, session.connector.prepare(command), lease_token=1)
            try:
                await session.connector.submit(intent)
            except Refused:
                raise AssertionError("a broken connection is no refusal: the order may live") from None
            except (BrokerError, OSError):
                pass
            await session.host.wait_until(lambda: session.host.losses, "word that the connection was lost")
            assert len(session.host.losses) == 1
            assert not (await session.connector.health()).connected
            await session.connector.close()
            async with connected(harness) as again:
                if again.connector.capabilities.evidence is not EvidenceQuery.NONE:
                    shown = await again.shown(intent)
                    assert shown is not None and shown.status == "WORKING"

        tell(harness, story, needs=FaultKind.DISCONNECT_MID_SUBMIT)

    def test_a_lost_acknowledgement_is_not_invented_and_the_query_shows_the_order(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            await harness.script(fault(FaultPoint.SUBMIT, FaultKind.LOST_ACK))
            intent = await session.place(Side.BUY, 100, limit_price=FAR_BELOW)
            await session.quiet()
            assert not session.of(intent)
            if session.connector.capabilities.evidence is not EvidenceQuery.NONE:
                shown = await session.shown(intent)
                assert shown is not None and shown.status == "WORKING"

        tell(harness, story, needs=FaultKind.LOST_ACK)

    def test_silence_stays_silence_and_the_complete_query_shows_nothing(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            await harness.script(fault(FaultPoint.SUBMIT, FaultKind.SILENCE))
            intent = await session.place(Side.BUY, 100)
            await session.quiet()
            assert not session.of(intent)
            if session.connector.capabilities.evidence is EvidenceQuery.COMPLETE:
                assert await session.shown(intent) is None

        tell(harness, story, needs=FaultKind.SILENCE)

    def test_reordered_reports_are_all_passed_on(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            await harness.script(fault(FaultPoint.SUBMIT, FaultKind.REORDERED_REPORTS))
            await harness.set_quote(BID, ASK, Decimal(50))
            intent = await session.place(Side.BUY, 100)
            await harness.set_quote(BID, ASK, Decimal(50))
            fills = await session.hear_filled(intent, 100)
            await session.hear(intent, Acknowledged)
            assert len({fill.exec_id for fill in fills}) == 2

        tell(harness, story, needs=FaultKind.REORDERED_REPORTS)

    def test_a_failed_query_is_failed_and_not_empty(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            intent = await session.place(Side.BUY, 100)
            await session.hear_filled(intent, 100)
            for part in sorted(session.connector.capabilities.required_parts):
                await harness.script(fault(FaultPoint.SNAPSHOT, FaultKind.FAILED_QUERY, part=part.value))
                result = (await session.connector.snapshot(None))[part]
                assert not result.complete, f"{part} says COMPLETE although the query failed"
                assert result.error
                assert not result.items

        tell(harness, story, needs=FaultKind.FAILED_QUERY)

    def test_an_over_fill_is_passed_on_in_full(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            await harness.script(fault(FaultPoint.FILL, FaultKind.OVER_FILL, quantity_percent=50))
            intent = await session.place(Side.BUY, 100)
            await session.hear_filled(intent, 150)
            assert session.filled(intent) == 150

        tell(harness, story, needs=FaultKind.OVER_FILL)

    def test_a_fill_that_was_never_told_is_in_the_query(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            await harness.script(fault(FaultPoint.FILL, FaultKind.LOST_FILL))
            intent = await session.place(Side.BUY, 100)
            await session.hear(intent, Acknowledged)
            await session.quiet()
            assert session.filled(intent) == 0
            assert sum((fill.quantity for fill in await executions(session)), ZERO) == 100

        tell(harness, story, needs=FaultKind.LOST_FILL)

    def test_a_rejection_is_passed_on_with_its_reason(self, harness: BrokerHarness) -> None:
        async def story(session: BrokerSession) -> None:
            await harness.script(fault(FaultPoint.SUBMIT, FaultKind.REJECT, text="margin call"))
            intent = await session.place(Side.BUY, 100)
            assert "margin call" in await session.hear_refusal(intent)

        tell(harness, story, needs=FaultKind.REJECT)


def tell(harness: BrokerHarness, story: Story, *, report_delay: float = 0.0, needs: FaultKind | None = None) -> None:
    """Run one story against a fresh broker with the market at 99.99 to 100.01; skip it when a fault cannot be had."""
    if needs is not None and not harness.can(needs):
        pytest.skip(f"the harness cannot commit {needs}")

    async def run() -> None:
        async with broker_session(harness, report_delay=report_delay) as session:
            await harness.set_quote(BID, ASK, PLENTY)
            await story(session)

    asyncio.run(run())


async def rest(session: BrokerSession) -> Intent:
    """A BUY of 100 that is acknowledged and rests far below the market."""
    intent = await session.place(Side.BUY, 100, limit_price=FAR_BELOW)
    await session.hear(intent, Acknowledged)
    return intent


async def hear_end(session: BrokerSession, intent: Intent) -> None:
    """Wait until the broker says that the rest of an order has ended."""
    await session.host.wait_until(
        lambda: session.of_kind(intent, Canceled) or session.of_kind(intent, Expired), f"end of {intent.command}"
    )


async def executions(session: BrokerSession) -> list[Filled]:
    """The executions that the query shows."""
    items = (await session.part(SnapshotPart.EXECUTIONS)).items
    return [item for item in items if isinstance(item, Filled)]


async def cash_of(session: BrokerSession) -> Decimal:
    """The cash that the query shows in the account's own currency."""
    items = (await session.part(SnapshotPart.CASH)).items
    currency = session.harness.account.base_currency
    return sum((item.amount for item in items if isinstance(item, CashSnapshot) and item.currency == currency), ZERO)


def need_native_replace(session: BrokerSession) -> None:
    """Skip unless the connector replaces natively."""
    if session.connector.capabilities.replace is not ReplaceMode.NATIVE:
        pytest.skip("the connector does not replace natively")


def need_time_in_force(session: BrokerSession, time_in_force: TimeInForce) -> None:
    """Skip unless the time in force is declared."""
    if time_in_force not in session.connector.capabilities.time_in_force:
        pytest.skip(f"{time_in_force} is not declared")
