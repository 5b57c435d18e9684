"""What this distribution registers with the host."""
