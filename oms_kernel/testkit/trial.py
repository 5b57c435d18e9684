"""A conformance suite in, the cases that fail out, without pytest: for suites that are checked themselves."""

from typing import Any

from oms_kernel.soundness import describe


def failures(suite: type[Any]) -> dict[str, str]:
    """Name of each failing case -> why, for a suite whose cases take no fixtures."""
    failed: dict[str, str] = {}
    for name in dir(suite):
        if not name.startswith("test_"):
            continue
        try:
            getattr(suite(), name)()
        except Exception as error:
            failed[name] = describe(error)
    return failed
