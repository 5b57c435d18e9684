"""A held order and a second person's word in, the order released once or ended out; who asked can never say yes.

Guarantee: the order is judged anew by every rule at the moment of its approval; soft limits are overridden for this one
order only, and a hard denial leaves it waiting. What the person wrote stands beside the log, its salted hash in it.
"""

from collections.abc import Callable

import msgspec

from oms_app.flow.amendment import find_own
from oms_app.flow.audit import REFUSED, Actor, AdminAction, record
from oms_app.flow.beside import keep_text
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import NotPermitted
from oms_app.flow.lane import Lanes
from oms_app.flow.making_way import make_way, shrink_own
from oms_app.flow.principal import Principal
from oms_app.flow.routing import Directory, route
from oms_app.store import key_rows
from oms_app.store.sql_store import SqlStore
from oms_kernel import engine
from oms_kernel.domain import events as ev
from oms_kernel.domain.decision import Decision
from oms_kernel.domain.errors import InvalidRequest, OrderConflict
from oms_kernel.domain.ids import EventId, OrderId, TenantId
from oms_kernel.domain.lifecycle import OrderStatus, RequestStatus
from oms_kernel.domain.order import Order

TEXT = "approval"
DECLINED = "approval_declined"
PersonOf = Callable[[TenantId, str], str]
"""The person behind a principal: the owner of an API key, else the principal itself."""


class Approval(msgspec.Struct, frozen=True):
    """The order after a person's word. decision: what every rule said at the approval; None for a decline."""

    order: Order
    decision: Decision | None = None


class Approvals:
    """The one door for orders that wait for a person.

    on_refused: told of an approval that a hard rule did not let pass, for the audit; nothing of it is in the log.
    """

    def __init__(
        self,
        desk: Desk,
        lanes: Lanes,
        directory: Directory,
        person_of: PersonOf,
        on_refused: Callable[[Principal, Order, Decision], None] = lambda principal, order, decision: None,
    ) -> None:
        self._desk = desk
        self._lanes = lanes
        self._directory = directory
        self._person_of = person_of
        self._on_refused = on_refused

    def approve(self, principal: Principal, order_id: OrderId, reason: str) -> Approval:
        """The order, sent in spite of its soft limits; or still HELD, with the decision that denied the approval.

        Raises UnknownOrder, OrderConflict (not held, too late), NotPermitted (the same person asked for it), NoSession,
        InvalidRequest (no reason), Unavailable.
        """
        text = _required(reason)
        ledger_id = self._directory.order(principal, order_id)
        askers = self._desk.transact(
            principal.tenant_id, ledger_id, lambda turn: askers_of(turn, _held(turn, principal, order_id))
        )
        approver = self._person_of(principal.tenant_id, principal.principal_id)
        if approver in {self._person_of(principal.tenant_id, asker) for asker in askers}:
            raise NotPermitted(
                "whoever placed or changed an order cannot approve it",
                field="order_id",
                fix="let another person with the scope manage:risk approve it",
            )
        job = _ApproveJob(principal, order_id, text, askers)
        approval = self._lanes.of(principal.tenant_id, ledger_id).submit(job)
        if approval.decision is not None and not approval.decision.accepted:
            self._on_refused(principal, approval.order, approval.decision)
        return approval

    def decline(self, principal: Principal, order_id: OrderId, reason: str) -> Approval:
        """The order, ended: CANCELED, never sent. Raises UnknownOrder, OrderConflict, InvalidRequest, Unavailable."""
        job = _DeclineJob(principal, order_id, _required(reason))
        return self._lanes.of(principal.tenant_id, self._directory.order(principal, order_id)).submit(job)


def person_reader(store: SqlStore) -> PersonOf:
    """Reads who owns a key, whatever became of the key since."""

    def person_of(tenant_id: TenantId, principal_id: str) -> str:
        kind, _, name = principal_id.partition(":")
        if kind != "key":
            return principal_id
        with store.read_unit(tenant_id) as unit:
            key = key_rows.get_key(unit, name)
        return f"user:{key.user_id}" if key is not None else principal_id

    return person_of


def note_refusal(store: SqlStore, principal: Principal, order: Order, decision: Decision) -> None:
    """Write down in the audit trail that hard limits did not let an approval pass; the order's own log has nothing."""
    action = AdminAction(
        "approval.refused",
        "order",
        order.order_id,
        after={"denied_by": [verdict.rule for verdict in decision.denials]},
        decision=REFUSED,
        account_id=order.request.account_id,
        order_id=order.order_id,
    )
    actor = Actor(principal_id=principal.principal_id, request_id=principal.request_id)
    with store.tenant_unit(principal.tenant_id) as unit:
        record(unit, actor, action)


def askers_of(turn: Turn, order: Order) -> frozenset[str]:
    """The principals who want the order as it stands: who placed it, and everybody who changed its terms."""
    changed = (recorded.event for recorded in turn.unit.events_of([order.order_id]))
    return frozenset(
        {order.principal, *(event.principal for event in changed if isinstance(event, ev.ReplaceRequested))}
    )


def _held(turn: Turn, principal: Principal, order_id: OrderId) -> Order:
    """The order, when it waits for a person. Raises UnknownOrder, OrderConflict."""
    order = find_own(turn, principal, order_id)
    if order.status is not OrderStatus.HELD or order.place is not RequestStatus.REQUESTED:
        raise OrderConflict(f"the order is {order.state}; only a held order waits for an approval")
    return order


def _required(reason: str) -> str:
    if not reason.strip():
        raise InvalidRequest("reason must not be empty", field="reason")
    return reason.strip()


def _keep(turn: Turn, order: Order, text: str) -> str:
    """Store a person's words beside the log, under the order's id; returns their salted hash."""
    text_hash, keep = keep_text(text)
    keep(turn, EventId(order.order_id), TEXT)
    return text_hash or ""


class _ApproveJob:
    size = 1
    alone = False

    def __init__(self, principal: Principal, order_id: OrderId, text: str, askers: frozenset[str]) -> None:
        self.principal = principal
        self._order_id = order_id
        self._text = text
        self._askers = askers

    def decide(self, turn: Turn) -> Approval:
        order = _held(turn, self.principal, self._order_id)
        if not askers_of(turn, order) <= self._askers:
            raise OrderConflict("the order was changed meanwhile; read it again before you approve it")
        queue_until = order.request.queue_until
        queues = queue_until is not None and queue_until > turn.batch.now
        route(turn, order.request.account_id, may_wait=queues)
        decision, released = engine.approve(
            turn.view,
            order,
            instrument=turn.catalogue.instruments[order.request.instrument_id],
            rules=turn.batch.rules,
            states=turn.batch.memories,
            send_before=queue_until if queues and queue_until else turn.batch.now + turn.desk.send_window,
            principal=self.principal.principal_id,
            request_id=self.principal.request_id,
        )
        if released is None:
            return Approval(order=order, decision=decision)
        make_way(turn, decision, order.request.instrument_id, request_id=self.principal.request_id)
        turn.batch.record(msgspec.structs.replace(released, text_hash=_keep(turn, order, self._text)))
        shrink_own(turn, decision, request_id=self.principal.request_id)
        return Approval(order=turn.batch.book.orders[order.order_id], decision=decision)


class _DeclineJob:
    size = 1
    alone = False

    def __init__(self, principal: Principal, order_id: OrderId, text: str) -> None:
        self.principal = principal
        self._order_id = order_id
        self._text = text

    def decide(self, turn: Turn) -> Approval:
        order, principal = _held(turn, self.principal, self._order_id), self.principal.principal_id
        turn.batch.record(
            engine.never_sent(order, ev.OrderCanceled, DECLINED, principal=principal),
            ev.PersonResolved(
                account_id=order.request.account_id,
                order_id=order.order_id,
                finding="DECLINED",
                principal=principal,
                text_hash=_keep(turn, order, self._text),
            ),
        )
        return Approval(order=turn.batch.book.orders[order.order_id])
