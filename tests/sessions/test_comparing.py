"""A session compares broker and book when it begins, periodically and on demand; a failed comparison ends nothing."""

import asyncio
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import msgspec

from oms_app.store.reconciliation_runs import Run
from oms_kernel.contracts.broker import CashSnapshot, SnapshotPart
from oms_kernel.domain.breaks import BreakType
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.testkit.builders import BROKER_ACCOUNT_ID
from tests.flow.trading import CONNECTION
from tests.sessions.session import FAST, Scene, connector_class, story


def asked(run_id: str) -> Run:
    return Run(
        run_id=run_id,
        connection_id=CONNECTION,
        trigger="REQUESTED",
        status="REQUESTED",
        requested_by="user:test",
        requested_at=datetime.now(UTC),
    )


def connector(scene: Scene, change: Any) -> Any:
    """The broker's connector, its snapshots changed."""
    base: Any = connector_class(scene.broker)

    class Changed(base):  # type: ignore[misc]
        async def snapshot(self, since: Any) -> Any:
            return change(await super().snapshot(since))

    return Changed


def test_the_first_comparison_is_kept_and_those_on_demand_answer_everybody_who_asked() -> None:
    async def tell(scene: Scene) -> None:
        await scene.start()
        await scene.until(lambda: any(run.trigger == "START" for run in scene.store.runs.values()))
        scene.store.runs.update({"one": asked("one"), "two": asked("two")})
        await scene.until(lambda: all(scene.store.runs[name].status == "COMPLETE" for name in ("one", "two")))
        one = scene.store.runs["one"]
        assert (one.trigger, one.opened, set(one.parts.values())) == ("REQUESTED", 0, {"complete"})
        assert one.started_at is not None and one.finished_at is not None

    story(tell)


def test_quiet_periodic_comparisons_take_one_row_and_a_difference_takes_its_own() -> None:
    async def tell(scene: Scene) -> None:
        count = 0
        extra = Decimal(0)

        def change(parts: Any) -> Any:
            nonlocal count
            count += 1
            cash = parts[SnapshotPart.CASH]
            more = CashSnapshot(broker_account_id=BROKER_ACCOUNT_ID, currency="USD", amount=1_000_000 + extra)
            return {**parts, SnapshotPart.CASH: msgspec.structs.replace(cash, items=(more,))}

        await scene.start(connector=connector(scene, change))
        await scene.until(lambda: count >= 5)
        periodic = [run for run in scene.store.runs.values() if run.trigger == "PERIODIC"]
        assert len(periodic) == 1
        extra = Decimal(7)
        await scene.until(lambda: any(run.opened for run in scene.store.runs.values()))
        found = scene.trading.in_turn(lambda turn: list(turn.batch.book.breaks.values()))
        assert [one.difference.break_type for one in found] == [BreakType.CASH]
        order = scene.trading.place(limit_price="90.00")
        await scene.becomes(order, OrderState.WORKING)

    story(tell, timing=msgspec.structs.replace(FAST, compare_every_s=0.05))


def test_a_failed_query_fails_its_run_and_nothing_else() -> None:
    async def tell(scene: Scene) -> None:
        fails = False

        def change(parts: Any) -> Any:
            if fails:
                raise OSError("the broker hung up")
            return parts

        await scene.start(connector=connector(scene, change))
        fails = True
        scene.store.runs["one"] = asked("one")
        await scene.until(lambda: scene.store.runs["one"].status == "FAILED")
        assert "hung up" in scene.store.runs["one"].error
        fails = False
        scene.store.runs["two"] = asked("two")
        await scene.until(lambda: scene.store.runs["two"].status == "COMPLETE")
        assert scene.store.statuses[-1][0] == "READY"
        await asyncio.sleep(0)

    story(tell)
