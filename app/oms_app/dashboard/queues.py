"""The queue page: what waits, what died and who works, and the buttons that let the dead be done again.

Messages of the queues belong to the platform: a person sees those that name no tenant's thing, and those of his own.
"""

import json

from flask import Response, g, make_response, render_template
from flask.typing import ResponseReturnValue

from oms_app.dashboard.rows import DeskRows
from oms_app.dashboard.services import DashboardServices
from oms_app.dashboard.sessions import Sessions, renew_in
from oms_app.dashboard.sheets import acting
from oms_app.flow.chores import ACTORS
from oms_app.flow.consumers import Consumers
from oms_app.flow.identity import Caller
from oms_app.flow.minding import minding
from oms_app.flow.principal import Principal
from oms_app.flow.queues import DeadLetter, QueueBoard, QueuesUnavailable
from oms_app.flow.webhooks import Webhooks
from oms_app.store import webhooks as webhook_rows
from oms_app.store.queries import Paging

MOST_DEAD = 50


class QueuePage:
    """The views of the queue page, for the caller in `g`."""

    def __init__(self, services: DashboardServices, rows: DeskRows, sessions: Sessions) -> None:
        self._services = services
        self._rows = rows
        self._sessions = sessions
        self._board = QueueBoard(services.settings.redis_url)
        self._consumers = Consumers(services.store, services.reader)

    def show_queues(self) -> ResponseReturnValue:
        """The whole page."""
        caller = _caller()
        page = {
            "who": self._rows.who(caller.principal),
            "csrf": self._sessions.form_token(caller),
            "live": {"renew_s": renew_in(caller, self._services.clock())},
            **self._state(caller.principal),
        }
        return render_template("dashboard/queues.html", **page)

    def show_queue_board(self) -> ResponseReturnValue:
        """The boards, as they are now."""
        return self._answer()

    def replay_letter(self, letter_id: str) -> ResponseReturnValue:
        """Put a dead message back into its queue; answers with the boards."""
        try:
            mine = [one.letter_id for one in self._letters(_caller().principal)]
            done = len(self._board.replay([letter_id])) if letter_id in mine else 0
        except QueuesUnavailable as error:
            return self._answer(str(error), is_bad=True)
        return self._answer(*_told(done, "message"))

    def replay_deliveries(self, webhook_id: str) -> ResponseReturnValue:
        """Let every dead delivery of a webhook be made again; answers with the boards."""
        done = self._webhooks().replay_dead(_caller().principal, webhook_id)
        return self._answer(*_told(done, "delivery"))

    def replay_delivery(self, webhook_id: str, delivery_id: str) -> ResponseReturnValue:
        """Let one delivery be made again; answers with the boards."""
        self._webhooks().replay(_caller().principal, webhook_id, delivery_id)
        return self._answer(*_told(1, "delivery"))

    def _webhooks(self) -> Webhooks:
        by = self._services
        return Webhooks(by.store, by.registries, by.sealer, by.new_id, acting())

    def _answer(self, notice: str = "", is_bad: bool = False) -> Response:
        response = make_response(render_template("dashboard/_queues.html", **self._state(_caller().principal)))
        if notice:
            tone = "bad" if is_bad else "good"
            response.headers["HX-Trigger"] = json.dumps({"oms:notice": {"text": notice, "tone": tone}})
        return response

    def _state(self, principal: Principal) -> dict[str, object]:
        store = self._services.store
        with store.read_unit(principal.tenant_id) as unit:
            dead = webhook_rows.list_deliveries(unit, Paging(limit=MOST_DEAD), status="DEAD").items
        shown: dict[str, object] = {
            "now": self._services.clock(),
            "is_shared": self._board.is_shared,
            "away": "",
            "queues": [],
            "workers": [],
            "letters": [],
            "actors": ACTORS,
            "minding": minding(store),
            "webhooks": self._webhooks().counts(principal),
            "dead": dead,
            "consumers": self._consumers.list(principal.tenant_id),
        }
        if self._board.is_shared:
            try:
                shown |= {"queues": self._board.queues(), "workers": self._board.workers()}
                shown["letters"] = self._letters(principal)
            except QueuesUnavailable as error:
                shown["away"] = str(error)
        return shown

    def _letters(self, principal: Principal) -> list[DeadLetter]:
        """The dead messages that name nothing, or a webhook of the caller's tenant."""
        letters = self._board.dead(limit=MOST_DEAD)
        mine = {one.webhook_id for one in self._webhooks().counts(principal)}
        return [one for one in letters if set(one.arguments) <= mine]


def _told(done: int, what: str) -> tuple[str, bool]:
    """(what to say, whether it is bad)."""
    words = {"message": "messages", "delivery": "deliveries"}
    if not done:
        return "Somebody else was quicker: there is nothing to replay.", True
    return f"{done} {what if done == 1 else words[what]} will be done again.", False


def _caller() -> Caller:
    caller: Caller = g.caller
    return caller
