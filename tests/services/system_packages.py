"""Install a program with the system's package manager, where that is allowed and asks nobody anything."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence

from tests.services.server_process import ServiceUnavailable

APT = (
    "apt-get",
    "-o",
    "DPkg::Lock::Timeout=180",
    "-o",
    "Acquire::Retries=1",
    "-o",
    "Acquire::http::Timeout=20",
)
INSTALL: Mapping[str, tuple[str, ...]] = {
    "apt-get": (*APT, "install", "--yes", "--quiet", "--no-install-recommends"),
    "dnf": ("dnf", "install", "--assumeyes", "--quiet"),
    "brew": ("brew", "install", "--quiet"),
}
TIMEOUT_S = 600


def install(packages: Mapping[str, Sequence[str]]) -> None:
    """Install what `packages` names for the first package manager that is here.

    Allowed to root, and with brew to anybody; never with OMS_TEST_INSTALL=0. Raises ServiceUnavailable.
    """
    manager = next((name for name in packages if shutil.which(name)), None)
    if manager is None:
        raise ServiceUnavailable(f"not installed, and none of {', '.join(packages)} is here to install it")
    names = " ".join(packages[manager])
    if os.environ.get("OMS_TEST_INSTALL") == "0":
        raise ServiceUnavailable(f"not installed, and OMS_TEST_INSTALL=0 forbids {manager} install {names}")
    if manager != "brew" and os.geteuid() != 0:
        raise ServiceUnavailable(f"not installed; as root: {manager} install {names}")
    print(f"Installing for the tests: {manager} install {names} ...", file=sys.__stderr__, flush=True)
    if manager == "apt-get":
        _refresh_apt()
    _run((*INSTALL[manager], *packages[manager]))


@functools.cache
def _refresh_apt() -> None:
    _run((*APT, "update", "--quiet"))


def _run(command: Sequence[str]) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive", "HOMEBREW_NO_AUTO_UPDATE": "1"}
    if os.geteuid() == 0:
        # A freshly installed server must not start by itself: the tests start their own.
        environment["RUNLEVEL"] = "1"
    try:
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=environment,
            timeout=TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ServiceUnavailable(f"{' '.join(command)} took more than {TIMEOUT_S} s") from error
    if done.returncode:
        raise ServiceUnavailable(f"{' '.join(command)} failed: {(done.stderr or done.stdout)[-500:].strip()}")
