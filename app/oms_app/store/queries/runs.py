"""Reconciliation runs as lists: filters in, each time that broker and book were compared out, newest first."""

from collections.abc import Collection
from typing import Any

import msgspec
from sqlalchemy import Select, select

from oms_app.store.queries.paging import Page, Paging, page
from oms_app.store.reconciliation_runs import Run, run_of
from oms_app.store.rows import scope_of
from oms_app.store.tables import ACCOUNT_ROUTES, BROKER_ACCOUNTS, RECONCILIATION_RUNS
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.ids import TenantId


class RunFilter(msgspec.Struct, frozen=True):
    """What a list of runs shows; None lets everything through.

    allowed_accounts: only runs of connections that serve one of these trading accounts. None means all.
    """

    connection_id: str | None = None
    allowed_accounts: Collection[str] | None = None


def list_runs(unit: RowsUnit, filters: RunFilter, paging: Paging) -> Page[Run]:
    """The runs that pass the filters, newest first."""
    return page(unit, _filtered(scope_of(unit), filters), RECONCILIATION_RUNS.c.run_id, paging, run_of)


def get_run(unit: RowsUnit, run_id: str, filters: RunFilter) -> Run | None:
    """The run, if the tenant has it and it passes the filters."""
    query = _filtered(scope_of(unit), filters).where(RECONCILIATION_RUNS.c.run_id == run_id)
    row = unit.connection.execute(query).one_or_none()
    return run_of(row) if row is not None else None


def _filtered(tenant_id: TenantId, filters: RunFilter) -> Select[Any]:
    columns = RECONCILIATION_RUNS.c
    query = select(RECONCILIATION_RUNS).where(columns.tenant_id == tenant_id)
    if filters.connection_id is not None:
        query = query.where(columns.connection_id == filters.connection_id)
    if filters.allowed_accounts is not None:
        served = (
            select(BROKER_ACCOUNTS.c.connection_id)
            .join(
                ACCOUNT_ROUTES,
                (ACCOUNT_ROUTES.c.tenant_id == BROKER_ACCOUNTS.c.tenant_id)
                & (ACCOUNT_ROUTES.c.broker_account_id == BROKER_ACCOUNTS.c.broker_account_id),
            )
            .where(
                BROKER_ACCOUNTS.c.tenant_id == tenant_id,
                ACCOUNT_ROUTES.c.account_id.in_(sorted(filters.allowed_accounts)),
            )
        )
        query = query.where(columns.connection_id.in_(served))
    return query
