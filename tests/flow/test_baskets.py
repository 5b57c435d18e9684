"""A request of many orders is valued as a whole before its first order is judged, for each account by itself."""

from decimal import Decimal
from typing import Any

import pytest

from oms_app.flow import intake
from oms_app.flow.baskets import baskets_of
from oms_app.flow.errors import NotAttempted
from oms_app.store.unit_of_work import LimitRow, Route
from oms_kernel.domain.ids import AccountId, BrokerAccountId
from oms_kernel.domain.lifecycle import OrderState
from oms_kernel.domain.order import Side
from oms_kernel.testkit.builders import ACCOUNT_ID, a_uuid
from tests.flow.every_rule import Ruled
from tests.flow.trading import CONNECTION, LEDGER, TENANT

OTHER = AccountId(a_uuid("another account"))


def trading_with(limit: str = "20000") -> Ruled:
    """A tenant whose one limit is on the value of a request."""
    row = LimitRow(limit_id=a_uuid("basket"), rule="basket_notional", params={"max_notional": limit}, version=1)
    return Ruled([row])


def drafts(trading: Ruled, count: int, quantity: int = 10, **fields: Any) -> list[Any]:
    return [trading.draft(quantity=quantity, **{"limit_price": "100.00", **fields}) for _ in range(count)]


def states(result: Any) -> list[str]:
    return [item.order.state for item in result.items]


def sent(trading: Ruled) -> list[str]:
    return [kind for kind in trading.kinds() if kind == "order_accepted"]


def test_a_request_above_the_limit_is_denied_in_every_leg_and_none_is_sent() -> None:
    trading = trading_with()
    result = trading.submit(*drafts(trading, 21))
    assert states(result) == [OrderState.DENIED] * 21
    assert sent(trading) == []
    first = result.items[0].decision
    assert first is not None
    assert [(one.rule, one.observed, one.limit) for one in first.denials] == [
        ("basket_notional", Decimal(21_000), Decimal(20_000))
    ]
    assert first.denials[0].inputs == {"orders": Decimal(21)}


def test_a_request_at_the_limit_passes() -> None:
    trading = trading_with()
    assert states(trading.submit(*drafts(trading, 20))) == [OrderState.NEW] * 20


def test_an_atomic_request_above_the_limit_stores_nothing() -> None:
    trading = trading_with()
    before = trading.kinds()
    result = trading.submit(*drafts(trading, 21), atomic=True)
    assert all(item.decision is not None and not item.decision.accepted for item in result.items)
    assert trading.kinds() == before
    assert not any(isinstance(item.error, NotAttempted) for item in result.items)


def test_buys_and_sells_add_up() -> None:
    trading = trading_with()
    both = [*drafts(trading, 11), *drafts(trading, 10, side=Side.SELL)]
    assert set(states(trading.submit(*both))) == {OrderState.DENIED}


def test_each_account_is_a_basket_of_its_own() -> None:
    trading = trading_with()
    route = Route(
        account_id=OTHER,
        broker_account_id=BrokerAccountId(a_uuid("another broker account")),
        connection_id=CONNECTION,
        broker="sim_broker",
    )
    trading.store.put_route(TENANT, route)
    trading.control.open_account(TENANT, LEDGER, OTHER, base_currency="USD")
    result = trading.submit(*drafts(trading, 15), *drafts(trading, 21, account_id=OTHER))
    assert states(result) == [OrderState.NEW] * 15 + [OrderState.DENIED] * 21


def test_a_foreign_currency_counts_at_its_rate() -> None:
    trading = trading_with("65999")  # 2 x 500 x 60 EUR at a bid of 1.10
    found = trading.in_turn(
        lambda turn: baskets_of(turn, drafts(trading, 2, 500, symbol="EURO", limit_price="60.00"), [ACCOUNT_ID] * 2)
    )
    assert found[ACCOUNT_ID].orders == 2
    assert found[ACCOUNT_ID].notional == Decimal(66_000)


def test_one_leg_without_a_price_denies_all() -> None:
    trading = trading_with()
    legs = [*drafts(trading, 2), trading.draft(symbol="DARK")]
    result = trading.submit(*legs)
    assert states(result) == [OrderState.DENIED] * 3
    assert {item.decision.denials[0].code for item in result.items if item.decision} == {"no_price"}


def test_what_names_no_instrument_counts_nowhere() -> None:
    trading = trading_with()
    result = trading.submit(*drafts(trading, 20), trading.draft(symbol="NONE", quantity=500))
    assert [item.order.state for item in result.items if item.order] == [OrderState.NEW] * 20
    assert result.items[20].error is not None


def test_nothing_is_added_up_when_no_rule_asks_or_an_order_came_alone() -> None:
    trading, without = trading_with(), Ruled([])
    legs = drafts(trading, 5)
    assert without.in_turn(lambda turn: baskets_of(turn, legs, [ACCOUNT_ID] * 5)) == {}
    assert trading.in_turn(lambda turn: baskets_of(turn, legs[:1], [ACCOUNT_ID])) == {}


def test_a_planted_intake_that_values_nothing_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(intake, "baskets_of", lambda *arguments: {})
    trading = trading_with()
    result = trading.submit(*drafts(trading, 21))
    assert states(result) != [OrderState.DENIED] * 21
    assert sent(trading)
