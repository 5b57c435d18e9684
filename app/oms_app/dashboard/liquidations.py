"""The page of liquidations: positions of a scope closed by a typed word, how far each has come, the button to stop."""

from decimal import Decimal
from typing import Any

import msgspec
from flask import request
from flask.typing import ResponseReturnValue

from oms_app.dashboard import forms
from oms_app.dashboard.answering import Routes, caller
from oms_app.dashboard.forms import Form
from oms_app.dashboard.rows import ACTIVE, DeskRows
from oms_app.dashboard.scope_names import FIELDS, FIRM, ScopeNames, check_typed, choices
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sheets import Sheets, acting
from oms_app.flow.errors import FlowError
from oms_app.flow.identity import StepUpRequired
from oms_app.flow.liquidation import UnknownLiquidation
from oms_app.flow.scopes import Scope
from oms_app.store import queries
from oms_app.store.queries import OrderFilter, Paging, PositionFilter, PositionView, restraints
from oms_app.store.queries.restraints import LiquidationView, RestraintFilter
from oms_app.store.unit_of_work import RowsUnit
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.ids import EventId

LIQUIDATIONS = "/risk/liquidations"
ONE = f"{LIQUIDATIONS}/<uuid:liquidation_id>"
TEXTS = (*FIELDS, "reason", "confirmation")
MOST_RUNNING = 50
MOST_ENDED = 30


class Running(msgspec.Struct, frozen=True):
    """A liquidation with what is left: positions of its scope that are open, and its own orders that work."""

    liquidation: LiquidationView
    positions: tuple[PositionView, ...]
    working: int

    @property
    def left(self) -> Decimal:
        """Quantities that are still held, of all instruments together: it falls to 0."""
        return sum((abs(one.position.quantity) for one in self.positions), Decimal(0))


class LiquidationPages:
    """The views of liquidations."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sheets: Sheets) -> None:
        self._services = services
        self._sessions = services.identity.sessions
        self._names = ScopeNames(services.store)
        self._rows = rows
        self._sheets = sheets

    def routes(self) -> Routes:
        """Rule, view, scope and method of each."""
        return (
            (LIQUIDATIONS, self.show_liquidations, Scope.VIEW_ORDERS, "GET"),
            (LIQUIDATIONS, self.start_liquidation, Scope.MANAGE_RISK, "POST"),
            (f"{LIQUIDATIONS}/running", self.show_running, Scope.VIEW_ORDERS, "GET"),
            (f"{ONE}/stop", self.stop_liquidation, Scope.MANAGE_RISK, "POST"),
        )

    def show_liquidations(self) -> ResponseReturnValue:
        """The form, what runs and what ended. `reach` and `symbol` in the address fill the form in."""
        form = Form(values={name: request.args.get(name, "") for name in TEXTS})
        return self._sheets.page("liquidations", **self._state(form))

    def show_running(self) -> ResponseReturnValue:
        """What runs, as it is now."""
        return self._sheets.board("liquidations_running", **self._boards())

    def start_liquidation(self) -> ResponseReturnValue:
        """Close every position of the scope."""
        form, principal = forms.read(*TEXTS), caller().principal
        try:
            scope, name = self._names.chosen(form, self._names.of(principal))
            if scope.is_firm:
                raise InvalidRequest("a liquidation is of one tenant", field="reach")
            check_typed(form.values["confirmation"], name)
            self._sessions.require_step_up(caller())
            code = "close_position" if scope.account_id and scope.instrument_id else "manual"
            started = self._services.liquidations.start(
                principal, scope, code, reason=form.values["reason"], actor=acting()
            )
        except StepUpRequired:
            raise
        except (FlowError, KernelError) as error:
            return self._sheets.board("liquidations", status=422, **self._state(form.refused(error)))
        is_new = any(one.is_new for one in started)
        said = "The positions are being closed." if is_new else "They are being closed already."
        return self._sheets.board("liquidations", said, **self._state(Form(values=dict.fromkeys(TEXTS, ""))))

    def stop_liquidation(self, liquidation_id: str) -> ResponseReturnValue:
        """Place nothing more; what works goes on."""
        principal = caller().principal
        with self._services.store.read_unit(principal.tenant_id) as unit:
            if restraints.get_liquidation(unit, liquidation_id, principal.account_ids) is None:
                raise UnknownLiquidation("there is no such liquidation")
        empty = Form(values=dict.fromkeys(TEXTS, ""))
        try:
            self._services.liquidations.stop(principal, EventId(liquidation_id), actor=acting())
        except (FlowError, KernelError) as error:
            return self._sheets.board("liquidations", error.detail, is_bad=True, **self._state(empty))
        said = "It is stopped. Its orders that work go on until somebody cancels them."
        return self._sheets.board("liquidations", said, **self._state(empty))

    def _state(self, form: Form) -> dict[str, Any]:
        principal = caller().principal
        boards = self._boards()
        offered = choices(boards["names"], principal, is_superuser=False)
        return {
            **boards,
            "choices": [one for one in offered if one[0] != FIRM],
            "symbols": [one.symbol for one in self._rows.market().instruments],
            "form": form,
        }

    def _boards(self) -> dict[str, Any]:
        principal = caller().principal
        allowed = principal.account_ids
        with self._services.store.read_unit(principal.tenant_id) as unit:
            some = Paging(limit=MOST_RUNNING, with_total=False)
            found = restraints.list_liquidations(
                unit, RestraintFilter(active=True, allowed_accounts=allowed), some
            ).items
            few = Paging(limit=MOST_ENDED, with_total=False)
            ended = restraints.list_liquidations(
                unit, RestraintFilter(active=False, allowed_accounts=allowed), few
            ).items
            running = [_progress(unit, one) for one in found]
        people = {one.started_by for one in (*found, *ended)}
        return {
            "running": running,
            "ended": ended,
            "names": self._names.of(principal, [*found, *ended]),
            "people": self._rows.people(principal, people),
        }


def _progress(unit: RowsUnit, one: LiquidationView) -> Running:
    book = {} if one.strategy_id is None else {"book": one.strategy_id}
    wanted = PositionFilter(account_id=one.account_id, instrument_id=one.instrument_id, is_open=True, **book)
    held = [found for found in queries.list_positions(unit, wanted) if found.ledger_id == one.ledger_id]
    active = OrderFilter(states=ACTIVE, account_id=one.account_id, instrument_id=one.instrument_id)
    orders = queries.list_orders(unit, active, Paging(limit=500, with_total=False)).items
    working = sum(1 for view in orders if view.order.request.liquidation_id == one.liquidation_id)
    return Running(one, tuple(held), working)
