"""The matching engine, its feeds and its fees."""
