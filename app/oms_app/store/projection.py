"""Recorded events and the book after them in, the rows of the log and of every projection out, for all databases."""

from collections.abc import Callable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec

from oms_app.store.projected_tables import (
    ACCOUNTS,
    ALERT_CHANGES,
    ALERTS,
    BREACHES,
    BREAKS,
    CASH,
    CLIENT_IDS,
    DAYS,
    DENIALS,
    EXECUTION_CHANGES,
    EXECUTION_IDS,
    EXECUTIONS,
    KILL_SWITCHES,
    LIQUIDATIONS,
    LOG,
    ORDERS,
    POSITIONS,
    QUARANTINES,
    SWITCH_EVENTS,
    Projection,
    Row,
    Rows,
)
from oms_app.store.types import time_to_text
from oms_kernel.domain import events as ev
from oms_kernel.domain.book import Book, DayCounters, ExecutionKey
from oms_kernel.domain.decision import Outcome
from oms_kernel.domain.fill import Fill
from oms_kernel.domain.order import Order

_ORDER_ENCODER = msgspec.json.Encoder(decimal_format="string", order="deterministic")
_ORDER_DECODER = msgspec.json.Decoder(Order)


def encode_order(order: Order) -> bytes:
    """The order as JSON: column `document` of table orders."""
    return _ORDER_ENCODER.encode(order)


def decode_order(document: str | bytes) -> Order:
    """The order of a stored document."""
    return _ORDER_DECODER.decode(document)


def rows_of(events: Sequence[ev.Recorded], book: Book) -> Iterator[tuple[Projection, Rows]]:
    """Every table that the batch changes, with its rows."""
    if not events:
        return
    now = events[-1].recorded_at
    for projection, build in _BUILDERS:
        rows = build(events, book, now)
        if rows:
            yield projection, rows


def event_rows(projection: Projection, recorded: ev.Recorded) -> Rows:
    """The rows that one event alone gives to a projection that does not come from the book."""
    return _BUILD[projection]([recorded], _EMPTY, recorded.recorded_at)


def book_rows(projection: Projection, book: Book, at: datetime) -> Rows:
    """The rows that a whole book gives to a projection that comes from it."""
    return _BUILD[projection]([], book, at)


def order_row(order: Order) -> Row:
    """The row of an order."""
    request = order.request
    return (
        order.order_id,
        request.account_id,
        order.broker_account_id,
        order.connection_id,
        request.instrument_id,
        order.symbol,
        order.currency,
        request.side.value,
        request.order_type.value,
        request.time_in_force.value,
        request.product,
        request.client_order_id,
        request.strategy_id,
        request.strategy_run_id,
        request.group_id,
        order.accepted_at,
        order.updated_at,
        order.version,
        order.status.value,
        order.state.value,
        order.quantity,
        order.filled_quantity,
        order.limit_price,
        order.stop_price,
        order.reason_code,
        order.trading_date,
        encode_order(order),
    )


def log_row(recorded: ev.Recorded) -> Row:
    """The row of an event."""
    event = recorded.event
    return (
        recorded.seq,
        recorded.event_id,
        event.kind,
        event.version,
        event.account_id,
        recorded.order_id,
        recorded.recorded_at,
        ev.encode_event(event),
    )


def _accounts(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [
        (
            account.account_id,
            account.account_id,
            account.base_currency,
            account.time_zone,
            time_to_text(account.day_roll),
            account.trading_state.value,
            account.state_reason,
            True,
            now,
            now,
        )
        for account in book.accounts.changes.values()
    ]


def _log(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [log_row(recorded) for recorded in events]


def _client_ids(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    requests = (
        (recorded.event.request, recorded.event.order_id)
        for recorded in events
        if isinstance(recorded.event, (ev.OrderAccepted, ev.OrderDenied))
    )
    return [
        (request.account_id, request.client_order_id, order_id)
        for request, order_id in requests
        if request.client_order_id is not None
    ]


def _execution_ids(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [row for recorded in events for row in _ids_of(recorded.event)]


def _ids_of(event: ev.Event) -> Rows:
    if isinstance(event, ev.OrderFilled):
        return [(event.fill.broker_account_id, event.fill.exec_id, "FILL", None)]
    if isinstance(event, ev.ExecutionCorrected):
        return [(event.broker_account_id, event.correction_id, "RESTATEMENT", event.exec_id)]
    if isinstance(event, ev.ExecutionBusted):
        return [(event.broker_account_id, event.bust_id, "RESTATEMENT", event.exec_id)]
    return []


def _orders(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [order_row(order) for order in book.orders.changes.values()]


def _new_fills(events: Sequence[ev.Recorded]) -> dict[ExecutionKey, ev.Recorded]:
    return {
        (recorded.event.fill.broker_account_id, recorded.event.fill.exec_id): recorded
        for recorded in events
        if isinstance(recorded.event, ev.OrderFilled)
    }


def execution_row(fill: Fill, recorded: ev.Recorded, updated_at: datetime) -> Row:
    """The row of an execution that `recorded` booked."""
    return (
        fill.broker_account_id,
        fill.exec_id,
        recorded.event_id,
        recorded.seq,
        recorded.recorded_at,
        fill.order_id,
        fill.account_id,
        fill.instrument_id,
        fill.book,
        fill.side.value,
        fill.quantity,
        fill.price,
        fill.currency,
        fill.multiplier,
        fill.executed_at,
        fill.trading_date,
        fill.risk_date,
        fill.fee,
        fill.liquidity,
        fill.busted,
        updated_at,
    )


def _executions(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [execution_row(book.executions.changes[key], recorded, now) for key, recorded in _new_fills(events).items()]


def _execution_changes(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    if not book.executions.changes:
        return []
    new = _new_fills(events)
    return [
        (fill.broker_account_id, fill.exec_id, fill.quantity, fill.price, fill.fee, fill.busted, now)
        for key, fill in book.executions.changes.items()
        if key not in new
    ]


def _positions(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [
        (
            position.account_id,
            position.book,
            position.instrument_id,
            position.currency,
            position.multiplier,
            position.quantity,
            position.cost,
            position.realised_pnl,
            position.fees,
            position.bought_quantity,
            position.sold_quantity,
            position.is_open,
            now,
            None if position.is_open else now,
        )
        for position in book.positions.changes.values()
    ]


def _cash(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [(account_id, currency, amount, now) for (account_id, currency), amount in book.cash.changes.items()]


def _days(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [
        (
            account_id,
            currency,
            day.risk_date.isoformat(),
            day.accepted,
            day.denied,
            day.fills,
            day.traded_value,
            day.realised_pnl,
            day.fees,
            now,
        )
        for account_id, currency, day in _changed_days(book)
    ]


def _changed_days(book: Book) -> Iterator[tuple[str, str, DayCounters]]:
    for (account_id, currency, _), ended in book.past_days.changes.items():
        yield account_id, currency, ended
    for (account_id, currency), present in book.days.changes.items():
        yield account_id, currency, present


def _alerts(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [
        (
            recorded.event_id,
            recorded.seq,
            event.account_id,
            event.order_id,
            event.severity.value,
            event.source,
            event.text,
            event.what_to_do,
            recorded.recorded_at,
            None,
            "",
            recorded.recorded_at,
        )
        for recorded in events
        if isinstance(event := recorded.event, ev.AlertRaised)
    ]


def _alert_changes(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [
        (recorded.event.alert_id, recorded.recorded_at, recorded.event.principal, recorded.recorded_at)
        for recorded in events
        if isinstance(recorded.event, ev.AlertAcknowledged)
    ]


def _breaks(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [
        (
            known.break_id,
            known.difference.broker_account_id,
            known.difference.account_id,
            known.difference.order_id,
            known.difference.instrument_id,
            known.difference.currency,
            known.difference.symbol,
            known.difference.break_type.value,
            known.severity.value,
            known.difference.subject,
            known.difference.ours,
            known.difference.theirs,
            known.proposed_fix,
            known.found_at,
            known.as_of,
            known.acknowledged_at,
            known.acknowledged_by,
            known.resolved_at,
            known.resolved_by,
            known.resolution,
            known.auto_fixed,
            now,
        )
        for known in book.breaks.changes.values()
    ]


def _quarantines(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [(plugin, reason, now) for plugin, reason in book.quarantined.changes.items()]


def _denials(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [row for recorded in events for row in denial_rows(recorded)]


def denial_rows(recorded: ev.Recorded) -> Rows:
    """The search rows of an event's verdicts that denied or held, or would have; none for a plain acceptance."""
    event = recorded.event
    if not isinstance(event, _JUDGED):
        return []
    return [
        (
            recorded.seq,
            position,
            event.order_id,
            event.account_id,
            verdict.rule,
            verdict.plugin,
            verdict.gate.value,
            verdict.code,
            verdict.message,
            verdict.observed,
            verdict.limit,
            verdict.unit,
            recorded.recorded_at,
            verdict.severity.value,
            verdict.limit_id,
            verdict.would_pass,
        )
        for position, verdict in enumerate(event.verdicts)
        if verdict.outcome is not Outcome.PASS
    ]


_JUDGED = (ev.OrderAccepted, ev.OrderDenied, ev.ReplaceRequested, ev.ReplaceDenied)


def _breaches(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [
        (
            breach.breach_id,
            breach.limit_id,
            breach.key,
            breach.rule,
            breach.scope.account_id,
            breach.scope.strategy_id,
            breach.scope.instrument_id,
            breach.category.value,
            breach.action.value,
            breach.message,
            breach.observed,
            breach.limit,
            breach.unit,
            breach.breached_at,
            breach.assigned_to,
            breach.closed_at,
            breach.closed_by,
            breach.finding,
            now,
        )
        for breach in book.breaches.changes.values()
    ]


def _kill_switches(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [
        (
            switch.switch_id,
            switch.scope.account_id,
            switch.scope.strategy_id,
            switch.scope.instrument_id,
            switch.scope.level.value,
            switch.trading_state.value,
            switch.cause.value,
            switch.reason_code,
            switch.cancel_working,
            switch.flatten,
            switch.breach_id,
            switch.firm_switch_id,
            switch.activated_at,
            switch.activated_by,
            switch.release_asked_by,
            switch.released_at,
            switch.released_by,
            now,
        )
        for switch in book.kill_switches.changes.values()
    ]


_SWITCH_KINDS: dict[type[ev.Event], str] = {
    ev.KillSwitchActivated: "ACTIVATED",
    ev.KillSwitchDrilled: "DRILLED",
    ev.ReleaseAsked: "RELEASE_ASKED",
    ev.KillSwitchReleased: "RELEASED",
}


def _switch_events(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [switch_event_row(recorded, book) for recorded in events if is_of_switch(recorded)]


def is_of_switch(recorded: ev.Recorded) -> bool:
    """Whether something happened to a kill switch."""
    return type(recorded.event) in _SWITCH_KINDS


def switch_event_row(recorded: ev.Recorded, book: Book) -> Row:
    """The row of what happened to a switch; a drill has none, its scope is its own. book: as of the event, or later."""
    event: Any = recorded.event
    is_drill = isinstance(event, ev.KillSwitchDrilled)
    switch_id = None if is_drill else getattr(event, "switch_id", recorded.event_id)
    switch = book.kill_switches[switch_id] if switch_id is not None else None
    scope = switch.scope if switch is not None else event.scope
    state = switch.trading_state if switch is not None else event.trading_state
    return (
        recorded.event_id,
        recorded.seq,
        _SWITCH_KINDS[type(event)],
        switch_id,
        scope.account_id,
        scope.strategy_id,
        scope.instrument_id,
        state.value,
        switch.reason_code if switch is not None else "drill",
        event.principal,
        event.orders if is_drill else None,
        event.positions if is_drill else None,
        event.elapsed_ms if is_drill else None,
        recorded.recorded_at,
    )


def _liquidations(events: Sequence[ev.Recorded], book: Book, now: datetime) -> Rows:
    return [
        (
            one.liquidation_id,
            one.scope.account_id,
            one.scope.strategy_id,
            one.scope.instrument_id,
            one.reason_code,
            one.switch_id,
            one.started_at,
            one.started_by,
            one.ended_at,
            one.outcome,
            now,
        )
        for one in book.liquidations.changes.values()
    ]


_BUILDERS: tuple[tuple[Projection, Callable[[Sequence[ev.Recorded], Book, datetime], Rows]], ...] = (
    (ACCOUNTS, _accounts),
    (LOG, _log),
    (CLIENT_IDS, _client_ids),
    (EXECUTION_IDS, _execution_ids),
    (ORDERS, _orders),
    (EXECUTIONS, _executions),
    (EXECUTION_CHANGES, _execution_changes),
    (POSITIONS, _positions),
    (CASH, _cash),
    (DAYS, _days),
    (QUARANTINES, _quarantines),
    (DENIALS, _denials),
    (ALERTS, _alerts),
    (ALERT_CHANGES, _alert_changes),
    (BREAKS, _breaks),
    (BREACHES, _breaches),
    (KILL_SWITCHES, _kill_switches),
    (SWITCH_EVENTS, _switch_events),
    (LIQUIDATIONS, _liquidations),
)
_BUILD = dict(_BUILDERS)
_EMPTY = Book()
