"""How the connection is, told to people and to intake: the newest word is written, later when the database is away."""

import asyncio
from collections.abc import Callable
from datetime import datetime

import structlog

from oms_app.sessions.ledgers import SessionLedgers
from oms_app.sessions.ports import STORE_TROUBLE, Connection, SessionStore


class StatusRow:
    """The connection's status row. heard_at: when the broker was last heard."""

    def __init__(
        self,
        connection: Connection,
        store: SessionStore,
        ledgers: SessionLedgers,
        heard_at: Callable[[], datetime | None],
    ) -> None:
        self._connection = connection
        self._store = store
        self._ledgers = ledgers
        self._heard_at = heard_at
        self._due: tuple[str, str] | None = None
        self._writing = asyncio.Lock()
        self._log = structlog.get_logger(__name__).bind(
            connection_id=connection.connection_id, broker=connection.broker
        )

    async def tell(self, status: str, detail: str) -> None:
        """Write it now, or by `catch_up` once that can be."""
        self._log.info("connection_status", status=status, detail=detail)
        self._due = (status, detail)
        await self.catch_up()

    async def catch_up(self) -> None:
        """Write what could not be written before."""
        if self._due is None:
            return
        async with self._writing:
            if self._due is not None:
                await self._write(self._due)

    async def _write(self, due: tuple[str, str]) -> None:
        tenant_id, connection_id = self._connection.tenant_id, self._connection.connection_id
        heard_at = self._heard_at()
        try:
            await self._ledgers.off(lambda: self._store.set_status(tenant_id, connection_id, *due, heard_at))
        except STORE_TROUBLE as error:
            self._log.warning("status_not_written", status=due[0], error=str(error))
        else:
            if self._due is due:
                self._due = None
