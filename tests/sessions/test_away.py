"""Stories of a session whose database is away: nothing that adds exposure goes out, nothing heard is lost."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest

from oms_app.flow import submission
from oms_app.sessions.lease import awake_and_asleep
from oms_app.sessions.process import Sessions
from oms_app.store.memory import ready_connection
from oms_app.store.unit_of_work import StoreUnavailable
from oms_kernel.contracts.broker import Intent
from oms_kernel.domain.lifecycle import Evidence, OrderState
from tests.flow.trading import CONNECTION, TENANT
from tests.sessions.session import FAST, MemorySessionStore, Scene, connector_class, story

PATIENT = msgspec.structs.replace(FAST, ack_timeout_factor=1.0, store_silence_s=0.15)


@contextmanager
def database_away(scene: Scene) -> Iterator[None]:
    """While this lasts the session's every request to the database fails."""
    store, sessions = scene.trading.store, scene.store
    names: list[tuple[Any, str]] = [(store, name) for name in ("ledger_unit", "heads", "account_directory")]
    names += [(sessions, name) for name in ("set_status", "put_quotes", "requested_runs", "keep_run", "instruments")]
    whole = [(thing, name, getattr(thing, name)) for thing, name in names]

    def gone(*_: Any, **__: Any) -> Any:
        raise StoreUnavailable("the database is away")

    for thing, name, _ in whole:
        setattr(thing, name, gone)
    try:
        yield
    finally:
        for thing, name, method in whole:
            setattr(thing, name, method)


def slow_connector(scene: Scene, gate: asyncio.Event) -> Any:
    """A connector whose first place stands still until the gate opens."""
    cls = connector_class(scene.broker)

    class Slow(cls):  # type: ignore[misc,valid-type]
        async def submit(self, intent: Intent) -> None:
            if not gate.is_set():
                started.set()
                await gate.wait()
            await super().submit(intent)

    started = asyncio.Event()
    Slow.started = started
    return Slow


def test_what_waits_to_be_sent_when_the_database_falls_silent_is_never_sent_and_known_to_be_so() -> None:
    async def tell(scene: Scene) -> None:
        gate = asyncio.Event()
        connector = slow_connector(scene, gate)
        await scene.start(connector=connector)
        scene.quote()
        first = scene.trading.place(limit_price="90.00")
        await connector.started.wait()
        second = scene.trading.place(limit_price="91.00")
        await scene.becomes(second, OrderState.ROUTED)
        with database_away(scene):
            await asyncio.sleep(0.3)
            gate.set()
            await asyncio.sleep(0.1)
        ended = await scene.becomes(second, OrderState.EXPIRED)
        assert (ended.evidence, ended.reason_code) == (Evidence.NEVER_SENT, "database_silent")
        assert scene.at_broker() == []
        doubted = await scene.becomes(first, OrderState.REJECTED)
        assert doubted.reason_code == "NOT_AT_BROKER", "the connector had it already: only the query proves it unsent"
        await scene.until(lambda: scene.store.statuses[-1][0] == "READY")
        third = scene.trading.place(limit_price="92.00")
        await scene.becomes(third, OrderState.WORKING)

    story(tell, timing=PATIENT)


def test_a_place_that_the_pace_kept_waiting_is_looked_at_again_before_its_first_byte() -> None:
    async def tell(scene: Scene) -> None:
        cls = connector_class(scene.broker)
        paced = asyncio.Event()

        class Paced(cls):  # type: ignore[misc,valid-type]
            async def submit(self, intent: Intent) -> None:
                paced.set()
                await asyncio.sleep(0.3)
                await super().submit(intent)

        await scene.start(connector=Paced)
        scene.quote()
        order = scene.trading.place(limit_price="90.00")
        await paced.wait()
        with database_away(scene):
            await asyncio.sleep(0.5)
            assert scene.at_broker() == []
        doubted = await scene.becomes(order, OrderState.IN_DOUBT, OrderState.REJECTED)
        assert doubted.state in (OrderState.IN_DOUBT, OrderState.REJECTED)
        assert scene.at_broker() == []

    story(tell, timing=PATIENT)


def test_reports_heard_while_the_database_is_away_are_booked_on_the_same_connection() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        scene.quote()
        order = scene.trading.place(quantity=10, limit_price="99.50")
        await scene.becomes(order, OrderState.WORKING)
        runner = scene.runner
        assert runner is not None
        with database_away(scene):
            scene.quote("99.00", "99.20")
            await scene.until(lambda: len(runner._pump.unbooked()) == 1)
            await asyncio.sleep(0.1)
        await scene.becomes(order, OrderState.FILLED)
        assert [status for status, _ in scene.store.statuses] == ["CONNECTING", "RECONCILING", "READY"]

    story(tell)


def test_a_database_that_goes_while_the_session_opens_keeps_the_connection() -> None:
    async def tell(scene: Scene) -> None:
        cls = connector_class(scene.broker)
        opened: list[Any] = []
        asked = asyncio.Event()

        class Counted(cls):  # type: ignore[misc,valid-type]
            async def connect(self) -> None:
                opened.append(self)
                await super().connect()

            async def snapshot(self, since: datetime | None) -> Any:
                asked.set()
                await asyncio.sleep(0.1)
                return await super().snapshot(since)

        await scene.start(connector=Counted, ready=False)
        await asked.wait()
        with database_away(scene):
            await asyncio.sleep(0.3)
        await scene.until(lambda: bool(scene.store.statuses) and scene.store.statuses[-1][0] == "READY")
        assert len(opened) == 1

    story(tell)


class Leases(MemorySessionStore):
    """Leases that can end on purpose: `end()` is the database's time passing."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(scene.trading.store, [scene.trading.instrument])
        self.held = False

    def acquire(self, connection_id: Any) -> int | None:
        if self.held:
            return None
        self.held = True
        return super().acquire(connection_id)

    def renew(self, connection_id: Any, token: int) -> bool:
        return self.held and token == self.token

    def release(self, connection_id: Any, token: int) -> None:
        if token == self.token:
            self.held = False
        super().release(connection_id, token)

    def end(self) -> None:
        """Nobody holds the lease any more."""
        self.held = False
        state = ready_connection(CONNECTION, datetime.now(UTC) - timedelta(hours=1), self.token)
        self.store.put_connection(TENANT, state)


async def served(scene: Scene, tell: Callable[[Sessions], Any], connector: Any = None, lease_s: float = 2.0) -> None:
    """Run the sessions of a process on the scene's store beside the story."""
    connector = connector or connector_class(scene.broker)
    sessions = Sessions(
        scene.trading.new_desk(),
        scene.store,
        lambda broker: connector,
        lease_s=lease_s,
        timing=FAST,
        beat=lambda: None,
        home=scene.home,
    )
    await sessions._look()
    try:
        await scene.until(lambda: bool(scene.store.statuses) and scene.store.statuses[-1][0] == "READY")
        scene.trading.restart()
        await tell(sessions)
    finally:
        for runner in list(sessions._runners.values()):
            runner.stop()
        await asyncio.gather(*sessions._running.values(), return_exceptions=True)


def test_a_lease_that_lapsed_and_that_nobody_took_is_taken_anew_without_losing_the_connection() -> None:
    async def tell(scene: Scene) -> None:
        leases = scene.store = Leases(scene)

        async def lapses(sessions: Sessions) -> None:
            scene.quote()
            resting = scene.trading.place(limit_price="90.00")
            await scene.becomes(resting, OrderState.WORKING)
            leases.statuses.clear()
            leases.end()
            await scene.until(lambda: leases.token == 2 and leases.statuses[-1:] == [("READY", "")])
            assert {status for status, _ in leases.statuses} == {"RECONCILING", "READY"}
            after = scene.trading.place(limit_price="91.00")
            working = await scene.becomes(after, OrderState.WORKING)
            assert working.lease_token == 2
            assert scene.trading.order(resting.order_id).state is OrderState.WORKING

        await served(scene, lapses)

    story(tell)


def test_what_was_sent_under_the_lapsed_lease_and_not_heard_of_is_in_doubt_and_never_sent_again() -> None:
    async def tell(scene: Scene) -> None:
        leases = scene.store = Leases(scene)
        sent: list[Intent] = []
        cls = connector_class(scene.broker)

        class Mute(cls):  # type: ignore[misc,valid-type]
            """A broker that takes every order and says nothing of it."""

            async def submit(self, intent: Intent) -> None:
                sent.append(intent)

        async def lapses(sessions: Sessions) -> None:
            order = scene.trading.place(limit_price="90.00")
            await scene.until(lambda: len(sent) == 1)
            leases.end()
            await scene.until(lambda: leases.token == 2)
            await scene.becomes(order, OrderState.IN_DOUBT, OrderState.REJECTED)
            assert scene.trading.kinds().count("request_in_doubt") == 1
            await asyncio.sleep(0.2)
            assert len(sent) == 1

        await served(scene, lapses, Mute)

    story(tell)


def test_a_lease_that_another_took_meanwhile_ends_the_session_at_once() -> None:
    async def tell(scene: Scene) -> None:
        leases = scene.store = Leases(scene)

        async def taken(sessions: Sessions) -> None:
            leases.held, leases.token = True, leases.token + 1
            leases._put("READY")
            order = scene.trading.place(limit_price="90.00")
            await scene.until(lambda: not sessions._runners)
            assert scene.at_broker() == []
            assert scene.trading.order(order.order_id).state is OrderState.NEW

        await served(scene, taken)

    story(tell)


def test_a_lease_that_another_had_and_gave_back_is_no_longer_the_old_ones_to_go_on_with() -> None:
    async def tell(scene: Scene) -> None:
        leases = scene.store = Leases(scene)

        async def had(sessions: Sessions) -> None:
            (runner,) = sessions._runners.values()
            leases.token += 1
            leases.end()
            await scene.until(lambda: not sessions._runners)
            assert runner._lease.is_lost
            assert not leases.held, "what was taken by the way is given back"

        await served(scene, had)

    story(tell)


def test_a_session_that_slept_beyond_its_lease_wakes_up_and_sends_nothing_of_what_waited() -> None:
    async def tell(scene: Scene) -> None:
        gate = asyncio.Event()
        connector = slow_connector(scene, gate)
        await scene.start(connector=connector)
        first = scene.trading.place(limit_price="90.00")
        await connector.started.wait()
        second = scene.trading.place(limit_price="91.00")
        await scene.becomes(second, OrderState.ROUTED)
        lease = scene.lease
        assert lease is not None
        lease.renewed(awake_and_asleep() - 2 * lease.duration_s)  # the clock that counts sleep went on
        gate.set()
        third = scene.trading.place(limit_price="92.00")
        await asyncio.sleep(0.2)
        assert scene.at_broker() == []
        assert scene.trading.order(third.order_id).state is OrderState.NEW
        lease.renewed(awake_and_asleep())
        ended = await scene.becomes(second, OrderState.EXPIRED)
        assert (ended.evidence, ended.reason_code) == (Evidence.NEVER_SENT, "lease_lapsed")
        assert (await scene.becomes(first, OrderState.REJECTED)).reason_code == "NOT_AT_BROKER"
        await scene.becomes(third, OrderState.WORKING)
        assert len(scene.at_broker()) == 1

    story(tell, timing=PATIENT)


class Bells:
    """Signals that a test rings by hand."""

    def __init__(self) -> None:
        self.bells: list[Callable[[], object]] = []

    def note(self, ledger_id: str) -> None:
        """Nothing."""

    def listen(self, bell: Callable[[], object]) -> Callable[[], None]:
        self.bells.append(bell)
        return lambda: self.bells.remove(bell)

    def poll_s(self, poll_s: float) -> float:
        return 60.0

    def close(self) -> None:
        """Nothing."""


def test_a_bell_wakes_a_session_that_would_not_have_polled_for_a_long_time() -> None:
    async def tell(scene: Scene) -> None:
        bells = Bells()
        sessions = Sessions(
            scene.trading.new_desk(),
            scene.store,
            lambda broker: connector_class(scene.broker),
            lease_s=60,
            timing=msgspec.structs.replace(FAST, busy_for_s=0.05),
            beat=lambda: None,
            home=scene.home,
            signals=bells,
        )
        serving = asyncio.create_task(sessions.serve())
        await scene.until(lambda: bool(scene.store.statuses) and scene.store.statuses[-1][0] == "READY")
        scene.trading.restart()
        await asyncio.sleep(0.3)
        order = scene.trading.place(limit_price="90.00")
        await asyncio.sleep(0.3)
        assert scene.trading.order(order.order_id).state is OrderState.NEW
        (bell,) = bells.bells
        await asyncio.to_thread(bell)
        await scene.becomes(order, OrderState.WORKING)
        sessions._stopping.set()
        await serving
        assert bells.bells == []
        assert not list((scene.home / "control").iterdir())

    story(tell)


def test_nobody_has_the_lease_is_another_answer_than_another_has_it() -> None:
    scene = Scene()
    leases = Leases(scene)
    token = leases.acquire(CONNECTION)
    assert token is not None
    leases.end()
    with pytest.raises(submission.LeaseLapsed):
        scene.trading.in_turn(lambda turn: submission.require_lease(turn, CONNECTION, token))
    leases.acquire(CONNECTION)
    with pytest.raises(submission.LeaseLost) as caught:
        scene.trading.in_turn(lambda turn: submission.require_lease(turn, CONNECTION, token))
    assert not isinstance(caught.value, submission.LeaseLapsed)
