"""The event stream: tails each ledger once and fans out over server-sent events."""
