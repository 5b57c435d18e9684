"""The broker's side as a test says it, shown to the real flow of a seeded tenant: differences, orders, reports."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from oms_app.bootstrap import Services
from oms_app.flow import booking
from oms_app.flow.breaks import Look, look
from oms_app.flow.desk import Turn
from oms_kernel.contracts import broker as br
from oms_kernel.domain.ids import (
    BrokerAccountId,
    BrokerOrderId,
    ConnectionId,
    ExecId,
    InstrumentId,
    LedgerId,
    TenantId,
    WireId,
)
from oms_kernel.domain.order import Side

PARTS = (br.SnapshotPart.ORDERS, br.SnapshotPart.EXECUTIONS, br.SnapshotPart.POSITIONS, br.SnapshotPart.CASH)


class BrokerSide:
    """What a broker shows of one seeded account; `look` shows it to the ledger as a run of the session does."""

    def __init__(self, services: Services, ids: dict[str, str]) -> None:
        self.services = services
        self.tenant_id, self.ledger_id = TenantId(ids["tenant_id"]), LedgerId(ids["ledger_id"])
        self.connection_id = ConnectionId(ids["connection_id"])
        self.broker_account_id = BrokerAccountId(ids["broker_account_id"])
        self.instrument_id = InstrumentId(ids["instrument_id"])
        self.orders: list[br.OrderSnapshot] = []
        self.positions: dict[InstrumentId, Decimal] = {}
        self.cash: dict[str, Decimal] = {"USD": Decimal(1_000_000)}

    def look(self) -> Look:
        """One run: a second snapshot is taken when the first calls for it."""
        first = self._once(None)
        return first if first.is_settled else self._once(first)

    def has_foreign_order(self, **fields: Any) -> None:
        """Somebody placed an order at the broker, not here."""
        shown: dict[str, Any] = {
            "broker_account_id": self.broker_account_id,
            "broker_order_id": BrokerOrderId("FOREIGN-1"),
            "wire_id": None,
            "instrument_id": self.instrument_id,
            "symbol": "ACME",
            "side": Side.BUY,
            "status": "WORKING",
            "quantity": Decimal(10),
            "filled_quantity": Decimal(0),
            "limit_price": Decimal(95),
        }
        self.orders.append(br.OrderSnapshot(**{**shown, **fields}))

    def tells(self, *reports: br.AnyReport) -> None:
        """The broker's reports, booked as a session does."""
        self._in_turn(lambda turn: booking.book(turn, self.connection_id, reports))

    def tells_of_an_unknown_execution(self, **fields: Any) -> None:
        """A report that cannot be booked: the correction of an execution that nobody has seen."""
        told: dict[str, Any] = {
            "broker_account_id": self.broker_account_id,
            "broker_at": datetime.now(UTC),
            "wire_id": WireId("nobody's"),
            "exec_id": ExecId("UNSEEN-1"),
            "correction_id": ExecId("UNSEEN-1-C"),
            "quantity": Decimal(5),
            "price": Decimal("99.5"),
            "fee": Decimal(0),
        }
        self.tells(br.Corrected(**{**told, **fields}))

    def _once(self, before: Look | None) -> Look:
        asked_at = self.services.reader.heads([self.ledger_id])[self.ledger_id]
        as_of = datetime.now(UTC) + timedelta(milliseconds=1)
        items: dict[br.SnapshotPart, tuple[Any, ...]] = {
            br.SnapshotPart.ORDERS: tuple(self.orders),
            br.SnapshotPart.EXECUTIONS: (),
            br.SnapshotPart.POSITIONS: tuple(
                br.PositionSnapshot(broker_account_id=self.broker_account_id, instrument_id=key, quantity=quantity)
                for key, quantity in self.positions.items()
            ),
            br.SnapshotPart.CASH: tuple(
                br.CashSnapshot(broker_account_id=self.broker_account_id, currency=key, amount=amount)
                for key, amount in self.cash.items()
            ),
        }
        parts = {part: br.PartResult(complete=True, as_of=as_of, items=items[part]) for part in PARTS}

        def work(turn: Turn) -> Look:
            return look(
                turn,
                self.connection_id,
                parts,
                asked_at_seq=asked_at,
                is_elsewhere=lambda _: False,
                before=before,
            )

        return self._in_turn(work)  # type: ignore[no-any-return]

    def _in_turn(self, work: Any) -> Any:
        return self.services.desk.transact(self.tenant_id, self.ledger_id, work)
