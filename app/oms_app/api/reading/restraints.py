"""Kill switches, liquidations and dead-man switches as the API shows them."""

from collections.abc import Mapping, Sequence
from typing import Any

from oms_app.api.json_text import plain
from oms_app.api.reading.asked import page_of, paging_of
from oms_app.flow.principal import Principal
from oms_app.store.dead_man_switches import DeadManSwitch
from oms_app.store.queries import restraints
from oms_app.store.queries.restraints import (
    ASKED_TEXT,
    RELEASE_TEXT,
    SWITCH_TEXT,
    LiquidationView,
    RestraintFilter,
    SwitchView,
)
from oms_app.store.unit_of_work import RowsUnit


def list_switches(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of kill switches, newest first."""
    found = restraints.list_switches(unit, _filter(principal, asked), paging_of(asked))
    texts = restraints.switch_texts(unit, [view.switch_id for view in found.items])
    return page_of(found, lambda view: _switch(view, texts))


def find_switch(unit: RowsUnit, principal: Principal, switch_id: str) -> SwitchView | None:
    """The kill switch, if the principal may see it."""
    return restraints.get_switch(unit, switch_id, principal.account_ids)


def switch_documents(unit: RowsUnit, switch_ids: Sequence[str]) -> list[dict[str, Any]]:
    """Kill switches as JSON values; an id of another tenant has none."""
    texts = restraints.switch_texts(unit, switch_ids)
    found = [restraints.get_switch(unit, switch_id) for switch_id in switch_ids]
    return [_switch(view, texts) for view in found if view is not None]


def list_switch_events(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of what happened to kill switches, newest first."""
    return page_of(restraints.list_switch_events(unit, _filter(principal, asked), paging_of(asked)))


def list_liquidations(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of liquidations, newest first."""
    found = restraints.list_liquidations(unit, _filter(principal, asked), paging_of(asked))
    return page_of(found, liquidation_document)


def find_liquidation(unit: RowsUnit, principal: Principal, liquidation_id: str) -> LiquidationView | None:
    """The liquidation, if the principal may see it."""
    return restraints.get_liquidation(unit, liquidation_id, principal.account_ids)


def liquidation_document(view: LiquidationView) -> dict[str, Any]:
    """A liquidation as JSON values."""
    return {**plain(view), "is_running": view.ended_at is None}


def dead_man_document(switch: DeadManSwitch) -> dict[str, Any]:
    """A dead-man switch as JSON values."""
    shown: dict[str, Any] = plain(switch)
    del shown["tenant_id"]
    return {**shown, "strategy_id": switch.strategy_id or None, "is_armed": switch.due_at is not None}


def _switch(view: SwitchView, texts: Mapping[tuple[str, str], str]) -> dict[str, Any]:
    release = [texts.get((view.switch_id, kind), "") for kind in (ASKED_TEXT, RELEASE_TEXT)]
    return {
        **plain(view),
        "reason": texts.get((view.switch_id, SWITCH_TEXT), ""),
        "release_reason": " / ".join(text for text in release if text),
        "is_active": view.released_at is None,
    }


def _filter(principal: Principal, asked: Mapping[str, Any]) -> RestraintFilter:
    return RestraintFilter(
        account_id=asked.get("account_id"),
        active=asked.get("active"),
        since=asked.get("from"),
        before=asked.get("to"),
        allowed_accounts=principal.account_ids,
    )
