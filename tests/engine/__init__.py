"""Decisions over one ledger, told as stories and walked at random."""
