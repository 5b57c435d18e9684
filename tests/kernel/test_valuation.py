"""Marks and exchange rates by fresh quotes: direct, inverse, by way of a third currency, or not at all."""

from decimal import Decimal

import pytest

from oms_kernel.domain.instrument import AssetClass
from oms_kernel.testkit.builders import a_quote, an_instrument
from oms_kernel.testkit.scene import Scene
from oms_kernel.valuation import CurrencyPairs


def test_a_mark_is_the_middle_of_a_fresh_quote_else_its_last_price() -> None:
    scene = Scene()
    assert scene.view().mark(scene.instrument.instrument_id) == Decimal(100)
    scene.quotes[scene.instrument.instrument_id] = a_quote(scene.instrument, "99", None, last="98.5")
    assert scene.view().mark(scene.instrument.instrument_id) == Decimal("98.5")
    scene.quotes[scene.instrument.instrument_id] = a_quote(scene.instrument, "99", None)
    assert scene.view().mark(scene.instrument.instrument_id) is None


def test_a_stale_quote_and_a_missing_one_give_no_mark() -> None:
    scene = Scene()
    scene.wait(seconds=6)
    assert scene.view().mark(scene.instrument.instrument_id) is None
    scene.lose_quotes()
    assert scene.view().mark(scene.instrument.instrument_id) is None


def test_a_currency_is_worth_itself_without_any_quote() -> None:
    assert Scene().view().fx_rate("USD", "USD") == 1


@pytest.mark.parametrize("symbol", ["EURUSD", "EUR/USD", "EUR.USD", "eurusd"])
def test_a_rate_is_the_mark_of_the_pair_however_its_symbol_is_written(symbol: str) -> None:
    scene = Scene()
    scene.another_instrument(symbol, "1.09", "1.11", asset_class=AssetClass.FOREX)
    assert scene.view().fx_rate("EUR", "USD") == Decimal("1.10")


def test_the_rate_of_the_other_direction_is_the_inverse() -> None:
    scene = Scene()
    scene.rate("USD", "JPY", 160)
    assert scene.view().fx_rate("JPY", "USD") == Decimal("0.00625")


def test_two_currencies_without_a_pair_go_by_way_of_a_third() -> None:
    scene = Scene()
    scene.rate("EUR", "USD", "1.25")
    scene.rate("USD", "JPY", 160)
    assert scene.view().fx_rate("EUR", "JPY") == 200
    assert scene.view().fx_rate("JPY", "EUR") == Decimal("0.005")


def test_a_direct_rate_wins_over_one_by_way_of_a_third() -> None:
    scene = Scene()
    scene.rate("EUR", "USD", "1.25")
    scene.rate("USD", "JPY", 160)
    scene.rate("EUR", "JPY", 190)
    assert scene.view().fx_rate("EUR", "JPY") == 190


def test_there_is_no_rate_by_a_stale_quote_by_two_thirds_or_by_what_is_no_currency_pair() -> None:
    scene = Scene()
    scene.another_instrument("EURUSD", "1.09", "1.11")
    assert scene.view().fx_rate("EUR", "USD") is None, "an equity that is called so is no pair"
    scene.rate("CHF", "EUR", 1)
    scene.rate("EUR", "GBP", 1)
    scene.rate("GBP", "JPY", 1)
    assert scene.view().fx_rate("CHF", "GBP") == 1
    assert scene.view().fx_rate("CHF", "JPY") is None
    scene.wait(seconds=6)
    assert scene.view().fx_rate("CHF", "GBP") is None


def test_a_second_venue_gives_the_rate_when_the_first_is_silent() -> None:
    scene = Scene()
    silent = scene.rate("EUR", "USD", 2)
    scene.another_instrument("EUR/USD", "1.20", "1.20", asset_class=AssetClass.FOREX, venue="XTWO")
    assert scene.view().fx_rate("EUR", "USD") == 2
    del scene.quotes[silent.instrument_id]
    assert scene.view().fx_rate("EUR", "USD") == Decimal("1.20")


def test_a_rate_of_zero_is_none() -> None:
    scene = Scene()
    scene.rate("EUR", "USD", 0)
    assert scene.view().fx_rate("EUR", "USD") is None
    assert scene.view().fx_rate("USD", "EUR") is None


def test_pairs_are_made_of_forex_instruments_only() -> None:
    euro = an_instrument("EURUSD", asset_class=AssetClass.FOREX)
    pairs = CurrencyPairs.of([euro, an_instrument("GBPUSD"), an_instrument("ACME")])
    assert pairs.pairs == {("EUR", "USD"): (euro.instrument_id,)}
    assert pairs.neighbours == {"EUR": ("USD",), "USD": ("EUR",)}
