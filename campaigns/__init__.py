"""Seeded campaigns of faults against the whole system; `python -m campaigns kill --n 40 --seed 7`."""
