"""A number of ended orders in, a ledger that lived through them out: real decisions and folds, stored by COPY.

Each order is decided by `engine.place` with the six rules, sent, acknowledged and filled or cancelled by real events;
log and projections are the rows that the store itself would have written, so that `oms verify` finds no difference.
"""

import random
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import psycopg

from benchmarks.kernel_place import LIMITS
from oms_app.cli.demo import demo_instruments, starting_prices
from oms_app.store import chain
from oms_app.store import projected_tables as pt
from oms_app.store.projection import book_rows, event_rows, execution_row
from oms_kernel import engine
from oms_kernel.batch import Batch, LedgerState
from oms_kernel.domain import events as ev
from oms_kernel.domain.calendar import ALWAYS_OPEN
from oms_kernel.domain.decision import Gate
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import (
    AccountId,
    BrokerAccountId,
    BrokerOrderId,
    ClientOrderId,
    ConnectionId,
    ExecId,
    OrderId,
    WireId,
)
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.lifecycle import Evidence, RequestKind, Word
from oms_kernel.domain.market import MarketView, Quote
from oms_kernel.domain.order import Order, OrderRequest, OrderType, Side, TimeInForce
from oms_kernel.guard import GuardedRule, guard_rule
from oms_kernel.host import PluginHost
from oms_kernel.terms import Terms
from oms_kernel.testkit.scene import EVERYTHING
from oms_kernel.view import LedgerView

AGE = timedelta(days=30)
"""How long ago the first order was placed; the last one an hour ago."""
BATCH = 200
CANCELLED_OF_TEN = 1


class Place(msgspec.Struct, frozen=True):
    """Whose orders they are and where they went."""

    tenant_id: str
    ledger_id: str
    account_id: str
    broker_account_id: str
    connection_id: str


def fill(database_url: str, place: Place, opening: list[ev.Recorded], count: int, seed: int = 7) -> int:
    """Store `count` ended orders behind the ledger's first events; the last seq. database_url: the superuser's.

    opening: those first events, which lie before the first order, as `backdate` leaves them.
    """
    with psycopg.connect(database_url) as connection, ExitStack() as open_now:
        of_events = {one: open_now.enter_context(_Copy(database_url, one, place)) for one in _OF_EVENTS}
        story = _Story(place, opening, count, seed)
        head = _chain_opening(connection, place)
        for events in story.tell():
            for projection, writer in of_events.items():
                rows = [row for recorded in events for row in event_rows(projection, recorded)]
                if projection is pt.LOG:
                    rows, head = chain.extended(place.tenant_id, place.ledger_id, head, rows)
                writer.write(rows)
        open_now.close()
        book, at = story.state.book, story.state.book.recorded_at
        assert at is not None
        executions = [execution_row(one, story.births[key], at) for key, one in book.executions.items()]
        for projection, rows in ((pt.ORDERS, book_rows(pt.ORDERS, book, at)), (pt.EXECUTIONS, executions)):
            with _Copy(database_url, projection, place) as writer:
                writer.write(rows)
        for projection in (pt.POSITIONS, pt.CASH, pt.DAYS):
            _replace(connection, projection, place, book_rows(projection, book, at))
        connection.execute(
            "UPDATE ledgers SET seq = %s, head_recorded_at = %s, head_hash = %s WHERE ledger_id = %s",
            (book.seq, at, head, place.ledger_id),
        )
    return book.seq


def _chain_opening(connection: "psycopg.Connection[Any]", place: Place) -> bytes:
    """The hash of the opening's last row, once its rows are chained anew: `backdate` changed their times."""
    columns = "seq, event_id::text, kind, version, account_id::text, order_id::text, recorded_at, payload"
    query = f"SELECT {columns} FROM event_log WHERE ledger_id = %s ORDER BY seq"
    rows = [(*row[:-1], row[-1].encode()) for row in connection.execute(query, (place.ledger_id,)).fetchall()]
    chained, head = chain.extended(place.tenant_id, place.ledger_id, None, rows)
    for row in chained:
        change = "UPDATE event_log SET hash = %s WHERE ledger_id = %s AND seq = %s"
        connection.execute(change, (bytes(row[-1]), place.ledger_id, row[0]))
    return head


def backdate(database_url: str, ledger_id: str) -> None:
    """Let the ledger's first events lie before the orders that will be made."""
    began = datetime.now(UTC) - AGE
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE event_log SET recorded_at = %s WHERE ledger_id = %s", (began, ledger_id))
        connection.execute("UPDATE ledgers SET head_recorded_at = %s WHERE ledger_id = %s", (began, ledger_id))


def analyse(database_url: str) -> None:
    """Let the planner know what the tables hold now, as autovacuum would a little later."""
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")


class _Story:
    """What happened to the orders, batch by batch."""

    def __init__(self, place: Place, opening: list[ev.Recorded], count: int, seed: int) -> None:
        self._place = place
        self._count = count
        self._random = random.Random(seed)
        self._now = datetime.now(UTC) - AGE + timedelta(minutes=1)
        self._step = (AGE - timedelta(hours=1)) / max(1, count // BATCH + 1)
        self._instruments = {one.instrument_id: one for one in demo_instruments()}
        self._prices = starting_prices()
        self.state = LedgerState()
        self.state.change_rules(_rules(), lambda: opening)
        self.state.fold(opening)
        self.births: dict[Any, ev.Recorded] = {}

    def tell(self) -> Iterator[list[ev.Recorded]]:
        """The events of each batch, all of its orders ended."""
        for first in range(0, self._count, BATCH):
            self._now += self._step
            batch = Batch(self.state, now=self._now, new_id=self._new_id)
            quotes = {one.instrument_id: self._quote(one) for one in self._instruments.values()}
            market = MarketView(now=self._now, quotes=quotes, max_age=timedelta(seconds=5))
            view = LedgerView(batch.book, market, self._instruments, {ALWAYS_OPEN.name: ALWAYS_OPEN})
            for number in range(first, min(first + BATCH, self._count)):
                self._live(batch, view, number)
            self.state.adopt(batch)
            for recorded in batch.events:
                if isinstance(recorded.event, ev.OrderFilled):
                    fill = recorded.event.fill
                    self.births[fill.broker_account_id, fill.exec_id] = recorded
            yield batch.events

    def _live(self, batch: Batch, view: LedgerView, number: int) -> None:
        """The whole life of one order."""
        instrument = list(self._instruments.values())[number % len(self._instruments)]
        order_id, place = OrderId(self._new_id()), self._place
        decision, accepted = engine.place(
            view,
            self._request(instrument, number),
            order_id=order_id,
            instrument=instrument,
            destination=engine.Destination(
                BrokerAccountId(place.broker_account_id),
                ConnectionId(place.connection_id),
                EVERYTHING,
            ),
            rules=batch.rules,
            states=batch.memories,
            send_before=self._now + timedelta(seconds=10),
            principal="system:bench",
        )
        if not decision.accepted:
            raise RuntimeError(f"nothing may be denied here: {decision}")
        account_id, broker_order_id = AccountId(place.account_id), BrokerOrderId(f"B{number:010d}")
        wire_id = WireId(f"W{number:027d}")
        mine: dict[str, Any] = {"account_id": account_id, "order_id": order_id}
        batch.record(
            accepted,
            ev.IntentRecorded(**mine, request_kind=RequestKind.PLACE, attempt=1, lease_token=1, wire_id=wire_id),
            ev.OrderAcknowledged(**mine, broker_order_id=broker_order_id, wire_id=wire_id, broker_at=self._now),
        )
        if number % 10 < CANCELLED_OF_TEN:
            ended = {**mine, "evidence": Evidence.BROKER, "broker_at": self._now}
            batch.record(ev.CancelRequested(**mine, principal="system:bench"), ev.OrderCanceled(**ended))
        else:
            batch.record(ev.OrderFilled(**mine, fill=self._fill(batch.book.orders[order_id], number), word=_WHOLE))

    def _request(self, instrument: Instrument, number: int) -> OrderRequest:
        return OrderRequest(
            account_id=AccountId(self._place.account_id),
            instrument_id=instrument.instrument_id,
            side=Side.BUY if (number // len(self._instruments)) % 2 else Side.SELL,
            quantity=instrument.lot_size * (1 + number % 499),
            order_type=OrderType.LIMIT,
            limit_price=Decimal(self._prices[instrument.symbol]),
            time_in_force=TimeInForce.DAY,
            client_order_id=ClientOrderId(f"made-{number}"),
        )

    def _fill(self, order: Order, number: int) -> Fill:
        request, day = order.request, self._now.date().isoformat()
        return Fill(
            exec_id=ExecId(f"E{number:011d}"),
            order_id=order.order_id,
            account_id=request.account_id,
            broker_account_id=order.broker_account_id,
            instrument_id=request.instrument_id,
            book=order.book,
            side=request.side,
            quantity=order.quantity,
            price=order.limit_price or Decimal(1),
            currency=order.currency,
            multiplier=order.multiplier,
            executed_at=self._now,
            trading_date=day,
            risk_date=day,
            fee=Decimal("0.35"),
            liquidity="MAKER",
        )

    def _quote(self, instrument: Instrument) -> Quote:
        price, size = Decimal(self._prices[instrument.symbol]), Decimal(1000)
        return Quote(
            instrument_id=instrument.instrument_id, bid=price, bid_size=size, ask=price, ask_size=size, last=price,
            data_at=self._now, received_at=self._now,
        )  # fmt: skip

    def _new_id(self) -> str:
        """A UUIDv7 of the story's time: rows must lie in the indexes as those of a ledger that grew."""
        milliseconds = int(self._now.timestamp() * 1000)
        number = milliseconds << 80 | 7 << 76 | self._random.getrandbits(12) << 64 | 2 << 62
        return str(uuid.UUID(int=number | self._random.getrandbits(62)))


_WHOLE = Word.FILLED_WHOLE
_OF_EVENTS = (pt.LOG, pt.CLIENT_IDS, pt.EXECUTION_IDS)


def _rules() -> list[GuardedRule]:
    host = PluginHost()
    registries = host.load()
    return [
        guard_rule(
            registries.risk_rules[name], params, key=name, gate=Gate.RISK, terms=Terms(),
            guard=host.guard(registries.risk_rules[name].plugin),
        )
        for name, params in LIMITS.items()
    ]  # fmt: skip


class _Copy:
    """COPY into one table, by a connection of its own."""

    def __init__(self, database_url: str, projection: pt.Projection, place: Place) -> None:
        self._connection = psycopg.connect(database_url)
        names = ("tenant_id", *(("ledger_id",) if projection.of_ledger else ()), *projection.columns)
        self._head = "\t".join((place.tenant_id, *((place.ledger_id,) if projection.of_ledger else ())))
        self._cursor = self._connection.cursor()
        self._stack = ExitStack()
        sql = f"COPY {projection.table} ({', '.join(names)}) FROM STDIN"
        self._copy = self._stack.enter_context(self._cursor.copy(sql))

    def __enter__(self) -> "_Copy":
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
        self._connection.commit()
        self._connection.close()

    def write(self, rows: pt.Rows) -> None:
        """Send rows, in the columns of the projection."""
        if rows:
            self._copy.write("".join("\t".join((self._head, *map(_text, row))) + "\n" for row in rows))


def _text(value: Any) -> str:
    """A value as COPY reads it."""
    if value is None:
        return "\\N"
    if isinstance(value, bytearray):
        return f"\\\\x{value.hex()}"
    text = value.decode() if isinstance(value, bytes) else str(value)
    return text.replace("\\", "\\\\") if "\\" in text else text


def _replace(connection: "psycopg.Connection[Any]", projection: pt.Projection, place: Place, rows: pt.Rows) -> None:
    """Few rows: away with what the opening left of them, and in with these."""
    connection.execute(f"DELETE FROM {projection.table} WHERE ledger_id = %s", (place.ledger_id,))
    names = ("tenant_id", "ledger_id", *projection.columns)
    marks = ", ".join(["%s"] * len(names))
    sql = f"INSERT INTO {projection.table} ({', '.join(names)}) VALUES ({marks})"
    for row in rows:
        connection.execute(sql, (place.tenant_id, place.ledger_id, *row))
