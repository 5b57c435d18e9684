"""An order's terms and its broker in, what its execution would cost out, or why nobody can say so before it is sent."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from oms_app.store import queries
from oms_app.store.sql_store import SqlStore
from oms_app.store.unit_of_work import Route
from oms_kernel.contracts.broker import CostEstimate
from oms_kernel.contracts.plugin import parse_params
from oms_kernel.domain.ids import TenantId
from oms_kernel.domain.instrument import Instrument
from oms_kernel.domain.order import OrderRequest
from oms_kernel.guard import Guard, Tally
from oms_kernel.registry import Registries

NO_PRICE = "there is no price to estimate by: no limit, no stop and no fresh quote"


class Cost(msgspec.Struct, frozen=True):
    """What an order would cost, in `currency`; figures that are not known are None, and `source` says why."""

    fee: Decimal | None
    margin: Decimal | None
    currency: str
    source: str


CostOf = Callable[[TenantId, Route, Instrument, OrderRequest, Decimal | None], Cost]


def unknown_cost(instrument: Instrument, why: str) -> Cost:
    """No figures, and the reason."""
    return Cost(fee=None, margin=None, currency=instrument.currency, source=why)


def cost_reader(store: SqlStore, registries: Registries, guard_of: Callable[[str], Guard]) -> CostOf:
    """Asks the connector of the connection over which the order would go; its failure is counted and costs nothing."""
    tallies: dict[str, Tally] = {}

    def cost_of(
        tenant_id: TenantId, route: Route, instrument: Instrument, request: OrderRequest, price: Decimal | None
    ) -> Cost:
        registered = registries.brokers.get(route.broker)
        estimate = getattr(registered.contributed, "estimate", None) if registered is not None else None
        if registered is None or estimate is None:
            return unknown_cost(instrument, f"broker {route.broker} estimates no costs")
        if price is None:
            return unknown_cost(instrument, NO_PRICE)
        with store.read_unit(tenant_id) as unit:
            connection = queries.get_connection(unit, route.connection_id)
        params = connection.params if connection is not None else {}
        guard = guard_of(registered.plugin)
        tally = tallies.get(registered.plugin) or tallies.setdefault(registered.plugin, guard.tally())
        found = _asked(guard, tally, registered.contributed, params, instrument, request, price)
        if isinstance(found, str):
            return unknown_cost(instrument, found)
        return Cost(fee=found.fee, margin=found.margin, currency=found.currency, source=found.source)

    return cost_of


def _asked(
    guard: Guard,
    tally: Tally,
    contributed: Any,
    params: dict[str, Any],
    instrument: Instrument,
    request: OrderRequest,
    price: Decimal,
) -> CostEstimate | str:
    """The connector's estimate, or why there is none."""
    try:
        with guard.measured(tally):
            found = contributed.estimate(parse_params(contributed, params), instrument, request, price)
    except Exception as error:
        return f"plugin {guard.plugin} could not estimate the costs ({type(error).__name__})"
    if found is None:
        return "the connection's parameters do not say what the broker charges"
    if not isinstance(found, CostEstimate):
        return f"plugin {guard.plugin} answered no estimate"
    return found
