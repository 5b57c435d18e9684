"""Lists and details: every filter selects what it says, pages neither lose nor repeat a row, on both databases."""

from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.dialects import postgresql

from oms_app.store import accounts, instruments, quotes
from oms_app.store.engines import parsed
from oms_app.store.queries import (
    ExecutionFilter,
    InstrumentFilter,
    InvalidCursor,
    OrderFilter,
    Paging,
    PositionFilter,
    UnknownState,
    get_account,
    get_connection,
    get_order,
    get_orders,
    get_quote,
    list_accounts,
    list_broker_accounts,
    list_cash,
    list_connections,
    list_days,
    list_denials,
    list_executions,
    list_instruments,
    list_orders,
    list_positions,
    order_events,
    order_texts,
    states_of,
)
from oms_kernel.domain.decision import Outcome, Verdict
from oms_kernel.domain.lifecycle import OrderState, Word
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import OrderType, Side


@pytest.fixture
def orders(scribe: Any) -> dict[str, Any]:
    """Orders of every kind that lists tell apart, by a name; in the order of their acceptance."""
    made = {
        "buy": scribe.accepted(client_order_id="c-1"),
        "sell": scribe.accepted(side=Side.SELL, strategy_id=scribe.ledger_id),
        "market": scribe.accepted(order_type=OrderType.MARKET, limit_price=None),
        "denied": scribe.denied((Verdict(rule="max", outcome=Outcome.DENY, code="too_much", message="no"),)),
    }
    for event in made.values():
        scribe.write(event)
    scribe.write(scribe.intent(made["market"]), scribe.filled(made["market"], 10, Word.FILLED_WHOLE))
    return made


def ids(scribe: Any, filters: OrderFilter, paging: Paging | None = None) -> list[str]:
    with scribe.store.read_unit(scribe.tenant_id) as unit:
        page = list_orders(unit, filters, paging or Paging())
    assert page.total_count == len(page.items)
    return [view.order.order_id for view in page.items]


def test_every_filter_of_orders_selects_what_it_says(scribe: Any, orders: dict[str, Any]) -> None:
    named = {name: event.order_id for name, event in orders.items()}
    everything = [named[name] for name in ("denied", "market", "sell", "buy")]
    accepted_at = scribe.book.orders[named["sell"]].accepted_at
    cases: list[tuple[OrderFilter, list[str]]] = [
        (OrderFilter(), everything),
        (OrderFilter(states=states_of(["open", "new"])), [named["sell"], named["buy"]]),
        (OrderFilter(states=states_of(["FILLED"])), [named["market"]]),
        (OrderFilter(states=frozenset()), []),
        (OrderFilter(side="SELL"), [named["sell"]]),
        (OrderFilter(order_type="MARKET"), [named["market"]]),
        (OrderFilter(client_order_id="c-1"), [named["buy"]]),
        (OrderFilter(strategy_id=scribe.ledger_id), [named["sell"]]),
        (OrderFilter(strategy_run_id=scribe.ledger_id), []),
        (OrderFilter(account_id=scribe.account_id), everything),
        (OrderFilter(account_id=scribe.ledger_id), []),
        (OrderFilter(instrument_id=scribe.instrument_id), everything),
        (OrderFilter(symbol=scribe.symbol), everything),
        (OrderFilter(symbol="NONE"), []),
        (OrderFilter(accepted_from=accepted_at), everything[:3]),
        (OrderFilter(accepted_before=accepted_at), [named["buy"]]),
        (OrderFilter(allowed_accounts=()), []),
        (OrderFilter(allowed_accounts={scribe.account_id}), everything),
    ]
    for filters, expected in cases:
        assert ids(scribe, filters) == expected, filters


def test_states_of_either_vocabulary_are_understood() -> None:
    assert states_of(["cancelled", "ACTIVE"]) >= {OrderState.CANCELED, OrderState.WORKING, OrderState.IN_DOUBT}
    with pytest.raises(UnknownState, match="one of"):
        states_of(["SLEEPING"])


def test_pages_by_cursor_show_every_row_once_although_rows_are_added(scribe: Any) -> None:
    for _ in range(7):
        scribe.write(scribe.accepted())
    expected = ids(scribe, OrderFilter())
    seen: list[str] = []
    cursor: str | None = None
    while True:
        with scribe.store.read_unit(scribe.tenant_id) as unit:
            page = list_orders(unit, OrderFilter(), Paging(limit=3, cursor=cursor))
        seen += [view.order.order_id for view in page.items]
        assert page.has_next == (page.next_cursor is not None)
        assert (page.total_count is None) == (cursor is not None)
        scribe.write(scribe.accepted())
        if page.next_cursor is None:
            break
        cursor = page.next_cursor
    assert seen == expected


def test_pages_by_offset_count_and_say_whether_there_is_more(scribe: Any) -> None:
    for _ in range(5):
        scribe.write(scribe.accepted())
    with scribe.store.read_unit(scribe.tenant_id) as unit:
        page = list_orders(unit, OrderFilter(), Paging(limit=2, offset=2))
        last = list_orders(unit, OrderFilter(), Paging(limit=2, offset=4, with_total=False))
    assert (len(page.items), page.total_count, page.has_next) == (2, 5, True)
    assert (len(last.items), last.total_count, last.has_next) == (1, None, False)


@pytest.mark.parametrize("cursor", ["", "x", "%%%", "AAAA", "ä"])
def test_a_cursor_that_no_page_gave_is_refused(scribe: Any, cursor: str) -> None:
    with pytest.raises(InvalidCursor), scribe.store.read_unit(scribe.tenant_id) as unit:
        list_orders(unit, OrderFilter(), Paging(cursor=cursor))


def test_an_order_is_read_as_the_log_tells_it_and_others_are_unknown(
    scribe: Any, orders: dict[str, Any], new_scribe: Callable[[], Any]
) -> None:
    order_id = orders["market"].order_id
    with scribe.store.read_unit(scribe.tenant_id) as unit:
        view = get_order(unit, order_id)
        assert view is not None
        assert view.order == scribe.book.orders[order_id]
        assert view.ledger_id == scribe.ledger_id
        assert get_order(unit, scribe.ledger_id) is None
        assert set(get_orders(unit, [order_id, scribe.ledger_id])) == {order_id}
        told = [recorded for recorded in scribe.events if recorded.order_id == order_id]
        assert order_events(unit, order_id) == told
        assert len(told) == 3
    other = new_scribe()
    with scribe.store.read_unit(other.tenant_id) as unit:
        assert get_order(unit, order_id) is None
        assert order_events(unit, order_id) == []


def test_texts_stand_beside_their_orders(scribe: Any) -> None:
    order = scribe.accepted()
    scribe.write(order, also=lambda unit: unit.put_text(order.order_id, "tags", '{"desk":"ä"}', b"salt"))
    with scribe.store.read_unit(scribe.tenant_id) as unit:
        assert order_texts(unit, [order.order_id], "tags") == {order.order_id: '{"desk":"ä"}'}
        assert order_texts(unit, [order.order_id], "note") == {}


def test_denials_are_found_by_order_and_rule(scribe: Any, orders: dict[str, Any]) -> None:
    with scribe.store.read_unit(scribe.tenant_id) as unit:
        (denial,) = list_denials(unit, rule="max")
        assert (denial.order_id, denial.code) == (orders["denied"].order_id, "too_much")
        assert list_denials(unit, order_id=orders["buy"].order_id) == []


def test_executions_positions_cash_and_days_are_what_the_book_says(scribe: Any, orders: dict[str, Any]) -> None:
    foreign = scribe.filled(None, 3, book="EXTERNAL", side=Side.SELL)
    scribe.write(foreign)
    with scribe.store.read_unit(scribe.tenant_id) as unit:
        page = list_executions(unit, ExecutionFilter(), Paging())
        assert [view.order_id for view in page.items] == [None, orders["market"].order_id]
        newest = page.items[0]
        assert (newest.exec_id, newest.quantity, newest.fee, newest.symbol) == (
            foreign.fill.exec_id,
            Decimal(3),
            Decimal("0.35"),
            scribe.symbol,
        )
        for filters, count in (
            (ExecutionFilter(order_id=orders["market"].order_id), 1),
            (ExecutionFilter(side="SELL"), 1),
            (ExecutionFilter(book="EXTERNAL"), 1),
            (ExecutionFilter(symbol=scribe.symbol), 2),
            (ExecutionFilter(symbol="NONE"), 0),
            (ExecutionFilter(account_id=scribe.account_id, instrument_id=scribe.instrument_id), 2),
            (ExecutionFilter(executed_from=foreign.fill.executed_at), 1),
            (ExecutionFilter(executed_before=foreign.fill.executed_at), 1),
            (ExecutionFilter(allowed_accounts=()), 0),
        ):
            assert list_executions(unit, filters, Paging()).total_count == count, filters
        (net,) = list_positions(unit, PositionFilter())
        assert net.position == scribe.book.position(scribe.account_id, scribe.instrument_id)
        assert net.quote is None
        assert {view.position.book for view in list_positions(unit, PositionFilter(book=None))} == {
            "NET",
            "MANUAL",
            "EXTERNAL",
        }
        assert list_positions(unit, PositionFilter(is_open=False)) == []
        assert len(list_positions(unit, PositionFilter(is_open=True, symbol=scribe.symbol))) == 1
        assert list_positions(unit, PositionFilter(allowed_accounts=())) == []
        (cash,) = list_cash(unit)
        assert cash.amount == scribe.book.cash[scribe.account_id, "USD"]
        (day,) = list_days(unit, [scribe.account_id])
        counters = scribe.book.days[scribe.account_id, "USD"]
        assert (
            (day.accepted, day.denied, day.fills) == (counters.accepted, counters.denied, counters.fills) == (3, 1, 2)
        )
        assert (day.traded_value, day.realised_pnl, day.fees) == (
            counters.traded_value,
            counters.realised_pnl,
            counters.fees,
        )


def test_a_position_shows_its_last_quote(scribe: Any, orders: dict[str, Any]) -> None:
    with scribe.store.platform_unit() as unit:
        quote = Quote(
            instrument_id=scribe.instrument_id,
            bid=Decimal("12.3"),
            bid_size=Decimal(5),
            ask=None,
            ask_size=None,
            data_at=unit.now,
            received_at=unit.now,
        )
        quotes.put_quotes(unit, [quote])
    with scribe.store.read_unit(scribe.tenant_id) as unit:
        (net,) = list_positions(unit, PositionFilter(account_id=scribe.account_id))
        assert net.quote == quote
        assert get_quote(unit, scribe.instrument_id) == quote
        assert get_quote(unit, scribe.ledger_id) is None


def test_accounts_and_connections_show_where_orders_go(scribe: Any) -> None:
    with scribe.store.read_unit(scribe.tenant_id) as unit:
        (account,) = list_accounts(unit)
        assert account == get_account(unit, scribe.account_id)
        assert (account.connection_id, account.broker, account.trading_state) == (
            scribe.connection_id,
            "sim_broker",
            "ACTIVE",
        )
        assert list_accounts(unit, []) == []
        (broker_account,) = list_broker_accounts(unit, scribe.connection_id)
        assert (broker_account.account_id, broker_account.account_number) == (scribe.account_id, "U1")
        (connection,) = list_connections(unit)
        assert connection == get_connection(unit, scribe.connection_id)
        assert (connection.desired, connection.status, connection.holder) == ("CONNECTED", "DISCONNECTED", "")
    with scribe.store.tenant_unit(scribe.tenant_id) as unit:
        assert accounts.close_account(unit, scribe.account_id)
        assert not accounts.close_account(unit, scribe.account_id)
        assert list_accounts(unit) == []
        assert [view.account_id for view in list_accounts(unit, with_closed=True)] == [scribe.account_id]


def test_instruments_are_listed_and_known_by_their_aliases(scribe: Any) -> None:
    with scribe.store.platform_unit() as unit:
        before = instruments_version(scribe)
        instruments.put_alias(
            unit, scribe.instrument_id, "OLD", scheme="SYMBOL", venue="XTST", valid_from=unit.now - timedelta(days=1)
        )
        instruments.put_alias(
            unit,
            scribe.instrument_id,
            "OLDER",
            scheme="SYMBOL",
            valid_from=unit.now - timedelta(days=9),
            valid_until=unit.now - timedelta(days=1),
        )
    with scribe.store.ledger_unit(scribe.tenant_id, scribe.ledger_id) as unit:
        assert unit.catalogue_version > before
        catalogue = unit.catalogue()
        assert catalogue.version == unit.catalogue_version
    assert catalogue.by_symbol[scribe.symbol] == catalogue.by_symbol["XTST:OLD"] == (scribe.instrument_id,)
    assert "OLDER" not in catalogue.by_symbol
    with scribe.store.read_unit(None) as unit:
        page = list_instruments(unit, InstrumentFilter(text=scribe.symbol[1:].lower()), Paging())
        assert [found.instrument_id for found in page.items] == [scribe.instrument_id]
        assert page.items[0] == catalogue.instruments[scribe.instrument_id]
        for filters in (
            InstrumentFilter(venue="XTST", text="%"),
            InstrumentFilter(symbol=scribe.symbol, is_active=False),
        ):
            assert list_instruments(unit, filters, Paging()).items == []


def instruments_version(scribe: Any) -> int:
    with scribe.store.read_unit(None) as unit:
        version: int = unit.connection.scalar(text("SELECT version FROM platform_versions WHERE name = 'catalogue'"))
        return version


FILTERS = {
    "state": OrderFilter(states=frozenset({OrderState.NEW})),
    "account": OrderFilter(account_id="01a1f848-2976-7474-8874-6a87a2d6fcef"),
    "instrument": OrderFilter(instrument_id="01a1f848-2976-7474-8874-6a87a2d6fcef"),
    "strategy": OrderFilter(strategy_id="01a1f848-2976-7474-8874-6a87a2d6fcef"),
    "client_order_id": OrderFilter(client_order_id="x"),
}


@pytest.mark.parametrize("filters", FILTERS.values(), ids=FILTERS)
@pytest.mark.parametrize("database_url", [pytest.param("postgresql", marks=pytest.mark.integration)], indirect=True)
def test_every_selective_filter_of_orders_uses_an_index(database_url: str, filters: OrderFilter) -> None:
    from oms_app.store.queries.orders import filtered_orders

    tenant_id = "01a1f848-2976-7474-8874-6a87a2d6fcef"
    query = filtered_orders(tenant_id, filters).compile(
        dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
    )
    engine = create_engine(parsed(database_url))
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL enable_seqscan = off")
        plan = "\n".join(row[0] for row in connection.execute(text(f"EXPLAIN {query}".replace(":", "\\:"))))
    engine.dispose()
    assert "Index" in plan
    assert "Seq Scan" not in plan
