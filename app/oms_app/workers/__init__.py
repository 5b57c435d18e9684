"""Chores: webhook deliveries, the sweeper, everything with a due time."""
