"""Carrying restraints on: what it costs while nothing is to do, and that nothing is overlooked because of that."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event

from oms_app.bootstrap import Services
from oms_app.cli.demo import ACCOUNT_ID, LEDGER_ID, TENANT_ID
from oms_app.flow.principal import Principal
from oms_app.store import tenants
from oms_app.store.queries.restraints import ledgers_liquidating
from oms_app.workers.restraining import Restraining
from oms_kernel.domain.events import AlertRaised, LiquidationStarted, Severity
from oms_kernel.domain.ids import LedgerId, TenantId
from oms_kernel.domain.scope import Scope
from tests.app_kit import demo_services, demo_settings

OFFICER = Principal("user:officer", TENANT_ID, frozenset())
HERE = Scope(account_id=ACCOUNT_ID)


@pytest.fixture
def services(tmp_path: Path) -> Iterator[Services]:
    made, _facts = demo_services(demo_settings(tmp_path / "home"))
    for _ in range(5):
        with made.store.tenant_unit(TenantId(made.new_id())) as unit:
            tenants.create_ledger(unit, LedgerId(made.new_id()))
    yield made
    made.close()


def worker(services: Services) -> Restraining:
    return Restraining(services.store, services.liquidations, services.dead_man, services.firm_switches)


@contextmanager
def counted(services: Services) -> Iterator[list[str]]:
    """The queries that are made meanwhile."""
    told: list[str] = []

    def hear(_c: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.startswith("SELECT"):
            told.append(statement)

    engine = services.store.readers
    event.listen(engine, "before_cursor_execute", hear)
    try:
        yield told
    finally:
        event.remove(engine, "before_cursor_execute", hear)


def begin(services: Services) -> None:
    """A liquidation, without the first step that `Liquidations.start` makes itself."""
    started = LiquidationStarted(account_id=ACCOUNT_ID, scope=HERE, reason_code="test", principal="user:officer")
    services.desk.transact(TENANT_ID, LEDGER_ID, lambda turn: turn.batch.record(started))


def is_running(services: Services) -> bool:
    with services.store.read_unit(TENANT_ID) as unit:
        return bool(ledgers_liquidating(unit))


def test_a_round_with_nothing_to_do_asks_once_for_each_of_the_three(services: Services) -> None:
    restraining = worker(services)
    with counted(services) as first:
        restraining.turn()
    with counted(services) as later:
        assert restraining.turn() == 0
    assert len(first) > len(later), "the first round looks into every tenant"
    assert [statement.partition("FROM ")[2].split()[0] for statement in later] == [
        "firm_switches", "dead_man_switches", "ledgers",
    ]  # fmt: skip


def test_a_ledger_that_moved_is_looked_into_and_no_other_one(services: Services) -> None:
    restraining = worker(services)
    restraining.turn()
    services.control.alert(TENANT_ID, LEDGER_ID, _alert())
    with counted(services) as told:
        assert restraining.turn() == 0
    assert len([statement for statement in told if "FROM liquidations" in statement]) == 1


def test_a_liquidation_that_another_process_began_is_carried_on(services: Services) -> None:
    restraining = worker(services)
    restraining.turn()
    begin(services)
    assert is_running(services)
    assert restraining.turn() == 1, "nothing is held: it has ended"
    assert not is_running(services)


def test_a_worker_that_starts_later_finds_what_runs(services: Services) -> None:
    begin(services)
    assert worker(services).turn() == 1
    assert not is_running(services)


def _alert() -> AlertRaised:
    return AlertRaised(account_id=ACCOUNT_ID, severity=Severity.INFO, source="test", text="moved", what_to_do="nothing")
