"""A seed and a number in, one schedule out: what happens to the wire when, and what is traded meanwhile. Pure."""

import random
from enum import StrEnum

import msgspec


class Way(StrEnum):
    """Where a frame goes."""

    TO_BROKER = "to_broker"
    TO_SESSION = "to_session"


class FaultKind(StrEnum):
    """What is done to the wire."""

    LOSE = "lose"
    """Frames of one way vanish until the wire is healed, as when packets are never delivered."""
    SKIP = "skip"
    """Some frames of one way vanish, those after them arrive."""
    DELAY = "delay"
    """Every frame of one way comes later by `amount` seconds."""
    CUT = "cut"
    """`amount` bytes of a frame pass, then both sides are closed."""
    DUPLICATE = "duplicate"
    """Frames come twice; of what goes to the broker only what adds nothing."""
    REORDER = "reorder"
    """A frame comes after the one that follows it."""
    SLOW = "slow"
    """`amount` bytes pass in a second."""
    SILENT = "silent"
    """Connections are accepted, and nothing passes either way."""
    HALF_OPEN_BROKER = "half_open_broker"
    """The broker sees the connection end, the session does not."""
    HALF_OPEN_SESSION = "half_open_session"
    """The session sees the connection end, the broker does not."""
    REFUSE = "refuse"
    """Connections end as soon as they begin."""


class Fault(msgspec.Struct, frozen=True):
    """A fault in force from its moment on, once `after` frames that carry a request or a word of it have passed.

    amount: bytes, seconds or bytes in a second, by the kind. count: how many frames it strikes, where that is limited.
    """

    at_s: float
    kind: FaultKind
    way: Way
    after: int = 0
    amount: float = 0
    count: int = 1


class Action(StrEnum):
    """What is asked for."""

    MARKET = "market"
    RESTING = "resting"
    CROSSING = "crossing"
    CANCEL = "cancel"
    REPLACE = "replace"


class Step(msgspec.Struct, frozen=True):
    """Something asked for at its moment. pick: which of the open orders a cancel or replace means, in [0, 1)."""

    at_s: float
    action: Action
    quantity: int
    may_wait: bool
    pick: float


class Schedule(msgspec.Struct, frozen=True):
    """One schedule, in seconds from its beginning; the wire is well again from `heal_at_s` on."""

    number: int
    faults: tuple[Fault, ...]
    steps: tuple[Step, ...]
    heal_at_s: float


ORDERS = (Action.MARKET, Action.RESTING, Action.CROSSING)
LAST_S = 1.2


def draw(seed: int, number: int) -> Schedule:
    """The schedule of this number; kinds come in turn, so that no run leaves one out."""
    source = random.Random(f"{seed} {number}")
    kinds = list(FaultKind)
    first = kinds[number % len(kinds)]
    more = [source.choice(kinds) for _ in range(source.choice((0, 0, 1, 2)))]
    moments = sorted(source.uniform(0, LAST_S * 0.7) for _ in range(len(more)))
    faults = (_fault(source, 0.0, first), *(_fault(source, at, kind) for at, kind in zip(moments, more, strict=True)))
    steps = [_step(source, source.uniform(0, 0.3), source.choice(ORDERS)) for _ in range(source.randint(2, 4))]
    steps += [
        _step(source, source.uniform(0.1, LAST_S), source.choice(tuple(Action))) for _ in range(source.randint(1, 3))
    ]
    return Schedule(number, faults, tuple(sorted(steps, key=lambda step: step.at_s)), source.uniform(0.4, LAST_S))


def _fault(source: random.Random, at_s: float, kind: FaultKind) -> Fault:
    amounts = {
        FaultKind.DELAY: source.uniform(0.01, 1.0),
        FaultKind.CUT: source.randint(0, 400),
        FaultKind.SLOW: source.choice((1, 100, 1_000, 20_000)),
    }
    return Fault(
        at_s=at_s, kind=kind, way=source.choice(tuple(Way)), after=source.choice((0, 0, 0, 0, 1, 2)),
        amount=amounts.get(kind, 0), count=source.randint(1, 3),
    )  # fmt: skip


def _step(source: random.Random, at_s: float, action: Action) -> Step:
    return Step(at_s, action, source.randint(1, 50), source.random() < 0.5, source.random())
