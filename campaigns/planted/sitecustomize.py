"""Plant a defect into the processes of a campaign, to show what it would catch. Never in the product.

The campaign puts this folder on PYTHONPATH and names the defect in OMS_CAMPAIGN_PLANT; Python imports the module by
itself when a process starts, and it changes one function of one module as soon as that is imported.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import os
import random
import sys
from collections.abc import Callable
from types import ModuleType
from typing import Any

FORGETS = 0.05
DOUBLES = 0.05


def resend(runner: Any) -> None:
    """A session that takes over sends again what was sent and not answered, without looking whether it arrived."""
    from oms_kernel.contracts.broker import Intent, WireIdentity
    from oms_kernel.domain.lifecycle import RequestKind, RequestStatus

    reconcile = runner.ConnectionRunner._reconcile

    def doubtful(self: Any, turn: Any) -> list[Any]:
        orders = [turn.batch.book.orders[order_id] for order_id, _ in turn.batch.book.unsettled.entries(self._id)]
        return [
            Intent(
                runner.submission._command(turn, order, RequestKind.PLACE),
                WireIdentity(wire_id=order.wire_ids[0]),
                self._lease.token,
            )
            for order in orders
            if order.place in (RequestStatus.SENT, RequestStatus.IN_DOUBT) and order.wire_ids
        ]

    async def reconcile_and_resend(self: Any, connector: Any) -> None:
        for intents in await self._each_ledger(lambda turn: doubtful(self, turn)):
            for intent in intents:
                await connector.submit(intent)
        await reconcile(self, connector)

    runner.ConnectionRunner._reconcile = reconcile_and_resend


def forget(intake: Any) -> None:
    """Now and then an order is answered with 201 and its transaction dropped."""
    decide = intake.PlaceJob.decide

    def decide_or_forget(self: Any, turn: Any) -> Any:
        result = decide(self, turn)
        accepted = [item for item in result.items if item.order is not None]
        if self.alone and accepted:
            raise intake._AtomicRefusal(result)
        return result

    make = intake.PlaceJob.__init__

    def make_some_forgetful(self: Any, *arguments: Any, **named: Any) -> None:
        make(self, *arguments, **named)
        self.alone = self.alone or random.random() < FORGETS

    intake.PlaceJob.__init__ = make_some_forgetful
    intake.PlaceJob.decide = decide_or_forget


def double_fill(booking: Any) -> None:
    """Now and then an execution is booked a second time, under another execution id."""
    import msgspec

    from oms_kernel.contracts.broker import Filled

    book = booking.book

    def book_twice(turn: Any, connection_id: Any, reports: Any) -> None:
        book(turn, connection_id, reports)
        for report in reports:
            if isinstance(report, Filled) and random.random() < DOUBLES:
                book(turn, connection_id, [msgspec.structs.replace(report, exec_id=f"{report.exec_id}-again")])

    booking.book = book_twice


PLANTS: dict[str, tuple[str, Callable[[Any], None]]] = {
    "resend": ("oms_app.sessions.runner", resend),
    "forget": ("oms_app.flow.intake", forget),
    "double_fill": ("oms_app.flow.booking", double_fill),
}


class _Planter(importlib.abc.MetaPathFinder):
    """Finds the module as everybody does, and changes it once it is loaded."""

    def __init__(self, name: str, change: Callable[[Any], None]) -> None:
        self._name = name
        self._change = change

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name != self._name:
            return None
        sys.meta_path.remove(self)
        spec = importlib.util.find_spec(name)
        if spec is None or spec.loader is None:
            return None
        execute, change = spec.loader.exec_module, self._change

        def execute_and_change(module: ModuleType) -> None:
            execute(module)
            change(module)

        spec.loader.exec_module = execute_and_change  # type: ignore[method-assign]
        return spec


if os.environ.get("OMS_CAMPAIGN_PLANT") in PLANTS:
    sys.meta_path.insert(0, _Planter(*PLANTS[os.environ["OMS_CAMPAIGN_PLANT"]]))
