"""What an author's harness offers to the broker suite, and one test's session with a connector."""

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, Protocol, TypeVar

import msgspec

from oms_kernel.contracts.broker import (
    AnyReport,
    BrokerAccount,
    BrokerConnector,
    BrokerHost,
    Command,
    Filled,
    Intent,
    OrderSnapshot,
    PartResult,
    Refused,
    Rejected,
    SnapshotPart,
    WireIdentity,
)
from oms_kernel.domain.ids import BrokerOrderId, OrderId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.testkit.faults import Fault, FaultKind
from oms_kernel.testkit.recording_host import RecordingHost

R = TypeVar("R", bound=AnyReport)


class BrokerHarness(Protocol):
    """A broker under the suite's control: usually a simulator, or a paper account with a scriptable market.

    account: known to the broker, with 1,000,000 of its currency or more. instrument: known to the broker, tradable
    now, tick size 0.01, lot size 1, prices around 100.
    """

    account: BrokerAccount
    instrument: Instrument

    async def start(self) -> None:
        """Bring up the broker with no orders, no positions and no faults."""

    async def stop(self) -> None:
        """Take it down and free everything."""

    def connector(self, host: BrokerHost) -> BrokerConnector:
        """A new connector to this broker, not connected."""

    async def set_quote(self, bid: Decimal | None, ask: Decimal | None, size: Decimal) -> None:
        """Make this the market of the instrument; returns when the broker trades by it."""

    async def script(self, *faults: Fault) -> None:
        """Commit these faults from now on, and none of those before."""

    def can(self, kind: FaultKind) -> bool:
        """Whether this broker can be made to commit such a fault; its cases are skipped otherwise."""


class BrokerSession:
    """One connector that is connected, and what a test does with it."""

    def __init__(self, harness: BrokerHarness, host: RecordingHost, connector: BrokerConnector) -> None:
        self.harness = harness
        self.host = host
        self.connector = connector
        self.refusals: dict[str, str] = {}

    def place_command(self, side: Side, quantity: int | str, **fields: Any) -> Command:
        """A complete PLACE command with an order id of its own; LIMIT when `limit_price` is given, else MARKET."""
        prices = ("limit_price", "stop_price", "trail_amount", "trail_percent")
        values: dict[str, Any] = {
            "order_type": OrderType.LIMIT if fields.get("limit_price") is not None else OrderType.MARKET,
            "time_in_force": TimeInForce.DAY,
            **{name: Decimal(value) if name in prices else value for name, value in fields.items()},
        }
        return Command(
            kind=RequestKind.PLACE,
            order_id=OrderId(str(uuid.uuid4())),
            attempt=0,
            broker_account_id=self.harness.account.broker_account_id,
            instrument=self.harness.instrument,
            side=side,
            quantity=Decimal(quantity),
            **values,
        )

    async def place(self, side: Side, quantity: int | str, **fields: Any) -> Intent:
        """Prepare and send an order, as the host does it."""
        command = self.place_command(side, quantity, **fields)
        intent = Intent(command, self.connector.prepare(command), lease_token=1)
        try:
            await self.connector.submit(intent)
        except Refused as refusal:
            self.refusals[intent.identity.wire_id] = str(refusal)
        return intent

    async def cancel(self, intent: Intent) -> None:
        """Ask to cancel an order by whatever names are known by now."""
        asked = self.follow_up(intent, RequestKind.CANCEL)
        try:
            await self.connector.cancel(asked)
        except Refused as refusal:
            self.refusals[asked.identity.wire_id] = str(refusal)

    async def replace(self, intent: Intent, quantity: int | str, **prices: Any) -> Intent:
        """Ask for a new total and new prices; the others stay."""
        terms = {"quantity": Decimal(quantity), **{name: Decimal(value) for name, value in prices.items()}}
        asked = self.follow_up(intent, RequestKind.REPLACE, **terms)
        try:
            await self.connector.replace(asked)
        except Refused as refusal:
            self.refusals[asked.identity.wire_id] = str(refusal)
        return asked

    def follow_up(self, intent: Intent, kind: RequestKind, **terms: Any) -> Intent:
        """A cancel or replace of an order, complete and prepared."""
        attempt = intent.command.attempt + (1 if kind is RequestKind.REPLACE else 100)
        command = msgspec.structs.replace(
            intent.command,
            kind=kind,
            attempt=attempt,
            wire_id=intent.identity.wire_id,
            broker_order_id=self.broker_order_id(intent),
            filled_quantity=self.filled(intent),
            **terms,
        )
        identity: WireIdentity = self.connector.prepare(command)
        return Intent(command, identity, lease_token=1)

    def broker_order_id(self, intent: Intent) -> BrokerOrderId | None:
        """The broker's id of an order, once a report has told it."""
        for report in self.host.reports:
            if report.wire_id == intent.identity.wire_id and report.broker_order_id is not None:
                return report.broker_order_id
        return None

    def of(self, intent: Intent) -> list[AnyReport]:
        """What was heard of an order, in order."""
        wire_id, broker_order_id = intent.identity.wire_id, self.broker_order_id(intent)
        return [
            report
            for report in self.host.reports
            if report.wire_id == wire_id or (broker_order_id is not None and report.broker_order_id == broker_order_id)
        ]

    def of_kind(self, intent: Intent, kind: type[R]) -> list[R]:
        """What was heard of an order, of one kind."""
        return [report for report in self.of(intent) if isinstance(report, kind)]

    def filled(self, intent: Intent) -> Decimal:
        """What was executed of an order, each execution counted once."""
        fills = {fill.exec_id: fill.quantity for fill in self.of_kind(intent, Filled)}
        return sum(fills.values(), ZERO)

    async def hear(self, intent: Intent, kind: type[R], count: int = 1) -> list[R]:
        """The reports of one kind about an order, once there are so many."""
        await self.host.wait_until(
            lambda: len(self.of_kind(intent, kind)) >= count, f"{kind.__name__} number {count} of {intent.command}"
        )
        return self.of_kind(intent, kind)

    async def hear_filled(self, intent: Intent, quantity: int | str) -> list[Filled]:
        """The executions of an order, once they sum to the quantity."""
        await self.host.wait_until(
            lambda: self.filled(intent) >= Decimal(quantity), f"executions of {quantity} in total of {intent.command}"
        )
        return self.of_kind(intent, Filled)

    async def hear_refusal(self, intent: Intent) -> str:
        """Why an order was refused, by a Rejected or by Refused."""
        await self.host.wait_until(
            lambda: intent.identity.wire_id in self.refusals or self.of_kind(intent, Rejected),
            f"refusal of {intent.command}",
        )
        return self.refusals.get(intent.identity.wire_id) or self.of_kind(intent, Rejected)[0].reason

    async def part(self, part: SnapshotPart) -> PartResult:
        """One part of the broker's state; it must be COMPLETE."""
        result = (await self.connector.snapshot(None))[part]
        assert result.complete, f"{part} is FAILED: {result.error}"
        return result

    async def shown(self, intent: Intent) -> OrderSnapshot | None:
        """The order as the broker's own query shows it."""
        for item in (await self.part(SnapshotPart.ORDERS)).items:
            if isinstance(item, OrderSnapshot) and item.wire_id == intent.identity.wire_id:
                return item
        return None

    async def quiet(self) -> None:
        """Return when what was on its way has arrived: a query was answered, and the loop had time to deliver."""
        await self.connector.snapshot(None)
        for _ in range(10):
            await asyncio.sleep(0.01)


@contextlib.asynccontextmanager
async def broker_session(harness: BrokerHarness, *, report_delay: float = 0.0) -> AsyncIterator[BrokerSession]:
    """A fresh broker and a connected connector; both are gone afterwards, also when the test failed."""
    await harness.start()
    try:
        async with connected(harness, report_delay=report_delay) as session:
            yield session
    finally:
        await harness.stop()


@contextlib.asynccontextmanager
async def connected(harness: BrokerHarness, *, report_delay: float = 0.0) -> AsyncIterator[BrokerSession]:
    """A connected connector to a broker that runs."""
    host = RecordingHost((harness.account,), (harness.instrument,), report_delay=report_delay)
    connector = harness.connector(host)
    await connector.connect()
    try:
        yield BrokerSession(harness, host, connector)
    finally:
        await connector.close()
