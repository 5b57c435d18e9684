"""Compliance checks that stand before every order: restricted list, trading hours, self-trade prevention."""
