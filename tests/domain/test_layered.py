"""Overlays read like the map they stand for, and leave no trace unless they are adopted."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oms_kernel.domain.layered import Grouped, Layered

keys = st.integers(0, 5)
values = st.integers(0, 9)
groups = st.sampled_from("ab")
puts = st.lists(st.tuples(keys, values), max_size=8)
changes = st.lists(st.tuples(st.booleans(), groups, keys, values), max_size=12)
fates = st.sampled_from(["adopt", "drop"])


@given(st.lists(st.tuples(puts, fates), max_size=6))
def test_a_layered_map_is_a_plain_dict_with_batches_that_can_be_dropped(
    batches: list[tuple[list[tuple[int, int]], str]],
) -> None:
    committed: Layered[int, int] = Layered()
    plain: dict[int, int] = {}
    for batch, fate in batches:
        overlay, model = committed.overlay(), dict(plain)
        for key, value in batch:
            overlay[key] = value
            model[key] = value
            assert_equal(overlay, model)
            assert_equal(committed, plain)
        if fate == "adopt":
            committed.adopt(overlay)
            plain = model
        assert_equal(committed, plain)


def assert_equal(layered: Layered[int, int], plain: dict[int, int]) -> None:
    assert list(layered.items()) == list(plain.items()), "the same entries in the same order"
    assert list(layered.values()) == list(plain.values())
    assert len(layered) == len(plain)
    for key in range(6):
        assert layered.get(key) == plain.get(key)
        assert (key in layered) is (key in plain)


def test_a_missing_key_is_a_key_error() -> None:
    with pytest.raises(KeyError):
        Layered()[1]


@dataclass
class PlainGroups:
    """The model: dicts of dicts."""

    groups: dict[str, dict[int, int]] = field(default_factory=dict)

    def copy(self) -> "PlainGroups":
        return PlainGroups({name: dict(entries) for name, entries in self.groups.items()})

    def change(self, adding: bool, group: str, key: int, value: int) -> None:
        if adding:
            self.groups.setdefault(group, {})[key] = value
        else:
            self.groups.get(group, {}).pop(key, None)


def change(grouped: Grouped[str, int, int], adding: bool, group: str, key: int, value: int) -> None:
    if adding:
        grouped.add(group, key, value)
    else:
        grouped.remove(group, key)


def assert_same_groups(grouped: Grouped[str, int, int], model: PlainGroups) -> None:
    for name in "ab":
        assert list(grouped.entries(name)) == list(model.groups.get(name, {}).items())
    assert {name for name, entries in model.groups.items() if entries} <= set(grouped.keys())
    assert len(list(grouped.keys())) == len(set(grouped.keys()))


@given(st.lists(st.tuples(changes, fates), max_size=6))
def test_groups_keep_their_order_over_one_batch_or_many(
    batches: list[tuple[list[tuple[bool, str, int, int]], str]],
) -> None:
    committed: Grouped[str, int, int] = Grouped()
    model = PlainGroups()
    for batch, fate in batches:
        overlay, ahead = committed.overlay(), model.copy()
        for step in batch:
            change(overlay, *step)
            ahead.change(*step)
            assert_same_groups(overlay, ahead)
            assert_same_groups(committed, model)
        if fate == "adopt":
            committed.adopt(overlay)
            model = ahead
        assert_same_groups(committed, model)


@given(changes, changes, changes)
def test_an_overlay_of_an_overlay_is_adopted_downwards(
    first: list[tuple[bool, str, int, int]],
    second: list[tuple[bool, str, int, int]],
    third: list[tuple[bool, str, int, int]],
) -> None:
    committed: Grouped[str, int, int] = Grouped()
    model = PlainGroups()
    layers = [committed, committed.overlay()]
    layers.append(layers[1].overlay())
    for layer, steps in zip(layers, (first, second, third), strict=True):
        for step in steps:
            change(layer, *step)
            model.change(*step)
    assert_same_groups(layers[2], model)
    layers[1].adopt(layers[2])
    assert_same_groups(layers[1], model)
    committed.adopt(layers[1])
    assert_same_groups(committed, model)
