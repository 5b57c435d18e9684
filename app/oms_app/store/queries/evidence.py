"""What a breach is about: the orders and executions of its scope that were made shortly before it."""

from datetime import timedelta

import msgspec

from oms_app.store.queries.breaches import BreachView, breach_event
from oms_app.store.queries.executions import ExecutionFilter, ExecutionView, list_executions
from oms_app.store.queries.orders import OrderFilter, OrderView, get_order, list_orders
from oms_app.store.queries.paging import Paging
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import OrderId

EVIDENCE_BEFORE = timedelta(minutes=10)
"""How long before a breach the orders and executions were made that are shown with it."""
MOST_EVIDENCE = 50


class Evidence(msgspec.Struct, frozen=True):
    """code, order_id: of what the breach told, empty and None where it told none."""

    code: str
    order_id: OrderId | None
    orders: tuple[OrderView, ...]
    executions: tuple[ExecutionView, ...]


def breach_evidence(unit: RowsUnit, view: BreachView) -> Evidence:
    """The evidence of a breach, newest first; the order that it names is always in it."""
    told = breach_event(unit, view.breach_id)
    order_id = told.order_id if told is not None else None
    since = view.breached_at - EVIDENCE_BEFORE
    orders: list[OrderView] = []
    executions: list[ExecutionView] = []
    if view.account_id is not None:
        paging = Paging(limit=MOST_EVIDENCE, with_total=False)
        # What a batch made bears the moment of its breach.
        until = view.breached_at + timedelta(microseconds=1)
        wanted = OrderFilter(
            account_id=view.account_id,
            instrument_id=view.instrument_id,
            strategy_id=view.strategy_id,
            accepted_from=since,
            accepted_before=until,
        )
        executed = ExecutionFilter(
            account_id=view.account_id,
            instrument_id=view.instrument_id,
            executed_from=since,
            executed_before=until,
        )
        orders = list_orders(unit, wanted, paging).items
        executions = list_executions(unit, executed, paging).items
    if order_id is not None and all(found.order.order_id != order_id for found in orders):
        named = get_order(unit, order_id)
        orders = [*([named] if named is not None else []), *orders]
    return Evidence(
        code=told.code if told is not None else "",
        order_id=order_id,
        orders=tuple(orders),
        executions=tuple(executions),
    )
