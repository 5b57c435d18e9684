"""What people do about breaches of limits: taken care of, noted, closed with a finding, each by an event of the log.

A breach of surveillance is a case of compliance, and nobody else's. People's words stand beside the log under the
breach's id; events hold their salted hash. Closing a breach releases nothing that it stopped.
"""

import re
from enum import StrEnum

from oms_app.flow.beside import keep_text
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import NotPermitted, UnknownBreach
from oms_app.flow.principal import Principal
from oms_app.store.queries.breaches import note_kind
from oms_kernel.domain import events as ev
from oms_kernel.domain.controls import Breach, Category
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import EventId, LedgerId

LONGEST_ASSIGNEE = 100
_PRINCIPAL = re.compile(r"(user|key):[0-9A-Za-z-]+")


class Finding(StrEnum):
    """What came of looking into a breach."""

    JUSTIFIED = "JUSTIFIED"
    """It was right to stop and tell; what had to be done is done."""
    EXPECTED = "EXPECTED"
    """Known beforehand and accepted."""
    FALSE_ALARM = "FALSE_ALARM"
    """The limit, the monitor or its data was wrong."""
    VIOLATION = "VIOLATION"
    """A rule of the firm or of a market was broken; the case goes on elsewhere."""


class Breaches:
    """The one door for what people say about breaches of limits."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk

    def assign(
        self,
        principal: Principal,
        ledger_id: LedgerId,
        breach_id: EventId,
        category: Category,
        *,
        assigned_to: str = "",
        text: str = "",
    ) -> Breach:
        """The breach, taken care of by somebody: by the caller unless another one is named. text: a note.

        Raises UnknownBreach, InvalidRequest; OrderConflict for one that is closed.
        """
        if assigned_to and (len(assigned_to) > LONGEST_ASSIGNEE or _PRINCIPAL.fullmatch(assigned_to) is None):
            told = "send user: or key: and its id, as GET /api/v1/members tells; the log keeps no names of people"
            raise InvalidRequest(told, field="assigned_to")
        text_hash, keep = keep_text(text)

        def work(turn: Turn) -> Breach:
            known = _open(turn, principal, breach_id, category)
            turn.batch.record(
                ev.BreachAssigned(
                    account_id=known.scope.account_id,
                    breach_id=breach_id,
                    principal=principal.principal_id,
                    assigned_to=assigned_to or principal.principal_id,
                    text_hash=text_hash,
                )
            )
            keep(turn, breach_id, note_kind(turn.batch.events[-1].event_id))
            return turn.batch.book.breaches[breach_id]

        return self._desk.transact(principal.tenant_id, ledger_id, work)

    def note(
        self, principal: Principal, ledger_id: LedgerId, breach_id: EventId, category: Category, text: str
    ) -> Breach:
        """The breach with a note more; whoever notes takes care of it unless somebody does. Raises as `assign`."""
        if not text.strip():
            raise InvalidRequest("say what you found out so far", field="text")
        known = self._desk.transact(
            principal.tenant_id, ledger_id, lambda turn: _open(turn, principal, breach_id, category)
        )
        return self.assign(principal, ledger_id, breach_id, category, assigned_to=known.assigned_to, text=text)

    def close(
        self,
        principal: Principal,
        ledger_id: LedgerId,
        breach_id: EventId,
        category: Category,
        finding: Finding,
        text: str,
    ) -> Breach:
        """The breach, closed; the limit may be breached anew from now on. text: why, in the person's own words.

        Raises UnknownBreach, InvalidRequest; OrderConflict for one that is closed.
        """
        if not text.strip():
            raise InvalidRequest("say what you found out, for whoever reads this later", field="text")
        text_hash, keep = keep_text(text)

        def work(turn: Turn) -> Breach:
            known = _open(turn, principal, breach_id, category)
            turn.batch.record(
                ev.BreachClosed(
                    account_id=known.scope.account_id,
                    breach_id=breach_id,
                    principal=principal.principal_id,
                    finding=finding.value,
                    text_hash=text_hash,
                )
            )
            keep(turn, breach_id, note_kind(turn.batch.events[-1].event_id))
            return turn.batch.book.breaches[breach_id]

        return self._desk.transact(principal.tenant_id, ledger_id, work)


def _open(turn: Turn, principal: Principal, breach_id: EventId, category: Category) -> Breach:
    unknown = UnknownBreach("there is no such breach", field="breach_id")
    known = turn.batch.book.breaches.get(breach_id)
    if known is None or known.category is not category:
        raise unknown
    account_id = known.scope.account_id
    if account_id is None and principal.account_ids is not None:
        raise NotPermitted("this concerns accounts that you may not use")
    if account_id is not None and not principal.may_use(account_id):
        raise unknown
    if not known.is_open:
        raise OrderConflict(f"the breach was closed before ({known.finding})")
    return known
