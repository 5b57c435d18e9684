"""Broker sessions: one asyncio loop for each connection that this process holds the lease of."""
