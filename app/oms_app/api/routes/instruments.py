"""What can be traded, and what is known of it today beside its quote."""

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.json_text import plain
from oms_app.api.market_answers import facts_fields
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import not_found
from oms_app.api.reading import catalogue as reading
from oms_app.flow.instrument_facts import facts_of, tell_facts
from oms_app.flow.scopes import Scope
from oms_kernel.contracts.rules import InstrumentFacts
from oms_kernel.domain.ids import InstrumentId


def list_instruments(call: Call) -> Answer:
    """List what can be traded, by symbol."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_instruments(unit, call.query))


def get_instrument(call: Call, instrument_id: str) -> Answer:
    """Read an instrument."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        found = reading.find_instrument(unit, instrument_id)
    if found is None:
        raise not_found("instrument")
    return Answer(found)


def get_instrument_facts(call: Call, instrument_id: str) -> Answer:
    """Read what is known of an instrument today: volume, halts, price band, short-sale restrictions, sector, issuer."""
    found = facts_of(call.services.store, InstrumentId(instrument_id))
    if found is None:
        raise not_found("word of the instrument yet: nothing")
    return Answer(plain(found))


def put_instrument_facts(call: Call, instrument_id: str) -> Answer:
    """Say what is known of an instrument; superusers only. It replaces all that was known before, for every tenant."""
    call.services.tenancy.require_superuser(call.principal)
    with call.services.store.read_unit(None) as unit:
        now = unit.now
    told = InstrumentFacts(instrument_id=InstrumentId(instrument_id), **{"as_of": now, **call.body})
    return Answer(plain(tell_facts(call.services.store, call.actor, told)))


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/instruments"),
        view=list_instruments,
        scope=Scope.VIEW_ORDERS,
        tag="instruments",
        query=list_query("symbol", "venue", "exchange", "asset_class", "currency", "with_closed"),
        answers={200: "InstrumentList"},
    ),
    Endpoint(
        method="GET",
        path=v1("/instruments/<uuid:instrument_id>"),
        view=get_instrument,
        scope=Scope.VIEW_ORDERS,
        tag="instruments",
        answers={200: "Instrument"},
    ),
    Endpoint(
        method="GET",
        path=v1("/instruments/<uuid:instrument_id>/facts"),
        view=get_instrument_facts,
        scope=Scope.VIEW_ORDERS,
        tag="instruments",
        answers={200: "InstrumentFacts"},
    ),
    Endpoint(
        method="PUT",
        path=v1("/instruments/<uuid:instrument_id>/facts"),
        view=put_instrument_facts,
        scope=Scope.ADMIN_TENANTS,
        tag="instruments",
        body=SchemaBody("InstrumentFactsRequest", facts_fields()),
        answers={200: "InstrumentFacts"},
        problems=(404, 409),
    ),
)
