"""Breaches, kill switches, liquidations and verdicts have search rows, and those are what the log says."""

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from sqlalchemy import insert, select, update

from oms_app.store.tables import BREACHES, KILL_SWITCH_EVENTS, KILL_SWITCHES, LIQUIDATIONS, RULE_DENIALS
from oms_app.store.verify import verify
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.controls import Action, Category
from oms_kernel.domain.decision import Outcome, RuleSeverity, Verdict
from oms_kernel.domain.scope import Scope


def rows(scribe: Any, table: Any) -> list[Any]:
    with scribe.store.read_unit(scribe.tenant_id) as unit:
        return list(unit.connection.execute(select(table).where(table.c.tenant_id == scribe.tenant_id)))


def throw(scribe: Any, **changes: Any) -> str:
    event = ev.KillSwitchActivated(
        account_id=scribe.account_id,
        scope=Scope(account_id=scribe.account_id),
        trading_state=TradingState.HALTED,
        reason_code="drawdown",
        cancel_working=True,
        principal="user:1",
    )
    return str(scribe.write(event)[0].event_id)


def test_a_kill_switch_has_a_row_that_changes_and_one_for_all_that_happens_to_it(scribe: Any) -> None:
    switch_id = throw(scribe)
    scribe.write(ev.ReleaseAsked(switch_id=switch_id, principal="user:1"))
    scribe.write(ev.KillSwitchReleased(switch_id=switch_id, principal="user:2", asked_by="user:1"))
    scribe.write(
        ev.KillSwitchDrilled(
            scope=Scope(), trading_state=TradingState.HALTED, orders=3, positions=1, elapsed_ms=4, principal="user:2"
        )
    )
    (switch,) = rows(scribe, KILL_SWITCHES)
    assert (switch.switch_id, switch.trading_state, switch.level) == (switch_id, "HALTED", "ACCOUNT")
    assert (switch.release_asked_by, switch.released_by) == ("user:1", "user:2")
    assert switch.released_at is not None
    history = sorted(rows(scribe, KILL_SWITCH_EVENTS), key=lambda row: row.seq)
    assert [row.kind for row in history] == ["ACTIVATED", "RELEASE_ASKED", "RELEASED", "DRILLED"]
    assert [row.switch_id for row in history] == [switch_id, switch_id, switch_id, None]
    assert (history[-1].order_count, history[-1].position_count, history[-1].elapsed_ms) == (3, 1, 4)
    assert verify(scribe.store, scribe.tenant_id, scribe.ledger_id).differences == ()


def test_a_breach_and_a_liquidation_are_rows_until_they_end(scribe: Any) -> None:
    scope = Scope(account_id=scribe.account_id, instrument_id=scribe.instrument_id)
    breached = ev.LimitBreached(
        account_id=scribe.account_id,
        limit_id="limit",
        rule="max_daily_loss",
        key="2026-11-20",
        scope=scope,
        category=Category.RISK,
        action=Action.FLATTEN,
        message="the loss is above the limit",
        observed=Decimal("1000.5"),
        limit=Decimal(1000),
        unit="USD",
    )
    started = ev.LiquidationStarted(account_id=scribe.account_id, scope=scope, reason_code="loss", principal="user:1")
    first, second = scribe.write(breached, started)
    (open_breach,) = rows(scribe, BREACHES)
    assert (open_breach.observed, open_breach.closed_at) == (Decimal("1000.5"), None)
    scribe.write(
        ev.BreachAssigned(breach_id=first.event_id, principal="user:1", assigned_to="user:2"),
        ev.BreachClosed(breach_id=first.event_id, principal="user:2", finding="explained"),
        ev.LiquidationEnded(liquidation_id=second.event_id, outcome="flat"),
    )
    (closed,), (ended,) = rows(scribe, BREACHES), rows(scribe, LIQUIDATIONS)
    assert (closed.assigned_to, closed.closed_by, closed.finding) == ("user:2", "user:2", "explained")
    assert (ended.outcome, ended.instrument_id) == ("flat", scribe.instrument_id)
    assert verify(scribe.store, scribe.tenant_id, scribe.ledger_id).differences == ()


def test_what_a_shadow_limit_would_have_denied_is_found_too(scribe: Any) -> None:
    verdicts = (
        Verdict(rule="quiet", outcome=Outcome.DENY, severity=RuleSeverity.SHADOW, limit_id="s", would_pass="less"),
        Verdict(rule="loud", outcome=Outcome.PASS),
    )
    accepted = ev.OrderAccepted(
        account_id=scribe.account_id,
        order_id=scribe.accepted().order_id,
        request=scribe.request(),
        reservation=ev.Reservation(price=Decimal("12.34"), source="limit_price"),
        send_before=datetime.now(UTC) + timedelta(seconds=10),
        verdicts=verdicts,
        **scribe.common(),
    )
    scribe.write(accepted)
    (row,) = rows(scribe, RULE_DENIALS)
    assert (row.rule, row.severity, row.limit_id, row.would_pass) == ("quiet", "SHADOW", "s", "less")
    assert verify(scribe.store, scribe.tenant_id, scribe.ledger_id).differences == ()


def test_a_switch_that_was_changed_by_hand_is_a_difference(new_scribe: Callable[[], Any]) -> None:
    scribe = new_scribe()
    throw(scribe)
    own = KILL_SWITCHES.c.tenant_id == scribe.tenant_id
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        unit.connection.execute(update(KILL_SWITCHES).where(own).values(released_by="nobody"))
    (difference,) = verify(scribe.store, scribe.tenant_id, scribe.ledger_id).differences
    assert "kill_switches" in difference


def test_what_happened_to_switches_can_be_added_to_by_hand_only_which_is_a_difference(
    new_scribe: Callable[[], Any],
) -> None:
    scribe = new_scribe()
    throw(scribe)
    (row,) = rows(scribe, KILL_SWITCH_EVENTS)
    forged = {**row._mapping, "event_id": str(uuid.uuid4()), "principal": "nobody"}
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        unit.connection.execute(insert(KILL_SWITCH_EVENTS).values(**forged))
    (difference,) = verify(scribe.store, scribe.tenant_id, scribe.ledger_id).differences
    assert "kill_switch_events" in difference
