"""The sizes that the installation's settings name in, limits of the whole firm out, without a row of the database."""

from decimal import Decimal

from oms_app.store.unit_of_work import LimitRow
from oms_kernel.domain.money import to_text
from oms_kernel.domain.scope import Scope

POSITION, ORDER = "RISK_MAX_POSITION_SIZE", "RISK_MAX_ORDER_SIZE"
PREFIX = "env:"
"""Of the ids of such limits."""


def firm_defaults(max_position: Decimal | None, max_order: Decimal | None) -> tuple[LimitRow, ...]:
    """The limits of max_position and max_order_quantity for every tenant; none for what is None. In shares."""
    sizes = ((POSITION, "max_position", max_position), (ORDER, "max_order_quantity", max_order))
    return tuple(
        LimitRow(
            limit_id=PREFIX + variable,
            rule=rule,
            params={"max_quantity": to_text(size)},
            version=1,
            scope=Scope(is_firm=True),
            name=variable,
            updated_by="system:settings",
        )
        for variable, rule, size in sizes
        if size is not None
    )
