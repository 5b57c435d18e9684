"""Set a limit of the tests' tenant."""

import uuid
from decimal import Decimal

from sqlalchemy import insert

from oms_app.bootstrap import Services
from oms_app.store import tables
from oms_app.store.tenants import config_changed
from oms_kernel.domain.ids import TenantId


def limit_quantity(services: Services, ids: dict[str, str], most: Decimal) -> None:
    """Let no order be larger."""
    with services.store.tenant_unit(TenantId(ids["tenant_id"])) as unit:
        unit.connection.execute(
            insert(tables.LIMITS).values(
                tenant_id=ids["tenant_id"],
                limit_id=str(uuid.uuid4()),
                rule="max_order_quantity",
                params={"max_quantity": str(most)},
                version=1,
                created_at=unit.now,
                updated_at=unit.now,
            )
        )
        config_changed(unit)
