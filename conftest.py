"""Every test of the repository gets its services from `tests.services`."""

import os

from hypothesis import settings

pytest_plugins = ["tests.services.plugin"]

# Two busy cores say nothing about an example's speed; under CI hypothesis chooses its own reproducible profile.
settings.register_profile("local", deadline=None)
if not os.environ.get("CI"):
    settings.load_profile("local")
