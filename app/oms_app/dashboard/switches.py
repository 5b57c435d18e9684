"""The pages of kill switches: thrown by a typed word, tried in a drill, released with a reason; and all that was done.

The form works without scripts too: the word is checked here, not in the browser.
"""

from typing import Any

import msgspec
from flask import request
from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.scope_names import FIELDS, ScopeNames, check_typed, choices
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets, acting
from oms_app.flow.errors import FlowError
from oms_app.flow.identity import StepUpRequired
from oms_app.flow.kill_switch import Activated, Asked, Drill, UnknownSwitch
from oms_app.flow.scopes import Scope
from oms_app.store import queries
from oms_app.store.queries import Paging, restraints
from oms_app.store.queries.restraints import ASKED_TEXT, RELEASE_TEXT, SWITCH_TEXT, RestraintFilter, SwitchView
from oms_kernel.domain.account import TradingState
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.ids import EventId, OrderId

SWITCHES = "/risk/kill-switches"
SWITCH = f"{SWITCHES}/<uuid:switch_id>"
STATES = (
    (TradingState.HALTED, "Halted: nothing goes out"),
    (TradingState.CANCEL_ONLY, "Cancels only"),
    (TradingState.REDUCE_ONLY, "Only what reduces a position"),
)
REASONS = ("manual", "bad_prices", "runaway_strategy", "broker_trouble", "loss", "drill")
TEXTS = (*FIELDS, "trading_state", "reason_code", "reason", "confirmation", "mode")
OPTIONS = ("cancel_working", "flatten")
EMPTY = {**dict.fromkeys(TEXTS, ""), "trading_state": "HALTED", "reason_code": "manual"}
DONE = {
    "ACTIVATED": "Thrown",
    "DRILLED": "Drill",
    "RELEASE_ASKED": "Release asked for",
    "RELEASED": "Released",
}
MOST = 100
MOST_LISTED = 500


class SwitchPages:
    """The views of kill switches."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sheets: Sheets) -> None:
        self._services = services
        self._sessions = services.identity.sessions
        self._names = ScopeNames(services.store)
        self._rows = rows
        self._sheets = sheets

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        return (
            (SWITCHES, self.show_switches, Scope.VIEW_ORDERS, "GET"),
            (SWITCHES, self.throw_switch, Scope.MANAGE_RISK, "POST"),
            (SWITCH, self.show_switch, Scope.VIEW_ORDERS, "GET"),
            (f"{SWITCH}/release", self.release_switch, Scope.MANAGE_RISK, "POST"),
        )

    def show_switches(self) -> ResponseReturnValue:
        """What holds, the form, and the history."""
        form = Form(values={**EMPTY, **{name: request.args.get(name, "") for name in FIELDS}})
        return self._sheets.page("switches", **self._listed(form))

    def throw_switch(self) -> ResponseReturnValue:
        """Throw it, or try it: a drill needs no confirmation and changes nothing."""
        form = forms.read(*TEXTS, ticked=("options",))
        principal, services = caller().principal, self._services
        try:
            scope, name = self._names.chosen(form, self._names.of(principal))
            is_drill = form.values["mode"] == "drill"
            if not is_drill:
                check_typed(form.values["confirmation"], name)
            asked = _asked(form, scope)
            door: Any = services.firm_switches if scope.is_firm else services.kill_switches
            if scope.is_firm:
                services.tenancy.require_superuser(principal)
            outcome = door.drill(principal, asked, acting()) if is_drill else door.activate(principal, asked, acting())
        except (FlowError, KernelError) as error:
            return self._sheets.answer("switches", status=422, **self._listed(form.refused(error)))
        blank = msgspec.structs.replace(form, values={**form.values, "confirmation": ""})
        said = "The drill is over. Nothing was changed." if is_drill else "The kill switch holds."
        return self._sheets.answer("switches", said, **self._listed(blank, outcome))

    def show_switch(self, switch_id: str) -> ResponseReturnValue:
        """One switch, with the form that releases it."""
        return self._sheets.page("switch", **self._one(self._found(switch_id)))

    def release_switch(self, switch_id: str) -> ResponseReturnValue:
        """Let trading go on, or ask a second person to."""
        form, known, principal = forms.read("reason"), self._found(switch_id), caller().principal
        self._sessions.require_step_up(caller())
        services, reason = self._services, form.values["reason"]
        try:
            if known.firm_switch_id:
                services.tenancy.require_superuser(principal)
                waits = services.firm_switches.release(principal, known.firm_switch_id, reason, acting()).waits
            else:
                waits = services.kill_switches.release(principal, EventId(switch_id), reason, acting()).waits
        except StepUpRequired:
            raise
        except (FlowError, KernelError) as error:
            return self._sheets.board("switch", status=422, **self._one(known, form.refused(error)))
        said = "Another person has to confirm the release." if waits else "The kill switch is released."
        return self._sheets.board("switch", said, **self._one(self._found(switch_id)))

    def _found(self, switch_id: str) -> SwitchView:
        principal = caller().principal
        with self._services.store.read_unit(principal.tenant_id) as unit:
            found = restraints.get_switch(unit, switch_id, principal.account_ids)
        if found is None:
            raise UnknownSwitch("there is no such kill switch")
        return found

    def _one(self, switch: SwitchView, form: Form | None = None) -> dict[str, Any]:
        principal = caller().principal
        with self._services.store.read_unit(principal.tenant_id) as unit:
            texts = restraints.switch_texts(unit, [switch.switch_id])
        people = (switch.activated_by, switch.release_asked_by, switch.released_by)
        return {
            "switch": switch,
            "said": {kind: texts.get((switch.switch_id, kind), "") for kind in (SWITCH_TEXT, ASKED_TEXT, RELEASE_TEXT)},
            "kinds": (SWITCH_TEXT, ASKED_TEXT, RELEASE_TEXT),
            "names": self._names.of(principal, [switch]),
            "people": self._rows.people(principal, people),
            "is_mine": switch.release_asked_by == principal.principal_id,
            "form": form or Form(values={"reason": ""}),
        }

    def _listed(self, form: Form, outcome: Activated | Drill | None = None) -> dict[str, Any]:
        principal = caller().principal
        allowed = principal.account_ids
        with self._services.store.read_unit(principal.tenant_id) as unit:
            some = Paging(limit=MOST, with_total=False)
            holding = restraints.list_switches(unit, RestraintFilter(active=True, allowed_accounts=allowed), some).items
            history = restraints.list_switch_events(unit, RestraintFilter(allowed_accounts=allowed), some).items
            texts = restraints.switch_texts(unit, [one.switch_id for one in holding])
            done = _outcome(outcome)
            told = [*done["cancelling"][:MOST_LISTED], *done["ended"][:MOST_LISTED], *(one for one, _ in done["stays"])]
            orders = queries.get_orders(unit, told)
        names = self._names.of(principal, [*holding, *history])
        people = {one.activated_by for one in holding} | {one.release_asked_by for one in holding}
        return {
            "holding": holding,
            "history": history,
            "done": DONE,
            "reasons": {one.switch_id: texts.get((one.switch_id, SWITCH_TEXT), "") for one in holding},
            "names": names,
            "people": self._rows.people(principal, people | {one.principal for one in history}),
            "choices": choices(names, principal, is_superuser=self._services.tenancy.is_superuser(principal)),
            "symbols": [one.symbol for one in self._rows.market().instruments],
            "states": STATES,
            "codes": REASONS,
            "outcome": done,
            "orders": {key: view.order for key, view in orders.items()},
            "form": form if form.ticked else msgspec.structs.replace(form, ticked={"options": ("cancel_working",)}),
        }


def _asked(form: Form, scope: Any) -> Asked:
    try:
        state = TradingState(form.values["trading_state"])
    except ValueError:
        raise InvalidRequest("choose one of the list", field="trading_state") from None
    options = form.ticked["options"]
    return Asked(
        scope=scope,
        trading_state=state,
        reason_code=form.values["reason_code"],
        reason=form.values["reason"],
        cancel_working="cancel_working" in options,
        flatten="flatten" in options,
    )


def _outcome(outcome: Activated | Drill | None) -> dict[str, Any]:
    """What the page tells of an activation or a drill; `kind` is empty when there was none."""
    told: dict[str, Any] = {"kind": "", "cancelling": [], "ended": [], "stays": [], "outcome": outcome}
    if isinstance(outcome, Drill):
        return {**told, "kind": "drill"}
    if outcome is None:
        return told
    return {
        **told,
        "kind": "activated" if outcome.is_new else "already",
        "cancelling": [OrderId(one) for part in outcome.parts for one in part.cancelling],
        "ended": [OrderId(one) for part in outcome.parts for one in part.ended],
        "stays": [(one.order_id, one.why) for part in outcome.parts for one in part.unrecallable],
        "liquidations": [part.liquidation_id for part in outcome.parts if part.liquidation_id is not None],
    }
