"""The connector of the simulated broker: sends what it is told, once, and reports all that it hears, in order."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from oms_kernel.contracts.broker import (
    AnyReport,
    BrokerCapabilities,
    BrokerHost,
    Command,
    CostEstimate,
    EvidenceQuery,
    Health,
    Intent,
    NotConnected,
    PartResult,
    ReplaceMode,
    SnapshotPart,
    WireIdentity,
)
from oms_kernel.contracts.plugin import Secret
from oms_kernel.domain.ids import BrokerOrderId, wire_id
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.domain.order import OrderRequest
from oms_kernel.simulation.fees import MAKER, TAKER, FeeSettings
from oms_kernel.simulation.orders import ORDER_TYPES, TIMES_IN_FORCE, NewOrder, NewTerms
from oms_sim_broker.link import Link, open_socket
from oms_sim_broker.protocol import (
    Answer,
    Cancel,
    ClientMessage,
    Goodbye,
    Hello,
    Ping,
    Place,
    Quoted,
    Replace,
    ServerMessage,
    SnapshotQuery,
    Told,
    Welcome,
)

WIRE_ID_LENGTH = 28
_PINGS = 3
Query = Callable[[int], ClientMessage]


class SimBrokerParams(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Where the simulated broker listens: the file that it writes when it starts, or host, port and token."""

    endpoint_file: Annotated[
        str | None, Meta(description="The file sim_broker.endpoint.json in the broker's home; read at each connect")
    ] = None
    host: Annotated[str, Meta(description="Address, when there is no endpoint file")] = "127.0.0.1"
    port: Annotated[int, Meta(description="Port, when there is no endpoint file", ge=1, le=65535)] | None = None
    token: Annotated[Secret | None, Meta(description="Token, when there is no endpoint file")] = None
    opening_cash: Annotated[
        Decimal | None,
        Meta(
            description="Cash with which an account is opened that the broker does not know; absent: refuse it",
            extra={"unit": "base currency of the account"},
        ),
    ] = None
    timeout_ms: Annotated[
        int, Meta(description="How long connecting and a query may take", extra={"unit": "ms"}, ge=100, le=600_000)
    ] = 10_000
    ping_interval_ms: Annotated[
        int,
        Meta(
            description="How often the connection is tried; three unanswered pings count as lost",
            extra={"unit": "ms"},
            ge=50,
            le=600_000,
        ),
    ] = 5_000
    fees: Annotated[
        FeeSettings | None,
        Meta(
            description="What the broker charges, for estimates; it charges by its own configuration. Absent: unknown"
        ),
    ] = None


class SimBrokerConnector:
    """One connection to the simulated broker."""

    name: ClassVar[str] = "sim_broker"
    title: ClassVar[str] = "Simulated broker: paper trading against a live or replayed feed"
    Params: ClassVar[type[msgspec.Struct]] = SimBrokerParams
    capabilities: ClassVar[BrokerCapabilities] = BrokerCapabilities(
        order_types=ORDER_TYPES,
        time_in_force=TIMES_IN_FORCE,
        asset_classes=frozenset(AssetClass),
        cancel_before_ack=True,
        replace=ReplaceMode.NATIVE,
        wire_id_length=WIRE_ID_LENGTH,
        evidence=EvidenceQuery.COMPLETE,
        evidence_horizon=None,
        ack_timeout=timedelta(seconds=10),
        market_data=True,
        simulated=True,
    )

    def __init__(self, params: SimBrokerParams, host: BrokerHost) -> None:
        self.params = params
        self.host = host
        self._link: Link | None = None
        self._welcome: asyncio.Future[Welcome] | None = None
        self._answers: dict[int, asyncio.Future[Answer]] = {}
        self._query_number = 0
        self._reports: asyncio.Queue[AnyReport] = asyncio.Queue()
        self._tasks: list[asyncio.Task[None]] = []
        self._connected = False
        self._closing = False
        self._detail = "not connected yet"
        self._last_heard_at: datetime | None = None
        self._latency_ms: int | None = None

    @staticmethod
    def estimate(
        params: SimBrokerParams, instrument: Instrument, request: OrderRequest, price: Decimal
    ) -> CostEstimate | None:
        """The fee of one execution of the whole order, the dearer one of resting and taking."""
        if params.fees is None:
            return None
        model = params.fees.build()
        dearer = max(
            model.fee(instrument, request.side, request.quantity, price, liquidity) for liquidity in (MAKER, TAKER)
        )
        return CostEstimate(
            fee=dearer, currency=instrument.currency, source=f"fees ({params.fees.kind}) of the connection's parameters"
        )

    # ------------------------------------------------------------------ connection

    async def connect(self) -> None:
        """Connect, sign in and wait for the welcome. Raises NotConnected with what to do."""
        self._closing = False
        self._welcome = asyncio.get_running_loop().create_future()
        self._reports = asyncio.Queue()
        timeout = self.params.timeout_ms / 1000
        try:
            async with asyncio.timeout(timeout):
                self._link = await self.open_link()
                await self._link.send(self._hello())
                await self._welcome
        except TimeoutError:
            await self.close()
            raise NotConnected(f"the simulated broker did not answer within {timeout} s") from None
        except BaseException:
            await self.close()
            raise
        self._connected, self._detail = True, "connected"
        delivering = asyncio.create_task(self._deliver())
        delivering.add_done_callback(self._delivery_ended)
        self._tasks = [delivering, asyncio.create_task(self._keep_alive())]

    async def open_link(self) -> Link:
        """The way to the broker; what it hears goes to `hear` and its end to `hear_end`."""
        return await open_socket(self.params, self.hear, self.hear_end)

    async def close(self) -> None:
        """End the connection; may be called twice and in any state."""
        self._closing = True
        self._connected = False
        self._detail = "closed"
        tasks, self._tasks = self._tasks, []
        current = asyncio.current_task()
        for task in tasks:
            if task is not current:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task is not current), return_exceptions=True)
        link, self._link = self._link, None
        if link is not None:
            await link.close()
        self._fail_waiting("the connection was closed")

    def hear(self, message: ServerMessage) -> None:
        """Take one message of the broker."""
        self._last_heard_at = self.host.clock()
        if isinstance(message, Told):
            self._reports.put_nowait(message.report)
        elif isinstance(message, Quoted):
            self.host.quote(msgspec.structs.replace(message.quote, received_at=self._last_heard_at))
        elif isinstance(message, Answer):
            waiting = self._answers.pop(message.query_id, None)
            if waiting is not None and not waiting.done():
                waiting.set_result(message)
        elif isinstance(message, Welcome):
            if self._welcome is not None and not self._welcome.done():
                self._welcome.set_result(message)
        elif isinstance(message, Goodbye):
            self.hear_end(message.reason)

    def hear_end(self, reason: str) -> None:
        """Take the end of the connection: what waits fails, and the host is told once."""
        was_connected, self._connected = self._connected, False
        if self._closing:
            return
        self._detail = reason
        self._fail_waiting(reason)
        if was_connected:
            self.host.lost(reason)

    # ------------------------------------------------------------------ commands

    def prepare(self, command: Command) -> WireIdentity:
        """The wire id of this order and attempt; nothing is sent."""
        return WireIdentity(wire_id=wire_id(command.order_id, command.attempt, WIRE_ID_LENGTH))

    async def submit(self, intent: Intent) -> None:
        """Send the order; returns when it is on the wire."""
        command = intent.command
        await self._send(
            Place(
                NewOrder(
                    broker_order_id=BrokerOrderId(""),
                    wire_id=intent.identity.wire_id,
                    broker_account_id=command.broker_account_id,
                    instrument_id=command.instrument.instrument_id,
                    side=command.side,
                    quantity=command.quantity,
                    order_type=command.order_type,
                    time_in_force=command.time_in_force,
                    limit_price=command.limit_price,
                    stop_price=command.stop_price,
                    trail_amount=command.trail_amount,
                    trail_percent=command.trail_percent,
                    expire_at=command.expire_at,
                )
            )
        )

    async def cancel(self, intent: Intent) -> None:
        """Ask to cancel the rest of the order."""
        command = intent.command
        await self._send(Cancel(command.broker_account_id, command.wire_id, command.broker_order_id))

    async def replace(self, intent: Intent) -> None:
        """Ask for the new terms."""
        command = intent.command
        terms = NewTerms(
            quantity=command.quantity,
            limit_price=command.limit_price,
            stop_price=command.stop_price,
            trail_amount=command.trail_amount,
            trail_percent=command.trail_percent,
        )
        await self._send(
            Replace(command.broker_account_id, intent.identity.wire_id, command.wire_id, terms, command.broker_order_id)
        )

    async def snapshot(self, since: datetime | None) -> dict[SnapshotPart, PartResult]:
        """The broker's own state of the accounts of this connection. Raises NotConnected when no answer comes."""
        accounts = tuple(account.broker_account_id for account in self.host.accounts)
        answer = await self._ask(lambda number: SnapshotQuery(number, accounts, since))
        if answer.error:
            raise NotConnected(f"the query failed: {answer.error}")
        return {part: found.result() for part, found in answer.parts.items()}

    async def health(self) -> Health:
        """The state of the connection as last heard."""
        return Health(
            connected=self._connected,
            detail=self._detail,
            last_heard_at=self._last_heard_at,
            latency_ms=self._latency_ms,
        )

    # ------------------------------------------------------------------ inside

    def _hello(self) -> Hello:
        return Hello(
            token=self.params.token.reveal() if self.params.token is not None else "",
            accounts=self.host.accounts,
            instruments=self.host.instruments,
            opening_cash=self.params.opening_cash,
        )

    async def _send(self, message: ClientMessage) -> None:
        await self.host.pace()
        link = self._link
        if link is None or not self._connected:
            raise NotConnected(f"nothing was sent: {self._detail}")
        try:
            await link.send(message)
        except OSError as error:
            raise NotConnected(f"the connection broke while sending: {error}") from None

    async def _ask(self, query: Query) -> Answer:
        link = self._link
        if link is None or not self._connected:
            raise NotConnected(f"nothing was asked: {self._detail}")
        self._query_number += 1
        number = self._query_number
        waiting: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._answers[number] = waiting
        try:
            async with asyncio.timeout(self.params.timeout_ms / 1000):
                await link.send(query(number))
                return await waiting
        except TimeoutError:
            raise NotConnected("the simulated broker did not answer the query in time") from None
        except OSError as error:
            raise NotConnected(f"the connection broke while asking: {error}") from None
        finally:
            self._answers.pop(number, None)

    async def _deliver(self) -> None:
        """Tell the host what was heard, in its order; what came while it booked is one transaction after that."""
        reports = self._reports
        while True:
            heard = [await reports.get()]
            while not reports.empty():
                heard.append(reports.get_nowait())
            await asyncio.gather(*(self.host.report(report) for report in heard))

    def _delivery_ended(self, task: asyncio.Task[None]) -> None:
        """A host that cannot take a report gets all of them from the next snapshot, after a new connection."""
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self.hear_end(f"a report could not be handed over: {error!r}")

    async def _keep_alive(self) -> None:
        interval = self.params.ping_interval_ms / 1000
        loop = asyncio.get_running_loop()
        missed = 0
        while self._connected:
            await asyncio.sleep(interval)
            asked_at = loop.time()
            try:
                async with asyncio.timeout(interval):
                    await self._ask(Ping)
            except TimeoutError:
                missed += 1
            except NotConnected:
                missed += 1
            else:
                missed = 0
                self._latency_ms = round((loop.time() - asked_at) * 1000)
            if missed >= _PINGS:
                self.hear_end("three pings were not answered")
                return

    def _fail_waiting(self, reason: str) -> None:
        waiting: list[asyncio.Future[Answer] | asyncio.Future[Welcome]] = [*self._answers.values()]
        if self._welcome is not None:
            waiting.append(self._welcome)
        self._answers = {}
        for future in waiting:
            if not future.done():
                future.set_exception(NotConnected(reason))
                future.exception()  # marks it as seen: nobody may be waiting any more
