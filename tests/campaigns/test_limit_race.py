"""The race against a limit: the broker's ledger is read as it was written, and planted blindness is caught."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from campaigns import limit_race
from campaigns.exposure_replay import Replay
from oms_kernel.contracts import broker as br
from oms_kernel.domain.ids import BrokerOrderId, ExecId, WireId
from oms_kernel.domain.order import OrderType, Side, TimeInForce
from oms_kernel.simulation.orders import NewOrder, NewTerms
from oms_kernel.testkit.builders import BROKER_ACCOUNT_ID, an_instrument
from oms_sim_broker import records as rec

AT = datetime(2026, 5, 4, 12, tzinfo=UTC)
ACME = an_instrument()


def received(name: str, side: Side, quantity: int) -> rec.OrderReceived:
    order = NewOrder(
        broker_order_id=BrokerOrderId(name),
        wire_id=WireId(f"wire {name}"),
        broker_account_id=BROKER_ACCOUNT_ID,
        instrument_id=ACME.instrument_id,
        side=side,
        quantity=Decimal(quantity),
        order_type=OrderType.MARKET,
        time_in_force=TimeInForce.DAY,
        limit_price=None,
        stop_price=None,
        trail_amount=None,
        trail_percent=None,
        expire_at=None,
    )
    return rec.OrderReceived(written_at=AT, order=order, at=AT)


def asked(name: str, quantity: int) -> rec.ReplaceReceived:
    terms = NewTerms(
        quantity=Decimal(quantity), limit_price=None, stop_price=None, trail_amount=None, trail_percent=None
    )
    return rec.ReplaceReceived(
        written_at=AT, broker_order_id=BrokerOrderId(name), request_id=WireId("change"), terms=terms, at=AT
    )


def told(report: type[Any], name: str, **fields: Any) -> rec.Reported:
    named = {"broker_account_id": BROKER_ACCOUNT_ID, "broker_at": AT, "broker_order_id": BrokerOrderId(name)}
    return rec.Reported(written_at=AT, report=report(**named, **fields))


def filled(name: str, side: Side, quantity: int) -> rec.Reported:
    return told(
        br.Filled, name, exec_id=ExecId(f"E {name} {quantity}"), instrument_id=ACME.instrument_id, side=side,
        quantity=Decimal(quantity), price=Decimal(100),
    )  # fmt: skip


def replay(*records: rec.Record) -> Replay:
    made = Replay()
    for record in records:
        made.fold(record)
    return made


def whole(*numbers: Decimal | int) -> tuple[int, ...]:
    return tuple(int(number) for number in numbers)


def test_what_works_counts_until_the_broker_ends_it() -> None:
    seen = replay(
        received("a", Side.BUY, 30), received("b", Side.BUY, 20), told(br.Canceled, "b"), received("c", Side.BUY, 10)
    )
    assert whole(seen.peak, seen.peak_at, seen.position) == (50, 2, 0)


def test_an_execution_moves_quantity_from_open_to_held() -> None:
    seen = replay(received("a", Side.BUY, 30), filled("a", Side.BUY, 10), filled("a", Side.BUY, 20))
    assert whole(seen.peak, seen.position) == (30, 30)


def test_a_change_counts_by_the_larger_total_until_it_is_answered() -> None:
    up = replay(received("a", Side.BUY, 10), asked("a", 40), told(br.ReplaceRefused, "a", reason="no"))
    assert up.peak == 40
    down = replay(
        received("a", Side.BUY, 10),
        asked("a", 5),
        received("b", Side.BUY, 1),
        told(br.Replaced, "a", quantity=Decimal(5)),
        received("c", Side.BUY, 5),
    )
    assert down.peak == 11


def test_what_sells_is_counted_on_its_own_side() -> None:
    seen = replay(received("a", Side.SELL, 10), received("b", Side.BUY, 7), filled("a", Side.SELL, 10))
    assert whole(seen.peak, seen.trough, seen.position) == (7, -10, -10)


@pytest.mark.integration
@pytest.mark.teeth
@pytest.mark.parametrize("plant", limit_race.PLANTS)
def test_the_race_catches_its_planted_defect(plant: str) -> None:
    result = limit_race.run(limit_race.SHORT, 7, plant)
    assert any(text.startswith("limit:") for text in result.texts), (result.texts, result.figures)
