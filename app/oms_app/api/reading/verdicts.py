"""What the rules said: of one order over its whole life, of all orders that were denied or held, of those that wait."""

from collections.abc import Mapping, Sequence
from typing import Any

from oms_app.api.json_text import plain
from oms_app.api.order_json import order_document, verdict_document
from oms_app.api.reading.asked import page_of, paging_of, part_of
from oms_app.api.reading.orders import tags_of
from oms_app.flow.principal import Principal
from oms_app.store import queries
from oms_app.store.queries import OrderFilter, OrderView, Page, VerdictFilter, VerdictView
from oms_app.store.queries.judgements import Judging, judgement_word, judgements, waiting_orders
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain import events as ev
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.lifecycle import OrderState


def order_verdicts(unit: RowsUnit, order_id: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of every judgement of an order, the first one first."""
    judged = [
        judgement_document(recorded, event)
        for recorded, event in judgements(unit, OrderId(order_id))
        if (asked.get("from") is None or recorded.recorded_at >= asked["from"])
        and (asked.get("to") is None or recorded.recorded_at < asked["to"])
    ]
    return part_of(judged, asked)


def judgement_document(recorded: ev.Recorded, event: Judging) -> dict[str, Any]:
    """What all rules said at one moment of an order's life, passes too."""
    return {
        "seq": recorded.seq,
        "event_id": recorded.event_id,
        "kind": event.kind,
        "judged_at": plain(recorded.recorded_at),
        "judgement": judgement_word(event),
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
    found = waiting_orders(unit, views)
    tags = tags_of(unit, [one.order.order_id for one in found])
    return [
        {
            "order": order_document(one.order, tags.get(one.order.order_id)),
            "verdicts": [verdict_document(verdict) for verdict in one.verdicts],
            "requested_by": list(one.requested_by),
            "hold_until": plain(one.order.hold_until),
        }
        for one in found
    ]
