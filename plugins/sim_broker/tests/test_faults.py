"""Each fault does what its name says at each message where it may strike, and to no other order."""

import asyncio
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from oms_kernel.contracts.broker import (
    Acknowledged,
    AnyReport,
    Canceled,
    CancelRefused,
    Filled,
    NotConnected,
    Replaced,
    ReplaceRefused,
)
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.order import OrderType, Side
from oms_kernel.testkit.broker_harness import BrokerSession, broker_session
from oms_kernel.testkit.broker_suite import ASK, BID, FAR_BELOW, PLENTY, rest
from oms_kernel.testkit.faults import AT, Fault, FaultKind, FaultPoint, FaultScript, When, fault
from oms_kernel.testkit.recording_host import RecordingHost
from oms_sim_broker.testing import InProcessHarness

Story = Callable[[BrokerSession], Awaitable[None]]


def tell(story: Story, *faults: Fault) -> None:
    """Run a story with faults, the market at 99.99 to 100.01."""

    async def run() -> None:
        harness = InProcessHarness()
        async with broker_session(harness) as session:
            await harness.set_quote(BID, ASK, PLENTY)
            await harness.script(*faults)
            await story(session)

    asyncio.run(run())


@pytest.mark.parametrize("kind", list(FaultKind))
@pytest.mark.parametrize("point", list(FaultPoint))
def test_a_fault_is_refused_where_it_cannot_strike(point: FaultPoint, kind: FaultKind) -> None:
    if point in AT[kind]:
        assert fault(point, kind).do is kind
    else:
        with pytest.raises(ValueError, match=f"{kind} strikes at"):
            fault(point, kind)


@pytest.mark.parametrize(
    "fields", [{"nth": 0}, {"times": -1}, {"delay_ms": -1}, {"quantity_percent": 0}, {"quantity_percent": 101}]
)
def test_a_fault_with_figures_that_make_no_sense_is_refused(fields: dict[str, int]) -> None:
    with pytest.raises(ValueError):
        fault(FaultPoint.SUBMIT, FaultKind.REJECT, **fields)


def test_a_script_counts_what_fits_and_strikes_as_often_as_it_says() -> None:
    second = fault(FaultPoint.SUBMIT, FaultKind.REJECT, nth=2, symbol="ACME")
    always = Fault(When(FaultPoint.SUBMIT, nth=3, times=0), FaultKind.LOST_ACK)
    limits = fault(FaultPoint.SUBMIT, FaultKind.SILENCE, order_type="LIMIT")
    script = FaultScript((second, always, limits))

    def strike(symbol: str, order_type: OrderType = OrderType.MARKET) -> tuple[Fault, ...]:
        return script.strike(FaultPoint.SUBMIT, symbol=symbol, order_type=order_type)

    assert strike("ACME") == ()
    assert strike("OTHER") == ()
    assert strike("ACME") == (second, always)
    assert strike("ACME", OrderType.LIMIT) == (always, limits)
    assert script.strike(FaultPoint.CANCEL, symbol="ACME") == ()
    script.set((second,))
    assert strike("ACME") == ()
    assert strike("ACME") == (second,)


@pytest.mark.parametrize(
    ("kind", "told"), [(FaultKind.REJECT, True), (FaultKind.SILENCE, False), (FaultKind.LOST_ACK, False)]
)
def test_a_cancel_may_be_refused_lost_or_unanswered(kind: FaultKind, told: bool) -> None:
    async def story(session: BrokerSession) -> None:
        intent = await rest(session)
        await session.cancel(intent)
        await session.quiet()
        shown = await session.shown(intent)
        assert shown is not None
        assert shown.status == ("CANCELED" if kind is FaultKind.LOST_ACK else "WORKING")
        assert bool(session.of_kind(intent, CancelRefused)) is told
        assert not session.of_kind(intent, Canceled)

    tell(story, fault(FaultPoint.CANCEL, kind))


@pytest.mark.parametrize(
    ("kind", "told"), [(FaultKind.REJECT, True), (FaultKind.SILENCE, False), (FaultKind.LOST_ACK, False)]
)
def test_a_replace_may_be_refused_lost_or_unanswered(kind: FaultKind, told: bool) -> None:
    async def story(session: BrokerSession) -> None:
        intent = await rest(session)
        await session.replace(intent, 200, limit_price="91.00")
        await session.quiet()
        shown = await session.shown(intent)
        assert shown is not None
        assert shown.quantity == (200 if kind is FaultKind.LOST_ACK else 100)
        assert bool(session.of_kind(intent, ReplaceRefused)) is told
        assert not session.of_kind(intent, Replaced)

    tell(story, fault(FaultPoint.REPLACE, kind))


@pytest.mark.parametrize("point", [FaultPoint.SUBMIT, FaultPoint.CANCEL, FaultPoint.REPLACE])
def test_a_command_may_come_late(point: FaultPoint) -> None:
    async def story(session: BrokerSession) -> None:
        intent = await session.place(Side.BUY, 100, limit_price=FAR_BELOW)
        if point is FaultPoint.SUBMIT:
            assert await session.shown(intent) is None
        await session.hear(intent, Acknowledged)
        if point is FaultPoint.REPLACE:
            await session.replace(intent, 200)
            await session.hear(intent, Replaced)
        await session.cancel(intent)
        await session.hear(intent, Canceled)

    tell(story, fault(point, FaultKind.DELAY, delay_ms=30))


@pytest.mark.parametrize("point", [FaultPoint.SUBMIT, FaultPoint.CANCEL, FaultPoint.REPLACE])
def test_a_broken_connection_loses_the_command(point: FaultPoint) -> None:
    async def story(session: BrokerSession) -> None:
        intent = await session.place(Side.BUY, 100, limit_price=FAR_BELOW)
        if point is not FaultPoint.SUBMIT:
            await session.hear(intent, Acknowledged)
            await (session.cancel(intent) if point is FaultPoint.CANCEL else session.replace(intent, 200))
        await session.host.wait_until(lambda: session.host.losses, "loss")
        with pytest.raises(NotConnected):
            await session.connector.cancel(session.follow_up(intent, RequestKind.CANCEL))

    tell(story, fault(point, FaultKind.DISCONNECT))


def test_an_order_that_ends_unfilled_is_acknowledged_before_its_end_after_all() -> None:
    async def story(session: BrokerSession) -> None:
        intent = await session.place(Side.BUY, 100, limit_price=FAR_BELOW)
        await session.quiet()
        assert not session.of(intent)
        await session.cancel(intent)
        await session.hear(intent, Canceled)
        assert [type(report) for report in session.of(intent)] == [Acknowledged, Canceled]

    tell(story, fault(FaultPoint.SUBMIT, FaultKind.FILL_BEFORE_ACK))


def test_a_fault_for_one_order_leaves_the_others_alone() -> None:
    async def story(session: BrokerSession) -> None:
        first, second = await session.place(Side.BUY, 10), await session.place(Side.BUY, 10)
        await session.hear(second, Filled)
        await session.quiet()
        assert len(session.of_kind(first, Filled)) == 2
        assert len(session.of_kind(second, Filled)) == 1

    tell(story, fault(FaultPoint.FILL, FaultKind.DUPLICATE_EXECUTION))


def test_an_unknown_order_is_neither_cancelled_nor_replaced() -> None:
    async def story(session: BrokerSession) -> None:
        intent = await session.place(Side.BUY, 10)
        await session.quiet()
        assert not session.of(intent), "silence lost the order"
        await session.cancel(intent)
        await session.replace(intent, 20)
        await session.hear(intent, CancelRefused)
        (refused,) = await session.hear(intent, ReplaceRefused)
        assert refused.reason == "unknown order"

    tell(story, fault(FaultPoint.SUBMIT, FaultKind.SILENCE))


def test_the_books_of_the_broker_hold_what_it_never_told() -> None:
    async def story(session: BrokerSession) -> None:
        intent = await session.place(Side.BUY, 100)
        await session.quiet()
        assert session.filled(intent) == 0
        shown = await session.shown(intent)
        assert shown is not None
        assert (shown.status, shown.filled_quantity) == ("FILLED", Decimal(100))

    tell(story, fault(FaultPoint.FILL, FaultKind.LOST_FILL))


class BrokenHost(RecordingHost):
    """A host that cannot take reports."""

    async def report(self, report: AnyReport) -> None:
        raise RuntimeError("the disk is full")


def test_a_report_that_cannot_be_handed_over_ends_the_connection() -> None:
    async def story() -> None:
        harness = InProcessHarness()
        await harness.start()
        host = BrokenHost((harness.account,), (harness.instrument,))
        connector = harness.connector(host)
        await connector.connect()
        await BrokerSession(harness, host, connector).place(Side.BUY, 100)
        await host.wait_until(lambda: host.losses, "loss")
        assert "the disk is full" in host.losses[0]
        assert not (await connector.health()).connected
        await connector.close()
        await harness.stop()

    asyncio.run(story())
