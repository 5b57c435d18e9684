"""A tenant in, both sides' books out: our rows from the database, the broker's of its account from its own ledger."""

from decimal import Decimal
from typing import Any

from sqlalchemy import select

from campaigns.books import our_order
from campaigns.checks import Books, BrokerOrder, Execution
from campaigns.tenants import Trading
from oms_app.store import tables as t
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.order import NET_BOOK

Ledger = dict[str, list[dict[str, Any]]]
"""What the simulated broker wrote down: orders and executions."""


def books_of(store: SqlStore, tenant: Trading, ledger: Ledger) -> Books:
    """Both sides' books of a tenant."""
    with store.read_unit(tenant.tenant_id) as unit:
        run = unit.connection.execute
        orders = run(select(t.ORDERS.c.document, t.ORDERS.c.state).where(t.ORDERS.c.tenant_id == tenant.tenant_id))
        ours = [our_order(row.document, row.state) for row in orders]
        fills = run(select(t.EXECUTIONS).where(t.EXECUTIONS.c.tenant_id == tenant.tenant_id)).all()
        positions = select(t.POSITIONS.c.instrument_id, t.POSITIONS.c.quantity).where(
            t.POSITIONS.c.tenant_id == tenant.tenant_id, t.POSITIONS.c.book == NET_BOOK
        )
        held = {row.instrument_id: row.quantity for row in run(positions) if row.quantity}
    mine = {
        kind: [row for row in rows if row["broker_account_id"] == tenant.broker_account_id]
        for kind, rows in ledger.items()
        if kind in ("orders", "executions")
    }
    return Books(
        orders=ours,
        executions=[
            Execution(row.exec_id, row.instrument_id, signed(row.side, row.quantity), row.price)
            for row in fills
            if not row.is_busted
        ],
        positions=held,
        broker_orders=[BrokerOrder(one["wire_id"], one["broker_order_id"]) for one in mine["orders"]],
        broker_executions=[
            Execution(
                one["exec_id"], one["instrument_id"],
                signed(one["side"], Decimal(one["quantity"])), Decimal(one["price"]),
            )
            for one in mine["executions"]
        ],
    )  # fmt: skip


def signed(side: str, quantity: Decimal) -> Decimal:
    """The quantity as it changes a position."""
    return quantity if side == "BUY" else -quantity
