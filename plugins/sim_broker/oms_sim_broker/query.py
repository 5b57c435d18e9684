"""The broker's own state in, the parts of a snapshot out: each complete, with its time."""

from datetime import datetime

import msgspec

from oms_kernel.contracts.broker import SnapshotPart
from oms_sim_broker.protocol import SnapshotQuery, WirePart
from oms_sim_broker.state import BrokerState


def answer_part(state: BrokerState, part: SnapshotPart, query: SnapshotQuery, as_of: datetime) -> WirePart:
    """One part for the accounts of the query.

    Orders: all that live, and those that changed since; executions: those written down since; the others as they are.
    """
    accounts, since = set(query.accounts), query.since
    plain = WirePart(complete=True, as_of=as_of, since=since)
    if part is SnapshotPart.ORDERS:
        orders = tuple(
            known.snapshot(state.symbol(known.order.instrument_id))
            for known in state.orders.values()
            if known.order.broker_account_id in accounts
            and (known.is_live or since is None or known.changed_at >= since)
        )
        return msgspec.structs.replace(plain, orders=orders)
    if part is SnapshotPart.EXECUTIONS:
        executions = tuple(
            fill
            for written_at, fill in state.executions
            if fill.broker_account_id in accounts and (since is None or written_at >= since)
        )
        return msgspec.structs.replace(plain, executions=executions)
    if part is SnapshotPart.POSITIONS:
        return msgspec.structs.replace(plain, positions=state.holdings.position_snapshots(accounts))
    return msgspec.structs.replace(plain, cash=state.holdings.cash_snapshots(accounts))
