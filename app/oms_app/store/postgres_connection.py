"""A connection to PostgreSQL that does not wait for a server which stopped answering; and the look whether it lives."""

from collections.abc import Generator
from typing import Any, TypeVar

import psycopg
from psycopg import pq
from sqlalchemy.engine import URL

from oms_app.store.outage import Outage, Waiting

RV = TypeVar("RV")
CONNECT_TIMEOUT_S = 3
PROBE_TIMEOUT_S = 2
_STARTING_OR_ENDING = ("starting up", "shutting down", "recovery", "not accepting", "not yet accepting")


class NoAnswer(psycopg.OperationalError):
    """The server was found to be away while we waited for it."""


class WatchedConnection(psycopg.Connection[Any]):
    """A connection whose waits end with NoAnswer, and itself with them, once the outage is known."""

    outage: Outage | None = None

    def wait(self, gen: Any, interval: float = 0.1, timeout: float | None = None) -> Any:
        """As psycopg does it, looking up now and then."""
        if self.outage is None:
            return super().wait(gen, interval, timeout)
        try:
            return super().wait(_watched(gen, self.outage.waiting()), interval, timeout)
        except NoAnswer:
            # What is still on its way cannot be told from later answers: this connection is over.
            self.close()
            raise


def _watched(gen: Generator[Any, Any, RV], waiting: Waiting) -> Generator[Any, Any, RV]:
    try:
        state = next(gen)
        while True:
            ready = yield state
            if not ready and waiting.is_in_vain():
                raise NoAnswer("the database does not answer")
            state = gen.send(ready)
    except StopIteration as end:
        result: RV = end.value
        return result


def probe(url: URL) -> None:
    """Nothing, when the server answers, be it with a refusal of this caller; else psycopg.Error, within 4 s.

    A server that is full or does not take our password lives all the same: its own error is for who asked.
    """
    conninfo = url.set(drivername="postgresql").render_as_string(hide_password=False)
    try:
        connection = psycopg.connect(conninfo, connect_timeout=PROBE_TIMEOUT_S, autocommit=True, application_name="oms")
    except psycopg.OperationalError as error:
        text = str(error)
        if "FATAL" in text and not any(word in text for word in _STARTING_OR_ENDING):
            return
        raise
    try:
        connection.wait(_ask(connection.pgconn), timeout=PROBE_TIMEOUT_S)
    finally:
        connection.close()


def _ask(connection: pq.abc.PGconn) -> Any:
    from psycopg import generators

    connection.send_query(b"SELECT 1")
    return (yield from generators.execute(connection))
