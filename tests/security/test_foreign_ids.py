"""Ids of another tenant are answered as ids of nobody, at every place of every route; each planted leak is caught."""

from collections.abc import Iterator

import pytest

from oms_app.store import migrate
from security.foreign_ids import PLANTS, SHORT, hunted
from security.operations import Operation, Slot
from security.sides import Sides, two_sides


@pytest.fixture(scope="module")
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    folder = tmp_path_factory.mktemp("sides")
    url = f"sqlite:///{folder}/oms.db"
    migrate.upgrade(url)
    with two_sides(url, folder) as made:
        yield made


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_leak_is_caught(sides: Sides, plant: str) -> None:
    assert hunted(sides, 1, 7, plant).failures


def test_no_route_tells_another_tenants_ids_from_ids_of_nobody(sides: Sides) -> None:
    hunt = hunted(sides, SHORT, 7, "")
    assert hunt.failures == []
    assert len(hunt.tries) > 100
    assert hunt.cursors > 10
    assert hunt.streams > 4


def test_the_places_of_an_operation_are_all_those_that_take_an_id() -> None:
    body = {
        "properties": {
            "account_id": {"type": "string"},
            "order_ids": {"type": "array", "items": {"type": "string"}},
            "orders": {"type": "array", "items": {"properties": {"strategy_id": {"type": ["string", "null"]}}}},
            "name": {"type": "string"},
        }
    }
    operation = Operation(
        name="x", method="POST", path="/a/{run_id}/{word}", query=("account_id", "limit", "last_event_id"), body=body
    )
    assert list(operation.slots()) == [
        Slot("path", "run_id", ("run_id",)),
        Slot("path", "word", ("word",)),
        Slot("query", "account_id", ("account_id",)),
        Slot("body", "account_id", ("account_id",)),
        Slot("body", "order_id", ("order_ids", 0)),
        Slot("body", "strategy_id", ("orders", 0, "strategy_id")),
    ]
