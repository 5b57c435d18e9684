"""A strategy in, a verdict out: every duty of the strategy contract that can be seen from outside has a case.

class TestEcho(StrategyConformanceSuite):
    contributed = Echo
    params = {"symbol": "ACME"}
"""

import copy
import statistics
import time
from typing import Any, ClassVar

import msgspec

from oms_kernel.contracts.strategy import Action, StrategyOrder
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.market import Quote
from oms_kernel.domain.order import Side
from oms_kernel.domain.validation import check_terms
from oms_kernel.registry import Kind
from oms_kernel.testkit.builders import a_quote, an_instrument
from oms_kernel.testkit.contributions import ContributionSuite
from oms_kernel.testkit.strategy_bench import StrategyBench, a_walk

SLOWEST_MEDIAN_S = 0.005
_CODEC = msgspec.json.Encoder(decimal_format="string")


class StrategyConformanceSuite(ContributionSuite):
    """The duties of Strategy.

    trades: whether it is expected to send an order over the suite's quotes.
    """

    kind = Kind.STRATEGY
    trades: ClassVar[bool] = True

    def strategy(self) -> Any:
        """A fresh instance."""
        return self.contributed(self.parsed())

    def bench(self, fate: OrderState = OrderState.FILLED) -> StrategyBench:
        """A fresh instance on a bench."""
        return StrategyBench(self.strategy(), fate=fate)

    def quotes(self) -> list[Quote]:
        """Quotes of everything that the strategy wants, in the order of time."""
        walks = [
            a_walk(an_instrument(symbol), seed=seed) for seed, symbol in enumerate(self.strategy().symbols, start=7)
        ]
        return sorted((quote for walk in walks for quote in walk), key=lambda quote: quote.data_at)

    def test_it_says_which_symbols_it_wants(self) -> None:
        symbols = self.strategy().symbols
        assert isinstance(symbols, tuple)
        assert symbols, "a strategy without symbols is never called"
        assert all(isinstance(symbol, str) and symbol for symbol in symbols)

    def test_every_callback_returns_a_list_of_actions(self) -> None:
        bench = self.bench()
        context = bench.context()
        quote = self.quotes()[0]
        update = bench.update(StrategyOrder(symbol=self._symbol(), side=Side.BUY, quantity=_ONE), OrderState.WORKING)
        returned = [
            bench.strategy.on_start(context),
            bench.strategy.on_quote(quote, self._symbol(), context),
            bench.strategy.on_order(update, context),
            bench.strategy.on_stop(context),
        ]
        for actions in returned:
            assert isinstance(actions, list), f"no list: {actions!r}"
            assert all(isinstance(action, Action) for action in actions), actions

    def test_its_orders_are_ones_that_the_host_can_take(self) -> None:
        bench = self.bench().start().feed(*self.quotes()).stop()
        assert bool(bench.orders) is self.trades, f"{len(bench.orders)} orders"
        for order in bench.orders:
            instrument = bench.instruments[order.symbol]
            instrument.check_quantity("quantity", order.quantity)
            prices = ("limit_price", "stop_price", "trail_amount", "trail_percent")
            check_terms(order.order_type, instrument, **{name: getattr(order, name) for name in prices})

    def test_its_actions_survive_the_pipe_to_the_host(self) -> None:
        bench = self.bench().start().feed(*self.quotes())
        for action in bench.actions:
            assert msgspec.json.decode(_CODEC.encode(action), type=Action) == action

    def test_the_same_quotes_give_the_same_actions(self) -> None:
        first = self.bench().start().feed(*self.quotes())
        second = self.bench().start().feed(*self.quotes())
        assert first.actions == second.actions

    def test_it_changes_nothing_that_it_is_given(self) -> None:
        bench = self.bench()
        for quote in self.quotes()[:100]:
            context = bench.context()
            before = copy.deepcopy(context)
            bench.strategy.on_quote(quote, self._symbol(quote), context)
            assert context == before, "on_quote changed the context"

    def test_it_lives_with_quotes_that_lack_a_side(self) -> None:
        bench = self.bench().start()
        for symbol in bench.strategy.symbols:
            instrument = bench.instruments[symbol]
            bench.feed(a_quote(instrument, None, "100.01"), a_quote(instrument, "99.99", None))
            bench.feed(a_quote(instrument, None, None))

    def test_it_lives_with_every_fate_of_its_orders(self) -> None:
        for fate in OrderState:
            self.bench(fate).start().feed(*self.quotes()).stop()

    def test_half_of_its_calls_take_less_than_five_milliseconds(self) -> None:
        bench = self.bench().start()
        times = []
        for quote in self.quotes()[:200]:
            started = time.perf_counter()
            bench.strategy.on_quote(quote, self._symbol(quote), bench.context())
            times.append(time.perf_counter() - started)
        assert statistics.median(times) < SLOWEST_MEDIAN_S

    def _symbol(self, quote: Quote | None = None) -> str:
        for symbol in self.strategy().symbols:
            if quote is None or an_instrument(symbol).instrument_id == quote.instrument_id:
                return str(symbol)
        raise AssertionError("unreachable: a quote of no symbol")


_ONE = an_instrument().lot_size
