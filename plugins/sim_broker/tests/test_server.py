"""The server keeps what it told, tells only what it keeps, and ends when it should."""

import asyncio
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oms_kernel.contracts.broker import (
    Acknowledged,
    CashSnapshot,
    Expired,
    Filled,
    Intent,
    NotConnected,
    OrderSnapshot,
    SnapshotPart,
)
from oms_kernel.contracts.plugin import Secret
from oms_kernel.domain.ids import BrokerAccountId
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.simulation.csv_feed import LAP
from oms_kernel.simulation.latency import Latency
from oms_kernel.simulation.synthetic import write_quotes_csv
from oms_kernel.testkit.broker_harness import BrokerSession
from oms_kernel.testkit.builders import NOON, a_broker_account, a_quote, an_instrument
from oms_kernel.testkit.faults import FaultKind, FaultPoint, fault
from oms_kernel.testkit.recording_host import RecordingHost
from oms_sim_broker.config import AccountConfig, CsvFeedConfig, SimBrokerConfig, SyntheticFeedConfig
from oms_sim_broker.connector import SimBrokerConnector, SimBrokerParams
from oms_sim_broker.ledger import FILE_NAME, FileLedger
from oms_sim_broker.link import ENDPOINT_FILE, Endpoint
from oms_sim_broker.service import SimBrokerService
from oms_sim_broker.testing import (
    ACCOUNT,
    ACME,
    PATIENCE_SECONDS,
    Controller,
    ServerProcess,
    SocketHarness,
    a_config,
    now,
)

BID, ASK, PLENTY = Decimal("99.99"), Decimal("100.01"), Decimal(1_000_000)
FAR_BELOW = "90.00"
Make = Callable[..., ServerProcess]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    """Start a server with a configuration; it is killed afterwards if it still runs."""
    made: list[ServerProcess] = []

    def start(config: SimBrokerConfig | None = None, *arguments: str) -> ServerProcess:
        server = ServerProcess(tmp_path, config or a_config(), *arguments)
        made.append(server)
        return server.start()

    yield start
    for server in made:
        if server.process is not None and server.process.poll() is None:
            server.process.kill()
            server.process.wait()


@asynccontextmanager
async def session(server: ServerProcess, **params: Any) -> AsyncIterator[tuple[BrokerSession, Controller]]:
    """A connector to a server, and a hand at its market."""
    host = RecordingHost((ACCOUNT,), (ACME,))
    connector = SimBrokerConnector(server.params(**params), host)
    controller = Controller(server.params(), RecordingHost((), ()))
    await connector.connect()
    await controller.connect()
    try:
        yield BrokerSession(SocketHarness(), host, connector), controller
    finally:
        await connector.close()
        await controller.close()


async def market(controller: Controller, bid: Any = BID, ask: Any = ASK, size: Any = PLENTY) -> None:
    """A quote by hand."""
    await controller.push_quote(a_quote(ACME, bid, ask, size=size, at=now()))


# ---------------------------------------------------------------------- the ledger


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_restart_goes_on_with_orders_executions_positions_and_cash(make: Make, number: signal.Signals) -> None:
    server = make()

    async def before() -> tuple[Intent, Intent, Intent]:
        async with session(server) as (one, controller):
            await market(controller)
            done = await one.place(Side.BUY, 100)
            await one.hear_filled(done, 100)
            resting = await one.place(Side.BUY, 50, limit_price=FAR_BELOW)
            trailing = await one.place(Side.SELL, 10, order_type=OrderType.TRAILING_STOP, trail_amount="1.00")
            await one.hear(resting, Acknowledged)
            await one.hear(trailing, Acknowledged)
            await one.replace(resting, 70, limit_price="91.00")
            await one.host.wait_until(lambda: len(one.of(resting)) == 2, "Replaced")
            await market(controller, "105.00", "105.02")
            return done, resting, trailing

    done, resting, trailing = asyncio.run(before())
    server.stop(number)
    server.start()

    async def after() -> None:
        async with session(server) as (one, controller):
            assert not one.host.reports, "what was told before is not told again"
            shown = await one.shown(resting)
            assert shown is not None and shown.status == "WORKING"
            assert (shown.quantity, shown.limit_price) == (Decimal(70), Decimal("91.00"))
            (told,) = [fill for fill in (await one.part(SnapshotPart.EXECUTIONS)).items if isinstance(fill, Filled)]
            assert told.wire_id == done.identity.wire_id
            (cash,) = (await one.part(SnapshotPart.CASH)).items
            assert isinstance(cash, CashSnapshot) and cash.amount == Decimal(1_000_000) - 100 * ASK
            await market(controller, "104.50", "104.52")
            assert not one.of(trailing)
            await market(controller, "104.00", "104.02")
            (sold,) = await one.hear_filled(trailing, 10)
            assert sold.price == Decimal("104.00"), "the stop stood at 104.00 before the restart"
            await market(controller, "90.98", "91.00")
            (bought,) = await one.hear_filled(resting, 70)
            assert len({told.exec_id, sold.exec_id, bought.exec_id}) == 3
            fresh = await one.place(Side.BUY, 1, limit_price=FAR_BELOW)
            await one.hear(fresh, Acknowledged)
            ids = {order["broker_order_id"] for order in server.ledger()["orders"]}
            assert len(ids) == 4

    asyncio.run(after())


def test_everything_that_was_told_survives_a_kill_at_any_moment(make: Make) -> None:
    server = make()

    async def burst(round_number: int) -> tuple[set[str], set[str]]:
        async with session(server) as (one, controller):
            await market(controller)
            kill_after = 40 * round_number
            for _ in range(kill_after + 20):
                await one.place(Side.BUY, 1)
            await one.host.wait_until(lambda: len(one.host.reports) >= kill_after, "reports")
            assert server.process is not None
            server.process.kill()
            await one.host.wait_until(lambda: one.host.losses, "loss")
            return (
                {report.wire_id or "" for report in one.host.reports},
                {report.exec_id for report in one.host.reports if isinstance(report, Filled)},
            )

    wire_ids: set[str] = set()
    exec_ids: set[str] = set()
    for round_number in range(1, 4):
        told, filled = asyncio.run(burst(round_number))
        assert server.process is not None
        server.process.wait()
        wire_ids |= told
        assert not exec_ids & filled, "an execution id came twice"
        exec_ids |= filled
        ledger = server.ledger()
        assert wire_ids <= {order["wire_id"] for order in ledger["orders"]}
        assert exec_ids <= {fill["exec_id"] for fill in ledger["executions"]}
        assert not ledger["doubled"]
        server.start()


def test_a_torn_last_line_is_cut_and_a_broken_line_stops_the_start(make: Make, tmp_path: Path) -> None:
    server = make()
    server.stop()
    ledger = tmp_path / FILE_NAME
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + b'{"record":"order_rec')
    server.start()
    server.stop()
    assert ledger.read_bytes().startswith(whole)
    assert b"order_rec" not in ledger.read_bytes()
    ledger.write_bytes(b"nonsense\n" + whole)
    with pytest.raises(AssertionError, match="line 1"):
        server.start()


def test_two_servers_cannot_share_a_ledger(make: Make, tmp_path: Path) -> None:
    server = make()
    command = [sys.executable, "-m", "oms_sim_broker.server", "--home", str(tmp_path)]
    second = subprocess.run([*command, "--config", str(server.config_path)], capture_output=True, text=True)
    assert second.returncode == 3
    assert "in use by another simulated broker" in second.stderr


def test_the_same_wire_id_twice_is_two_orders_unless_told_otherwise(make: Make) -> None:
    for deduplicate, count in ((False, 2), (True, 1)):
        server = make(a_config(deduplicate=deduplicate))

        async def story(server: ServerProcess = server, count: int = count) -> str:
            async with session(server) as (one, controller):
                await market(controller)
                intent = await one.place(Side.BUY, 10)
                await one.connector.submit(intent)
                await one.quiet()
                assert one.filled(intent) == 10 * count
                return intent.identity.wire_id

        wire_id = asyncio.run(story())
        ledger = server.ledger()
        assert [order["wire_id"] for order in ledger["orders"]].count(wire_id) == count
        assert ledger["doubled"] == ([{"wire_id": wire_id, "count": "2"}] if count == 2 else [])
        server.stop()
        (server.home / FILE_NAME).unlink()


# ---------------------------------------------------------------------- who may come in


def test_the_endpoint_file_is_private_and_goes_with_the_server(make: Make, tmp_path: Path) -> None:
    server = make()
    path = tmp_path / ENDPOINT_FILE
    endpoint = msgspec.json.decode(path.read_bytes(), type=Endpoint)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert server.process is not None
    assert (endpoint.host, endpoint.pid) == ("127.0.0.1", server.process.pid)
    assert server.stop() == 0
    assert not path.exists()


def test_a_wrong_token_an_unknown_account_and_nonsense_are_turned_away(make: Make, tmp_path: Path) -> None:
    make()
    endpoint = msgspec.json.decode((tmp_path / ENDPOINT_FILE).read_bytes(), type=Endpoint)

    async def story() -> None:
        wrong = SimBrokerParams(port=endpoint.port, token=Secret("guessed"))
        connector = SimBrokerConnector(wrong, RecordingHost((ACCOUNT,), (ACME,)))
        with pytest.raises(NotConnected, match="wrong token"):
            await connector.connect()
        stranger = a_broker_account(BrokerAccountId("stranger"), account_number="S-1")
        right = SimBrokerParams(port=endpoint.port, token=Secret(endpoint.token))
        connector = SimBrokerConnector(right, RecordingHost((stranger,), (ACME,)))
        with pytest.raises(NotConnected, match="unknown account S-1"):
            await connector.connect()
        welcome = msgspec.structs.replace(right, opening_cash=Decimal(500))
        connector = SimBrokerConnector(welcome, RecordingHost((stranger,), (an_instrument("NEW"),)))
        await connector.connect()
        (cash,) = (await connector.snapshot(None))[SnapshotPart.CASH].items
        assert isinstance(cash, CashSnapshot) and cash.amount == 500
        await connector.close()

    asyncio.run(story())
    for nonsense in (b"GET / HTTP/1.1\r\n\r\n", b"\0\0\0\2{}", b"\0\0\0\5hello", b"\xff\xff\xff\xff"):
        with socket.create_connection(("127.0.0.1", endpoint.port), timeout=PATIENCE_SECONDS) as stream:
            stream.sendall(nonsense)
            while stream.recv(4096):
                pass
    with socket.create_connection(("127.0.0.1", endpoint.port), timeout=PATIENCE_SECONDS):
        pass


def test_without_a_server_the_connector_says_what_to_do(tmp_path: Path) -> None:
    async def story() -> None:
        for params, words in (
            (SimBrokerParams(endpoint_file=str(tmp_path / "none.json")), "start oms-sim-broker"),
            (SimBrokerParams(), "needs endpoint_file, or port and token"),
        ):
            connector = SimBrokerConnector(params, RecordingHost((ACCOUNT,), (ACME,)))
            with pytest.raises(NotConnected, match=words):
                await connector.connect()
            await connector.close()

    asyncio.run(story())


def test_reports_go_to_every_client_of_the_account_and_to_no_other(make: Make) -> None:
    server = make()

    async def story() -> None:
        async with session(server) as (one, controller), session(server) as (two, _):
            await market(controller)
            intent = await one.place(Side.BUY, 10)
            await one.hear_filled(intent, 10)
            await two.hear_filled(intent, 10)
            assert not controller.host.reports  # type: ignore[attr-defined]

    asyncio.run(story())


# ---------------------------------------------------------------------- configuration and life


def test_a_bad_configuration_is_named_and_nothing_starts(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    for text, word in (
        ('{"feeed": 1}', "feeed"),
        ('{"feed": {"kind": "csv", "path": "x", "speed": "0"}}', "speed"),
        ('{"faults": [{"when": {"command": "cancel"}, "do": "over_fill"}]}', "over_fill strikes at fill"),
    ):
        config.write_text(text)
        command = [sys.executable, "-m", "oms_sim_broker.server", "--home", str(tmp_path), "--config", str(config)]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 2
        assert word in done.stderr
        assert "Traceback" not in done.stderr


def test_a_feed_that_cannot_be_read_ends_the_server_with_its_line(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "feed.csv"
    path.write_text("ts,symbol,bid,bid_size,ask,ask_size\n2013-10-07T13:30:00Z,ACME,one,1,2,1\n")
    server = ServerProcess(tmp_path, a_config(feed=CsvFeedConfig(str(path))))
    try:
        server.start()
        assert server.process is not None
        assert server.process.wait(PATIENCE_SECONDS) == 2
    except AssertionError:
        assert server.process is not None and server.process.wait(PATIENCE_SECONDS) == 2
    assert f"{path}, line 2, field bid" in (tmp_path / "log").read_text()


def test_sighup_adds_instruments_and_accounts_that_then_have_quotes(make: Make) -> None:
    feed = SyntheticFeedConfig(interval_ms=20)
    server = make(a_config(feed=feed))
    new = an_instrument("NEW")

    async def story() -> None:
        async with session(server) as (one, _):
            await one.host.wait_until(lambda: one.host.quotes, "quotes of the feed")
            server.config_path.write_bytes(msgspec.json.encode(a_config(feed=feed, instruments=(ACME, new))))
            assert server.process is not None
            server.process.send_signal(signal.SIGHUP)
            await one.host.wait_until(
                lambda: any(quote.instrument_id == new.instrument_id for quote in one.host.quotes), "quotes of NEW"
            )
            walk = [quote.bid for quote in one.host.quotes if quote.instrument_id == ACME.instrument_id and quote.bid]
            steps = [abs(later - earlier) for earlier, later in pairwise(walk)]
            assert max(steps) < Decimal("0.20"), "the walk of the others goes on where it was"
            latest = one.host.quotes[-1]
            assert abs(latest.received_at - now()) < timedelta(seconds=5)

    asyncio.run(story())


def test_the_server_ends_with_the_process_it_was_told_to_watch(make: Make) -> None:
    watched = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    server = make(None, "--exit-with-pid", str(watched.pid))
    assert server.process is not None
    assert server.process.poll() is None
    watched.kill()
    watched.communicate()
    assert server.process.wait(PATIENCE_SECONDS) == 0


def test_no_orphan_stays_when_the_supervisor_is_killed(tmp_path: Path) -> None:
    ServerProcess(tmp_path, a_config())
    script = (
        "import os, subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'oms_sim_broker.server', '--home', sys.argv[1], '--config',"
        " sys.argv[1] + '/config.json', '--exit-with-pid', str(os.getpid())], stderr=subprocess.DEVNULL)\n"
        "time.sleep(600)\n"
    )
    supervisor = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    path = tmp_path / ENDPOINT_FILE
    wait_for(path.exists)
    endpoint = msgspec.json.decode(path.read_bytes(), type=Endpoint)
    supervisor.kill()
    supervisor.wait()
    wait_for(lambda: not path.exists())
    wait_for(lambda: not is_running(endpoint.pid))


def wait_for(holds: Callable[[], bool]) -> None:
    """Poll with a deadline."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    """Whether a process runs and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_the_broker_stops_while_a_client_does_not_read(make: Make, tmp_path: Path) -> None:
    server = make(a_config(feed=SyntheticFeedConfig(interval_ms=1)))
    endpoint = msgspec.json.decode((tmp_path / ENDPOINT_FILE).read_bytes(), type=Endpoint)
    body = msgspec.json.encode({"type": "hello", "token": endpoint.token})
    with socket.create_connection(("127.0.0.1", endpoint.port)) as deaf:
        deaf.sendall(len(body).to_bytes(4, "big") + body)
        assert deaf.recv(1)
        assert server.stop() == 0


# ---------------------------------------------------------------------- feeds, latency, faults


def test_a_recorded_day_is_replayed_at_speed_and_goes_on_after_a_restart(make: Make, tmp_path: Path) -> None:
    path = write_quotes_csv(
        tmp_path / "day.csv.gz", [ACME], seed=5, start=NOON, interval=timedelta(seconds=1), rows=600, gaps=False
    )
    server = make(a_config(feed=CsvFeedConfig(str(path), speed=Decimal(200), loop=True, longest_wait_ms=200)))

    async def watch(least: int) -> list[Any]:
        async with session(server) as (one, _):
            intent = await one.place(Side.BUY, 10)
            (fill,) = await one.hear_filled(intent, 10)
            await one.host.wait_until(lambda: len(one.host.quotes) >= least, "quotes")
            quote = next(quote for quote in one.host.quotes if quote.data_at >= fill.broker_at)
            assert quote.received_at - quote.data_at != timedelta(0)
            return [quote.data_at for quote in one.host.quotes]

    first = asyncio.run(watch(100))
    server.stop()
    server.start()
    second = asyncio.run(watch(100))
    assert first == sorted(first)
    assert second[0] > first[-1], "the day goes on where it was, it does not begin anew"

    async def lap() -> None:
        async with session(server) as (one, _):
            await one.host.wait_until(lambda: one.host.quotes and one.host.quotes[-1].data_at >= NOON + LAP, "lap 2")

    asyncio.run(lap())


def test_latency_runs_by_the_clock_of_the_feed(make: Make) -> None:
    server = make(a_config(feed=SyntheticFeedConfig(interval_ms=1000), latency=Latency(order_ms=300, report_ms=100)))

    async def story() -> None:
        async with session(server) as (one, _):
            sent_at = time.monotonic()
            intent = await one.place(Side.BUY, 10, limit_price=FAR_BELOW)
            assert (await one.shown(intent)) is not None, "the broker has it before it reaches the book"
            await one.hear(intent, Acknowledged)
            assert 0.3 <= time.monotonic() - sent_at

    asyncio.run(story())


def test_faults_come_with_the_configuration_and_count(make: Make) -> None:
    script = (fault(FaultPoint.SUBMIT, FaultKind.REJECT, nth=2, text="too tired"),)
    server = make(a_config(faults=script))

    async def story() -> None:
        async with session(server) as (one, _):
            orders = [await one.place(Side.BUY, 10, limit_price=FAR_BELOW) for _ in range(3)]
            assert await one.hear_refusal(orders[1]) == "too tired"
            await one.hear(orders[0], Acknowledged)
            await one.hear(orders[2], Acknowledged)

    asyncio.run(story())


def test_a_delayed_order_arrives_later_and_a_refused_connection_says_why(make: Make) -> None:
    server = make()

    async def story() -> None:
        async with session(server) as (one, controller):
            await controller.set_faults((fault(FaultPoint.SUBMIT, FaultKind.DELAY, delay_ms=200),))
            intent = await one.place(Side.BUY, 10, limit_price=FAR_BELOW)
            assert await one.shown(intent) is None
            await one.hear(intent, Acknowledged)
            await controller.set_faults((fault(FaultPoint.CONNECT, FaultKind.DISCONNECT),))
            refused = SimBrokerConnector(server.params(), RecordingHost((ACCOUNT,), (ACME,)))
            with pytest.raises(NotConnected, match="refuses connections"):
                await refused.connect()
            await controller.set_faults((fault(FaultPoint.SNAPSHOT, FaultKind.DISCONNECT),))
            with pytest.raises(NotConnected):
                await one.connector.snapshot(None)
            await one.host.wait_until(lambda: one.host.losses, "loss")

    asyncio.run(story())


def test_a_snapshot_since_leaves_out_what_ended_before(make: Make) -> None:
    server = make()

    async def story() -> None:
        async with session(server) as (one, controller):
            await market(controller)
            early = await one.place(Side.BUY, 10)
            await one.hear_filled(early, 10)
            resting = await one.place(Side.BUY, 10, limit_price=FAR_BELOW)
            await one.hear(resting, Acknowledged)
            since = now()
            late = await one.place(Side.BUY, 10)
            await one.hear_filled(late, 10)
            parts = await one.connector.snapshot(since)
            orders = [item for item in parts[SnapshotPart.ORDERS].items if isinstance(item, OrderSnapshot)]
            assert {order.wire_id for order in orders} == {resting.identity.wire_id, late.identity.wire_id}
            (fill,) = parts[SnapshotPart.EXECUTIONS].items
            assert isinstance(fill, Filled) and fill.wire_id == late.identity.wire_id
            assert parts[SnapshotPart.EXECUTIONS].since == since

    asyncio.run(story())


class CountingLedger(FileLedger):
    """Counts how often it had to sync."""

    syncs = 0

    def write(self, lines: list[bytes]) -> None:
        """Write, and count."""
        self.syncs += 1
        super().write(lines)


def test_orders_that_come_together_share_their_syncs(tmp_path: Path) -> None:
    async def story() -> None:
        ledger = CountingLedger(tmp_path / FILE_NAME)
        service = SimBrokerService(a_config(), ledger, "token", "TEST")
        server = await asyncio.start_server(service.accept, "127.0.0.1", 0)
        service.start()
        params = SimBrokerParams(port=server.sockets[0].getsockname()[1], token=Secret("token"))
        host = RecordingHost((ACCOUNT,), (ACME,))
        connector = SimBrokerConnector(params, host)
        await connector.connect()
        one = BrokerSession(SocketHarness(), host, connector)
        before = ledger.syncs
        for _ in range(1_000):
            await one.place(Side.BUY, 1, limit_price=FAR_BELOW)
        await host.wait_until(lambda: len(host.reports) == 1_000, "acknowledgements")
        assert ledger.syncs - before < 500, "each order had a sync of its own"
        await connector.close()
        server.close()
        await service.stop()
        ledger.close()

    asyncio.run(story())


def test_the_ledger_is_printed_for_people_too(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    from oms_sim_broker.server import main

    server = make()

    async def story() -> None:
        async with session(server) as (one, controller):
            await market(controller)
            await one.hear_filled(await one.place(Side.BUY, 10), 10)

    asyncio.run(story())
    assert main(["ledger", "--home", str(server.home)]) == 0
    assert "1 orders, 1 executions" in capsys.readouterr().out
    assert main(["ledger", "--home", str(server.home / "none")]) == 2
    assert os.path.exists(server.home / FILE_NAME)


def test_a_broker_that_does_not_answer_any_more_is_lost_after_three_pings(make: Make) -> None:
    server = make()

    async def story() -> None:
        async with session(server, ping_interval_ms=50, timeout_ms=300) as (one, _):
            await one.host.wait_until(lambda: True, "start")
            assert server.process is not None
            server.process.send_signal(signal.SIGSTOP)
            try:
                await one.host.wait_until(lambda: one.host.losses, "loss")
                assert one.host.losses == ["three pings were not answered"]
                with pytest.raises(NotConnected):
                    await one.connector.snapshot(None)
            finally:
                server.process.send_signal(signal.SIGCONT)

    asyncio.run(story())


def test_a_living_connection_tells_its_latency(make: Make) -> None:
    server = make()

    async def story() -> None:
        async with session(server, ping_interval_ms=50) as (one, _):
            deadline = time.monotonic() + PATIENCE_SECONDS
            while (health := await one.connector.health()).latency_ms is None:
                assert time.monotonic() < deadline
                await asyncio.sleep(0.02)
            assert health.connected and health.last_heard_at is not None

    asyncio.run(story())


def test_a_message_adds_instruments_and_accounts_that_last(make: Make) -> None:
    server = make()
    new = an_instrument("NEW")
    account = AccountConfig(BrokerAccountId("second"), "PAPER-2", "EUR", Decimal(77))

    async def add() -> None:
        async with session(server) as (_, controller):
            await controller.configure(instruments=(new,), accounts=(account,))

    asyncio.run(add())
    server.stop()
    server.start()

    async def use() -> None:
        stranger = a_broker_account(account.broker_account_id, account_number="PAPER-2")
        connector = SimBrokerConnector(server.params(), RecordingHost((stranger,), (new,)))
        await connector.connect()
        (cash,) = (await connector.snapshot(None))[SnapshotPart.CASH].items
        assert cash == CashSnapshot(broker_account_id=account.broker_account_id, currency="EUR", amount=Decimal(77))
        await connector.close()

    asyncio.run(use())


def test_quotes_by_hand_are_refused_where_a_feed_plays(make: Make) -> None:
    server = make(a_config(feed=SyntheticFeedConfig()))

    async def story() -> None:
        async with session(server) as (_, controller):
            with pytest.raises(AssertionError, match="only with the manual feed"):
                await market(controller)

    asyncio.run(story())


def test_the_clock_by_hand_ends_a_gtd_order(make: Make) -> None:
    server = make()

    async def story() -> None:
        async with session(server) as (one, controller):
            await market(controller)
            ends_at = now() + timedelta(hours=1)
            intent = await one.place(
                Side.BUY, 10, limit_price=FAR_BELOW, time_in_force=TimeInForce.GTD, expire_at=ends_at
            )
            await one.hear(intent, Acknowledged)
            await controller.advance(ends_at)
            (expired,) = await one.hear(intent, Expired)
            assert expired.broker_at == ends_at

    asyncio.run(story())
