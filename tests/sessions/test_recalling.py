"""Stories of `cancel all` from a session's memory: sent with the database gone, on disk first, booked once later."""

import asyncio
import json
import stat
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oms_app.flow import submission
from oms_app.flow.early_cancels import PRINCIPAL, EarlyCancel, SentCancel, Sweep, book_early
from oms_app.sessions.control import LONGEST_PATH, CancelAll, ControlSocket
from oms_app.sessions.journal import CancelJournal
from oms_app.sessions.lease import HeldLease, StoreContact, awake_and_asleep
from oms_app.sessions.recalling import Recalled
from oms_app.sessions.sending import Fate, Sender
from oms_kernel.contracts.broker import Command, Intent, WireIdentity
from oms_kernel.domain.ids import AccountId, OrderId, WireId
from oms_kernel.domain.lifecycle import Evidence, OrderState, RequestKind
from oms_kernel.testkit.builders import a_uuid
from tests.flow.trading import CAPABILITIES, CONNECTION, LEDGER, TENANT, Trading
from tests.sessions.session import FAST, Scene, connector_class, story
from tests.sessions.test_away import PATIENT, database_away, slow_connector


def events(scene: Scene, kind: str) -> list[Any]:
    return [
        recorded.event
        for recorded in scene.trading.store.events(TENANT, LEDGER, 2, 10_000)
        if recorded.event.kind == kind
    ]


def cancel_intents(scene: Scene) -> list[Any]:
    return [event for event in events(scene, "intent_recorded") if event.request_kind is RequestKind.CANCEL]


def journal(scene: Scene) -> Path:
    return scene.home / "journal" / f"{CONNECTION}.jsonl"


async def resting(scene: Scene, count: int) -> list[Any]:
    placed = [scene.trading.place(limit_price=f"{90 + number}.00") for number in range(count)]
    return [await scene.becomes(order, OrderState.WORKING) for order in placed]


@pytest.mark.parametrize("is_away", [True, False])
def test_every_working_order_is_cancelled_at_the_broker_with_the_database_gone_or_not_and_booked_once(
    is_away: bool,
) -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        orders = await resting(scene, 3)
        runner = scene.runner
        assert runner is not None
        if is_away:
            with database_away(scene):
                done = await runner.cancel_all()
                await scene.until(lambda: len(runner._pump.unbooked()) == 3)
                assert journal(scene).stat().st_mode & 0o777 == 0o600
                assert len(journal(scene).read_text().splitlines()) == 4
        else:
            done = await runner.cancel_all()
        assert set(done.sent) == {order.order_id for order in orders}
        assert done.waiting == {}
        for order in orders:
            ended = await scene.becomes(order, OrderState.CANCELED)
            assert ended.evidence is Evidence.BROKER
        await scene.until(lambda: not journal(scene).exists())
        assert all(event.principal == PRINCIPAL for event in events(scene, "cancel_requested"))
        assert len(cancel_intents(scene)) <= 3
        assert [status for status, _ in scene.store.statuses] == ["CONNECTING", "RECONCILING", "READY"]

    story(tell)


def test_the_cancels_are_recorded_by_the_control_principal_with_the_identity_that_went_out() -> None:
    async def tell(scene: Scene) -> None:
        cls = connector_class(scene.broker)
        sent: list[Intent] = []

        class Deaf(cls):  # type: ignore[misc,valid-type]
            """A broker that hears no cancel at first."""

            async def cancel(self, intent: Intent) -> None:
                sent.append(intent)

        await scene.start(connector=Deaf)
        (order,) = await resting(scene, 1)
        assert scene.runner is not None
        with database_away(scene):
            done = await scene.runner.cancel_all()
        assert done.sent == [order.order_id]
        pending = await scene.becomes(order, OrderState.PENDING_CANCEL)
        (asked,) = events(scene, "cancel_requested")
        (intent,) = cancel_intents(scene)
        assert asked.principal == PRINCIPAL
        assert (intent.wire_id, intent.attempt) == (sent[0].identity.wire_id, sent[0].command.attempt)
        assert pending.attempt == intent.attempt
        assert sent[0].identity.wire_id not in order.wire_ids

    story(tell)


def test_a_session_that_is_killed_before_it_booked_leaves_that_to_the_next_owner_which_books_once() -> None:
    async def tell(scene: Scene) -> None:
        cls = connector_class(scene.broker)

        class Deaf(cls):  # type: ignore[misc,valid-type]
            async def cancel(self, intent: Intent) -> None:
                pass

        await scene.start(connector=Deaf)
        (order,) = await resting(scene, 1)
        assert scene.runner is not None
        with database_away(scene):
            await scene.runner.cancel_all()
            await scene.kill()
        assert journal(scene).exists()
        before = journal(scene).read_bytes()
        await scene.start(connector=Deaf)
        await scene.becomes(order, OrderState.PENDING_CANCEL)
        await scene.until(lambda: not journal(scene).exists())
        assert (len(events(scene, "cancel_requested")), len(cancel_intents(scene))) == (1, 1)
        await scene.stop()
        journal(scene).write_bytes(before)  # as if it had been killed between the commit and the file
        await scene.start()
        await scene.until(lambda: not journal(scene).exists())
        assert len(events(scene, "cancel_requested")) == 1
        assert [event.attempt for event in cancel_intents(scene)].count(cancel_intents(scene)[0].attempt) == 1

    story(tell)


def test_what_waits_in_the_queue_is_not_sent_after_cancel_all_and_ends_never_sent() -> None:
    async def tell(scene: Scene) -> None:
        gate = asyncio.Event()
        connector = slow_connector(scene, gate)
        await scene.start(connector=connector)
        first = scene.trading.place(limit_price="90.00")
        await connector.started.wait()
        second = scene.trading.place(limit_price="91.00")
        await scene.becomes(second, OrderState.ROUTED)
        assert scene.runner is not None
        cancelling = asyncio.create_task(scene.runner.cancel_all())
        await asyncio.sleep(0.05)
        gate.set()
        done = await cancelling
        assert first.order_id in done.sent
        ended = await scene.becomes(second, OrderState.CANCELED)
        assert ended.evidence is Evidence.NEVER_SENT
        assert (await scene.becomes(first, OrderState.CANCELED)).evidence is Evidence.BROKER
        assert len(scene.at_broker()) == 1

    story(tell, timing=PATIENT)


def test_an_order_that_was_not_sent_yet_ends_when_the_database_answers_and_a_later_one_does_not() -> None:
    trading = Trading()
    order = trading.place(limit_price="90.00")
    sweep = Sweep("sweep", LEDGER, trading.now)
    trading.wait(seconds=1)
    later = trading.place(limit_price="91.00")
    trading.in_turn(lambda turn: book_early(turn, CONNECTION, [sweep]))
    ended = trading.order(order.order_id)
    assert (ended.state, ended.evidence) == (OrderState.CANCELED, Evidence.NEVER_SENT)
    assert trading.order(later.order_id).state is OrderState.NEW


def test_before_the_acknowledgement_a_cancel_waits_where_the_connector_cannot_and_goes_where_word_was_heard() -> None:
    async def tell(scene: Scene) -> None:
        cls = connector_class(scene.broker)

        class Waits(cls):  # type: ignore[misc,valid-type]
            capabilities = msgspec.structs.replace(cls.capabilities, cancel_before_ack=False)
            silent = True

            async def submit(self, intent: Intent) -> None:
                asked.append(intent)
                if not self.silent:
                    await super().submit(intent)

        asked: list[Intent] = []
        await scene.start(connector=Waits)
        first = scene.trading.place(limit_price="90.00")
        await scene.until(lambda: len(asked) == 1)
        await scene.becomes(first, OrderState.ROUTED)
        runner = scene.runner
        assert runner is not None
        done = await runner.cancel_all()
        assert list(done.waiting) == [first.order_id]
        Waits.silent = False
        await scene.becomes(first, OrderState.PENDING_CANCEL)

    story(tell, timing=PATIENT)


def test_an_account_that_is_named_is_the_only_one_and_a_cancel_is_prepared_without_storage() -> None:
    async def tell(scene: Scene) -> None:
        cls = connector_class(scene.broker)

        class Stores(cls):  # type: ignore[misc,valid-type]
            def prepare(self, command: Command) -> WireIdentity:
                if command.kind is RequestKind.CANCEL:
                    self.host.storage.get("floor")
                identity: WireIdentity = super().prepare(command)
                return identity

        await scene.start(connector=Stores)
        (order,) = await resting(scene, 1)
        assert scene.runner is not None
        elsewhere = await scene.runner.cancel_all(AccountId(a_uuid("another account")))
        assert (elsewhere.sent, elsewhere.waiting) == ([], {})
        with database_away(scene):
            here = await scene.runner.cancel_all()
        assert list(here.waiting) == [order.order_id]
        assert "StorageAway" in here.waiting[order.order_id]
        await scene.becomes(order, OrderState.CANCELED)

    story(tell)


def test_a_disk_that_takes_no_journal_keeps_no_cancel_back_and_is_told() -> None:
    async def tell(scene: Scene) -> None:
        (scene.home / "journal").touch()
        await scene.start()
        (order,) = await resting(scene, 1)
        assert scene.runner is not None
        with database_away(scene):
            done = await scene.runner.cancel_all()
        assert done.sent == [order.order_id]
        assert "not journalled" in done.problem
        await scene.becomes(order, OrderState.CANCELED)
        later = scene.trading.place(limit_price="95.00")
        await scene.becomes(later, OrderState.WORKING)

    story(tell)


def test_while_all_is_recalled_nothing_that_adds_exposure_goes_out() -> None:
    trading = Trading()
    trading.place(limit_price="90.00")
    (place,) = trading.in_turn(send)
    cancel = msgspec.structs.replace(place, command=msgspec.structs.replace(place.command, kind=RequestKind.CANCEL))
    sender = Sender(CAPABILITIES, HeldLease(1, 60, awake_and_asleep()), StoreContact(), FAST, lambda: None)
    sender.put(place)
    sender.recall(set(), everything=True)
    sender.put(place)
    sender.put(cancel)
    assert [(outcome.fate, outcome.reason) for outcome in sender.outcomes] == [
        (Fate.UNSENT, "canceled_before_send")
    ] * 2
    sender.put(place, knew_recalls=True)
    sender.forget_recalls()
    sender.put(place)
    sender.close()
    kinds = [outcome.intent.command.kind for outcome in sender.outcomes[2:]]
    assert kinds == [RequestKind.CANCEL, RequestKind.PLACE, RequestKind.PLACE]


def test_an_entry_that_is_booked_again_changes_nothing() -> None:
    trading = Trading()
    order = trading.place(limit_price="90.00")
    trading.in_turn(send)
    entries: list[EarlyCancel] = [
        SentCancel("one", LEDGER, order.order_id, 16, 1, WireId("W16"), trading.now),
        Sweep("two", LEDGER, trading.now),
        SentCancel("three", LEDGER, OrderId(a_uuid("unknown")), 16, 1, WireId("W17"), trading.now),
    ]
    trading.in_turn(lambda turn: book_early(turn, CONNECTION, entries))
    told = trading.kinds()
    assert told[-2:] == ["cancel_requested", "intent_recorded"]
    trading.restart()
    trading.in_turn(lambda turn: book_early(turn, CONNECTION, entries))
    assert trading.kinds() == told
    assert trading.order(order.order_id).state is OrderState.PENDING_CANCEL


def send(turn: Any) -> list[Intent]:
    return submission.next_intents(turn, CONNECTION, 1, CAPABILITIES, lambda command: WireIdentity(WireId("W0")))


def test_a_journal_that_was_cut_off_in_its_last_line_is_read_up_to_it_and_written_on(tmp_path: Path) -> None:
    file = CancelJournal(tmp_path, CONNECTION)
    now = datetime.now(UTC)
    entries = [Sweep(str(number), LEDGER, now) for number in range(3)]
    file.append(entries[:2])
    path = tmp_path / f"{CONNECTION}.jsonl"
    path.write_bytes(path.read_bytes()[:-10])
    assert file.pending() == entries[:1]
    file.append(entries[2:])
    assert file.pending() == [entries[0], entries[2]]
    file.settle({"0"})
    assert file.pending() == [entries[2]]
    file.settle({"2"})
    assert not file.exists
    assert file.pending() == []


async def asked(path: Path, line: bytes) -> Any:
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(line + b"\n")
    await writer.drain()
    answer = json.loads(await reader.readline())
    writer.close()
    return answer


def test_the_control_socket_is_its_users_alone_and_answers_what_it_does_not_understand(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("control")  # short: the name of a socket holds some 100 characters
    got: list[CancelAll] = []

    async def cancel_all(command: CancelAll) -> list[Recalled]:
        got.append(command)
        return [Recalled("c", [OrderId("o")], {})]

    async def tell() -> None:
        (folder / "session-999999999.sock").touch()
        control = ControlSocket(folder, cancel_all)
        await control.open()
        (path,) = folder.glob("*.sock")
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        answer = await asked(path, b'{"command":"cancel_all","account_id":"a"}')
        assert answer == {"connections": [{"connection_id": "c", "sent": ["o"], "waiting": {}, "problem": ""}]}
        assert got == [CancelAll(AccountId("a"))]
        assert "not understood" in (await asked(path, b'{"command":"sell_all"}'))["error"]
        assert "not understood" in (await asked(path, b"x" * 1000))["error"]
        await control.close()
        assert list(folder.iterdir()) == []

    asyncio.run(tell())


def test_a_path_that_is_too_long_for_a_socket_is_replaced_by_a_short_one_that_stands_beside(tmp_path: Path) -> None:
    async def nothing(command: CancelAll) -> list[Recalled]:
        return []

    async def tell() -> None:
        folder = tmp_path / ("long" * 25)
        control = ControlSocket(folder, nothing)
        await control.open()
        (pointer,) = folder.iterdir()
        path = Path(pointer.read_text())
        assert len(str(path)) < LONGEST_PATH
        assert await asked(path, b'{"command":"cancel_all"}') == {"connections": []}
        await control.close()
        assert not path.parent.exists()
        assert list(folder.iterdir()) == []

    asyncio.run(tell())
