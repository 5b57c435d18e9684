"""A strategy for campaigns: quotes in, an order for some of them and exactly one more after each fill of those out.

What it is told is written to a file, so that the campaign can hold it to the log. It runs in place of `echo`.
"""

import os
import secrets

from oms_kernel.contracts.strategy import Action, OrderUpdate, StrategyContext, StrategyOrder
from oms_kernel.domain.ids import ClientOrderId
from oms_kernel.domain.order import Side
from oms_strategies.echo import Echo

TOLD_FILE = "OMS_CAMPAIGN_TOLD"
FOLLOWS = "follows-"


class Witness(Echo):
    """Echo that follows each filled order of its own with one more, and notes what it was told."""

    def on_order(self, update: OrderUpdate, context: StrategyContext) -> list[Action]:
        """One order after a fill of an order that quotes led to; the random end of its id shows a repetition."""
        with open(os.environ[TOLD_FILE], "a") as file:
            file.write(f"{update.order_id} {update.state.value} {update.filled_quantity}\n")
        if update.state.value != "FILLED" or update.client_order_id is not None:
            return []
        name = ClientOrderId(f"{FOLLOWS}{update.order_id}-{secrets.token_hex(4)}")
        return [StrategyOrder(symbol=update.symbol, side=Side.BUY, quantity=update.quantity, client_order_id=name)]
