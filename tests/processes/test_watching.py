"""A worker in a process of its own tells of a breach and stops trading; so does the next one after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import select

from oms_app.bootstrap import Services
from oms_app.cli.demo import ACCOUNT_ID, BROKER_ACCOUNT_ID, LEDGER_ID, TENANT_ID, derived_id
from oms_app.store import limits, monitoring_rounds
from oms_app.store.tables import ALERTS, BREACHES, KILL_SWITCHES
from oms_kernel.domain.controls import Action
from oms_kernel.domain.events import OrderFilled
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.ids import BrokerAccountId, ExecId, InstrumentId
from oms_kernel.domain.lifecycle import Word
from oms_kernel.domain.order import EXTERNAL_BOOK, Side
from tests.app_kit import CHEAP, demo_services, demo_settings
from tests.waiting import until

pytestmark = pytest.mark.integration


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def services(home: Path) -> Iterator[Services]:
    made, _facts = demo_services(demo_settings(home, OMS_LEASE_S="2"))
    yield made
    made.close()


class Worker:
    """`oms worker` on a home."""

    def __init__(self, home: Path) -> None:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("OMS_")}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "oms_app.cli.main", "worker", "--parent-pid", str(os.getpid())],
            env={**inherited, **CHEAP, "OMS_HOME": str(home), "OMS_LEASE_S": "2"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self, number: int = signal.SIGTERM) -> None:
        self.process.send_signal(number)
        self.process.wait(30)


def buy(services: Services, quantity: int, name: str, symbol: str) -> None:
    now = datetime.now(UTC)
    fill = Fill(
        exec_id=ExecId(name), order_id=None, account_id=ACCOUNT_ID,
        broker_account_id=BrokerAccountId(BROKER_ACCOUNT_ID),
        instrument_id=InstrumentId(derived_id(f"instrument {symbol}")), book=EXTERNAL_BOOK, side=Side.BUY,
        quantity=Decimal(quantity), price=Decimal(100), currency="USD", multiplier=Decimal(1), executed_at=now,
        trading_date=now.date().isoformat(), risk_date=now.date().isoformat(),
    )  # fmt: skip
    filled = OrderFilled(account_id=ACCOUNT_ID, fill=fill, word=Word.FILLED_PART)
    services.desk.transact(TENANT_ID, LEDGER_ID, lambda turn: turn.batch.record(filled))


def breached(services: Services) -> list[str]:
    with services.store.read_unit(TENANT_ID) as unit:
        own = (BREACHES.c.tenant_id == TENANT_ID, BREACHES.c.rule == "position_monitor")
        return list(unit.connection.scalars(select(BREACHES.c.instrument_id).where(*own)))


def test_a_fill_beyond_its_limit_is_told_and_stopped_by_a_worker_and_by_the_next_one_after_a_kill(
    home: Path, services: Services
) -> None:
    with services.store.tenant_unit(TENANT_ID) as unit:
        params = {"max_quantity": "10"}
        limits.put_limit(unit, derived_id("watched"), rule="position_monitor", params=params, action=Action.HALT)
    worker = Worker(home)
    try:
        buy(services, 11, "first", "XNAS:AAPL")
        until(lambda: breached(services), "the worker told of the breach")
        with services.store.read_unit(TENANT_ID) as unit:
            alerts = select(ALERTS.c.severity).where(
                ALERTS.c.tenant_id == TENANT_ID, ALERTS.c.source == "limit:position_monitor"
            )
            switches = select(KILL_SWITCHES.c.trading_state).where(KILL_SWITCHES.c.tenant_id == TENANT_ID)
            assert list(unit.connection.scalars(alerts)) == ["CRITICAL"]
            assert list(unit.connection.scalars(switches)) == ["HALTED"]

        def rounds() -> list[monitoring_rounds.RoundRow]:
            with services.store.read_unit(TENANT_ID) as unit:
                return [row for row in monitoring_rounds.list_rounds(unit, TENANT_ID) if row.monitors]

        (row,) = until(rounds, "the worker stored how its rounds went")
        assert row.failures == ()
        worker.end(signal.SIGKILL)
        buy(services, 11, "second", "XNAS:MSFT")
        worker = Worker(home)
        until(lambda: len(breached(services)) == 2, "the next worker told of what came meanwhile")
    finally:
        worker.end()
