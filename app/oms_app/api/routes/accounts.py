"""Trading accounts, the broker accounts behind them, and what an account lets in."""

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import Text, Word
from oms_app.api.paging import list_query
from oms_app.api.paths import v1
from oms_app.api.problems import Problem
from oms_app.api.rate_limit import Bucket
from oms_app.api.reading import catalogue as reading
from oms_app.flow.scopes import Scope
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.ids import AccountId


def list_accounts(call: Call) -> Answer:
    """List your trading accounts."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_accounts(unit, call.principal, call.query))


def get_account(call: Call, account_id: str) -> Answer:
    """Read a trading account."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        found = reading.find_account(unit, call.principal, account_id)
    if found is None:
        raise Problem("unknown_account", f"there is no account {account_id}")
    return Answer(found)


def set_trading_state(call: Call, account_id: str) -> Answer:
    """Say what an account lets in. HALTED also ends its unsent orders; cancels always pass.

    To let in more than now, a person must have stepped up; API keys may only let in less.
    """
    caller = call.caller
    assert caller is not None
    call.services.control.set_trading_state(
        call.principal,
        AccountId(account_id),
        TradingState(call.body["trading_state"]),
        call.body.get("reason_code", "api"),
        before_loosening=lambda: call.services.identity.sessions.require_step_up(caller),
    )
    return get_account(call, account_id)


def list_broker_accounts(call: Call) -> Answer:
    """List the accounts at brokers, with the trading accounts that are routed to each."""
    with call.services.store.read_unit(call.principal.tenant_id) as unit:
        return Answer(reading.list_broker_accounts(unit, call.principal, call.query))


ENDPOINTS = (
    Endpoint(
        method="GET",
        path=v1("/accounts"),
        view=list_accounts,
        scope=Scope.VIEW_ORDERS,
        tag="accounts",
        query=list_query(),
        answers={200: "AccountList"},
    ),
    Endpoint(
        method="GET",
        path=v1("/accounts/<uuid:account_id>"),
        view=get_account,
        scope=Scope.VIEW_ORDERS,
        tag="accounts",
        answers={200: "Account"},
    ),
    Endpoint(
        method="POST",
        path=v1("/accounts/<uuid:account_id>/trading-state"),
        view=set_trading_state,
        scope=Scope.MANAGE_RISK,
        tag="accounts",
        body=SchemaBody(
            "TradingStateRequest",
            {"trading_state": Word(TradingState, required=True), "reason_code": Text(longest=100)},
        ),
        answers={200: "Account"},
        bucket=Bucket.CANCELS,
    ),
    Endpoint(
        method="GET",
        path=v1("/broker-accounts"),
        view=list_broker_accounts,
        scope=Scope.VIEW_ORDERS,
        tag="accounts",
        query=list_query(),
        answers={200: "BrokerAccountList"},
    ),
)
