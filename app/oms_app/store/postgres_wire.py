"""Several statements to PostgreSQL in one round trip, with little work in Python: libpq's pipeline, prepared once.

psycopg's own pipeline costs more than the round trips that it saves; this one uses psycopg's documented libpq wrapper.
Guarantee: an error of any statement is raised as psycopg's exception; the connection takes a ROLLBACK then, or is shut.
"""

import select
import time
from collections.abc import Callable, Sequence
from typing import Any

import psycopg
from psycopg import pq
from sqlalchemy import Connection

from oms_app.store.outage import Outage

BEGIN = "BEGIN"
COMMIT = "COMMIT"
ANSWER_TIMEOUT_S = 30.0
"""Longer than any lock wait that the server allows; a server that says nothing for so long is lost."""

LOOK_UP_MS = 100
"""How often a wait is interrupted to see whether it is in vain."""

Parameter = str | None
Command = tuple[str, Sequence[Parameter]]
_WIRE = "oms_wire"
_FAILED = frozenset({pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.BAD_RESPONSE, pq.ExecStatus.NONFATAL_ERROR})


def wire_of(connection: Connection) -> "Wire":
    """The wire of a pooled connection; it lives as long as the connection to the server."""
    pooled = connection.connection
    wire: Wire | None = pooled.info.get(_WIRE)
    if wire is None:
        driver = pooled.driver_connection
        assert isinstance(driver, psycopg.Connection)
        wire = pooled.info[_WIRE] = Wire(driver)
    return wire


class Wire:
    """One connection, used for pipelines of prepared statements; it remembers what it prepared."""

    def __init__(self, connection: "psycopg.Connection[object]") -> None:
        self._connection = connection
        self._names: dict[str, bytes] = {}
        self._outage: Outage | None = getattr(connection, "outage", None)

    def run(self, commands: Sequence[Command]) -> list[pq.abc.PGresult]:
        """One result for each command, in one round trip. Raises psycopg.Error; what follows a failure is not run."""
        connection = self._connection.pgconn
        try:
            connection.enter_pipeline_mode()
            prepares = self._send(connection, commands)
            results = self._receive(connection, len(commands) + len(prepares))
            connection.exit_pipeline_mode()
        except BaseException:
            # What is still on its way cannot be told from later answers: this connection is over.
            self._connection.close()
            raise
        answers = []
        for position, result in enumerate(results):
            if result.status in _FAILED:
                raise psycopg.errors.error_from_result(result)
            if position in prepares:
                sql = prepares[position]
                self._names[sql] = _name(len(self._names))
            else:
                answers.append(result)
        return answers

    def _send(self, connection: pq.abc.PGconn, commands: Sequence[Command]) -> dict[int, str]:
        """Queue everything; the positions of the results that only say that a statement was prepared."""
        prepares: dict[int, str] = {}
        position = 0
        for sql, parameters in commands:
            name = self._names.get(sql)
            if name is None:
                name = _name(len(self._names) + len(prepares))
                connection.send_prepare(name, sql.encode())
                prepares[position] = sql
                position += 1
            connection.send_query_prepared(
                name, [None if value is None else value.encode() for value in parameters] or None
            )
            position += 1
        connection.pipeline_sync()
        return prepares

    def _receive(self, connection: pq.abc.PGconn, expected: int) -> list[pq.abc.PGresult]:
        wait = self._waiter()
        poll = select.poll()
        poll.register(connection.socket, select.POLLIN | select.POLLOUT)
        while connection.flush():
            # The server may answer before it has read everything: read, so that it goes on reading.
            if wait(poll, "the server did not take the statements in time")[0][1] & ~select.POLLOUT:
                connection.consume_input()
        poll.modify(connection.socket, select.POLLIN)
        results: list[pq.abc.PGresult] = []
        while True:
            while connection.is_busy():
                wait(poll, "the server did not answer in time")
                connection.consume_input()
            result = connection.get_result()
            if result is None:
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                if len(results) != expected:
                    raise psycopg.OperationalError("the server answered out of step")
                return results
            if result.status == pq.ExecStatus.FATAL_ERROR and connection.status == pq.ConnStatus.BAD:
                raise psycopg.errors.error_from_result(result)
            results.append(result)

    def _waiter(self) -> Callable[[Any, str], list[tuple[int, int]]]:
        """Waits for the socket; raises OperationalError at the deadline, or once the server is known to be away."""
        deadline = time.monotonic() + ANSWER_TIMEOUT_S
        waiting = self._outage.waiting() if self._outage is not None else None

        def wait(poll: Any, late: str) -> list[tuple[int, int]]:
            while True:
                events: list[tuple[int, int]] = poll.poll(LOOK_UP_MS)
                if events:
                    return events
                if time.monotonic() > deadline or (waiting is not None and waiting.is_in_vain()):
                    raise psycopg.OperationalError(late)

        return wait


def _name(number: int) -> bytes:
    return f"oms_{number}".encode()
