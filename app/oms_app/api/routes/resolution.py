"""What people settle that the platform cannot: orders in doubt, and broker reports that could not be booked."""

from enum import StrEnum
from typing import Any

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import Text, Word
from oms_app.api.order_json import etag, order_document
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import invalid
from oms_app.api.reading import attention as reading
from oms_app.api.routes.orders import ORDER
from oms_app.flow.errors import UnknownReport
from oms_app.flow.scopes import Scope
from oms_app.store.queries import ReportView
from oms_kernel.domain.ids import BrokerOrderId, LedgerId, OrderId
from oms_kernel.resolution import Finding

REPORT = "/unbooked-reports/<uuid:report_id>"
LONGEST_TEXT = 4000


class ReportStatus(StrEnum):
    """What became of an unbooked report."""

    OPEN = "OPEN"
    BOOKED = "BOOKED"
    DISMISSED = "DISMISSED"


def resolve_order(call: Call, order_id: str) -> Answer:
    """Settle an order in doubt, or one that a break names, by what you found at the broker. Nothing is sent.

    409 when the order is neither; executions are never told this way, they are booked under the broker's own id.
    """
    broker_order_id = call.body.get("broker_order_id")
    order = call.services.resolution.resolve(
        call.principal,
        OrderId(order_id),
        Finding(call.body["finding"]),
        reason=call.body["reason"],
        evidence=call.body["evidence"],
        broker_order_id=BrokerOrderId(broker_order_id) if broker_order_id is not None else None,
    )
    return Answer(order_document(order), headers={"ETag": etag(order)})


def list_unbooked_reports(call: Call) -> Answer:
    """List the broker reports that could not be booked, newest first."""
    status = call.query.get("status")
    if status is not None and status not in set(ReportStatus):
        raise invalid("status", f"status: {status!r} is unknown", f"send one of {', '.join(ReportStatus)}")
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_reports(unit, call.principal, call.query))


def get_unbooked_report(call: Call, report_id: str) -> Answer:
    """Read a broker report that could not be booked."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.report_document(_found(unit, call, report_id)))


def book_report(call: Call, report_id: str) -> Answer:
    """Book a report now that what hindered it is repaired; 422 unbookable while it is not."""
    call.services.resolution.book_report(call.principal, _ledger(call, report_id), report_id)
    return get_unbooked_report(call, report_id)


def dismiss_report(call: Call, report_id: str) -> Answer:
    """Put a report aside for good. The last open one of an account lets the account trade again."""
    call.services.resolution.dismiss_report(call.principal, _ledger(call, report_id), report_id, call.body["reason"])
    return get_unbooked_report(call, report_id)


def _ledger(call: Call, report_id: str) -> LedgerId:
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return LedgerId(_found(unit, call, report_id).ledger_id)


def _found(unit: Any, call: Call, report_id: str) -> ReportView:
    found = reading.find_report(unit, call.principal, report_id)
    if found is None:
        fix = "GET /api/v1/unbooked-reports lists those that you may see"
        raise UnknownReport(f"there is no unbooked report {report_id}", field="report_id", fix=fix)
    return found


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=v1(ORDER + "/resolve"),
        view=resolve_order,
        scope=Scope.MANAGE_BROKERS,
        tag="orders",
        body=SchemaBody(
            "ResolveOrder",
            {
                "finding": Word(Finding, required=True),
                "reason": Text(longest=LONGEST_TEXT, required=True),
                "evidence": Text(longest=LONGEST_TEXT, required=True),
                "broker_order_id": Text(longest=200),
            },
        ),
        body_example={
            "finding": "NOT_AT_BROKER",
            "reason": "The broker's order list of today does not have it.",
            "evidence": "Trading desk, call of 14:05, ticket 4711",
        },
        answers={200: "Order"},
        problems=(409,),
        gives_etag=True,
    ),
    Endpoint(
        method="GET",
        path=v1("/unbooked-reports"),
        view=list_unbooked_reports,
        scope=Scope.VIEW_POSITIONS,
        tag="reconciliation",
        query=list_query("status"),
        answers={200: "UnbookedReportList"},
    ),
    Endpoint(
        method="GET",
        path=v1(REPORT),
        view=get_unbooked_report,
        scope=Scope.VIEW_POSITIONS,
        tag="reconciliation",
        answers={200: "UnbookedReport"},
    ),
    Endpoint(
        method="POST",
        path=v1(REPORT + "/book"),
        view=book_report,
        scope=Scope.MANAGE_BROKERS,
        tag="reconciliation",
        answers={200: "UnbookedReport"},
        problems=(409,),
    ),
    Endpoint(
        method="POST",
        path=v1(REPORT + "/dismiss"),
        view=dismiss_report,
        scope=Scope.MANAGE_BROKERS,
        tag="reconciliation",
        body=SchemaBody("DismissReport", {"reason": Text(longest=LONGEST_TEXT, required=True)}),
        body_example={"reason": "A test message of the broker, confirmed by their desk."},
        answers={200: "UnbookedReport"},
        problems=(409,),
    ),
)
