"""What people do about themselves: profile, preferences, verified e-mail; and strangers who register where they may."""

from typing import Any

import marshmallow as ma

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Access, Answer, Call, Endpoint
from oms_app.api.fields import JsonObject, Text
from oms_app.api.json_text import plain
from oms_app.api.paths import v1
from oms_app.api.rate_limit import Bucket
from oms_app.api.routes.invitations import name_field, shown_accepted, token_field
from oms_app.flow.profiles import Profile


def get_profile(call: Call) -> Answer:
    """The person who asks, with the tenants where that person may sign in."""
    return Answer(_shown(call.services.profiles.get(call.principal)))


def change_profile(call: Call) -> Answer:
    """Change names, phone number, date of birth, language, time zone or preferences."""
    asked = dict(call.body)
    if "preferences" in asked:
        asked["preferences"] = plain(asked["preferences"])
    return Answer(_shown(call.services.profiles.change(call.principal, call.actor, asked)))


def ask_to_verify_email(call: Call) -> Answer:
    """Send a mail with a link that proves the address."""
    call.services.profiles.ask_to_verify(call.principal, call.actor)
    return Answer(None, 202)


def verify_email(call: Call) -> Answer:
    """Take the token of that mail: the address is verified."""
    call.services.profiles.verify(call.body["token"], call.actor)
    return Answer(None, 204)


def register(call: Call) -> Answer:
    """Ask for an account and a tenant of one's own, where registration is open. The answer never says who exists."""
    asked = call.body
    call.services.registration.ask(
        asked["email"],
        asked["tenant_name"],
        first_name=asked.get("first_name", ""),
        last_name=asked.get("last_name", ""),
    )
    return Answer(None, 202)


def finish_registration(call: Call) -> Answer:
    """Take the token of that mail and choose a password: account and tenant are made."""
    made = call.services.registration.finish(call.body["token"], call.body["password"], call.actor)
    return Answer(shown_accepted(made), 201)


def _shown(profile: Profile) -> dict[str, Any]:
    person = profile.person
    return {
        "user_id": person.user_id,
        "email": person.email,
        "email_verified": person.email_verified_at is not None,
        "first_name": person.first_name,
        "last_name": person.last_name,
        "phone_number": person.phone_number,
        "date_of_birth": person.date_of_birth.isoformat() if person.date_of_birth is not None else None,
        "locale": person.locale,
        "time_zone": person.time_zone,
        "preferences": plain(person.preferences),
        "two_factor_enabled": profile.has_second_factor,
        "is_superuser": person.is_superuser,
        "tenants": [plain(one) for one in profile.tenants],
        "created_at": person.created_at,
        "updated_at": person.updated_at,
    }


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/users/me"),
        view=get_profile,
        scope=Access.AUTHENTICATED,
        tag="profile",
        answers={200: "Profile"},
        problems=(403, 404),
    ),
    Endpoint(
        method="PATCH",
        path=v1("/users/me"),
        view=change_profile,
        scope=Access.AUTHENTICATED,
        tag="profile",
        body=SchemaBody(
            "ProfileChange",
            {
                "first_name": name_field(),
                "last_name": name_field(),
                "phone_number": Text(longest=32, shortest=0),
                "date_of_birth": ma.fields.Date(allow_none=True),
                "locale": Text(longest=35, shortest=0),
                "time_zone": Text(longest=60, shortest=0),
                "preferences": JsonObject(),
            },
        ),
        answers={200: "Profile"},
        problems=(403, 404),
    ),
    Endpoint(
        method="POST",
        path=v1("/users/me/verify-email"),
        view=ask_to_verify_email,
        scope=Access.AUTHENTICATED,
        tag="profile",
        answers={202: None},
        problems=(403, 404, 409),
    ),
    Endpoint(
        method="POST",
        path=v1("/auth/verify-email"),
        view=verify_email,
        scope=Access.PUBLIC,
        tag="profile",
        body=SchemaBody("EmailToken", {"token": token_field()}),
        answers={204: None},
        bucket=Bucket.SIGN_IN,
    ),
    Endpoint(
        method="POST",
        path=v1("/auth/register"),
        view=register,
        scope=Access.PUBLIC,
        tag="profile",
        body=SchemaBody(
            "Registration",
            {
                "email": Text(longest=254, required=True),
                "tenant_name": Text(longest=200, required=True),
                "first_name": name_field(),
                "last_name": name_field(),
            },
        ),
        answers={202: None},
        problems=(403,),
        bucket=Bucket.SIGN_IN,
    ),
    Endpoint(
        method="POST",
        path=v1("/auth/register/confirm"),
        view=finish_registration,
        scope=Access.PUBLIC,
        tag="profile",
        body=SchemaBody(
            "RegistrationConfirmation", {"token": token_field(), "password": Text(longest=1024, required=True)}
        ),
        answers={201: "Joined"},
        problems=(403,),
        bucket=Bucket.SIGN_IN,
    ),
)
