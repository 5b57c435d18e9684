"""Sealed secrets in, the same wrapped by the first master key out, while everybody goes on reading and writing.

Each row is changed for itself and only if nobody changed it since it was read; a run that was killed is begun again
and finds what is left. What is read meanwhile opens before and after, because every master key that is given unwraps.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager

import msgspec

from oms_app.flow.audit import Actor, AdminAction, record
from oms_app.flow.sealing import CannotOpen, Sealer, wrapped_by
from oms_app.store import sealed_columns as rows
from oms_app.store import tenants
from oms_app.store.sealed_columns import SEALED_COLUMNS, SealedColumn
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId

PAGE = 100
FIRST_FORMAT = "first format"
"""What stands in a status for values that do not say which key they need."""


class SecretCount(msgspec.Struct, frozen=True):
    """How many values of a table need a master key; "" for those of the first format, which name none."""

    table: str
    master_id: str
    count: int


class Unopened(msgspec.Struct, frozen=True):
    """A value that no master key opens; its secret must be entered again."""

    table: str
    tenant_id: str | None
    row_id: str
    reason: str


class Rotated(msgspec.Struct, frozen=True):
    """What a run did: values looked at, values wrapped anew, and those that do not open."""

    seen: int
    renewed: int
    unopened: tuple[Unopened, ...]


class SecretRotation:
    """Renews what one sealer sealed."""

    def __init__(self, store: SqlStore, sealer: Sealer) -> None:
        self._store = store
        self._sealer = sealer

    def status(self) -> Sequence[SecretCount]:
        """How many values of each table need which master key."""
        counts: Counter[tuple[str, str]] = Counter()
        for column, tenant_id in self._places():
            for page in self._pages(column, tenant_id):
                counts.update((column.table.name, wrapped_by(sealed)) for _row_id, sealed in page)
        return [SecretCount(table, master_id, count) for (table, master_id), count in sorted(counts.items())]

    def rotate(self, actor: Actor) -> Rotated:
        """Wrap every value by the first master key. Safe to repeat, and to do twice at once."""
        seen = renewed = 0
        unopened: list[Unopened] = []
        for column, tenant_id in self._places():
            for page in self._pages(column, tenant_id):
                seen += len(page)
                renewed += self._renew(column, tenant_id, page, unopened)
        if renewed:
            with self._store.platform_unit() as unit:
                after = {"renewed": renewed, "unopened": len(unopened)}
                record(unit, actor, AdminAction("secrets.rotated", "master_key", self._sealer.master_id, after=after))
        return Rotated(seen=seen, renewed=renewed, unopened=tuple(unopened))

    def _renew(
        self,
        column: SealedColumn,
        tenant_id: TenantId | None,
        page: Sequence[tuple[str, bytes]],
        unopened: list[Unopened],
    ) -> int:
        old = [row for row in page if wrapped_by(row[1]) != self._sealer.master_id]
        if not old:
            return 0
        renewed = 0
        with self._writing(tenant_id) as unit:
            for row_id, sealed in old:
                try:
                    new = self._sealer.renew(rows.sealed_for(column, unit), column.table.name, row_id, sealed)
                except CannotOpen as error:
                    unopened.append(Unopened(column.table.name, tenant_id, row_id, str(error)))
                    continue
                # What somebody else wrote meanwhile is wrapped by the first master key of their process.
                renewed += rows.replace_sealed(unit, column, row_id, sealed, new)
        return renewed

    def _places(self) -> Iterator[tuple[SealedColumn, TenantId | None]]:
        """Every column with every tenant that may have rows in it; None for the platform's."""
        with self._store.read_unit(None) as unit:
            tenant_ids = [listed.tenant_id for listed in tenants.list_tenants(unit)]
        for column in SEALED_COLUMNS:
            if column.is_of_platform:
                yield column, None
            else:
                yield from ((column, tenant_id) for tenant_id in tenant_ids)

    def _pages(self, column: SealedColumn, tenant_id: TenantId | None) -> Iterator[Sequence[tuple[str, bytes]]]:
        after = ""
        while True:
            with self._store.read_unit(tenant_id) as unit:
                page = rows.sealed_rows(unit, column, after, PAGE)
            if not page:
                return
            yield page
            after = page[-1][0]

    def _writing(self, tenant_id: TenantId | None) -> AbstractContextManager[RowsUnit]:
        return self._store.platform_unit() if tenant_id is None else self._store.tenant_unit(tenant_id)
