"""The one matching engine, its feeds and its fees: pure, synchronous and seeded; the caller owns time and I/O."""
