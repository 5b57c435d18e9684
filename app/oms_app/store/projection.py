"""Recorded events and the book after them in, the rows of the log and of every projection out, for all databases.

A row is a tuple in the order of its Projection's columns, without tenant and ledger; bytes are JSON text, a bytearray
is binary.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from oms_app.store.types import time_to_text
from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book, ExecutionKey
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.order import Order

Row = tuple[Any, ...]
Rows = list[Row]


class Projection(NamedTuple):
    """One table that a batch writes, and how: `changing` columns are updated when the key exists already.

    changing None: a plain insert, so that a second row of the same key is a conflict.
    only_update: the rows exist; nothing is inserted. of_ledger: the table has a column ledger_id.
    types: the columns' types on PostgreSQL.
    """

    table: str
    key: tuple[str, ...]
    columns: tuple[str, ...]
    types: tuple[str, ...]
    changing: tuple[str, ...] | None = None
    only_update: bool = False
    of_ledger: bool = True


_TYPES = {
    "": "text",
    "b": "boolean",
    "d": "date",
    "i": "bigint",
    "json": "json",
    "n": "numeric",
    "o": "bytea",
    "t": "timestamptz",
    "u": "uuid",
}


def _projection(
    table: str,
    key: str,
    columns: str,
    changing: str | None = None,
    *,
    only_update: bool = False,
    of_ledger: bool = True,
) -> Projection:
    """`columns` is "name:type name:type ...", the types by the letters of `_TYPES`."""
    pairs = [column.partition(":") for column in columns.split()]
    return Projection(
        table=table,
        key=("tenant_id", *key.split()),
        columns=tuple(name for name, _, _ in pairs),
        types=tuple(_TYPES[kind] for _, _, kind in pairs),
        changing=tuple(changing.split()) if changing is not None else None,
        only_update=only_update,
        of_ledger=of_ledger,
    )


ACCOUNTS = _projection(
    "trading_accounts",
    "account_id",
    "account_id:u name base_currency time_zone day_roll trading_state state_reason is_opened:b created_at:t"
    " updated_at:t",
    "base_currency time_zone day_roll trading_state state_reason is_opened updated_at",
)
LOG = _projection(
    "event_log",
    "ledger_id seq",
    "seq:i event_id:u kind version:i account_id:u order_id:u recorded_at:t payload:json",
)
CLIENT_IDS = _projection("client_order_ids", "account_id client_order_id", "account_id:u client_order_id order_id:u")
EXECUTION_IDS = _projection("execution_ids", "broker_account_id exec_id", "broker_account_id:u exec_id kind restates")
ORDERS = _projection(
    "orders",
    "order_id",
    "order_id:u account_id:u broker_account_id:u connection_id:u instrument_id:u symbol currency side order_type"
    " time_in_force product client_order_id strategy_id:u strategy_run_id:u group_id:u accepted_at:t updated_at:t"
    " version:i status state quantity:n filled_quantity:n limit_price:n stop_price:n reason_code trading_date:d"
    " document:json",
    "updated_at version status state quantity filled_quantity limit_price stop_price reason_code document",
)
EXECUTIONS = _projection(
    "executions",
    "broker_account_id exec_id",
    "broker_account_id:u exec_id execution_id:u seq:i booked_at:t order_id:u account_id:u instrument_id:u book side"
    " quantity:n price:n currency multiplier:n executed_at:t trading_date risk_date fee:n liquidity is_busted:b"
    " updated_at:t",
)
EXECUTION_CHANGES = _projection(
    "executions",
    "broker_account_id exec_id",
    "broker_account_id:u exec_id quantity:n price:n fee:n is_busted:b updated_at:t",
    "quantity price fee is_busted updated_at",
    only_update=True,
)
POSITIONS = _projection(
    "positions",
    "account_id book instrument_id",
    "account_id:u book instrument_id:u currency multiplier:n quantity:n cost:n realised_pnl:n fees:n bought_quantity:n"
    " sold_quantity:n is_open:b updated_at:t closed_at:t",
    "quantity cost realised_pnl fees bought_quantity sold_quantity is_open updated_at closed_at",
)
CASH = _projection(
    "cash_balances", "account_id currency", "account_id:u currency amount:n updated_at:t", "amount updated_at"
)
DAYS = _projection(
    "day_counters",
    "account_id currency",
    "account_id:u currency risk_date:d accepted:i denied:i fills:i traded_value:n realised_pnl:n fees:n updated_at:t",
    "risk_date accepted denied fills traded_value realised_pnl fees updated_at",
)
QUARANTINES = _projection("plugin_quarantines", "ledger_id plugin", "plugin reason updated_at:t", "reason updated_at")
DENIALS = _projection(
    "rule_denials",
    "ledger_id seq position",
    "seq:i position:i order_id:u account_id:u rule plugin gate code message observed:n limit_value:n unit"
    " recorded_at:t",
)
ANSWERS = _projection(
    "idempotency_keys",
    "principal operation key",
    "principal operation key fingerprint:o status_code:i order_versions:json extra:json created_at:t",
    of_ledger=False,
)
RENEWED_ANSWERS = ANSWERS._replace(
    changing=("fingerprint", "status_code", "order_versions", "extra", "created_at"), only_update=True
)
TEXTS = _projection("order_texts", "order_id kind", "order_id:u kind text salt:o created_at:t", of_ledger=False)
UNBOOKED = _projection(
    "unbooked_reports",
    "report_id",
    "report_id:u connection_id:u report:json error status created_at:t updated_at:t",
)
PROJECTIONS = (
    ACCOUNTS,
    LOG,
    CLIENT_IDS,
    EXECUTION_IDS,
    ORDERS,
    EXECUTIONS,
    EXECUTION_CHANGES,
    POSITIONS,
    CASH,
    DAYS,
    QUARANTINES,
    DENIALS,
)
"""In the order in which they are written: what others refer to comes first."""

_ORDER_ENCODER = msgspec.json.Encoder(decimal_format="string", order="deterministic")
_ORDER_DECODER = msgspec.json.Decoder(Order)


def encode_order(order: Order) -> bytes:
    """The order as JSON: column `document` of table orders."""
    return _ORDER_ENCODER.encode(order)


def decode_order(document: str | bytes) -> Order:
    """The order of a stored document."""
    return _ORDER_DECODER.decode(document)


def rows_of(events: Sequence[ev.Recorded], book: Book) -> Iterator[tuple[Projection, Rows]]:
    """Every table that the batch changes, with its rows."""
    if not events:
        return
    now = events[-1].recorded_at
    for projection, build in _BUILDERS:
        rows = build(events, book, now)
        if rows:
            yield projection, rows


def event_rows(projection: Projection, recorded: ev.Recorded) -> Rows:
    """The rows that one event alone gives to a projection that does not come from the book."""
    return _BUILD[projection]([recorded], _EMPTY, recorded.recorded_at)


def book_rows(projection: Projection, book: Book, at: datetime) -> Rows:
    """The rows that a whole book gives to a projection that comes from it."""
    return _BUILD[projection]([], book, at)


def order_row(order: Order) -> Row:
    """The row of an order."""
    request = order.request
    return (
        order.order_id,
        request.account_id,
        order.broker_account_id,
        order.connection_id,
        request.instrument_id,
        order.symbol,
        order.currency,
        request.side.value,
        request.order_type.value,
        request.time_in_force.value,
        request.product,
        request.client_order_id,
        request.strategy_id,
        request.strategy_run_id,
        request.group_id,
        order.accepted_at,
        order.updated_at,
        order.version,
        order.status.value,
        order.state.value,
        order.quantity,
        order.filled_quantity,
        order.limit_price,
        order.stop_price,
        order.reason_code,
        order.trading_date,
        encode_order(order),
    )


def log_row(recorded: ev.Recorded) -> Row:
    """The row of an event."""
    event = recorded.event
    return (
        recorded.seq,
        recorded.event_id,
        event.kind,
        event.version,
        event.account_id,
        recorded.order_id,
        recorded.recorded_at,
        ev.encode_event(event),
    )


def _accounts(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [
        (
            account.account_id,
            account.account_id,
            account.base_currency,
            account.time_zone,
            time_to_text(account.day_roll),
            account.trading_state.value,
            account.state_reason,
            True,
            now,
            now,
        )
        for account in book.accounts.changes.values()
    ]


def _log(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [log_row(recorded) for recorded in events]


def _client_ids(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    requests = (
        (recorded.event.request, recorded.event.order_id)
        for recorded in events
        if isinstance(recorded.event, (ev.OrderAccepted, ev.OrderDenied))
    )
    return [
        (request.account_id, request.client_order_id, order_id)
        for request, order_id in requests
        if request.client_order_id is not None
    ]


def _execution_ids(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [row for recorded in events for row in _ids_of(recorded.event)]


def _ids_of(event: ev.Event) -> Rows:
    if isinstance(event, ev.OrderFilled):
        return [(event.fill.broker_account_id, event.fill.exec_id, "FILL", None)]
    if isinstance(event, ev.ExecutionCorrected):
        return [(event.broker_account_id, event.correction_id, "RESTATEMENT", event.exec_id)]
    if isinstance(event, ev.ExecutionBusted):
        return [(event.broker_account_id, event.bust_id, "RESTATEMENT", event.exec_id)]
    return []


def _orders(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [order_row(order) for order in book.orders.changes.values()]


def _new_fills(events: Sequence[ev.Recorded]) -> dict[ExecutionKey, ev.Recorded]:
    return {
        (recorded.event.fill.broker_account_id, recorded.event.fill.exec_id): recorded
        for recorded in events
        if isinstance(recorded.event, ev.OrderFilled)
    }


def execution_row(fill: Fill, recorded: ev.Recorded, updated_at: datetime) -> Row:
    """The row of an execution that `recorded` booked."""
    return (
        fill.broker_account_id,
        fill.exec_id,
        recorded.event_id,
        recorded.seq,
        recorded.recorded_at,
        fill.order_id,
        fill.account_id,
        fill.instrument_id,
        fill.book,
        fill.side.value,
        fill.quantity,
        fill.price,
        fill.currency,
        fill.multiplier,
        fill.executed_at,
        fill.trading_date,
        fill.risk_date,
        fill.fee,
        fill.liquidity,
        fill.busted,
        updated_at,
    )


def _executions(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [execution_row(book.executions.changes[key], recorded, now) for key, recorded in _new_fills(events).items()]


def _execution_changes(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    if not book.executions.changes:
        return []
    new = _new_fills(events)
    return [
        (fill.broker_account_id, fill.exec_id, fill.quantity, fill.price, fill.fee, fill.busted, now)
        for key, fill in book.executions.changes.items()
        if key not in new
    ]


def _positions(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [
        (
            position.account_id,
            position.book,
            position.instrument_id,
            position.currency,
            position.multiplier,
            position.quantity,
            position.cost,
            position.realised_pnl,
            position.fees,
            position.bought_quantity,
            position.sold_quantity,
            position.is_open,
            now,
            None if position.is_open else now,
        )
        for position in book.positions.changes.values()
    ]


def _cash(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [(account_id, currency, amount, now) for (account_id, currency), amount in book.cash.changes.items()]


def _days(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [
        (
            account_id,
            currency,
            day.risk_date.isoformat(),
            day.accepted,
            day.denied,
            day.fills,
            day.traded_value,
            day.realised_pnl,
            day.fees,
            now,
        )
        for (account_id, currency), day in book.days.changes.items()
    ]


def _quarantines(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [(plugin, reason, now) for plugin, reason in book.quarantined.changes.items()]


def _denials(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [row for recorded in events for row in denial_rows(recorded)]


def denial_rows(recorded: ev.Recorded) -> Rows:
    """The search rows of an event's denying verdicts."""
    event = recorded.event
    if not isinstance(event, (ev.OrderDenied, ev.ReplaceDenied)):
        return []
    return [
        (
            recorded.seq,
            position,
            event.order_id,
            event.account_id,
            verdict.rule,
            verdict.plugin,
            verdict.gate.value,
            verdict.code,
            verdict.message,
            verdict.observed,
            verdict.limit,
            verdict.unit,
            recorded.recorded_at,
        )
        for position, verdict in enumerate(event.verdicts)
        if verdict.outcome is Outcome.DENY
    ]


_BUILDERS: tuple[tuple[Projection, Callable[[Sequence[ev.Recorded], Book, datetime], Rows]], ...] = (
    (ACCOUNTS, _accounts),
    (LOG, _log),
    (CLIENT_IDS, _client_ids),
    (EXECUTION_IDS, _execution_ids),
    (ORDERS, _orders),
    (EXECUTIONS, _executions),
    (EXECUTION_CHANGES, _execution_changes),
    (POSITIONS, _positions),
    (CASH, _cash),
    (DAYS, _days),
    (QUARANTINES, _quarantines),
    (DENIALS, _denials),
)
_BUILD = dict(_BUILDERS)
_EMPTY = Book()
