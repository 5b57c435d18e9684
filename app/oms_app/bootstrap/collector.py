"""Tell Python's collector of cycles to look at what is new only: what a process holds for long is in no garbage cycle.

A full collection walks every order of every book while all threads wait: 90 ms at some thousand orders, and more later.
"""

import gc

YOUNG = 10_000
MIDDLE = 10
OLD = 1_000
"""After so many new objects, young collections and middle ones: a full collection comes once in many millions."""


def collect_rarely() -> None:
    """Leave what is loaded now out of every later collection, and make full ones rare. Call it once, after the start.

    Whatever is not part of a cycle is freed at once, as ever; cycles are mostly young when they die.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG, MIDDLE, OLD)
