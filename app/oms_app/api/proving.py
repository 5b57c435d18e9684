"""A request in, who asks and that they may, out; and once more before the answer, where memory was believed at first.

A route that a ledger's transaction decides begins with what this process remembers: that transaction reads the tenant's
auth epoch itself. Whatever such a route answers without it is confirmed here.
"""

from collections.abc import Callable

import msgspec
from flask import Request

from oms_app.api.authentication import caller_of
from oms_app.api.call import Access, Call, Endpoint
from oms_app.api.problems import Problem
from oms_app.api.requests import current_request_id
from oms_app.flow.errors import FlowError, Unavailable
from oms_app.flow.identity import Caller, Identity
from oms_app.flow.principal import Principal, Proof
from oms_app.flow.scopes import Scope


def recognised(endpoint: Endpoint, http: Request, identity: Identity, check: Callable[[Caller], None]) -> Caller | None:
    """Who asks, permitted to call the endpoint; None on public routes. Raises Problem (401, 403), InvalidToken.

    check: what else must hold of the caller, whenever one is recognised.
    """
    if endpoint.scope == Access.PUBLIC:
        return None
    if not endpoint.decided_in_ledger:
        caller = _permitted(endpoint, caller_of(http, identity))
        check(caller)
        return msgspec.structs.replace(caller, principal=_named(caller.principal))
    caller = caller_of(http, identity, may_be_old=True)
    if not _may(endpoint, caller) or not _passes(check, caller):
        caller = _permitted(endpoint, caller_of(http, identity))  # the right may have been given since
        check(caller)

    def read() -> tuple[Principal, int]:
        fresh = _permitted(endpoint, caller_of(http, identity))
        check(fresh)
        return _named(fresh.principal), fresh.epoch

    proof = Proof(caller.epoch, read)
    principal = msgspec.structs.replace(caller.principal, proof=proof, request_id=current_request_id())
    return msgspec.structs.replace(caller, principal=principal)


def _named(principal: Principal) -> Principal:
    """The principal, with the id of the request."""
    return msgspec.structs.replace(principal, request_id=current_request_id())


def confirm(caller: Caller | None, error: Exception | None = None) -> None:
    """Nothing, when the caller may still ask: unless a transaction said so, it is read now. Raises as `recognised`.

    error: what would be answered; that the database is away tells nobody anything.
    """
    proof = caller.principal.proof if caller is not None else None
    if proof is not None and not proof.is_confirmed and not isinstance(error, Unavailable):
        proof.again()


def require_step_up(endpoint: Endpoint, call: Call) -> None:
    """Nothing, when the call needs no fresh proof of the person, or has one. Raises StepUpRequired."""
    needed = endpoint.step_up(call) if callable(endpoint.step_up) else endpoint.step_up
    if needed and call.caller is not None:
        call.services.identity.sessions.require_step_up(call.caller)


def _may(endpoint: Endpoint, caller: Caller) -> bool:
    return not isinstance(endpoint.scope, Scope) or endpoint.scope in caller.principal.scopes


def _passes(check: Callable[[Caller], None], caller: Caller) -> bool:
    try:
        check(caller)
    except FlowError:
        return False
    return True


def _permitted(endpoint: Endpoint, caller: Caller) -> Caller:
    if not _may(endpoint, caller):
        raise Problem("not_permitted", f"this needs the scope {endpoint.scope}", extra={"scope": str(endpoint.scope)})
    return caller
