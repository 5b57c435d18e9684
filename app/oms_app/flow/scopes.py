"""Name what a principal may do: scopes, and the roles that are sets of scopes; a member may have more beside a role.

VIEWER looks at orders and positions. TRADER also trades and runs strategies. MANAGER also manages brokers, risk and
webhooks. ADMIN may do everything in the tenant. COMPLIANCE looks at orders, positions and audit, and
handles cases of surveillance.
"""

from collections.abc import Iterable
from enum import StrEnum


class Scope(StrEnum):
    """One permission. Every route and every command asks for exactly one."""

    VIEW_ORDERS = "view:orders"
    PLACE_ORDERS = "place:orders"
    CANCEL_ORDERS = "cancel:orders"
    MODIFY_ORDERS = "modify:orders"
    VIEW_POSITIONS = "view:positions"
    MANAGE_BROKERS = "manage:brokers"
    RUN_STRATEGIES = "run:strategies"
    MANAGE_RISK = "manage:risk"
    MANAGE_WEBHOOKS = "manage:webhooks"
    VIEW_AUDIT = "view:audit"
    MANAGE_COMPLIANCE = "manage:compliance"
    ADMIN_TENANTS = "admin:tenants"


_VIEWING = frozenset({Scope.VIEW_ORDERS, Scope.VIEW_POSITIONS})
_TRADING = _VIEWING | {Scope.PLACE_ORDERS, Scope.CANCEL_ORDERS, Scope.MODIFY_ORDERS, Scope.RUN_STRATEGIES}

_MANAGING = _TRADING | {Scope.MANAGE_BROKERS, Scope.MANAGE_RISK, Scope.MANAGE_WEBHOOKS}


class Role(StrEnum):
    """What a member is in a tenant."""

    ADMIN = "ADMIN"
    MANAGER = "MANAGER"
    TRADER = "TRADER"
    VIEWER = "VIEWER"
    COMPLIANCE = "COMPLIANCE"


ROLES: dict[str, frozenset[Scope]] = {
    Role.VIEWER: _VIEWING,
    Role.TRADER: _TRADING,
    Role.MANAGER: _MANAGING,
    Role.ADMIN: frozenset(Scope),
    Role.COMPLIANCE: _VIEWING | {Scope.VIEW_AUDIT, Scope.MANAGE_COMPLIANCE},
}
"""Role of a membership -> what it may do."""


def scopes_of(role: str, extra: Iterable[str] = ()) -> frozenset[str]:
    """What a membership may do: its role's scopes and those given beside it; an unknown role has none."""
    return frozenset(str(scope) for scope in ROLES.get(role, frozenset())) | frozenset(extra)
