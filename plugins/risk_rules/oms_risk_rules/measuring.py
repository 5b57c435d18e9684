"""A limit's scope and an account in, what the limit is measured over out: the whole scope, or each account alone."""

from enum import StrEnum

from oms_kernel.contracts.rules import RuleView
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.order import NET_BOOK
from oms_kernel.domain.scope import Scope


class Per(StrEnum):
    """What is measured by itself."""

    ACCOUNT = "ACCOUNT"
    """Each account of the scope: one account's figures do not count for another."""
    SCOPE = "SCOPE"
    """All accounts of the scope together."""


def of_account(scope: Scope, account_id: AccountId) -> Scope:
    """The part of a scope that lies in one account."""
    if scope.account_id is not None:
        return scope
    return Scope(account_id=account_id, strategy_id=scope.strategy_id, instrument_id=scope.instrument_id)


def measured(per: Per, scope: Scope, account_id: AccountId) -> Scope:
    """What a limit measures for an order of this account."""
    return scope if per is Per.SCOPE else of_account(scope, account_id)


def parts(per: Per, scope: Scope, view: RuleView) -> tuple[Scope, ...]:
    """What a monitor measures, one after the other. A limit for the firm is measured and acts in each ledger alone."""
    if per is Per.SCOPE:
        return (Scope(instrument_id=scope.instrument_id) if scope.is_firm else scope,)
    return tuple(of_account(scope, account_id) for account_id in view.accounts(scope))


def accounts_of(scope: Scope, view: RuleView) -> tuple[AccountId, ...]:
    """The accounts that a scope is summed over."""
    return (scope.account_id,) if scope.account_id is not None else tuple(view.accounts(scope))


def book_of(scope: Scope) -> str:
    """The book that a scope is measured in: a strategy's own, else the whole account's."""
    return scope.strategy_id or NET_BOOK
