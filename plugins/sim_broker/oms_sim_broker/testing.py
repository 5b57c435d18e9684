"""The simulated broker under the control of the broker suite: in the same process, and as a process of its own."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec

from oms_kernel.contracts.broker import BrokerConnector, BrokerHost
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote
from oms_kernel.testkit.builders import a_broker_account, a_quote, an_instrument
from oms_kernel.testkit.faults import Fault, FaultKind
from oms_kernel.testkit.recording_host import RecordingHost
from oms_sim_broker.config import AccountConfig, ManualFeedConfig, SimBrokerConfig
from oms_sim_broker.connector import SimBrokerConnector, SimBrokerParams
from oms_sim_broker.in_process import InProcessSimBroker
from oms_sim_broker.link import ENDPOINT_FILE
from oms_sim_broker.protocol import AdvanceTo, Answer, Configure, PushQuote, SetFaults

PATIENCE_SECONDS = 20.0
ACME = an_instrument("ACME")
ACCOUNT = a_broker_account()
CASH = Decimal(1_000_000)


def a_config(**fields: object) -> SimBrokerConfig:
    """One account with a million, one instrument, quotes by hand."""
    values: dict[str, object] = {
        "instruments": (ACME,),
        "accounts": (AccountConfig(ACCOUNT.broker_account_id, ACCOUNT.account_number, "USD", CASH),),
        "feed": ManualFeedConfig(),
        **fields,
    }
    return SimBrokerConfig(**values)  # type: ignore[arg-type]


def now() -> datetime:
    """The wall clock."""
    return datetime.now(UTC)


class ServerProcess:
    """An `oms-sim-broker` of its own in a home of its own."""

    def __init__(self, home: Path, config: SimBrokerConfig, *arguments: str) -> None:
        self.home = home
        self.config_path = home / "config.json"
        self.config_path.write_bytes(msgspec.json.encode(config))
        self._arguments = arguments
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> "ServerProcess":
        """Start it and wait until it listens."""
        (self.home / ENDPOINT_FILE).unlink(missing_ok=True)
        command = [sys.executable, "-m", "oms_sim_broker.server", "--home", str(self.home)]
        command += ["--config", str(self.config_path), *self._arguments]
        with (self.home / "log").open("ab") as log:
            self.process = subprocess.Popen(command, stderr=log)  # noqa: S603 - our own command
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not (self.home / ENDPOINT_FILE).exists():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError(f"the server did not start:\n{(self.home / 'log').read_text()}")
            time.sleep(0.01)
        return self

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """End it with a signal; its exit code."""
        assert self.process is not None
        self.process.send_signal(number)
        return self.process.wait(PATIENCE_SECONDS)

    def params(self, **fields: object) -> SimBrokerParams:
        """The parameters of a connector to it."""
        return SimBrokerParams(endpoint_file=str(self.home / ENDPOINT_FILE), **fields)  # type: ignore[arg-type]

    def ledger(self) -> dict[str, list[dict[str, str]]]:
        """What `oms-sim-broker ledger --json` prints."""
        command = [sys.executable, "-m", "oms_sim_broker.server", "ledger", "--home", str(self.home), "--json"]
        printed = subprocess.run(command, check=True, capture_output=True).stdout  # noqa: S603
        return dict(json.loads(printed))


class Controller(SimBrokerConnector):
    """A connection that scripts the market and the faults of a server."""

    async def push_quote(self, quote: Quote) -> None:
        """Give a quote by hand."""
        self._done(await self._ask(lambda number: PushQuote(number, quote)))

    async def set_faults(self, faults: tuple[Fault, ...]) -> None:
        """Begin a new fault script."""
        self._done(await self._ask(lambda number: SetFaults(number, faults)))

    async def advance(self, at: datetime) -> None:
        """Move the broker's own clock by hand."""
        self._done(await self._ask(lambda number: AdvanceTo(number, at)))

    async def configure(
        self, instruments: tuple[Instrument, ...] = (), accounts: tuple[AccountConfig, ...] = ()
    ) -> None:
        """Add instruments and accounts."""
        self._done(await self._ask(lambda number: Configure(number, instruments=instruments, accounts=accounts)))

    def _done(self, answer: Answer) -> None:
        assert not answer.error, answer.error


class InProcessHarness:
    """The broker in the process of the test."""

    account = ACCOUNT
    instrument = ACME

    def __init__(self, config: SimBrokerConfig | None = None) -> None:
        self._config = config or a_config()
        self.broker: InProcessSimBroker | None = None
        self.running = False

    async def start(self) -> None:
        """A new broker."""
        self.broker = InProcessSimBroker(self._config, now)

    async def stop(self) -> None:
        """It hangs up and refuses everybody from now on."""
        assert self.broker is not None
        self.broker.stop()

    def connector(self, host: BrokerHost) -> BrokerConnector:
        """A connector to the broker."""
        assert self.broker is not None
        return self.broker.connector(host)

    async def set_quote(self, bid: Decimal | None, ask: Decimal | None, size: Decimal) -> None:
        """The market from now on."""
        assert self.broker is not None
        await asyncio.sleep(0)
        self.broker.set_quote(a_quote(ACME, bid, ask, size=size, at=now()))

    async def script(self, *faults: Fault) -> None:
        """The faults from now on."""
        assert self.broker is not None
        self.broker.set_faults(faults)

    def can(self, kind: FaultKind) -> bool:
        """All of them."""
        return True


class SocketHarness:
    """The broker as a process of its own, started anew for each test."""

    account = ACCOUNT
    instrument = ACME

    def __init__(self, config: SimBrokerConfig | None = None) -> None:
        self._config = config or a_config()

    async def start(self) -> None:
        """A new process with an empty ledger."""
        self._folder = tempfile.TemporaryDirectory(prefix="sim-broker-")
        self.server = ServerProcess(Path(self._folder.name), self._config, "--exit-with-pid", str(os.getpid()))
        await asyncio.to_thread(self.server.start)
        self._controller = Controller(self.server.params(), RecordingHost((), ()))
        await self._controller.connect()

    async def stop(self) -> None:
        """End the process."""
        await self._controller.close()
        assert await asyncio.to_thread(self.server.stop) == 0
        self._folder.cleanup()

    def connector(self, host: BrokerHost) -> BrokerConnector:
        """A connector to the server."""
        return SimBrokerConnector(self.server.params(), host)

    async def set_quote(self, bid: Decimal | None, ask: Decimal | None, size: Decimal) -> None:
        """The market from now on."""
        await self._controller.push_quote(a_quote(ACME, bid, ask, size=size, at=now()))

    async def script(self, *faults: Fault) -> None:
        """The faults from now on."""
        await self._controller.set_faults(faults)

    def can(self, kind: FaultKind) -> bool:
        """All of them."""
        return True
