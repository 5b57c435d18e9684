"""Breaches of limits and cases of surveillance as the API shows them, with notes and what they are about."""

from collections.abc import Mapping
from typing import Any

from oms_app.api.json_text import plain
from oms_app.api.order_json import order_document
from oms_app.api.reading.asked import page_of, paging_of
from oms_app.api.reading.orders import execution_document, tags_of
from oms_app.flow.principal import Principal
from oms_app.store import queries
from oms_app.store.monitoring_rounds import RoundRow, list_rounds
from oms_app.store.queries import BreachFilter, BreachView
from oms_app.store.queries.evidence import breach_evidence
from oms_app.store.rows import scope_of
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.controls import Category


def list_breaches(unit: RowsUnit, principal: Principal, category: Category, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of breaches, newest first."""
    filters = BreachFilter(
        categories=(category,),
        rule=asked.get("rule"),
        account_id=asked.get("account_id"),
        is_open=asked.get("open"),
        breached_from=asked.get("from"),
        breached_before=asked.get("to"),
        allowed_accounts=principal.account_ids,
    )
    return page_of(queries.list_breaches(unit, filters, paging_of(asked)), breach_document)


def find_breach(unit: RowsUnit, principal: Principal, category: Category, breach_id: str) -> BreachView | None:
    """The breach, if the principal may see it."""
    filters = BreachFilter(categories=(category,), allowed_accounts=principal.account_ids)
    return queries.get_breach(unit, breach_id, filters)


def breach_document(view: BreachView) -> dict[str, Any]:
    """A breach as JSON values."""
    shown: dict[str, Any] = plain(view)
    del shown["ledger_id"]
    shown["limit"] = shown.pop("limit_value")
    return {**shown, "status": view.status}


def whole_breach(unit: RowsUnit, view: BreachView) -> dict[str, Any]:
    """A breach with what people noted."""
    return {**breach_document(view), "notes": [plain(note) for note in queries.breach_notes(unit, view.breach_id)]}


def whole_case(unit: RowsUnit, view: BreachView) -> dict[str, Any]:
    """A breach with its notes and the orders and executions that it is about."""
    known = breach_evidence(unit, view)
    tags = tags_of(unit, [found.order.order_id for found in known.orders])
    return {
        **whole_breach(unit, view),
        "code": known.code,
        "order_id": known.order_id,
        "orders": [order_document(found.order, tags.get(found.order.order_id)) for found in known.orders],
        "executions": [
            {name: shown[name] for name in _OF_EXECUTION} for shown in map(execution_document, known.executions)
        ],
    }


_OF_EXECUTION = ("execution_id", "order_id", "symbol", "side", "quantity", "price", "executed_at")


def rounds(unit: RowsUnit) -> list[dict[str, Any]]:
    """The last round of monitoring of each of the tenant's ledgers."""
    return [_round(unit, row) for row in list_rounds(unit, scope_of(unit))]


def _round(unit: RowsUnit, row: RoundRow) -> dict[str, Any]:
    shown: dict[str, Any] = plain(row)
    del shown["tenant_id"]
    return {
        **shown,
        "age_ms": max(0, round((unit.now - row.ended_at).total_seconds() * 1000)),
        "is_late": row.is_late(unit.now),
    }
