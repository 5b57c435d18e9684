"""One factor in, every pause and time-out of a campaign out: a slow machine sets OMS_TIME_FACTOR=3 and nothing else."""

import os

VARIABLE = "OMS_TIME_FACTOR"


def time_factor() -> float:
    """How many times longer than planned everything may take; 1 unless OMS_TIME_FACTOR says otherwise.

    Raises ValueError when it is no number above zero.
    """
    text = os.environ.get(VARIABLE) or "1"
    factor = float(text)
    if not 0 < factor < 1000:
        raise ValueError(f"{VARIABLE} is {text}: give a number above 0 and below 1000")
    return factor


def scaled(seconds: float) -> float:
    """The time, stretched by the factor."""
    return seconds * time_factor()
