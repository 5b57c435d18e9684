"""What the flow gives to rules beside the ledger: how the way to the broker is, and rates by quoted currency pairs."""

from collections.abc import Iterator
from datetime import timedelta
from decimal import Decimal

import msgspec
import pytest

from oms_app.store.memory import ready_connection
from oms_app.store.unit_of_work import ConnectionState
from oms_kernel.contracts.rules import Link
from oms_kernel.domain import events as ev
from oms_kernel.domain.ids import AccountId, ConnectionId, WireId
from oms_kernel.domain.instrument import AssetClass
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.testkit.builders import ACCOUNT_ID, NOON, a_quote, an_instrument
from tests.flow.trading import CONNECTION, TENANT, Trading


@pytest.fixture
def trading() -> Iterator[Trading]:
    """A tenant whose broker session is ready."""
    yield Trading()


def seen(trading: Trading, account_id: AccountId = ACCOUNT_ID) -> Link | None:
    """The link that a rule would see now."""
    link: Link | None = trading.in_turn(lambda turn: turn.view.link(account_id))
    return link


def state(**fields: object) -> ConnectionState:
    """The connection as a session leaves it."""
    return msgspec.structs.replace(ready_connection(ConnectionId(CONNECTION), NOON + timedelta(days=9), 1), **fields)


def test_a_ready_session_is_a_ready_link(trading: Trading) -> None:
    assert seen(trading) == Link(is_ready=True, in_doubt=0, detail=state().detail)


def test_an_account_that_is_routed_nowhere_has_no_link(trading: Trading) -> None:
    assert seen(trading, AccountId("routed nowhere")) is None


@pytest.mark.parametrize(
    "fields",
    [{"status": "RECONCILING", "detail": "still comparing"}, {"lease_expires_at": NOON - timedelta(seconds=1)}],
    ids=["reconciling", "lease ended"],
)
def test_a_session_that_takes_no_orders_is_no_ready_link(fields: dict[str, object]) -> None:
    trading = Trading()
    trading.store.put_connection(TENANT, state(**fields))
    trading.restart()
    link = seen(trading)
    assert link is not None
    assert (link.is_ready, link.detail) == (False, state(**fields).detail)


def test_orders_in_doubt_are_counted_until_they_are_settled(trading: Trading) -> None:
    order = trading.place(quantity=5)
    named = {"account_id": ACCOUNT_ID, "order_id": order.order_id}
    trading.record(
        ev.IntentRecorded(**named, request_kind=RequestKind.PLACE, attempt=0, lease_token=1, wire_id=WireId("W1")),
        ev.RequestInDoubt(**named, request_kind=RequestKind.PLACE, reason="no word in time"),
    )
    link = seen(trading)
    assert link is not None and link.in_doubt == 1
    trading.record(ev.OrderAcknowledged(**named, broker_at=NOON))
    link = seen(trading)
    assert link is not None and link.in_doubt == 0


def test_a_currency_pair_that_comes_later_gives_its_rate() -> None:
    trading = Trading()
    rate = trading.in_turn(lambda turn: turn.view.fx_rate("EUR", "USD"))
    assert rate is None
    euro = an_instrument("EURUSD", asset_class=AssetClass.FOREX, tick_size=Decimal("0.0001"))
    trading.store.put_instrument(euro)
    trading.store.put_quote(a_quote(euro, "1.10", "1.10", at=NOON + timedelta(days=1)))
    trading.restart()
    assert trading.in_turn(lambda turn: turn.view.fx_rate("EUR", "USD")) == Decimal("1.10")
