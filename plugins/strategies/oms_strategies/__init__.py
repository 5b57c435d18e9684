"""Example strategies: echo and moving-average cross."""
