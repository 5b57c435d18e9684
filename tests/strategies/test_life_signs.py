"""Dead-man switches of strategies that run here: they strike when host or strategy falls silent, not after a stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from oms_app.bootstrap import Services
from oms_app.cli.demo import ACCOUNT_ID, LEDGER_ID, TENANT_ID
from oms_app.flow.audit import cli_actor
from oms_app.store import dead_man_switches
from oms_app.store.dead_man_switches import DeadManSwitch
from oms_app.store.tables import LIMITS
from oms_app.store.tenants import config_changed
from oms_app.strategies import life_signs, server
from oms_app.workers.restraining import Restraining
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.events import AlertRaised
from tests.app_kit import demo_services, demo_settings
from tests.strategies.test_runs import DEADLINE_S, Kit
from tests.waiting import until

pytestmark = pytest.mark.integration
TIMEOUT_S = 2


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(tmp_path_factory.mktemp("life_signs")) / "home"


@pytest.fixture(scope="module")
def services(home: Path) -> Iterator[Services]:
    made, _facts = demo_services(demo_settings(home))
    with made.store.tenant_unit(TENANT_ID) as unit:  # without quotes the demo's rules deny everything
        unit.connection.execute(update(LIMITS).where(LIMITS.c.tenant_id == TENANT_ID).values(is_active=False))
        config_changed(unit)
    yield made
    made.close()


@pytest.fixture
def kit(services: Services) -> Iterator[Kit]:
    made = Kit(services)
    set_timeout(made, TIMEOUT_S)
    yield made
    for keeper in made.keepers:
        keeper.stop()
    for keeper in made.keepers:
        keeper.join(DEADLINE_S)
        assert not keeper.is_alive


def set_timeout(kit: Kit, seconds: int) -> None:
    kit.services.tenancy.change_settings(cli_actor(), TENANT_ID, {"strategy_dead_man_s": seconds})


def switch_of(kit: Kit, run_id: str) -> DeadManSwitch | None:
    strategy_id = kit.run_row(run_id).strategy_id
    with kit.services.store.read_unit(None) as unit:
        return dead_man_switches.get(unit, TENANT_ID, f"strategy:{strategy_id}", strategy_id)


def is_armed(kit: Kit, run_id: str) -> bool:
    switch = switch_of(kit, run_id)
    return switch is not None and switch.due_at is not None


def states(kit: Kit, run_id: str) -> list[Any]:
    with kit.services.store.read_unit(TENANT_ID) as unit:
        found = unit.connection.exec_driver_sql(
            "SELECT state FROM orders WHERE tenant_id = ? AND strategy_run_id = ?", (TENANT_ID, run_id)
        )
        return [row.state for row in found]


def worker(kit: Kit) -> Restraining:
    services = kit.services
    return Restraining(services.store, services.liquidations, services.dead_man, services.firm_switches)


def strikes(kit: Kit, run_id: str) -> bool:
    """Whether the run's orders are cancelled after another turn of the worker."""
    worker(kit).turn()
    found = states(kit, run_id)
    return bool(found) and all(state in {"CANCELED", "PENDING_CANCEL"} for state in found)


def test_a_killed_host_leaves_no_working_order_of_its_strategies_behind(kit: Kit, home: Path) -> None:
    run_id = kit.start("chain", {"orders": 2, "prefix": "k"})
    host = subprocess.Popen([sys.executable, "-m", "tests.strategies.host_process", str(home)])
    try:
        until(lambda: "done" in kit.run_row(run_id).log, "the strategy has placed its orders")
        until(lambda: is_armed(kit, run_id), "the switch is armed")
        assert len(states(kit, run_id)) == 2
        assert not strikes(kit, run_id)
    finally:
        host.send_signal(signal.SIGKILL)
        host.wait()
    until(lambda: strikes(kit, run_id), "the orders are cancelled")
    struck = switch_of(kit, run_id)
    assert struck is not None
    assert (struck.account_id, struck.action, struck.timeout_s) == (ACCOUNT_ID, "CANCEL", TIMEOUT_S)
    assert struck.struck_at is not None
    alerts = [one.event for one in kit.services.reader.events(TENANT_ID, LEDGER_ID, 0, 10_000)]
    told = [one.text for one in alerts if isinstance(one, AlertRaised) and one.source == "dead_man"]
    assert [text for text in told if struck.strategy_id in text and "2 orders are being cancelled" in text]
    kit.stop_run(run_id)


def test_a_strategy_that_does_not_answer_loses_its_working_orders(kit: Kit) -> None:
    run_id = kit.start("mute")
    kit.claim(run_id)
    until(lambda: states(kit, run_id), "an order was placed")
    until(lambda: strikes(kit, run_id), "its order is cancelled while it hangs")
    assert kit.run_row(run_id).status == "RUNNING", "the host itself lives"
    _kill_children()


def test_a_strategy_that_ends_in_error_loses_its_working_orders(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "FIRST_BACKOFF_S", 0.01)
    monkeypatch.setattr(server, "FAILURES_ALLOWED", 2)
    run_id = kit.start("mute", {"raises": True})
    kit.claim(run_id)
    until(lambda: kit.run_row(run_id).status == "ERROR", "the run is given up")
    assert is_armed(kit, run_id)
    until(lambda: strikes(kit, run_id), "its order is cancelled")


def test_a_silent_market_is_no_silence_of_the_strategy_and_a_stop_disarms(kit: Kit) -> None:
    run_id = kit.start("chain", {"orders": 1})
    kit.claim(run_id)
    until(lambda: is_armed(kit, run_id), "the switch is armed")
    armed = switch_of(kit, run_id)
    assert armed is not None and armed.due_at is not None
    until(lambda: kit.services.clock() > armed.due_at, "more than the time-out is over")
    assert not strikes(kit, run_id), "it was asked, and answered"
    renewed = switch_of(kit, run_id)
    assert renewed is not None
    assert renewed.armed_at == armed.armed_at
    kit.stop_run(run_id)
    until(lambda: kit.run_row(run_id).status == "STOPPED", "the run has stopped")
    assert not is_armed(kit, run_id)


def test_a_tenant_that_turns_it_off_has_no_armed_switch_left(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(life_signs, "LOOK_AGAIN_S", 0.05)
    run_id = kit.start("chain", {"orders": 1})
    kit.claim(run_id)
    until(lambda: is_armed(kit, run_id), "the switch is armed")
    set_timeout(kit, 0)
    until(lambda: not is_armed(kit, run_id), "the switch is disarmed")
    kit.stop_run(run_id)
    until(lambda: kit.run_row(run_id).status == "STOPPED", "the run has stopped")


@pytest.mark.parametrize("seconds", [-1, 1, 3601])
def test_a_time_out_out_of_its_bounds_is_refused(kit: Kit, seconds: int) -> None:
    with pytest.raises(InvalidRequest) as caught:
        set_timeout(kit, seconds)
    assert caught.value.field == "settings.strategy_dead_man_s"


def _kill_children() -> None:
    """End the strategies' processes of this test, so that nobody waits for a hanging one."""
    for line in Path("/proc/self/task").glob("*/children"):
        for pid in line.read_text().split():
            if "oms_app.strategies.child" in Path(f"/proc/{pid}/cmdline").read_text():
                os.kill(int(pid), signal.SIGKILL)
