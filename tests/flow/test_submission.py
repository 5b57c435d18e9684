"""What goes out names the live order: by the place's id or the change in force, never by that of an earlier cancel."""

from typing import Any

import msgspec

from oms_app.flow import booking, submission
from oms_kernel.contracts import broker as br
from oms_kernel.domain.ids import BrokerOrderId, wire_id
from oms_kernel.domain.lifecycle import RequestKind
from oms_kernel.engine import NewTerms
from oms_kernel.testkit.builders import BROKER_ACCOUNT_ID
from tests.flow.trading import CAPABILITIES, CONNECTION, Trading

EARLY = msgspec.structs.replace(CAPABILITIES, cancel_before_ack=True)


def sent(trading: Trading) -> br.Intent:
    """The one request that goes out now."""

    def take(turn: Any) -> list[br.Intent]:
        def prepare(command: br.Command) -> br.WireIdentity:
            return br.WireIdentity(wire_id(command.order_id, command.attempt, 28))

        return submission.next_intents(turn, CONNECTION, 1, EARLY, prepare)

    (intent,) = trading.in_turn(take)
    return intent


def test_a_cancel_that_is_sent_again_before_any_word_names_the_place() -> None:
    trading = Trading()
    order = trading.place(limit_price="90.00")
    placed = sent(trading).identity.wire_id
    trading.amendment.cancel(trading.principal, order.order_id)
    first = sent(trading)
    trading.wait(seconds=6)
    again = sent(trading)
    assert (first.command.kind, again.command.kind) == (RequestKind.CANCEL, RequestKind.CANCEL)
    assert first.identity.wire_id != again.identity.wire_id
    assert (first.command.wire_id, again.command.wire_id) == (placed, placed)


def test_after_a_change_is_in_force_its_id_names_the_order() -> None:
    trading = Trading()
    order = trading.place(limit_price="90.00")
    placed = sent(trading).identity.wire_id
    named: dict[str, Any] = {
        "broker_account_id": BROKER_ACCOUNT_ID,
        "broker_at": trading.now,
        "broker_order_id": BrokerOrderId("B1"),
    }
    told = br.Acknowledged(wire_id=placed, **named)
    trading.in_turn(lambda turn: booking.book(turn, CONNECTION, [told]))
    trading.amendment.replace(trading.principal, order.order_id, NewTerms(quantity=order.quantity + 5))
    change = sent(trading)
    assert change.command.wire_id == placed
    done = br.Replaced(wire_id=change.identity.wire_id, quantity=order.quantity + 5, **named)
    trading.in_turn(lambda turn: booking.book(turn, CONNECTION, [done]))
    trading.amendment.cancel(trading.principal, order.order_id)
    assert sent(trading).command.wire_id == change.identity.wire_id
