"""Members of the caller's tenant: list, change, keep out, remove; many at once as CSV."""

from typing import Any

import marshmallow as ma
from flask import Response

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import QueryFlag, Word
from oms_app.api.json_text import plain
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import FieldError, Problem
from oms_app.api.reading.asked import made_between, part_of
from oms_app.api.schema_from_struct import make_schema
from oms_app.flow.people_csv import COLUMNS, BadTable
from oms_app.flow.scopes import Role, Scope, scopes_of
from oms_app.store.people import Member

MEMBER = "/members/<uuid:user_id>"
LONGEST_CSV = 1_000_000


def list_members(call: Call) -> Answer:
    """The members of the caller's tenant, inactive ones too, newest first."""
    found = call.services.members.list(call.principal, role=call.query.get("role"))
    return Answer(part_of([shown_member(one) for one in made_between(found, call.query)], call.query))


def get_member(call: Call, user_id: str) -> Answer:
    """A member."""
    return Answer(shown_member(call.services.members.get(call.principal, user_id)))


def change_member(call: Call, user_id: str) -> Answer:
    """Change a member's role, or the scopes given beside it; never to more than the caller may do."""
    asked = call.body
    changed = call.services.members.change(
        call.principal, call.actor, user_id, role=asked.get("role"), scopes=asked.get("scopes")
    )
    return Answer(shown_member(changed))


def deactivate_member(call: Call, user_id: str) -> Answer:
    """Keep a member out: no session of theirs and none of their keys is taken in this tenant."""
    return Answer(shown_member(call.services.members.set_active(call.principal, call.actor, user_id, False)))


def activate_member(call: Call, user_id: str) -> Answer:
    """Let a member in again."""
    return Answer(shown_member(call.services.members.set_active(call.principal, call.actor, user_id, True)))


def remove_member(call: Call, user_id: str) -> Answer:
    """End a membership, with the person's sessions and keys in this tenant."""
    call.services.members.remove(call.principal, call.actor, user_id)
    return Answer(None, 204)


def import_members(call: Call) -> Answer:
    """Invite the people of a CSV table, all or none. Every row is checked first; `dry_run`: only checked."""
    dry_run = bool(call.query.get("dry_run"))
    try:
        results = call.services.people_tables.read(call.principal, call.actor, call.body["csv"], dry_run=dry_run)
    except BadTable as error:
        fix = f"correct the cell; columns are {', '.join(COLUMNS)}"
        errors = [FieldError(f"rows[{one.row}].{one.column}", one.detail, fix) for one in error.faults]
        raise Problem("invalid_request", error.detail, errors=errors) from None
    return Answer({"dry_run": dry_run, "results": plain(list(results))})


def export_members(call: Call) -> Answer:
    """The members as a CSV table."""
    text = call.services.people_tables.write(call.services.members.list(call.principal))

    def write(response: Response) -> None:
        response.set_data(text)
        response.headers["Content-Type"] = "text/csv; charset=utf-8"
        response.headers["Content-Disposition"] = 'attachment; filename="members.csv"'

    return Answer(None, edit=write)


def shown_member(one: Member) -> dict[str, Any]:
    """A member as the API answers it."""
    return {
        "user_id": one.user_id,
        "email": one.email,
        "first_name": one.first_name,
        "last_name": one.last_name,
        "role": one.role,
        "scopes": list(one.scopes),
        "granted_scopes": sorted(scopes_of(one.role, one.scopes)),
        "is_active": one.is_active and one.is_user_active,
        "email_verified": one.email_verified_at is not None,
        "created_at": one.created_at,
        "updated_at": one.updated_at,
    }


def scopes_field() -> ma.fields.Field[Any]:
    """Scopes beside those of the role."""
    return ma.fields.List(Word(Scope), validate=ma.validate.Length(0, len(Scope)))


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/members"),
        view=list_members,
        scope=Scope.ADMIN_TENANTS,
        tag="members",
        query=list_query("role"),
        answers={200: "MemberList"},
    ),
    Endpoint(
        method="GET",
        path=v1("/members/export"),
        view=export_members,
        scope=Scope.ADMIN_TENANTS,
        tag="members",
        answers={200: None},
        answers_csv=True,
    ),
    Endpoint(
        method="POST",
        path=v1("/members/import"),
        view=import_members,
        scope=Scope.ADMIN_TENANTS,
        tag="members",
        query=make_schema("ImportQuery", {"dry_run": QueryFlag()}),
        body=SchemaBody(
            "MemberImport",
            {"csv": ma.fields.String(required=True, validate=ma.validate.Length(1, LONGEST_CSV))},
        ),
        takes_csv=True,
        body_example={"csv": "email,role,scopes\r\nanna@example.com,TRADER,manage:risk\r\n"},
        answers={200: "MemberImportResults"},
        problems=(409,),
    ),
    Endpoint(
        method="GET",
        path=v1(MEMBER),
        view=get_member,
        scope=Scope.ADMIN_TENANTS,
        tag="members",
        answers={200: "Member"},
    ),
    Endpoint(
        method="PATCH",
        path=v1(MEMBER),
        view=change_member,
        scope=Scope.ADMIN_TENANTS,
        tag="members",
        body=SchemaBody("MemberChange", {"role": Word(Role), "scopes": scopes_field()}),
        answers={200: "Member"},
        problems=(409,),
    ),
    Endpoint(
        method="POST",
        path=v1(MEMBER + "/deactivate"),
        view=deactivate_member,
        scope=Scope.ADMIN_TENANTS,
        tag="members",
        answers={200: "Member"},
        problems=(409,),
    ),
    Endpoint(
        method="POST",
        path=v1(MEMBER + "/activate"),
        view=activate_member,
        scope=Scope.ADMIN_TENANTS,
        tag="members",
        answers={200: "Member"},
    ),
    Endpoint(
        method="DELETE",
        path=v1(MEMBER),
        view=remove_member,
        scope=Scope.ADMIN_TENANTS,
        tag="members",
        answers={204: None},
        problems=(409,),
    ),
)
