"""Start the process of a strategy and call it: a message in, its actions out, within a time; kill it when it fails."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from oms_app.strategies.messages import Actions, Begin, Channel, ChannelClosed, Failed, OnOrder, OnQuote, OnStop, Ping
from oms_kernel.contracts.strategy import Action

CALL_LIMIT_S = 30.0
START_LIMIT_S = 60.0
STOP_LIMIT_S = 2.0


class StrategyFailed(Exception):
    """The strategy raised, hung or died; the text says which."""


class StrategyProcess:
    """One strategy in a process of its own. Start it from a thread that lives as long as it does."""

    def __init__(self, begin: Begin) -> None:
        """Start the process and its on_start; `started` are the actions of that. Raises StrategyFailed."""
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own command line
                [sys.executable, "-m", "oms_app.strategies.child", str(theirs.fileno()), str(os.getpid())],
                stdin=subprocess.DEVNULL,
                stdout=sys.stderr,
                pass_fds=[theirs.fileno()],
            )
        self._channel = Channel(ours)
        answer = self._ask(begin, START_LIMIT_S)
        self.started: list[Action] = answer.actions
        self.symbols = answer.symbols

    def call(self, message: OnQuote | OnOrder | OnStop | Ping) -> list[Action]:
        """What the callback returned. Raises StrategyFailed."""
        return self._ask(message, CALL_LIMIT_S).actions

    def end(self) -> None:
        """End the process; safe to repeat."""
        self._channel.close()
        try:
            self._process.wait(STOP_LIMIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ask(self, message: Begin | OnQuote | OnOrder | OnStop | Ping, limit_s: float) -> Actions:
        try:
            self._channel.send(message)
            answer = self._channel.hear_strategy(limit_s)
        except ChannelClosed as error:
            self._process.kill()
            self.end()
            raise StrategyFailed(f"the strategy's process failed: {error}") from None
        if isinstance(answer, Failed):
            self.end()
            raise StrategyFailed(answer.error)
        return answer
