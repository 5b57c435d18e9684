"""A tenant's settings as a typed value: what a person writes in, checked key by key, and what the system reads out."""

from collections.abc import Collection
from typing import Annotated, Any

import msgspec

from oms_kernel.domain.errors import InvalidRequest

SHORTEST_DEAD_MAN_S, LONGEST_DEAD_MAN_S = 2, 3_600
OWN = frozenset({"is_demo"})
"""Keys that the system writes itself; people neither see nor change them."""


class TenantSettings(msgspec.Struct, frozen=True, kw_only=True):
    """What a tenant decides for itself.

    require_idempotency_key: placing orders needs an Idempotency-Key. require_totp: members sign in with a second
    factor. allow_private_webhooks: webhooks may go to private addresses, where the platform allows it too.
    required_limits: rules of which a limit has to cover every order. second_person_release: a kill switch is released
    by another person than who asked for it. second_person_limits: a limit is changed by two persons. approval_window_s:
    how long an order that a soft limit holds waits for its approval, in seconds. strategy_dead_man_s: the working
    orders of a strategy that runs here are cancelled when it gave no sign of life for so many seconds; 0: they stay.
    """

    require_idempotency_key: bool = False
    require_totp: bool = False
    allow_private_webhooks: bool = False
    required_limits: tuple[str, ...] = ()
    second_person_release: bool = False
    second_person_limits: bool = False
    approval_window_s: Annotated[int, msgspec.Meta(ge=60, le=86_400)] = 900
    strategy_dead_man_s: Annotated[int, msgspec.Meta(ge=0, le=LONGEST_DEAD_MAN_S)] = 0

    def __post_init__(self) -> None:
        """Raises ValueError for a value that no bound tells."""
        if 0 < self.strategy_dead_man_s < SHORTEST_DEAD_MAN_S:
            raise ValueError(f"use 0 for off, or {SHORTEST_DEAD_MAN_S} to {LONGEST_DEAD_MAN_S} seconds")


def settings_of(stored: dict[str, Any]) -> TenantSettings:
    """The settings in a tenant's row; what is missing has its default."""
    known = {name: value for name, value in stored.items() if name in TenantSettings.__struct_fields__}
    return msgspec.convert(known, TenantSettings)


def checked(
    asked: dict[str, Any], stored: dict[str, Any], known_rules: Collection[str] | None = None
) -> dict[str, Any]:
    """What to store for these settings, which replace the stored ones. Raises InvalidRequest naming the key.

    known_rules: what may be required anew; None: anything.
    """
    for name, value in asked.items():
        if name not in TenantSettings.__struct_fields__:
            known = ", ".join(TenantSettings.__struct_fields__)
            raise InvalidRequest(f"there is no setting {name}; known are {known}", field=f"settings.{name}")
        try:
            msgspec.convert({name: value}, TenantSettings)
        except msgspec.ValidationError as error:
            reason = str(error).partition(" - at ")[0]
            raise InvalidRequest(f"{name} is wrong: {reason}", field=f"settings.{name}") from None
    unknown = sorted({*asked.get("required_limits", ())} - {*(known_rules or ()), *stored.get("required_limits", ())})
    if unknown and known_rules is not None:
        known = ", ".join(sorted(known_rules)) or "none"
        raise InvalidRequest(
            f"no loaded plugin provides {', '.join(unknown)}, so every order would be denied; there are: {known}",
            field="settings.required_limits",
        )
    kept = {name: value for name, value in stored.items() if name in OWN}
    plain: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(msgspec.convert(asked, TenantSettings)))
    return {**kept, **plain}
