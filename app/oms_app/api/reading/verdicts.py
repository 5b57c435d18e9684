"""What the rules said: of one order over its whole life, of all orders that were denied or held, of those that wait."""

from collections.abc import Mapping, Sequence
from typing import Any

from oms_app.api.json_text import plain
from oms_app.api.order_json import order_document, verdict_document
from oms_app.api.reading.asked import page_of, paging_of, part_of
from oms_app.api.reading.orders import tags_of
from oms_app.flow.principal import Principal
from oms_app.store import log_rows, queries
from oms_app.store.queries import OrderFilter, OrderView, Page, VerdictFilter, VerdictView
from oms_app.store.rows import scope_of
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain import events as ev
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.lifecycle import OrderState

Judging = ev.OrderAccepted | ev.OrderDenied | ev.ReplaceRequested | ev.ReplaceDenied | ev.HoldReleased
JUDGING = (ev.OrderAccepted, ev.OrderDenied, ev.ReplaceRequested, ev.ReplaceDenied, ev.HoldReleased)
"""The events that hold verdicts."""
OUTCOMES: dict[str, str] = {
    "order_accepted": "ACCEPTED",
    "order_denied": "DENIED",
    "replace_requested": "ACCEPTED",
    "replace_denied": "DENIED",
    "hold_released": "APPROVED",
}


def order_verdicts(unit: RowsUnit, order_id: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of every judgement of an order, the first one first."""
    judged = [
        judgement_document(recorded, recorded.event)
        for recorded in queries.order_events(unit, OrderId(order_id))
        if isinstance(recorded.event, JUDGING)
        and (asked.get("from") is None or recorded.recorded_at >= asked["from"])
        and (asked.get("to") is None or recorded.recorded_at < asked["to"])
    ]
    return part_of(judged, asked)


def judgement_document(recorded: ev.Recorded, event: Judging) -> dict[str, Any]:
    """What all rules said at one moment of an order's life, passes too."""
    is_held = isinstance(event, ev.OrderAccepted) and event.held
    return {
        "seq": recorded.seq,
        "event_id": recorded.event_id,
        "kind": event.kind,
        "judged_at": plain(recorded.recorded_at),
        "judgement": "HELD" if is_held else OUTCOMES[event.kind],
        "principal": event.principal,
        "limits_version": getattr(event, "limits_version", None),
        "overridden": list(getattr(event, "overridden", ())),
        "verdicts": [verdict_document(one) for one in event.verdicts],
    }


def list_verdicts(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of the verdicts that denied or held, or would have, newest first."""
    filters = VerdictFilter(
        rule=asked.get("rule"),
        limit_id=asked.get("limit_id"),
        account_id=asked.get("account_id"),
        order_id=asked.get("order_id"),
        severity=asked.get("severity"),
        recorded_from=asked.get("from"),
        recorded_before=asked.get("to"),
        allowed_accounts=principal.account_ids,
    )
    return page_of(queries.list_verdicts(unit, filters, paging_of(asked)), _found_document)


def _found_document(view: VerdictView) -> dict[str, Any]:
    shown: dict[str, Any] = plain(view)
    shown["limit"] = shown.pop("limit_value")
    shown["order_seq"] = shown.pop("seq")
    return shown


def list_approvals(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of the orders that wait for a person, newest first."""
    filters = OrderFilter(
        states=frozenset({OrderState.HELD}),
        account_id=asked.get("account_id"),
        accepted_from=asked.get("from"),
        accepted_before=asked.get("to"),
        allowed_accounts=principal.account_ids,
    )
    found = queries.list_orders(unit, filters, paging_of(asked))
    shown = waiting_documents(unit, found.items)
    return page_of(
        Page(items=shown, next_cursor=found.next_cursor, total_count=found.total_count, has_next=found.has_next)
    )


def waiting_documents(unit: RowsUnit, views: Sequence[OrderView]) -> list[dict[str, Any]]:
    """These held orders with the verdicts that hold each, by its latest judgement, and who asks."""
    orders = [view.order for view in views]
    ids = [order.order_id for order in orders]
    tags = tags_of(unit, ids)
    latest: dict[OrderId, Judging] = {}
    askers: dict[OrderId, dict[str, None]] = {order_id: {} for order_id in ids}
    for recorded in log_rows.events_of_orders(unit.connection, scope_of(unit), ids) if ids else ():
        event = recorded.event
        if isinstance(event, (ev.OrderAccepted, ev.ReplaceRequested)):
            latest[event.order_id] = event
            askers[event.order_id][event.principal] = None
    return [
        {
            "order": order_document(order, tags.get(order.order_id)),
            "verdicts": [verdict_document(one) for one in latest[order.order_id].verdicts if one.holds],
            "requested_by": list(askers[order.order_id]),
            "hold_until": plain(order.hold_until),
        }
        for order in orders
    ]
