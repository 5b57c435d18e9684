"""All limits of a firm or tenant as one file over the API: what it would change, apply it, and write one."""

import marshmallow as ma

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import JsonObject, QueryFlag, Text
from oms_app.api.json_text import plain
from oms_app.api.limit_answers import LONGEST_YAML
from oms_app.api.paths import v1
from oms_app.api.problems import FieldError, Problem, invalid
from oms_app.api.routes.risk_limits import prove
from oms_app.api.schema_from_struct import make_schema
from oms_app.flow.limit_changes import check_reach
from oms_app.flow.limit_file import BadLimits, document_of
from oms_app.flow.limit_files import shown_section
from oms_app.flow.scopes import Scope
from oms_app.flow.yaml_text import Document


def apply_limits(call: Call) -> Answer:
    """Bring limits and settings of risk to what a file says, in one transaction; `dry_run`: only say what differs.

    A second time it changes nothing. Limits that the file does not name stay, unless `prune`. What lets more through
    needs a person who has stepped up; where the tenant wants a second person, all but new limits waits for one.
    The file's own tenant is yours; the firm and other tenants are for superusers.
    """
    dry_run, prune = bool(call.query.get("dry_run")), bool(call.query.get("prune"))
    try:
        results = call.services.limit_files.apply(
            call.principal,
            call.actor,
            _document(call),
            tenant_id=call.principal.tenant_id,
            dry_run=dry_run,
            prune=prune,
            reason=call.body.get("reason", ""),
            before_loosening=lambda: prove(call),
        )
    except BadLimits as error:
        faults = [
            FieldError(
                fault.path or "yaml", f"line {fault.line}: {fault.detail}" if fault.line else fault.detail, fault.fix
            )
            for fault in error.faults
        ]
        raise Problem("invalid_request", error.detail, errors=faults) from None
    sections = [shown_section(one) for one in results]
    has_changes = any(one.edits or one.waiting for one in results)
    return Answer({"dry_run": dry_run, "has_changes": has_changes, "sections": sections})


def export_limits(call: Call) -> Answer:
    """Write the tenant's limits and settings of risk as a file that, applied, changes nothing."""
    check_reach(call.principal)
    text = call.services.limit_files.export([call.principal.tenant_id], with_firm=False, at_top=True)
    return Answer({"yaml": text})


def _document(call: Call) -> Document:
    asked = call.body
    if ("yaml" in asked) == ("document" in asked):
        raise invalid(
            "yaml", "either yaml or document is needed", "send the file as `yaml`, or its values as `document`"
        )
    if "yaml" in asked:
        return document_of(asked["yaml"])
    return Document(plain(asked["document"]), {})


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=v1("/risk/limits/apply"),
        view=apply_limits,
        scope=Scope.MANAGE_RISK,
        tag="risk",
        query=make_schema("LimitQuery", {"dry_run": QueryFlag(), "prune": QueryFlag()}),
        body=SchemaBody(
            "LimitFile",
            {
                "yaml": ma.fields.String(validate=ma.validate.Length(max=LONGEST_YAML)),
                "document": JsonObject(),
                "reason": Text(longest=4000, shortest=0),
            },
        ),
        body_example={
            "document": {"limits": [{"rule": "max_order_quantity", "params": {"max_quantity": "5000"}}]},
            "reason": "Quarterly review",
        },
        takes_yaml=True,
        answers={200: "LimitsApplied"},
        problems=(404, 409),
    ),
    Endpoint(
        method="GET",
        path=v1("/risk/limits/export"),
        view=export_limits,
        scope=Scope.MANAGE_RISK,
        tag="risk",
        answers={200: "LimitsExported"},
    ),
)
