"""The composition without access leaves out the chain and nothing of a row's shape; the cost is held to a bar."""

from datetime import UTC, datetime

from benchmarks import goals
from benchmarks.__main__ import ROWS
from benchmarks.without_access import unchained
from oms_app.store import chain


def test_a_row_without_its_hash_has_the_shape_of_one_with_it() -> None:
    ids = [f"0190f3a1-0000-7000-8000-00000000000{number}" for number in range(4)]
    row = (1, ids[0], "order_accepted", 1, ids[1], None, datetime(2026, 1, 1, tzinfo=UTC), b"{}")
    chained, head = chain.extended(ids[2], ids[3], None, [row])
    bare, no_head = unchained(ids[2], ids[3], None, [row])
    assert [type(value) for value in bare[0]] == [type(value) for value in chained[0]]
    assert (len(bare[0][-1]), len(no_head)) == (len(chained[0][-1]), len(head))
    assert bare[0][:-1] == chained[0][:-1] and bare[0] != chained[0]


def test_the_cost_of_access_is_a_row_with_a_bar() -> None:
    assert ROWS["access_cost"] == "access_cost"
    judged = goals.judged({"name": "access_cost", "added_percent": 16.0})
    assert judged != goals.judged({"name": "access_cost", "added_percent": 7.0})
