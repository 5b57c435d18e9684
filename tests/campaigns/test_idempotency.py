"""The campaign of equal requests catches an API that keeps no answer, or keeps it too late."""

import pytest

from campaigns import idempotency

pytestmark = [pytest.mark.integration, pytest.mark.teeth]


@pytest.mark.parametrize("plant", idempotency.PLANTS)
def test_the_campaign_catches_its_planted_defect(plant: str) -> None:
    result = idempotency.run(6, 7, plant)
    assert result.doubled
    assert not result.is_clean
