"""The worker watches ledgers that have monitors, soon after something moved, and no ledger holds up another one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import msgspec
import pytest

from oms_app.bootstrap import Services, clock, new_id
from oms_app.cli.demo import ACCOUNT_ID, BROKER_ACCOUNT_ID, LEDGER_ID, TENANT_ID
from oms_app.flow.consequences import act_on_triggers
from oms_app.flow.desk import Desk
from oms_app.flow.rulebook import make_monitors, make_rules
from oms_app.signals import NoSignals
from oms_app.store import limits, monitoring_rounds, quotes, tenants
from oms_app.store.tables import BREACHES
from oms_app.workers.monitoring import Monitoring
from oms_kernel.contracts.plugin import NoParams
from oms_kernel.contracts.rules import Trigger
from oms_kernel.domain.events import OrderFilled
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import BrokerAccountId, ExecId, LedgerId, TenantId
from oms_kernel.domain.lifecycle import Word
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import EXTERNAL_BOOK, Side
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import Guard
from oms_kernel.registry import Registered, Registry
from tests.app_kit import demo_services, demo_settings
from tests.waiting import until

HOMES = ["sqlite", pytest.param("postgresql", marks=pytest.mark.integration)]


class BidBelow:
    """Is alarmed while the bid of something held is below 90."""

    name: ClassVar[str] = "bid_below"
    title = "The bid is low"
    Params = NoParams
    asked = 0
    hold: ClassVar[threading.Event | None] = None
    """When set: the first ledger that asks waits for it, as on a database that does not answer."""

    def __init__(self, params: Any, scope: Scope) -> None:
        """Nothing to keep."""

    def watch(self, view: Any, state: Any) -> tuple[Trigger, ...]:
        BidBelow.asked += 1
        found = []
        for _, instrument_id in view.holdings(EVERYTHING):
            quote = view.market.last_known(instrument_id)
            if quote is not None and quote.bid < 90:
                text = f"the bid is {quote.bid}"
                found.append(Trigger(message=text, observed=quote.bid, limit=Decimal(90), unit="USD"))
        return tuple(found)


@pytest.fixture(scope="module", params=HOMES)
def services(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    more = {}
    if request.param == "postgresql":
        more = {"OMS_DATABASE_URL": request.getfixturevalue("new_postgres_database")(), "OMS_SECRET_KEY": "k" * 48}
    made, _facts = demo_services(demo_settings(Path(tmp_path_factory.mktemp("monitoring")) / "home", **more))
    registered = Registered(BidBelow.name, "acme", "acme", BidBelow)
    registries = msgspec.structs.replace(made.registries, monitors=Registry([registered]))
    guard = Guard("acme")

    def guard_of(plugin: str) -> Guard:
        return guard if plugin == guard.plugin else made.plugins.guard(plugin)

    desk = Desk(
        made.store,
        make_rules=partial(make_rules, registries, guard_of),
        make_monitors=partial(make_monitors, registries, guard_of),
        after_work=act_on_triggers,
        capabilities=lambda broker: None,
        new_id=new_id,
    )
    yield msgspec.structs.replace(made, registries=registries, desk=desk)
    made.close()


class Hearing(NoSignals):
    """Signals that the test rings."""

    def __init__(self) -> None:
        self.bells: list[Any] = []

    def listen(self, bell: Any) -> Callable[[], None]:
        self.bells.append(bell)
        return lambda: self.bells.remove(bell)


def monitoring_of(services: Services, *, leads: Callable[[], bool] = lambda: True, every_s: float = 0.05) -> Monitoring:
    return Monitoring(
        services.store,
        services.desk,
        services.registries,
        leads=leads,
        every_s=every_s,
        clock=clock,
        holder="worker:test",
        signals=Hearing(),
    )


def watch_for(services: Services, limit_id: str, tenant_id: TenantId = TENANT_ID) -> None:
    with services.store.tenant_unit(tenant_id) as unit:
        limits.put_limit(unit, limit_id, rule="bid_below", params={})


def quote(services: Services, bid: str) -> None:
    instrument_id = instrument_of(services)
    now = datetime.now(UTC)
    with services.store.platform_unit() as unit:
        price = Decimal(bid)
        quotes.put_quotes(unit, [Quote(instrument_id, price, Decimal(1), price, Decimal(1), now, now, None)])


def instrument_of(services: Services) -> Any:
    with services.store.ledger_unit(TENANT_ID, LEDGER_ID) as unit:
        return next(iter(unit.catalogue().by_symbol["AAPL"]))


def buy(services: Services, quantity: int, name: str) -> None:
    """Book an execution of an order that was not placed here."""
    now = datetime.now(UTC)
    fill = Fill(
        exec_id=ExecId(name),
        order_id=None,
        account_id=ACCOUNT_ID,
        broker_account_id=BrokerAccountId(BROKER_ACCOUNT_ID),
        instrument_id=instrument_of(services),
        book=EXTERNAL_BOOK,
        side=Side.BUY,
        quantity=Decimal(quantity),
        price=Decimal(100),
        currency="USD",
        multiplier=Decimal(1),
        executed_at=now,
        trading_date=now.date().isoformat(),
        risk_date=now.date().isoformat(),
    )
    filled = OrderFilled(account_id=ACCOUNT_ID, fill=fill, word=Word.FILLED_PART)
    services.desk.transact(TENANT_ID, LEDGER_ID, lambda turn: turn.batch.record(filled))


def breaches(services: Services) -> int:
    with services.store.read_unit(TENANT_ID) as unit:
        rows = unit.connection.execute(BREACHES.select().where(BREACHES.c.tenant_id == TENANT_ID)).all()
        return len(rows)


def turned(monitoring: Monitoring) -> int:
    """How many ledgers a turn began to look at; waits until they were looked at."""
    begun = monitoring.turn()
    until(monitoring.settled, "the looks have ended")
    return begun


def test_ledgers_are_watched_from_their_first_monitor_on(services: Services) -> None:
    """In one story, as the ledger is one: nobody leads, no monitor, a monitor, a mark, a fill, a breach."""
    assert monitoring_of(services, leads=lambda: False).turn() == 0
    monitoring = monitoring_of(services)
    assert turned(monitoring) == 0
    limit_id = new_id()
    watch_for(services, limit_id)
    monitoring._discover_at = 0.0
    assert turned(monitoring) == 1
    assert BidBelow.asked > 0

    quote(services, "95")
    assert turned(monitoring) == 0, "nothing is held: a mark changes nothing"
    buy(services, 10, "first")
    assert turned(monitoring) == 1, "a fill is looked at"
    until(lambda: turned(monitoring) == 0, "nothing moved since")
    quote(services, "80")
    services.desk.quotes._read_at = float("-inf")
    assert turned(monitoring) == 1, "a mark of what is held is looked at"
    assert breaches(services) == 1
    until(lambda: turned(monitoring) == 0, "nothing moved since")
    assert breaches(services) == 1

    monitoring._note()
    with services.store.read_unit(TENANT_ID) as unit:
        (row,) = monitoring_rounds.list_rounds(unit, TENANT_ID)
    assert (row.ledger_id, row.monitors, row.failures, row.error) == (LEDGER_ID, 1, (), "")
    assert row.holder == "worker:test"
    assert row.rounds >= 4
    with services.store.tenant_unit(TENANT_ID) as unit:
        assert limits.end_limit(unit, limit_id)
    monitoring._discover()
    with services.store.read_unit(TENANT_ID) as unit:
        (row,) = monitoring_rounds.list_rounds(unit, TENANT_ID)
    assert not row.is_late(row.ended_at + timedelta(days=1)), "without monitors no round is missed"
    monitoring.stop()


def test_a_slow_ledger_holds_up_itself_only(services: Services) -> None:
    tenant_id, slow = TenantId(new_id()), LedgerId(new_id())
    with services.store.tenant_unit(tenant_id) as unit:
        tenants.create_tenant(unit, "Slow")
        tenants.create_ledger(unit, slow)
    watch_for(services, new_id(), tenant_id)
    watch_for(services, new_id())
    monitoring = monitoring_of(services)
    cache = services.desk.ledger(tenant_id, slow)
    with cache._lock:  # as while a transaction of this ledger waits for the database
        assert monitoring.turn() == 2
        other, held = monitoring._watched[LEDGER_ID], monitoring._watched[slow]
        for _ in range(3):
            until(lambda: other.is_idle, "the other ledger was looked at")
            other.look_at = 0.0
            assert monitoring.turn() == 1
        assert not held.is_idle
    until(monitoring.settled, "the slow ledger was looked at")
    assert held.rounds == 1
    assert other.rounds == 4
    monitoring.stop()


def test_a_running_loop_stores_a_breach_of_a_new_limit_by_itself_and_stops(services: Services) -> None:
    monitoring = monitoring_of(services)
    quote(services, "80")
    before = breaches(services)
    monitoring.start()
    try:
        watch_for(services, new_id())
        until(lambda: breaches(services) > before, "the breach is stored")
    finally:
        monitoring.stop()
    assert not monitoring._thread.is_alive()
