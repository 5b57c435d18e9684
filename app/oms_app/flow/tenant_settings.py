"""A tenant's settings as a typed value: what a person writes in, checked key by key, and what the system reads out."""

from typing import Any

import msgspec

from oms_kernel.domain.errors import InvalidRequest

OWN = frozenset({"is_demo"})
"""Keys that the system writes itself; people neither see nor change them."""


class TenantSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant decides for itself.

    require_idempotency_key: placing orders needs an Idempotency-Key. require_totp: members sign in with a second
    factor. allow_private_webhooks: webhooks may go to private addresses, where the platform allows it too.
    """

    require_idempotency_key: bool = False
    require_totp: bool = False
    allow_private_webhooks: bool = False


def settings_of(stored: dict[str, Any]) -> TenantSettings:
    """The settings in a tenant's row; what is missing has its default."""
    known = {name: value for name, value in stored.items() if name in TenantSettings.__struct_fields__}
    return msgspec.convert(known, TenantSettings)


def checked(asked: dict[str, Any], stored: dict[str, Any]) -> dict[str, Any]:
    """What to store for these settings, which replace the stored ones. Raises InvalidRequest naming the key."""
    for name, value in asked.items():
        if name not in TenantSettings.__struct_fields__:
            known = ", ".join(TenantSettings.__struct_fields__)
            raise InvalidRequest(f"there is no setting {name}; known are {known}", field=f"settings.{name}")
        try:
            msgspec.convert({name: value}, TenantSettings)
        except msgspec.ValidationError as error:
            reason = str(error).partition(" - at ")[0]
            raise InvalidRequest(f"{name} is wrong: {reason}", field=f"settings.{name}") from None
    kept = {name: value for name, value in stored.items() if name in OWN}
    return {**kept, **msgspec.to_builtins(msgspec.convert(asked, TenantSettings))}
