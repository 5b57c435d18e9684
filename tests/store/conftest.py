"""Databases of both kinds with a migrated schema, and a scribe that writes real events to a ledger of its own."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from uuid_utils.compat import uuid7

from oms_app.store import accounts, connections, instruments, migrate, tenants
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import Store
from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book
from oms_kernel.domain.calendar import ALWAYS_OPEN
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.instrument import AssetClass, Instrument
from oms_kernel.domain.lifecycle import Evidence, RequestKind, Word
from oms_kernel.domain.order import OrderRequest, OrderType, Reservation, Side

DATABASES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]


def new_id() -> str:
    return str(uuid7())


@pytest.fixture(scope="module", params=DATABASES)
def database_url(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A migrated database that the tests of a module share; each test has tenants of its own."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('store')}/oms.db"
    else:
        url = request.getfixturevalue("new_postgres_database")()
    migrate.upgrade(url)
    return url


@pytest.fixture(scope="module")
def store(database_url: str) -> Iterator[SqlStore]:
    opened = SqlStore(database_url, pool_size=8)
    opened.check_serving()
    yield opened
    opened.close()


class Scribe:
    """One ledger with one account, and the events of orders written to it as flow would."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.tenant_id, self.ledger_id, self.account_id = new_id(), new_id(), new_id()
        self.connection_id, self.broker_account_id, self.instrument_id = new_id(), new_id(), new_id()
        self.symbol = f"S{self.instrument_id[-8:]}"
        self.book = Book()
        self.events: list[ev.Recorded] = []

    def open(self) -> "Scribe":
        self.write(
            ev.AccountOpened(account_id=self.account_id, base_currency="USD"),
            ev.CashChanged(
                account_id=self.account_id, currency="USD", amount=Decimal(1_000_000), reason_code="opening"
            ),
        )
        return self

    def write(self, *events: ev.Event, **also: Callable[[Any], None]) -> list[ev.Recorded]:
        """Commit the events as one batch; `also` is called with the unit before it ends."""
        with self.store.ledger_unit(self.tenant_id, self.ledger_id) as unit:
            overlay, recorded = self.overlay(unit.now, *events)
            unit.append(recorded, overlay)
            for call in also.values():
                call(unit)
        self.book.adopt(overlay)
        self.events += recorded
        return recorded

    def overlay(self, now: datetime, *events: ev.Event) -> tuple[Book, list[ev.Recorded]]:
        overlay = self.book.overlay()
        at = max(now, self.book.recorded_at or now)
        recorded = []
        for event in events:
            recorded.append(ev.Recorded(seq=overlay.seq + 1, event_id=new_id(), recorded_at=at, event=event))
            overlay.apply(recorded[-1])
        return overlay, recorded

    def accepted(self, **changes: Any) -> ev.OrderAccepted:
        request = self.request(**changes)
        return ev.OrderAccepted(
            account_id=self.account_id,
            order_id=new_id(),
            request=request,
            reservation=Reservation(price=request.limit_price, source="limit_price"),
            send_before=datetime.now(UTC) + timedelta(seconds=10),
            **self.common(),
        )

    def denied(self, verdicts: Any, **changes: Any) -> ev.OrderDenied:
        return ev.OrderDenied(
            account_id=self.account_id,
            order_id=new_id(),
            request=self.request(**changes),
            verdicts=verdicts,
            **self.common(),
        )

    def request(self, **changes: Any) -> OrderRequest:
        fields: dict[str, Any] = {
            "account_id": self.account_id,
            "instrument_id": self.instrument_id,
            "side": Side.BUY,
            "quantity": Decimal(10),
            "order_type": OrderType.LIMIT,
            "limit_price": Decimal("12.34"),
        }
        return OrderRequest(**{**fields, **changes})

    def common(self) -> dict[str, Any]:
        return {
            "broker_account_id": self.broker_account_id,
            "connection_id": self.connection_id,
            "symbol": self.symbol,
            "currency": "USD",
            "multiplier": Decimal(1),
            "trading_date": "2026-11-20",
            "risk_date": "2026-11-20",
        }

    def intent(self, order: ev.OrderAccepted) -> ev.IntentRecorded:
        return ev.IntentRecorded(
            account_id=self.account_id,
            order_id=order.order_id,
            request_kind=RequestKind.PLACE,
            attempt=1,
            lease_token=1,
            wire_id=f"W{order.order_id[-20:]}",
        )

    def acknowledged(self, order: ev.OrderAccepted) -> ev.OrderAcknowledged:
        return ev.OrderAcknowledged(account_id=self.account_id, order_id=order.order_id, broker_at=datetime.now(UTC))

    def filled(
        self, order: ev.OrderAccepted | None, quantity: Any, word: Word = Word.FILLED_PART, **changes: Any
    ) -> ev.OrderFilled:
        fields: dict[str, Any] = {
            "exec_id": new_id(),
            "order_id": order.order_id if order else None,
            "account_id": self.account_id,
            "broker_account_id": self.broker_account_id,
            "instrument_id": self.instrument_id,
            "book": "MANUAL",
            "side": Side.BUY,
            "quantity": Decimal(quantity),
            "price": Decimal("12.30"),
            "currency": "USD",
            "multiplier": Decimal(1),
            "executed_at": datetime.now(UTC),
            "trading_date": "2026-11-20",
            "risk_date": "2026-11-20",
            "fee": Decimal("0.35"),
        }
        fill = Fill(**{**fields, **changes})
        return ev.OrderFilled(account_id=self.account_id, order_id=fill.order_id, fill=fill, word=word)

    def busted(self, filled: ev.OrderFilled, word: Word | None = None) -> ev.ExecutionBusted:
        return ev.ExecutionBusted(
            account_id=self.account_id,
            order_id=filled.order_id,
            broker_account_id=self.broker_account_id,
            exec_id=filled.fill.exec_id,
            bust_id=new_id(),
            word=word,
        )

    def corrected(self, filled: ev.OrderFilled, quantity: Any, price: Any) -> ev.ExecutionCorrected:
        return ev.ExecutionCorrected(
            account_id=self.account_id,
            order_id=filled.order_id,
            broker_account_id=self.broker_account_id,
            exec_id=filled.fill.exec_id,
            correction_id=new_id(),
            quantity=Decimal(quantity),
            price=Decimal(price),
            fee=Decimal("0.40"),
        )

    def canceled(self, order: ev.OrderAccepted, evidence: Evidence = Evidence.BROKER) -> ev.OrderCanceled:
        return ev.OrderCanceled(account_id=self.account_id, order_id=order.order_id, evidence=evidence)


def prepare(store: SqlStore, scribe: Scribe) -> Scribe:
    """The rows that a scribe's ledger needs: tenant, ledger, instrument, connection, broker account, route."""
    with store.tenant_unit(scribe.tenant_id) as unit:
        tenants.create_tenant(unit, "A tenant")
        tenants.create_ledger(unit, scribe.ledger_id)
        instruments.put_calendar(unit, ALWAYS_OPEN)
        instruments.put_instrument(
            unit,
            Instrument(
                instrument_id=scribe.instrument_id,
                symbol=scribe.symbol,
                venue="XTST",
                asset_class=AssetClass.EQUITY,
                currency="USD",
                tick_size=Decimal("0.01"),
            ),
        )
        connections.create_connection(unit, scribe.connection_id, broker="sim_broker", name="Sim", params={"port": 1})
        connections.put_broker_account(
            unit,
            scribe.broker_account_id,
            scribe.connection_id,
            account_number="U1",
            account_type="PAPER",
            base_currency="USD",
        )
    scribe.open()
    with store.tenant_unit(scribe.tenant_id) as unit:
        accounts.put_route(unit, scribe.account_id, scribe.broker_account_id)
    return scribe


@pytest.fixture
def new_scribe(store: SqlStore) -> Callable[[], Scribe]:
    """Makes a tenant with a ledger and a scribe for it."""
    return lambda: prepare(store, Scribe(store))


@pytest.fixture
def scribe(new_scribe: Callable[[], Scribe]) -> Scribe:
    return new_scribe()


@pytest.fixture
def blank_scribe() -> Callable[[Store], Scribe]:
    """Makes a scribe for a store without rows for it."""
    return Scribe


@pytest.fixture
def prepared() -> Callable[[SqlStore], Scribe]:
    """Makes a tenant with a ledger and a scribe for it in any store."""
    return lambda store: prepare(store, Scribe(store))
