"""The risk page: what stops trading now, how much of each limit is used, what was overstepped, how the watch goes."""

from itertools import groupby
from typing import Any

import msgspec
from flask import render_template
from flask.typing import ResponseReturnValue

from oms_app.dashboard.answering import Routes, caller, told
from oms_app.dashboard.cases import STATUSES
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.scope_names import ScopeNames
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sessions import Sessions, renew_in
from oms_app.flow.errors import FlowError
from oms_app.flow.principal import Principal
from oms_app.flow.risk_usage import LimitUsage
from oms_app.flow.rule_catalogue import catalogue
from oms_app.flow.scopes import Scope
from oms_app.store import queries
from oms_app.store.monitoring_rounds import RoundRow, list_rounds
from oms_app.store.queries import BreachFilter, Paging, restraints
from oms_app.store.queries.restraints import SWITCH_TEXT, RestraintFilter
from oms_kernel.domain.controls import Category
from oms_kernel.guard import RuleHung

MOST_OPEN = 100
MOST_CLOSED = 20
"""Seconds after which a round of monitoring is late."""


class UsageGroup(msgspec.Struct, frozen=True):
    """The figures of one rule, the most used first."""

    rule: str
    title: str
    figures: tuple[LimitUsage, ...]


class RiskPage:
    """The views of the risk page."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sessions: Sessions) -> None:
        self._services = services
        self._rows = rows
        self._sessions = sessions
        self._names = ScopeNames(services.store)
        self._titles = {one.name: one.title for one in catalogue(services.registries)}

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        return (
            ("/risk", self.show_risk, Scope.VIEW_ORDERS, "GET"),
            ("/risk/board", self.show_risk_board, Scope.VIEW_ORDERS, "GET"),
        )

    def show_risk(self) -> ResponseReturnValue:
        """The whole page."""
        who = caller()
        page = {
            "who": self._rows.who(who.principal),
            "csrf": self._sessions.form_token(who),
            "live": {"renew_s": renew_in(who, self._services.clock())},
            **self._state(who.principal),
        }
        return render_template("dashboard/risk.html", **page)

    def show_risk_board(self) -> ResponseReturnValue:
        """The boards, as they are now."""
        return told(render_template("dashboard/_risk.html", **self._state(caller().principal)))

    def _state(self, principal: Principal) -> dict[str, Any]:
        sees_positions = Scope.VIEW_POSITIONS in principal.scopes
        allowed = principal.account_ids
        of_risk = BreachFilter(categories=(Category.RISK,), is_open=True, allowed_accounts=allowed)
        ended = msgspec.structs.replace(of_risk, is_open=False)
        breaches, closed, rounds = [], [], list[RoundRow]()
        with self._services.store.read_unit(principal.tenant_id) as unit:
            active = RestraintFilter(active=True, allowed_accounts=allowed)
            some = Paging(limit=MOST_OPEN, with_total=False)
            switches = restraints.list_switches(unit, active, some).items
            liquidations = restraints.list_liquidations(unit, active, some).items
            texts = restraints.switch_texts(unit, [one.switch_id for one in switches])
            if sees_positions:
                breaches = queries.list_breaches(unit, of_risk, some).items
                closed = queries.list_breaches(unit, ended, Paging(limit=MOST_CLOSED, with_total=False)).items
            if Scope.MANAGE_RISK in principal.scopes:
                rounds = list_rounds(unit, principal.tenant_id)
        used, away = self._used(principal) if sees_positions else ([], "")
        people = {one.activated_by for one in switches} | {one.assigned_to for one in breaches}
        people |= {name for one in closed for name in (one.assigned_to, one.closed_by)}
        return {
            "accounts": self._rows.accounts(principal),
            "switches": switches,
            "liquidations": liquidations,
            "reasons": {one.switch_id: texts.get((one.switch_id, SWITCH_TEXT), "") for one in switches},
            "breaches": breaches,
            "closed": closed,
            "statuses": STATUSES,
            "rounds": rounds,
            "groups": self._grouped(used),
            "away": away,
            "titles": self._titles,
            "names": self._names.of(
                principal, [*switches, *liquidations, *breaches, *closed, *(u.scope for u in used)]
            ),
            "people": self._rows.people(principal, people),
            "scopes": principal.scopes,
            "now": self._services.clock(),
        }

    def _used(self, principal: Principal) -> tuple[list[LimitUsage], str]:
        """(the figures, why there are none)."""
        try:
            return self._services.risk_usage.of(principal), ""
        except (FlowError, RuleHung) as error:
            return [], getattr(error, "detail", str(error))

    def _grouped(self, used: list[LimitUsage]) -> list[UsageGroup]:
        """The rule whose figure is the worst comes first; figures come as `RiskUsage.of` sorts them."""
        first = {one.rule: place for place, one in reversed(list(enumerate(used)))}
        ordered = sorted(used, key=lambda one: first[one.rule])
        return [
            UsageGroup(rule, self._titles.get(rule, rule), tuple(figures))
            for rule, figures in groupby(ordered, key=lambda one: one.rule)
        ]
