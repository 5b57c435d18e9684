"""The database and the loaded plugins in, the limits out whose rule no plugin provides; ends one when told to.

Such a limit denies every order of its scope, since what was meant to be checked cannot be. Installing the rule again
or ending the limit is the way out, and both are the operator's decision.
"""

from __future__ import annotations

import msgspec

from oms_app.cli.database import is_made, opened_store
from oms_app.cli.errors import CommandFailed
from oms_app.config import Settings
from oms_app.store.sql_store import SqlStore
from oms_kernel.domain.ids import AccountId, TenantId
from oms_kernel.registry import Registries


class OrphanedLimit(msgspec.Struct, frozen=True):
    """A limit in force that denies everything in its scope: one account, or the tenant where account_id is None."""

    tenant_id: str
    limit_id: str
    rule: str
    account_id: str | None


def orphaned_limits(settings: Settings, registries: Registries) -> list[OrphanedLimit]:
    """Every tenant's limits without a rule; none before the first start. Raises CommandFailed without a database."""
    if not is_made(settings):
        return []
    with opened_store(settings) as store:
        return _found(store, registries)


def end_orphaned_limit(settings: Settings, registries: Registries, limit_id: str) -> list[OrphanedLimit]:
    """What was ended: the limit with this id, of each tenant that has it; in force from the next batch of orders on.

    Raises CommandFailed when no such limit is in force, when a plugin does provide its rule, and without a database.
    """
    from oms_app.flow.audit import AdminAction, cli_actor, record
    from oms_app.store.limits import end_limit

    with opened_store(settings) as store:
        ended = [one for one in _found(store, registries) if one.limit_id == limit_id]
        if not ended:
            raise CommandFailed(
                f"{limit_id} is no limit without a rule: `oms plugins check` lists those that can be ended here"
            )
        for one in ended:
            with store.tenant_unit(TenantId(one.tenant_id)) as unit:
                end_limit(unit, limit_id)
                account_id = AccountId(one.account_id) if one.account_id is not None else None
                action = AdminAction("limit.ended", "limit", limit_id, before={"rule": one.rule}, account_id=account_id)
                record(unit, cli_actor(), action)
        return ended


def _found(store: SqlStore, registries: Registries) -> list[OrphanedLimit]:
    from oms_app.flow.rulebook import limits_without_rule
    from oms_app.store.limits import list_limits

    found: list[OrphanedLimit] = []
    for tenant_id in sorted({tenant_id for tenant_id, _ledger_id in store.ledgers()}):
        with store.read_unit(tenant_id) as unit:
            limits = list_limits(unit)
        found += [
            OrphanedLimit(tenant_id=tenant_id, limit_id=row.limit_id, rule=row.rule, account_id=row.scope.account_id)
            for row in limits_without_rule(registries, limits)
        ]
    return found
