"""Seeded campaigns of faults against the whole system; `python -m campaigns crash --n 100 --seed 7`."""
