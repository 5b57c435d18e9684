"""What a session needs of the store besides flow: the connections to serve, their leases, status rows and quotes."""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any, Protocol

import msgspec

from oms_app.flow.errors import OutcomeUnknown, Unavailable
from oms_app.store.reconciliation_runs import Run
from oms_app.store.unit_of_work import CommitUnknown, Conflict, StoreUnavailable
from oms_kernel.contracts.broker import BrokerAccount
from oms_kernel.domain.ids import ConnectionId, LedgerId, TenantId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.market import Quote

AWAY = (StoreUnavailable, CommitUnknown, Unavailable, OutcomeUnknown)
"""The database is away; it comes back."""
STORE_TROUBLE = (*AWAY, Conflict)
"""What passes: the database is away, or another process was faster; the next look or heartbeat tries again."""


class Connection(msgspec.Struct, frozen=True):
    """A broker connection that a person wants connected. `params` are the connector's, secrets in clear."""

    tenant_id: TenantId
    connection_id: ConnectionId
    broker: str
    params: dict[str, Any]
    accounts: tuple[BrokerAccount, ...]
    ledgers: tuple[LedgerId, ...]


class SessionStore(Protocol):
    """Synchronous; called from worker threads."""

    def wanted(self) -> Sequence[Connection]:
        """Every connection that is to be connected, of all tenants."""

    def acquire(self, connection_id: ConnectionId) -> int | None:
        """The token of a new lease, larger than any before; None while another session holds it.

        Raises OtherBuild while a session of other software holds any connection.
        """

    def renew(self, connection_id: ConnectionId, token: int) -> bool:
        """Whether the lease is still the caller's; then it lasts its whole time again."""

    def release(self, connection_id: ConnectionId, token: int) -> None:
        """End the lease at once."""

    def set_status(
        self, tenant_id: TenantId, connection_id: ConnectionId, status: str, detail: str, heard_at: datetime | None
    ) -> None:
        """Tell people and intake how the connection is."""

    def instruments(self) -> tuple[Instrument, ...]:
        """What can be traded."""

    def put_quotes(self, quotes: Iterable[Quote]) -> None:
        """Replace the last quotes of these instruments."""

    def requested_runs(self, tenant_id: TenantId, connection_id: ConnectionId) -> Sequence[Run]:
        """The comparisons of broker and book that people asked for and nobody has made."""

    def keep_run(self, tenant_id: TenantId, run: Run) -> None:
        """Store what came of a comparison."""

    def storage_get(self, tenant_id: TenantId, connection_id: ConnectionId, key: str) -> str | None:
        """A value of the connector's durable store."""

    def storage_put(self, tenant_id: TenantId, connection_id: ConnectionId, key: str, value: str) -> None:
        """Remember a value; durable when it returns."""
