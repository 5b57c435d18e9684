"""Invitations: an administrator invites, sends again and revokes; whoever holds the mail's token looks and accepts."""

from datetime import UTC, datetime
from typing import Any

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.fields import Text, Word
from oms_app.api.json_text import plain
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.rate_limit import Bucket
from oms_app.api.reading.asked import made_between, part_of
from oms_app.api.routes.members import scopes_field
from oms_app.flow.invitations import Accepted, Draft
from oms_app.flow.scopes import Role, Scope
from oms_app.store.invitations import Invitation

INVITATION = "/invitations/<uuid:invitation_id>"


def create_invitation(call: Call) -> Answer:
    """Invite a person by e-mail. The mail holds a link that works once, within seven days."""
    asked = call.body
    draft = Draft(
        email=asked["email"],
        role=asked["role"],
        scopes=tuple(asked.get("scopes", ())),
        first_name=asked.get("first_name", ""),
        last_name=asked.get("last_name", ""),
    )
    made = call.services.invitations.create(call.principal, call.actor, draft)
    return Answer(_shown(made), 201, {"Location": v1(f"/invitations/{made.invitation_id}")})


def list_invitations(call: Call) -> Answer:
    """Invitations that nobody accepted or revoked, newest first; `with_closed`: all."""
    found = call.services.invitations.list(call.principal, with_closed=bool(call.query.get("with_closed")))
    return Answer(part_of([_shown(one) for one in made_between(found, call.query)], call.query))


def get_invitation(call: Call, invitation_id: str) -> Answer:
    """An invitation."""
    return Answer(_shown(call.services.invitations.get(call.principal, invitation_id)))


def resend_invitation(call: Call, invitation_id: str) -> Answer:
    """Send an open or expired invitation once more; it is good for seven days again."""
    return Answer(_shown(call.services.invitations.resend(call.principal, call.actor, invitation_id)))


def revoke_invitation(call: Call, invitation_id: str) -> Answer:
    """End an invitation; the links that were sent are worth nothing."""
    call.services.invitations.revoke(call.principal, call.actor, invitation_id)
    return Answer(None, 204)


def look_at_invitation(call: Call) -> Answer:
    """What an invitation offers to the holder of its token, which is not used up by this."""
    return Answer(plain(call.services.invitations.look(call.body["token"])))


def accept_invitation(call: Call) -> Answer:
    """Join the tenant. Without an account: choose a password. The e-mail address counts as verified."""
    asked = call.body
    accepted = call.services.invitations.accept(
        asked["token"],
        call.actor,
        password=asked.get("password"),
        first_name=asked.get("first_name", ""),
        last_name=asked.get("last_name", ""),
    )
    return Answer(shown_accepted(accepted), 201)


def shown_accepted(accepted: Accepted) -> dict[str, Any]:
    """Who joined what, as the API answers it."""
    answer: dict[str, Any] = plain(accepted)
    return answer


def _shown(one: Invitation) -> dict[str, Any]:
    return {
        "invitation_id": one.invitation_id,
        "email": one.email,
        "first_name": one.first_name,
        "last_name": one.last_name,
        "role": one.role,
        "scopes": list(one.scopes),
        "status": one.status(datetime.now(UTC)),
        "invited_by": one.invited_by,
        "expires_at": one.expires_at,
        "accepted_at": one.accepted_at,
        "accepted_by": one.accepted_by,
        "revoked_at": one.revoked_at,
        "created_at": one.created_at,
    }


def name_field() -> Text:
    """A first or last name."""
    return Text(longest=100, shortest=0)


def token_field() -> Text:
    """The token of a mail."""
    return Text(longest=200, required=True)


ENDPOINTS = (
    Endpoint(
        method="POST",
        path=v1("/invitations"),
        view=create_invitation,
        scope=Scope.ADMIN_TENANTS,
        tag="invitations",
        body=SchemaBody(
            "InvitationRequest",
            {
                "email": Text(longest=254, required=True),
                "role": Word(Role, required=True),
                "scopes": scopes_field(),
                "first_name": name_field(),
                "last_name": name_field(),
            },
        ),
        answers={201: "Invitation"},
        problems=(409,),
    ),
    Endpoint(
        method="GET",
        path=v1("/invitations"),
        view=list_invitations,
        scope=Scope.ADMIN_TENANTS,
        tag="invitations",
        query=list_query("with_closed"),
        answers={200: "InvitationList"},
    ),
    Endpoint(
        method="GET",
        path=v1(INVITATION),
        view=get_invitation,
        scope=Scope.ADMIN_TENANTS,
        tag="invitations",
        answers={200: "Invitation"},
    ),
    Endpoint(
        method="POST",
        path=v1(INVITATION + "/resend"),
        view=resend_invitation,
        scope=Scope.ADMIN_TENANTS,
        tag="invitations",
        answers={200: "Invitation"},
        problems=(409,),
    ),
    Endpoint(
        method="DELETE",
        path=v1(INVITATION),
        view=revoke_invitation,
        scope=Scope.ADMIN_TENANTS,
        tag="invitations",
        answers={204: None},
        problems=(409,),
    ),
    Endpoint(
        method="POST",
        path=v1("/invitations/look"),
        view=look_at_invitation,
        scope=Access.PUBLIC,
        tag="invitations",
        body=SchemaBody("InvitationToken", {"token": token_field()}),
        answers={200: "InvitationOffer"},
        bucket=Bucket.SIGN_IN,
    ),
    Endpoint(
        method="POST",
        path=v1("/invitations/accept"),
        view=accept_invitation,
        scope=Access.PUBLIC,
        tag="invitations",
        body=SchemaBody(
            "InvitationAcceptance",
            {
                "token": token_field(),
                "password": Text(longest=1024),
                "first_name": name_field(),
                "last_name": name_field(),
            },
        ),
        answers={201: "Joined"},
        bucket=Bucket.SIGN_IN,
    ),
)
