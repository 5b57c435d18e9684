"""A strategy host in a process of its own, that a test may kill: python -m tests.strategies.host_process HOME."""

from __future__ import annotations

import sys
from pathlib import Path

from oms_app.bootstrap import build_services
from oms_app.config import load_settings
from oms_app.strategies.server import serve
from tests.app_kit import CHEAP
from tests.strategies.test_runs import REGISTRIES, wiring_of

LEASE_S = 20.0


def main(home: Path) -> None:
    """Carry on the runs of the home's database until a signal."""
    services = build_services(load_settings({"OMS_HOME": str(home), **CHEAP}), process="strategy")
    try:
        serve(
            wiring=wiring_of(services),
            control=services.control,
            registries=REGISTRIES,
            holder=f"host {home}",
            lease_s=LEASE_S,
            beat=lambda: None,
        )
    finally:
        services.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
