"""Attacks on the system and proofs that it keeps tenants apart; `python -m security foreign_ids --seed 7`."""
