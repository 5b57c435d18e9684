"""A conformance suite in, the cases that fail out, without pytest: for suites that are checked themselves."""

from collections.abc import Collection
from typing import Any

from oms_kernel.soundness import describe


def failures(suite: type[Any], only: Collection[str] = ()) -> dict[str, str]:
    """Name of each failing case -> why, for a suite whose cases take no fixtures. only: the cases to try, else all."""
    failed: dict[str, str] = {}
    for name in only or [name for name in dir(suite) if name.startswith("test_")]:
        try:
            getattr(suite(), name)()
        except Exception as error:
            failed[name] = describe(error)
    return failed
