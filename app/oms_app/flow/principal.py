"""Who asks: a person, a key, a strategy or the system itself, in one tenant, with these scopes and accounts."""

import msgspec

from oms_kernel.domain.ids import AccountId, TenantId


class Principal(msgspec.Struct, frozen=True):
    """`principal_id` is 'user:<uuid>', 'key:<uuid>', 'strategy:<uuid>' or 'system:<name>'.

    account_ids: the only trading accounts that may be used; None: every account of the tenant.
    """

    principal_id: str
    tenant_id: TenantId
    scopes: frozenset[str]
    account_ids: frozenset[AccountId] | None = None

    def may_use(self, account_id: AccountId) -> bool:
        """Whether the principal may see and use the account."""
        return self.account_ids is None or account_id in self.account_ids
