"""What can never be valid is refused before anything is stored, naming the field."""

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.order import REQUIRED_PRICES, OrderType, PriceField, TimeInForce
from oms_kernel.domain.validation import ALLOWED_TIMES, check_request
from oms_kernel.testkit.builders import NOON, an_instrument, an_order_request

ACME = an_instrument()
PRICES: dict[PriceField, dict[str, Decimal]] = {
    PriceField.LIMIT_PRICE: {"limit_price": Decimal("10.01")},
    PriceField.STOP_PRICE: {"stop_price": Decimal("9.99")},
    PriceField.TRAIL: {"trail_amount": Decimal("0.50")},
}
LATER = NOON + timedelta(hours=1)


def complete(order_type: OrderType, **fields: Any) -> dict[str, Any]:
    """The fields of a valid order of this type."""
    needed = {name: price for field in REQUIRED_PRICES[order_type] for name, price in PRICES[field].items()}
    return {"order_type": order_type, **needed, **fields}


def refusal(**fields: Any) -> InvalidRequest:
    instrument = fields.pop("instrument", ACME)
    with pytest.raises(InvalidRequest) as caught:
        check_request(an_order_request(instrument, **fields), instrument, NOON)
    return caught.value


@pytest.mark.parametrize("order_type", OrderType)
def test_each_type_is_valid_with_its_prices_and_refused_without_one(order_type: OrderType) -> None:
    check_request(an_order_request(ACME, **complete(order_type)), ACME, NOON)
    for field in REQUIRED_PRICES[order_type]:
        fields = complete(order_type)
        for name in PRICES[field]:
            del fields[name]
        assert refusal(**fields).field in {*PRICES[field], "trail_amount"}


@pytest.mark.parametrize("order_type", OrderType)
def test_each_type_is_refused_with_a_price_too_many(order_type: OrderType) -> None:
    for field in set(PriceField) - REQUIRED_PRICES[order_type]:
        if (order_type, field) == (OrderType.TRAILING_STOP, PriceField.STOP_PRICE):
            check_request(an_order_request(ACME, **complete(order_type, **PRICES[field])), ACME, NOON)  # first trigger
            continue
        assert refusal(**complete(order_type, **PRICES[field])).field in PRICES[field]


@pytest.mark.parametrize("order_type", OrderType)
@pytest.mark.parametrize("time_in_force", TimeInForce)
def test_each_type_takes_exactly_the_times_in_force_of_the_table(
    order_type: OrderType, time_in_force: TimeInForce
) -> None:
    fields = complete(order_type, time_in_force=time_in_force)
    if time_in_force is TimeInForce.GTD:
        fields["expire_at"] = LATER
    if time_in_force in ALLOWED_TIMES[order_type]:
        check_request(an_order_request(ACME, **fields), ACME, NOON)
    else:
        assert refusal(**fields).field == "time_in_force"


def test_the_tables_have_a_row_for_each_type() -> None:
    assert set(ALLOWED_TIMES) == set(REQUIRED_PRICES) == set(OrderType)


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": -1}, "quantity"),
        ({"quantity": "0.5"}, "quantity"),
        ({"limit_price": "0"}, "limit_price"),
        ({"limit_price": "-1"}, "limit_price"),
        ({"limit_price": "10.001"}, "limit_price"),
        ({"order_type": OrderType.STOP, "stop_price": "10.005"}, "stop_price"),
        ({"order_type": OrderType.TRAILING_STOP, "trail_amount": "0"}, "trail_amount"),
        ({"order_type": OrderType.TRAILING_STOP, "trail_percent": "-1"}, "trail_amount"),
        ({"order_type": OrderType.TRAILING_STOP, "trail_percent": "100"}, "trail_percent"),
        ({"order_type": OrderType.TRAILING_STOP, "trail_percent": "1", "trail_amount": "1"}, "trail_amount"),
        ({"order_type": OrderType.TRAILING_STOP, "trail_percent": "1", "trail_amount": "0"}, "trail_amount"),
        ({"order_type": OrderType.TRAILING_STOP, "trail_percent": "1", "stop_price": "0.001"}, "stop_price"),
        ({"trail_percent": "0"}, "trail_amount"),
        ({"time_in_force": TimeInForce.GTD}, "expire_at"),
        ({"time_in_force": TimeInForce.GTD, "expire_at": NOON}, "expire_at"),
        ({"time_in_force": TimeInForce.GTD, "expire_at": NOON - timedelta(seconds=1)}, "expire_at"),
        ({"time_in_force": TimeInForce.GTD, "expire_at": datetime(2030, 1, 1)}, "expire_at"),  # noqa: DTZ001
        ({"time_in_force": TimeInForce.DAY, "expire_at": LATER}, "expire_at"),
        ({"queue_until": NOON - timedelta(seconds=1)}, "queue_until"),
        ({"queue_until": datetime(2030, 1, 1)}, "queue_until"),  # noqa: DTZ001
    ],
)
def test_bad_input_names_its_field(fields: dict[str, Any], field: str) -> None:
    assert refusal(**fields).field == field


def test_what_is_no_longer_traded_takes_no_order() -> None:
    assert refusal(instrument=msgspec.structs.replace(ACME, is_active=False)).field == "symbol"


def test_a_combo_may_trade_at_zero_or_below_but_on_its_grid() -> None:
    combo = an_instrument("SPREAD", asset_class=AssetClass.COMBO, tick_size=Decimal("0.05"))
    check_request(an_order_request(combo, limit_price="-0.15"), combo, NOON)
    check_request(an_order_request(combo, limit_price="0"), combo, NOON)
    assert refusal(instrument=combo, limit_price="-0.13").field == "limit_price"


def test_quantities_lie_on_the_lot_of_the_instrument() -> None:
    coin = an_instrument("COIN", lot_size=Decimal("0.001"))
    check_request(an_order_request(coin, quantity="0.123"), coin, NOON)
    assert "lot size 0.001" in str(refusal(instrument=coin, quantity="0.1234"))


@pytest.mark.parametrize(("quantity", "takes"), [("299", True), ("300", True), ("301", False)])
def test_the_largest_order_of_a_venue_is_taken_and_no_larger_one(quantity: str, takes: bool) -> None:
    bounded = an_instrument("BOUNDED", max_order_quantity=Decimal(300))
    if takes:
        check_request(an_order_request(bounded, quantity=quantity), bounded, NOON)
        return
    error = refusal(instrument=bounded, quantity=quantity)
    assert error.field == "quantity"
    assert "above the largest order that XSIM takes of BOUNDED, 300: send several" in str(error)
