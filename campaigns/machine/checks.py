"""The promises that must hold after every step of a machine, each a sentence of what broke."""

from collections.abc import Iterator

from campaigns.machine.world import World
from oms_kernel.domain.lifecycle import TERMINAL, Evidence
from oms_kernel.domain.money import ZERO
from oms_kernel.domain.order import Order

NEVER_THERE = (Evidence.NEVER_SENT, Evidence.OWN_CHECK, Evidence.QUERY)


def broken_promises(world: World) -> Iterator[str]:
    """What does not hold now."""
    yield from world.broken
    for wire_id, times in world.venue.taken.items():
        if times > 1:
            yield f"doubled: the place {wire_id} came to the broker {times} times"
    for _, order in world.book.orders.items():
        yield from _of_order(world, order)


def _of_order(world: World, order: Order) -> Iterator[str]:
    if order.leaves_quantity < 0 or order.worst_case_quantity < 0:
        yield f"order {order.order_id} has leaves below zero"
    if order.is_external:
        return
    live = world.live_leaves(order.order_id)
    if order.worst_case_quantity < live:
        yield (
            f"exposure: order {order.order_id} counts {order.worst_case_quantity} ({order.state}),"
            f" and {live} may still be executed at the broker"
        )
    if order.status in TERMINAL and order.evidence in NEVER_THERE:
        at_broker = world.venue.of(order.order_id)
        if any(one.filled for one in at_broker) or live != ZERO:
            yield f"lost: order {order.order_id} ended on {order.evidence}, and the broker has it"
