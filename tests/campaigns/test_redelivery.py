"""The redelivery campaign sees a worker that takes what another one has, on real processes."""

from __future__ import annotations

import pytest

from campaigns import redelivery

pytestmark = [pytest.mark.integration, pytest.mark.teeth]


def test_a_worker_that_claims_nothing_is_caught() -> None:
    result = redelivery.run(2 * redelivery.A_STOP, 11, "unclaimed")
    assert result.figures["stops"] == 2
    assert result.doubled > 0, result.texts
    assert result.exit_code == 1
