"""A role and scopes that somebody wants to give in, nothing out when they may: nobody gives more than they have."""

from collections.abc import Collection

from oms_app.flow.errors import NotPermitted
from oms_app.flow.principal import Principal
from oms_app.flow.scopes import ROLES, Role, Scope, scopes_of
from oms_kernel.domain.errors import InvalidRequest


def checked_role(role: str, field: str = "role") -> str:
    """The role's name. Raises InvalidRequest."""
    if role not in ROLES:
        raise InvalidRequest(f"a role is one of {', '.join(Role)}", field=field)
    return role


def checked_scopes(scopes: Collection[str], field: str = "scopes") -> tuple[str, ...]:
    """The scopes, sorted, each once. Raises InvalidRequest."""
    if unknown := sorted(set(scopes) - {str(scope) for scope in Scope}):
        raise InvalidRequest(f"no such scope: {', '.join(unknown)}; known are {', '.join(Scope)}", field=field)
    return tuple(sorted(set(scopes)))


def check_reach(principal: Principal, role: str, scopes: Collection[str]) -> None:
    """Nothing, when the principal itself may do all that the role and the scopes allow. Raises NotPermitted."""
    if beyond := sorted(scopes_of(role, scopes) - principal.scopes):
        raise NotPermitted(
            f"nobody gives or changes more than they may do themselves: {', '.join(beyond)}",
            field="role",
            fix="choose a smaller role or fewer scopes, or ask somebody who may do more",
        )
    if principal.account_ids is not None:
        raise NotPermitted(
            "a key that reaches some accounts only cannot manage members, who reach all",
            fix="use a key without account_ids",
        )
