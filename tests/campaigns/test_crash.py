"""The crash campaign's failpoints lie where they say, and each defect that is planted into real processes is caught."""

from __future__ import annotations

from collections import Counter
from types import ModuleType

import pytest

from campaigns import crash, failpoints, zygote
from campaigns.checks import Kind, Violation
from campaigns.failpoints import BY_NAME, POINTS, Role
from campaigns.pauses import tuning

CAUGHT_AS = {
    "resend": {Kind.DOUBLED},
    "wire_first": {Kind.DOUBLED, Kind.UNKNOWN_TO_US},
    "forget": {Kind.LOST},
    "double_fill": {Kind.EXECUTION, Kind.POSITION},
    "skip_event": {Kind.SKIPPED},
}


def test_there_are_at_least_forty_points_with_names_of_their_own_in_every_process() -> None:
    assert len(POINTS) == len(BY_NAME) >= 40
    assert {point.role for point in POINTS} == set(Role)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: point.name)
def test_a_point_lies_at_a_function_that_exists(point: failpoints.Point) -> None:
    owner, name = failpoints.owner_of(point)
    assert callable(getattr(owner, name))


def test_every_pause_that_is_shortened_is_still_a_constant_of_the_product() -> None:
    for place in tuning():
        module, _, name = place.partition(":")
        assert hasattr(__import__(module, fromlist=[name]), name), place


def test_a_pause_that_is_no_more_is_an_error() -> None:
    with pytest.raises(AttributeError):
        zygote.tune(ModuleType("empty"), "CLAIM", 1.0)


def test_a_point_counts_its_passes_and_calls_at_the_one_it_was_armed_for(monkeypatch: pytest.MonkeyPatch) -> None:
    point = failpoints.Point("api.test", f"{__name__}:Target.work", failpoints.AFTER, 3)
    monkeypatch.setattr(Target, "work", Target.work)
    died: list[str] = []
    failpoints.arm(point, 2, died.append)
    target = Target()
    assert target.work(1) == 1
    assert died == []
    assert target.work(2) == 2
    assert target.work(3) == 3
    assert died == ["api.test"]


def test_the_short_form_deals_every_point_twice() -> None:
    assert set(Counter(crash.deal(crash.SHORT, 7)).values()) == {2}


def test_a_doubt_is_settled_right_after_it_was_left() -> None:
    import random

    names = crash.in_order([point.name for point in POINTS] * 3, random.Random(7))
    assert Counter(names) == {point.name: 3 for point in POINTS}
    for number, name in enumerate(names):
        if name == crash.SETTLED:
            assert names[number - 1] == crash.DOUBT


@pytest.fixture(scope="module")
def proofs() -> dict[str, list[Violation]]:
    """All defects at once, each in a production set of its own."""
    return crash.prove(crash.PLANTS, 11)


@pytest.mark.teeth
@pytest.mark.integration
@pytest.mark.parametrize("plant", crash.PLANTS)
def test_a_planted_defect_is_caught(proofs: dict[str, list[Violation]], plant: str) -> None:
    assert CAUGHT_AS[plant] & {one.kind for one in proofs[plant]}, proofs[plant]


class Target:
    def work(self, number: int) -> int:
        return number
