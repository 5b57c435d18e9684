"""The bad wire: schedules that a seed repeats, a proxy that does what its fault says, and planted defects caught."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from campaigns import wire
from campaigns.wire_faults import ORDERS, Fault, FaultKind, Way, draw
from campaigns.wire_proxy import WireProxy
from oms_sim_broker.link import Endpoint
from oms_sim_broker.protocol import Frames, Goodbye, Ping, ServerMessage, frame, server_message
from tests.campaigns.proofs import first_that_catches

HELLO, WORLD, END = Goodbye("hello"), Goodbye("world"), Goodbye("end")


def test_a_seed_repeats_its_schedules_and_another_one_does_not() -> None:
    assert [draw(7, number) for number in range(30)] == [draw(7, number) for number in range(30)]
    assert draw(7, 1) != draw(8, 1)


def test_as_many_schedules_as_there_are_kinds_begin_with_every_kind() -> None:
    assert {draw(7, number).faults[0].kind for number in range(len(FaultKind))} == set(FaultKind)


def test_a_schedule_trades_while_the_wire_is_bad_and_heals_it() -> None:
    for number in range(200):
        schedule = draw(3, number)
        assert any(step.action in ORDERS for step in schedule.steps)
        assert all(fault.at_s <= 1.2 for fault in schedule.faults)
        assert 0 < schedule.heal_at_s <= 1.2


class Wire:
    """A broker that says three words to whoever comes, behind a proxy."""

    def __init__(self, proxy: WireProxy) -> None:
        self.proxy = proxy

    async def heard(self) -> list[ServerMessage]:
        """All whole words that one session hears until the connection ends, or nothing comes for a while."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.proxy.port)
        writer.write(frame(Ping(1)))
        frames, bodies = Frames(1000), []
        with contextlib.suppress(TimeoutError, OSError):
            async with asyncio.timeout(0.7):
                while data := await reader.read(1000):
                    bodies += frames.feed(data)
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return [server_message(body) for body in bodies]


@asynccontextmanager
async def a_wire() -> AsyncIterator[Wire]:
    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            await reader.read(10)
            for word in (HELLO, WORLD, END):
                writer.write(frame(word))
                await writer.drain()
            await reader.read()
        writer.close()

    server = await asyncio.start_server(talk, "127.0.0.1", 0)
    endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], "", 0)
    proxy = WireProxy(asyncio.get_running_loop(), lambda: endpoint)
    await proxy.listen()
    try:
        yield Wire(proxy)
    finally:
        await proxy.close()
        server.close()
        await asyncio.sleep(0.05)  # the streams that were aborted find out


@pytest.mark.parametrize(
    ("kind", "fields", "expected"),
    [
        (None, {}, [HELLO, WORLD, END]),
        (FaultKind.LOSE, {"after": 1}, [HELLO]),
        (FaultKind.SKIP, {"after": 1}, [HELLO, END]),
        (FaultKind.DELAY, {"amount": 0.01}, [HELLO, WORLD, END]),
        (FaultKind.CUT, {"after": 1, "amount": 9}, [HELLO]),
        (FaultKind.DUPLICATE, {"count": 2}, [HELLO, HELLO, WORLD, WORLD, END]),
        (FaultKind.REORDER, {}, [WORLD, END, HELLO]),
        (FaultKind.SLOW, {"amount": 20_000}, [HELLO, WORLD, END]),
        (FaultKind.SILENT, {}, []),
        (FaultKind.REFUSE, {}, []),
    ],
)
def test_the_proxy_does_what_its_fault_says(
    kind: FaultKind | None, fields: dict[str, float], expected: list[ServerMessage]
) -> None:
    async def story() -> None:
        async with a_wire() as behind:
            if kind is not None:
                behind.proxy.apply(Fault(0, kind, Way.TO_SESSION, **fields))  # type: ignore[arg-type]
                await asyncio.sleep(0)
            assert await behind.heard() == expected
            assert set(behind.proxy.struck) == ({kind} if kind is not None else set())
            behind.proxy.heal()
            await asyncio.sleep(0)
            assert await behind.heard() == [HELLO, WORLD, END]

    asyncio.run(story())


@pytest.mark.teeth
@pytest.mark.integration
@pytest.mark.parametrize(("plant", "kind"), [("resend", "doubled"), ("double_fill", "execution")])
def test_the_campaign_catches_its_planted_defect(plant: str, kind: str) -> None:
    result = first_that_catches(kind, (wire.run(n, 7, plant) for n in (18, 40, 100)))
    assert not result.is_clean
