"""A home at rest in, both sides' books out: our rows from the database, the broker's from its own ledger file."""

from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import select

from campaigns.checks import Books, BrokerOrder, Execution, OurOrder
from oms_app.cli.demo import CONNECTION_ID, TENANT_ID
from oms_app.store import tables as t
from oms_app.store.config_rows import connection_resource
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.lifecycle import Evidence, OrderStatus
from oms_kernel.domain.order import NET_BOOK, Order
from oms_sim_broker.ledger import FILE_NAME, read_records
from oms_sim_broker.server import ledger_as_json
from oms_sim_broker.state import BrokerState

NEVER_HAD = frozenset({Evidence.NEVER_SENT, Evidence.OWN_CHECK})


def read_books(store: SqlStore, home: Path) -> Books:
    """Both sides' books."""
    with store.read_unit(TENANT_ID) as unit:
        rows = unit.connection.execute(
            select(t.ORDERS.c.document, t.ORDERS.c.state).where(t.ORDERS.c.tenant_id == TENANT_ID)
        ).all()
        fills = unit.connection.execute(select(t.EXECUTIONS).where(t.EXECUTIONS.c.tenant_id == TENANT_ID)).all()
        held = unit.connection.execute(
            select(t.POSITIONS.c.instrument_id, t.POSITIONS.c.quantity).where(
                t.POSITIONS.c.tenant_id == TENANT_ID, t.POSITIONS.c.book == NET_BOOK
            )
        ).all()
    ledger = read_broker_ledger(home)
    return Books(
        orders=[our_order(row.document, row.state) for row in rows],
        executions=[
            Execution(row.exec_id, row.instrument_id, _signed(row.side, row.quantity), row.price)
            for row in fills
            if not row.is_busted
        ],
        positions={row.instrument_id: row.quantity for row in held if row.quantity},
        broker_orders=[BrokerOrder(one["wire_id"], one["broker_order_id"]) for one in ledger["orders"]],
        broker_executions=[
            Execution(
                one["exec_id"],
                one["instrument_id"],
                _signed(one["side"], Decimal(one["quantity"])),
                Decimal(one["price"]),
            )
            for one in ledger["executions"]
        ],
    )


class Session(msgspec.Struct, frozen=True):
    """Which session serves the broker connection: the token of its lease, and whether it says that it is ready."""

    token: int
    is_ready: bool


def present_session(store: SqlStore) -> Session:
    """The session by the rows; a dead one's rows may still say that it is ready."""
    with store.read_unit(TENANT_ID) as unit:
        token = unit.connection.execute(
            select(t.LEASES.c.token).where(t.LEASES.c.resource == connection_resource(CONNECTION_ID))
        ).scalar()
        status = unit.connection.execute(
            select(t.BROKER_CONNECTIONS.c.status).where(t.BROKER_CONNECTIONS.c.tenant_id == TENANT_ID)
        ).scalar()
    return Session(token or 0, status == "READY")


def count_states(store: SqlStore, states: frozenset[str]) -> int:
    """How many orders are in one of these states now."""
    with store.read_unit(TENANT_ID) as unit:
        query = select(t.ORDERS.c.order_id).where(t.ORDERS.c.tenant_id == TENANT_ID, t.ORDERS.c.state.in_(states))
        return len(unit.connection.execute(query).all())


def our_order(document: str, state: str) -> OurOrder:
    """What an order's row claims. A strategy's order has no client order id here: no client asked for it."""
    order = msgspec.json.decode(document, type=Order)
    request = order.request
    at_broker: bool | None = None
    if order.evidence in NEVER_HAD or order.reason_code == "NOT_AT_BROKER":
        at_broker = False
    elif order.filled_quantity or order.status in (OrderStatus.WORKING, OrderStatus.FILLED, OrderStatus.CANCELED):
        at_broker = True
    return OurOrder(
        order_id=order.order_id,
        client_order_id=request.client_order_id if request.strategy_id is None else None,
        state=state,
        wire_ids=tuple(order.wire_ids),
        at_broker=at_broker,
    )


def read_broker_ledger(home: Path) -> dict[str, list[dict[str, Any]]]:
    """What the simulated broker wrote down itself."""
    state = BrokerState()
    for record in read_records(home / FILE_NAME):
        state.fold(record)
    return ledger_as_json(state)


def _signed(side: str, quantity: Decimal) -> Decimal:
    return quantity if side == "BUY" else -quantity
