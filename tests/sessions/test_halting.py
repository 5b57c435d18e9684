"""Stories of a session that is halted: by a switch of the ledger, or by its own socket with the database gone."""

import asyncio
import time
from pathlib import Path
from typing import Any

from oms_app.flow.kill_switch import Asked, KillSwitches
from oms_app.sessions.control import Command, ControlSocket, HaltAll
from oms_app.sessions.recalling import Recalled
from oms_kernel.contracts.broker import Intent
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.lifecycle import Evidence, OrderState
from oms_kernel.domain.scope import Scope
from oms_kernel.testkit.builders import ACCOUNT_ID
from tests.flow.trading import LEDGER, TENANT
from tests.sessions.session import Scene, connector_class, story
from tests.sessions.test_away import database_away
from tests.sessions.test_recalling import journal, resting


def thrown(scene: Scene) -> list[Any]:
    return [
        one.event
        for one in scene.trading.store.events(TENANT, LEDGER, 2, 10_000)
        if one.event.kind == "kill_switch_activated"
    ]


def throw(scene: Scene) -> None:
    switches = KillSwitches(scene.trading.desk, scene.trading.intake._directory, time.monotonic)
    switches.activate(
        scene.trading.principal, Asked(scope=Scope(), trading_state=TradingState.HALTED, reason_code="test")
    )


def test_what_was_committed_and_waits_behind_a_slow_broker_is_called_back_once_the_switch_is_known() -> None:
    async def tell(scene: Scene) -> None:
        cls = connector_class(scene.broker)
        begun: list[Intent] = []
        going = asyncio.Event()

        class Slow(cls):  # type: ignore[misc,valid-type]
            """A broker that takes its time for the first order."""

            async def submit(self, intent: Intent) -> None:
                begun.append(intent)
                if len(begun) == 1:
                    await going.wait()
                await super().submit(intent)

        await scene.start(connector=Slow)
        first, *others = [scene.trading.place(limit_price="90.00") for _ in range(4)]
        await scene.until(lambda: bool(begun))
        await scene.until(lambda: all(scene.trading.order(one.order_id).state is OrderState.ROUTED for one in others))
        throw(scene)
        assert scene.runner is not None
        runner = scene.runner
        await scene.until(lambda: runner._stopped(begun[0]) == "trading_state")
        going.set()
        for order in others:
            ended = await scene.becomes(order, OrderState.CANCELED)
            assert (ended.evidence, ended.reason_code) == (Evidence.NEVER_SENT, "trading_state")
        assert [intent.command.order_id for intent in begun] == [first.order_id]

    story(tell)


def test_with_the_database_gone_a_halt_holds_at_once_and_becomes_a_switch_when_it_answers() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        (order,) = await resting(scene, 1)
        assert scene.runner is not None
        with database_away(scene):
            done = await scene.runner.halt(None, "nothing works", cancel_working=True)
            assert (done.sent, done.problem) == ([order.order_id], "")
            assert "halt" in journal(scene).read_text()
        await scene.becomes(order, OrderState.CANCELED)
        await scene.until(lambda: len(thrown(scene)) == 1)
        (event,) = thrown(scene)
        assert (event.trading_state, event.reason_code) == (TradingState.HALTED, "halted_at_the_session")
        (item,) = scene.trading.submit(scene.trading.draft(limit_price="90.00")).items
        assert item.decision is not None
        assert item.decision.accepted is False
        await scene.until(lambda: not journal(scene).exists())

    story(tell)


def test_a_session_that_is_killed_while_halted_leaves_the_halt_to_the_next_owner() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        assert scene.runner is not None
        with database_away(scene):
            await scene.runner.halt(ACCOUNT_ID, "", cancel_working=False)
            await scene.kill()
        await scene.start()
        await scene.until(lambda: len(thrown(scene)) == 1)
        assert thrown(scene)[0].scope == Scope(account_id=ACCOUNT_ID)

    story(tell)


def test_the_control_socket_takes_a_halt(tmp_path: Path) -> None:
    got: list[Command] = []

    async def carry_out(asked: Command) -> list[Recalled]:
        got.append(asked)
        return []

    async def ask() -> dict[str, Any]:
        return await ControlSocket(tmp_path, carry_out)._answer(b'{"command":"halt","reason":"why"}')

    assert asyncio.run(ask()) == {"connections": []}
    assert got == [HaltAll(reason="why")]
