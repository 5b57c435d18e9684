"""What two clocks prove of each other: only what no delay can explain."""

from datetime import UTC, datetime, timedelta

import pytest

from oms_app.store.clocks import least_offset

NOON = datetime(2026, 3, 2, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("server_ms", "answered_ms", "offset_ms"),
    [
        (0, 0, 0),
        (5, 10, 0),  # between question and answer: the clocks may agree
        (4_999, 5_000, 0),  # a long wait for a lock is no offset
        (10, 10, 0),
        (-1, 10, 1),  # the server answered before it was asked: ours is ahead
        (-2_000, 10, 2_000),
        (11, 10, -1),  # after its answer: ours is behind
        (3_010, 10, -3_000),
    ],
)
def test_only_what_no_delay_explains_is_an_offset(server_ms: int, answered_ms: int, offset_ms: int) -> None:
    def at(milliseconds: int) -> datetime:
        return NOON + timedelta(milliseconds=milliseconds)

    assert least_offset(NOON, at(server_ms), at(answered_ms)) == timedelta(milliseconds=offset_ms)
