"""A limit as a person words it in, checked and with its ids looked up out; every error names its field and the fix."""

from collections.abc import Collection
from datetime import datetime
from typing import Any

import msgspec
from sqlalchemy import select

from oms_app.flow.errors import NotPermitted, UnknownAccount
from oms_app.flow.parameters import check_params
from oms_app.flow.rule_catalogue import can_trigger, rule_named
from oms_app.store import queries
from oms_app.store.strategies import get_strategy
from oms_app.store.tables import INSTRUMENTS
from oms_app.store.unit_of_work import LimitRow, RowsUnit
from oms_kernel.domain.controls import Action
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.errors import InvalidRequest
from oms_kernel.domain.ids import AccountId
from oms_kernel.domain.scope import EVERYTHING, Scope
from oms_kernel.guard import making_error
from oms_kernel.registry import Registries

LONGEST_NAME = 200


class LimitDraft(msgspec.Struct, frozen=True, kw_only=True):
    """What a limit says, without id and version. params: plain JSON values, decimals as text."""

    rule: str
    params: dict[str, Any] = {}
    name: str = ""
    scope: Scope = EVERYTHING
    severity: RuleSeverity = RuleSeverity.HARD
    action: Action | None = None
    effective_from: datetime | None = None
    effective_until: datetime | None = None


def draft_of(row: LimitRow) -> LimitDraft:
    """What a stored limit says."""
    return LimitDraft(**{name: getattr(row, name) for name in LimitDraft.__struct_fields__})


def as_values(draft: LimitDraft) -> dict[str, Any]:
    """The draft as flat JSON values: what the audit trail keeps and a waiting change holds."""
    values: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(msgspec.structs.asdict(draft)))
    scope = draft.scope
    del values["scope"]
    ids = {"account_id": scope.account_id, "strategy_id": scope.strategy_id, "instrument_id": scope.instrument_id}
    return {**values, **ids, **({"is_firm": True} if scope.is_firm else {})}


def from_values(values: dict[str, Any]) -> LimitDraft:
    """The draft that `as_values` wrote."""
    ids = {name: values.get(name) for name in ("account_id", "strategy_id", "instrument_id")}
    scope = {**ids, "is_firm": bool(values.get("is_firm"))}
    rest = {name: values[name] for name in LimitDraft.__struct_fields__ if name in values}
    return msgspec.convert({**rest, "scope": scope}, LimitDraft)


def check_draft(draft: LimitDraft, registries: Registries, now: datetime, before: LimitDraft | None = None) -> None:
    """Nothing, when the limit can hold. before: what it said; dates that stay are not asked to lie in the future.

    Raises InvalidRequest that names the field.
    """
    contributed = rule_named(registries, draft.rule).contributed
    check_params(contributed, draft.params)
    error = making_error(contributed, draft.params, draft.scope)
    if isinstance(error, InvalidRequest):
        raise InvalidRequest(error.detail, field="params") from None
    if error is not None:
        raise InvalidRequest(
            f"{draft.rule} cannot be made from these parameters ({type(error).__name__})", field="params"
        )
    if draft.action is not None and not can_trigger(contributed):
        raise InvalidRequest(
            f"{draft.rule} judges orders and triggers nothing, so it takes no action; leave it out", field="action"
        )
    if len(draft.name) > LONGEST_NAME or not draft.name.isprintable():
        raise InvalidRequest(f"a name is one line of at most {LONGEST_NAME} characters", field="name")
    begin, end = draft.effective_from, draft.effective_until
    if begin is not None and end is not None and end <= begin:
        raise InvalidRequest("it must lie after effective_from", field="effective_until")
    if end is not None and end <= now and (before is None or before.effective_until != end):
        raise InvalidRequest("it lies in the past; to end a limit now, end it", field="effective_until")


def check_scope(unit: RowsUnit, scope: Scope, account_ids: Collection[AccountId] | None = None) -> None:
    """Nothing, when every id of the scope is the tenant's. account_ids: the only ones that who asks may use.

    Raises UnknownAccount, InvalidRequest, NotPermitted.
    """
    if account_ids is not None and scope.account_id not in account_ids:
        raise NotPermitted(
            "whoever reaches some accounts only may set limits of these accounts only",
            field="account_id",
            fix="name an account that you may use",
        )
    if scope.account_id is not None:
        account = queries.get_account(unit, scope.account_id)
        if account is None or account.closed_at is not None:
            raise UnknownAccount(
                "account_id names no open account of yours",
                field="account_id",
                fix="GET /api/v1/accounts lists the accounts that you may use",
            )
    if scope.strategy_id is not None:
        strategy = get_strategy(unit, scope.strategy_id)
        if strategy is None or strategy.closed_at is not None:
            raise InvalidRequest("it names no open strategy of yours", field="strategy_id")
        if scope.account_id not in (None, strategy.account_id):
            raise InvalidRequest(
                "the strategy trades on another account than account_id names: no order would be covered",
                field="strategy_id",
            )
    check_instrument(unit, scope)


def check_firm_scope(unit: RowsUnit, scope: Scope) -> None:
    """Nothing, when the scope can be the firm's: accounts and strategies belong to tenants. Raises InvalidRequest."""
    for field in ("account_id", "strategy_id"):
        if getattr(scope, field) is not None:
            raise InvalidRequest("a limit of the firm covers every tenant; leave it out", field=field)
    check_instrument(unit, scope)


def check_instrument(unit: RowsUnit, scope: Scope) -> None:
    """Nothing, when the instrument that is named exists. Raises InvalidRequest."""
    wanted = INSTRUMENTS.c.instrument_id == scope.instrument_id
    if scope.instrument_id is not None and unit.connection.execute(select(1).where(wanted)).first() is None:
        raise InvalidRequest("it names no instrument", field="instrument_id")
