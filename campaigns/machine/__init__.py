"""Hypothesis machines over order, book, positions and reconciliation: steps in, broken promises and walked rows out."""

from campaigns.machine.plants import PLANTS as _PLANTS
from campaigns.machine.running import run

SHORT = 20_000
LONG = 1_000_000
PLANTS = tuple(_PLANTS)

__all__ = ["LONG", "PLANTS", "SHORT", "run"]
