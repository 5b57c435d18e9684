"""The campaign of the kill switch catches a system that throws switches and does not ask for them."""

import pytest

from campaigns import kill_switch

pytestmark = [pytest.mark.integration, pytest.mark.teeth]


@pytest.mark.parametrize("plant", kill_switch.PLANTS)
def test_the_campaign_catches_its_planted_defect(plant: str) -> None:
    result = kill_switch.run(20, 7, plant)
    assert not result.is_clean
    assert any("accepted after the switch" in text for text in result.texts)
