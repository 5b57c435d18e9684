"""The broker suite finds connectors that swallow, invent, reorder, retry or gloss over."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import msgspec
import pytest

from oms_kernel.contracts.broker import (
    BrokerConnector,
    BrokerHost,
    Command,
    Filled,
    Intent,
    NotConnected,
    PartResult,
    Refused,
    SnapshotPart,
    WireIdentity,
)
from oms_kernel.testkit.broker_suite import BrokerConformanceSuite
from oms_kernel.testkit.recording_host import RecordingHost
from oms_sim_broker.in_process import InProcessConnector
from oms_sim_broker.protocol import ServerMessage, Told
from oms_sim_broker.testing import InProcessHarness

Suite = BrokerConformanceSuite
Case = Callable[[Suite, InProcessHarness], None]


class SwallowsEverySecondFill(InProcessConnector):
    """Loses executions."""

    fills = 0

    def hear(self, message: ServerMessage) -> None:
        if isinstance(message, Told) and isinstance(message.report, Filled):
            self.fills += 1
            if self.fills % 2 == 0:
                return
        super().hear(message)


class DeduplicatesExecutions(InProcessConnector):
    """Decides by itself what the host may hear."""

    def hear(self, message: ServerMessage) -> None:
        if isinstance(message, Told) and isinstance(message.report, Filled):
            seen = self.__dict__.setdefault("seen", set())
            if message.report.exec_id in seen:
                return
            seen.add(message.report.exec_id)
        super().hear(message)


class AnswersEmptyOnFailure(InProcessConnector):
    """Shows nothing where it should say that it does not know."""

    async def snapshot(self, since: datetime | None) -> dict[SnapshotPart, PartResult]:
        parts = await super().snapshot(since)
        return {
            part: result if result.complete else msgspec.structs.replace(result, complete=True, items=(), error="")
            for part, result in parts.items()
        }


class RefusesWhenDisconnected(InProcessConnector):
    """Calls a broken connection a refusal."""

    async def submit(self, intent: Intent) -> None:
        try:
            await super().submit(intent)
        except NotConnected as error:
            raise Refused(str(error)) from None


class SendsWhilePreparing(InProcessConnector):
    """Sends before the intent is committed."""

    def prepare(self, command: Command) -> WireIdentity:
        identity = super().prepare(command)
        if command.wire_id is None:
            self.sending = asyncio.ensure_future(super().submit(Intent(command, identity, 0)))
        return identity


class TellsTheNewestFirst(InProcessConnector):
    """Hands over what was heard together in the wrong order."""

    async def _deliver(self) -> None:
        while True:
            heard = [await self._reports.get()]
            await asyncio.sleep(0.01)
            while not self._reports.empty():
                heard.append(self._reports.get_nowait())
            await asyncio.gather(*(self.host.report(report) for report in reversed(heard)))


class ForgetsToSayThatItIsLost(InProcessConnector):
    """Keeps a broken connection to itself."""

    def hear_end(self, reason: str) -> None:
        self._closing = True
        super().hear_end(reason)


class UsesOneIdForAll(InProcessConnector):
    """Sends every order under the same id."""

    def prepare(self, command: Command) -> WireIdentity:
        return msgspec.structs.replace(super().prepare(command), wire_id="ALWAYS-THE-SAME")


class LooksUpACancelsId(InProcessConnector):
    """Cannot cancel while the database is away."""

    def prepare(self, command: Command) -> WireIdentity:
        self.host.storage.put("last", str(command.attempt))
        return super().prepare(command)


class PlantedHarness(InProcessHarness):
    """The in-process broker with a connector that has a bug."""

    def __init__(self, connector: type[InProcessConnector]) -> None:
        super().__init__()
        self._connector = connector

    def connector(self, host: BrokerHost) -> BrokerConnector:
        """The faulty one."""
        assert self.broker is not None
        return self._connector(self.broker, host)


@pytest.mark.parametrize(
    ("connector", "case"),
    [
        (SwallowsEverySecondFill, Suite.test_a_large_order_fills_in_parts_with_ids_of_their_own),
        (DeduplicatesExecutions, Suite.test_a_duplicate_execution_is_passed_on_twice),
        (AnswersEmptyOnFailure, Suite.test_a_failed_query_is_failed_and_not_empty),
        (RefusesWhenDisconnected, Suite.test_without_a_connection_nothing_is_refused_for_certain),
        (SendsWhilePreparing, Suite.test_prepare_allocates_distinct_ids_and_sends_nothing),
        (TellsTheNewestFirst, Suite.test_reports_are_told_in_their_order_while_booking_takes_its_time),
        (
            ForgetsToSayThatItIsLost,
            Suite.test_a_disconnect_in_the_middle_of_a_submit_loses_the_connection_not_the_order,
        ),
        (LooksUpACancelsId, Suite.test_a_cancel_is_prepared_without_storage_and_sent_all_the_same),
        (UsesOneIdForAll, Suite.test_prepare_allocates_distinct_ids_and_sends_nothing),
    ],
)
def test_the_suite_finds_the_bug(
    connector: type[InProcessConnector], case: Case, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(RecordingHost, "patience", 0.5)
    case(Suite(), InProcessHarness())
    with pytest.raises(AssertionError):
        case(Suite(), PlantedHarness(connector))
