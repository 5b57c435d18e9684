"""Orders in, each decided and durable: single, bulk, strategies and webhooks all enter here, batched by ledger."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from oms_app.flow.answered import StoredError, events_at, require_same_request
from oms_app.flow.baskets import baskets_of
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import FlowError, NotAttempted, UnknownAccount
from oms_app.flow.lane import Lanes
from oms_app.flow.pretrade import OrderDraft, approval_deadline, assess
from oms_app.flow.principal import Principal
from oms_app.flow.routing import Directory
from oms_app.store.unit_of_work import Conflict, StoredAnswer
from oms_kernel.contracts.rules import Basket
from oms_kernel.domain.book import Book
from oms_kernel.domain.decision import Decision
from oms_kernel.domain.errors import InvalidRequest, KernelError
from oms_kernel.domain.events import OrderAccepted, OrderDenied, Recorded
from oms_kernel.domain.ids import AccountId, BrokerAccountId, LedgerId, OrderId
from oms_kernel.domain.order import Order

__all__ = ["CursorStep", "IdempotencyKey", "Intake", "ItemResult", "OrderDraft", "PlaceResult"]

MAX_BULK = 500


class IdempotencyKey(msgspec.Struct, frozen=True):
    """A caller's key for one request; the fingerprint is a hash of the canonical request body."""

    key: str
    operation: str
    fingerprint: bytes


class CursorStep(msgspec.Struct, frozen=True):
    """A consumer's cursor that moves in the same transaction as the orders which its events led to."""

    consumer: str
    expected_seq: int
    seq: int


class ItemResult(msgspec.Struct, frozen=True):
    """What became of one draft: an order with its decision, or an error and nothing stored."""

    order: Order | None = None
    decision: Decision | None = None
    error: FlowError | KernelError | None = None


class PlaceResult(msgspec.Struct, frozen=True):
    """The results in the order of the drafts."""

    items: tuple[ItemResult, ...]
    replayed: bool = False


class Intake:
    """The one door for orders."""

    def __init__(self, desk: Desk, lanes: Lanes, directory: Directory) -> None:
        self._desk = desk
        self._lanes = lanes
        self._directory = directory

    def place(
        self,
        principal: Principal,
        drafts: Sequence[OrderDraft],
        *,
        idempotency: IdempotencyKey | None = None,
        atomic: bool = False,
        cursor: CursorStep | None = None,
    ) -> PlaceResult:
        """One result for each draft, after the commit; a denial is a result, not an error.

        drafts: 1 to 500, all of accounts of one ledger. atomic: all are accepted or nothing is stored.
        Raises IdempotencyMismatch, Unavailable (nothing stored), OutcomeUnknown, InvalidRequest, UnknownAccount for
        requests that are wrong as a whole; what is wrong with one draft is in its result.
        """
        if not 1 <= len(drafts) <= MAX_BULK:
            raise InvalidRequest(f"a request holds 1 to {MAX_BULK} orders, this one {len(drafts)}", field="orders")
        found: dict[tuple[AccountId | None, BrokerAccountId | None], AccountId | FlowError | KernelError] = {}
        ledgers: set[LedgerId] = set()
        for key in dict.fromkeys((draft.account_id, draft.broker_account_id) for draft in drafts):
            try:
                found[key], ledger_id = self._directory.account(principal, *key)
            except (FlowError, InvalidRequest) as error:
                found[key] = error
            else:
                ledgers.add(ledger_id)
        named = [found[draft.account_id, draft.broker_account_id] for draft in drafts]
        if not ledgers:
            return PlaceResult(items=tuple(ItemResult(error=error) for error in named if isinstance(error, Exception)))
        if len(ledgers) > 1:
            raise InvalidRequest("all orders of one request must be of accounts of one ledger", field="orders")
        job = PlaceJob(self._desk, principal, drafts, named, idempotency, atomic, cursor)
        try:
            return self._lanes.of(principal.tenant_id, ledgers.pop()).submit(job)
        except _AtomicRefusal as refusal:
            return refusal.result


class _AtomicRefusal(Exception):
    """Ends the transaction of an atomic request of which one item failed."""

    def __init__(self, result: PlaceResult) -> None:
        super().__init__("an item of an atomic request failed")
        self.result = result


class PlaceJob:
    """One request's orders as a job of the ledger's lane."""

    def __init__(
        self,
        desk: Desk,
        principal: Principal,
        drafts: Sequence[OrderDraft],
        named: Sequence[AccountId | FlowError | KernelError],
        idempotency: IdempotencyKey | None,
        atomic: bool,
        cursor: CursorStep | None,
    ) -> None:
        self.size = len(drafts)
        self.alone = atomic or cursor is not None
        self.principal = principal
        self._drafts = drafts
        self._named = named
        self._idempotency = idempotency
        self._atomic = atomic
        self._cursor = cursor
        self._order_ids = [OrderId(desk.new_id()) for _ in drafts]

    def decide(self, turn: Turn) -> PlaceResult:
        """See Intake.place."""
        replayed = self._replay(turn)
        if replayed is not None:
            return replayed
        if self._cursor is not None:
            step = self._cursor
            if not turn.unit.advance_cursor(step.consumer, step.expected_seq, step.seq):
                raise Conflict(f"the cursor of {step.consumer} was moved by another process")
        baskets = baskets_of(turn, self._drafts, self._named)
        hold_until = approval_deadline(turn)
        items = tuple(self._item(turn, index, hold_until, baskets) for index in range(len(self._drafts)))
        if self._atomic and any(item.decision is None or not item.decision.accepted for item in items):
            raise _AtomicRefusal(PlaceResult(items=tuple(_refused(item) for item in items)))
        if self._idempotency is not None and any(item.order is not None for item in items):
            turn.unit.put_answer(self._answer(turn, self._idempotency, items))
        return PlaceResult(items=items)

    def _item(self, turn: Turn, index: int, hold_until: datetime, baskets: Mapping[AccountId, Basket]) -> ItemResult:
        account_id = self._named[index]
        if isinstance(account_id, Exception):
            return ItemResult(error=account_id)
        if not self.principal.may_use(account_id):  # it was recognised anew since the account was looked up
            return ItemResult(error=UnknownAccount("the account is not yours any more", field="account_id"))
        try:
            decision, order = assess(
                turn,
                self.principal,
                account_id,
                self._drafts[index],
                self._order_ids[index],
                hold_until=hold_until,
                basket=baskets.get(account_id),
            )
        except (FlowError, InvalidRequest) as error:
            return ItemResult(error=error)
        return ItemResult(order=order, decision=decision)

    def _answer(self, turn: Turn, idempotency: IdempotencyKey, items: Sequence[ItemResult]) -> StoredAnswer:
        errors = {
            str(index): {"code": item.error.code, "detail": item.error.detail, "field": item.error.field}
            for index, item in enumerate(items)
            if item.error is not None
        }
        return StoredAnswer(
            key=idempotency.key,
            principal=self.principal.principal_id,
            operation=idempotency.operation,
            fingerprint=idempotency.fingerprint,
            status_code=200,
            order_versions=tuple((item.order.order_id, item.order.version) for item in items if item.order is not None),
            extra={"size": len(items), "errors": errors},
            created_at=turn.unit.now,
        )

    def _replay(self, turn: Turn) -> PlaceResult | None:
        """The stored answer of the same request, or None for a new one."""
        wanted = self._idempotency
        if wanted is None:
            return None
        answer = turn.unit.answer(self.principal.principal_id, wanted.operation, wanted.key)
        if answer is None:
            return None
        require_same_request(answer, wanted.fingerprint)
        events = events_at(turn, [version for _, version in answer.order_versions])
        orders = iter([_as_told(self.principal, recorded) for recorded in events])
        errors: dict[str, dict[str, Any]] = answer.extra["errors"]
        items = tuple(
            ItemResult(error=StoredError(**errors[str(index)])) if str(index) in errors else next(orders)
            for index in range(answer.extra["size"])
        )
        return PlaceResult(items=items, replayed=True)


def _as_told(principal: Principal, recorded: Recorded) -> ItemResult:
    """The order as it was right after the event that made it, as long as the caller may use its account."""
    event = recorded.event
    if not isinstance(event, (OrderAccepted, OrderDenied)):
        raise TypeError(f"event {recorded.seq} made no order")
    if not principal.may_use(event.request.account_id):
        return ItemResult(error=UnknownAccount("the account is not yours any more", field="account_id"))
    book = Book()
    book.seq = recorded.seq - 1
    book.apply(recorded)
    decision = Decision(order_id=event.order_id, accepted=isinstance(event, OrderAccepted), verdicts=event.verdicts)
    return ItemResult(order=book.orders[event.order_id], decision=decision)


def _refused(item: ItemResult) -> ItemResult:
    """The result of an item of an atomic request that was not stored."""
    if item.error is not None:
        return item
    if item.decision is not None and not item.decision.accepted:
        return ItemResult(decision=item.decision)
    return ItemResult(error=NotAttempted("another order of the atomic request was refused; nothing was stored"))
