"""A seed in, what its hour came to out; `python -m campaigns.simulated.playing 7 8` prints the hash of each log."""

import gc
import random
import sys
import time
from typing import Any

import msgspec
import structlog

from campaigns.simulated.clock import VirtualClock, virtual
from campaigns.simulated.ending import broken_promises, log_hash
from campaigns.simulated.plants import PLANTS
from campaigns.simulated.world import World


class Hour(msgspec.Struct, frozen=True):
    """One seed's outcome. texts: (kind, what broke). struck: how often each fault happened."""

    seed: int
    sha256: str
    orders: int
    events: int
    doubts: int
    virtual_s: float
    seconds: float
    struck: dict[str, int]
    texts: tuple[tuple[str, str], ...]


def play(seed: int, plant: str = "") -> Hour:
    """Play one seed in this process, which should do nothing else: clocks are replaced and garbage is left."""
    began = time.perf_counter()
    clock = VirtualClock()
    gc.disable()  # collecting a killed process would run its cleaning up
    try:
        with virtual(clock, random.Random(f"system {seed}")):
            world = World(seed, clock)
            world.play()
            texts = [(one.kind.value, one.text) for one in broken_promises(world)]
            hour = Hour(
                seed=seed,
                sha256=log_hash(world),
                orders=len(world.history.all()),
                events=world.watch.book.seq,
                doubts=len(world.watch.doubts),
                virtual_s=clock.monotonic,
                seconds=time.perf_counter() - began,
                struck={
                    **{f"blow {name}": count for name, count in world.nemesis.struck.items()},
                    **world.network.struck,
                    **world.database.struck,
                },
                texts=tuple(texts),
            )
            world.loop.bury()
            del world
    finally:
        gc.enable()
    return hour


def prepare(plant: str = "") -> None:
    """Make this process one that plays: quiet, and with the defect planted, if any."""
    structlog.configure(processors=[_drop], logger_factory=structlog.ReturnLoggerFactory())
    sys.unraisablehook = lambda unraisable: None
    if plant:
        PLANTS[plant]()


def _drop(logger: Any, method: str, event: Any) -> Any:
    raise structlog.DropEvent


if __name__ == "__main__":
    prepare()
    for word in sys.argv[1:]:
        print(word, play(int(word)).sha256, flush=True)
