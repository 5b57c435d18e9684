"""Limits over the API: what is installed, the tenant's limits and the firm's, and what waits for a second person."""

from typing import Any

import marshmallow as ma
import msgspec

from oms_app.api.bodies import SchemaBody
from oms_app.api.call import Answer, Call, Endpoint
from oms_app.api.fields import QueryFlag, Text, Word
from oms_app.api.json_text import plain
from oms_app.api.limit_answers import firm_limit_fields, limit_fields
from oms_app.api.limit_json import draft_values, shown_change, shown_limit, shown_scope, shown_usage
from oms_app.api.paging import list_query, whole_list
from oms_app.api.paths import v1
from oms_app.api.reading.asked import made_between, page_of, paging_of, part_of
from oms_app.flow.limit_draft import LimitDraft
from oms_app.flow.risk_usage import LimitUsage
from oms_app.flow.rule_catalogue import catalogue, rule_names
from oms_app.flow.scopes import Scope
from oms_app.store.limit_changes import LimitChange
from oms_app.store.limits import StoredLimit
from oms_app.store.tenant_tables import CHANGE_STATUSES
from oms_kernel.domain.decision import RuleSeverity
from oms_kernel.domain.scope import EVERYTHING, ScopeLevel

LIMIT = "/risk/limits/<uuid:limit_id>"
FIRM_LIMIT = "/risk/firm-limits/<uuid:limit_id>"
CHANGE = "/risk/limit-changes/<uuid:change_id>"


def list_risk_rules(call: Call) -> Answer:
    """List the rules, checks and monitors that are installed, with the schema of their parameters."""
    return Answer(whole_list([plain(one) for one in catalogue(call.services.registries)]))


def list_limits(call: Call) -> Answer:
    """List the limits: the firm's, which cover every tenant, then your tenant's."""
    asked = call.query
    with_ended = bool(asked.get("with_ended"))
    found = call.services.limits.list(call.principal, with_ended=with_ended)
    return Answer(_part(call, [one for one in found if _is_asked(one, asked)]))


def get_limit(call: Call, limit_id: str) -> Answer:
    """Read a limit, also one that was ended."""
    return _answer(call, call.services.limits.get(call.principal, limit_id))


def create_limit(call: Call) -> Answer:
    """Make a limit. It is in force from the next order on, and can only deny more than before."""
    return _create(call, is_firm=False)


def change_limit(call: Call, limit_id: str) -> Answer:
    """Change a limit; what is not sent stays. It is in force from the next order on.

    What lets more through needs a person who has stepped up: a key may tighten only. Where the tenant wants a second
    person for limits, the change waits: 202, and another person approves it.
    """
    return _change(call, limit_id, is_firm=False)


def end_limit(call: Call, limit_id: str) -> Answer:
    """End a limit. A person must have stepped up; where the tenant wants a second person, it waits: 202."""
    return _end(call, limit_id, is_firm=False)


def list_firm_limits(call: Call) -> Answer:
    """List the limits of the whole installation; superusers only. Tenants see those in force among their own."""
    call.services.tenancy.require_superuser(call.principal)
    found = call.services.limits.list_firm(with_ended=bool(call.query.get("with_ended")))
    return Answer(_part(call, [one for one in found if _is_asked(one, call.query)]))


def create_firm_limit(call: Call) -> Answer:
    """Make a limit that covers every tenant; superusers only."""
    call.services.tenancy.require_superuser(call.principal)
    return _create(call, is_firm=True)


def change_firm_limit(call: Call, limit_id: str) -> Answer:
    """Change a limit of the firm; superusers only, who have stepped up where it lets more through."""
    call.services.tenancy.require_superuser(call.principal)
    return _change(call, limit_id, is_firm=True)


def end_firm_limit(call: Call, limit_id: str) -> Answer:
    """End a limit of the firm; superusers only, who have stepped up."""
    call.services.tenancy.require_superuser(call.principal)
    return _end(call, limit_id, is_firm=True)


def list_limit_changes(call: Call) -> Answer:
    """List what waits, or waited, for a second person, newest first."""
    found = call.services.limit_changes.list(
        call.principal, paging_of(call.query, dated=True), status=call.query.get("status")
    )
    return Answer(page_of(found, shown_change))


def get_limit_change(call: Call, change_id: str) -> Answer:
    """Read a change, field by field."""
    return Answer(shown_change(call.services.limit_changes.get(call.principal, change_id)))


def approve_limit_change(call: Call, change_id: str) -> Answer:
    """Carry a change out, all of it: another person than who asked, who has stepped up."""
    reason = call.body.get("reason", "")
    return Answer(shown_change(call.services.limit_changes.approve(call.principal, call.actor, change_id, reason)))


def reject_limit_change(call: Call, change_id: str) -> Answer:
    """Say no to a change; nothing is changed."""
    reason = call.body.get("reason", "")
    return Answer(shown_change(call.services.limit_changes.reject(call.principal, call.actor, change_id, reason)))


def withdraw_limit_change(call: Call, change_id: str) -> Answer:
    """Take back a change that you asked for."""
    return Answer(shown_change(call.services.limit_changes.withdraw(call.principal, call.actor, change_id)))


def list_risk_usage(call: Call) -> Answer:
    """List how much of each limit in force is used, most used first, as far as its rule can tell.

    One figure for each account, strategy or instrument that is measured by itself. What cannot be measured now, for
    want of a quote or a rate, is left out.
    """
    found = [one for one in call.services.risk_usage.of(call.principal) if _is_used(one, call.query)]
    return Answer(part_of([shown_usage(one) for one in found], call.query))


def _is_used(usage: LimitUsage, asked: Any) -> bool:
    facts = {"rule": usage.rule, "limit_id": usage.limit_id, "level": usage.level, "severity": usage.severity}
    return all(asked.get(name) in (None, value) for name, value in {**facts, **shown_scope(usage.scope)}.items())


def _create(call: Call, *, is_firm: bool) -> Answer:
    draft = LimitDraft(**draft_values(call.body, EVERYTHING))
    made = call.services.limits.create(
        call.principal, call.actor, draft, reason=call.body.get("reason", ""), is_firm=is_firm
    )
    path = "firm-limits" if is_firm else "limits"
    return _answer(call, made, 201, Location=v1(f"/risk/{path}/{made.limit.limit_id}"))


def _change(call: Call, limit_id: str, *, is_firm: bool) -> Answer:
    limits = call.services.limits
    known = limits.get(call.principal, limit_id)
    changed = limits.change(
        call.principal,
        call.actor,
        limit_id,
        draft_values(call.body, known.limit.scope),
        version=call.if_match,
        reason=call.body.get("reason", ""),
        before_loosening=lambda: prove(call),
        is_firm=is_firm,
    )
    return _done(call, changed)


def _end(call: Call, limit_id: str, *, is_firm: bool) -> Answer:
    ended = call.services.limits.end(
        call.principal,
        call.actor,
        limit_id,
        version=call.if_match,
        reason=call.body.get("reason", ""),
        before_loosening=lambda: prove(call),
        is_firm=is_firm,
    )
    return _done(call, ended)


def prove(call: Call) -> None:
    """Nothing, when the caller is a person who has stepped up. Raises StepUpRequired."""
    assert call.caller is not None
    call.services.identity.sessions.require_step_up(call.caller)


def _done(call: Call, outcome: StoredLimit | LimitChange) -> Answer:
    if isinstance(outcome, LimitChange):
        return Answer(shown_change(outcome), 202, {"Location": v1(f"/risk/limit-changes/{outcome.change_id}")})
    return _answer(call, outcome)


def _answer(call: Call, stored: StoredLimit, status: int = 200, **headers: str) -> Answer:
    shown = shown_limit(stored, rule_names(call.services.registries), call.services.clock())
    return Answer(shown, status, {"ETag": f'"v{stored.limit.version}"', **headers})


def _part(call: Call, found: list[StoredLimit]) -> dict[str, Any]:
    installed, now = rule_names(call.services.registries), call.services.clock()
    return part_of([shown_limit(one, installed, now) for one in made_between(found, call.query)], call.query)


def _is_asked(stored: StoredLimit, asked: Any) -> bool:
    row = stored.limit
    facts = {"rule": row.rule, "severity": row.severity, "level": row.scope.level, **msgspec.structs.asdict(row.scope)}
    return all(asked.get(name) in (None, value) for name, value in facts.items())


def _endpoint(method: str, path: str, view: Any, answers: dict[int, str | None], **more: Any) -> Endpoint:
    scope = more.pop("scope", Scope.MANAGE_RISK)
    return Endpoint(method=method, path=v1(path), view=view, scope=scope, tag="risk", answers=answers, **more)


def _filter(*names: str) -> Any:
    own: dict[str, Any] = {"level": Word(ScopeLevel), "severity": Word(RuleSeverity), "with_ended": QueryFlag()}
    return list_query("rule", *names, **own)


REASON = {"reason": Text(longest=4000, shortest=0)}
_CHANGING: dict[str, Any] = {"takes_if_match": True, "problems": (409, 412)}
_ENDING: dict[str, Any] = {"body": SchemaBody("EndLimit", dict(REASON)), "body_optional": True, **_CHANGING}
_DECIDING: dict[str, Any] = {"body": SchemaBody("LimitDecision", dict(REASON)), "body_optional": True}
_OUTCOMES: dict[int, str | None] = {200: "Limit", 202: "LimitChange"}
_EXAMPLE = {"rule": "max_order_quantity", "params": {"max_quantity": "5000"}, "name": "Fat finger", "severity": "SOFT"}

ENDPOINTS = (
    _endpoint("GET", "/risk/rules", list_risk_rules, {200: "RiskRuleList"}, scope=Scope.VIEW_ORDERS),
    _endpoint(
        "GET",
        "/risk/limits",
        list_limits,
        {200: "LimitList"},
        scope=Scope.VIEW_ORDERS,
        query=_filter("account_id", "strategy_id", "instrument_id"),
    ),
    _endpoint(
        "POST",
        "/risk/limits",
        create_limit,
        {201: "Limit"},
        body=SchemaBody("LimitRequest", limit_fields(is_new=True)),
        body_example=_EXAMPLE,
        problems=(404, 409),
    ),
    _endpoint("GET", LIMIT, get_limit, {200: "Limit"}, scope=Scope.VIEW_ORDERS),
    _endpoint(
        "PATCH",
        LIMIT,
        change_limit,
        _OUTCOMES,
        body=SchemaBody("LimitUpdate", limit_fields(is_new=False)),
        body_example={"params": {"max_quantity": "4000"}, "reason": "Smaller desk"},
        **_CHANGING,
    ),
    _endpoint("POST", LIMIT + "/end", end_limit, _OUTCOMES, aliases=(("DELETE", v1(LIMIT)),), **_ENDING),
    _endpoint("GET", "/risk/firm-limits", list_firm_limits, {200: "LimitList"}, query=_filter("instrument_id")),
    _endpoint(
        "POST",
        "/risk/firm-limits",
        create_firm_limit,
        {201: "Limit"},
        body=SchemaBody("FirmLimitRequest", firm_limit_fields(is_new=True)),
        body_example=_EXAMPLE,
        problems=(409,),
    ),
    _endpoint(
        "PATCH",
        FIRM_LIMIT,
        change_firm_limit,
        {200: "Limit"},
        body=SchemaBody("FirmLimitUpdate", firm_limit_fields(is_new=False)),
        body_example={"params": {"max_quantity": "4000"}},
        **_CHANGING,
    ),
    _endpoint(
        "POST", FIRM_LIMIT + "/end", end_firm_limit, {200: "Limit"}, aliases=(("DELETE", v1(FIRM_LIMIT)),), **_ENDING
    ),
    _endpoint(
        "GET",
        "/risk/usage",
        list_risk_usage,
        {200: "UsageList"},
        scope=Scope.VIEW_POSITIONS,
        query=list_query(
            "rule",
            "limit_id",
            "account_id",
            "strategy_id",
            "instrument_id",
            level=Word(ScopeLevel),
            severity=Word(RuleSeverity),
        ),
    ),
    _endpoint(
        "GET",
        "/risk/limit-changes",
        list_limit_changes,
        {200: "LimitChangeList"},
        query=list_query(status=ma.fields.String(validate=ma.validate.OneOf(CHANGE_STATUSES))),
    ),
    _endpoint("GET", CHANGE, get_limit_change, {200: "LimitChange"}),
    _endpoint(
        "POST",
        CHANGE + "/approve",
        approve_limit_change,
        {200: "LimitChange"},
        step_up=True,
        problems=(409,),
        **_DECIDING,
    ),
    _endpoint("POST", CHANGE + "/reject", reject_limit_change, {200: "LimitChange"}, problems=(409,), **_DECIDING),
    _endpoint("POST", CHANGE + "/withdraw", withdraw_limit_change, {200: "LimitChange"}, problems=(409,)),
)
