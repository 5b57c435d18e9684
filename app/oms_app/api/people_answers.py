"""The schemas of tenants, members, invitations and profiles."""

from typing import Any

import marshmallow as ma

from oms_app.api.fields import Count, Flag, IdText, Instant, JsonObject, Text, Word
from oms_app.api.schema_from_struct import make_schema
from oms_app.flow.scopes import Role
from oms_app.flow.tenant_settings import LONGEST_DEAD_MAN_S, TenantSettings

Fields = dict[str, ma.fields.Field[Any]]


def people_answers() -> dict[str, Fields]:
    """The fields of each schema by its name."""
    settings = make_schema("SettingsOfTenant", settings_fields())
    belonging = make_schema(
        "ProfileTenant",
        {"tenant_id": IdText(), "name": _text(), "slug": _text(), "role": Word(Role), "is_current": Flag()},
    )
    result = make_schema(
        "MemberImportRow",
        {
            "row": Count(low=1, high=1000),
            "email": _text(),
            "outcome": _text(),
            "invitation_id": IdText(allow_none=True),
        },
    )
    names: Fields = {"first_name": _text(), "last_name": _text()}
    stamps: Fields = {"created_at": Instant(), "updated_at": Instant()}
    return {
        "Tenant": {
            "tenant_id": IdText(),
            "name": _text(),
            "slug": _text(),
            "domain": _text(allow_none=True),
            "time_zone": _text(),
            "base_currency": _text(),
            "is_active": Flag(),
            "settings": ma.fields.Nested(settings),
            **stamps,
        },
        "TenantSettings": settings_fields(),
        "Member": {
            "user_id": IdText(),
            "email": _text(),
            **names,
            "role": Word(Role),
            "scopes": ma.fields.List(_text()),
            "granted_scopes": ma.fields.List(_text()),
            "is_active": Flag(),
            "email_verified": Flag(),
            **stamps,
        },
        "MemberImportResults": {"dry_run": Flag(), "results": ma.fields.List(ma.fields.Nested(result))},
        "Invitation": {
            "invitation_id": IdText(),
            "email": _text(),
            **names,
            "role": Word(Role),
            "scopes": ma.fields.List(_text()),
            "status": _text(),
            "invited_by": _text(),
            "expires_at": Instant(),
            "accepted_at": Instant(allow_none=True),
            "accepted_by": IdText(allow_none=True),
            "revoked_at": Instant(allow_none=True),
            "created_at": Instant(),
        },
        "InvitationOffer": {
            "email": _text(),
            "tenant": _text(),
            "role": Word(Role),
            "needs_password": Flag(),
            "expires_at": Instant(),
        },
        "Joined": {
            "user_id": IdText(),
            "tenant_id": IdText(),
            "email": _text(),
            "role": Word(Role),
            "is_new": Flag(),
        },
        "Profile": {
            "user_id": IdText(),
            "email": _text(),
            "email_verified": Flag(),
            **names,
            "phone_number": _text(),
            "date_of_birth": ma.fields.Date(allow_none=True),
            "locale": _text(),
            "time_zone": _text(),
            "preferences": JsonObject(),
            "two_factor_enabled": Flag(),
            "is_superuser": Flag(),
            "tenants": ma.fields.List(ma.fields.Nested(belonging)),
            **stamps,
        },
    }


def settings_fields() -> Fields:
    """A tenant's settings: true or false, but for a list of rules and numbers of seconds."""
    flags: Fields = {name: Flag() for name in TenantSettings.__struct_fields__}
    rules = ma.fields.List(Text(longest=100), validate=ma.validate.Length(max=200))
    window, dead_man = Count(low=60, high=86_400), Count(low=0, high=LONGEST_DEAD_MAN_S)
    return {**flags, "required_limits": rules, "approval_window_s": window, "strategy_dead_man_s": dead_man}


def _text(**options: bool) -> Text:
    return Text(longest=65_536, shortest=0, **options)
