"""The wire to PostgreSQL gives up on a server that takes nothing."""

import socket
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest

from oms_app.store import postgres_wire
from oms_app.store.postgres_wire import Wire


def test_a_server_that_takes_no_statements_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres_wire, "ANSWER_TIMEOUT_S", 0.1)
    here, there = socket.socketpair()
    with here, there:
        here.setblocking(False)
        with pytest.raises(BlockingIOError):
            while True:
                here.send(b"x" * 65536)
        full: Any = SimpleNamespace(socket=here.fileno(), flush=lambda: 1)
        with pytest.raises(psycopg.OperationalError, match="in time"):
            Wire(full)._receive(full, 1)
