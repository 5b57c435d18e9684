"""Orders, their events and executions as the API lists and shows them."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec
from sqlalchemy import select

from oms_app.api.json_text import encode, plain
from oms_app.api.order_json import order_document
from oms_app.api.paging import page
from oms_app.api.reading.asked import instrument_asked, paging_of, part_of, states_asked
from oms_app.flow.principal import Principal
from oms_app.flow.publishing import public_event
from oms_app.store import queries
from oms_app.store.projection import decode_order
from oms_app.store.queries import ExecutionFilter, ExecutionView, OrderFilter
from oms_app.store.queries.reading import viewer
from oms_app.store.tables import EXECUTIONS, INSTRUMENTS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.order import Order


def list_orders(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of orders, newest first."""
    symbol, instrument_id = instrument_asked(unit, asked)
    filters = OrderFilter(
        states=states_asked(asked),
        account_id=asked.get("account_id"),
        instrument_id=instrument_id,
        symbol=symbol,
        side=asked.get("side"),
        strategy_id=asked.get("strategy_id"),
        client_order_id=asked.get("client_order_id"),
        accepted_from=asked.get("from"),
        accepted_before=asked.get("to"),
        allowed_accounts=principal.account_ids,
    )
    found = queries.list_order_documents(unit, filters, paging_of(asked))
    shown = [shown_order(document) for document in found.items]
    tagged = [one.order_id for one in shown if one.is_tagged]
    tags = queries.order_texts(unit, tagged, "tags") if tagged else {}
    items = [one.json if one.order_id not in tags else one.with_tags(tags[one.order_id]) for one in shown]
    return page(items, next_cursor=found.next_cursor, total_count=found.total_count)


class ShownOrder(msgspec.Struct, frozen=True):
    """One version of an order as the API shows it, its tags left out: `json` ends with `"tags":null}`."""

    order_id: OrderId
    is_tagged: bool
    json: msgspec.Raw

    def with_tags(self, tags: str) -> msgspec.Raw:
        """The same with the text of its tags, which is JSON."""
        return msgspec.Raw(bytes(self.json).removesuffix(_NO_TAGS) + b'"tags":' + tags.encode() + b"}")


_NO_TAGS = b'"tags":null}'


@lru_cache(maxsize=2048)
def shown_order(document: str) -> ShownOrder:
    """A stored order as the API shows it. The same orders are listed again and again, and a version never changes."""
    order = decode_order(document)
    text = encode(order_document(order))
    if not text.endswith(_NO_TAGS):
        raise RuntimeError("the last field of an order's JSON is its tags")
    return ShownOrder(order.order_id, order.request.tags_hash is not None, msgspec.Raw(text))


def find_order(unit: RowsUnit, principal: Principal, order_id: str) -> Order | None:
    """The order, if the principal may see it."""
    view = queries.get_order(unit, OrderId(order_id))
    return view.order if view is not None and principal.may_use(view.order.request.account_id) else None


def tags_of(unit: RowsUnit, order_ids: Sequence[OrderId]) -> dict[OrderId, dict[str, Any]]:
    """The tags of those orders that have some."""
    texts = queries.order_texts(unit, order_ids, "tags") if order_ids else {}
    return {order_id: msgspec.json.decode(text) for order_id, text in texts.items()}


def list_order_events(unit: RowsUnit, order_id: str, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of what happened to the order, in the order in which it was recorded."""
    events = [
        event
        for event in queries.order_events(unit, OrderId(order_id))
        if (asked.get("from") is None or event.recorded_at >= asked["from"])
        and (asked.get("to") is None or event.recorded_at < asked["to"])
    ]
    return part_of([public_event(event) for event in events], asked)


def list_executions(unit: RowsUnit, principal: Principal, asked: Mapping[str, Any]) -> dict[str, Any]:
    """One page of executions, newest first."""
    symbol, instrument_id = instrument_asked(unit, asked)
    filters = ExecutionFilter(
        order_id=asked.get("order_id"),
        account_id=asked.get("account_id"),
        instrument_id=instrument_id,
        symbol=symbol,
        side=asked.get("side"),
        book=asked.get("book") or asked.get("strategy_id"),
        executed_from=asked.get("from"),
        executed_before=asked.get("to"),
        allowed_accounts=principal.account_ids,
    )
    found = queries.list_executions(unit, filters, paging_of(asked))
    items = [execution_document(view) for view in found.items]
    return page(items, next_cursor=found.next_cursor, total_count=found.total_count)


def find_execution(unit: RowsUnit, principal: Principal, execution_id: str) -> dict[str, Any] | None:
    """The execution, if the principal may see it."""
    row = unit.connection.execute(
        select(EXECUTIONS, INSTRUMENTS.c.symbol)
        .join(INSTRUMENTS, INSTRUMENTS.c.instrument_id == EXECUTIONS.c.instrument_id, isouter=True)
        .where(EXECUTIONS.c.tenant_id == principal.tenant_id, EXECUTIONS.c.execution_id == execution_id)
    ).one_or_none()
    if row is None or not principal.may_use(row.account_id):
        return None
    return execution_document(viewer(ExecutionView, symbol="")(row))


def execution_document(view: ExecutionView) -> dict[str, Any]:
    """An execution as JSON values."""
    shown: dict[str, Any] = plain(view)
    shown["busted"] = shown.pop("is_busted")
    del shown["ledger_id"]
    return shown
