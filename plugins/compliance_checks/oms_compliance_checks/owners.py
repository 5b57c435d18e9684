"""Groups of accounts that belong to one owner: an account in, all accounts that must not trade with it out."""

from typing import Annotated

import msgspec

from oms_kernel.contracts.plugin import described
from oms_kernel.domain.ids import AccountId


class OwnerGroup(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The accounts of one beneficial owner."""

    owner: Annotated[str, described("What the owner is called")]
    account_ids: Annotated[tuple[str, ...], described("The owner's trading accounts")]


class Owners(msgspec.Struct, frozen=True):
    """Who owns what; an account that no group names is an owner of its own."""

    groups: dict[AccountId, tuple[AccountId, ...]]
    names: dict[AccountId, str]

    def accounts(self, account_id: AccountId) -> tuple[AccountId, ...]:
        """The account and all others of its owner."""
        return self.groups.get(account_id) or (account_id,)

    def owner(self, account_id: AccountId) -> str:
        """The owner's name, or the account's id."""
        return self.names.get(account_id) or account_id


def owners_of(groups: tuple[OwnerGroup, ...]) -> Owners:
    """The owners by account. Raises ValueError, which names an account that is in two groups."""
    owners = Owners({}, {})
    for group in groups:
        ids = tuple(AccountId(account_id) for account_id in group.account_ids)
        for account_id in ids:
            if account_id in owners.names:
                raise ValueError(f"account {account_id} is in the groups of two owners")
            owners.groups[account_id] = ids
            owners.names[account_id] = f"owner {group.owner}"
    return owners
