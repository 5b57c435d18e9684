"""The desk: one page of fragments that each read their own snapshot, and the three actions that trading needs."""

import json
from datetime import timedelta
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from flask import Response, g, make_response, render_template, request
from flask.typing import ResponseReturnValue

from oms_app.dashboard import ticket as tickets
from oms_app.dashboard.policy import stream_origin
from oms_app.dashboard.rows import AccountRow, DeskRows
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sessions import Sessions, renew_in
from oms_app.dashboard.ticket import Ticket
from oms_app.dashboard.valuation import days_of, is_stale, value_positions
from oms_app.flow.errors import FlowError, UnknownOrder
from oms_app.flow.identity import Caller
from oms_app.flow.principal import Principal
from oms_app.flow.publishing import PUBLIC_KINDS
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.ids import OrderId
from oms_kernel.domain.money import ONE

FIRST_SYMBOLS = ("SPY",)
"""Where the ticket begins when the catalogue has it; else with the first instrument."""


class Desk:
    """The views of the desk, for the caller in `g`."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sessions: Sessions, *, max_age: timedelta) -> None:
        self._services = services
        self._rows = rows
        self._sessions = sessions
        self._max_age = max_age

    def show_desk(self) -> ResponseReturnValue:
        """The whole page."""
        caller, principal = _caller(), _caller().principal
        accounts = self._rows.accounts(principal)
        page = {
            "who": self._rows.who(principal),
            "csrf": self._sessions.form_token(caller),
            "live": {
                "stream": f"{stream_origin(self._services.settings)}/api/v1/stream",
                "ledgers": sorted({account.ledger_id for account in accounts}),
                "kinds": list(PUBLIC_KINDS),
                "renew_s": renew_in(caller, self._services.clock()),
            },
            **self._status(accounts),
            **self._quotes(),
            **self._orders(principal, accounts, "all"),
            **self._positions(principal, accounts),
            **self._ticket(accounts, tickets.fresh(self._services.new_id(), self._first(accounts))),
        }
        return render_template("dashboard/desk.html", **page)

    def show_status(self) -> ResponseReturnValue:
        """Connection, trading state and clock."""
        return render_template("dashboard/_status.html", **self._status(self._rows.accounts(_caller().principal)))

    def show_quotes(self) -> ResponseReturnValue:
        """The quotes strip."""
        return render_template("dashboard/_quotes.html", **self._quotes())

    def show_orders(self) -> ResponseReturnValue:
        """The blotter."""
        return self._blotter(_caller().principal)

    def show_positions(self) -> ResponseReturnValue:
        """Positions and today's P&L, from one valuation."""
        principal = _caller().principal
        accounts = self._rows.accounts(principal)
        return render_template("dashboard/_positions.html", **self._positions(principal, accounts))

    def place_order(self) -> ResponseReturnValue:
        """Place the ticket's order; answers with the ticket as it is now."""
        principal = _caller().principal
        accounts = self._rows.accounts(principal)
        values = tickets.read_form(request.form)
        key = request.form.get("key", "")
        fresh_key = self._services.new_id()
        draft, faults = tickets.parse(values, _zone(accounts, values["account_id"]))
        if draft is None:
            shown = Ticket(key=key or fresh_key, values=values, faults=faults)
        else:
            try:
                result = self._services.intake.place(
                    principal, [draft], idempotency=tickets.idempotency(key or fresh_key, draft)
                )
                shown = tickets.answered(values, key, fresh_key, result.items[0])
            except (FlowError, KernelError) as error:
                shown = tickets.refused(values, key, fresh_key, error)
        page = render_template("dashboard/_ticket.html", **self._ticket(accounts, shown))
        response = make_response(page, 200 if shown.placed else 422)
        response.headers["HX-Trigger"] = "oms:orders"
        return response

    def preview_order(self) -> ResponseReturnValue:
        """What would become of the ticket's order; nothing is sent or stored."""
        principal = _caller().principal
        values = tickets.read_form(request.form)
        draft, faults = tickets.parse(values, _zone(self._rows.accounts(principal), values["account_id"]))
        shown: dict[str, Any] = {"preview": None, "faults": list(faults.values()), "tick": ONE}
        if draft is not None:
            try:
                preview = self._services.previews.order(principal, draft)
                ticks = {one.instrument_id: one.tick_size for one in self._rows.market().instruments}
                shown |= {"preview": preview, "tick": ticks.get(preview.instrument_id, ONE)}
            except (FlowError, KernelError) as error:
                refused = tickets.refused(values, "", "", error)
                shown["faults"] = [*refused.faults.values(), *([refused.problem] if refused.problem else [])]
        shown["zone"], shown["now"] = (
            _zone(self._rows.accounts(principal), values["account_id"]),
            self._services.clock(),
        )
        return render_template("dashboard/_preview.html", **shown), 200 if shown["preview"] is not None else 422

    def cancel_order(self, order_id: str) -> ResponseReturnValue:
        """Ask for the cancel of one order; answers with the blotter."""
        principal = _caller().principal
        try:
            order = self._services.amendment.cancel(principal, OrderId(order_id)).order
        except UnknownOrder:
            return self._blotter(principal, "There is no such order.", is_bad=True)
        except (FlowError, KernelError) as error:
            return self._blotter(principal, error.detail, is_bad=True)
        return self._blotter(principal, f"Cancel of {order.symbol} is under way.")

    def cancel_all(self) -> ResponseReturnValue:
        """Ask for the cancel of every active order that the caller may use."""
        principal = _caller().principal
        outcomes = self._services.amendment.cancel_all(principal)
        failed = [outcome for outcome in outcomes if outcome.error is not None]
        asked = len(outcomes) - len(failed)
        text = f"Cancel of {asked} order{'' if asked == 1 else 's'} is under way."
        if failed:
            text += f" {len(failed)} could not be canceled."
        return self._blotter(principal, text, is_bad=bool(failed))

    def _blotter(self, principal: Principal, notice: str = "", *, is_bad: bool = False) -> Response:
        accounts = self._rows.accounts(principal)
        shown = request.values.get("show", "all")
        response = make_response(render_template("dashboard/_orders.html", **self._orders(principal, accounts, shown)))
        if notice:
            tone = "bad" if is_bad else "good"
            response.headers["HX-Trigger"] = json.dumps({"oms:notice": {"text": notice, "tone": tone}})
        return response

    def _status(self, accounts: tuple[AccountRow, ...]) -> dict[str, Any]:
        return {"accounts": accounts, "now": self._services.clock(), "zone": _zone(accounts)}

    def _quotes(self) -> dict[str, Any]:
        now, market = self._services.clock(), self._rows.market()
        strip = []
        for instrument in market.instruments:
            quote = market.quotes.get(instrument.instrument_id)
            strip.append((instrument, quote, is_stale(quote, now, self._max_age)))
        return {"quotes": strip}

    def _orders(self, principal: Principal, accounts: tuple[AccountRow, ...], shown: str) -> dict[str, Any]:
        active_only = shown == "active"
        return {
            "blotter": self._rows.orders(principal, active_only=active_only),
            "shown": "active" if active_only else "all",
            "ticks": {one.instrument_id: one.tick_size for one in self._rows.market().instruments},
            "names": {account.account_id: account.name for account in accounts},
            "many": len(accounts) > 1,
            "scopes": principal.scopes,
            "now": self._services.clock(),
            "zone": _zone(accounts),
        }

    def _positions(self, principal: Principal, accounts: tuple[AccountRow, ...]) -> dict[str, Any]:
        now = self._services.clock()
        instruments = {one.instrument_id: one for one in self._rows.market().instruments}
        holdings = self._rows.holdings(principal)
        valued = value_positions(holdings.positions, accounts, instruments, now, self._max_age)
        return {
            "positions": valued,
            "days": days_of(accounts, holdings, valued, now),
            "many": len(accounts) > 1,
            "scopes": principal.scopes,
        }

    def _ticket(self, accounts: tuple[AccountRow, ...], ticket: Ticket) -> dict[str, Any]:
        return {
            "ticket": ticket,
            "accounts": accounts,
            "instruments": self._rows.market().instruments,
            "prices": tickets.PRICES,
            "times": tickets.TIMES,
            "scopes": _caller().principal.scopes,
            "zone": _zone(accounts, ticket.values.get("account_id", "")),
        }

    def _first(self, accounts: tuple[AccountRow, ...]) -> dict[str, str]:
        symbols = [one.symbol for one in self._rows.market().instruments]
        first = next((symbol for symbol in FIRST_SYMBOLS if symbol in symbols), symbols[0] if symbols else "")
        return {"symbol": first, "account_id": accounts[0].account_id if accounts else ""}


def _caller() -> Caller:
    caller: Caller = g.caller
    return caller


def _zone(accounts: tuple[AccountRow, ...], account_id: str = "") -> ZoneInfo:
    """The time zone of the account, or of the first one."""
    named = next((account for account in accounts if account.account_id == account_id), None)
    account = named or (accounts[0] if accounts else None)
    try:
        return ZoneInfo(account.time_zone if account else "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        return ZoneInfo("UTC")
