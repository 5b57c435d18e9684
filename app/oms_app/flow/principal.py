"""Who asks: a person, a key, a strategy or the system itself, in one tenant, with these scopes and accounts."""

from collections.abc import Callable

import msgspec

from oms_kernel.domain.ids import AccountId, TenantId


class Outdated(Exception):
    """Something was taken from somebody of the tenant since the request was recognised: recognise it anew."""

    code = "outdated"


class Proof:
    """How one request was recognised: at which auth epoch, and what recognises it anew.

    read: (the principal as of now, the epoch at which it was read); raises when it may not ask any more.
    is_confirmed: the epoch was the present one when the request was decided.
    """

    def __init__(self, epoch: int, read: "Callable[[], tuple[Principal, int]]") -> None:
        self.epoch = epoch
        self.is_confirmed = False
        self._read = read

    def again(self) -> "Principal":
        """The principal as of now, with this proof. Raises what `read` raises."""
        principal, self.epoch = self._read()
        return msgspec.structs.replace(principal, proof=self)

    def confirm(self, present_epoch: int) -> None:
        """Nothing, when nothing was taken from anybody since. Raises Outdated."""
        if present_epoch != self.epoch:
            raise Outdated
        self.is_confirmed = True


class Principal(msgspec.Struct, frozen=True):
    """`principal_id` is 'user:<uuid>', 'key:<uuid>', 'strategy:<uuid>' or 'system:<name>'.

    account_ids: the only trading accounts that may be used; None: every account of the tenant.
    proof: how the request was recognised, where that is still to be confirmed by the transaction that decides it.
    request_id: of the request that is being decided; empty for what no request asked for.
    """

    principal_id: str
    tenant_id: TenantId
    scopes: frozenset[str]
    account_ids: frozenset[AccountId] | None = None
    proof: Proof | None = None
    request_id: str = ""

    def may_use(self, account_id: AccountId) -> bool:
        """Whether the principal may see and use the account."""
        return self.account_ids is None or account_id in self.account_ids
