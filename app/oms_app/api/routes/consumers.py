"""Consumers of the log: who reads the tenant's ledgers and how far behind."""

from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.json_text import plain
from oms_app.api.paging import whole_list
from oms_app.api.paths import v1
from oms_app.flow.consumers import Consumer, Consumers
from oms_app.flow.scopes import Scope


def list_consumers(call: Call) -> Answer:
    """List the consumers of the log by name and ledger: the seq they have read, the log's head, and their lag."""
    services = call.services
    found = Consumers(services.store, services.reader).list(call.principal.tenant_id)
    return Answer(whole_list([_shown(one) for one in found]))


def _shown(one: Consumer) -> dict[str, object]:
    shown: dict[str, object] = plain(one)
    return {**shown, "lag_s": f"{one.lag_s:.3f}"}


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/consumers"),
        view=list_consumers,
        scope=Scope.VIEW_AUDIT,
        tag="consumers",
        answers={200: "ConsumerList"},
    ),
)
