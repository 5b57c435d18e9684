"""Whatever is sent to the documented operations, by whomever: no 5xx, and every answer as documented."""

from collections.abc import Iterator

import pytest

from oms_app.store import migrate
from security.open_api import PLANTS, asked_of
from security.sides import Sides, two_sides

REQUESTS = 4_000


@pytest.fixture
def sides(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    folder = tmp_path_factory.mktemp("sides")
    url = f"sqlite:///{folder}/oms.db"
    migrate.upgrade(url)
    with two_sides(url, folder) as made:
        yield made


def test_no_answer_is_a_5xx_or_differs_from_its_document(sides: Sides) -> None:
    asked = asked_of(sides, REQUESTS, 7, "")
    assert asked.failures == {}
    assert sum(asked.sent.values()) >= REQUESTS
    assert {200, 201, 401, 403, 404, 422} <= set(asked.statuses)


@pytest.mark.parametrize("plant", PLANTS)
def test_a_planted_defect_is_found(sides: Sides, plant: str) -> None:
    assert asked_of(sides, 60, 7, plant).failures
