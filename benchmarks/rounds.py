"""Kinds of measurement in, their figures out: each kind once in each round, in an order shuffled by the seed."""

import random
from collections.abc import Callable, Iterator, Mapping

import msgspec

Say = Callable[[str], None]


class Plan(msgspec.Struct, frozen=True):
    """How long and how often to measure; size: orders of the filled tables, None as the row's name says."""

    rounds: int
    seconds: float
    seed: int
    size: int | None = None


def shuffled(kinds: Mapping[str, object], plan: Plan) -> Iterator[tuple[int, str]]:
    """(number of the round, kind), each kind once in each round."""
    order = random.Random(plan.seed)
    for number in range(1, plan.rounds + 1):
        for name in order.sample(sorted(kinds), len(kinds)):
            yield number, name


def measured(kinds: Mapping[str, Callable[[], float]], plan: Plan, say: Say, unit: str) -> dict[str, list[float]]:
    """The figures of each kind, one for each round."""
    figures: dict[str, list[float]] = {name: [] for name in kinds}
    for number, name in shuffled(kinds, plan):
        figures[name].append(kinds[name]())
        say(f"  round {number}: {name} {figures[name][-1]:.4g} {unit}")
    return figures


def middle(values: list[float]) -> float:
    """The (upper) median, to two digits."""
    return round(sorted(values)[len(values) // 2], 2)
