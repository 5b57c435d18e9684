"""The process of one running strategy: callbacks in, actions out, one at a time; imports kernel and plugin only."""

from __future__ import annotations

import importlib
import signal
import socket
import sys
import traceback
from typing import Any

from oms_app.lifeline import die_with_parent
from oms_app.strategies.messages import (
    Actions,
    Begin,
    Channel,
    ChannelClosed,
    Failed,
    Now,
    OnOrder,
    OnQuote,
    Ping,
    ToStrategy,
)
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.contracts.strategy import Action, Strategy, StrategyContext

LONGEST_ERROR = 4000


def main(arguments: list[str]) -> int:
    """Serve the host on the inherited socket until it hangs up. arguments: descriptor, parent's process id."""
    die_with_parent(int(arguments[1]))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the host says when to stop
    channel = Channel(socket.socket(fileno=int(arguments[0])))
    try:
        begin = channel.hear_host()
        if not isinstance(begin, Begin):
            return 2
        strategy = make_strategy(begin)
        channel.send(Actions(actions=strategy.on_start(context_of(begin, begin.now)), symbols=tuple(strategy.symbols)))
        while True:
            message = channel.hear_host()
            channel.send(Actions(actions=call(strategy, begin, message)))
    except ChannelClosed:
        return 0
    except Exception:
        channel.send(Failed(error=traceback.format_exc()[-LONGEST_ERROR:]))
        return 1


def make_strategy(begin: Begin) -> Strategy:
    """The strategy that the host names."""
    module, _, name = begin.target.partition(":")
    found: Any = importlib.import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    strategy: Strategy = found(parse_params(found, begin.params))
    return strategy


def call(strategy: Strategy, begin: Begin, message: ToStrategy) -> list[Action]:
    """What the callback for this message returns."""
    context = context_of(begin, message.now)
    if isinstance(message, OnQuote):
        return strategy.on_quote(message.quote, message.symbol, context)
    if isinstance(message, OnOrder):
        return strategy.on_order(message.update, context)
    if isinstance(message, Ping):
        return []
    return strategy.on_stop(context)


def context_of(begin: Begin, now: Now) -> StrategyContext:
    """What the strategy knows at this callback."""
    return StrategyContext(
        strategy_id=begin.strategy_id,
        account_id=begin.account_id,
        now=now.at,
        instruments=begin.instruments,
        positions=now.positions,
    )


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
