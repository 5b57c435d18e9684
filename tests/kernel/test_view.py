"""What rules see of an account's worth, of its books and of what surrounds it."""

from datetime import time
from decimal import Decimal

import msgspec
import pytest

from oms_kernel.batch import Batch
from oms_kernel.contracts.rules import Exposures, InstrumentFacts, Link, OpenTotals, WorstCase
from oms_kernel.domain import events as ev
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.ids import AccountId, ExecId, InstrumentId, StrategyId
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.market import MarketView
from oms_kernel.domain.order import OrderRequest, OrderType, Side
from oms_kernel.domain.scope import Scope
from oms_kernel.judging import lets_out
from oms_kernel.testkit.builders import ACCOUNT_ID, a_quote, a_trading_account, a_uuid
from oms_kernel.testkit.scene import Scene
from oms_kernel.view import LedgerView

MINE = Scope(account_id=ACCOUNT_ID)
EVERYTHING = Scope()
TREND, PAIRS = StrategyId("trend"), StrategyId("pairs")


# Base currency ---------------------------------------------------------------------------------------------


def test_a_scope_is_valued_in_its_accounts_currency_or_in_the_one_that_all_share() -> None:
    scene = Scene()
    assert scene.view().base_currency(MINE) == scene.view().base_currency(EVERYTHING) == "USD"
    other = scene.another_account("in euros", base_currency="EUR")
    assert scene.view().base_currency(Scope(account_id=other)) == "EUR"
    assert scene.view().base_currency(EVERYTHING) is None
    assert scene.view().base_currency(Scope(account_id=AccountId("unknown"))) is None


def test_a_scope_of_several_currencies_has_no_exposure_that_could_be_told() -> None:
    scene = Scene()
    scene.hold(10)
    scene.another_account("in euros", base_currency="EUR")
    told = scene.view().exposures(EVERYTHING)
    assert told == Exposures(gross=None, long=None, short=None, missing="one base currency of all accounts")
    scene.accept(scene.order(limit_price="99"))
    assert scene.view().open_totals(EVERYTHING) == OpenTotals(orders=1, value=None)


# Worst case and exposures ----------------------------------------------------------------------------------


def test_the_worst_case_of_a_holding_is_its_position_with_all_of_one_side_filled() -> None:
    scene = Scene()
    scene.hold(10)
    scene.accept(scene.order(Side.BUY, 5, limit_price="99"))
    scene.accept(scene.order(Side.SELL, 30, limit_price="101"))
    worst = scene.view().worst_case(ACCOUNT_ID, scene.instrument.instrument_id)
    assert worst == WorstCase(long=Decimal(15), short=Decimal(-20))


def test_the_worst_case_of_a_strategy_is_that_of_its_own_book() -> None:
    scene = Scene()
    scene.hold(10, strategy_id=TREND)
    scene.hold(90, strategy_id=PAIRS)
    scene.accept(scene.order(Side.BUY, 5, limit_price="99", strategy_id=TREND))
    scene.accept(scene.order(Side.SELL, 7, limit_price="101", strategy_id=PAIRS))
    view, instrument_id = scene.view(), scene.instrument.instrument_id
    assert view.worst_case(ACCOUNT_ID, instrument_id, TREND) == WorstCase(long=Decimal(15), short=Decimal(10))
    assert view.worst_case(ACCOUNT_ID, instrument_id, PAIRS) == WorstCase(long=Decimal(90), short=Decimal(83))
    assert view.worst_case(ACCOUNT_ID, instrument_id) == WorstCase(long=Decimal(105), short=Decimal(93))


def test_an_order_in_doubt_and_a_held_one_count_in_full() -> None:
    scene = Scene()
    scene.accept(scene.order(Side.BUY, 6, limit_price="99"), held=True)
    scene.doubt(scene.accept(scene.order(Side.BUY, 5, limit_price="99")))
    assert scene.view().worst_case(ACCOUNT_ID, scene.instrument.instrument_id).long == 11
    assert scene.view().exposures(MINE).gross == 1100
    assert scene.view().open_totals(MINE) == OpenTotals(orders=2, value=Decimal(1089))


def test_a_replace_counts_with_the_worse_of_its_old_and_new_terms() -> None:
    scene = Scene()
    order = scene.acknowledge(scene.accept(scene.order(Side.BUY, 10, limit_price="90")))
    scene.replace(order, quantity=4, limit_price="99")
    assert scene.view().open_totals(MINE).value == 900
    assert scene.view().exposures(MINE).long == 1000
    other = scene.acknowledge(scene.accept(scene.order(Side.BUY, 10, limit_price="90")))
    scene.replace(other, quantity=10, limit_price="95")
    assert scene.view().open_totals(MINE).value == 1850


def test_the_order_that_is_judged_anew_is_not_counted() -> None:
    scene = Scene()
    scene.hold(10, strategy_id=TREND)
    order = scene.accept(scene.order(Side.BUY, 5, limit_price="99", strategy_id=TREND))
    scene.accept(scene.order(Side.BUY, 1, limit_price="99"))
    for scope in (EVERYTHING, MINE, Scope(instrument_id=scene.instrument.instrument_id)):
        hidden = scene.view().hiding(order.order_id)
        assert hidden.exposures(scope).gross == 1100
        assert hidden.open_totals(scope) == OpenTotals(orders=1, value=Decimal(99))
    own = Scope(strategy_id=TREND)
    assert hidden.exposures(own).gross == 1000
    assert hidden.open_totals(own) == OpenTotals(orders=0, value=Decimal(0))
    assert hidden.worst_case(ACCOUNT_ID, scene.instrument.instrument_id, TREND).long == 10
    assert scene.view().exposures(own).gross == 1500


def test_gross_takes_the_larger_side_of_each_holding_and_net_takes_the_sides_together() -> None:
    scene = Scene()
    beta = scene.another_instrument("BETA", "50", "50")
    scene.hold(10)
    scene.hold(-10, instrument=beta)
    scene.accept(scene.order(Side.SELL, 30, limit_price="101"))
    told = scene.view().exposures(MINE)
    assert told == Exposures(
        gross=Decimal(2500),
        long=Decimal(1000),
        short=Decimal(2500),
        net_high=Decimal(500),
        net_low=Decimal(-2500),
    )


def test_accounts_do_not_net_each_other() -> None:
    scene = Scene()
    other = scene.another_account()
    scene.hold(10)
    scene.hold(-10, account_id=other)
    told = scene.view().exposures(EVERYTHING)
    assert (told.gross, told.long, told.short, told.net_high) == (2000, 1000, 1000, 0)


def test_one_instrument_can_be_left_out_even_one_without_a_price() -> None:
    scene = Scene()
    silent = scene.another_instrument("SILENT", None, None)
    scene.hold(10)
    scene.hold(1, instrument=silent)
    view = scene.view()
    assert view.exposures(MINE).missing == "SILENT"
    assert view.exposures(MINE).gross is None
    assert view.exposures(MINE, but=silent.instrument_id).gross == 1000
    assert view.exposures(MINE, but=scene.instrument.instrument_id).missing == "SILENT"
    assert view.exposures(Scope(instrument_id=scene.instrument.instrument_id)).gross == 1000
    assert view.exposures(Scope(instrument_id=silent.instrument_id), but=silent.instrument_id).gross == 0


def test_a_holding_that_was_closed_needs_no_price() -> None:
    scene = Scene()
    silent = scene.another_instrument("SILENT", None, None)
    scene.hold(1, instrument=silent)
    scene.hold(-1, instrument=silent)
    assert scene.view().exposures(MINE).gross == 0
    assert scene.view().equity(ACCOUNT_ID) == 0
    assert list(scene.view().holdings(MINE)) == []


def test_a_missing_rate_names_the_currency() -> None:
    scene = Scene()
    scene.hold(10, instrument=scene.another_instrument("DEX", "40", "40", currency="EUR"))
    assert scene.view().exposures(MINE).missing == "EUR"
    scene.rate("EUR", "USD", "1.25")
    assert scene.view().exposures(MINE).gross == 500


def test_multipliers_and_negative_prices_make_values_at_risk() -> None:
    scene = Scene()
    future = scene.another_instrument("FUT", "20", "20", multiplier=Decimal(50), asset_class=AssetClass.FUTURE)
    combo = scene.another_instrument("SPREAD", "-2", "-2", asset_class=AssetClass.COMBO)
    scene.hold(-2, instrument=future)
    scene.hold(3, -2, instrument=combo)
    told = scene.view().exposures(MINE)
    assert (told.short, told.long) == (2000, 6)


# Limits of open orders -------------------------------------------------------------------------------------


def test_the_best_limit_is_the_highest_of_buys_and_the_lowest_of_sells() -> None:
    scene = Scene()
    for price in ("90", "95", "92"):
        scene.accept(scene.order(Side.BUY, 1, limit_price=price))
    for price in ("110", "105", "108"):
        scene.accept(scene.order(Side.SELL, 1, limit_price=price))
    assert best_limits(scene) == (95, 105)
    assert scene.view().best_limit(ACCOUNT_ID, InstrumentId("unknown"), Side.BUY) is None


def test_an_order_without_a_limit_is_better_than_any_and_one_that_waits_for_a_trigger_does_not_count() -> None:
    scene = Scene()
    stop = scene.order(Side.SELL, 1, stop_price=Decimal(95), order_type=OrderType.STOP)
    scene.accept(stop)
    assert best_limits(scene) == (None, None)
    scene.accept(scene.order(Side.SELL, 1))
    scene.accept(scene.order(Side.BUY, 1))
    assert best_limits(scene) == (Decimal("Infinity"), Decimal("-Infinity"))


def test_both_limits_of_an_order_that_is_being_replaced_count_and_neither_of_the_one_that_is_judged() -> None:
    scene = Scene()
    scene.accept(scene.order(Side.BUY, 1, limit_price="90"))
    first = scene.acknowledge(scene.accept(scene.order(Side.BUY, 1, limit_price="94")))
    second = scene.acknowledge(scene.accept(scene.order(Side.BUY, 1, limit_price="94")))
    first = scene.replace(first, limit_price="96")
    assert best_limits(scene) == (96, None)
    view, instrument_id = scene.view(), scene.instrument.instrument_id
    assert view.hiding(first.order_id).best_limit(ACCOUNT_ID, instrument_id, Side.BUY) == 94
    assert view.hiding(second.order_id).best_limit(ACCOUNT_ID, instrument_id, Side.BUY) == 96
    assert view.hiding(second.order_id).best_limit(ACCOUNT_ID, instrument_id, Side.SELL) is None
    scene.fill(first, 1)
    scene.fill(second, 1)
    assert best_limits(scene) == (90, None)


def best_limits(scene: Scene) -> tuple[Decimal | None, Decimal | None]:
    view, instrument_id = scene.view(), scene.instrument.instrument_id
    return (
        view.best_limit(ACCOUNT_ID, instrument_id, Side.BUY),
        view.best_limit(ACCOUNT_ID, instrument_id, Side.SELL),
    )


# Open orders -----------------------------------------------------------------------------------------------


def test_open_orders_are_counted_and_valued_in_the_base_currency_by_scope() -> None:
    scene = Scene()
    scene.rate("EUR", "USD", "1.25")
    german = scene.another_instrument("DEX", "40", "40", currency="EUR")
    scene.accept(scene.order(Side.BUY, 5, limit_price="90"))
    scene.accept(scene.order(Side.SELL, 2, limit_price="40", instrument=german, strategy_id=TREND))
    view = scene.view()
    assert view.open_totals(MINE) == OpenTotals(orders=2, value=Decimal(550))
    assert view.open_totals(Scope(strategy_id=TREND)) == OpenTotals(orders=1, value=Decimal(100))
    assert view.open_totals(Scope(instrument_id=german.instrument_id)) == OpenTotals(orders=1, value=Decimal(100))
    assert view.open_totals(Scope(account_id=AccountId("unknown"))) == OpenTotals(orders=0, value=None)


def test_an_open_order_without_a_price_is_counted_and_makes_the_value_unknown() -> None:
    scene = Scene()
    order = scene.accept(scene.order(Side.BUY, 5, limit_price="90"))
    scene.lose_quotes()
    market = scene.accept(scene.order(Side.BUY, 5))
    assert market.reservation.price is None
    assert scene.view().open_totals(MINE) == OpenTotals(orders=2, value=None)
    assert scene.view().hiding(market.order_id).open_totals(MINE) == OpenTotals(orders=1, value=Decimal(450))
    scene.cancel(market)
    assert scene.view().open_totals(MINE) == OpenTotals(orders=1, value=Decimal(450))
    scene.cancel(order)
    assert scene.view().open_totals(MINE) == OpenTotals(orders=0, value=Decimal(0))


def test_an_open_value_needs_a_rate_for_its_currency_only() -> None:
    scene = Scene()
    german = scene.another_instrument("DEX", "40", "40", currency="EUR")
    order = scene.accept(scene.order(Side.SELL, 2, limit_price="40", instrument=german))
    assert scene.view().open_totals(MINE) == OpenTotals(orders=1, value=None)
    scene.cancel(order)
    assert scene.view().open_totals(MINE) == OpenTotals(orders=0, value=Decimal(0))


# Worth -----------------------------------------------------------------------------------------------------


def test_equity_is_cash_and_positions_at_their_marks_in_the_base_currency() -> None:
    scene = Scene()
    scene.rate("EUR", "USD", "1.25")
    scene.pay(5000)
    scene.pay(100, "EUR")
    scene.hold(10, 90)
    scene.hold(-2, 50, instrument=scene.another_instrument("DEX", "40", "40", currency="EUR"))
    # 5000 - 900 + 1000 at the mark; (100 + 100 - 80) euros
    assert scene.view().equity(ACCOUNT_ID) == 5100 + 150


def test_equity_is_unknown_without_a_mark_or_rate_of_what_is_held_but_open_orders_need_none() -> None:
    scene = Scene()
    silent = scene.another_instrument("SILENT", None, None)
    scene.pay(100)
    scene.accept(scene.order(Side.BUY, 1, instrument=silent, limit_price="5"))
    assert scene.view().equity(ACCOUNT_ID) == 100
    scene.hold(1, 5, instrument=silent)
    assert scene.view().equity(ACCOUNT_ID) is None
    other = Scene()
    other.pay(1, "EUR")
    assert other.view().equity(ACCOUNT_ID) is None


def test_the_days_result_is_what_equity_changed_since_the_day_was_marked() -> None:
    scene = Scene()
    scene.pay(1000)
    scene.mark_equity(1000)
    scene.hold(10, 103)
    assert scene.view().day_pnl(ACCOUNT_ID) == -30
    scene.quote("109.99", "110.01")
    assert scene.view().day_pnl(ACCOUNT_ID) == 70


def test_deposits_and_withdrawals_of_the_day_are_no_result() -> None:
    scene = Scene()
    scene.rate("EUR", "USD", "1.25")
    scene.pay(1000)
    scene.mark_equity(1000)
    scene.pay(500)
    scene.pay(-200)
    scene.pay(-80, "EUR")
    assert scene.view().day_pnl(ACCOUNT_ID) == 0
    scene.hold(1, 104)
    assert scene.view().day_pnl(ACCOUNT_ID) == -4


def test_a_second_mark_of_the_day_leaves_what_moved_in_it_out_still() -> None:
    scene = Scene()
    scene.pay(1000)
    scene.mark_equity(1000)
    scene.pay(500)
    scene.mark_equity(1000, 1500)
    assert scene.view().day_pnl(ACCOUNT_ID) == 0
    scene.pay(100)
    assert scene.view().day_pnl(ACCOUNT_ID) == 0


def test_a_new_risk_day_counts_deposits_anew_and_has_no_result_before_it_is_marked() -> None:
    scene = Scene(account=a_trading_account(day_roll=time(17), time_zone="America/New_York"))
    scene.pay(1000)
    scene.mark_equity(1000)
    scene.pay(500)
    scene.wait(hours=24)
    scene.quote()
    assert scene.view().day_pnl(ACCOUNT_ID) is None
    scene.mark_equity(1500)
    assert scene.view().day_pnl(ACCOUNT_ID) == 0
    scene.pay(-500)
    assert scene.view().day_pnl(ACCOUNT_ID) == 0


def test_an_account_that_was_never_marked_has_neither_result_nor_high_water() -> None:
    scene = Scene()
    scene.pay(1000)
    assert (scene.view().day_pnl(ACCOUNT_ID), scene.view().high_water(ACCOUNT_ID)) == (None, None)


def test_the_high_water_mark_follows_what_is_paid_in_and_out() -> None:
    scene = Scene()
    scene.pay(1000)
    scene.mark_equity(1000, 1200)
    assert scene.view().high_water(ACCOUNT_ID) == 1200
    scene.pay(-400)
    assert scene.view().high_water(ACCOUNT_ID) == 800, "a withdrawal is no drawdown"
    scene.mark_equity(1000, 800)
    assert scene.view().high_water(ACCOUNT_ID) == 800, "a mark has taken in what was moved before it"


def test_a_result_is_unknown_while_a_moved_currency_has_no_rate() -> None:
    scene = Scene()
    scene.pay(1000)
    scene.mark_equity(1000)
    scene.pay(10, "EUR")
    assert scene.view().day_pnl(ACCOUNT_ID) is None
    assert scene.view().high_water(ACCOUNT_ID) is None
    scene.rate("EUR", "USD", "1.25")
    assert scene.view().day_pnl(ACCOUNT_ID) == 0
    assert scene.view().high_water(ACCOUNT_ID) == Decimal("1012.5")


# What surrounds the ledger ---------------------------------------------------------------------------------


def test_facts_and_links_are_those_that_the_host_gave() -> None:
    scene = Scene()
    assert scene.view().facts(scene.instrument.instrument_id) is None
    assert scene.view().link(ACCOUNT_ID) is None
    facts = scene.facts(average_daily_volume=1_000)
    link = scene.link(is_ready=False, in_doubt=2)
    assert scene.view().facts(scene.instrument.instrument_id) == facts
    assert scene.view().link(ACCOUNT_ID) == link


def test_a_link_is_found_out_when_a_rule_asks() -> None:
    scene, asked = Scene(), []

    def found(account_id: AccountId) -> Link | None:
        asked.append(account_id)
        return Link(is_ready=True, in_doubt=0)

    facts: dict[InstrumentId, InstrumentFacts] = {}
    market = MarketView(now=scene.now, quotes=scene.quotes)
    view = LedgerView(scene.state.book, market, scene.instruments, {}, facts=facts, links=found)
    assert asked == []
    assert view.hiding(scene.accept(scene.order(limit_price="1")).order_id).link(ACCOUNT_ID) == Link(True, 0)
    assert asked == [ACCOUNT_ID]


def test_a_view_follows_the_book_of_its_batch_and_keeps_its_marks() -> None:
    scene = Scene()
    scene.hold(10)
    batch = Batch(scene.state, now=scene.now, new_id=lambda: a_uuid("event of the batch"))
    view = LedgerView(batch.book, MarketView(now=scene.now, quotes=dict(scene.quotes)), scene.instruments, {})
    assert view.exposures(MINE).gross == 1000
    batch.record(ev.CashChanged(account_id=ACCOUNT_ID, currency="USD", amount=Decimal(1), reason_code="deposit"))
    assert view.exposures(MINE).gross == 1000
    batch.record(an_execution(5))
    scene.quotes[scene.instrument.instrument_id] = a_quote(scene.instrument, 1, 1)
    assert (view.exposures(MINE).gross, view.equity(ACCOUNT_ID)) == (1500, 1)


def an_execution(quantity: int) -> ev.OrderFilled:
    """What a scene that trades elsewhere records."""
    scene = Scene()
    scene.hold(quantity)
    filled = scene.events[-1].event
    assert isinstance(filled, ev.OrderFilled)
    fill = msgspec.structs.replace(filled.fill, exec_id=ExecId("EXEC-OF-THE-BATCH"))
    return msgspec.structs.replace(filled, fill=fill)


# Reducing --------------------------------------------------------------------------------------------------


def test_an_order_reduces_as_long_as_all_that_is_open_cannot_turn_the_position() -> None:
    scene = Scene()
    scene.hold(10)
    scene.accept(scene.order(Side.SELL, 4, limit_price="101"))
    view, sell = scene.view(), scene.order(Side.SELL, 6)
    assert view.reduces(sell, Decimal(6))
    assert not view.reduces(sell, Decimal(7))
    assert not view.reduces(scene.order(Side.BUY, 1), Decimal(1))


def test_open_orders_of_the_other_side_give_no_room_to_reduce() -> None:
    scene = Scene()
    scene.hold(-10)
    scene.accept(scene.order(Side.SELL, 5, limit_price="101"))
    view, buy = scene.view(), scene.order(Side.BUY, 10)
    assert view.reduces(buy, Decimal(10))
    assert not view.reduces(buy, Decimal(11))
    assert not Scene().view().reduces(buy, Decimal(1)), "a flat account has nothing to reduce"


@pytest.mark.parametrize(
    ("scope", "side", "quantity", "let_out"),
    [
        (Scope(strategy_id=TREND), Side.BUY, 30, True),
        (Scope(strategy_id=TREND), Side.BUY, 31, False),
        (Scope(strategy_id=TREND), Side.SELL, 1, False),
        (Scope(account_id=ACCOUNT_ID), Side.SELL, 70, True),
        (Scope(account_id=ACCOUNT_ID), Side.SELL, 71, False),
        (Scope(account_id=ACCOUNT_ID), Side.BUY, 1, False),
        (Scope(strategy_id=PAIRS), Side.BUY, 1_000, True),
    ],
)
def test_a_strategy_that_may_only_reduce_reduces_its_own_book(
    scope: Scope, side: Side, quantity: int, let_out: bool
) -> None:
    """The strategy is 30 short, the account as a whole 70 long."""
    scene = Scene()
    scene.hold(-30, strategy_id=TREND)
    scene.hold(100, strategy_id=PAIRS)
    scene.halt(TradingState.REDUCE_ONLY, scope)
    order: OrderRequest = scene.order(side, quantity, strategy_id=TREND)
    assert lets_out(scene.view(), order, Decimal(quantity)) is let_out


def test_where_strategy_and_account_may_both_only_reduce_both_have_to_become_smaller() -> None:
    scene = Scene()
    scene.hold(-30, strategy_id=TREND)
    scene.hold(100, strategy_id=PAIRS)
    scene.halt(TradingState.REDUCE_ONLY, Scope(strategy_id=TREND))
    scene.halt(TradingState.REDUCE_ONLY)
    view = scene.view()
    assert not lets_out(view, scene.order(Side.BUY, 10, strategy_id=TREND), Decimal(10))
    assert not lets_out(view, scene.order(Side.SELL, 10, strategy_id=TREND), Decimal(10))
    assert lets_out(view, scene.order(Side.SELL, 10, strategy_id=PAIRS), Decimal(10))
