"""The schemas of sessions, proofs and second factors."""

from typing import Any

import marshmallow as ma

from oms_app.api.fields import Count, Flag, IdText, Instant, Text
from oms_app.api.schema_from_struct import make_schema

Fields = dict[str, ma.fields.Field[Any]]


def sign_in_answers() -> dict[str, Fields]:
    """The answers of the routes under /auth and /sessions."""
    tenant = make_schema(
        "MyTenant",
        {
            "tenant_id": IdText(),
            "slug": _text(),
            "name": _text(),
            "role": _text(),
            "is_current": Flag(),
        },
    )
    return {
        "Tokens": {
            "access_token": _text(),
            "refresh_token": _text(),
            "token_type": _text(),
            "expires_at": Instant(),
            "session_id": IdText(),
            "user_id": IdText(),
            "tenant_id": IdText(),
            "scopes": ma.fields.List(_text()),
            "needs_second_factor": Flag(),
            "device_token": _text(allow_none=True),
        },
        "Me": {
            "principal": _text(),
            "tenant_id": IdText(),
            "scopes": ma.fields.List(_text()),
            "account_ids": ma.fields.List(IdText(), allow_none=True),
            "expires_at": Instant(allow_none=True),
            "session_id": IdText(allow_none=True),
            "has_second_factor": Flag(),
            "tenants": ma.fields.List(ma.fields.Nested(tenant)),
        },
        "Session": {
            "session_id": IdText(),
            "user_id": IdText(),
            "tenant_id": IdText(),
            "address": _text(),
            "agent": _text(),
            "created_at": Instant(),
            "last_used_at": Instant(allow_none=True),
            "expires_at": Instant(),
            "has_second_factor": Flag(),
            "is_current": Flag(),
        },
        "SteppedUp": {"stepped_up_until": Instant()},
        "EndedSessions": {"ended": Count(high=2**31)},
        "TotpEnrolment": {"secret": _text(), "otpauth_uri": _text(), "qr_svg": _text()},
        "RecoveryCodes": {"recovery_codes": ma.fields.List(_text())},
        "Accepted": {"status": _text()},
    }


def _text(**options: bool) -> Text:
    return Text(longest=65_536, shortest=0, **options)
