"""Changes to orders: replace and cancel, one or many; each is a recorded request that the session then carries out.

An order that was never sent is amended or ended at once. Repeating a cancel that is under way changes nothing.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from oms_app.flow.answered import StoredError, events_at, orders_at, require_same_request
from oms_app.flow.desk import Desk, Turn
from oms_app.flow.errors import FlowError, StaleVersion, UnknownOrder
from oms_app.flow.intake import IdempotencyKey
from oms_app.flow.lane import Lanes
from oms_app.flow.making_way import make_way
from oms_app.flow.principal import Principal
from oms_app.flow.routing import Directory, capabilities_of
from oms_app.store.unit_of_work import StoredAnswer
from oms_kernel import engine
from oms_kernel.domain.decision import Decision
from oms_kernel.domain.errors import InvalidRequest, KernelError, OrderConflict
from oms_kernel.domain.events import Event, ReplaceDenied
from oms_kernel.domain.ids import AccountId, InstrumentId, LedgerId, OrderId, StrategyId
from oms_kernel.domain.lifecycle import OrderStatus
from oms_kernel.domain.order import Order
from oms_kernel.engine import NewTerms

ReplaceDraft = NewTerms


class AmendResult(msgspec.Struct, frozen=True):
    """The order after the request. decision: of a replace. repeated: a cancel was under way already."""

    order: Order
    decision: Decision | None = None
    repeated: bool = False
    replayed: bool = False


class AmendOutcome(msgspec.Struct, frozen=True):
    """What became of one order of several."""

    order_id: OrderId
    order: Order | None = None
    error: FlowError | KernelError | None = None
    repeated: bool = False


class AmendManyResult(msgspec.Struct, frozen=True):
    """One outcome for each order, in the order given. replayed: this is the answer to a request made before."""

    outcomes: tuple[AmendOutcome, ...]
    replayed: bool = False


class Amendment:
    """The one door for changes to orders."""

    def __init__(self, desk: Desk, lanes: Lanes, directory: Directory) -> None:
        self._desk = desk
        self._lanes = lanes
        self._directory = directory

    def replace(
        self,
        principal: Principal,
        order_id: OrderId,
        terms: NewTerms,
        *,
        if_match: int | None = None,
        idempotency: IdempotencyKey | None = None,
    ) -> AmendResult:
        """The order with the replace under way, or the decision that denied it.

        Raises UnknownOrder, StaleVersion, OrderConflict, InvalidRequest, NoSession, IdempotencyMismatch, Unavailable.
        """
        job = _ReplaceJob(principal, order_id, terms, if_match, idempotency)
        return self._lanes.of(principal.tenant_id, self._directory.order(principal, order_id)).submit(job)

    def cancel(
        self,
        principal: Principal,
        order_id: OrderId,
        *,
        if_match: int | None = None,
        idempotency: IdempotencyKey | None = None,
    ) -> AmendResult:
        """The order with the cancel under way. Raises UnknownOrder, StaleVersion, OrderConflict (terminal)."""
        job = _CancelJob(principal, order_id, if_match, idempotency)
        return self._lanes.of(principal.tenant_id, self._directory.order(principal, order_id)).submit(job)

    def cancel_many(
        self, principal: Principal, order_ids: Sequence[OrderId], *, idempotency: IdempotencyKey | None = None
    ) -> AmendManyResult:
        """Cancel several orders; those of one ledger in one transaction. Raises IdempotencyMismatch, Unavailable."""
        by_ledger: dict[LedgerId, list[OrderId]] = {}
        outcomes: dict[OrderId, AmendOutcome] = {}
        for order_id in order_ids:
            try:
                by_ledger.setdefault(self._directory.order(principal, order_id), []).append(order_id)
            except UnknownOrder as error:
                outcomes[order_id] = AmendOutcome(order_id=order_id, error=error)
        replayed = False
        for ledger_id, ids in by_ledger.items():
            job = _CancelManyJob(principal, ids, idempotency=_in_ledger(idempotency, ledger_id))
            done = self._lanes.of(principal.tenant_id, ledger_id).submit(job)
            outcomes.update((outcome.order_id, outcome) for outcome in done.outcomes)
            replayed = replayed or done.replayed
        return AmendManyResult(tuple(outcomes[order_id] for order_id in order_ids), replayed)

    def cancel_all(
        self,
        principal: Principal,
        *,
        account_id: AccountId | None = None,
        instrument_id: InstrumentId | None = None,
        strategy_id: StrategyId | None = None,
    ) -> tuple[AmendOutcome, ...]:
        """Cancel every active order of the tenant that matches all that is given and that the caller may use."""
        outcomes: list[AmendOutcome] = []
        for ledger_id in self._directory.ledgers(principal):
            job = _CancelManyJob(principal, None, account_id, instrument_id, strategy_id)
            outcomes.extend(self._lanes.of(principal.tenant_id, ledger_id).submit(job).outcomes)
        return tuple(outcomes)


def find_own(turn: Turn, principal: Principal, order_id: OrderId) -> Order:
    """The order, when the principal may use its account. Raises UnknownOrder."""
    order = turn.batch.book.orders.get(order_id)
    if order is None or not principal.may_use(order.request.account_id):
        raise UnknownOrder(f"there is no order {order_id}", field="order_id")
    return order


def judge_terms(turn: Turn, principal: Principal, order: Order, terms: NewTerms) -> tuple[Decision, tuple[Event, ...]]:
    """The decision over new terms of an order and the events that would tell it; nothing is recorded.

    Raises OrderConflict, InvalidRequest, NoSession.
    """
    return engine.replace(
        turn.view,
        order,
        terms,
        instrument=turn.catalogue.instruments[order.request.instrument_id],
        capabilities=capabilities_of(turn, order),
        rules=turn.batch.rules,
        states=turn.batch.memories,
        send_before=turn.batch.now + turn.desk.send_window,
        limits_version=turn.config.limits_version,
        principal=principal.principal_id,
        request_id=principal.request_id,
    )


def _check_version(order: Order, if_match: int | None) -> None:
    if if_match is not None and if_match != order.version:
        raise StaleVersion(
            f"the order is at version {order.version}, not {if_match}", field="If-Match", fix="read the order again"
        )


def _in_ledger(key: IdempotencyKey | None, ledger_id: LedgerId) -> IdempotencyKey | None:
    """The key for one ledger's part of a request that may touch several."""
    return msgspec.structs.replace(key, operation=f"{key.operation} {ledger_id}") if key is not None else None


def _known_answer(turn: Turn, principal: Principal, key: IdempotencyKey | None) -> StoredAnswer | None:
    """The stored answer of the same request. Raises IdempotencyMismatch when the key was used for another."""
    if key is None:
        return None
    answer = turn.unit.answer(principal.principal_id, key.operation, key.key)
    if answer is not None:
        require_same_request(answer, key.fingerprint)
    return answer


def _stored(
    turn: Turn,
    principal: Principal,
    key: IdempotencyKey,
    versions: tuple[tuple[OrderId, int], ...],
    extra: dict[str, Any],
) -> StoredAnswer:
    return StoredAnswer(
        key=key.key,
        principal=principal.principal_id,
        operation=key.operation,
        fingerprint=key.fingerprint,
        status_code=202,
        order_versions=versions,
        extra=extra,
        created_at=turn.unit.now,
    )


def _replayed(turn: Turn, principal: Principal, order_id: OrderId, key: IdempotencyKey | None) -> AmendResult | None:
    """The answer of a request that was made before, with the order as that request left it. Raises UnknownOrder."""
    answer = _known_answer(turn, principal, key)
    if answer is None:
        return None
    find_own(turn, principal, order_id)  # what may be used can change between a request and its repetition
    (order,) = orders_at(turn, answer.order_versions)
    decision = _denial(turn, answer.extra["denied_by"]) if "denied_by" in answer.extra else None
    return AmendResult(order=order, decision=decision, repeated=answer.extra.get("repeated", False), replayed=True)


def _denial(turn: Turn, seq: int) -> Decision:
    """What the rules said of a replace that they denied with this event."""
    (recorded,) = events_at(turn, [seq])
    event = recorded.event
    if not isinstance(event, ReplaceDenied):
        raise TypeError(f"event {seq} denied no replace")
    return Decision(order_id=event.order_id, accepted=False, verdicts=event.verdicts)


def _remember(turn: Turn, principal: Principal, order: Order, key: IdempotencyKey | None, **extra: Any) -> None:
    if key is not None:
        turn.unit.put_answer(_stored(turn, principal, key, ((order.order_id, order.version),), extra))


class _ReplaceJob:
    size = 1
    alone = False

    def __init__(
        self,
        principal: Principal,
        order_id: OrderId,
        terms: NewTerms,
        if_match: int | None,
        idempotency: IdempotencyKey | None,
    ) -> None:
        self.principal = principal
        self._order_id = order_id
        self._terms = terms
        self._if_match = if_match
        self._idempotency = idempotency

    def decide(self, turn: Turn) -> AmendResult:
        replayed = _replayed(turn, self.principal, self._order_id, self._idempotency)
        if replayed is not None:
            return replayed
        order = find_own(turn, self.principal, self._order_id)
        _check_version(order, self._if_match)
        decision, events = judge_terms(turn, self.principal, order, self._terms)
        held = order.status is OrderStatus.HELD
        make_way(turn, decision, order.request.instrument_id, held=held, request_id=self.principal.request_id)
        turn.batch.record(*events)
        changed = turn.batch.book.orders[order.order_id]
        denied = {} if decision.accepted else {"denied_by": turn.batch.events[-1].seq}
        _remember(turn, self.principal, changed, self._idempotency, **denied)
        return AmendResult(order=changed, decision=decision)


class _CancelJob:
    size = 1
    alone = False

    def __init__(
        self, principal: Principal, order_id: OrderId, if_match: int | None, idempotency: IdempotencyKey | None
    ) -> None:
        self.principal = principal
        self._order_id = order_id
        self._if_match = if_match
        self._idempotency = idempotency

    def decide(self, turn: Turn) -> AmendResult:
        replayed = _replayed(turn, self.principal, self._order_id, self._idempotency)
        if replayed is not None:
            return replayed
        order = find_own(turn, self.principal, self._order_id)
        _check_version(order, self._if_match)
        events = engine.cancel(order, principal=self.principal.principal_id, request_id=self.principal.request_id)
        turn.batch.record(*events)
        changed = turn.batch.book.orders[order.order_id]
        repeated = not events
        _remember(turn, self.principal, changed, self._idempotency, repeated=repeated)
        return AmendResult(order=changed, repeated=repeated)


class _CancelManyJob:
    """Cancels a list of orders, or every active order that matches."""

    alone = False

    def __init__(
        self,
        principal: Principal,
        order_ids: Sequence[OrderId] | None,
        account_id: AccountId | None = None,
        instrument_id: InstrumentId | None = None,
        strategy_id: StrategyId | None = None,
        idempotency: IdempotencyKey | None = None,
    ) -> None:
        self.size = len(order_ids) if order_ids is not None else 1
        self.principal = principal
        self._order_ids = order_ids
        self._account_id = account_id
        self._instrument_id = instrument_id
        self._strategy_id = strategy_id
        self._idempotency = idempotency

    def decide(self, turn: Turn) -> AmendManyResult:
        replayed = self._replay(turn)
        if replayed is not None:
            return replayed
        outcomes = []
        for order_id in self._wanted(turn):
            try:
                order = find_own(turn, self.principal, order_id)
                events = engine.cancel(
                    order, principal=self.principal.principal_id, request_id=self.principal.request_id
                )
            except (UnknownOrder, InvalidRequest, OrderConflict) as error:
                outcomes.append(AmendOutcome(order_id=order_id, error=error))
                continue
            turn.batch.record(*events)
            changed = turn.batch.book.orders[order_id]
            outcomes.append(AmendOutcome(order_id=order_id, order=changed, repeated=not events))
        if self._idempotency is not None:
            turn.unit.put_answer(self._answer(turn, self._idempotency, outcomes))
        return AmendManyResult(tuple(outcomes))

    def _answer(self, turn: Turn, key: IdempotencyKey, outcomes: Sequence[AmendOutcome]) -> StoredAnswer:
        changed = [(outcome.order, outcome.repeated) for outcome in outcomes if outcome.order is not None]
        errors = {
            outcome.order_id: {"code": outcome.error.code, "detail": outcome.error.detail, "field": outcome.error.field}
            for outcome in outcomes
            if outcome.error is not None
        }
        repeated = [order.order_id for order, was_under_way in changed if was_under_way]
        versions = tuple((order.order_id, order.version) for order, _ in changed)
        return _stored(turn, self.principal, key, versions, {"errors": errors, "repeated": repeated})

    def _replay(self, turn: Turn) -> AmendManyResult | None:
        """The outcomes of the same request, with the orders as it left them; None for a new one."""
        answer = _known_answer(turn, self.principal, self._idempotency)
        if answer is None:
            return None
        repeated = set(answer.extra["repeated"])
        done = [
            AmendOutcome(order_id=order.order_id, order=order, repeated=order.order_id in repeated)
            if self.principal.may_use(order.request.account_id)
            else AmendOutcome(order_id=order.order_id, error=UnknownOrder(f"there is no order {order.order_id}"))
            for order in orders_at(turn, answer.order_versions)
        ]
        refused = [
            AmendOutcome(order_id=OrderId(order_id), error=StoredError(**error))
            for order_id, error in answer.extra["errors"].items()
        ]
        return AmendManyResult((*done, *refused), replayed=True)

    def _wanted(self, turn: Turn) -> Iterable[OrderId]:
        if self._order_ids is not None:
            return self._order_ids
        wanted = {
            "account_id": self._account_id,
            "instrument_id": self._instrument_id,
            "strategy_id": self._strategy_id,
        }
        return [
            order.order_id
            for order in turn.batch.book.open_order_list()
            if self.principal.may_use(order.request.account_id)
            and not order.is_external  # placed elsewhere: only read
            and all(value is None or getattr(order.request, name) == value for name, value in wanted.items())
        ]
