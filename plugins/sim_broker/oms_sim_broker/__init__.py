"""A simulated broker that runs as a process of its own, with a ledger of its own."""
