"""The Chromium that browser tests drive: the installed one, or one from the system's package manager."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tests.services.server_process import ServiceUnavailable
from tests.services.system_packages import install

PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
APPLICATIONS = (
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
)
PACKAGES = {
    "apt-get": ["chromium", "fonts-dejavu-core"],
    "dnf": ["chromium", "dejavu-sans-fonts"],
    "brew": ["--cask", "chromium"],
}
# Quiet, without a network of its own, and able to run as root and in a container.
LAUNCH_ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)


def chromium() -> str:
    """The path of a Chromium. Raises ServiceUnavailable when there is none and none may be installed."""
    named = os.environ.get("OMS_TEST_CHROMIUM")
    if named:
        if not os.access(named, os.X_OK):
            raise ServiceUnavailable(f"OMS_TEST_CHROMIUM names {named}, which cannot be run")
        return named
    found = _installed()
    if found is None:
        install(PACKAGES)
        found = _installed()
    if found is None:
        raise ServiceUnavailable("no Chromium is installed; install one or set OMS_TEST_CHROMIUM")
    return found


def _installed() -> str | None:
    for program in PROGRAMS:
        if path := shutil.which(program):
            return path
    return next((path for path in APPLICATIONS if Path(path).exists()), None)
