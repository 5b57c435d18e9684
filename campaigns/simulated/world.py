"""One simulated hour: a tenant, two session processes of which one serves, an API, a consumer, a broker, one seed.

Everything of ours is the real code: intake, amendment, control, sessions with their leases, submission, booking,
reconciliation, the log's reader. Simulated are time, processes, network and database.
"""

import asyncio
import itertools
import random
import shutil
import tempfile
import uuid
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

from campaigns.history import History
from campaigns.simulated.clock import BEGINNING, VirtualClock
from campaigns.simulated.database import Database
from campaigns.simulated.loop import VirtualLoop
from campaigns.simulated.nemesis import Nemesis
from campaigns.simulated.network import Network, Weather, connector_of
from campaigns.simulated.people import Api, Trader
from campaigns.simulated.processes import LEDGER, PINGS_MS, TENANT, TIMING, Consumer, SessionProcess, Sweeper
from campaigns.simulated.watch import Watch
from oms_app.flow.desk import Desk
from oms_app.flow.principal import Principal
from oms_app.sessions import process as session_process
from oms_app.sessions.ports import Connection
from oms_app.store.unit_of_work import Route
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.ids import ConnectionId
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.testkit.builders import ACCOUNT_ID, BROKER_ACCOUNT_ID, a_broker_account, a_quote, a_uuid, an_instrument
from oms_sim_broker.config import AccountConfig, ManualFeedConfig, SimBrokerConfig
from oms_sim_broker.ledger import MemoryLedger
from oms_sim_broker.venue import SimVenue

CONNECTION = ConnectionId(a_uuid("connection"))
CASH = Decimal(1_000_000)
HOUR_S = 3600.0
BLOWS = (10, 20)
BURSTS = (9, 13)
ACTS_IN_A_BURST = (7, 10)
LEAST_ORDERS = 50
MARKET_EVERY_S = 20.0
SETTLE_S = 1_800.0
UNSETTLED = frozenset(
    {
        OrderState.NEW, OrderState.ROUTED, OrderState.IN_DOUBT, OrderState.PENDING_CANCEL, OrderState.PENDING_REPLACE,
        OrderState.WORKING, OrderState.PARTIALLY_FILLED, OrderState.HELD,
    }
)  # fmt: skip


class World:
    """Everything of one seed. `play` runs the hour and lets everything settle."""

    def __init__(self, seed: int, clock: VirtualClock) -> None:
        self.random = random.Random(f"world {seed}")
        self.clock = clock
        self.home = Path(tempfile.mkdtemp(prefix="oms-simulated-"))
        self._ids = itertools.count(1)
        self.database = Database(clock, self._draw("database"))
        self.loop = VirtualLoop(clock, self.database.delay_s)
        self.instruments = (an_instrument("ACME"), an_instrument("BETA"))
        self.connection = Connection(
            tenant_id=TENANT, connection_id=CONNECTION, broker="sim_broker", params={},
            accounts=(a_broker_account(),), ledgers=(LEDGER,),
        )  # fmt: skip
        venue = SimVenue(
            SimBrokerConfig(
                instruments=self.instruments,
                accounts=(AccountConfig(BROKER_ACCOUNT_ID, "PAPER-1", "USD", CASH),),
                feed=ManualFeedConfig(),
            ),
            MemoryLedger(), lambda: BEGINNING + timedelta(seconds=round(clock.monotonic, 6)), new_ledger_id="SIM",
        )  # fmt: skip
        self.network = Network(venue, self._draw("network"))
        self._set_up()
        self.watch = Watch(self.database.store._ledgers[LEDGER].events, venue)
        self.network.on_place = self.watch.placed
        self.history = History()
        self.api = Api(self.new_desk)
        principal = Principal(principal_id="user:simulated", tenant_id=TENANT, scopes=frozenset())
        self.api.control.open_account(TENANT, LEDGER, ACCOUNT_ID, base_currency="USD", cash={"USD": CASH})
        self.trader = Trader(
            self.api, principal, ACCOUNT_ID, ("ACME", "BETA"), self._draw("trader"), self.history, self._die, clock.wall
        )
        self.nemesis = Nemesis(self, self._draw("nemesis"))
        self.sessions: list[SessionProcess] = []
        self.consumer: Consumer
        self.sweeper: Sweeper
        self._prices = {instrument.instrument_id: 10_000 for instrument in self.instruments}

    def new_desk(self) -> Desk:
        """The desk of one more process."""
        return Desk(
            self.database.store,
            make_rules=lambda config: [],
            capabilities=lambda broker: connector_of(self.network, PINGS_MS).capabilities,
            new_id=lambda: str(uuid.UUID(int=next(self._ids))),
            quote_max_age=timedelta(minutes=2),
            send_window=timedelta(seconds=30),
        )

    def play(self) -> None:
        """The hour, its end, and rest."""
        looked, session_process.LOOK_EVERY_S = session_process.LOOK_EVERY_S, 10.0
        try:
            self.loop.run_until_complete(self._play())
        finally:
            session_process.LOOK_EVERY_S = looked
            shutil.rmtree(self.home, ignore_errors=True)

    async def _play(self) -> None:
        beside = [asyncio.create_task(self._move_the_market()), asyncio.create_task(self.watch.look())]
        self.sessions += [SessionProcess(self, 1), SessionProcess(self, 2)]
        self.consumer, self.sweeper = Consumer(self), Sweeper(self)
        await asyncio.sleep(20)
        bursts = sorted(self.random.uniform(20, HOUR_S) for _ in range(self.random.randint(*BURSTS)))
        striking = asyncio.create_task(self.nemesis.strike(self.random.randint(*BLOWS), bursts))
        for start in bursts:
            await asyncio.sleep(max(0.0, start - self.loop.time()))
            await self.trader.trade(self.random.randint(*ACTS_IN_A_BURST), self.random.choice((0.1, 0.5, 3.0)))
        await striking
        while len(self.history.all()) < LEAST_ORDERS:
            await self.trader.place(1)
        await asyncio.sleep(max(0.0, HOUR_S - self.loop.time()))
        await self._heal()
        for task in beside:
            task.cancel()
        self.watch.check()

    async def _heal(self) -> None:
        """Everything works again; what rests is cancelled, and all comes to rest."""
        self.network.weather = Weather()
        self.network.venue.faults.set(())
        self.database.losing = 0
        await asyncio.sleep(260)  # the last blow is over: every process lives, the store is back
        deadline = self.loop.time() + SETTLE_S
        while self.loop.time() < deadline:
            self.trader.set_state(TradingState.ACTIVE)
            if not self.active():
                break
            self.trader.cancel_all()
            await asyncio.sleep(30)
        await asyncio.sleep(TIMING.compare_every_s * 2)
        await self.trader.place(1)
        self.last_client_order_id = f"c{self.trader._count}-0"
        await asyncio.sleep(60)
        self.trader.cancel_all()
        await asyncio.sleep(60 + TIMING.compare_every_s)

    def active(self) -> list[Any]:
        """The orders that are not at rest, as stored."""
        orders = self.database.store._ledgers[LEDGER].orders
        return [order for order in orders.values() if order.state in UNSETTLED]

    def _die(self, moment: str) -> None:
        self.database.kill_at = moment

    async def _move_the_market(self) -> None:
        draw = self._draw("market")
        while True:
            for instrument in self.instruments:
                cents = self._prices[instrument.instrument_id]
                cents = self._prices[instrument.instrument_id] = min(10_200, max(9_800, cents + draw.randint(-30, 30)))
                bid, ask = Decimal(cents - 1) / 100, Decimal(cents + 1) / 100
                at = BEGINNING + timedelta(seconds=round(self.clock.monotonic, 6))
                self.network.quote(a_quote(instrument, str(bid), str(ask), size=draw.choice((15, 1_000)), at=at))
            await asyncio.sleep(MARKET_EVERY_S)

    def _set_up(self) -> None:
        store = self.database.store
        store.add_ledger(TENANT, LEDGER)
        for instrument in self.instruments:
            store.put_instrument(instrument)
        store.put_route(
            TENANT,
            Route(
                account_id=ACCOUNT_ID,
                broker_account_id=BROKER_ACCOUNT_ID,
                connection_id=CONNECTION,
                broker="sim_broker",
            ),
        )

    def _draw(self, name: str) -> random.Random:
        return random.Random(f"{name} {self.random.random()}")
