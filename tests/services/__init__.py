"""Real PostgreSQL, Redis and Chromium for tests: found, installed or started, and always stopped."""
