"""Strategy runs: each callback's effect once, failures started again and given up, stops carried out."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from oms_app.bootstrap import Services
from oms_app.cli.demo import ACCOUNT_ID, LEDGER_ID, TENANT_ID, demo_instruments
from oms_app.flow.principal import Principal
from oms_app.store import leases
from oms_app.store import strategies as strategy_rows
from oms_app.store.quotes import put_quotes
from oms_app.strategies import process, rows, server
from oms_app.strategies.run import Wiring
from oms_app.strategies.server import RunKeeper
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.events import AlertRaised, OrderAccepted, OrderDenied, Recorded
from oms_kernel.domain.market import Quote
from oms_kernel.domain.money import ONE
from oms_kernel.registry import Registered, Registries, Registry
from tests.app_kit import demo_services, demo_settings
from tests.strategies import sample
from tests.waiting import until

pytestmark = pytest.mark.integration
DEADLINE_S = 30.0
CLASSES: list[Any] = [sample.Chain, sample.QuoteBuyer, sample.Broken, sample.Sleepy, sample.Mute]
REGISTRIES = Registries(
    strategies=Registry([Registered(name=one.name, plugin="test", distribution="", contributed=one) for one in CLASSES])
)


def wiring_of(services: Services) -> Wiring:
    """What every run of a host uses."""
    return Wiring(
        store=services.store,
        reader=services.reader,
        intake=services.intake,
        amendment=services.amendment,
        dead_man=services.dead_man,
        instruments=lambda: {one.symbol: one for one in demo_instruments()},
        clock=services.clock,
        poll_s=0.02,
    )


class Kit:
    """A strategy host on a database of its own."""

    def __init__(self, services: Services) -> None:
        self.services = services
        self.keepers: list[RunKeeper] = []
        self.wiring = wiring_of(services)

    def start(self, strategy: str, params: dict[str, Any] | None = None) -> str:
        """A new run, not claimed yet."""
        strategy_id, run_id = self.services.new_id(), self.services.new_id()
        head = self.services.reader.heads([LEDGER_ID])[LEDGER_ID]
        with self.services.store.tenant_unit(TENANT_ID) as unit:
            strategy_rows.create_strategy(
                unit, strategy_id, name=strategy, strategy=strategy, account_id=ACCOUNT_ID, params=params or {}
            )
            strategy_rows.start_run(unit, run_id, strategy_id, LEDGER_ID, cursor_seq=head)
        return run_id

    def claim(self, run_id: str, holder: str = "host") -> RunKeeper | None:
        """What the host does when it finds the run."""
        (run,) = [one for one in rows.open_runs(self.services.store) if one.run_id == run_id]
        keeper = server._claim(self.wiring, self.services.control, REGISTRIES, run, holder, 20.0)
        if keeper is not None:
            self.keepers.append(keeper)
            keeper.start()
        return keeper

    def run_row(self, run_id: str) -> Any:
        with self.services.store.read_unit(TENANT_ID) as unit:
            return strategy_rows.get_run(unit, run_id)

    def stop_run(self, run_id: str) -> None:
        with self.services.store.tenant_unit(TENANT_ID) as unit:
            strategy_rows.set_run_status(unit, run_id, "STOPPING", expected=("STARTING", "RUNNING"))

    def events(self, run_id: str) -> list[Recorded]:
        """The orders of a run, as the log has them."""
        found: list[Recorded] = []
        position = 0
        while page := self.services.reader.events(TENANT_ID, LEDGER_ID, position):
            position = page[-1].seq
            found += page
        return [
            one
            for one in found
            if isinstance(one.event, OrderAccepted | OrderDenied) and one.event.request.strategy_run_id == run_id
        ]

    def quote(self) -> None:
        now = self.services.clock()
        spy = demo_instruments()[0]
        price = msgspec.convert("450.00", type=type(ONE))
        with self.services.store.platform_unit() as unit:
            quote = Quote(
                instrument_id=spy.instrument_id, bid=price, bid_size=ONE, ask=price, ask_size=ONE,
                data_at=now, received_at=now,
            )  # fmt: skip
            put_quotes(unit, [quote])


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    made, _facts = demo_services(demo_settings(Path(tmp_path_factory.mktemp("strategies")) / "home"))
    yield made
    made.close()


@pytest.fixture
def kit(services: Services) -> Iterator[Kit]:
    made = Kit(services)
    yield made
    for keeper in made.keepers:
        keeper.stop()
    for keeper in made.keepers:
        keeper.join(DEADLINE_S)
        assert not keeper.is_alive


def test_a_callbacks_order_is_placed_once_although_the_process_dies_in_the_middle(kit: Kit, tmp_path: Path) -> None:
    run_id = kit.start("chain", {"orders": 6, "die_at": 3, "scratch": str(tmp_path / "died")})
    kit.claim(run_id)
    until(lambda: "done" in kit.run_row(run_id).log, "the chain is done")
    orders = kit.events(run_id)
    assert [one.event.request.client_order_id for one in orders] == [None, "a2", "a3", "a4", "a5", "a6"]  # type: ignore[attr-defined]
    row = kit.run_row(run_id)
    assert (row.status, row.restarts) == ("RUNNING", 1)
    assert (tmp_path / "died").exists()
    assert all(one.event.principal == f"strategy:{row.strategy_id}" for one in orders)  # type: ignore[attr-defined]


def test_a_run_goes_on_in_another_process_without_repeating_its_start(kit: Kit) -> None:
    run_id = kit.start("chain", {"orders": 2, "prefix": "b"})
    first = kit.claim(run_id)
    assert first is not None
    until(lambda: "done" in kit.run_row(run_id).log, "the chain is done")
    assert kit.claim(run_id, holder="another") is None, "the lease is held"
    first.stop()
    first.join(DEADLINE_S)
    assert kit.run_row(run_id).status == "RUNNING"
    second = kit.claim(run_id, holder="another")
    assert second is not None
    until(lambda: kit.run_row(run_id).log.count("started") == 2, "the second life has begun")
    assert len(kit.events(run_id)) == 2


def test_quotes_are_told_orders_are_placed_and_a_stop_is_carried_out(kit: Kit) -> None:
    run_id = kit.start("quote_buyer")
    kit.claim(run_id)
    until(lambda: kit.run_row(run_id).status == "RUNNING", "the run has begun")
    until(lambda: kit.quote() or kit.events(run_id), "an order after a quote")
    until(lambda: "SPY NEW" in kit.run_row(run_id).log, "the strategy heard of its order")
    log = kit.run_row(run_id).log
    assert "SPY 450" in log
    assert "order not placed: unknown_symbol" in log
    kit.stop_run(run_id)
    until(lambda: kit.run_row(run_id).status == "STOPPED", "the run has stopped")
    assert "stopped" in kit.run_row(run_id).log
    (order,) = kit.events(run_id)
    with kit.services.store.read_unit(TENANT_ID) as unit:
        state = unit.connection.exec_driver_sql(
            "SELECT state FROM orders WHERE tenant_id = ? AND order_id = ?", (TENANT_ID, order.order_id)
        ).scalar_one()
        lease = leases.get(unit, strategy_rows.run_resource(run_id))
    assert state in {"CANCELED", "PENDING_CANCEL"}
    assert lease is not None and not lease.is_wanted


def test_a_strategy_that_fails_five_times_in_a_row_is_given_up_and_alerted(
    kit: Kit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "FIRST_BACKOFF_S", 0.01)
    run_id = kit.start("broken")
    kit.claim(run_id)
    until(lambda: kit.run_row(run_id).status == "ERROR", "the run is given up")
    row = kit.run_row(run_id)
    assert "no such luck" in row.error
    assert row.restarts == 4
    until(lambda: not kit.keepers[0].is_alive, "the keeper has ended")
    alerts = [one.event for one in kit.services.reader.events(TENANT_ID, LEDGER_ID, 0)]
    assert any(isinstance(one, AlertRaised) and "failed 5 times" in one.text for one in alerts)


def test_a_strategy_that_hangs_is_killed(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(server, "FAILURES_ALLOWED", 1)
    monkeypatch.setattr(process, "START_LIMIT_S", 0.5)
    run_id = kit.start("sleepy")
    kit.claim(run_id)
    until(lambda: kit.run_row(run_id).status == "ERROR", "the run is given up")
    assert "no answer in time" in kit.run_row(run_id).error


def test_a_run_of_a_strategy_that_is_not_installed_ends_in_error(kit: Kit) -> None:
    run_id = kit.start("nobody_has_this")
    assert kit.claim(run_id) is None
    row = kit.run_row(run_id)
    assert row.status == "ERROR"
    assert "nobody_has_this" in row.error


def test_halting_the_account_stops_its_strategies(kit: Kit) -> None:
    person = Principal(principal_id="user:x", tenant_id=TENANT_ID, scopes=frozenset())
    run_id = kit.start("quote_buyer")
    kit.claim(run_id)
    until(lambda: kit.run_row(run_id).status == "RUNNING", "the run has begun")
    kit.services.control.set_trading_state(person, ACCOUNT_ID, TradingState.HALTED, "test")
    try:
        until(lambda: kit.run_row(run_id).status == "STOPPED", "the run has stopped")
    finally:
        kit.services.control.set_trading_state(person, ACCOUNT_ID, TradingState.ACTIVE, "test")
