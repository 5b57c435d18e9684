"""Every test of the repository gets its services from `tests.services`."""

pytest_plugins = ["tests.services.plugin"]
