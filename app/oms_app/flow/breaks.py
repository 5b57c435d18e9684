"""The ledger of breaks: the broker's snapshot in, its differences recorded, put right where policy says so, and closed.

A difference is recorded only when two snapshots in a row show the same figures, so that what is merely under way is no
break; found again it changes nothing; no longer found it is closed. A failed part neither opens nor closes one.
"""

from collections.abc import Callable, Iterable, Iterator
from datetime import datetime
from decimal import Decimal

import msgspec

from oms_app.flow.booking import book, owners_of
from oms_app.flow.desk import Turn
from oms_app.flow.reconciliation import Parts, book_snapshot
from oms_kernel.adoption import adopt, external_difference
from oms_kernel.contracts import broker as br
from oms_kernel.differences import Busy, Comparison, busy_since, differences, is_comparable
from oms_kernel.domain import events as ev
from oms_kernel.domain.breaks import POLICIES, Break, BreakType, Difference
from oms_kernel.domain.errors import KernelError
from oms_kernel.domain.ids import BreakId, BrokerAccountId, ConnectionId, ExecId, OrderId
from oms_kernel.domain.money import ZERO, add, to_text
from oms_kernel.executions import BrokerAccountOwner

PRINCIPAL = "system:reconciliation"
_OF_TERMS = (BreakType.QUANTITY, BreakType.PRICE)
MOST_NAMED = 10
"""How many execution ids a break names."""

ExecutionKey = tuple[BrokerAccountId, ExecId]


class Look(msgspec.Struct, frozen=True):
    """What one snapshot showed: executions that were not booked, differences, and what was done about them."""

    unbooked: frozenset[ExecutionKey] = frozenset()
    found: tuple[Difference, ...] = ()
    opened: int = 0
    fixed: int = 0
    closed: int = 0
    is_settled: bool = True
    """False: something was seen for the first time, and only another snapshot can tell it from what is under way."""


def look(
    turn: Turn,
    connection_id: ConnectionId,
    parts: Parts,
    *,
    asked_at_seq: int,
    is_elsewhere: Callable[[BrokerAccountId], bool],
    before: Look | None = None,
    opening: bool = False,
) -> Look:
    """Book what the snapshot proves and keep the ledger of breaks.

    asked_at_seq: the ledger's head when the snapshot was asked for. before: what the snapshot before it showed.
    opening: the session begins, and executions that it did not hear are to be expected.
    """
    busy = busy_since(turn.batch.book, iter(turn.unit.tail(asked_at_seq)))
    unbooked = frozenset(_unbooked(turn, parts))
    if unbooked and before is None and not opening:
        return Look(unbooked=unbooked, is_settled=False)
    missed = unbooked if before is None else unbooked & before.unbooked
    fixed = _report_missed(turn, parts, missed, ev.Severity.INFO if opening else None)
    adopted, foreign = _adopt_external(turn, connection_id, parts)
    fixed += adopted
    book_snapshot(turn, connection_id, parts)
    ours = _comparison(turn, connection_id, busy, is_elsewhere)
    found = (*differences(ours, parts), *foreign)
    open_ = dict(_open_breaks(turn, ours))
    seen = {difference.key for difference in found}
    confirmed = [difference for difference in found if before is not None and difference in before.found]
    opened = 0
    for difference in confirmed:
        opened += _record(turn, open_.get(difference.key), difference, _as_of(parts))
    fixed += _fix_terms(turn, connection_id, parts, confirmed)
    closed = 0
    for known in open_.values():
        if known.difference.key not in seen and is_comparable(ours, parts, known.difference):
            turn.batch.record(_resolved(known, "gone"))
            closed += 1
    new = [one for one in found if _figures(open_.get(one.key)) != (one.ours, one.theirs) and one not in confirmed]
    return Look(unbooked, found, opened, fixed, closed, is_settled=not new)


def open_breaks(turn: Turn, broker_account_ids: Iterable[BrokerAccountId]) -> Iterator[Break]:
    """The breaks of these broker accounts that nobody has resolved, oldest first within each."""
    for broker_account_id in broker_account_ids:
        for _, break_id in list(turn.batch.book.open_breaks.entries(broker_account_id)):
            yield turn.batch.book.breaks[break_id]


def _comparison(
    turn: Turn, connection_id: ConnectionId, busy: Busy, is_elsewhere: Callable[[BrokerAccountId], bool]
) -> Comparison:
    served = {route.broker_account_id for route in turn.config.routes.values() if route.connection_id == connection_id}
    owners = {name: owner for name, owner in owners_of(turn).items() if name in served}
    return Comparison(
        book=turn.batch.book,
        connection_id=connection_id,
        owners=owners,
        instruments=turn.catalogue.instruments,
        busy=busy,
        now=turn.batch.now,
        is_elsewhere=is_elsewhere,
    )


def _open_breaks(turn: Turn, ours: Comparison) -> Iterator[tuple[tuple[BreakType, BrokerAccountId, str], Break]]:
    """The open breaks that this connection can speak of; those of accounts that nobody serves belong to every one."""
    of_nobody = [name for name in turn.batch.book.open_breaks.keys() if name not in owners_of(turn)]
    for known in open_breaks(turn, [*ours.owners, *of_nobody]):
        yield known.difference.key, known


def _unbooked(turn: Turn, parts: Parts) -> Iterator[ExecutionKey]:
    owned = owners_of(turn)
    for fill in _executions(parts):
        if fill.broker_account_id in owned and turn.batch.book.execution(fill.broker_account_id, fill.exec_id) is None:
            yield fill.broker_account_id, fill.exec_id


def _executions(parts: Parts) -> Iterator[br.Filled]:
    result = parts.get(br.SnapshotPart.EXECUTIONS)
    if result is not None and result.complete:
        yield from (item for item in result.items if isinstance(item, br.Filled))


def _report_missed(turn: Turn, parts: Parts, missed: frozenset[ExecutionKey], severity: ev.Severity | None) -> int:
    """One break, put right at once, for each account with executions that no report told; returns how many."""
    by_account: dict[BrokerAccountId, list[ExecId]] = {}
    for fill in _executions(parts):
        if (fill.broker_account_id, fill.exec_id) in missed:
            by_account.setdefault(fill.broker_account_id, []).append(fill.exec_id)
    for broker_account_id, exec_ids in by_account.items():
        more = f" and {len(exec_ids) - MOST_NAMED} more" if len(exec_ids) > MOST_NAMED else ""
        difference = Difference(
            break_type=BreakType.MISSING_FILL,
            broker_account_id=broker_account_id,
            subject=f"{exec_ids[0]} of {len(exec_ids)}",
            account_id=owners_of(turn)[broker_account_id].account_id,
            ours="not booked",
            theirs=f"{len(exec_ids)} executions: {', '.join(exec_ids[:MOST_NAMED])}{more}",
        )
        _record_fixed(turn, difference, _as_of(parts), severity)
    return len(by_account)


def _adopt_external(turn: Turn, connection_id: ConnectionId, parts: Parts) -> tuple[int, list[Difference]]:
    """Take foreign working orders into the book; returns how many, and those that cannot be taken."""
    result = parts.get(br.SnapshotPart.ORDERS)
    adopted, foreign = 0, []
    if result is None or not result.complete:
        return 0, []
    owners = owners_of(turn)
    for item in result.items:
        if not isinstance(item, br.OrderSnapshot) or item.status != "WORKING":
            continue
        owner = owners.get(item.broker_account_id)
        known = turn.batch.book.find_order(item.broker_account_id, item.wire_id, item.broker_order_id)
        if owner is None or known is not None or owner.account_id not in turn.batch.book.accounts:
            continue
        try:
            event = adopt(
                turn.view,
                owner,
                item,
                order_id=OrderId(turn.desk.new_id()),
                connection_id=connection_id,
                unbooked_quantity=_unbooked_of(turn, parts, item),
                as_of=result.as_of,
            )
        except KernelError as error:
            foreign.append(_not_adoptable(owner, item, error.detail))
            continue
        turn.batch.record(event)
        _record_fixed(turn, external_difference(owner, event), result.as_of, None)
        adopted += 1
    return adopted, foreign


def _unbooked_of(turn: Turn, parts: Parts, item: br.OrderSnapshot) -> Decimal:
    """The quantity of the order's executions in the same snapshot that are not booked yet."""
    unbooked = ZERO
    for fill in _executions(parts):
        is_its = fill.broker_order_id == item.broker_order_id and fill.broker_account_id == item.broker_account_id
        if is_its and turn.batch.book.execution(fill.broker_account_id, fill.exec_id) is None:
            unbooked = add(unbooked, fill.quantity)
    return unbooked


def _not_adoptable(owner: BrokerAccountOwner, item: br.OrderSnapshot, why: str) -> Difference:
    return Difference(
        break_type=BreakType.EXTERNAL_ORDER,
        broker_account_id=item.broker_account_id,
        subject=item.broker_order_id,
        account_id=owner.account_id,
        symbol=item.symbol,
        ours=f"cannot be taken into the book: {why}",
        theirs=f"{item.side} {to_text(item.quantity)} {item.symbol}",
    )


def _record(turn: Turn, known: Break | None, difference: Difference, as_of: datetime) -> int:
    """Open a break, or note its new figures; 1 when it is new."""
    if known is not None:
        if _figures(known) != (difference.ours, difference.theirs):
            turn.batch.record(
                ev.BreakChanged(
                    account_id=difference.account_id,
                    break_id=known.break_id,
                    ours=difference.ours,
                    theirs=difference.theirs,
                    as_of=as_of,
                )
            )
        return 0
    turn.batch.record(_found(difference, as_of, None))
    policy = POLICIES[difference.break_type]
    turn.batch.record(
        ev.AlertRaised(
            account_id=difference.account_id,
            order_id=difference.order_id,
            severity=policy.severity,
            source="reconciliation",
            text=_told(difference),
            what_to_do=policy.proposed_fix,
        )
    )
    return 1


def _record_fixed(turn: Turn, difference: Difference, as_of: datetime, severity: ev.Severity | None) -> None:
    """A break that the booking of the broker's word puts right in this transaction."""
    found = _found(difference, as_of, severity)
    turn.batch.record(found)
    break_id = BreakId(turn.batch.events[-1].event_id)
    turn.batch.record(_resolved(turn.batch.book.breaks[break_id], "fixed", auto_fixed=True))
    if found.severity is not ev.Severity.INFO:
        turn.batch.record(
            ev.AlertRaised(
                account_id=difference.account_id,
                order_id=difference.order_id,
                severity=found.severity,
                source="reconciliation",
                text=_told(difference),
                what_to_do=found.proposed_fix,
            )
        )


def _fix_terms(turn: Turn, connection_id: ConnectionId, parts: Parts, confirmed: list[Difference]) -> int:
    """Take over the terms that the broker shows of an order, where they differ without a change under way."""
    result = parts.get(br.SnapshotPart.ORDERS)
    wanted = {one.order_id for one in confirmed if one.order_id is not None and one.break_type in _OF_TERMS}
    if result is None or not wanted:
        return 0
    for item in result.items:
        if not isinstance(item, br.OrderSnapshot) or item.status != "WORKING":
            continue
        order = turn.batch.book.find_order(item.broker_account_id, item.wire_id, item.broker_order_id)
        if order is None or order.order_id not in wanted:
            continue
        replaced = br.Replaced(
            broker_account_id=item.broker_account_id,
            broker_at=result.as_of,
            wire_id=item.wire_id,
            broker_order_id=item.broker_order_id,
            quantity=item.quantity,
            limit_price=item.limit_price,
            stop_price=item.stop_price,
        )
        book(turn, connection_id, [replaced])
    fixed = 0
    for known in list(open_breaks(turn, {one.broker_account_id for one in confirmed})):
        if known.difference.order_id in wanted and known.difference.break_type in _OF_TERMS:
            turn.batch.record(_resolved(known, "fixed", auto_fixed=True))
            fixed += 1
    return fixed


def _found(difference: Difference, as_of: datetime, severity: ev.Severity | None) -> ev.BreakFound:
    policy = POLICIES[difference.break_type]
    return ev.BreakFound(
        account_id=difference.account_id,
        order_id=difference.order_id,
        difference=difference,
        severity=severity or policy.severity,
        proposed_fix=policy.proposed_fix,
        as_of=as_of,
    )


def _resolved(known: Break, resolution: str, *, auto_fixed: bool = False) -> ev.BreakResolved:
    return ev.BreakResolved(
        account_id=known.difference.account_id,
        break_id=known.break_id,
        resolution=resolution,
        auto_fixed=auto_fixed,
        principal=PRINCIPAL,
    )


def _figures(known: Break | None) -> tuple[str, str] | None:
    return None if known is None else (known.difference.ours, known.difference.theirs)


def _told(difference: Difference) -> str:
    name = difference.break_type.value.lower().replace("_", " ")
    of = difference.symbol or difference.currency or difference.subject
    return f"{name} of {of}: we say {difference.ours}, the broker says {difference.theirs}"


def _as_of(parts: Parts) -> datetime:
    return max(result.as_of for result in parts.values())
