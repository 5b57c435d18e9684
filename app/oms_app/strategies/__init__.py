"""Strategy runs: claims them by lease and runs each strategy in a process of its own."""
