"""The checker of histories is content with a good one, and catches each planted defect in a history made by hand."""

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import msgspec
import pytest

from campaigns import history_checks as checks
from campaigns import history_run
from campaigns.checks import Kind, OurOrder, Violation
from campaigns.history_checks import Booked, Held, Op, Outcome, Seen, Step
from tests.campaigns.proofs import first_that_catches

TEN = Decimal(10)
ORDER = OurOrder("o1", "red-1", "FILLED", ("W1",), at_broker=True)
SEEN = Seen("o1", "account", 3, "NEW", TEN, Decimal(0))
FILLS = [
    Booked(5, "account", "spy", TEN, Decimal(450), Decimal(1)),
    Booked(9, "account", "spy", Decimal(-4), Decimal(451), Decimal(1)),
]
STEP = Step(3, "o1", "account", "spy", True, "NEW", True, TEN, TEN, Decimal(0))
STEPS = [
    STEP,
    msgspec.structs.replace(STEP, seq=4, status="WORKING"),
    msgspec.structs.replace(STEP, seq=5, status="FILLED", is_active=False, filled=TEN),
]


def op(number: int, kind: str, began: float, ended: float, **fields: Any) -> Op:
    values: dict[str, Any] = {"asked": ("red-1",), "outcome": Outcome.OK, "status": 200, **fields}
    return Op(number, "red-0", "red", kind, invoked_s=began, completed_s=ended, **values)


def held(bought: int, sold: int, quantity: int | None = None) -> Held:
    net = bought - sold if quantity is None else quantity
    return Held("account", "spy", Decimal(net), Decimal(bought), Decimal(sold))


def kinds(found: Iterator[Violation]) -> list[Kind]:
    return [one.kind for one in found]


PLACED = op(1, "place", 0, 1, orders=(SEEN,))


def test_a_history_in_which_everything_held_has_no_violation() -> None:
    read = op(2, "read", 2, 3, asked=("o1",), orders=(msgspec.structs.replace(SEEN, version=5, filled=TEN),))
    position = op(3, "positions", 2, 3, positions=(held(10, 0),))
    uncertain = op(4, "place", 0, 1, asked=("red-2",), outcome=Outcome.INFO, status=0)
    failed = op(5, "place", 0, 1, asked=("red-3",), outcome=Outcome.FAIL, status=503)
    ops = [PLACED, read, position, uncertain, failed]
    assert not kinds(checks.check_answers(ops, [ORDER]))
    assert not kinds(checks.check_versions(ops))
    assert not kinds(checks.check_seen_orders(ops))
    assert not kinds(checks.check_tenants(ops, {"red": "account"}))
    assert not kinds(checks.check_positions_read(ops, FILLS))
    assert not kinds(checks.check_moves(STEPS))
    assert not kinds(checks.check_limit(STEPS, FILLS, TEN))
    assert not kinds(checks.check_cash(Decimal(10_000), Decimal(10_000) - 4500 + 1804 - 2, FILLS))


def test_an_order_that_was_told_of_and_is_not_there_is_lost() -> None:
    assert kinds(checks.check_answers([PLACED], [])) == [Kind.LOST]


def test_an_order_that_exists_twice_is_doubled_whether_its_answer_came_or_not() -> None:
    twice = [ORDER, msgspec.structs.replace(ORDER, order_id="o2")]
    uncertain = msgspec.structs.replace(PLACED, outcome=Outcome.INFO, orders=())
    assert kinds(checks.check_answers([PLACED], twice)) == [Kind.DOUBLED]
    assert kinds(checks.check_answers([uncertain], twice)) == [Kind.DOUBLED]


def test_a_refused_order_that_went_out_is_a_contradiction_and_a_denied_one_is_not() -> None:
    failed = msgspec.structs.replace(PLACED, outcome=Outcome.FAIL, status=503, orders=())
    assert kinds(checks.check_answers([failed], [ORDER])) == [Kind.CONTRADICTION]
    assert not kinds(checks.check_answers([failed], [msgspec.structs.replace(ORDER, state="DENIED")]))


def test_an_order_that_nobody_asked_for_is_a_contradiction() -> None:
    stranger = msgspec.structs.replace(ORDER, order_id="o9", client_order_id=None)
    assert kinds(checks.check_answers([PLACED], [ORDER, stranger])) == [Kind.CONTRADICTION]


def test_a_read_that_goes_back_behind_an_earlier_answer_is_caught_and_one_that_overlaps_is_not() -> None:
    written = op(2, "replace", 2, 4, orders=(msgspec.structs.replace(SEEN, version=7),))
    after = op(3, "read", 5, 6, orders=(SEEN,))
    beside = op(4, "read", 3, 6, orders=(SEEN,))
    assert kinds(checks.check_versions([PLACED, written, after])) == [Kind.CONTRADICTION]
    assert not kinds(checks.check_versions([PLACED, written, beside]))


def test_an_order_that_is_not_found_after_it_was_told_of_is_lost() -> None:
    missing = op(2, "read", 2, 3, asked=("o1",), outcome=Outcome.FAIL, status=404)
    assert kinds(checks.check_versions([PLACED, missing])) == [Kind.LOST]


def test_an_order_seen_filled_beyond_its_total_is_caught() -> None:
    over = op(2, "read", 2, 3, orders=(msgspec.structs.replace(SEEN, filled=Decimal(11)),))
    assert kinds(checks.check_seen_orders([over])) == [Kind.EXECUTION]


@pytest.mark.parametrize(
    "strange",
    [
        op(2, "foreign", 2, 3, status=200, orders=(SEEN,)),
        op(2, "read", 2, 3, orders=(msgspec.structs.replace(SEEN, account_id="another"),)),
        op(2, "positions", 2, 3, positions=(msgspec.structs.replace(held(1, 0), account_id="another"),)),
    ],
)
def test_what_is_another_tenants_is_never_shown(strange: Op) -> None:
    assert kinds(checks.check_tenants([strange], {"red": "account"})) == [Kind.CONTRADICTION]


@pytest.mark.parametrize("dirty", [held(10, 2), held(0, 4), held(14, 4), held(10, 4, quantity=7)])
def test_a_position_that_no_executions_sum_to_is_dirty(dirty: Held) -> None:
    assert Kind.POSITION in kinds(checks.check_positions_read([op(2, "positions", 2, 3, positions=(dirty,))], FILLS))


def test_a_position_that_goes_back_in_time_is_caught_and_one_that_overlaps_is_not() -> None:
    newest = op(2, "positions", 2, 3, positions=(held(10, 4),))
    after = op(3, "positions", 4, 5, positions=(held(10, 0),))
    beside = op(4, "positions", 2.5, 5, positions=(held(10, 0),))
    assert kinds(checks.check_positions_read([newest, after], FILLS)) == [Kind.POSITION]
    assert not kinds(checks.check_positions_read([newest, beside], FILLS))


def test_an_order_that_comes_back_to_life_or_is_filled_too_far_is_caught() -> None:
    revived = [*STEPS, msgspec.structs.replace(STEP, seq=6, status="WORKING")]
    over = [STEP, msgspec.structs.replace(STEP, seq=4, status="FILLED", filled=Decimal(11))]
    assert kinds(checks.check_moves(revived)) == [Kind.CONTRADICTION]
    assert kinds(checks.check_moves(over)) == [Kind.EXECUTION]


def test_open_orders_and_position_together_beyond_the_limit_are_caught() -> None:
    second = msgspec.structs.replace(STEP, seq=4, order_id="o2")
    assert kinds(checks.check_limit([STEP, second], [], Decimal(19))) == [Kind.CONTRADICTION]
    assert not kinds(checks.check_limit([STEP, second], [], Decimal(20)))
    ended = msgspec.structs.replace(STEP, seq=4, status="CANCELED", is_active=False)
    assert not kinds(checks.check_limit([STEP, ended, msgspec.structs.replace(second, seq=5)], [], TEN))
    filled = [Booked(2, "account", "spy", TEN, Decimal(1), Decimal(0))]
    assert kinds(checks.check_limit([STEP], filled, Decimal(19))) == [Kind.CONTRADICTION]


def test_a_replace_under_way_counts_with_the_larger_total() -> None:
    replacing = msgspec.structs.replace(STEP, seq=4, most=Decimal(30))
    assert kinds(checks.check_limit([STEP, replacing], [], Decimal(29))) == [Kind.CONTRADICTION]


def test_cash_that_is_not_what_was_paid_is_caught() -> None:
    assert kinds(checks.check_cash(Decimal(100), Decimal(100), FILLS)) == [Kind.POSITION]


@pytest.mark.teeth
@pytest.mark.integration
@pytest.mark.parametrize(
    ("plant", "kind"), [("double_fill", "execution"), ("lost_fill", "execution"), ("dirty_position", "position")]
)
def test_the_campaign_catches_its_planted_defect(plant: str, kind: str) -> None:
    result = first_that_catches(kind, (history_run.run(n, 7, plant) for n in (150, 400, 1000)))
    assert not result.is_clean
